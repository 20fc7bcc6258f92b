"""Constants in files of the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vespa_colbert.errors import ExpressionError, UnsupportedFunctionError
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.rank.features.constants import read_constant_file
from vespa_colbert.tensor import TensorType, parse_literal
from vespa_colbert.tensor.binary import encode_tensor
from vespa_colbert.vespa_java import VespaJava

KIND = TensorType.parse("tensor<float>(c{},x[2])")
VALUE = parse_literal("tensor<float>(c{},x[2]):{a:[1,2],b:[3,4]}")


def test_a_binary_constant_has_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "c.tbf"
    # Format 7 (mixed, cell type said), float, c{}, x[2], 2 subspaces: written out by hand.
    path.write_bytes(
        bytes.fromhex("0701 01 0163 01 017802 02 0161 3f800000 40000000 0162 40400000 40800000")
    )

    assert read_constant_file(path, KIND) == VALUE


def test_a_json_constant_has_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"blocks": {"a": [1, 2], "b": [3, 4]}}')

    assert read_constant_file(path, KIND) == VALUE


@pytest.mark.parametrize(
    ("name", "content", "fragment"),
    [
        ("c.tbf", encode_tensor(parse_literal("tensor(x[2]):[1,2]")), "as declared, got tensor(x"),
        ("c.tbf", encode_tensor(VALUE)[:-1], "ends too early"),
        ("c.tbf", b'{"blocks": {}}', "binary format"),
        ("c.json", encode_tensor(VALUE), "expected JSON"),
        ("c.json", b'{"blocks": {"a": [1]}}', "c.json"),
        ("c.json", b'{"blocks": {"a": "3f80000040000000"}}', "hexadecimal"),
        ("c.json", b'{"blocks": [{"address": {"c": "a"}, "values": "3f80"}]}', "hexadecimal"),
        ("c.json", b"[" * 100_000, "expected JSON"),
    ],
)
def test_a_file_without_such_a_tensor_is_refused(
    tmp_path: Path, name: str, content: bytes, fragment: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ExpressionError) as raised:
        read_constant_file(path, KIND)

    assert fragment in str(raised.value)


@pytest.mark.parametrize("name", ["c.json.lz4", "c.tbf.lz4", "c.txt", "c"])
def test_another_form_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedFunctionError, match=name):
        read_constant_file(tmp_path / name, KIND)


SERVICES = """<services version="1.0">
  <container id="default" version="1.0"><search/><document-api/></container>
  <content id="doc" version="1.0"><redundancy>1</redundancy>
    <documents><document type="doc" mode="index"/></documents></content>
</services>
"""
SCHEMA = """
schema doc {
    document doc {
        field v type tensor<float>(x[2]) { indexing: attribute }
    }
    constant c {
        file: constants/c.tbf
        type: tensor<float>(c{},x[2])
    }
    rank-profile p {
        first-phase { expression: sum(reduce(constant(c) * attribute(v), max, c)) }
    }
}
"""


@pytest.mark.java
def test_a_binary_constant_is_what_java_reads(judge: VespaJava, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "constants").mkdir()
    (tmp_path / "services.xml").write_text(SERVICES)
    (tmp_path / "schemas" / "doc.sd").write_text(SCHEMA)
    (tmp_path / "constants" / "c.tbf").write_bytes(encode_tensor(VALUE))
    (tmp_path / "docs.jsonl").write_text(json.dumps({"id": "a", "v": [10, -1]}) + "\n")

    (hit,) = Ranker.from_application(tmp_path, "p", tmp_path / "docs.jsonl").rank(RankQuery())

    given = {"attribute(v)": parse_literal("tensor<float>(x[2]):[10,-1]")}
    theirs = judge.evaluate(tmp_path, "doc", "p", "first-phase", given)
    # 3 · 10 is over 1 · 10, and 2 · -1 over 4 · -1.
    assert hit.relevance == theirs.as_number() == 28


@pytest.mark.java
def test_vespa_refuses_hexadecimal_constants_too(judge: VespaJava, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "constants").mkdir()
    (tmp_path / "services.xml").write_text(SERVICES)
    (tmp_path / "schemas" / "doc.sd").write_text(SCHEMA.replace("c.tbf", "c.json"))
    (tmp_path / "constants" / "c.json").write_text('{"blocks": {"a": "3f80000040000000"}}')

    errors = judge.validate_application(tmp_path).errors

    assert "c.json" in str(errors)
