"""What tells whether a model has become better: the loss on held-out rows, or a caller's measure.

Imports torch; nothing imports it eagerly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253 - computes with tensors; `train` imports it when it runs

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.export.treatment import Treatment
from vespa_colbert.model.contextual import ContextualEncoder
from vespa_colbert.train.batches import epoch_batches
from vespa_colbert.train.encode import EncodedTexts, HiddenRows, hidden_rows, precision_of
from vespa_colbert.train.rows import TrainingData
from vespa_colbert.train.settings import TrainingOptions
from vespa_colbert.train.step import Sides, loss_of
from vespa_colbert.train.windows import window_table

__all__ = ["HELD_OUT_LOSS", "Measure", "TextVectors", "held_out_loss"]

HELD_OUT_LOSS = "held-out loss"
AT_ONCE = 16
"""Texts that are embedded together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number that a run is judged by.

    Attributes:
        name: What log and picture call it.
        value: The model as it is → the number.
        higher_is_better: Whether more is better.
    """

    name: str
    value: Callable[[TextVectors], float]
    higher_is_better: bool = True

    def improves(self, value: float, best: float | None) -> bool:
        """Return whether a value is better than the best before it."""
        if best is None:
            return True
        return value > best if self.higher_is_better else value < best


class TextVectors:
    """A model in training, asked for the token vectors that score, as evaluation would have them.

    Where the encoder is frozen, its rows of texts that are asked for again are kept.
    """

    def __init__(
        self, module: ContextualEncoder, treatment: Treatment, options: TrainingOptions, device: str
    ) -> None:
        """Take the model.

        Args:
            module: On its device.
            treatment: What the training library makes of texts.
            options: Of the run.
            device: Where the module is.
        """
        self.treatment = treatment
        self._module, self._options, self._device = module, options, device
        self._kept: dict[tuple[bool, tuple[str, ...]], HiddenRows] = {}

    def queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return the token vectors of queries that score, (row, dim) float32 each."""
        return self._vectors(tuple(texts), is_query=True)

    def documents(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return the token vectors of documents that score, (row, dim) float32 each."""
        return self._vectors(tuple(texts), is_query=False)

    def _vectors(self, texts: tuple[str, ...], *, is_query: bool) -> list[TokenVectors]:
        source = self._source(texts, is_query=is_query)
        found: list[TokenVectors] = []
        was_training = self._module.training
        self._module.eval()
        with torch.no_grad():
            for first in range(0, len(texts), AT_ONCE):
                padded = source(np.arange(first, min(first + AT_ONCE, len(texts))))
                vectors = padded.vectors.float().cpu().numpy()
                mask = padded.mask.cpu().numpy()
                found += [row[scored] for row, scored in zip(vectors, mask, strict=True)]
        self._module.train(was_training)
        return found

    def _source(self, texts: tuple[str, ...], *, is_query: bool) -> EncodedTexts | HiddenRows:
        """Return where the vectors of texts come from."""
        key = (is_query, texts)
        if key in self._kept:
            return self._kept[key]
        window = self.treatment.query_window if is_query else self.treatment.document_window
        windows = window_table(texts, window, self.treatment.checkpoint.pad_id)
        size = int(windows.scored.sum()) * int(self._module.encoder.config.hidden_size) * 4
        if self._options.with_encoder or size > self._options.memory_bytes:
            return EncodedTexts(self._module, windows, self._device, at_once=0)
        self._kept[key] = hidden_rows(self._module, windows, self._options)
        return self._kept[key]


def held_out_loss(
    module: ContextualEncoder,
    sides: Sides,
    data: TrainingData,
    options: TrainingOptions,
    device: str,
) -> float:
    """Return the mean loss over the examples of held-out rows, in the same batches every time.

    Args:
        module: On its device.
        sides: Where the vectors of the rows' texts come from.
        data: The rows.
        options: Of the run.
        device: Where the module is.

    Raises:
        ArrayError: If a batch lacks what the loss needs.
    """
    total = count = 0.0
    was_training = module.training
    module.eval()
    with torch.no_grad(), precision_of(device, options.precision):
        for batch in epoch_batches(data, options.batch, 0):
            total += float(loss_of(sides, batch, options.loss)) * len(batch.queries)
            count += len(batch.queries)
    module.train(was_training)
    return total / count
