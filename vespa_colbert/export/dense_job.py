"""What the export of a dense model works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vespa_colbert.checkpoint.dense_facts import DenseCheckpoint
from vespa_colbert.export.compare import SEED, SHAPES, CaseResult, OutputCase, compare_outputs
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.graph_form import INPUT_AXES, INPUT_NAMES, GraphForm
from vespa_colbert.export.graph_job import GraphJob

__all__ = ["DenseJob"]

EXAMPLE = ((2, 9),)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseJob(GraphJob):
    """What one export works on.

    Attributes:
        spec: What Vespa's embedder is told.
        tokenizer: Text of the tokenizer file.
    """

    checkpoint: DenseCheckpoint
    spec: DenseSpec
    tokenizer: str

    @property
    def form(self) -> GraphForm:
        """Names and axes of the graph: a row for each token, or one vector a text."""
        width = self.checkpoint.encoder.hidden_size
        is_pooled = self.spec.pooling == "none"
        axes = ("batch", self.spec.dim) if is_pooled else (*INPUT_AXES, width)
        return GraphForm(inputs=INPUT_NAMES, output=self.spec.output, axes=axes)

    def examples(self) -> tuple[Any, ...]:
        """Return ids and attention as two tensors of their own, some attention 0."""
        import torch

        cases = dict(_cases(self, EXAMPLE))
        return tuple(torch.tensor(each) for each in cases["padded"].values())

    def compared(self, tolerance: float) -> Iterator[CaseResult]:
        """Return how the file as it is now compares with torch; see ``GraphJob``."""
        return compare_outputs(
            self.path, self.module, self.form.output, _cases(self), tolerance=tolerance
        )


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
