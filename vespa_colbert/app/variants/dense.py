"""One vector for a whole text, beside those of its tokens: found by a graph, ranked by closeness.

A document of several texts has one for each and is as close as the closest of them. Whoever feeds
and asks sends them where no component of the package makes them.
"""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.faults import named
from vespa_colbert.app.field import Field
from vespa_colbert.app.options import DenseVectors
from vespa_colbert.app.profile import Function, Input, RankProfile
from vespa_colbert.app.texts import split_features
from vespa_colbert.app.variants.part import SENT, Design, Part
from vespa_colbert.app.variants.tokens import COMPONENTS_A_CELL, OUTER
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = [
    "CLOSENESS",
    "asked_dense",
    "cosine",
    "dense",
    "dense_faults",
    "dense_input",
    "dense_match",
]

FIELD = "dense"
QUERY = "q_dense"
CLOSENESS = f"closeness(field, {FIELD})"
SIMILARITY = "dense_similarity"


def dense(design: Design) -> Part:
    """Return the field ``dense``, its embedder and the rank profile ``dense``, if there are any."""
    if (vectors := design.options.dense) is None:
        return Part()
    profile = RankProfile(
        name="dense",
        inputs=(dense_input(vectors),),
        first_phase=CLOSENESS,
        match_features=split_features(CLOSENESS),
    )
    query = design.query(
        profile=profile.name, where=dense_match(vectors), inputs=(asked_dense(vectors),)
    )
    return Part(
        fields=(_field(vectors, design),),
        profiles=(profile,),
        components=() if vectors.embedder is None else (vectors.embedder,),
        queries=(query,),
        fed=((FIELD, SENT),) if vectors.embedder is None else (),
    )


def dense_input(vectors: DenseVectors) -> Input:
    """Return the input that holds the query's vector."""
    return Input(name=QUERY, type=TensorType(vectors.cell_type, (_width(vectors),)))


def asked_dense(vectors: DenseVectors) -> tuple[str, str]:
    """Return the input that holds the query's vector, and what Vespa is to fill it by, if it is."""
    embedder = vectors.embedder
    return QUERY, SENT if embedder is None else f"embed({embedder.name}, @text)"


def cosine(name: str, design: Design) -> tuple[Function, ...]:
    """Return the functions that compute the cosine of the angle; the last one is the score.

    It is 0 without a vector, of which the cosine is no number.

    Args:
        name: Name of the last one.
        design: Says whether a document has several; the best of them counts.
    """
    similarity = f"cosine_similarity(query({QUERY}), attribute({FIELD}), x)"
    if design.options.layout != "passage":
        similarity = f"reduce({similarity}, max, {OUTER})"
    return (
        Function(name=SIMILARITY, expression=similarity),
        Function(name=name, expression=f"if(isNan({SIMILARITY}), 0, {SIMILARITY})"),
    )


def dense_match(vectors: DenseVectors) -> str:
    """Return the condition that finds the nearest documents."""
    return f"({{targetHits:{vectors.target_hits}}}nearestNeighbor({FIELD}, {QUERY}))"


def dense_faults(design: Design) -> Iterator[str]:
    """Yield why Vespa could not have the vectors."""
    if (vectors := design.options.dense) is None:
        return
    numbers = vectors.max_links, vectors.neighbors_to_explore, vectors.target_hits
    if min(numbers) < 1:
        yield f"dense: expected numbers of 1 or more, got {numbers}"
    if (embedder := vectors.embedder) is None:
        if vectors.dim < 1:
            yield f"dense: expected the dim of the vectors that are sent, got {vectors.dim}"
    else:
        yield from named("dense", *embedder.faults())
        most = embedder.facts.dim
        if not 0 <= vectors.dim <= most:
            expected = f"a dim from 1 to the model's {most}, or 0 for all"
            yield f"dense: expected {expected}, got {vectors.dim}"
    if vectors.cell_type not in COMPONENTS_A_CELL:
        yield f"dense: cell type: expected float, bfloat16 or int8, got {vectors.cell_type}"
    elif vectors.stored % COMPONENTS_A_CELL[vectors.cell_type]:
        yield f"dense: cell type int8 needs a dim divisible by 8, got {vectors.stored}"


def _width(vectors: DenseVectors) -> Dimension:
    return Dimension("x", vectors.stored // COMPONENTS_A_CELL[vectors.cell_type])


def _metric(vectors: DenseVectors) -> str:
    """Return how vectors are compared.

    Vectors of length 1 are compared by their angle without dividing by lengths. Bits are compared
    by how many differ.
    """
    if vectors.cell_type is CellType.INT8:
        return "hamming"
    embedder = vectors.embedder
    if embedder is not None and embedder.facts.normalize:
        return "prenormalized-angular"
    similarity = vectors.similarity if embedder is None else embedder.facts.similarity
    return "angular" if similarity == "cosine" else "dotproduct"


def _field(vectors: DenseVectors, design: Design) -> Field:
    """Return the field that holds a document's vectors; streaming mode has no graph."""
    is_single = design.options.layout == "passage"
    labels = () if is_single else (Dimension(OUTER),)
    has_graph = design.options.mode == "index"
    graph = (
        f"hnsw {{ max-links-per-node: {vectors.max_links} "
        f"neighbors-to-explore-at-insert: {vectors.neighbors_to_explore} }}"
    )
    stored = "attribute | index" if has_graph else "attribute"
    outer = "" if is_single else f" {OUTER}"
    embedder = vectors.embedder
    made = "" if embedder is None else f"{design.source} | embed {embedder.name}{outer} | "
    return Field(
        name=FIELD,
        type=str(TensorType(vectors.cell_type, (*labels, _width(vectors)))),
        indexing=(f"{made}{stored}",),
        attribute=(f"distance-metric: {_metric(vectors)}",),
        index=(graph,) if has_graph else (),
        in_document=embedder is None,
    )
