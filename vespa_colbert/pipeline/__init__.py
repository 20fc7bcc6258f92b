"""The stages in a row: each step says what it made, or that what stood there is still valid."""

from __future__ import annotations

from vespa_colbert.pipeline.corpus import embed_corpus
from vespa_colbert.pipeline.evaluate import Contender, evaluate_applications
from vespa_colbert.pipeline.export import export_model
from vespa_colbert.pipeline.feed import FeedOptions, feed_corpus, open_feed
from vespa_colbert.pipeline.head import HeadRequest, HeadWritten, make_head
from vespa_colbert.pipeline.mine import (
    Mined,
    bm25_search,
    document_text,
    mine_collection,
    profile_search,
)
from vespa_colbert.pipeline.prove import ProofOptions, prove
from vespa_colbert.pipeline.query import QueryOptions, query_body, sent_fields
from vespa_colbert.pipeline.reporter import Made, Reporter, Silent
from vespa_colbert.pipeline.search import Searcher, only_schema
from vespa_colbert.pipeline.train import TrainedModel, TrainingRequest, train_model

__all__ = [
    "Contender",
    "FeedOptions",
    "HeadRequest",
    "HeadWritten",
    "Made",
    "Mined",
    "ProofOptions",
    "QueryOptions",
    "Reporter",
    "Searcher",
    "Silent",
    "TrainedModel",
    "TrainingRequest",
    "bm25_search",
    "document_text",
    "embed_corpus",
    "evaluate_applications",
    "export_model",
    "feed_corpus",
    "make_head",
    "mine_collection",
    "only_schema",
    "open_feed",
    "profile_search",
    "prove",
    "query_body",
    "sent_fields",
    "train_model",
]
