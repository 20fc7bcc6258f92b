"""What must be known of a model that turns a text into one vector, beside its two files.

A model folder states it in ``embedder.json``, as the member ``dense``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vespa_colbert.export.facts_file import read_facts
from vespa_colbert.export.model_folder import EMBEDDER_FILE

__all__ = ["DenseSpec", "Pooling", "Similarity", "read_dense_spec"]

Pooling = Literal["cls", "mean", "none"]
"""How rows of tokens become one vector: the first row, their mean, or the graph has done it."""

Similarity = Literal["cosine", "dot"]
"""What the model was trained to compare vectors by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseSpec:
    """What an embedder of whole texts must know: rendered into services.xml.

    Attributes:
        dim: Components of a vector. Vespa takes the first ones where a field holds fewer, and
            normalises after that.
        max_tokens: Tokens of a text, special ones included. Vespa obeys a ``truncation`` of
            tokenizer.json instead where there is one that cuts the longest first.
        pooling: How rows of tokens become one vector: ``none`` where the graph's output is
            (batch, dim), another where it is (batch, token, dim).
        normalize: Whether the embedder brings vectors to length 1 after pooling.
        similarity: What the model was trained with; it says how vectors are compared that are not
            of length 1.
        query_prepend: Put before the text of a query, as it stands.
        document_prepend: Put before the text of a document, as it stands.
        input_ids: Name of the graph's input of token ids.
        attention_mask: Name of its input of attention; empty for a graph with one input.
        token_type_ids: Name of its input of token types; empty for a graph without.
        output: Name of its output.

    Source: hugging-face-embedder.def and HuggingFaceEmbedder, Vespa 8.700.24.
    """

    dim: int
    max_tokens: int
    pooling: Pooling
    normalize: bool
    similarity: Similarity = "cosine"
    query_prepend: str = ""
    document_prepend: str = ""
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    token_type_ids: str = ""
    output: str = "last_hidden_state"


def read_dense_spec(folder: Path) -> DenseSpec:
    """Return what a model folder states.

    Args:
        folder: Has ``embedder.json`` with a member ``dense``.

    Raises:
        SpecError: If the file cannot be read, or a fact is missing or not known.
    """
    return read_facts(folder / EMBEDDER_FILE, "dense", DenseSpec)
