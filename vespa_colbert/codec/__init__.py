"""ColBERTv2's residual codec: trained, applied, on disk, and PLAID's files."""

from __future__ import annotations

from vespa_colbert.codec.plaid import PlaidChunk, PlaidIndex, read_plaid, write_plaid
from vespa_colbert.codec.residual import ResidualCodec, ResidualCodes, joined_codes, unit_vectors
from vespa_colbert.codec.store import read_codec, require_model, write_codec
from vespa_colbert.codec.train import CodecOptions, centroids_for, train_codec, train_codecs

__all__ = [
    "CodecOptions",
    "PlaidChunk",
    "PlaidIndex",
    "ResidualCodec",
    "ResidualCodes",
    "centroids_for",
    "joined_codes",
    "read_codec",
    "read_plaid",
    "require_model",
    "train_codec",
    "train_codecs",
    "unit_vectors",
    "write_codec",
    "write_plaid",
]
