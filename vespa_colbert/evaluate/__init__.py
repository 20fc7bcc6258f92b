"""Runs and measures: how good a ranking is against judgements."""

from __future__ import annotations

from vespa_colbert.evaluate.measures import Evaluated, evaluate_run

__all__ = ["Evaluated", "evaluate_run"]
