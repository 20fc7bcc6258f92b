"""The stages in a row: each step says what it made, or that what stood there is still valid."""

from __future__ import annotations

from vespa_colbert.pipeline.corpus import embed_corpus
from vespa_colbert.pipeline.export import export_model
from vespa_colbert.pipeline.feed import FeedOptions, feed_corpus, open_feed
from vespa_colbert.pipeline.prove import ProofOptions, prove
from vespa_colbert.pipeline.query import QueryOptions, query_body
from vespa_colbert.pipeline.reporter import Made, Reporter, Silent
from vespa_colbert.pipeline.search import Searcher, only_schema

__all__ = [
    "FeedOptions",
    "Made",
    "ProofOptions",
    "QueryOptions",
    "Reporter",
    "Searcher",
    "Silent",
    "embed_corpus",
    "export_model",
    "feed_corpus",
    "only_schema",
    "open_feed",
    "prove",
    "query_body",
]
