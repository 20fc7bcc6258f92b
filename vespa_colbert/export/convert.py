"""torch module → ONNX file, by torch's two exporters: dynamo first, TorchScript if that fails."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vespa_colbert.checkpoint import Checkpoint

if TYPE_CHECKING:
    from vespa_colbert.model.contextual import ContextualEncoder
    from vespa_colbert.model.exact import ExactEncoder

__all__ = ["EXPORTERS", "INPUT_NAMES", "OUTPUT_NAME", "Exporter", "Module"]

logger = logging.getLogger(__name__)

INPUT_NAMES = ("input_ids", "attention_mask")
OUTPUT_NAME = "contextual"
EXAMPLE_BATCH, EXAMPLE_TOKENS = 2, 9
# They say at warning level what concerns only their own development.
CHATTY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")

Module: TypeAlias = "ContextualEncoder | ExactEncoder"
Convert: TypeAlias = Callable[["Module", tuple[Any, Any], Path, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """One way to make an ONNX file.

    Attributes:
        name: What the manifest calls it.
        opsets: The operator sets that it writes.
        convert: Writes the file for a module, two example inputs and an opset.
    """

    name: str
    opsets: range
    convert: Convert

    def run(self, module: Module, checkpoint: Checkpoint, path: Path, opset: int) -> None:
        """Write the ONNX file of ``module`` to ``path``; what the exporter says goes to the log."""
        import torch

        with torch.no_grad(), _quiet():
            self.convert(module, _examples(checkpoint), path, opset)


def _examples(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Return ids and attention as two distinct tensors, (2, 9) int64 each, some attention 0.

    One tensor object for both inputs would be traced as a single input, and the graph be wrong.
    """
    import torch

    ids = torch.full((EXAMPLE_BATCH, EXAMPLE_TOKENS), checkpoint.mask_id, dtype=torch.int64)
    for column, token_id in ((0, checkpoint.start_id), (-1, checkpoint.end_id)):
        if token_id is not None:
            ids[:, column] = token_id
    attention = torch.ones(EXAMPLE_BATCH, EXAMPLE_TOKENS, dtype=torch.int64)
    attention[1, EXAMPLE_TOKENS // 2 :] = 0
    return ids, attention


def _with_dynamo(module: Module, examples: tuple[Any, Any], path: Path, opset: int) -> None:
    import torch

    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    torch.onnx.export(
        module,
        examples,
        str(path),
        input_names=list(INPUT_NAMES),
        output_names=[OUTPUT_NAME],
        opset_version=opset,
        dynamo=True,
        dynamic_shapes=dict.fromkeys(INPUT_NAMES, axes),
        # Vespa reads one file and ignores a .data file beside it.
        external_data=False,
        verbose=False,
    )


def _with_torchscript(module: Module, examples: tuple[Any, Any], path: Path, opset: int) -> None:
    import torch

    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        module,
        examples,
        str(path),
        input_names=list(INPUT_NAMES),
        output_names=[OUTPUT_NAME],
        opset_version=opset,
        dynamo=False,
        dynamic_axes=dict.fromkeys((*INPUT_NAMES, OUTPUT_NAME), axes),
        do_constant_folding=True,
    )
    _fix_output_width(path, module.dim)


def _fix_output_width(path: Path, dim: int) -> None:
    """Write the known width over the name that TorchScript makes up for the last output axis."""
    import onnx

    model = onnx.load(str(path))
    axis = model.graph.output[0].type.tensor_type.shape.dim[2]
    axis.Clear()
    axis.dim_value = dim
    onnx.save(model, str(path))


EXPORTERS = (
    # Asked for an older set, it writes 18 all the same.
    Exporter(name="dynamo", opsets=range(18, 24), convert=_with_dynamo),
    Exporter(name="torchscript", opsets=range(17, 21), convert=_with_torchscript),
)
"""Tried in this order."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send warnings, prints and log lines of the exporters to this module's log at debug level."""
    said = io.StringIO()
    levels = {name: logging.getLogger(name).level for name in CHATTY_LOGGERS}
    try:
        for name in CHATTY_LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        with (
            warnings.catch_warnings(record=True) as caught,
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("always")
            yield
        for warning in caught:
            logger.debug("%s", warning.message)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if text := said.getvalue().strip():
            logger.debug("%s", text)
