"""Everything that stands between a text and its vector, as values that can be exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from vespa_colbert.checkpoint.facts import ProjectionLayer
from vespa_colbert.diagnose.closeness import Cells
from vespa_colbert.diagnose.encoders import Encoder

__all__ = [
    "ASPECTS",
    "IN_GRAPH",
    "NO_PADDING",
    "Aspect",
    "Change",
    "Compute",
    "Lengths",
    "Padding",
    "Settings",
    "changed",
]

Compute: TypeAlias = Literal["float32", "float16", "bfloat16"]
"""Floats that encoder, pooling and length 1 are computed in."""

Lengths: TypeAlias = Literal["as they are", "1", "1, then cut"]
"""Lengths of finished vectors; the last one: brought to 1 before components were cut off."""

IN_GRAPH = ("in the graph",)
"""The pooling of a graph that gives one vector a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """How texts of several lengths are put into one array.

    Attributes:
        batch: Texts of an array in the order given; 0 for one text at a time.
        by_length: Whether the longest texts come first instead.
        width: Tokens of every array; None for those of its longest text.
        side: Where padding stands.
        seen_by_encoder: Whether the attention mask is 1 on padding.
        pooled: Whether rows of padding are pooled too.
        pad_id: Id of padding.
    """

    batch: int = 0
    by_length: bool = False
    width: int | None = None
    side: Literal["right", "left"] = "right"
    seen_by_encoder: bool = False
    pooled: bool = False
    pad_id: int = 0

    def __str__(self) -> str:
        if not self.seen_by_encoder and not self.pooled:
            return "masked"
        what = {
            (True, True): "no mask",
            (True, False): "no mask in the encoder",
            (False, True): "no mask in the pooling",
        }[self.seen_by_encoder, self.pooled]
        order = ", longest first" if self.by_length else ""
        filled = f"to {self.width} tokens" if self.width else f"in batches of {self.batch}{order}"
        return f"{what}, padded on the {self.side} {filled}"


NO_PADDING = Padding()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """What a vectoriser does, stage by stage.

    Attributes:
        instruction: Put before a text of the role that is looked at.
        strip: Whether white space is taken off both ends of a text first.
        lower_text: Whether the text, not its instruction, is lower-cased first.
        normalizer: ``normalizer`` of tokenizer.json, as JSON.
        vocabulary: ``model``, ``pre_tokenizer`` and ``added_tokens`` of it, as JSON.
        specials: ``post_processor`` of it without ids, as JSON.
        max_tokens: Where texts are cut, special tokens included; None for nowhere.
        truncation_side: Which end of a text is cut off.
        padding: How texts share an array.
        token_types: Type of every token.
        encoder: Ids → rows.
        layer: Which layer's rows are taken, counted from the last one, -1.
        compute: Floats that are computed with.
        pooling: How rows become one vector; ``IN_GRAPH`` where the encoder has done it.
        projection: Layers behind the pooling.
        dims: How many of the first components are kept; None for all.
        lengths: Lengths of finished vectors.
        cells: What their components are stored as.
    """

    instruction: str
    strip: bool = False
    lower_text: bool = False
    normalizer: str
    vocabulary: str
    specials: str
    max_tokens: int | None
    truncation_side: str = "right"
    padding: Padding = NO_PADDING
    token_types: int = 0
    encoder: Encoder
    layer: int = -1
    compute: Compute = "float32"
    pooling: tuple[str, ...]
    projection: tuple[ProjectionLayer, ...] = ()
    dims: int | None = None
    lengths: Lengths = "1"
    cells: Cells = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """One setting, and the first stage that it bears on.

    Attributes:
        name: Of the field of ``Settings``.
        title: What reports call it.
        stage: The stage.
    """

    name: str
    title: str
    stage: str


ASPECTS: Mapping[str, Aspect] = {
    name: Aspect(name=name, title=title, stage=stage)
    for name, title, stage in (
        ("strip", "outer white space", "text"),
        ("lower_text", "lower-casing", "text"),
        ("instruction", "instruction", "text"),
        ("normalizer", "normalizer", "token ids"),
        ("vocabulary", "vocabulary", "token ids"),
        ("specials", "special tokens", "token ids"),
        ("truncation_side", "truncation side", "token ids"),
        ("max_tokens", "max length", "token ids"),
        ("padding", "padding", "attention mask"),
        ("token_types", "token types", "hidden states"),
        ("encoder", "hidden states", "hidden states"),
        ("layer", "hidden layer", "hidden states"),
        ("compute", "dtype", "hidden states"),
        ("pooling", "pooling", "pooled vector"),
        ("projection", "projection", "projected vector"),
        ("dims", "dims", "cut vector"),
        ("lengths", "normalisation", "vector"),
        ("cells", "dtype", "cells"),
    )
}
"""Name of a field → what it is, in the order of the stages."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """One setting put in place of another.

    Attributes:
        aspect: Name of the field.
        value: What it becomes.
        shown: The same in words.
        origin: File and key that it comes from, or what was tried.
        title: What reports call the setting, where it is not that of its aspect.
    """

    aspect: str
    value: Any
    shown: str
    origin: str = "tried"
    title: str = ""

    @property
    def name(self) -> str:
        """What reports call the setting."""
        return self.title or ASPECTS[self.aspect].title


def changed(settings: Settings, changes: tuple[Change, ...]) -> Settings:
    """Return settings with some replaced."""
    values = {each.aspect: each.value for each in changes}
    return replace(settings, **values)
