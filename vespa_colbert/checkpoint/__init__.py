"""A folder → a Checkpoint: layout, weights by role, markers, lengths, skip words; and back."""

from __future__ import annotations

from vespa_colbert.checkpoint.dense_facts import DenseCheckpoint, StatedFacts
from vespa_colbert.checkpoint.dense_folder import dense_signs, read_dense_checkpoint
from vespa_colbert.checkpoint.facts import Checkpoint, Encoder, ProjectionLayer
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.pylate import PyLateSettings
from vespa_colbert.checkpoint.read import LAYOUTS, Layout, read_checkpoint
from vespa_colbert.checkpoint.tokenizer_facts import Marker, TokenizerFacts
from vespa_colbert.checkpoint.write import (
    WrittenCheckpoint,
    read_checksums,
    write_checksums,
    write_json,
    write_pylate_checkpoint,
)

__all__ = [
    "LAYOUTS",
    "Checkpoint",
    "DenseCheckpoint",
    "Encoder",
    "Layout",
    "Marker",
    "ProjectionLayer",
    "PyLateSettings",
    "ReadOptions",
    "StatedFacts",
    "TokenizerFacts",
    "WrittenCheckpoint",
    "dense_signs",
    "read_checkpoint",
    "read_checksums",
    "read_dense_checkpoint",
    "write_checksums",
    "write_json",
    "write_pylate_checkpoint",
]
