"""What must be known of a model that reads a query and a document together, beside its two files.

A model folder states it in ``embedder.json``, as the member ``cross_encoder``. How the two texts
are put together is read from ``tokenizer.json`` and stated nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.export.facts_file import read_facts
from vespa_colbert.export.model_folder import EMBEDDER_FILE

__all__ = ["CrossEncoderSpec", "read_cross_encoder_spec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderSpec:
    """What ranking must know of a cross-encoder: rendered into the schema.

    Attributes:
        max_tokens: Tokens of query and document together, special ones included.
        input_ids: Name of the graph's input of token ids, int64 (batch, token).
        attention_mask: Name of its input of attention.
        token_type_ids: Name of its input of token types; empty for a graph without.
        output: Name of its output, float (batch, 1): one logit a pair.
    """

    max_tokens: int
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    token_type_ids: str = ""
    output: str = "logits"


def read_cross_encoder_spec(folder: Path) -> CrossEncoderSpec:
    """Return what a model folder states.

    Args:
        folder: Has ``embedder.json`` with a member ``cross_encoder``.

    Raises:
        SpecError: If the file cannot be read, or a fact is missing or not known.
    """
    return read_facts(folder / EMBEDDER_FILE, "cross_encoder", CrossEncoderSpec)
