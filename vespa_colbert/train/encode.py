"""Token vectors of a batch's texts, with a gradient. Imports torch; nothing imports it eagerly.

With a frozen encoder its rows are computed once and kept, in memory or in a file; the head alone
runs on them. With a trained one the texts go through it in parts, and the activations of a part are
computed again for its gradient, so that memory is bounded by the part and not by the batch.

Source: gradient caching of Gao et al., 2021; torch.utils.checkpoint does the recomputation.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch  # noqa: TID253 - computes with tensors; `train` imports it when it runs
from numpy.typing import NDArray
from torch.utils.checkpoint import (  # noqa: TID253 - see above
    checkpoint as recomputed,
)

from vespa_colbert.errors import SpecError
from vespa_colbert.files import atomic_file
from vespa_colbert.model.contextual import ContextualEncoder
from vespa_colbert.train.max_sim import PaddedVectors
from vespa_colbert.train.settings import GIB, Precision, TrainingOptions
from vespa_colbert.train.windows import PaddedWindows, WindowTable

__all__ = [
    "EncodedTexts",
    "HiddenRows",
    "cache_name",
    "encoded_rows",
    "hidden_rows",
    "precision_of",
]

TOKENS_AT_ONCE = 8192
"""Tokens, padding included, that go through a frozen encoder together."""

TYPES = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


def precision_of(device: str, precision: Precision) -> AbstractContextManager[None]:
    """Return the context in which products have a type."""
    kind = TYPES.get(precision)
    context: AbstractContextManager[None] = torch.autocast(
        device, dtype=kind or torch.bfloat16, enabled=kind is not None
    )
    return context


class EncodedTexts:
    """Texts whose vectors a module computes from their windows, encoder and head."""

    def __init__(
        self, module: ContextualEncoder, windows: WindowTable, device: str, at_once: int
    ) -> None:
        """Take what is to be encoded.

        Args:
            module: Encoder and head.
            windows: Of all texts.
            device: Where the module is.
            at_once: Texts whose activations are held together; 0 for all, and kept.
        """
        self._module, self._windows, self._device = module, windows, device
        self._at_once = at_once

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(text,) int64 tokens of each."""
        return self._windows.lengths

    def __call__(self, places: NDArray[np.int64]) -> PaddedVectors:
        """Return the vectors of the texts at some places."""
        if not self._at_once:
            return self._encode(self._windows.padded(places))
        # Texts of like length share a part; their order is put right afterwards.
        order = np.argsort(self._windows.lengths[places], kind="stable")
        parts = [
            self._recomputed(self._windows.padded(places[order[first : first + self._at_once]]))
            for first in range(0, len(order), self._at_once)
        ]
        longest = max(each.mask.shape[1] for each in parts)
        back = torch.from_numpy(np.argsort(order)).to(self._device)
        vectors = torch.cat([_widened(each.vectors, longest) for each in parts])
        mask = torch.cat([_widened(each.mask[..., None], longest)[..., 0] for each in parts])
        return PaddedVectors(vectors=vectors[back], mask=mask[back])

    def _recomputed(self, windows: PaddedWindows) -> PaddedVectors:
        """Return vectors whose activations are not kept, the same draws of dropout in both runs."""
        if not torch.is_grad_enabled():
            return self._encode(windows)
        ids, attention, mask = _tensors(windows, self._device)
        vectors = recomputed(self._module, ids, attention, use_reentrant=False)
        return PaddedVectors(vectors=vectors, mask=mask)

    def _encode(self, windows: PaddedWindows) -> PaddedVectors:
        ids, attention, mask = _tensors(windows, self._device)
        return PaddedVectors(vectors=self._module(ids, attention), mask=mask)


class HiddenRows:
    """Texts whose vectors the head computes from rows of a frozen encoder."""

    def __init__(
        self,
        module: ContextualEncoder,
        rows: NDArray[np.float32],
        counts: NDArray[np.int64],
        device: str,
    ) -> None:
        """Take the rows.

        Args:
            module: Its head is used.
            rows: (row, hidden) float32 of all texts, one behind the other; only those that score.
            counts: (text,) int64 rows of each.
            device: Where the module is.
        """
        self._module, self._rows, self._device = module, rows, device
        self._starts = np.concatenate(([0], np.cumsum(counts)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(text,) int64 rows of each."""
        return np.diff(self._starts)

    def through(self, module: ContextualEncoder) -> HiddenRows:
        """Return the same rows with the head of another module."""
        return HiddenRows(module, self._rows, self.lengths, self._device)

    def __call__(self, places: NDArray[np.int64]) -> PaddedVectors:
        """Return the vectors of the texts at some places."""
        counts = (self._starts[places + 1] - self._starts[places]).tolist()
        longest = max(1, *counts)
        hidden = np.zeros((len(places), longest, self._rows.shape[1]), np.float32)
        for row, (place, count) in enumerate(zip(places, counts, strict=True)):
            start = self._starts[place]
            hidden[row, :count] = self._rows[start : start + count]
        mask = np.arange(longest)[None, :] < np.array(counts)[:, None]
        given = torch.from_numpy(hidden).to(self._device)
        return PaddedVectors(
            vectors=self._module.project(given), mask=torch.from_numpy(mask).to(self._device)
        )


def hidden_rows(
    module: ContextualEncoder,
    windows: WindowTable,
    options: TrainingOptions,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> HiddenRows:
    """Return the rows of a frozen encoder for all texts: in memory, or in a file if they are many.

    They are computed in float32 whatever the precision of the training.

    Args:
        module: In evaluation mode, on its device.
        windows: Of the texts.
        options: Say how much memory and disk may be taken.
        cache: The file, used again where it is whole; None for memory alone.
        progress: Called with the number of texts done.

    Raises:
        SpecError: If the rows would take more than the disk bound.
        OutputError: If the file cannot be written.
    """
    device = str(next(module.parameters()).device)
    counts, width = windows.scored_counts, int(module.encoder.config.hidden_size)
    shape = (int(counts.sum()), width)
    size = shape[0] * width * 4
    if size <= options.memory_bytes or cache is None:
        rows = np.empty(shape, np.float32)
        _fill(rows, encoded_rows(module, windows, device), windows, progress)
        return HiddenRows(module, rows, counts, device)
    if size > options.disk_bytes:
        raise SpecError(
            f"the encoder's rows of {len(windows)} texts would take {size / GIB:.1f} GiB, more "
            f"than the {options.disk_bytes / GIB:.1f} GiB allowed; take fewer rows of training "
            "data or shorter documents, allow more, or train with the encoder"
        )
    if not cache.is_file() or cache.stat().st_size != size:
        with atomic_file(cache) as part:
            # All of it is asked for first: a full disk is an error now and not a signal later.
            with part.open("wb") as stream:
                _reserve(stream.fileno(), size)
            written = np.memmap(part, np.float32, "r+", shape=shape)
            _fill(written, encoded_rows(module, windows, device), windows, progress)
            written.flush()
            del written
    return HiddenRows(module, np.memmap(cache, np.float32, "r", shape=shape), counts, device)


def cache_name(windows: WindowTable, weights: str) -> str:
    """Return a file name that stands for the rows of these windows from these weights."""
    digest = hashlib.sha256(weights.encode())
    for part in (windows.starts, windows.ids, windows.attention, windows.scored):
        digest.update(np.ascontiguousarray(part).tobytes())
    return f"rows-{digest.hexdigest()[:16]}.f32"


def _reserve(handle: int, size: int) -> None:
    """Make a file that long; where the system can, its blocks are taken."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.truncate(handle, size)


def _fill(
    rows: NDArray[np.float32],
    encoded: Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]],
    windows: WindowTable,
    progress: Callable[[int], None],
) -> None:
    """Put the rows of texts where they belong."""
    starts = np.concatenate(([0], np.cumsum(windows.scored_counts)))
    done = 0
    for places, found in encoded:
        taken = 0
        for place in places:
            count = starts[place + 1] - starts[place]
            rows[starts[place] : starts[place + 1]] = found[taken : taken + count]
            taken += count
        done += len(places)
        progress(done)


def encoded_rows(
    module: ContextualEncoder, windows: WindowTable, device: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield places of texts, and their rows that score, (row, hidden) float32."""
    for places in _parts(windows.lengths):
        ids, attention, mask = _tensors(windows.padded(places), device)
        with torch.no_grad():
            hidden = module.encoder(input_ids=ids, attention_mask=attention)[0]
        yield places, hidden[mask].float().cpu().numpy()


def _parts(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield places of texts of like length, as many as fit together, the longest first."""
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        count = max(1, TOKENS_AT_ONCE // max(1, int(lengths[order[first]])))
        yield order[first : first + count]
        first += count


def _tensors(
    windows: PaddedWindows, device: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, attention and what scores."""
    arrays = (windows.ids, windows.attention, windows.scored)
    ids, attention, scored = (torch.from_numpy(each).to(device) for each in arrays)
    return ids, attention, scored


def _widened(rows: torch.Tensor, length: int) -> torch.Tensor:
    """Return (text, length, …), filled up with zeros."""
    return torch.nn.functional.pad(rows, (0, 0, 0, length - rows.shape[1]))
