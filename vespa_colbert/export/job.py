"""What the export of a late-interaction model works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.export.compare import CaseResult, compare_with_torch
from vespa_colbert.export.convert import Module, example_tokens
from vespa_colbert.export.graph_form import GraphForm, token_rows
from vespa_colbert.export.graph_job import GraphJob
from vespa_colbert.export.model_folder import EmbedderSpec
from vespa_colbert.export.packaging import PackagingChoice

__all__ = ["Job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(GraphJob):
    """What one export works on.

    Attributes:
        choice: How it is packaged.
        spec: What Vespa's embedder is told.
        tokenizer: Text of the tokenizer file.
    """

    checkpoint: Checkpoint
    module: Module
    choice: PackagingChoice
    spec: EmbedderSpec
    tokenizer: str

    @property
    def form(self) -> GraphForm:
        """Names and axes of the graph."""
        return token_rows(self.spec.dim)

    def examples(self) -> tuple[Any, ...]:
        """Return ids and attention as two tensors of their own."""
        return example_tokens(self.checkpoint)

    def compared(self, tolerance: float) -> tuple[CaseResult, ...]:
        """Return how the file as it is now compares with torch; see ``GraphJob``."""
        return compare_with_torch(
            self.path, self.module, self.checkpoint, self.spec, tolerance=tolerance
        )
