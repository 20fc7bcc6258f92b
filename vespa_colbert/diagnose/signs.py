"""What vectors show by themselves, before any setting is tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.diagnose.closeness import FLOAT32, HALF, UNIT, direction_gaps, likely_cells
from vespa_colbert.diagnose.sides import BlackBox

__all__ = ["alone_gap", "depends_on_batch", "is_like_half", "signs_of"]

ASKED_ALONE = 8
"""Texts that a function is given one by one, beside all together."""

SCALE = 10
"""How much further than float32 a vector must move before its batch is said to matter."""


def signs_of(
    ours: NDArray[Any], theirs: NDArray[Any], texts: Sequence[str], lengths: Sequence[int]
) -> Iterator[str]:
    """Yield what can be seen of two sides' vectors.

    Args:
        ours: (text, dim) of A.
        theirs: (text, dim) of B.
        texts: The texts.
        lengths: Tokens of each text that is not cut; empty where not known.
    """
    for name, each in (("A", ours), ("B", theirs)):
        if each.dtype.kind == "f":
            sizes = np.linalg.norm(each.astype(np.float64), axis=1)
            if (np.abs(sizes - 1) <= UNIT).all():
                yield f"{name}: every vector has length 1"
            else:
                yield f"{name}: lengths {sizes.min():.3g} to {sizes.max():.3g}"
        cells = likely_cells(each, each.shape[1])
        if cells[0] != "float32":
            yield f"{name}: numbers are {each.dtype}, all of them values of {cells[0]}"
    if ours.shape[1] != theirs.shape[1]:
        yield f"A has {ours.shape[1]} components, B has {theirs.shape[1]}"
        return
    agreeing = direction_gaps(ours, theirs) <= FLOAT32
    if agreeing.all():
        yield "all directions are the same; only lengths or cells differ"
    elif agreeing.any():
        yield f"{int(agreeing.sum())} of {len(texts)} directions are the same"
        yield from _of_texts(agreeing, texts, lengths)


def alone_gap(black: BlackBox) -> float | None:
    """Return how far a function's vectors move when texts come alone; None if it cannot be asked.

    Raises:
        SpecError: If the function fails.
        ArrayError: If it gives another number of components.
    """
    if black.alone is None:
        return None
    places = range(min(ASKED_ALONE, len(black.vectors)))
    alone = np.stack([black.alone(place) for place in places])
    return float(direction_gaps(alone, black.vectors[: len(alone)]).max())


def depends_on_batch(gap: float | None) -> bool:
    """Return whether vectors may depend on their batch, given what ``alone_gap`` found."""
    return gap is None or gap > SCALE * FLOAT32


def is_like_half(vectors: NDArray[Any], gap: float) -> bool:
    """Return whether vectors are of float16 or bfloat16 and no further away than that makes."""
    narrow = vectors.dtype.kind == "f" and likely_cells(vectors, vectors.shape[1])[0] != "float32"
    return narrow and gap <= HALF


def _of_texts(
    agreeing: NDArray[np.bool_], texts: Sequence[str], lengths: Sequence[int]
) -> Iterator[str]:
    """Yield what sets texts that agree apart from those that do not."""
    same = [place for place, each in enumerate(agreeing) if each]
    differ = [place for place, each in enumerate(agreeing) if not each]
    if lengths:
        longest, shortest = (
            max(lengths[place] for place in same),
            min(lengths[place] for place in differ),
        )
        if longest < shortest:
            yield (
                f"texts of up to {longest} tokens agree, those of {shortest} and more do not: "
                "max length or truncation"
            )
    cased = [text != text.lower() for text in texts]
    if not any(cased[place] for place in same) and all(cased[place] for place in differ):
        yield "texts without upper-case letters agree, those with do not: lower-casing"
