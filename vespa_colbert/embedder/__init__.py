"""Texts → token vectors, exactly as Vespa's ColBertEmbedder makes them."""

from __future__ import annotations

from vespa_colbert.embedder.colbert import LocalEmbedder, Role, TransformerInput

__all__ = ["LocalEmbedder", "Role", "TransformerInput"]
