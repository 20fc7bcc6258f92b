"""Token vectors of single passages: MaxSim over all matches, and over the best ones by bm25."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.field import Field
from vespa_colbert.app.profile import Function, Input, RankProfile, Rerank
from vespa_colbert.app.query import Query
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.texts import BM25
from vespa_colbert.app.variants.tokens import TokenField

__all__ = ["MAX_SIM", "max_sim"]

MAX_SIM = "max_sim"


def max_sim(design: Design) -> Part:
    """Return a field and two rank profiles for each kind of token vectors."""
    embed = f"embed({design.embedder.name}, @text)"
    profiles = [profile for each in design.tokens for profile in _profiles(each, design)]
    inputs = {each.suffix: ((each.query_name, embed),) for each in design.tokens}
    queries = (
        Query(profile=f"{kind}_{suffix}", inputs=given)
        for suffix, given in inputs.items()
        for kind in (MAX_SIM, "rerank")
    )
    return Part(
        fields=tuple(_field(each, design) for each in design.tokens),
        profiles=tuple(profiles),
        components=(design.embedder,),
        queries=tuple(queries),
    )


def _field(tokens: TokenField, design: Design) -> Field:
    """Return the field that holds a passage's token vectors."""
    return Field(
        name=tokens.name,
        type=str(tokens.type),
        indexing=(f"{design.source} | embed {design.embedder.name} | attribute",),
        in_document=False,
    )


def _profiles(tokens: TokenField, design: Design) -> Iterator[RankProfile]:
    """Yield the profile that ranks all matches by MaxSim, and one that ranks the best again."""
    query = f"query({tokens.query_name})"
    expression = f"sum(reduce(sum({query} * {tokens.vectors}, x), max, dt), qt)"
    every = RankProfile(
        name=f"{MAX_SIM}_{tokens.suffix}",
        inputs=(Input(name=tokens.query_name, type=tokens.query_type),),
        functions=(Function(name=MAX_SIM, expression=expression),),
        first_phase=MAX_SIM,
        match_features=(MAX_SIM,),
    )
    yield every
    yield RankProfile(
        name=f"rerank_{tokens.suffix}",
        inherits=(every.name,),
        first_phase=BM25,
        second_phase=Rerank(expression=MAX_SIM, rerank_count=design.options.rerank_count),
        match_features=("bm25(title)", "bm25(text)", MAX_SIM),
    )
