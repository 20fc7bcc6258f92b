"""Texts → vectors, exactly as Vespa's ColBertEmbedder and HuggingFaceEmbedder make them."""

from __future__ import annotations

from vespa_colbert.embedder.colbert import LocalEmbedder, Role, Runtime, TransformerInput
from vespa_colbert.embedder.dense import LocalDenseEmbedder

__all__ = ["LocalDenseEmbedder", "LocalEmbedder", "Role", "Runtime", "TransformerInput"]
