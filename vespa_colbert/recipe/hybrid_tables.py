"""The tables of a recipe that add other models beside token vectors, and bring scores together."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vespa_colbert.app.component import RemoteFile
from vespa_colbert.app.cross_encoder import read_cross_encoder
from vespa_colbert.app.dense_embedder import DenseEmbedder, read_dense_embedder
from vespa_colbert.app.options import (
    CrossEncoding,
    DenseVectors,
    Embeddings,
    Fusion,
    LexicalWeights,
    Words,
)
from vespa_colbert.export.dense_spec import Similarity
from vespa_colbert.recipe.table import LARGEST, RecipePath, Table, Url
from vespa_colbert.tensor import CellType

__all__ = ["CrossEncoderTable", "DenseTable", "FusionTable", "LexicalTable"]

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DenseTable(Table):
    """One vector for a whole text, beside those of its tokens."""

    model: RecipePath | None = Field(
        default=None,
        description="Model folder whose embedder.json has the facts; without one there are none.",
        examples=["dense"],
    )
    embeddings: Embeddings = Field(
        default="vespa",
        description="Who embeds: vespa, or client, who sends vectors of dim components.",
    )
    similarity: Similarity = Field(
        default="cosine", description="How vectors of a client are compared: cosine or dot."
    )
    transformer_url: Url = Field(
        default="", description="Where the ONNX file is published; empty to pack the folder's."
    )
    tokenizer_url: Url = Field(
        default="", description="Where tokenizer.json is published; empty to pack the folder's."
    )
    transformer_id: str = Field(
        default="", description="Name that Vespa Cloud has for the model; it goes before the URL."
    )
    tokenizer_id: str = Field(default="", description="The same for the tokenizer.")
    secret_ref: str = Field(
        default="", description="Name of the secret that downloads are authorised with."
    )
    cell_type: Literal["float", "bfloat16", "int8"] = Field(
        default="float", description="Cells: float, bfloat16, or int8 (one bit a component)."
    )
    dim: int = Field(
        default=0, ge=0, le=LARGEST, description="Components that are stored; 0 for all there are."
    )
    max_links: int = Field(
        default=16, ge=1, le=LARGEST, description="Links of a node of the graph (HNSW)."
    )
    neighbors_to_explore: int = Field(
        default=200, ge=1, le=LARGEST, description="Neighbours looked at when a vector is added."
    )
    target_hits: int = Field(
        default=100,
        ge=1,
        le=LARGEST,
        description="Documents that a query finds by its vector, on each content node.",
    )

    @property
    def vectors(self) -> DenseVectors | None:
        """What the generator takes.

        Raises:
            SpecError: If the facts of the model cannot be read.
        """
        if self.model is None and self.embeddings == "vespa":
            return None
        return DenseVectors(
            embedder=self._embedder,
            similarity=self.similarity,
            cell_type=CellType(self.cell_type),
            dim=self.dim,
            max_links=self.max_links,
            neighbors_to_explore=self.neighbors_to_explore,
            target_hits=self.target_hits,
        )

    @property
    def _embedder(self) -> DenseEmbedder | None:
        """What makes them in Vespa's container, if that does."""
        if self.model is None:
            return None
        return read_dense_embedder(
            self.model,
            transformer=self._published(self.transformer_url, self.transformer_id),
            tokenizer=self._published(self.tokenizer_url, self.tokenizer_id),
        )

    @model_validator(mode="after")
    def _one_of_both(self) -> DenseTable:
        if self.embeddings == "client" and self.model is not None:
            raise ValueError('expected a model, or embeddings = "client" with a dim, not both')
        if self.embeddings == "client" and not self.dim:
            raise ValueError('expected the dim of the vectors with embeddings = "client"')
        if self.embeddings == "vespa" and self.similarity != "cosine":
            raise ValueError('expected similarity only with embeddings = "client"')
        return self

    def _published(self, url: str, model_id: str) -> RemoteFile | None:
        """Return where a file is published, if it is."""
        if not url and not model_id:
            return None
        return RemoteFile(url=url, model_id=model_id, secret_ref=self.secret_ref)


class LexicalTable(Table):
    """A weight for each distinct token of a text, as BGE-M3 gives them."""

    weights: Literal["none", "client"] = Field(
        default="none", description="Who makes them: none, or client, who sends them."
    )
    cell_type: Literal["float", "bfloat16"] = Field(
        default="bfloat16", description="Cells: float or bfloat16."
    )

    @property
    def chosen(self) -> LexicalWeights | None:
        """What the generator takes."""
        return (
            LexicalWeights(cell_type=CellType(self.cell_type)) if self.weights != "none" else None
        )


class FusionTable(Table):
    """Words, dense vectors and lexical weights where there are any, and MaxSim, together."""

    fusing: Literal["off", "reciprocal-rank", "normalized", "weighted", "max-sim"] = Field(
        default="off",
        description="How: off, reciprocal-rank, normalized (weighted sum of scores between 0 and "
        "1), weighted (sum of scores as they are), max-sim (it alone ranks what is found).",
    )
    first_phase: Literal["dense", "words", "fused"] = Field(
        default="dense",
        description="What ranks all matches: dense, or words, as always without dense vectors; or "
        "fused, with weighted or max-sim, for one phase.",
    )
    words: Words = Field(
        default="together",
        description="How words take part: together, apart (a score for each field), none.",
    )
    max_sim: Literal["sum", "mean"] = Field(
        default="sum", description="MaxSim over the tokens of the query: sum or mean."
    )
    dense_score: Literal["closeness", "cosine"] = Field(
        default="closeness", description="What dense vectors say: closeness, or the cosine."
    )
    k: Weight = Field(default=60.0, description="Of the reciprocal rank, 1 / (k + rank).")
    max_sim_weight: Weight = Field(default=0.4, description="Weight of MaxSim in a sum.")
    dense_weight: Weight = Field(default=0.4, description="Weight of what dense vectors say.")
    words_weight: Weight = Field(default=0.2, description="Weight of bm25.")
    lexical_weight: Weight = Field(default=0.2, description="Weight of lexical weights.")
    rerank_count: int = Field(
        default=100, ge=1, le=LARGEST, description="Hits that are fused, in all."
    )

    @property
    def fusion(self) -> Fusion | None:
        """What the generator takes."""
        if self.fusing == "off":
            return None
        return Fusion(**{each.name: getattr(self, each.name) for each in fields(Fusion)})


class CrossEncoderTable(Table):
    """A model that reads query and document together and ranks the best hits once more."""

    model: RecipePath | None = Field(
        default=None,
        description="Model folder whose embedder.json has the facts; without one there is none.",
        examples=["cross-encoder"],
    )
    query_tokens: int = Field(
        default=64,
        ge=1,
        le=LARGEST,
        description="Tokens of a query that it reads; a document gets the rest.",
    )
    rerank_count: int = Field(
        default=20, ge=1, le=LARGEST, description="Hits that it ranks, in all."
    )
    score: Literal["logit", "sigmoid"] = Field(
        default="logit", description="The relevance: logit, or sigmoid (from 0 to 1)."
    )
    fused: bool = Field(
        default=False,
        description="Whether its rank is one more of those that are fused by reciprocal-rank.",
    )

    @property
    def encoding(self) -> CrossEncoding | None:
        """What the generator takes.

        Raises:
            SpecError: If the facts of the model cannot be read.
            CheckpointError: If its tokenizer puts pairs together in a way that is not known.
        """
        if self.model is None:
            return None
        return CrossEncoding(
            encoder=read_cross_encoder(self.model),
            query_tokens=self.query_tokens,
            rerank_count=self.rerank_count,
            score=self.score,
            fused=self.fused,
        )
