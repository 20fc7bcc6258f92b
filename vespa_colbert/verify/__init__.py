"""Parity: two judges compared rung by rung, and a report of it."""

from __future__ import annotations

from vespa_colbert.verify.judges import TextCase
from vespa_colbert.verify.parity import compare_embeddings, compare_results, compare_scores
from vespa_colbert.verify.report import ParityReport, Rung, Verdict

__all__ = [
    "ParityReport",
    "Rung",
    "TextCase",
    "Verdict",
    "compare_embeddings",
    "compare_results",
    "compare_scores",
]
