"""Documents as Vespa's own indexing makes them, and requests as its container reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vespa_colbert.app import Schema, read_application
from vespa_colbert.pipeline.onnx_models import open_onnx
from vespa_colbert.rank import Documents, NearestNeighbor, Ranker, RankQuery
from vespa_colbert.rank.documents import field_tensors
from vespa_colbert.vespa_java import JavaHit, NodeHit, VespaJava

__all__ = ["TEXTS", "asked", "indexed", "ranker_of", "reranked"]

TEXTS: tuple[dict[str, Any], ...] = (
    {"title": "Rose", "text": "A rose is a rose is a rose. What is a red rose?"},
    {"title": "Fox", "text": "The quick brown fox jumps over the lazy dog, and the dog cares not."},
    {"title": "Vespa", "text": "Vespa ranks documents: it sums the maxima of dot products. green"},
    {"text": "Pack my box with five dozen liquor jugs; how vexingly quick daft zebras jump! " * 3},
    {"title": "Gutenberg", "text": "In 1450 Gutenberg printed with movable type: 42 lines a page."},
    {"title": "Paris"},
    {},
)


def indexed(java: VespaJava, app: Path, texts: Sequence[Mapping[str, Any]] = TEXTS) -> Documents:
    """Return the documents that Vespa's indexing makes of some texts."""
    schema = read_application(app).schema()
    puts = [
        {"put": f"id:passages:passage::{place}", "fields": dict(each)}
        for place, each in enumerate(texts)
    ]
    made = java.index_documents(app, puts)
    tensors = {
        each.name: field_tensors(kind, [fields.get(each.name) for fields in made])
        for each in schema.fields
        if (kind := each.tensor_type) is not None
    }
    names = {name for each in texts for name in each}
    return Documents(
        ids=[str(place) for place in range(len(texts))],
        tensors=tensors,
        values={name: [each.get(name) for each in texts] for name in names},
        where="Vespa's indexing",
    )


def asked(java: VespaJava, app: Path, profile: str, text: str) -> RankQuery:
    """Return the question that the container makes of a text with a query profile of the package.

    The YQL's nearestNeighbor is told by its words.
    """
    query = java.read_query(app, {"queryProfile": profile, "text": text})
    assert query.profile == profile
    tensors = {name[len("query(") : -1]: tensor for name, tensor in query.inputs.items()}
    near = "nearestNeighbor(dense, q_dense)" in query.yql
    return RankQuery(
        text=text,
        tensors=tensors,
        nearest=(NearestNeighbor(field="dense", tensor="q_dense"),) if near else (),
    )


def ranker_of(app: Path, profile: str, documents: Documents) -> Ranker:
    return Ranker.from_application(app, profile, documents, open_onnx=open_onnx)


def reranked(java: VespaJava, app: Path, ranker: Ranker, query: RankQuery) -> list[JavaHit]:
    """Return what the container's global phase makes of the hits that the ranker's node sends."""
    schema: Schema = ranker.schema
    profile = ranker.profile.name
    features = java.global_phase_features(app, schema.name, profile)
    hits = ranker.rank_on_node(query, features, hits=len(ranker.documents))
    sent = [
        NodeHit(id=hit.id, relevance=hit.relevance, match_features=hit.match_features)
        for hit in hits
    ]
    inputs = {f"query({name})": tensor for name, tensor in query.tensors.items()}
    return java.rerank(app, schema.name, profile, sent, inputs)
