from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vespa_colbert.app import MINIMUM_VESPA_VERSION
from vespa_colbert.errors import ExportError
from vespa_colbert.export.attempts import MAX_OPSET
from vespa_colbert.export.runtimes import OLDEST_VESPA, RUNTIMES, lower_ir_version, runtime_of

OLD = runtime_of(OLDEST_VESPA)


def written(
    path: Path, *, ir_version: int, opset: int = 18, element: int = TensorProto.FLOAT
) -> Path:
    """A graph that adds 1, with notes of the newer formats."""
    add = helper.make_node("Add", ["a", "one"], ["b"], name="add")
    add.metadata_props.add(key="from", value="here")
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    one.metadata_props.add(key="from", value="here")
    kept = TensorProto(name="kept", data_type=element, dims=[2], raw_data=b"\x01\x02")
    made = helper.make_model(
        helper.make_graph(
            [add],
            "adds",
            [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n"])],
            [helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n"])],
            [one] if element == TensorProto.FLOAT else [one, kept],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
    )
    onnx.save(made, path)
    return path


def loads(path: Path) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"a": np.array([2], np.float32)})[0]


@pytest.mark.parametrize(
    ("version", "onnxruntime_version"),
    [
        ("8.338.38", "1.17.3"),
        ("8.357.15", "1.17.3"),
        ("8.357.16", "1.18.0"),
        ("8.700.24", "1.23.2"),
        ("9.0.0", "1.26.0"),
    ],
)
def test_a_release_is_held_to_the_row_before_it(version: str, onnxruntime_version: str) -> None:
    assert runtime_of(version).onnxruntime == onnxruntime_version


@pytest.mark.parametrize("version", ["8.338.37", "7.999.99", "8", "", "8.400.1-SNAPSHOT", "eight"])
def test_a_release_that_is_not_known_is_refused(version: str) -> None:
    with pytest.raises(ExportError, match="vespa-version: expected"):
        runtime_of(version)


def test_the_table_only_grows_and_begins_where_packages_do() -> None:
    figures = [(each.opset, each.ir_version) for each in RUNTIMES]
    assert figures == sorted(figures)
    assert OLDEST_VESPA == MINIMUM_VESPA_VERSION


def test_this_onnx_runtime_loads_what_its_row_says_and_nothing_newer(tmp_path: Path) -> None:
    rows = [each for each in RUNTIMES if each.onnxruntime == onnxruntime.__version__]
    if not rows:
        pytest.skip(f"no Vespa release of the table runs {onnxruntime.__version__}")
    own = rows[0]
    newest = written(tmp_path / "newest", ir_version=own.ir_version, opset=own.opset)
    assert loads(newest).tolist() == [3.0]
    assert own.opset == MAX_OPSET
    for name, newer in (
        ("ir", {"ir_version": own.ir_version + 1}),
        ("opset", {"ir_version": own.ir_version, "opset": own.opset + 1}),
    ):
        with pytest.raises(Exception, match=r"(?i)version|opset"):
            loads(written(tmp_path / name, **newer))


def test_a_newer_format_is_written_as_an_older_one_without_its_notes(tmp_path: Path) -> None:
    path = written(tmp_path / "model.onnx", ir_version=11)

    lower_ir_version(path, OLD)

    model = onnx.load(path)
    assert model.ir_version == OLD.ir_version
    assert not model.graph.node[0].metadata_props
    assert not model.graph.initializer[0].metadata_props
    assert loads(path).tolist() == [3.0]


def test_a_format_that_is_old_enough_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "model.onnx", ir_version=OLD.ir_version)
    before = path.read_bytes()

    lower_ir_version(path, OLD)

    assert path.read_bytes() == before


def test_what_an_older_format_cannot_say_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "model.onnx", ir_version=11, element=TensorProto.FLOAT8E5M2)
    before = path.read_bytes()

    with pytest.raises(ExportError, match=r"at most 9 for Vespa 8.338.38 .*tensor kept"):
        lower_ir_version(path, OLD)

    assert path.read_bytes() == before
