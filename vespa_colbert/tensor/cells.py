"""Token vectors → the cells of a tensor field, as Vespa's embedder writes them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, pack_bits, truncate_to_bfloat16
from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor.types import CellType, TensorType

__all__ = ["cells_of"]


def cells_of(vectors: TokenVectors, target: TensorType) -> NDArray[Any]:
    """Return token vectors as the cells of a tensor field.

    Args:
        vectors: (token, dim) float32.
        target: Such as ``tensor<int8>(dt{},x[16])``: int8 takes the sign bits of the first
            8 · width components, other cell types the first components as they are, never
            normalised again.

    Returns:
        (token, width) of the cell type's dtype.

    Raises:
        ArrayError: If the field is wider than the vectors, or has no such shape.

    Source: ColBertEmbedder.toFloatTensor and toBitTensor, Vespa 8.700.24.
    """
    if len(target.indexed) != 1 or len(target.mapped) != 1:
        raise ArrayError(f"{target}: expected one mapped and one indexed dimension")
    packed = target.cell_type is CellType.INT8
    wanted = target.shape[0] * (8 if packed else 1)
    if wanted > vectors.shape[1]:
        raise ArrayError(f"{target}: expected vectors of {wanted} or more, got {vectors.shape[1]}")
    first = vectors[:, :wanted]
    if packed:
        return pack_bits(first)
    if target.cell_type is CellType.BFLOAT16:
        return truncate_to_bfloat16(first)
    return first.astype(target.cell_type.dtype)
