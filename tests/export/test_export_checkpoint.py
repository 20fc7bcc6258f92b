from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers

from tests.tiny_checkpoint import (
    DIM,
    IDS,
    POSITIONS,
    VOCABULARY,
    edit_tensors,
)
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.errors import (
    CheckpointError,
    ExportError,
    GraphMismatchError,
    MissingWeightError,
    OutputError,
)
from vespa_colbert.export import (
    ExportOptions,
    ModelFolder,
    export_checkpoint,
    read_model_folder,
)
from vespa_colbert.export import export as export_module
from vespa_colbert.export.compare import SHAPES, TOLERANCE
from vespa_colbert.export.convert import EXPORTERS, Exporter
from vespa_colbert.files import digest_file

Copy = Callable[[], Path]
SETTINGS = "config_sentence_transformers.json"


@pytest.fixture(scope="session")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    output = tmp_path_factory.mktemp("exported") / "model"
    return export_checkpoint(read_checkpoint(tiny_checkpoint), output)


def run(folder: ModelFolder, ids: np.ndarray[Any, Any], attention: np.ndarray[Any, Any]) -> Any:
    session = onnxruntime.InferenceSession(str(folder.model_path))
    return session.run(["contextual"], {"input_ids": ids, "attention_mask": attention})[0]


def test_the_graph_gives_transformers_rows_projected_and_normalised(
    tiny_checkpoint: Path, exported: ModelFolder
) -> None:
    model = transformers.BertModel.from_pretrained(tiny_checkpoint).eval()
    weight = read_checkpoint(tiny_checkpoint).projection[0].weight
    generator = np.random.default_rng(5)
    for batch, tokens in ((1, 1), (1, 4), (4, 1), (5, 33), (2, POSITIONS)):
        ids = generator.integers(0, len(VOCABULARY), (batch, tokens))
        attention = (np.arange(tokens) < 1 + tokens // 2).astype(np.int64) * np.ones_like(ids)
        with torch.no_grad():
            hidden = model(torch.tensor(ids), torch.tensor(attention)).last_hidden_state.numpy()
        rows = hidden @ weight.T
        wanted = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
        got = run(exported, ids, attention)
        assert got.shape == (batch, tokens, DIM)
        assert got.dtype == np.float32
        assert np.abs(got - wanted).max() <= TOLERANCE


def test_the_file_has_the_names_types_and_axes_that_vespa_needs(exported: ModelFolder) -> None:
    model = onnx.load(str(exported.model_path), load_external_data=False)

    def axes(value: Any) -> list[Any]:
        return [a.dim_param or a.dim_value for a in value.type.tensor_type.shape.dim]

    inputs = {i.name: (i.type.tensor_type.elem_type, axes(i)) for i in model.graph.input}
    outputs = {o.name: (o.type.tensor_type.elem_type, axes(o)) for o in model.graph.output}
    wanted = (onnx.TensorProto.INT64, ["batch", "sequence"])
    assert inputs == {"input_ids": wanted, "attention_mask": wanted}
    assert outputs == {"contextual": (onnx.TensorProto.FLOAT, ["batch", "sequence", DIM])}
    assert sorted(p.name for p in exported.path.iterdir()) == [
        "embedder.json",
        "model.onnx",
        "tokenizer.json",
    ]


def test_the_manifest_says_how_it_was_checked(exported: ModelFolder) -> None:
    verification = exported.verification
    assert verification["exporter"] == "dynamo"
    shapes = [(b, min(s, POSITIONS)) for b, s in SHAPES]
    cases = {(c["batch"], c["sequence"], c["attention"]) for c in verification["cases"]}
    assert cases == {(*shape, kind) for shape in shapes for kind in ("full", "padded", "mixed")}
    assert all(0 <= c["worst"] <= TOLERANCE for c in verification["cases"])
    assert verification["verified"] is True
    assert exported.graph["opset"] == 18
    assert exported.versions["torch"] == torch.__version__.split("+")[0]
    assert exported.packaging == "native"
    assert exported.reason == "only punctuation and end of long documents differ"


def test_the_manifest_identifies_the_checkpoint(
    tiny_checkpoint: Path, exported: ModelFolder
) -> None:
    weights = digest_file(tiny_checkpoint / "model.safetensors")
    assert exported.checkpoint["files"]["model.safetensors"]["sha256"] == weights.sha256
    assert exported.checkpoint["layout"] == "pylate"
    assert exported.checkpoint["name"] == tiny_checkpoint.name
    assert str(tiny_checkpoint.parent) not in exported.manifest()


def test_only_truncation_and_padding_leave_the_tokenizer(
    tiny_checkpoint: Path, exported: ModelFolder
) -> None:
    source = json.loads((tiny_checkpoint / "tokenizer.json").read_text())
    assert source["truncation"] is not None
    assert source["padding"] is not None
    written = json.loads(exported.tokenizer_path.read_text())
    assert written == source | {"truncation": None, "padding": None}
    assert list(written) == list(source)


def test_a_folder_is_read_back_as_it_was_written(exported: ModelFolder) -> None:
    assert read_model_folder(exported.path) == exported


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_tampered_folder_is_refused(exported: ModelFolder, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(exported.path, tmp_path / "model"))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ExportError, match=rf"damaged[^$]*{name}"):
        read_model_folder(folder)


def test_an_export_replaces_the_one_before(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    output = tmp_path / "model"
    output.mkdir()
    (output / "embedder.json").write_text("{}")
    (output / "model.onnx.data").write_text("of an older run")
    export_checkpoint(checkpoint, output, ExportOptions(opset=17))
    assert not (output / "model.onnx.data").exists()
    assert read_model_folder(output).embedder.dim == DIM


@pytest.mark.parametrize(
    ("opset", "exporter"),
    [(17, "torchscript"), pytest.param(18, "dynamo", marks=pytest.mark.slow)],
)
def test_the_same_checkpoint_gives_the_same_files_and_tells_its_steps(
    tiny_checkpoint: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    opset: int,
    exporter: str,
) -> None:
    checkpoint, options = read_checkpoint(tiny_checkpoint), ExportOptions(opset=opset)
    told: list[str] = []
    first = export_checkpoint(checkpoint, tmp_path / "first", options, progress=told.append)
    again = export_checkpoint(checkpoint, tmp_path / "again", options)
    assert again.files == first.files
    assert told == [
        "building the torch module",
        f"converting with the {exporter} exporter",
        "checking the graph",
        "comparing ONNX Runtime with torch",
        "measuring the differences to the training library",
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_nothing_is_said_on_the_console(tiny_checkpoint: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from vespa_colbert.checkpoint import read_checkpoint;"
        "from vespa_colbert.export import ExportOptions, export_checkpoint;"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'transformers', 'tokenizers'};"
        "loaded = heavy & set(sys.modules);"
        "assert not loaded, loaded;"
        "export_checkpoint(read_checkpoint(Path(sys.argv[1])), Path(sys.argv[2]),"
        "ExportOptions(opset=17))"
    )
    command = [sys.executable, "-c", code, str(tiny_checkpoint), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    folder = read_model_folder(tmp_path / "model")
    assert folder.verification["exporter"] == "torchscript"
    assert folder.graph["opset"] == 17


def test_ctrl_c_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    def interrupt(what: str) -> None:
        if what.startswith("comparing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_checkpoint(
            read_checkpoint(tiny_checkpoint),
            tmp_path / "model",
            ExportOptions(opset=17),
            progress=interrupt,
        )
    assert list(tmp_path.iterdir()) == []


def faulty(change: Callable[[Any, Any, Path, int, Any], None]) -> Exporter:
    return Exporter(name="faulty", opsets=range(17, 24), convert=change)


def one_tensor_for_both(module: Any, examples: Any, path: Path, opset: int, form: Any) -> None:
    EXPORTERS[0].convert(module, (examples[0], examples[0]), path, opset, form)


def other_weights(module: Any, examples: Any, path: Path, opset: int, form: Any) -> None:
    weight = module.projection[0].linear.weight
    before = weight.clone()
    weight += 1e-3
    EXPORTERS[1].convert(module, examples, path, opset, form)
    weight.copy_(before)


def without_normalisation(module: Any, examples: Any, path: Path, opset: int, form: Any) -> None:
    class Bare(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.dim = module, module.dim

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return 2.0 * self.inner(input_ids, attention_mask)

    EXPORTERS[1].convert(Bare().eval(), examples, path, opset, form)


def not_a_number(module: Any, examples: Any, path: Path, opset: int, form: Any) -> None:
    weight = module.projection[0].linear.weight
    before = weight.clone()
    weight[0, 0] = torch.nan
    EXPORTERS[1].convert(module, examples, path, opset, form)
    weight.copy_(before)


def without_projection(module: Any, examples: Any, path: Path, opset: int, form: Any) -> None:
    projection, module.projection = module.projection, torch.nn.Identity()
    EXPORTERS[0].convert(module, examples, path, opset, form)
    module.projection = projection


def fixed_axes(module: Any, examples: Any, path: Path, opset: int, form: Any) -> None:
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        module,
        examples,
        str(path),
        input_names=names,
        output_names=["contextual"],
        opset_version=opset,
        dynamo=False,
    )


def weights_in_a_second_file(module: Any, examples: Any, path: Path, opset: int, form: Any) -> None:
    EXPORTERS[1].convert(module, examples, path, opset, form)
    model = onnx.load(str(path))
    onnx.save(
        model, str(path), save_as_external_data=True, location="model.onnx.data", size_threshold=0
    )


def half_a_file(_module: Any, _examples: Any, path: Path, _opset: int, _form: Any) -> None:
    path.write_bytes(b"\x08\x0a\x12")


@pytest.mark.parametrize(
    ("convert", "fragment"),
    [
        (one_tensor_for_both, "attention"),
        (other_weights, r"batch 1, length 3, full attention: .*within 1e-05"),
        (without_normalisation, "length 1"),
        (not_a_number, "NaN or infinite"),
        (without_projection, r"expected the output .*8\].*got .*16\]"),
        (fixed_axes, "expected the inputs"),
        (weights_in_a_second_file, "second one"),
        (half_a_file, "not valid ONNX"),
    ],
)
def test_a_wrong_graph_never_gets_its_name(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    convert: Callable[[Any, Any, Path, int, Any], None],
    fragment: str,
) -> None:
    monkeypatch.setattr(export_module, "EXPORTERS", (faulty(convert),))
    with pytest.raises(GraphMismatchError, match=fragment):
        export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def fail(_module: Any, _examples: Any, path: Path, _opset: int, _form: Any) -> None:
    path.write_bytes(b"half")
    raise RuntimeError("cannot convert\nwith details")


def test_the_second_exporter_steps_in_and_is_recorded(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(export_module, "EXPORTERS", (faulty(fail), EXPORTERS[1]))
    with caplog.at_level(logging.WARNING, logger="vespa_colbert"):
        folder = export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "model")
    assert folder.verification["exporter"] == "torchscript"
    assert folder.verification["refused"] == {"faulty": "RuntimeError: cannot convert"}
    assert "cannot convert" in caplog.text
    assert folder.graph["outputs"] == {"contextual": ["batch", "sequence", DIM]}


def test_all_exporters_failing_is_an_export_error(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "EXPORTERS", (faulty(fail),))
    with pytest.raises(ExportError, match="cannot convert") as caught:
        export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "model")
    assert not isinstance(caught.value, GraphMismatchError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opset", [11, 24])
def test_an_opset_that_vespa_does_not_load_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, opset: int
) -> None:
    options = ExportOptions(opset=opset, vespa_version="8.738.17")
    with pytest.raises(ExportError, match=f"expected 17 to 23, which .* got {opset}"):
        export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "model", options)


def test_weights_that_do_not_fit_leave_no_folder(copy: Copy, tmp_path: Path) -> None:
    folder = copy()
    edit_tensors(folder / "model.safetensors", encoder__layer__0__output__dense__bias=None)
    with pytest.raises(MissingWeightError, match=r"encoder\.layer\.0\.output\.dense\.bias"):
        export_checkpoint(read_checkpoint(folder), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_tokenizer_that_the_library_refuses_leaves_no_folder(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    document = json.loads(checkpoint.tokenizer.text)
    document["pre_tokenizer"] = {"type": "NoSuchThing"}
    tokenizer = replace(checkpoint.tokenizer, text=json.dumps(document))
    with pytest.raises(CheckpointError, match="tokenizers library refuses"):
        export_checkpoint(replace(checkpoint, tokenizer=tokenizer), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_start_id_that_the_tokenizer_does_not_write_is_refused(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = replace(read_checkpoint(tiny_checkpoint), start_id=IDS["[PAD]"])
    with pytest.raises(CheckpointError, match="begin and end"):
        export_checkpoint(checkpoint, tmp_path / "model")


def test_an_output_below_a_file_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "file" / "model")


def test_a_folder_of_somebody_elses_files_is_left_alone(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="left alone"):
        export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
