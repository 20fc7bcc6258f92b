"""What an ONNX file of a package says, as far as it is known whether Vespa can run it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vespa_colbert.checkpoint.regular_file import LFS_POINTER
from vespa_colbert.errors import GraphMismatchError, MissingExtraError

__all__ = ["ModelFacts", "read_model"]

FLOATS = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")
POSITIONS = ("position_embeddings.weight", "position_embedding.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a file says.

    Attributes:
        inputs: Names of what it must be given.
        outputs: Name → sizes of its axes, ``None`` where a size is not fixed.
        opset: Version of ONNX's operator set.
        ir_version: Version of the file format.
        external: Weights that stand in another file.
        not_finite: Weights that hold NaN or infinity.
        positions: Rows of the table of positions; ``None`` where there is none of a known name.
    """

    inputs: tuple[str, ...]
    outputs: dict[str, tuple[int | None, ...]]
    opset: int
    ir_version: int
    external: tuple[str, ...]
    not_finite: tuple[str, ...]
    positions: int | None

    def width(self, output: str) -> int | None:
        """Return the size of the last axis of an output, ``None`` where it is not known."""
        axes = self.outputs.get(output)
        return axes[-1] if axes else None


def read_model(path: Path) -> ModelFacts:
    """Return what an ONNX file says.

    Raises:
        GraphMismatchError: If it is none.
        MissingExtraError: If onnx is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "onnx") from error
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise GraphMismatchError("it is a pointer of git-lfs in the place of the file")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # that of protobuf, which has no types
        raise GraphMismatchError(f"it is not ONNX ({error})") from error
    if not model.graph.node:
        raise GraphMismatchError("it is not ONNX, or an empty graph")
    weights = {each.name: each for each in model.graph.initializer}
    outside = onnx.TensorProto.EXTERNAL
    return ModelFacts(
        inputs=tuple(each.name for each in model.graph.input if each.name not in weights),
        outputs={each.name: _axes(each) for each in model.graph.output},
        opset=next((int(e.version) for e in model.opset_import if e.domain in {"", "ai.onnx"}), 0),
        ir_version=int(model.ir_version),
        external=tuple(name for name, each in weights.items() if each.data_location == outside),
        not_finite=tuple(_not_finite(weights.values())),
        positions=next((int(w.dims[0]) for n, w in weights.items() if n.endswith(POSITIONS)), None),
    )


def _axes(value: Any) -> tuple[int | None, ...]:
    sizes = value.type.tensor_type.shape.dim
    return tuple(int(each.dim_value) if each.HasField("dim_value") else None for each in sizes)


def _not_finite(weights: Any) -> Iterator[str]:
    """Yield the names of weights that hold NaN or infinity; masks of 0 and -inf are meant so."""
    import onnx

    types = {getattr(onnx.TensorProto, name) for name in FLOATS}
    for each in weights:
        if each.data_type not in types or each.data_location == onnx.TensorProto.EXTERNAL:
            continue
        array = onnx.numpy_helper.to_array(each)
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(np.sum(array, dtype=np.float64)):
                continue
        bad = array[~np.isfinite(array)]
        is_mask = bool((bad == -np.inf).all()) and not np.any(array[np.isfinite(array)])
        if bad.size and not is_mask and not (array.size == 1 and not np.isnan(bad).any()):
            yield each.name
