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
from vespa_colbert.export.gelu import reorder_gelu
from vespa_colbert.export.graph_form import INPUT_AXES, GraphForm

if TYPE_CHECKING:
    from vespa_colbert.model.contextual import ContextualEncoder
    from vespa_colbert.model.exact import ExactEncoder

__all__ = ["EXPORTERS", "Exporter", "Module", "example_tokens"]

logger = logging.getLogger(__name__)

EXAMPLE_BATCH, EXAMPLE_TOKENS = 2, 9
# They say at warning level what concerns only their own development.
CHATTY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")

Module: TypeAlias = "ContextualEncoder | ExactEncoder"
Convert: TypeAlias = Callable[[Any, tuple[Any, ...], Path, int, GraphForm], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """One way to make an ONNX file.

    Attributes:
        name: What the manifest calls it.
        opsets: The operator sets that it writes.
        convert: Writes the file for a module, example inputs, an opset and the graph's form.
    """

    name: str
    opsets: range
    convert: Convert

    def run(
        self, module: Any, examples: tuple[Any, ...], path: Path, opset: int, form: GraphForm
    ) -> None:
        """Write the ONNX file of ``module`` to ``path``; what the exporter says goes to the log."""
        import torch

        with torch.no_grad(), _quiet():
            self.convert(module, examples, path, opset, form)


def example_tokens(checkpoint: Checkpoint) -> tuple[Any, Any]:
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


def _with_dynamo(
    module: Any, examples: tuple[Any, ...], path: Path, opset: int, form: GraphForm
) -> None:
    import torch

    axes = {place: torch.export.Dim(name) for place, name in enumerate(INPUT_AXES)}
    torch.onnx.export(
        module,
        examples,
        str(path),
        input_names=list(form.inputs),
        output_names=[form.output],
        opset_version=opset,
        dynamo=True,
        dynamic_shapes=(axes,) * len(examples),
        # Vespa reads one file and ignores a .data file beside it.
        external_data=False,
        verbose=False,
    )
    reorder_gelu(path)


def _with_torchscript(
    module: Any, examples: tuple[Any, ...], path: Path, opset: int, form: GraphForm
) -> None:
    import torch

    varying = {place: axis for place, axis in enumerate(form.axes) if isinstance(axis, str)}
    torch.onnx.export(
        module,
        examples,
        str(path),
        input_names=list(form.inputs),
        output_names=[form.output],
        opset_version=opset,
        dynamo=False,
        dynamic_axes={
            **{name: dict(enumerate(INPUT_AXES)) for name in form.inputs},
            form.output: varying,
        },
        do_constant_folding=True,
    )
    _fix_sizes(path, form)


def _fix_sizes(path: Path, form: GraphForm) -> None:
    """Write the known sizes over the names that TorchScript makes up for axes of the output."""
    import onnx

    model = onnx.load(str(path))
    shape = model.graph.output[0].type.tensor_type.shape.dim
    for axis, size in zip(shape, form.axes, strict=True):
        if isinstance(size, int):
            axis.Clear()
            axis.dim_value = size
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
