"""One vector for a whole text, beside those of its tokens: found by a graph, ranked by closeness.

A document of several texts has one for each and is as close as the closest of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.faults import named
from vespa_colbert.app.field import Field
from vespa_colbert.app.options import DenseVectors
from vespa_colbert.app.profile import Input, RankProfile
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.tokens import COMPONENTS_A_CELL, OUTER
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["CLOSENESS", "asked_dense", "dense", "dense_faults", "dense_input", "dense_match"]

FIELD = "dense"
QUERY = "q_dense"
CLOSENESS = f"closeness(field,{FIELD})"


def dense(design: Design) -> Part:
    """Return the field ``dense``, its embedder and the rank profile ``dense``, if there are any."""
    if (vectors := design.options.dense) is None:
        return Part()
    profile = RankProfile(
        name="dense",
        inputs=(dense_input(vectors),),
        first_phase=CLOSENESS,
        match_features=(CLOSENESS,),
    )
    query = design.query(
        profile=profile.name, where=dense_match(vectors), inputs=(asked_dense(vectors),)
    )
    return Part(
        fields=(_field(vectors, design),),
        profiles=(profile,),
        components=(vectors.embedder,),
        queries=(query,),
    )


def dense_input(vectors: DenseVectors) -> Input:
    """Return the input that holds the query's vector."""
    return Input(name=QUERY, type=TensorType(vectors.cell_type, (_width(vectors),)))


def asked_dense(vectors: DenseVectors) -> tuple[str, str]:
    """Return the input that holds the query's vector, and what Vespa is to fill it by."""
    return QUERY, f"embed({vectors.embedder.name}, @text)"


def dense_match(vectors: DenseVectors) -> str:
    """Return the condition that finds the nearest documents."""
    return f"({{targetHits:{vectors.target_hits}}}nearestNeighbor({FIELD}, {QUERY}))"


def dense_faults(design: Design) -> Iterator[str]:
    """Yield why Vespa could not have the vectors."""
    if (vectors := design.options.dense) is None:
        return
    yield from named("dense", *vectors.embedder.faults())
    numbers = vectors.max_links, vectors.neighbors_to_explore, vectors.target_hits
    if min(numbers) < 1:
        yield f"dense: expected numbers of 1 or more, got {numbers}"
    most = vectors.embedder.facts.dim
    if not 0 <= vectors.dim <= most:
        yield f"dense: expected a dim from 1 to the model's {most}, or 0 for all, got {vectors.dim}"
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
    if vectors.embedder.facts.normalize:
        return "prenormalized-angular"
    return "angular" if vectors.embedder.facts.similarity == "cosine" else "dotproduct"


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
    return Field(
        name=FIELD,
        type=str(TensorType(vectors.cell_type, (*labels, _width(vectors)))),
        indexing=(f"{design.source} | embed {vectors.embedder.name}{outer} | {stored}",),
        attribute=(f"distance-metric: {_metric(vectors)}",),
        index=(graph,) if has_graph else (),
        in_document=False,
    )
