"""The settings of two vectorisers side by side: which differ, in words, and where from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.facts import ProjectionLayer
from vespa_colbert.checkpoint.folder import JsonObject
from vespa_colbert.checkpoint.vocabulary import read_vocabulary
from vespa_colbert.diagnose.encoders import (
    GraphEncoder,
    TorchEncoder,
    stored_as,
    weight_differences,
)
from vespa_colbert.diagnose.result import Setting
from vespa_colbert.diagnose.settings import ASPECTS, IN_GRAPH, Change, Padding, Settings
from vespa_colbert.diagnose.sides import WhiteBox
from vespa_colbert.diagnose.tokenization import lower_cases, without_specials
from vespa_colbert.diagnose.walk import Misfit, Walk
from vespa_colbert.errors import ExportError
from vespa_colbert.export.compare import TOLERANCE

__all__ = [
    "BEHIND_ENCODER",
    "changes_between",
    "encoder_notes",
    "setting_rows",
    "shown_value",
    "with_encoder",
]

BEHIND_ENCODER = ("layer", "pooling", "projection", "dims")
"""Settings that a graph which pools has built in, together with its encoder."""

NOT_READ = frozenset({"padding", "token_types", "compute", "cells", "strip", "lower_text"})
"""Settings that no file says; Vespa and the readers here have one value for each."""

PROBED = 8
"""Texts, the longest and the shortest, whose rows are compared: are two encoders the same?"""

SHOWN = 60


def changes_between(a: WhiteBox, b: WhiteBox, walk: Walk) -> list[Change]:
    """Return the changes that make B of A, in the order of the stages.

    Where the graph of one side pools, what it has built in is one change with its encoder.
    """
    found = list[Change]()
    one, other = a.settings, b.settings
    pooled = (one.pooling == IN_GRAPH) != (other.pooling == IN_GRAPH)
    for name in ASPECTS:
        if name == "encoder" or (pooled and name in BEHIND_ENCODER):
            continue
        if not _same(getattr(one, name), getattr(other, name)):
            found.append(_change(name, a, b))
    if pooled or (title := _encoder_title(one, other, walk)) is None:
        return found
    return with_encoder(found, b, title)


def with_encoder(
    found: Sequence[Change], b: WhiteBox, title: str = "hidden states"
) -> list[Change]:
    """Return changes with that of the encoder among them.

    Args:
        found: The others.
        b: Whose encoder it is.
        title: What the difference is called.
    """
    change = Change(
        aspect="encoder",
        value=b.settings.encoder,
        shown=shown_value("encoder", b.settings),
        origin=b.origins["encoder"],
        title=title,
    )
    others = [each for each in found if each.aspect != "encoder"]
    return sorted([*others, change], key=lambda each: list(ASPECTS).index(each.aspect))


def setting_rows(a: WhiteBox, b: WhiteBox, differing: Sequence[Change]) -> Iterator[Setting]:
    """Yield the settings of both sides.

    Args:
        a: One side.
        b: The other one.
        differing: From ``changes_between``.
    """
    other_aspects = {each.aspect for each in differing}
    for name in ASPECTS:
        if name not in NOT_READ and name != "layer":
            yield Setting(
                name=_title(name, a.settings, b.settings),
                a=shown_value(name, a.settings, b.settings),
                a_origin=a.origins.get(name, ""),
                b=shown_value(name, b.settings, a.settings),
                b_origin=b.origins.get(name, ""),
                same=name not in other_aspects,
            )


def shown_value(name: str, settings: Settings, other: Settings | None = None) -> str:
    """Return a setting in words.

    Args:
        name: Of the setting.
        settings: Whose.
        other: The other side's, which says what of a long value is of interest.
    """
    value = getattr(settings, name)
    if name == "normalizer":
        return _normalizer(value, other.normalizer if other else value)
    if name == "vocabulary":
        return _vocabulary(value, other.vocabulary if other else value)
    return IN_WORDS[name](value) if name in IN_WORDS else str(value)


def encoder_notes(one: Settings, other: Settings, walk: Walk) -> tuple[str, ...]:
    """Return what is known of how two encoders differ."""
    ours, theirs = one.encoder, other.encoder
    if not isinstance(ours, TorchEncoder) or not isinstance(theirs, TorchEncoder):
        return ()
    notes = list(weight_differences(ours, theirs))
    ids = np.array(walk.ids(one, 0), np.int64)
    try:
        pairs = list(zip(ours.layer_rows(ids), theirs.layer_rows(ids), strict=False))
    except (IndexError, ValueError, RuntimeError):
        return tuple(notes)
    for place, (mine, other_rows) in enumerate(pairs):
        if mine.shape != other_rows.shape or _gap(mine, other_rows) > TOLERANCE:
            where = "the embeddings" if place == 0 else f"layer {place}"
            return (*notes, f"the first rows that differ are those of {where}")
    return tuple(notes)


def _encoder_title(one: Settings, other: Settings, walk: Walk) -> str | None:
    """Return what the difference of two encoders is to be called, None where there is none."""
    if _same_rows(one, other, walk, other.encoder):
        return None
    try:
        for dtype, narrowed in stored_as(one.encoder, other.encoder):
            if _same_rows(one, other, walk, narrowed):
                return f"dtype ({dtype})"
        for dtype, narrowed in stored_as(other.encoder, one.encoder):
            if _same_rows(other, one, walk, narrowed):
                return f"dtype ({dtype})"
    except ExportError:
        return "hidden states"
    return "hidden states"


def _same_rows(one: Settings, other: Settings, walk: Walk, narrowed: Any) -> bool:
    """Return whether an encoder in place of A's, and B's, give the same rows of the same ids."""
    first = one if narrowed is other.encoder else replace(one, encoder=narrowed)
    second = replace(one, encoder=other.encoder, pooling=other.pooling)
    order = sorted(range(len(walk.texts)), key=lambda place: -len(walk.texts[place]))
    probed = {*order[: PROBED // 2], *order[-(PROBED // 2) :]}
    try:
        return all(
            _alike(walk.rows(first, place), walk.rows(second, place)) for place in sorted(probed)
        )
    except Misfit:
        return False


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and _gap(one, other) <= TOLERANCE


def _gap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max() / max(1.0, np.abs(other).max()))


def _change(name: str, a: WhiteBox, b: WhiteBox) -> Change:
    return Change(
        aspect=name,
        value=getattr(b.settings, name),
        shown=shown_value(name, b.settings, a.settings),
        origin=b.origins.get(name, ""),
        title=_title(name, a.settings, b.settings),
    )


def _title(name: str, one: Settings, other: Settings) -> str:
    if name == "normalizer" and lower_cases(one.normalizer) != lower_cases(other.normalizer):
        return "lower-casing"
    return ASPECTS[name].title


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; layers are, whose numbers are."""
    if isinstance(one, Padding) and isinstance(other, Padding):
        return str(one) == str(other)
    if isinstance(one, tuple) and any(isinstance(each, ProjectionLayer) for each in (*one, *other)):
        return len(one) == len(other) and all(map(_same_layer, one, other))
    return bool(one == other)


def _same_layer(one: ProjectionLayer, other: ProjectionLayer) -> bool:
    arrays = ("weight", "bias", "residual_weight")
    pairs = [(getattr(one, name), getattr(other, name)) for name in arrays]
    return (one.activation, one.residual) == (other.activation, other.residual) and all(
        (mine is None) == (theirs is None) and (mine is None or np.array_equal(mine, theirs))
        for mine, theirs in pairs
    )


def _encoder(encoder: Any) -> str:
    if isinstance(encoder, GraphEncoder):
        return f"{encoder.path.name}, {encoder.dtype}"
    if isinstance(encoder, TorchEncoder):
        own = encoder.checkpoint.encoder
        dtypes = ", ".join(own.dtypes)
        return f"{own.model_type}, {own.hidden_size} wide, {len(own.weights)} tensors, {dtypes}"
    return type(encoder).__name__


def _normalizer(value: str, other: str) -> str:
    """Return a normalizer in words: its parts, and of one part what the other has otherwise."""
    part, theirs = json.loads(value), json.loads(other)
    if part is None:
        return "none"
    if theirs is not None and part["type"] == theirs["type"] and part["type"] != "Sequence":
        keys = [key for key in part if part[key] != theirs.get(key)]
        if keys:
            return ", ".join(f"{key} {json.dumps(part[key])}" for key in keys)
    names = [each["type"] for each in part.get("normalizers", [part])]
    case = ", lower-cases" if lower_cases(value) else ""
    return (", ".join(names) + case)[:SHOWN]


def _vocabulary(value: str, other: str) -> str:
    """Return a vocabulary in words: its size, and a token that the other one numbers otherwise."""
    part = json.loads(value)
    ids, theirs = (
        read_vocabulary(JsonObject(name="tokenizer.json", values=json.loads(each)))
        for each in (value, other)
    )
    splitter = (part["pre_tokenizer"] or {}).get("type", "no pre-tokenizer")
    told = f"{part['model'].get('type', 'model')}, {len(ids)} tokens, {splitter}"
    moved = [token for token in ids if theirs.get(token) != ids[token]]
    first = f"; {len(moved)} with other ids, such as {moved[0]!r} {ids[moved[0]]}" if moved else ""
    return told + first


def _specials(value: str) -> str:
    if without_specials(value) == value:
        return "none"
    part = json.loads(value)
    for each in part.get("processors", [part]):
        if "single" in each:
            pieces = [next(iter(piece.values()))["id"] for piece in each["single"]]
            return " ".join("…" if piece == "A" else piece for piece in pieces)
        if "cls" in each:
            return f"{each['cls']} … {each['sep']}"
    return "some"


IN_WORDS: dict[str, Callable[[Any], str]] = {
    "instruction": lambda value: repr(value) if value else "none",
    "specials": _specials,
    "max_tokens": lambda value: "not cut" if value is None else f"{value} tokens",
    "encoder": _encoder,
    "pooling": " + ".join,
    "projection": lambda value: f"{len(value)} layers" if value else "none",
    "dims": lambda value: "all components" if value is None else f"the first {value}",
    "lengths": lambda value: (
        "not brought to 1" if value == "as they are" else f"brought to {value}"
    ),
}
"""Name of a setting → what its value is called."""
