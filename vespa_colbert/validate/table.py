"""What Vespa lets pass and should not: one table, a row a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vespa_colbert.validate import checks_of_deployment as deployment
from vespa_colbert.validate import checks_of_features as features
from vespa_colbert.validate import checks_of_fields as fields
from vespa_colbert.validate import checks_of_models as models
from vespa_colbert.validate import checks_of_types as types
from vespa_colbert.validate.findings import Fault, Severity
from vespa_colbert.validate.package import Package

__all__ = ["CHECKS", "Check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A row of the table.

    Attributes:
        code: Its name, in words with dashes.
        severity: How bad its findings are.
        find: Yields what it finds.
        said_by_vespa: Part of a warning of Vespa's own that its findings replace.
    """

    code: str
    severity: Severity
    find: Callable[[Package], Iterator[Fault]]
    said_by_vespa: str = ""


ERROR, WARNING, NOT_CHECKED = Severity.ERROR, Severity.WARNING, Severity.NOT_CHECKED
NOT_DECLARED = "not declared and will be interpreted as scalars"

CHECKS = tuple(
    Check(code=code, severity=severity, find=find, said_by_vespa=said)
    for code, severity, find, said in (
        ("unknown-feature", ERROR, features.unknown_features, ""),
        ("unknown-field", ERROR, features.unknown_fields, ""),
        ("bm25-of-no-index", ERROR, features.bm25_of_no_index, ""),
        ("bm25-not-enabled", WARNING, features.bm25_not_enabled, ""),
        ("distance-of-no-vectors", ERROR, features.distance_of_no_vectors, ""),
        ("container-only-feature", ERROR, features.container_only, ""),
        ("tensor-input-not-declared", ERROR, features.tensor_input_not_declared, NOT_DECLARED),
        ("input-not-declared", WARNING, features.value_input_not_declared, NOT_DECLARED),
        ("unused-input", WARNING, features.unused_inputs, ""),
        ("types-do-not-fit", ERROR, types.types_that_do_not_fit, ""),
        ("phase-not-a-number", ERROR, types.phases_not_numbers, ""),
        ("max-sim-dimensions", ERROR, types.max_sim_dimensions, ""),
        ("slow-max-sim", WARNING, types.slow_max_sims, ""),
        ("ambiguous-operators", WARNING, types.ambiguous_operators, ""),
        ("expression-not-read", NOT_CHECKED, types.expressions_not_read, ""),
        ("unfilled-field", ERROR, fields.unfilled_fields, ""),
        ("embedder-not-there", ERROR, fields.embedder_not_there, ""),
        ("vectors-too-narrow", ERROR, fields.vectors_too_narrow, ""),
        ("vectors-cut", WARNING, fields.cut_vectors, ""),
        ("pooled-by-nobody", ERROR, fields.pooled_by_nobody, ""),
        ("int8-query", ERROR, fields.int8_queries, ""),
        (
            "hnsw-in-streaming",
            WARNING,
            fields.hnsw_in_streaming,
            "hnsw index is not relevant and not supported",
        ),
        ("paged-hnsw", WARNING, fields.paged_hnsw, "in combination with HNSW indexing"),
        ("file-damaged", ERROR, models.damaged_files, ""),
        ("model-names", ERROR, models.model_names, ""),
        ("model-input-not-given", ERROR, models.model_input_not_given, ""),
        ("model-outside-weights", ERROR, models.model_outside_weights, ""),
        ("model-not-finite", ERROR, models.model_not_finite, ""),
        ("model-too-new", ERROR, models.model_cannot_load, ""),
        ("model-needs-newer-vespa", WARNING, models.model_needs_newer, ""),
        ("positions-exceeded", ERROR, models.positions_exceeded, ""),
        ("tokenizer-cuts", WARNING, models.tokenizer_cuts, ""),
        ("wrong-token-id", ERROR, models.wrong_token_ids, ""),
        ("element-needs-newer-vespa", WARNING, deployment.element_needs_newer, ""),
        ("rerank-count-per-node", WARNING, deployment.rerank_count_per_node, ""),
        ("one-separator", WARNING, deployment.one_separator, ""),
        ("not-read", NOT_CHECKED, deployment.not_read, ""),
    )
)
"""Every check, in the order in which they are made: what cannot be read is known at the end."""
