"""What a message says where an index was made with something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.errors import IndexFolderError
from vespa_colbert.index.manifest import check_origin

TYPES = [f"colbert_{name} tensor<int8>(dt{{}},x[{16 + name}])" for name in range(4)]
FOUND = {
    "types": ", ".join(TYPES),
    "model": "a" * 64,
    "pooling": "none",
    "runtime": "onnxruntime",
    "codec": "c" * 64,
}


@pytest.mark.parametrize(
    ("fact", "wanted", "fault"),
    [
        ("model", "b" * 64, f"model '{'a' * 64}', expected '{'b' * 64}'; embed again, or"),
        ("pooling", "ward, factor 2, 1 protected", "--pool-factor and --protected-tokens that it"),
        ("runtime", "openvino-bf16", "'openvino-bf16'; embed with the --runtime that it was made"),
        ("codec", "d" * 64, "; take the --codec that it was made with, or name the other index"),
        ("tokenizer", "e" * 64, "tokenizer nothing said, expected 'eeee"),
    ],
)
def test_what_differs_is_named_with_what_makes_it_the_same(
    fact: str, wanted: str, fault: str
) -> None:
    check_origin(Path("index"), FOUND, FOUND)
    with pytest.raises(IndexFolderError) as caught:
        check_origin(Path("index"), FOUND, {fact: wanted})
    assert fault in str(caught.value)


OTHER = "colbert_9 tensor<float>(dt{},x[128])"
SPACED = "colbert_0 tensor<int8>(dt{}, x[16])"


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ([*TYPES, OTHER], f"without {OTHER}"),
        (TYPES[:3], f"with {TYPES[3]} as well"),
        ([*TYPES[:3], OTHER], f"without {OTHER}; with {TYPES[3]} as well"),
        (
            [*TYPES[:3], "colbert_3 tensor<float>(dt{},x[8])"],
            f"with {TYPES[3]}, expected tensor<float>(dt{{}},x[8])",
        ),
        ([SPACED, *TYPES[1:]], f"with {TYPES[0]}, expected tensor<int8>(dt{{}}, x[16])"),
    ],
)
def test_of_many_fields_those_are_named_that_differ(wanted: list[str], fault: str) -> None:
    with pytest.raises(IndexFolderError) as caught:
        check_origin(Path("index"), FOUND, {"types": ", ".join(wanted)})

    said = f"index: made for other tensor fields than expected: {fault}; embed again, or name the "
    assert str(caught.value) == f"{said}other index"


def test_the_same_fields_in_another_order_are_shown_whole() -> None:
    with pytest.raises(IndexFolderError, match=f"made with types '{TYPES[0][:9]}.*', expected '"):
        check_origin(Path("index"), FOUND, {"types": ", ".join(reversed(TYPES))})


def test_who_asks_may_say_what_to_do() -> None:
    with pytest.raises(IndexFolderError, match=f"expected '{'d' * 64}'; leave it out$"):
        check_origin(Path("index"), FOUND, {"codec": "d" * 64}, hint="leave it out")
