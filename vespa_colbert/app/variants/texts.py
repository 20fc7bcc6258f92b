"""The texts of a document, and ranking by their words."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.field import Field
from vespa_colbert.app.options import AppOptions, Layout
from vespa_colbert.app.profile import RankProfile
from vespa_colbert.app.texts import decimal
from vespa_colbert.app.variants.part import Design, Part

__all__ = ["BODY", "bm25", "bm25_faults", "bm25_features", "bm25_settings", "texts"]

BODY: dict[Layout, str] = {"passage": "text", "contexts": "contexts", "chunks": "text"}
"""Layout → the fed field that holds what a document says."""


def bm25_features(layout: Layout) -> tuple[str, ...]:
    """Return the rank features of a document's words."""
    return "bm25(title)", f"bm25({BODY[layout]})"


def bm25(layout: Layout) -> str:
    """Return the expression that ranks by words."""
    return " + ".join(bm25_features(layout))


def bm25_settings(design: Design) -> tuple[tuple[str, str], ...]:
    """Return the rank properties that say how bm25 counts, where not as Vespa does by itself."""
    options = design.options
    said = {"k1": options.bm25_k1, "b": options.bm25_b}
    return tuple(
        (f"{feature}.{name}", decimal(value))
        for feature in bm25_features(options.layout)
        for name, value in said.items()
        if value is not None
    )


def bm25_faults(options: AppOptions) -> Iterator[str]:
    """Yield why bm25 could not count so."""
    if options.bm25_k1 is not None and not 0.0 <= options.bm25_k1 < float("inf"):
        yield f"bm25: k1: expected a number of 0 or more, got {options.bm25_k1}"
    if options.bm25_b is not None and not 0.0 <= options.bm25_b <= 1.0:
        yield f"bm25: b: expected a number from 0 to 1, got {options.bm25_b}"


def texts(design: Design) -> Part:
    """Return the fields that are fed, the chunks made of them, and the rank profile ``bm25``."""
    layout = design.options.layout
    body = BODY[layout]
    identity = Field(name="id", type="string", indexing=("summary | attribute",))
    title = _searched("title", "string")
    said = _searched(body, "array<string>" if layout == "contexts" else "string")
    chunks = Field(
        name="chunks",
        type="array<string>",
        indexing=(f"input {body} | {design.chunk} | summary",),
        in_document=False,
    )
    return Part(
        fields=(identity, title, said, *((chunks,) if layout == "chunks" else ())),
        profiles=(
            RankProfile(name="bm25", first_phase=bm25(layout), properties=bm25_settings(design)),
        ),
        queries=(design.query(profile="bm25"),),
    )


def _searched(name: str, kind: str) -> Field:
    """Return a field of words."""
    return Field(name=name, type=kind, indexing=("summary | index",), index=("enable-bm25",))
