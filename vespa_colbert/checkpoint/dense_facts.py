"""What a model that turns a text into one vector is: weights by role and every fact about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from vespa_colbert.checkpoint.facts import Encoder, ProjectionLayer
from vespa_colbert.checkpoint.tokenizer_facts import TokenizerFacts
from vespa_colbert.files import FileDigest

__all__ = ["POOLINGS", "DenseCheckpoint", "Pooling", "StatedFacts"]

Pooling: TypeAlias = Literal[
    "cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"
]
"""How the rows of a text's tokens become one vector, by the library's names.

``cls`` is the first row, ``lasttoken`` the last one, ``mean_sqrt_len_tokens`` the sum divided by
the root of the number of rows, and ``weightedmean`` weighs a row by its place from 1.
"""

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedFacts:
    """What a user states of a dense model; None where nothing is stated.

    Attributes:
        pooling: How rows become one vector.
        normalize: Whether vectors are brought to length 1.
        query_prepend: Instruction before the text of a query; empty for none.
        document_prepend: The same for documents.
        max_tokens: Tokens of a text, special ones included.
    """

    pooling: Pooling | None = None
    normalize: bool | None = None
    query_prepend: str | None = None
    document_prepend: str | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCheckpoint:
    """A checkpoint of one vector a text, as numpy arrays and plain facts.

    The order is: instruction and text, tokenizer, encoder, pooling, projection, length 1.

    Attributes:
        path: The folder it was read from.
        layout: Name of the layout that read it.
        encoder: Transformer weights and config.
        tokenizer: ``tokenizer.json`` and what it says.
        pooling: How rows become one vector; several are put one behind the other.
        projection: Layers from the pooled vector on, in order; mostly none.
        normalize: Whether the vector is brought to length 1 at the end.
        max_tokens: Tokens of a text, instruction and special ones included.
        query_prepend: Put before the text of a query, as it stands.
        document_prepend: Put before the text of a document.
        dims: How many of the first components the model is to be used with, None for all
            (Matryoshka).
        similarity: What vectors are compared by.
        pad_id: Id of padding.
        provenance: Name of a fact → file and key it came from, or the default it fell back to.
        files: Name of each file read → sha256 and size.
        warnings: What a reader should know; none of it makes the checkpoint unusable.
    """

    path: Path
    layout: str
    encoder: Encoder
    tokenizer: TokenizerFacts
    pooling: tuple[Pooling, ...]
    projection: tuple[ProjectionLayer, ...]
    normalize: bool
    max_tokens: int
    query_prepend: str
    document_prepend: str
    dims: int | None
    similarity: Literal["cosine", "dot"]
    pad_id: int
    provenance: Mapping[str, str]
    files: Mapping[str, FileDigest] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Components of the vector that the last layer gives."""
        if self.projection:
            return self.projection[-1].out_features
        return self.encoder.hidden_size * len(self.pooling)

    @property
    def dim(self) -> int:
        """Components of the vector that is used."""
        return self.dims or self.width
