"""The table of a head that is made of token vectors, and of its short training by the old one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vespa_colbert.recipe.table import RecipePath, Table
from vespa_colbert.recipe.train_table import with_flags

__all__ = ["HeadTable"]


class HeadTable(Table):
    """Another head for the checkpoint above: of the token vectors of texts."""

    texts: RecipePath | None = Field(
        default=None,
        description="JSONL corpus, or a file with a text on each line: what the head is made of.",
        examples=["corpus.jsonl"],
    )
    output: RecipePath = Field(
        default=Path("output/head"), description="Where the checkpoint is written."
    )
    layout: Literal["same", "stand-alone", "pylate"] = Field(
        default="same", description="In which it is written."
    )
    method: Literal["pca", "itq"] = Field(
        default="itq", description="pca: the best head to cut; itq: the best to pack into bits."
    )
    head_start: Literal["own", "new"] = Field(
        default="own", description="Of its own head's outputs, or of the encoder's rows."
    )
    dims: int | None = Field(
        default=None, ge=1, description="Components, where not as many as now.", examples=[64]
    )
    cuts: tuple[int, ...] = Field(
        default=(), description="Widths at which vectors are to be cut: itq rotates between them."
    )
    center: bool = Field(
        default=False, description="Whether the mean is subtracted; changes float scores."
    )
    whiten: float = Field(
        default=0.0, ge=0, le=1, description="How far large components are made smaller."
    )
    seed: int = Field(default=0, ge=0, description="Of everything that is drawn.")
    most_texts: int = Field(default=2000, ge=0, description="Texts drawn of more; 0 for all.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where; auto is a GPU if there is one."
    )
    distil: RecipePath | None = Field(
        default=None,
        description="Training rows on which the new head then learns the old one's scores.",
        examples=["rows.jsonl"],
    )
    queries: RecipePath | None = Field(
        default=None, description="JSONL of queries, for rows with ids.", examples=["queries.jsonl"]
    )
    corpus: RecipePath | None = Field(
        default=None,
        description="JSONL of documents, for rows with ids; the texts where it is not stated.",
        examples=["corpus.jsonl"],
    )
    epochs: int = Field(default=2, ge=1, description="How often every row is seen.")
    batch: int = Field(default=16, ge=1, description="Queries a batch.")
    learning_rate: float = Field(
        default=1e-3, gt=0, allow_inf_nan=False, description="Of the distillation."
    )
    temperature: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Of both heads' scores; 1.0 for sums, 0.02 for means.",
        examples=[1.0],
    )

    def stated(self, flags: Mapping[str, Any]) -> HeadTable:
        """Return this table with flags over its keys; each is checked as the key is.

        Raises:
            SpecError: With every flag that cannot be.
        """
        return with_flags(self, flags, "the head cannot be made")
