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


def test_of_many_fields_those_are_named_that_differ() -> None:
    other = "colbert_9 tensor<float>(dt{},x[128])"
    wanted = {"types": ", ".join([*TYPES[:3], other])}
    with pytest.raises(IndexFolderError) as caught:
        check_origin(Path("index"), FOUND, wanted)
    assert f"made with types {TYPES[3]!r}, expected {other!r}; embed again" in str(caught.value)
    # All that is wanted is there, and more: what is there is shown whole beside what is not.
    with pytest.raises(IndexFolderError) as caught:
        check_origin(Path("index"), FOUND, {"types": ", ".join(TYPES[:3])})
    assert f"types {TYPES[3]!r}, expected '{TYPES[0]}, {TYPES[1]}, " in str(caught.value)
