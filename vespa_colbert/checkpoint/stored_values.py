"""Values as weight files store them: which types are read, how they widen, what marks damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import CheckpointError

__all__ = ["KEPT", "WIDENED", "check_values", "stored_dtype", "widen"]

# The float types that float32 holds exactly; the integer types are those of index buffers.
WIDENED = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
KEPT = {"I64": "<i8", "I32": "<i4", "BOOL": "?"}


def stored_dtype(dtype: str, where: str) -> str:
    """Return the numpy type of the stored bytes, where ``dtype`` is a safetensors type name.

    Raises:
        CheckpointError: For a type that float32 does not hold exactly.
    """
    stored = WIDENED.get(dtype) or KEPT.get(dtype)
    if stored is None:
        raise CheckpointError(f"{where}: expected float weights (F32, F16, BF16), got {dtype}")
    return stored


def widen(stored: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return floats as float32, exactly; bfloat16 is the upper half of a float32's bits.

    Args:
        stored: Any shape, of the type that ``stored_dtype`` gives.
        dtype: Its safetensors type name.

    Returns:
        The same shape in row-major order, float32 or the integer type as it is.
    """
    if dtype == "BF16":
        upper_half = np.asarray(stored.astype(np.uint32, order="C") << 16)
        return upper_half.view(np.float32)
    wanted = np.float32 if dtype in WIDENED else stored.dtype
    return stored.astype(wanted, order="C", copy=False)


def check_values(array: NDArray[Any], name: str, path: Path) -> None:
    """Return nothing if all values are finite and a weight is not zero throughout.

    Raises:
        CheckpointError: With the tensor, the count and the first index.
    """
    if array.dtype != np.float32 or array.size == 0:
        return
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.flatnonzero(~finite.ravel())
        first = tuple(int(at) for at in np.unravel_index(bad[0], array.shape))
        raise CheckpointError(
            f"{path}: {name}: expected finite values, got {len(bad)} that are NaN or infinite, "
            f"the first at index {first}; the checkpoint was saved from a broken run"
        )
    if _may_not_be_zero(name) and not array.any():
        raise CheckpointError(
            f"{path}: {name}: expected trained values, got {array.size} zeros (all of shape "
            f"{array.shape}, the first at index {(0,) * array.ndim}); the checkpoint is damaged"
        )


def _may_not_be_zero(name: str) -> bool:
    """Return whether zeros throughout mean damage: not in a bias, nor in unused token types.

    RoBERTa checkpoints have token type embeddings of zeros because the model has no such types.
    """
    return name.endswith(("weight", "gamma")) and "token_type_embeddings" not in name
