"""What tells whether a model has become better: the loss on held-out rows, or a caller's measure.

Imports torch; nothing imports it eagerly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from vespa_colbert.train.windows import WindowTable, window_table

__all__ = ["HELD_OUT_LOSS", "Measure", "TextVectors", "held_out_loss"]

HELD_OUT_LOSS = "held-out loss"
AT_ONCE = 16
"""Texts that are embedded together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number that a run is judged by.

    Attributes:
        name: What log and picture call it.
        value: The model as it is → the number, or several by their names, of which the one that is
            called ``name`` judges and the others are logged beside it.
        higher_is_better: Whether more is better.
        at_start: Whether it is asked before the first step too: what the training gained is known
            then, and weights that no step has made better are those that stay.
        digest: Stands for what it is measured on; a run does not go on with another one.
        prepare: Called once before the steps, for what is done once.
    """

    name: str
    value: Callable[[TextVectors], float | Mapping[str, float]]
    higher_is_better: bool = True
    at_start: bool = False
    digest: str = ""
    prepare: Callable[[TextVectors], None] = lambda _vectors: None

    def improves(self, value: float, best: float | None) -> bool:
        """Return whether a value is better than the best before it."""
        if best is None:
            return True
        return value > best if self.higher_is_better else value < best

    def values(self, vectors: TextVectors) -> dict[str, float]:
        """Return name → number of the model as it is; the one that judges is among them."""
        found = self.value(vectors)
        return dict(found) if isinstance(found, Mapping) else {self.name: float(found)}


class TextVectors:
    """A model in training, asked for the token vectors that score, as evaluation would have them.

    Where the encoder is frozen, its rows of texts that are asked for again are kept.
    """

    def __init__(
        self,
        module: ContextualEncoder,
        treatment: Treatment,
        options: TrainingOptions,
        device: str,
        cache: Callable[[WindowTable], Path] | None = None,
    ) -> None:
        """Take the model.

        Args:
            module: On its device.
            treatment: What the training library makes of texts.
            options: Of the run.
            device: Where the module is.
            cache: Windows → the file for an encoder's rows that are too many for memory; None for
                none, so that they are made again each time.
        """
        self.treatment = treatment
        self._module, self._options, self._device = module, options, device
        self._cache = cache
        self._kept: dict[tuple[bool, tuple[str, ...]], HiddenRows] = {}

    def queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return the token vectors of queries that score, (row, dim) float32 each."""
        return self._vectors(tuple(texts), is_query=True)

    def documents(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return the token vectors of documents that score, (row, dim) float32 each."""
        return self._vectors(tuple(texts), is_query=False)

    def document_parts(self, texts: Sequence[str]) -> Iterator[list[TokenVectors]]:
        """Yield the same a few documents at a time, so that not all vectors are held at once."""
        yield from self._parts(tuple(texts), is_query=False)

    def prepare(
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda _done: None
    ) -> None:
        """Make the rows of documents that will be asked for, where they are kept.

        Args:
            texts: Of the documents.
            progress: Called with the number of documents done.
        """
        self._source(tuple(texts), is_query=False, progress=progress)

    def _vectors(self, texts: tuple[str, ...], *, is_query: bool) -> list[TokenVectors]:
        return [each for part in self._parts(texts, is_query=is_query) for each in part]

    def _parts(self, texts: tuple[str, ...], *, is_query: bool) -> Iterator[list[TokenVectors]]:
        source = self._source(texts, is_query=is_query)
        was_training = self._module.training
        self._module.eval()
        try:
            for first in range(0, len(texts), AT_ONCE):
                with torch.no_grad():
                    padded = source(np.arange(first, min(first + AT_ONCE, len(texts))))
                vectors = padded.vectors.float().cpu().numpy()
                mask = padded.mask.cpu().numpy()
                yield [row[scored] for row, scored in zip(vectors, mask, strict=True)]
        finally:
            self._module.train(was_training)

    def _source(
        self,
        texts: tuple[str, ...],
        *,
        is_query: bool,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> EncodedTexts | HiddenRows:
        """Return where the vectors of texts come from."""
        key = (is_query, texts)
        if key in self._kept:
            return self._kept[key]
        window = self.treatment.query_window if is_query else self.treatment.document_window
        windows = window_table(texts, window, self.treatment.checkpoint.pad_id)
        size = int(windows.scored.sum()) * int(self._module.encoder.config.hidden_size) * 4
        cache = None
        if size > self._options.memory_bytes and size <= self._options.disk_bytes and self._cache:
            cache = self._cache(windows)
        if self._options.with_encoder or (size > self._options.memory_bytes and cache is None):
            return EncodedTexts(self._module, windows, self._device, at_once=0)
        self._kept[key] = hidden_rows(self._module, windows, self._options, cache, progress)
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
