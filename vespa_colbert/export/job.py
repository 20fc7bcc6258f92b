"""What one export works on, and the checks that every file of it passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.export.compare import TOLERANCE, CaseResult, compare_with_torch
from vespa_colbert.export.convert import Module
from vespa_colbert.export.fusion import FUSED_DOMAIN
from vespa_colbert.export.graph import GraphFacts, GraphWish, check_graph
from vespa_colbert.export.graph_form import token_rows
from vespa_colbert.export.model_folder import EmbedderSpec
from vespa_colbert.export.options import ExportOptions
from vespa_colbert.export.packaging import PackagingChoice
from vespa_colbert.export.runtimes import Runtime

__all__ = ["CheckedGraph", "Job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one export works on.

    Attributes:
        checkpoint: What to convert.
        options: How.
        choice: How it is packaged.
        spec: What Vespa's embedder is told.
        module: The checkpoint in torch, so packaged.
        tokenizer: Text of the tokenizer file.
        runtime: What must load the model.
        path: The ONNX file to write.
        tell: Hears what is being done.
    """

    checkpoint: Checkpoint
    options: ExportOptions
    choice: PackagingChoice
    spec: EmbedderSpec
    module: Module
    tokenizer: str
    runtime: Runtime
    path: Path
    tell: Callable[[str], None]

    def check(self, *, fused: bool = False) -> GraphFacts:
        """Return the facts of the file as it is now.

        Args:
            fused: Whether it may have ONNX Runtime's own operators.

        Raises:
            GraphMismatchError: If it is not as wanted.
        """
        self.tell("checking the graph")
        wish = GraphWish(
            form=token_rows(self.spec.dim),
            opset=self.options.opset,
            runtime=self.runtime,
            domains=frozenset({FUSED_DOMAIN} if fused else ()),
        )
        return check_graph(self.path, wish)

    def compare(self, *, tolerance: float = TOLERANCE) -> tuple[CaseResult, ...]:
        """Return how the file as it is now compares with torch; nothing if that is not wanted.

        Raises:
            GraphMismatchError: If it differs.
        """
        if not self.options.verify:
            return ()
        self.tell("comparing ONNX Runtime with torch")
        return compare_with_torch(
            self.path, self.module, self.checkpoint, self.spec, tolerance=tolerance
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedGraph:
    """A graph that passed every check that was wanted.

    Attributes:
        exporter: Which one wrote it.
        facts: Its names, axes and versions.
        cases: How it compared with torch, before a change of the dtype; empty if not compared.
        refused: Exporter tried before → why its graph was not taken.
        fused: ONNX Runtime's operator → how many of it, where fusion was asked for.
        loss: What the dtype lost, and how it was measured; None in float32.
    """

    exporter: str
    facts: GraphFacts
    cases: tuple[CaseResult, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    fused: Mapping[str, int] = field(default_factory=dict)
    loss: Mapping[str, Any] | None = None
