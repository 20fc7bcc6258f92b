"""What an encoder is given for many texts, and which of its rows score: the training library's way.

The windows are those by which an exported model is judged, so that what is trained scores as it
did in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.export.tokenizer_file import open_tokenizer
from vespa_colbert.export.treatment import Treatment, Window, library_treatment

__all__ = ["PaddedWindows", "WindowTable", "open_treatment", "window_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaddedWindows:
    """Windows of one length, one column at least.

    Attributes:
        ids: (text, token) int64.
        attention: (text, token) int64, 1 where other tokens may attend to a token.
        scored: (text, token) bool, true where a row scores.
    """

    ids: NDArray[np.int64]
    attention: NDArray[np.int64]
    scored: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTable:
    """Windows of many texts, one behind the other.

    Attributes:
        starts: (text + 1,) int64, where each begins.
        ids: (token,) int32.
        attention: (token,) bool.
        scored: (token,) bool.
        pad_id: Fills windows up.
    """

    starts: NDArray[np.int64]
    ids: NDArray[np.int32]
    attention: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    pad_id: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(text,) int64 tokens of each."""
        return np.diff(self.starts)

    @property
    def scored_counts(self) -> NDArray[np.int64]:
        """(text,) int64 rows of each that score."""
        ends = np.concatenate(([0], np.cumsum(self.scored, dtype=np.int64)))
        return np.diff(ends[self.starts])

    def padded(self, places: NDArray[np.int64]) -> PaddedWindows:
        """Return the windows at some places, in their order."""
        lengths = self.lengths[places]
        size = (len(places), max(1, int(lengths.max(initial=0))))
        found = PaddedWindows(
            ids=np.full(size, self.pad_id, np.int64),
            attention=np.zeros(size, np.int64),
            scored=np.zeros(size, np.bool_),
        )
        for row, (place, length) in enumerate(zip(places, lengths, strict=True)):
            span = slice(self.starts[place], self.starts[place + 1])
            found.ids[row, :length] = self.ids[span]
            found.attention[row, :length] = self.attention[span]
            found.scored[row, :length] = self.scored[span]
        return found


def open_treatment(checkpoint: Checkpoint) -> Treatment:
    """Return what the training library makes of texts.

    Raises:
        CheckpointError: If the tokenizer cannot be used.
        MissingExtraError: If tokenizers is not installed.
    """
    return library_treatment(checkpoint, open_tokenizer(checkpoint.tokenizer.text, checkpoint))


def window_table(
    texts: Sequence[str],
    window: Callable[[str], Window],
    pad_id: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> WindowTable:
    """Return the windows of texts.

    Args:
        texts: Queries, or documents.
        window: Text → window, as ``Treatment`` has it for either.
        pad_id: Fills windows up.
        progress: Called with the number of texts done.
    """
    ids: list[NDArray[np.int32]] = []
    attention: list[NDArray[np.bool_]] = []
    scored: list[NDArray[np.bool_]] = []
    for done, text in enumerate(texts, start=1):
        made = window(text)
        ids.append(np.array(made.ids, np.int32))
        attention.append(np.array(made.attention, np.bool_))
        scores = np.zeros(len(made.ids), np.bool_)
        scores[list(made.scored)] = True
        scored.append(scores)
        progress(done)
    return WindowTable(
        starts=np.concatenate(([0], np.cumsum([len(each) for each in ids], dtype=np.int64))),
        ids=np.concatenate([np.empty(0, np.int32), *ids]),
        attention=np.concatenate([np.empty(0, np.bool_), *attention]),
        scored=np.concatenate([np.empty(0, np.bool_), *scored]),
        pad_id=pad_id,
    )
