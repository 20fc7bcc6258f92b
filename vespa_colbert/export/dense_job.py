"""What one export of a dense model works on, and the checks that every file of it passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vespa_colbert.checkpoint.dense_facts import DenseCheckpoint
from vespa_colbert.export.compare import SEED, SHAPES, CaseResult, OutputCase, compare_outputs
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.fusion import FUSED_DOMAIN
from vespa_colbert.export.graph import GraphFacts, GraphWish, check_graph
from vespa_colbert.export.graph_form import GraphForm
from vespa_colbert.export.options import ExportOptions
from vespa_colbert.export.runtimes import Runtime

__all__ = ["DenseJob", "DenseVerdict", "example_inputs"]

EXAMPLE = ((2, 9),)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseVerdict:
    """A graph that passed every check that was wanted.

    Attributes:
        exporter: Which one wrote it.
        facts: Its names, axes and versions.
        cases: How it compared with torch; empty if not compared.
        fused: ONNX Runtime's operator → how many of it, where fusion was asked for.
        loss: What the dtype lost, and how it was measured; None in float32.
    """

    exporter: str
    facts: GraphFacts
    cases: tuple[CaseResult, ...]
    fused: Mapping[str, int] = field(default_factory=dict)
    loss: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseJob:
    """What one export works on.

    Attributes:
        checkpoint: What to convert.
        options: How.
        spec: What Vespa's embedder is told.
        form: Names and axes of the graph.
        module: The model in torch.
        runtime: What must load the model.
        path: The ONNX file to write.
        tokenizer: Text of the tokenizer file.
        tell: Hears what is being done.
    """

    checkpoint: DenseCheckpoint
    options: ExportOptions
    spec: DenseSpec
    form: GraphForm
    module: Any
    runtime: Runtime
    path: Path
    tokenizer: str
    tell: Callable[[str], None]

    def check(self, exporter: str, *, fused: bool = False) -> DenseVerdict:
        """Return the facts of the file as it is now, and how it compares with torch.

        Args:
            exporter: Which one wrote it.
            fused: Whether it may have ONNX Runtime's own operators.

        Raises:
            GraphMismatchError: If it is not as wanted, or differs.
        """
        facts = self.facts(fused=fused)
        self.tell("comparing ONNX Runtime with torch")
        compared = compare_outputs(self.path, self.module, self.form.output, _cases(self))
        cases = tuple(compared) if self.options.verify else ()
        return DenseVerdict(exporter=exporter, facts=facts, cases=cases)

    def facts(self, *, fused: bool = False) -> GraphFacts:
        """Return the facts of the file as it is now.

        Raises:
            GraphMismatchError: If it is not as wanted.
        """
        domains = frozenset({FUSED_DOMAIN} if fused else ())
        wish = GraphWish(
            form=self.form, opset=self.options.opset, runtime=self.runtime, domains=domains
        )
        return check_graph(self.path, wish)


def example_inputs(job: DenseJob) -> tuple[Any, ...]:
    """Return ids and attention as two tensors of their own, some attention 0."""
    import torch

    cases = dict(_cases(job, EXAMPLE))
    return tuple(torch.tensor(each) for each in cases["padded"].values())


def _cases(job: DenseJob, shapes: tuple[tuple[int, int], ...] = SHAPES) -> Iterator[OutputCase]:
    """Yield texts of random tokens; those of a padded batch have different lengths."""
    read = job.checkpoint
    generator = np.random.default_rng(SEED)
    for batch, length in dict.fromkeys((b, min(size, read.max_tokens)) for b, size in shapes):
        place = np.arange(length)[None, :]
        ids = generator.integers(0, read.encoder.vocabulary_size, (batch, length), dtype=np.int64)
        for kind, shorter in (("full", 0), ("padded", 1)):
            cut = shorter * (np.arange(batch)[:, None] + 1) * max(1, length // 8)
            kept = np.maximum(min(3, length), length - cut)
            real = place < kept
            given = np.where(real, ids, read.pad_id)
            for token, column in ((read.tokenizer.start_id, 0), (read.tokenizer.end_id, -1)):
                if token is not None:
                    given[np.arange(batch), (kept[:, 0] - 1) * (column == -1)] = token
            arrays = (given.astype(np.int64), real.astype(np.int64))
            yield kind, dict(zip(job.form.inputs, arrays, strict=True))
