"""Residuals in the local index: labelled by centroid and place, kept in four bytes and a width."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.index.stored_cases import CODED, START, coded, found, part
from vespa_colbert.errors import ArrayError, SpecError
from vespa_colbert.index import CodedRows, DocumentRows, open_index, write_index
from vespa_colbert.index.array_file import map_arrays
from vespa_colbert.index.manifest import read_manifest
from vespa_colbert.index.rows import text_tensor
from vespa_colbert.index.token_graph import build_graph
from vespa_colbert.tensor import Tensor, TensorType

KIND = TensorType.parse("tensor<int8>(c{},dt{},x[1])")
INNER = TensorType.parse("tensor<int8>(dt{},x[1])")
VALUES = np.array([[1], [2], [3], [4], [5]], np.int8)
ROWS = DocumentRows(type=INNER, offsets=np.array([0, 3, 3, 5], np.int64), values=VALUES)
NUMBERS = np.array([7, 70_000, 7, 0, 7], np.int32)


def coded_rows(numbers: NDArray[Any] = NUMBERS, kind: TensorType = KIND) -> CodedRows:
    return CodedRows(type=kind, outer="c", rows=ROWS, numbers=numbers)


def test_a_row_is_labelled_by_its_centroid_and_its_place_in_the_document() -> None:
    rows = coded_rows()

    first: dict[tuple[str, ...], list[int]] = {
        ("7", "0"): [1],
        ("70000", "1"): [2],
        ("7", "2"): [3],
    }
    assert rows.document(0) == Tensor.from_subspaces(KIND, first)
    assert list(rows.document(0).addresses()) == list(first)
    assert rows.document(1) == Tensor.empty(KIND)
    assert rows.document(2) == Tensor.from_subspaces(KIND, {("0", "0"): [4], ("7", "1"): [5]})
    assert rows.codes.tolist() == [[7, 0], [70_000, 1], [7, 2], [0, 0], [7, 1]]
    centroids, places = rows.labels
    assert (centroids[70_000], len(centroids), places) == ("70000", 70_001, ("0", "1", "2"))


def test_labels_stand_in_the_order_of_the_type() -> None:
    kind = TensorType.parse("tensor<int8>(t{},z{},x[1])")
    inner = TensorType.parse("tensor<int8>(t{},x[1])")
    rows = DocumentRows(type=inner, offsets=ROWS.offsets, values=VALUES)
    turned = CodedRows(type=kind, outer="z", rows=rows, numbers=NUMBERS)

    assert list(turned.document(0).addresses()) == [("0", "7"), ("1", "70000"), ("2", "7")]
    assert turned.codes[1].tolist() == [1, 70_000]


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        (NUMBERS[:4], KIND),
        (-NUMBERS, KIND),
        (NUMBERS.astype(np.int64), KIND),
        (NUMBERS, TensorType.parse("tensor<int8>(c{},place{},x[1])")),
        (NUMBERS, TensorType.parse("tensor<int8>(c{},x[1])")),
    ],
)
def test_rows_that_do_not_fit_are_refused(numbers: NDArray[Any], kind: TensorType) -> None:
    with pytest.raises(ArrayError, match="expected"):
        coded_rows(numbers, kind)


def test_residuals_are_no_vectors_to_be_compared() -> None:
    with pytest.raises(ArrayError, match="expected token vectors, got residuals of a codec"):
        text_tensor(coded_rows(), 0, 0)
    with pytest.raises(SpecError, match="expected token vectors, got residuals of a codec"):
        build_graph(coded_rows(), "hamming")


@pytest.mark.parametrize("texts", [["ab", "", "abc"], ["a", "abcd"]])
def test_numbers_take_four_bytes_a_row_and_all_arrays_are_aligned(
    tmp_path: Path, texts: list[str]
) -> None:
    stored = {f"d{place}": text for place, text in enumerate(texts)}
    with write_index(tmp_path / "index", start=START) as writer:
        writer.add([part(stored)])

    assert found(tmp_path / "index") == stored
    rows = open_index(tmp_path / "index").tensors["coded"]
    assert isinstance(rows, CodedRows)
    assert not rows.values.flags.owndata
    (file,) = (tmp_path / "index").rglob("coded.tokens.safetensors")
    arrays = map_arrays(file).arrays
    assert arrays["centroids"].nbytes == 4 * sum(map(len, texts))
    assert all(each.flags.aligned for each in arrays.values())
    assert np.array_equal(arrays["centroids"], coded(texts).numbers)


def test_an_index_of_residuals_has_a_format_of_its_own_and_others_the_one_before(
    tmp_path: Path,
) -> None:
    fields = {name: kind for name, kind in START.fields.items() if not kind.centroids}
    with write_index(tmp_path / "plain", start=replace(START, fields=fields)):
        pass
    with write_index(tmp_path / "coded", start=START):
        pass

    plain, coded_manifest = (
        json.loads((tmp_path / name / "manifest.json").read_bytes()) for name in ("plain", "coded")
    )
    assert (plain["format"], coded_manifest["format"]) == (2, 3)
    assert plain["fields"]["deep"] == {"type": str(fields["deep"].type), "outer": "context"}
    wanted = {"type": str(CODED.type), "outer": "", "centroids": "c"}
    assert coded_manifest["fields"]["coded"] == wanted
    assert read_manifest(tmp_path / "plain").fields == fields
    assert read_manifest(tmp_path / "coded").fields == START.fields
