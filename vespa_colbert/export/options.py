"""What a user may ask of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vespa_colbert.export.runtimes import OLDEST_VESPA

__all__ = [
    "DEFAULT_OPSET",
    "DEFAULT_OPTIONS",
    "Dtype",
    "ExportOptions",
    "Packaging",
    "PackagingRequest",
]

Packaging: TypeAlias = Literal["native", "exact"]
PackagingRequest: TypeAlias = Literal["auto", "native", "exact"]
Dtype: TypeAlias = Literal["fp32", "fp16", "int8"]

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
        accept_drift: Whether to write a model whose scores in Vespa are not the library's, or
            whose dtype loses more than its gate allows.
        opset: ONNX operator set to write.
        dtype: Of the weights; ``fp16`` and ``int8`` are measured against ``fp32`` and gated.
        optimize: Whether the attention is one operator of ONNX Runtime's own where nothing is
            padded.
        verify: Whether ONNX Runtime is compared with torch.
        vespa_version: Oldest Vespa release that must load the model.
    """

    packaging: PackagingRequest = "auto"
    dims: int | None = None
    accept_drift: bool = False
    opset: int = DEFAULT_OPSET
    dtype: Dtype = "fp32"
    optimize: bool = False
    verify: bool = True
    vespa_version: str = OLDEST_VESPA


DEFAULT_OPTIONS = ExportOptions()
"""What is asked for where nobody asks."""
