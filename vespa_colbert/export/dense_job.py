"""What one export of a dense model works on, and the checks that every file of it passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.dense_facts import DenseCheckpoint
from vespa_colbert.errors import ExportError, GraphMismatchError
from vespa_colbert.export.compare import SEED, SHAPES, CaseResult
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.fusion import FUSED_DOMAIN
from vespa_colbert.export.graph import GraphFacts, GraphWish, check_graph
from vespa_colbert.export.graph_form import GraphForm
from vespa_colbert.export.onnx_session import open_session
from vespa_colbert.export.options import ExportOptions
from vespa_colbert.export.runtimes import Runtime

__all__ = ["TOLERANCE", "DenseJob", "DenseVerdict", "example_inputs"]

TOLERANCE = 1e-5
"""Largest difference of a component, relative to the largest of its batch where that is over 1.
Both sides compute in float32; a wrong weight, mask or axis moves components by 1e-3 or more."""

EXAMPLE = ((2, 9),)

_Case: TypeAlias = tuple[str, NDArray[np.int64], NDArray[np.int64]]
"""Its kind, ids and attention, (batch, token) int64 each."""


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
        cases = tuple(_compare(self)) if self.options.verify else ()
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

    cases = {kind: given for kind, *given in _cases(job, EXAMPLE)}
    return tuple(torch.tensor(each) for each in cases["padded"])


def _cases(job: DenseJob, shapes: tuple[tuple[int, int], ...] = SHAPES) -> Iterator[_Case]:
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
            yield kind, given.astype(np.int64), real.astype(np.int64)


def _compare(job: DenseJob) -> Iterator[CaseResult]:
    """Yield how ONNX Runtime differs from torch, case by case.

    Rows of padding are left out: nothing looks at them.

    Raises:
        GraphMismatchError: If ONNX Runtime fails, or they differ.
    """
    import torch

    try:
        session = open_session(job.path)
    except ExportError as error:
        raise GraphMismatchError(str(error)) from error
    for kind, ids, attention in _cases(job):
        batch, length = ids.shape
        where = f"batch {batch}, length {length}, {kind} attention"
        with torch.no_grad():
            wanted = job.module(torch.tensor(ids), torch.tensor(attention)).numpy()
        try:
            feeds = dict(zip(job.form.inputs, (ids, attention), strict=True))
            (got,) = session.run([job.form.output], feeds)
        except Exception as error:  # its exceptions have no common base of their own
            raise GraphMismatchError(f"{where}: ONNX Runtime fails: {error}") from error
        if wanted.ndim == len(("batch", "token", "width")) and got.shape == wanted.shape:
            got, wanted = (each[attention > 0] for each in (got, wanted))
        yield CaseResult(
            batch=batch, sequence=length, attention=kind, worst=_worst(got, wanted, where)
        )


def _worst(got: NDArray[np.float32], wanted: NDArray[np.float32], where: str) -> float:
    """Return the largest difference of two arrays.

    Raises:
        GraphMismatchError: If it is beyond the tolerance, or they are not of one shape and finite.
    """
    if got.shape != wanted.shape or not np.isfinite(got).all():
        raise GraphMismatchError(
            f"{where}: expected finite values {wanted.shape}, got {got.shape}, "
            f"{int((~np.isfinite(got)).sum())} of them not finite"
        )
    worst = float(np.abs(got - wanted).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    if worst > allowed:
        raise GraphMismatchError(
            f"{where}: expected torch's values within {allowed:.3g}, got a difference of "
            f"{worst:.3g}"
        )
    return worst
