"""What whoever feeds and asks sends: which tensors a model makes, and what the others look like."""

from __future__ import annotations

import json
import re

from vespa_colbert.app.query import NEAREST_INPUT
from vespa_colbert.codec.store import CENTROID
from vespa_colbert.tensor import CellType, TensorType

__all__ = [
    "MORE",
    "document_example",
    "holds_residuals",
    "holds_tokens",
    "is_embedded",
    "is_token_input",
    "literal_example",
    "token_place",
]

EMBED = re.compile(r"\bembed\b")

NUMBERED = re.compile(rf"{NEAREST_INPUT}([0-9]+)")

MORE = ", ..."
"""What stands for more of the same in an example."""

LABEL = "..."


def is_embedded(statement: str) -> bool:
    """Return whether the model of token vectors makes what a statement fills a field with."""
    return EMBED.search(statement) is not None


def holds_tokens(kind: TensorType) -> bool:
    """Return whether a tensor of that type holds a vector for each token."""
    return len(kind.mapped) == 1 and len(kind.indexed) == 1


def holds_residuals(kind: TensorType) -> bool:
    """Return whether a tensor of that type holds residuals, each with the label of its centroid."""
    return kind.cell_type is CellType.INT8 and CENTROID in kind.mapped


def token_place(name: str, kind: TensorType) -> int | None:
    """Return which token of the query an input holds, or ``None`` if not one token."""
    match = NUMBERED.fullmatch(name)
    return int(match[1]) if match and not kind.mapped and len(kind.indexed) == 1 else None


def is_token_input(name: str, kind: TensorType) -> bool:
    """Return whether token vectors fill an input: with all of them, or with one of them."""
    return holds_tokens(kind) or token_place(name, kind) is not None


def document_example(kind: TensorType) -> str:
    """Return a tensor as a document's JSON has it, for a reader to fill in.

    Source: JsonFormat.decode, Vespa 8.700.24.
    """
    number, block = _number(kind), f"[{_number(kind)}{MORE}]"
    if not kind.mapped:
        return f'{{"values": {block}}}'
    address = json.dumps(dict.fromkeys(kind.mapped, LABEL))
    if kind.indexed:
        if len(kind.mapped) == 1:
            return f'{{"blocks": {{"{LABEL}": {block}{MORE}}}}}'
        return f'{{"blocks": [{{"address": {address}, "values": {block}}}{MORE}]}}'
    if len(kind.mapped) == 1:
        return f'{{"cells": {{"{LABEL}": {number}{MORE}}}}}'
    return f'{{"cells": [{{"address": {address}, "value": {number}}}{MORE}]}}'


def literal_example(kind: TensorType) -> str:
    """Return a tensor as a literal has it, for a reader to fill in."""
    block = f"[{_number(kind)}{MORE}]"
    if not kind.mapped:
        return block
    if len(kind.mapped) == 1:
        return f'{{"{LABEL}":{block if kind.indexed else _number(kind)}{MORE}}}'
    labels = (
        f"{each.name}:{json.dumps(LABEL) if each.is_mapped else 0}" for each in kind.dimensions
    )
    return f"{{{{{','.join(labels)}}}:{_number(kind)}{MORE}}}"


def _number(kind: TensorType) -> str:
    return "1" if kind.cell_type is CellType.INT8 else "0.1"
