"""Where two vectorisers part that differ in one setting: which text, which token, both values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.diagnose.closeness import FLOAT32, unit
from vespa_colbert.diagnose.result import Evidence
from vespa_colbert.diagnose.settings import ASPECTS, Change, Settings
from vespa_colbert.diagnose.walk import Misfit, Walk
from vespa_colbert.export.compare import TOLERANCE

__all__ = ["evidence_of"]

SHOWN = 60
"""Characters of a text that are shown."""


def evidence_of(
    change: Change, without: Settings, closed: Settings, walk: Walk, notes: tuple[str, ...] = ()
) -> Evidence:
    """Return where settings without a change part from those with it.

    Args:
        change: The one that makes the difference.
        without: All causes closed but this one.
        closed: All of them.
        walk: The texts.
        notes: What else is known.
    """
    stage = ASPECTS[change.aspect].stage
    looks: dict[str, Callable[[Settings, Settings, Walk], Evidence | None]] = {
        "text": _of_texts,
        "token ids": _of_ids,
        "hidden states": _of_rows,
    }
    try:
        look = looks.get(stage, _of_vectors)
        found = look(without, closed, walk) or _of_vectors(without, closed, walk)
    except Misfit as error:
        notes = (*notes, f"the two do not fit together otherwise: {error}")
        found = Evidence(stage=stage, text=0, place="", a="", b="", texts=len(walk.texts))
    return Evidence(
        stage=stage,
        text=found.text,
        place=found.place,
        a=found.a,
        b=found.b,
        texts=found.texts,
        largest=found.largest,
        notes=(*found.notes, *notes),
    )


def _of_texts(without: Settings, closed: Settings, walk: Walk) -> Evidence | None:
    pairs = [
        (walk.prepared(without, place), walk.prepared(closed, place))
        for place in range(len(walk.texts))
    ]
    if not (differ := [number for number, (one, other) in enumerate(pairs) if one != other]):
        return None
    one, other = pairs[differ[0]]
    place = _first_difference(one, other)
    return Evidence(
        stage="text",
        text=differ[0] + 1,
        place=f"character {place + 1}",
        a=repr(one[:SHOWN]),
        b=repr(other[:SHOWN]),
        texts=len(differ),
    )


def _of_ids(without: Settings, closed: Settings, walk: Walk) -> Evidence | None:
    pairs = [
        (walk.ids(without, place), walk.ids(closed, place)) for place in range(len(walk.texts))
    ]
    if not (differ := [number for number, (one, other) in enumerate(pairs) if one != other]):
        return None
    one, other = pairs[differ[0]]
    place = _first_difference(one, other)
    return Evidence(
        stage="token ids",
        text=differ[0] + 1,
        place=f"token {place + 1}",
        a=_token(without, one, place, walk),
        b=_token(closed, other, place, walk),
        texts=len(differ),
        notes=(f"{len(one)} and {len(other)} tokens",),
    )


def _first_difference(one: Sequence[object], other: Sequence[object]) -> int:
    """Return the place where two texts, or their ids, begin to differ."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _token(settings: Settings, ids: tuple[int, ...], place: int, walk: Walk) -> str:
    if place >= len(ids):
        return "no token"
    return f"{ids[place]} {walk.token(settings, ids[place])!r}"


def _of_rows(without: Settings, closed: Settings, walk: Walk) -> Evidence | None:
    gaps = list[NDArray[np.float32]]()
    for place in range(len(walk.texts)):
        one, other = walk.rows(without, place), walk.rows(closed, place)
        if one.shape != other.shape:
            shapes = f"{one.shape}", f"{other.shape}"
            return Evidence(
                stage="hidden states",
                text=place + 1,
                place="shape",
                a=shapes[0],
                b=shapes[1],
                texts=len(walk.texts),
            )
        gaps.append(np.abs(one - other))
    differ = [place for place, each in enumerate(gaps) if each.max() > TOLERANCE]
    if not differ:
        return None
    first, gap = differ[0], np.atleast_2d(gaps[differ[0]])
    token, component = np.unravel_index(int(gap.argmax()), gap.shape)
    values = [np.atleast_2d(walk.rows(each, first)) for each in (without, closed)]
    return Evidence(
        stage="hidden states",
        text=first + 1,
        place=f"token {token + 1}, component {component + 1}",
        a=f"{values[0][token, component]:.6g}",
        b=f"{values[1][token, component]:.6g}",
        texts=len(differ),
        largest=max(float(each.max()) for each in gaps),
    )


def _of_vectors(without: Settings, closed: Settings, walk: Walk) -> Evidence:
    places = list(range(len(walk.texts)))
    one, other = walk.vectors(without, places), walk.vectors(closed, places)
    if one.shape != other.shape:
        return Evidence(
            stage="vector",
            text=1,
            place="components",
            a=str(one.shape[1]),
            b=str(other.shape[1]),
            texts=len(places),
        )
    scale = np.maximum(np.abs(one), np.abs(other)).max()
    gaps = np.abs(one - other)
    differ = np.flatnonzero(gaps.max(axis=1) > FLOAT32 * max(1.0, float(scale)))
    first = int(differ[0]) if len(differ) else int(gaps.max(axis=1).argmax())
    component = int(gaps[first].argmax())
    same = np.abs(unit(one) - unit(other)).max() <= FLOAT32
    return Evidence(
        stage="vector",
        text=first + 1,
        place=f"component {component + 1}",
        a=f"{one[first, component]:.6g}",
        b=f"{other[first, component]:.6g}",
        texts=len(differ),
        largest=float(gaps.max()),
        notes=("only lengths differ, directions are the same",) if same else (),
    )
