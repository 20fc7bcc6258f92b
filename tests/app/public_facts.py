"""What a public application ranks by and a recipe that makes the same, as facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "BY_CONTEXT",
    "COLBERT",
    "E5",
    "INT8",
    "LONG_NAMES",
    "PUBLISHED",
    "TOKEN_NAMES",
    "UNPACKED",
    "Alike",
    "Pairs",
    "PublicRecipe",
    "max_sim_of",
]

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """A rank profile of a public application and ours that is to rank as it does.

    Attributes:
        theirs: Name of its profile.
        ours: Name of ours.
        phases: Phase → its expression, in its own words.
        counts: Phase → hits that it ranks, where it is stated.
        properties: Rank properties that it states.
        other: Part of its expression, in our words → what ours has in that place.
        left: Why ours has that, and what ours has not.
    """

    theirs: str
    ours: str
    phases: Mapping[str, str]
    counts: Mapping[str, int] = field(default_factory=dict)
    properties: Pairs = ()
    other: Pairs = ()
    left: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRecipe:
    """A recipe for what a public application ranks by.

    Attributes:
        title: Of the application.
        schema: Its schema's path below the sample applications; empty for a notebook.
        recipe: TOML.
        names: Name in the application → our name.
        profiles: Its rank profiles.
    """

    title: str
    recipe: str
    names: Mapping[str, str]
    profiles: tuple[Alike, ...]
    schema: str = ""


def max_sim_of(query: str, field_name: str, x: str, inner: str, outer: str) -> str:
    """Return the expression of MaxSim under some names."""
    return f"sum(reduce(sum({query} * {field_name}, {x}), max, {inner}), {outer})"


PUBLISHED = """[model]
transformer-url = "https://models.example/colbert.onnx"
tokenizer-url = "https://models.example/colbert-tokenizer.json"
embedder = "colbert.json"
"""
E5 = '[dense]\nmodel = "e5"\ncell-type = "bfloat16"\n'
INT8 = '[app]\ncell-types = ["int8"]\n'

UNPACKED = "unpack_bits(attribute(colbert))"
COLBERT = max_sim_of("query(qt)", UNPACKED, "x", "dt", "qt")
BY_CONTEXT = max_sim_of("query(qt)", UNPACKED, "v", "token", "querytoken")

TOKEN_NAMES = {"colbert": "colbert_int8", "v": "x", "querytoken": "qt"}
LONG_NAMES = TOKEN_NAMES | {"passages": "contexts", "embedding": "dense"}
