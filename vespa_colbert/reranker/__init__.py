"""A cross-encoder's folder → scores of queries and documents; and what is wrong with a folder."""

from __future__ import annotations

from vespa_colbert.reranker.cache import ScoreCache
from vespa_colbert.reranker.check import Report, check_cross_encoder
from vespa_colbert.reranker.pairs import Sequencing
from vespa_colbert.reranker.records import RerankRecord, summary_record
from vespa_colbert.reranker.remedies import Diagnosis
from vespa_colbert.reranker.reranker import Ranked, Reranker, open_scorer
from vespa_colbert.reranker.scorers import OnnxScorer, PairScorer, TorchScorer

__all__ = [
    "Diagnosis",
    "OnnxScorer",
    "PairScorer",
    "Ranked",
    "Report",
    "RerankRecord",
    "Reranker",
    "ScoreCache",
    "Sequencing",
    "TorchScorer",
    "check_cross_encoder",
    "open_scorer",
    "summary_record",
]
