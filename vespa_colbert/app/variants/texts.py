"""The texts of a document, and ranking by their words."""

from __future__ import annotations

from vespa_colbert.app.field import Field
from vespa_colbert.app.profile import RankProfile
from vespa_colbert.app.query import Query
from vespa_colbert.app.variants.part import Design, Part

__all__ = ["BM25", "texts"]

BM25 = "bm25(title) + bm25(text)"


def texts(_design: Design) -> Part:
    """Return the fields that are fed, and the rank profile ``bm25``."""
    identity = Field(name="id", type="string", indexing=("summary | attribute",))
    fields = (
        Field(name=name, type="string", indexing=("summary | index",), index=("enable-bm25",))
        for name in ("title", "text")
    )
    return Part(
        fields=(identity, *fields),
        profiles=(RankProfile(name="bm25", first_phase=BM25),),
        queries=(Query(profile="bm25"),),
    )
