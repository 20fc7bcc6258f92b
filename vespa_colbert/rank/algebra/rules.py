"""The type of a result from the types of the operands, as the content nodes resolve types."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vespa_colbert.errors import ExpressionTypeError
from vespa_colbert.tensor import CellType, Dimension, TensorType
from vespa_colbert.tensor.types import MOST_CELLS

__all__ = [
    "cell_cast_type",
    "choice_type",
    "concat_type",
    "filter_type",
    "join_type",
    "map_subspaces_type",
    "map_type",
    "merge_type",
    "peek_type",
    "reduce_type",
    "rename_type",
    "require_size",
    "unpack_bits_type",
]

LARGER = (CellType.INT8, CellType.BFLOAT16, CellType.FLOAT, CellType.DOUBLE)


def _at_least_float(cell_type: CellType) -> CellType:
    return CellType.DOUBLE if cell_type is CellType.DOUBLE else CellType.FLOAT


def require_size(kind: TensorType, what: str) -> None:
    """Return nothing if a dense subspace of a type is of a size to be computed with.

    Args:
        kind: The type.
        what: Names what has the type.

    Raises:
        ExpressionTypeError: If it has too many cells.
    """
    if (cells := kind.block_size) > MOST_CELLS:
        raise ExpressionTypeError(f"{what}: expected at most {MOST_CELLS} cells, got {cells}")


def _made(cell_type: CellType, dimensions: Sequence[Dimension]) -> TensorType:
    kind = TensorType(cell_type if dimensions else CellType.DOUBLE, tuple(dimensions))
    require_size(kind, str(kind))
    return kind


def _unified(left: TensorType, right: TensorType) -> CellType:
    """Return the cell type of two together; a number has no say beside a tensor."""
    kinds = {each.cell_type for each in (left, right) if not each.is_number}
    if len(kinds) > 1:
        return _at_least_float(max(kinds, key=LARGER.index))
    return kinds.pop() if kinds else CellType.DOUBLE


def _together(left: TensorType, right: TensorType, what: str) -> list[Dimension]:
    """Return the dimensions of both.

    Raises:
        ExpressionTypeError: If one has another size, or labels instead of indexes.
    """
    dimensions = {each.name: each for each in left.dimensions}
    for each in right.dimensions:
        if dimensions.setdefault(each.name, each) != each:
            raise ExpressionTypeError(
                f"cannot {what} {left} and {right}: dimension {each.name} is "
                f"{dimensions[each.name]} on one side and {each} on the other"
            )
    return list(dimensions.values())


def map_type(argument: TensorType) -> TensorType:
    """Return the type of a function of every cell: at least float."""
    return _made(_at_least_float(argument.cell_type), argument.dimensions)


def join_type(left: TensorType, right: TensorType) -> TensorType:
    """Return the type of a join."""
    return _made(_at_least_float(_unified(left, right)), _together(left, right, "join"))


def merge_type(left: TensorType, right: TensorType) -> TensorType:
    """Return the type of a merge.

    Raises:
        ExpressionTypeError: If the dimensions are not the same.
    """
    if left.dimensions != right.dimensions:
        raise ExpressionTypeError(f"cannot merge {left} and {right}: expected the same dimensions")
    return _made(_at_least_float(_unified(left, right)), left.dimensions)


def concat_type(left: TensorType, right: TensorType, dimension: str) -> TensorType:
    """Return the type of a concatenation.

    Raises:
        ExpressionTypeError: If the dimension has labels, or others do not fit.
    """
    size = 0
    parts = []
    for each in (left, right):
        own = each.dimension(dimension) or Dimension(dimension, 1)
        if own.size is None:
            raise ExpressionTypeError(f"concat: {dimension} is a mapped dimension of {each}")
        size += own.size
        rest = [one for one in each.dimensions if one.name != dimension]
        parts.append(_made(each.cell_type, rest))
    others = _together(parts[0], parts[1], "concat")
    return _made(_unified(left, right), [*others, Dimension(dimension, size)])


def _without(argument: TensorType, names: Sequence[str], what: str) -> list[Dimension]:
    """Return the dimensions without some.

    Raises:
        ExpressionTypeError: If one is not there, or named twice.
    """
    known = {each.name for each in argument.dimensions}
    if missing := [name for name in names if name not in known]:
        raise ExpressionTypeError(
            f"{what}: expected dimensions of {argument}, got {', '.join(missing)}"
        )
    if len(set(names)) < len(names):
        raise ExpressionTypeError(f"{what}: a dimension occurs twice in {', '.join(names)}")
    return [each for each in argument.dimensions if each.name not in names]


def reduce_type(argument: TensorType, names: Sequence[str]) -> TensorType:
    """Return the type of a reduction; over all dimensions when none is named."""
    kept = _without(argument, names, "reduce") if names else []
    return _made(_at_least_float(argument.cell_type), kept)


def peek_type(argument: TensorType, names: Sequence[str]) -> TensorType:
    """Return the type of a slice at some dimensions."""
    return _made(argument.cell_type, _without(argument, names, "slice"))


def rename_type(argument: TensorType, before: Sequence[str], after: Sequence[str]) -> TensorType:
    """Return the type with other names.

    Raises:
        ExpressionTypeError: If the lists differ in length or a dimension is not there, or two
            would have one name.
    """
    if len(before) != len(after) or not before:
        raise ExpressionTypeError(
            f"rename: expected as many names before as after, got {len(before)} and {len(after)}"
        )
    _without(argument, before, "rename")
    names = dict(zip(before, after, strict=True))
    dimensions = [
        Dimension(names.get(each.name, each.name), each.size) for each in argument.dimensions
    ]
    if len({each.name for each in dimensions}) < len(dimensions):
        raise ExpressionTypeError(f"rename: two dimensions of {argument} would have one name")
    return _made(argument.cell_type, dimensions)


def cell_cast_type(argument: TensorType, cell_type: CellType) -> TensorType:
    """Return the type with other cells.

    Raises:
        ExpressionTypeError: For a number cast to anything but double.
    """
    if argument.is_number and cell_type is not CellType.DOUBLE:
        raise ExpressionTypeError(f"cell_cast: a number cannot have cells of type {cell_type}")
    return TensorType(cell_type, argument.dimensions)


def unpack_bits_type(argument: TensorType, cell_type: CellType) -> TensorType:
    """Return the type of unpacked bits: the last indexed dimension is 8 times as long.

    Raises:
        ExpressionTypeError: If the cells are not int8, or no dimension is indexed.
    """
    if argument.cell_type is not CellType.INT8 or not argument.indexed:
        raise ExpressionTypeError(
            f"unpack_bits: expected int8 cells and an indexed dimension, got {argument}"
        )
    last = argument.indexed[-1]
    return TensorType(
        cell_type,
        tuple(
            Dimension(each.name, each.size * 8) if each.name == last and each.size else each
            for each in argument.dimensions
        ),
    )


def map_subspaces_type(
    argument: TensorType, function: Callable[[TensorType], TensorType]
) -> TensorType:
    """Return the type of a function of every dense subspace.

    Raises:
        ExpressionTypeError: If the function gives a mapped dimension, or one that is there already.
    """
    outer = [each for each in argument.dimensions if each.is_mapped]
    inner = [each for each in argument.dimensions if not each.is_mapped]
    result = function(_made(argument.cell_type, inner))
    if result.mapped:
        raise ExpressionTypeError(f"map_subspaces: the function has mapped dimensions: {result}")
    if taken := {each.name for each in outer} & set(result.indexed):
        raise ExpressionTypeError(
            f"map_subspaces: {argument} has a dimension {', '.join(taken)} already"
        )
    cells = _at_least_float(argument.cell_type) if result.is_number else result.cell_type
    return _made(cells, [*outer, *result.dimensions])


def filter_type(argument: TensorType, function: Callable[[TensorType], TensorType]) -> TensorType:
    """Return the type of a filter.

    Raises:
        ExpressionTypeError: If nothing is mapped.
    """
    if not argument.mapped:
        raise ExpressionTypeError(f"filter_subspaces: expected a mapped dimension, got {argument}")
    function(_made(argument.cell_type, [each for each in argument.dimensions if each.size]))
    return argument


def choice_type(
    condition: TensorType, taken: TensorType, other: TensorType, *_probability: object
) -> TensorType:
    """Return the type of an ``if``.

    Raises:
        ExpressionTypeError: If the branches have two types, or the condition is no number.
    """
    if not condition.is_number:
        raise ExpressionTypeError(f"if: expected a number as condition, got {condition}")
    if taken != other:
        raise ExpressionTypeError(f"if: expected branches of one type, got {taken} and {other}")
    return taken
