"""What a user may ask of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["DEFAULT_OPSET", "DEFAULT_OPTIONS", "ExportOptions", "Packaging", "PackagingRequest"]

Packaging: TypeAlias = Literal["native", "exact"]
PackagingRequest: TypeAlias = Literal["auto", "native", "exact"]

DEFAULT_OPSET = 18
"""What the dynamo exporter writes without converting; ONNX Runtime loads it since 1.14."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How a checkpoint is to be exported.

    Attributes:
        packaging: ``native`` is the plain graph; ``exact`` has the training library's semantics in
            graph and tokenizer; ``auto`` is native where that is faithful, else exact.
        dims: How many of the first components make a token vector (Matryoshka), normalised again
            in the graph; None for all.
        accept_drift: Whether to write a model whose scores in Vespa are not the library's.
        opset: ONNX operator set to write.
    """

    packaging: PackagingRequest = "auto"
    dims: int | None = None
    accept_drift: bool = False
    opset: int = DEFAULT_OPSET


DEFAULT_OPTIONS = ExportOptions()
