"""The stages in a row: each step says what it made, or that what stood there is still valid."""

from __future__ import annotations

from vespa_colbert.pipeline.coded_contenders import ResidualStorage, coded_contenders
from vespa_colbert.pipeline.contender import Contender
from vespa_colbert.pipeline.corpus import (
    Embedded,
    EmbedRequest,
    append_corpus,
    embed_corpus,
)
from vespa_colbert.pipeline.distil import DistilOptions
from vespa_colbert.pipeline.evaluate import evaluate_applications
from vespa_colbert.pipeline.export import KINDS, export_any, export_model
from vespa_colbert.pipeline.export_kinds import ExportKind, ExportRequest
from vespa_colbert.pipeline.feed import FeedOptions, check_corpus, feed_corpus, open_feed
from vespa_colbert.pipeline.head import HeadRequest, HeadWritten, make_head
from vespa_colbert.pipeline.judged_measure import JudgedOptions
from vespa_colbert.pipeline.mine import (
    Mined,
    bm25_search,
    document_text,
    mine_collection,
    profile_search,
)
from vespa_colbert.pipeline.prove import ProofOptions, prove
from vespa_colbert.pipeline.query import QueryOptions, package_name, query_body, sent_fields
from vespa_colbert.pipeline.ray_engine import embed_with_ray
from vespa_colbert.pipeline.reporter import Made, Reporter, Silent
from vespa_colbert.pipeline.search import Searcher, only_schema
from vespa_colbert.pipeline.shards import Shard, ShardEmbedded, embed
from vespa_colbert.pipeline.survey import corpus_file
from vespa_colbert.pipeline.train import TrainedModel, TrainingRequest, train_model

__all__ = [
    "KINDS",
    "Contender",
    "DistilOptions",
    "EmbedRequest",
    "Embedded",
    "ExportKind",
    "ExportRequest",
    "FeedOptions",
    "HeadRequest",
    "HeadWritten",
    "JudgedOptions",
    "Made",
    "Mined",
    "ProofOptions",
    "QueryOptions",
    "Reporter",
    "ResidualStorage",
    "Searcher",
    "Shard",
    "ShardEmbedded",
    "Silent",
    "TrainedModel",
    "TrainingRequest",
    "append_corpus",
    "bm25_search",
    "check_corpus",
    "coded_contenders",
    "corpus_file",
    "document_text",
    "embed",
    "embed_corpus",
    "embed_with_ray",
    "evaluate_applications",
    "export_any",
    "export_model",
    "feed_corpus",
    "make_head",
    "mine_collection",
    "only_schema",
    "open_feed",
    "package_name",
    "profile_search",
    "prove",
    "query_body",
    "sent_fields",
    "train_model",
]
