"""Documents as Vespa's own indexing makes them, and requests as its container reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vespa_colbert.app import Schema, read_application
from vespa_colbert.pipeline.onnx_models import open_onnx
from vespa_colbert.pipeline.served import indexed_by_vespa, read_by_vespa
from vespa_colbert.rank import Documents, Ranker, RankQuery
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
    documents = indexed_by_vespa(java, app, schema, puts)
    return replace(documents, ids=[str(place) for place in range(len(texts))])


def asked(java: VespaJava, app: Path, profile: str, text: str) -> RankQuery:
    """Return the question that the container makes of a text with a query profile."""
    return read_by_vespa(java, app, {"queryProfile": profile, "text": text}, text)


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
