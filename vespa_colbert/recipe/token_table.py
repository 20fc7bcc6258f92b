"""The table ``[tokens]``: how token vectors are made and kept."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import Field

from vespa_colbert.app.options import Chunker, Embeddings, Storage, TokenRetrieval
from vespa_colbert.app.residual_vectors import read_residual_vectors
from vespa_colbert.recipe.table import LARGEST, RecipePath, Table

__all__ = ["TokensTable"]


class TokensTable(Table):
    """The token vectors of documents."""

    dims: tuple[int, ...] = Field(
        default=(),
        description="Components that are stored, a field each (Matryoshka); [] for all there are.",
    )
    embeddings: Embeddings = Field(
        default="vespa",
        description="Who embeds: vespa, or client for models that cannot run there.",
    )
    storage: Storage = Field(
        default="memory",
        description="Where they are kept: memory, paged (on disk until needed) or fast-rank.",
    )
    chunker: Chunker = Field(
        default="fixed-length",
        description="Who cuts texts in the layout chunks: fixed-length or sentence.",
    )
    chunk_length: int = Field(
        default=1024, ge=1, le=LARGEST, description="Characters of a chunk of fixed length, about."
    )
    retrieval: bool = Field(
        default=False,
        description="Whether documents can be found by them alone, through a graph (HNSW).",
    )
    max_links: int = Field(
        default=32,
        ge=1,
        le=LARGEST,
        description="Links of a node of the graph: max-links-per-node.",
    )
    neighbors_to_explore: int = Field(
        default=400, ge=1, le=LARGEST, description="Neighbours looked at when a vector is added."
    )
    target_hits: int = Field(
        default=100,
        ge=1,
        le=LARGEST,
        description="Documents that each token of a query finds, on each content node.",
    )

    residual: RecipePath | None = Field(
        default=None,
        description="Codec (train-codec): a field of residuals, which is fed.",
        examples=["output/codec"],
    )

    @property
    def choices(self) -> dict[str, Any]:
        """Option of the generator → its value.

        Raises:
            SpecError: If the codec cannot be read.
        """
        numbers = {each.name: getattr(self, each.name) for each in fields(TokenRetrieval)}
        return {
            "dims": self.dims,
            "embeddings": self.embeddings,
            "storage": self.storage,
            "chunker": self.chunker,
            "chunk_length": self.chunk_length,
            "residual": None if self.residual is None else read_residual_vectors(self.residual),
            "token_retrieval": TokenRetrieval(**numbers) if self.retrieval else None,
        }
