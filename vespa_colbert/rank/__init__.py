"""Rank profiles evaluated in numpy: the reference ranker has no formula of its own."""

from __future__ import annotations

from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.parser import parse_expression
from vespa_colbert.rank.profile import Hit, Ranker, RankQuery

__all__ = ["Evaluation", "Hit", "RankQuery", "Ranker", "parse_expression"]
