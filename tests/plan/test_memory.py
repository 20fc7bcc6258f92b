"""Bytes worked out by hand from Vespa's stores; no number here comes from our own output."""

from __future__ import annotations

import pytest

from vespa_colbert.plan.memory import GraphSettings, stored_tensor
from vespa_colbert.tensor import TensorType

FLOATS = TensorType.parse("tensor<float>(dt{},x[128])")
BITS = TensorType.parse("tensor<int8>(dt{},x[16])")

REFERENCE = 4
ROUNDING = 1e-9
"""Sums of a few numbers that are no multiples of powers of two."""


@pytest.mark.parametrize(
    ("kind", "vectors", "size"),
    [
        # 4 + 3·4 labels = 16, 3·16 cells = 48.
        (BITS, 3, 16 + 48),
        # Less than 32 bytes of cells are aligned to 4 only: 4 + 4, 16.
        (BITS, 1, 8 + 16),
        # 4 + 4·4 = 20, aligned to 32; 4·16 = 64.
        (BITS, 4, 32 + 64),
        # 4 + 66·4 = 268, aligned to 272; 66·512: up to here each number has its own class.
        (FLOATS, 66, 272 + 33_792),
        # After 67 come 69, 71, … 99, 101, 104, 107, 110, 113, 116, 119, 122 by 3 %, cut off:
        # 120 take the room of 122: 4 + 122·4 = 492, aligned to 496; 122·512.
        (FLOATS, 120, 496 + 62_464),
        (BITS, 120, 496 + 122 * 16),
        (TensorType.parse("tensor<bfloat16>(dt{},x[128])"), 120, 496 + 122 * 256),
        # Two labels a vector: 4 + 10·8 = 84, aligned to 96; 160.
        (TensorType.parse("tensor<int8>(context{},token{},x[16])"), 10, 96 + 160),
        # A label a cell: 4 + 5·4 = 24, 5 doubles.
        (TensorType.parse("tensor(term{})"), 5, 32 + 48),
        # Nothing but the count.
        (FLOATS, 0, 4),
    ],
)
def test_a_mixed_tensor_takes_count_labels_and_cells_of_its_size_class(
    kind: TensorType, vectors: int, size: int
) -> None:
    stored = stored_tensor(kind, vectors)
    assert stored.memory == REFERENCE + size
    assert (stored.paged, stored.graph) == (0, 0)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("tensor<float>(x[384])", 1536),
        ("tensor<int8>(x[5])", 8),
        ("tensor<int8>(x[12])", 16),
        ("tensor<int8>(x[20])", 32),
        ("tensor<bfloat16>(x[33])", 96),
    ],
)
def test_a_dense_tensor_is_aligned_to_8_16_or_32_bytes(text: str, size: int) -> None:
    assert stored_tensor(TensorType.parse(text), 1).memory == REFERENCE + size


def test_fast_rank_keeps_values_with_a_map_and_cells_in_powers_of_two() -> None:
    # 120·128 cells → 16384·4; a map of 256 nodes of 12; 120 labels of 4; 232 + 2·40 + 16.
    size = 65_536 + 3_072 + 480 + 328
    assert stored_tensor(FLOATS, 120, fast_rank=True).memory == REFERENCE + size


def test_paged_tensors_are_on_disk_but_for_the_reference() -> None:
    stored = stored_tensor(FLOATS, 120, paged=True)
    assert (stored.memory, stored.paged) == (REFERENCE, 62_960)


def test_a_mixed_tensor_that_is_fast_rank_too_is_not_paged() -> None:
    stored = stored_tensor(FLOATS, 120, paged=True, fast_rank=True)
    assert stored.paged == 0
    assert stored.memory > 62_960


def test_a_graph_takes_at_most_twice_its_links_at_the_lowest_level() -> None:
    # A node: 12 + 4, levels 4·(1 + 1/15), links 4·(32 + 16/15); a document: 4.
    of_node = 16 + 4 * 16 / 15 + 4 * (32 + 16 / 15)
    stored = stored_tensor(BITS, 10, graph=GraphSettings())
    assert stored.graph == pytest.approx(10 * of_node + 4, rel=ROUNDING)
    # Dense: a node a document, of 4 bytes, with no mapping. 8 links: 4·8/7 + 4·(16 + 8/7).
    dense = stored_tensor(
        TensorType.parse("tensor<float>(x[8])"), 1, graph=GraphSettings(max_links=8)
    )
    assert dense.graph == pytest.approx(4 + 4 * 8 / 7 + 4 * (16 + 8 / 7), rel=ROUNDING)


def test_a_saved_tensor_has_header_labels_and_cells() -> None:
    # Size 4, header 4, names 3 + 2, size and count 1 + 1, labels 3·(1 + 1), cells 48.
    assert stored_tensor(BITS, 3).saved == 69
    # 128 and more take four bytes: a size of 128; labels of 0 to 129 have 10 + 180 + 90 digits.
    assert stored_tensor(FLOATS, 130).saved == 4 + 4 + 5 + 4 + 4 + 130 + 280 + 130 * 512
