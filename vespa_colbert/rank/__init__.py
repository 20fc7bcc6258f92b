"""Rank profiles evaluated in numpy: the reference ranker has no formula of its own."""

from __future__ import annotations

from vespa_colbert.rank.document_file import read_documents
from vespa_colbert.rank.documents import Documents
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.hits import Hit
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.profile import Ranker
from vespa_colbert.rank.query import NearestNeighbor, RankQuery

__all__ = [
    "Documents",
    "Evaluation",
    "Hit",
    "NearestNeighbor",
    "RankQuery",
    "Ranker",
    "parse_expression",
    "read_documents",
]
