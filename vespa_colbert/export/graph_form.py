"""What an exported graph takes and gives: the names and axes of its inputs and of its output."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INPUT_AXES", "INPUT_NAMES", "OUTPUT_NAME", "GraphForm", "token_rows"]

INPUT_NAMES = ("input_ids", "attention_mask")
OUTPUT_NAME = "contextual"
INPUT_AXES = ("batch", "sequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphForm:
    """Names and axes of a graph.

    Attributes:
        inputs: Names of the inputs in order, each int64 (batch, sequence).
        output: Name of the one output, float32.
        axes: Of the output: a name for a size that varies, the size itself for one that does not.
    """

    inputs: tuple[str, ...]
    output: str
    axes: tuple[str | int, ...]


def token_rows(dim: int) -> GraphForm:
    """Return the form of a late-interaction model: a row of ``dim`` components for each token."""
    return GraphForm(inputs=INPUT_NAMES, output=OUTPUT_NAME, axes=(*INPUT_AXES, dim))
