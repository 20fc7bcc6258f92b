"""Random tensors of every kind, for the tests that compare with another reader or writer."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType
from vespa_colbert.tensor.cells import cast_cells

__all__ = ["random_tensors", "tensors"]

LABELS = (
    "a",
    "b",
    "A",
    "1",
    "12",
    "2",
    "007",
    "-5",
    "a-b",
    "_$",
    "é",
    "x y",
    "}:,",
    "{",
    "[1]",
    "it's",
    'say "x"',
    "\\",
    '\\"',
    "\U0001f600",
    "\uffff",
    "tensor",
    "#",
)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.1, 1e-3, 1e7, 9999999.0, 1e-45, 5e-324, 3.4028235e38, 1e300)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Return a strategy for tensors of at most four dimensions."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return _tensor(generator)


def random_tensors(count: int, seed: int) -> list[Tensor]:
    """Return tensors that are the same every time."""
    generator = np.random.default_rng(seed)
    return [_tensor(generator) for _ in range(count)]


def _tensor(generator: np.random.Generator) -> Tensor:
    names = generator.choice(["a", "b", "c", "m", "x", "y1", "z_"], generator.integers(0, 4), False)
    dimensions = tuple(
        Dimension(str(name), None if generator.random() < 0.5 else int(generator.integers(1, 4)))
        for name in names
    )
    cell_type = CellType(generator.choice(list(CellType))) if dimensions else CellType.DOUBLE
    kind = TensorType(cell_type, dimensions)
    mapped = len(kind.mapped)
    addresses = {tuple(str(each) for each in generator.choice(LABELS, mapped)) for _ in range(4)}
    kept = sorted(addresses)[: generator.integers(0, 5)] if mapped else [()]
    return Tensor.from_subspaces(kind, {address: _block(generator, kind) for address in kept})


def _block(generator: np.random.Generator, kind: TensorType) -> Any:
    if kind.cell_type is CellType.INT8:
        return generator.integers(-128, 128, kind.shape).astype(np.int8)
    values = generator.normal(size=kind.shape) * 10.0 ** generator.integers(-12, 12)
    known = generator.choice([*SPECIAL, *NOT_FINITE], kind.shape)
    return cast_cells(np.where(generator.random(kind.shape) < 0.5, values, known), kind.cell_type)
