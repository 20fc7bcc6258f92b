"""What one export works on, whatever the kind of model, and the checks that every file passes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.export.compare import TOLERANCE, CaseResult
from vespa_colbert.export.fusion import FUSED_DOMAIN
from vespa_colbert.export.graph import GraphFacts, GraphWish, check_graph
from vespa_colbert.export.graph_form import GraphForm
from vespa_colbert.export.options import ExportOptions
from vespa_colbert.export.runtimes import Runtime

__all__ = ["CheckedGraph", "GraphJob"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphJob(ABC):
    """What one export works on; each kind of model adds its own.

    Attributes:
        checkpoint: What to convert; it has a path.
        options: How.
        module: The model in torch.
        runtime: What must load the model.
        path: The ONNX file to write, alone in its folder until it is sound.
        tell: Hears what is being done.
    """

    checkpoint: Any
    options: ExportOptions
    module: Any
    runtime: Runtime
    path: Path
    tell: Callable[[str], None]

    @property
    @abstractmethod
    def form(self) -> GraphForm:
        """Names and axes of the graph."""

    @abstractmethod
    def examples(self) -> tuple[Any, ...]:
        """Return an example of each input as tensors of their own, some of the attention 0."""

    @abstractmethod
    def compared(self, tolerance: float) -> Iterable[CaseResult]:
        """Return how the file as it is now compares with torch.

        Args:
            tolerance: Largest difference allowed.

        Raises:
            GraphMismatchError: If it differs.
        """

    def facts(self, *, fused: bool = False) -> GraphFacts:
        """Return the facts of the file as it is now.

        Args:
            fused: Whether it may have ONNX Runtime's own operators.

        Raises:
            GraphMismatchError: If it is not as wanted.
        """
        self.tell("checking the graph")
        wish = GraphWish(
            form=self.form,
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
        return tuple(self.compared(tolerance))

    def check(self, exporter: str) -> CheckedGraph:
        """Return an exporter's graph after every check.

        Raises:
            GraphMismatchError: If it is not as wanted, or differs from torch.
        """
        return CheckedGraph(exporter=exporter, facts=self.facts(), cases=self.compare())
