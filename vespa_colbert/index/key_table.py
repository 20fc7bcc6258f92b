"""Which documents are known: 16 bytes a document and where it stands, whatever its id's length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyTable", "keys_of"]

ABSENT = -1
KEY_BYTES = 16
BUFFERED = 4096
"""Keys that wait in a dictionary before they are sorted in."""


def keys_of(values: Iterable[str | bytes]) -> NDArray[np.uint64]:
    """Return the keys of ids or of contents: (value, 2) uint64, different for different values."""
    return np.frombuffer(b"".join(map(_key, values)), "<u8").reshape(-1, 2)


def _key(value: str | bytes) -> bytes:
    data = value.encode("utf-8") if isinstance(value, str) else value
    return hashlib.blake2b(data, digest_size=KEY_BYTES).digest()


class KeyTable:
    """Key → a number; what is added later counts.

    Sorted runs, each at least twice as long as the next: a table of ten million keys takes a
    quarter of a gigabyte.
    """

    def __init__(self) -> None:
        """Make an empty table."""
        self._runs: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []
        self._buffer: dict[bytes, int] = {}

    def first(self, value: str, number: int) -> int:
        """Return the number that a value was added with before; else add it and return -1."""
        key = _key(value)
        known = self._buffer.get(key, ABSENT)
        if known == ABSENT:
            known = int(self._sorted_in(np.frombuffer(key, "<u8").reshape(1, 2))[0])
        if known == ABSENT:
            self._buffer[key] = number
            if len(self._buffer) >= BUFFERED:
                self._flush()
        return known

    def add(self, keys: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
        """Add keys.

        Args:
            keys: (key, 2) uint64; of equal ones the first counts.
            numbers: (key,) int64; -1 for a key that is to be absent.
        """
        self._flush()
        self._push(keys, numbers)

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the number of each key, -1 where it is absent: (key,) int64.

        Args:
            keys: (key, 2) uint64.
        """
        self._flush()
        return self._sorted_in(keys)

    def _sorted_in(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        found = np.full(len(keys), ABSENT, np.int64)
        is_open = np.ones(len(keys), np.bool_)
        for run, numbers in reversed(self._runs):
            places = _places(run, keys)
            hits = is_open & (places >= 0)
            found[hits] = numbers[places[hits]]
            is_open &= ~hits
        return found

    def _flush(self) -> None:
        if self._buffer:
            keys = np.frombuffer(b"".join(self._buffer), "<u8").reshape(-1, 2)
            numbers = np.array(list(self._buffer.values()), np.int64)
            self._buffer = {}
            self._push(keys, numbers)

    def _push(self, keys: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
        if not len(keys):
            return
        run = _sorted(keys, numbers)
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            older = self._runs.pop()
            # Of equal keys the first counts: the newer ones stand before the older.
            run = _sorted(np.concatenate([run[0], older[0]]), np.concatenate([run[1], older[1]]))
        self._runs.append(run)


def _sorted(
    keys: NDArray[np.uint64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return keys in ascending order, of equal ones the first, each with its number."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, numbers = keys[order], numbers[order]
    is_new = np.ones(len(keys), np.bool_)
    is_new[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    return keys[is_new], numbers[is_new]


def _places(run: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return where each key stands in a sorted run, -1 where it does not: (key,) int64."""
    found = np.searchsorted(run[:, 0], keys[:, 0])
    last = len(run) - 1
    while True:
        within = np.minimum(found, last)
        same_first = (found <= last) & (run[within, 0] == keys[:, 0])
        # Two keys with one first half stand side by side, which practically never happens.
        behind = same_first & (run[within, 1] < keys[:, 1])
        if not behind.any():
            is_there = same_first & (run[within, 1] == keys[:, 1])
            return np.where(is_there, found, ABSENT)
        found = found + behind
