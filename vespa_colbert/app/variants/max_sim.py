"""Token vectors: MaxSim over all matches, and over the best ones by bm25.

A document of several texts is ranked by the best of them, or by what all of them say together.
"""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.field import Field
from vespa_colbert.app.profile import Function, Input, RankProfile, Rerank
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.texts import bm25, bm25_features, bm25_settings
from vespa_colbert.app.variants.tokens import OUTER, TokenField

__all__ = ["MAX_SIM", "functions", "max_sim"]

MAX_SIM = "max_sim"
CONTEXT_MAX_SIM = "context_max_sim"
"""MaxSim of each text of a document: a number for each label."""


def max_sim(design: Design) -> Part:
    """Return a field and two rank profiles for each kind of token vectors.

    A document of several texts has two more, in which a query token may match in any of them.
    """
    profiles = [profile for each in design.tokens for profile in _profiles(each, design)]
    return Part(
        fields=tuple(_field(each, design) for each in design.tokens),
        profiles=tuple(profiles),
        components=() if design.is_client else (design.embedder,),
        queries=tuple(
            design.query(profile=name, inputs=((each.query_name, design.asked),))
            for each in design.tokens
            for name in _names(each)
        ),
        fed=_fed(design) if design.is_client else (),
    )


def functions(tokens: TokenField, name: str = MAX_SIM) -> tuple[Function, ...]:
    """Return the functions that compute the MaxSim of a field; the last one is the score.

    Args:
        tokens: The field.
        name: Name of the last one.
    """
    if OUTER not in tokens.labels:
        return (Function(name=name, expression=_of_labels(tokens, *tokens.labels)),)
    inner = [label for label in tokens.labels if label != OUTER]
    prefix = name.removeprefix(MAX_SIM)
    each = Function(name=f"{CONTEXT_MAX_SIM}{prefix}", expression=_of_labels(tokens, *inner))
    return each, Function(name=name, expression=f"reduce({each.name}, max, {OUTER})")


def _of_labels(tokens: TokenField, *labels: str) -> str:
    """Return the MaxSim in which a query token takes the best vector along some dimensions."""
    products = f"sum(query({tokens.query_name}) * {tokens.vectors}, x)"
    return f"sum(reduce({products}, max, {', '.join(labels)}), qt)"


def _field(tokens: TokenField, design: Design) -> Field:
    """Return the field that holds a document's token vectors."""
    metric, graph = _graph(tokens, design)
    stored = "attribute | index" if graph else "attribute"
    storage = design.options.storage
    return Field(
        name=tokens.name,
        type=str(tokens.type),
        indexing=(stored if design.is_client else f"{design.source} | {design.embed} | {stored}",),
        attribute=(*metric, *(() if storage == "memory" else (storage,))),
        index=graph,
        in_document=design.is_client,
    )


def _graph(tokens: TokenField, design: Design) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the distance metric and the index of a field whose vectors are searched."""
    retrieval = design.options.token_retrieval
    if retrieval is None:
        return (), ()
    metric = "hamming" if tokens.is_packed else "angular"
    graph = (
        f"hnsw {{ max-links-per-node: {retrieval.max_links} "
        f"neighbors-to-explore-at-insert: {retrieval.neighbors_to_explore} }}"
    )
    return (f"distance-metric: {metric}",), (graph,)


def _fed(design: Design) -> tuple[tuple[str, str], ...]:
    """Return field → the statement that whoever feeds carries out in Vespa's place."""
    statement = f"{design.source} | {design.embed} | attribute"
    return tuple((each.name, statement) for each in design.tokens)


def _names(tokens: TokenField) -> Iterator[str]:
    """Yield the names of a field's rank profiles."""
    for cross in ("", "cross_") if OUTER in tokens.labels else ("",):
        yield f"{MAX_SIM}_{cross}{tokens.suffix}"
        yield f"rerank_{cross}{tokens.suffix}"


def _profiles(tokens: TokenField, design: Design) -> Iterator[RankProfile]:
    """Yield the profiles that rank all matches by MaxSim, and those that rank the best again."""
    options, names = design.options, _names(tokens)
    kinds = [functions(tokens)]
    if OUTER in tokens.labels:
        kinds.append((Function(name=MAX_SIM, expression=_of_labels(tokens, *tokens.labels[::-1])),))
    for kind in kinds:
        shown = tuple(function.name for function in reversed(kind))
        every = RankProfile(
            name=next(names),
            inputs=(Input(name=tokens.query_name, type=tokens.query_type),),
            functions=kind,
            first_phase=MAX_SIM,
            match_features=shown,
        )
        yield every
        yield RankProfile(
            name=next(names),
            inherits=(every.name,),
            first_phase=bm25(options.layout),
            second_phase=Rerank(expression=MAX_SIM, rerank_count=options.rerank_count),
            match_features=(*bm25_features(options.layout), *shown),
            properties=bm25_settings(design),
        )
