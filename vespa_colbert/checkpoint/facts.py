"""What a checkpoint is, whatever its layout: weights by role and every fact later stages need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.tokenizer_facts import Marker, TokenizerFacts
from vespa_colbert.files import FileDigest

__all__ = ["Checkpoint", "Encoder", "ProjectionLayer", "Weight"]

Weight: TypeAlias = NDArray[np.float32]
"""A weight as float32; narrower floats of the file are widened exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """The transformer below the projection.

    Attributes:
        model_type: What ``config.json`` calls the architecture, such as ``bert``.
        config: All of ``config.json``.
        weights: Tensor name in the file → array; floats are float32, index buffers keep int64.
        dtypes: Float types that the file stores, such as ``("BF16",)``.
        hidden_size: Width of a hidden row, in components.
        vocabulary_size: Rows of the token embedding.
        positions: Most tokens that one text may have, start and end included.
    """

    model_type: str
    config: Mapping[str, Any]
    weights: Mapping[str, NDArray[Any]]
    dtypes: tuple[str, ...]
    hidden_size: int
    vocabulary_size: int
    positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionLayer:
    """One layer of the projection: ``activation(weight · row + bias)``, plus the residual.

    Attributes:
        weight: (out, in) float32.
        bias: (out,) float32, or None.
        activation: ``identity``, ``tanh``, ``gelu`` or ``relu``.
        residual: Whether the row itself is added after the activation.
        residual_weight: (out, in) float32 that the row goes through first where in and out differ.
    """

    weight: Weight
    bias: Weight | None = None
    activation: str = "identity"
    residual: bool = False
    residual_weight: Weight | None = None

    @property
    def in_features(self) -> int:
        """Width that the layer takes, in components."""
        return int(self.weight.shape[1])

    @property
    def out_features(self) -> int:
        """Width that the layer gives, in components."""
        return int(self.weight.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A late-interaction checkpoint as numpy arrays and plain facts.

    Attributes:
        path: The folder it was read from.
        layout: Name of the layout that read it.
        encoder: Transformer weights and config.
        projection: Layers from the hidden row to the token vector, in order.
        tokenizer: ``tokenizer.json`` and what it says.
        query_marker: Token after the start token of a query, None where the library adds none.
        document_marker: The same for documents.
        start_id: Id put first ([CLS]), None where the tokenizer puts none.
        end_id: Id put last ([SEP]), None where it puts none.
        mask_id: Id that fills a query up to ``max_query_tokens``.
        pad_id: Id of padding.
        max_query_tokens: Tokens of a query, start, marker (if any) and end included.
        max_document_tokens: Tokens of a document, counted alike.
        query_expansion: Whether rows of mask padding are part of a query.
        expansion_attended: Whether real tokens attend to that padding.
        skip_words: Words whose tokens' rows the library leaves out of documents.
        skip_ids: Their ids; words that the vocabulary lacks have none.
        lower_case: Whether the library lower-cases a text before the tokenizer sees it.
        strip: Whether the library strips white space off both ends of a text first.
        skip_queries: Whether rows of skip words are left out of queries too.
        start_row_dropped: Whether the row of the start token is no token vector (BGE-M3).
        mean_score: Whether the score is the mean over the query's token vectors, not their sum.
        marker_second: Whether the marker is the second token whatever the first is, a token of the
            text where there is no start token.
        cuts: Widths below the whole one at which vectors may be cut (Matryoshka), as the training
            stated them; none where it is not known.
        provenance: Name of a fact → file and key it came from, or the default it fell back to.
        files: Name of each file read → sha256 and size.
        warnings: What a reader should know; none of it makes the checkpoint unusable.
    """

    path: Path
    layout: str
    encoder: Encoder
    projection: tuple[ProjectionLayer, ...]
    tokenizer: TokenizerFacts
    query_marker: Marker | None
    document_marker: Marker | None
    start_id: int | None
    end_id: int | None
    mask_id: int
    pad_id: int
    max_query_tokens: int
    max_document_tokens: int
    query_expansion: bool
    expansion_attended: bool
    skip_words: tuple[str, ...]
    skip_ids: tuple[int, ...]
    lower_case: bool
    strip: bool = False
    skip_queries: bool = False
    start_row_dropped: bool = False
    mean_score: bool = False
    marker_second: bool = False
    cuts: tuple[int, ...] = ()
    provenance: Mapping[str, str]
    files: Mapping[str, FileDigest] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def dim(self) -> int:
        """Width of a token vector, in components."""
        return self.projection[-1].out_features
