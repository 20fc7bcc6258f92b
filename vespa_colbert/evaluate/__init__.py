"""Collections, runs and measures: how good rankings are, and whether they differ by chance."""

from __future__ import annotations

from vespa_colbert.evaluate.derived_index import derive_index, document_texts
from vespa_colbert.evaluate.evaluation import (
    Difference,
    Evaluation,
    EvaluationOptions,
    Row,
    compare_systems,
    differences_to,
)
from vespa_colbert.evaluate.judged import (
    CollectionFiles,
    JudgedCollection,
    beir_files,
    read_judged,
)
from vespa_colbert.evaluate.losers import JudgedDocument, Loser
from vespa_colbert.evaluate.measures import Evaluated, cutoff, evaluate_run, parse_measures
from vespa_colbert.evaluate.page import evaluation_page
from vespa_colbert.evaluate.run_file import Run, read_run
from vespa_colbert.evaluate.significance import Sampling
from vespa_colbert.evaluate.stored_vectors import (
    StoredVectors,
    missing_texts,
    open_vectors,
    store_vectors,
)
from vespa_colbert.evaluate.systems import StoredField, System

__all__ = [
    "CollectionFiles",
    "Difference",
    "Evaluated",
    "Evaluation",
    "EvaluationOptions",
    "JudgedCollection",
    "JudgedDocument",
    "Loser",
    "Row",
    "Run",
    "Sampling",
    "StoredField",
    "StoredVectors",
    "System",
    "beir_files",
    "compare_systems",
    "cutoff",
    "derive_index",
    "differences_to",
    "document_texts",
    "evaluate_run",
    "evaluation_page",
    "missing_texts",
    "open_vectors",
    "parse_measures",
    "read_judged",
    "read_run",
    "store_vectors",
]
