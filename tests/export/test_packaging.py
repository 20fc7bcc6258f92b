from __future__ import annotations

import copy
import json
import string
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.tiny_checkpoint import DIM, IDS, VOCABULARY, edit_json
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.errors import ExportError, GraphMismatchError
from vespa_colbert.export import (
    ExportOptions,
    ModelFolder,
    PackagingRequest,
    choose_packaging,
    export_checkpoint,
    read_model_folder,
)
from vespa_colbert.export import export as export_module
from vespa_colbert.export.convert import EXPORTERS, Exporter
from vespa_colbert.model.exact import ExactEncoder
from vespa_colbert.pipeline import export as pipeline_module
from vespa_colbert.pipeline import export_model

SETTINGS = "config_sentence_transformers.json"
Copy = Callable[[], Path]


REQUEST = ExportOptions(packaging="exact", dims=4, opset=17)


@pytest.fixture(scope="module", name="exact")
def exact_fixture(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    output = tmp_path_factory.mktemp("exact") / "model"
    return export_checkpoint(read_checkpoint(tiny_checkpoint), output, REQUEST)


@pytest.mark.parametrize(
    ("facts", "point"),
    [
        ({"expansion_attended": True}, "attention to expansion tokens"),
        ({"skip_words": (), "skip_ids": ()}, "punctuation"),
        ({"query_marker": None, "document_marker": None}, "marker"),
        ({"skip_queries": True}, "skip words in queries"),
        ({"start_row_dropped": True}, "row of the start token"),
        ({"mean_score": True}, "score"),
    ],
)
def test_auto_is_exact_where_native_changes_scores(
    tiny_checkpoint: Path, facts: dict[str, Any], point: str
) -> None:
    checkpoint = replace(read_checkpoint(tiny_checkpoint), **facts)
    choice = choose_packaging(checkpoint, "auto")
    assert choice.packaging == "exact"
    assert choice.reason == f"native would change scores: {point}"
    assert choice.drift == ()
    with pytest.raises(ExportError, match=rf"native files[^$]*\n  {point}: library: .*; Vespa: "):
        choose_packaging(checkpoint, "native")
    accepted = choose_packaging(checkpoint, "native", accept_drift=True)
    assert accepted.packaging == "native"
    assert [each.point for each in accepted.drift] == [point]


def test_auto_is_native_where_only_the_context_of_punctuation_differs(
    tiny_checkpoint: Path,
) -> None:
    choice = choose_packaging(read_checkpoint(tiny_checkpoint), "auto")
    assert (choice.packaging, choice.drift) == ("native", ())
    assert "punctuation" in choice.reason


def with_tokenizer(checkpoint: Checkpoint, change: Callable[[Any], object]) -> Checkpoint:
    document = json.loads(checkpoint.tokenizer.text)
    change(document)
    tokenizer = replace(checkpoint.tokenizer, text=json.dumps(document))
    return replace(checkpoint, tokenizer=tokenizer)


def test_auto_is_exact_where_vespa_would_drop_more_than_the_library(tiny_checkpoint: Path) -> None:
    # Without "~" in the vocabulary Vespa takes it for the unknown token and drops every one.
    checkpoint = with_tokenizer(
        read_checkpoint(tiny_checkpoint), lambda document: document["model"]["vocab"].pop("~")
    )
    kept = tuple(token for token in checkpoint.skip_ids if token != IDS["~"])
    choice = choose_packaging(replace(checkpoint, skip_ids=kept), "auto")
    assert choice.packaging == "exact"
    assert choice.reason.endswith("tokens of punctuation")
    native = choose_packaging(replace(checkpoint, skip_ids=kept), "native", accept_drift=True)
    assert native.drift[0].vespa == "left out of documents, and [UNK] too"


def test_auto_is_exact_where_the_library_strips_and_the_tokenizer_keeps_space(
    tiny_checkpoint: Path,
) -> None:
    def with_byte_level(document: Any) -> None:
        document["pre_tokenizer"] = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        }

    checkpoint = with_tokenizer(read_checkpoint(tiny_checkpoint), with_byte_level)
    assert "white space around a text" in choose_packaging(checkpoint, "auto").reason
    kept = choose_packaging(replace(checkpoint, strip=False), "native", accept_drift=True)
    assert "white space around a text" not in [each.point for each in kept.drift]


@pytest.mark.parametrize("packaging", ["auto", "native", "exact"])
def test_a_model_with_one_marker_is_refused_whatever_is_accepted(
    tiny_checkpoint: Path, packaging: PackagingRequest
) -> None:
    checkpoint = replace(read_checkpoint(tiny_checkpoint), query_marker=None)
    with pytest.raises(ExportError, match="or neither, got none for the query"):
        choose_packaging(checkpoint, packaging, accept_drift=True)


def test_native_with_accepted_drift_says_so(copy: Copy, tmp_path: Path) -> None:
    source = copy()
    edit_json(source / SETTINGS, attend_to_expansion_tokens=True)
    options = ExportOptions(packaging="native", accept_drift=True, opset=17)
    folder = export_checkpoint(read_checkpoint(source), tmp_path / "model", options)
    assert folder.packaging == "native"
    assert folder.has_drift
    assert "attention to expansion tokens" in [each["point"] for each in folder.differences]
    assert read_model_folder(folder.path) == folder


def test_a_refused_packaging_writes_nothing(copy: Copy, tmp_path: Path) -> None:
    source = copy()
    edit_json(source / SETTINGS, attend_to_expansion_tokens=True)
    with pytest.raises(ExportError, match="accept the drift"):
        export_checkpoint(
            read_checkpoint(source), tmp_path / "model", ExportOptions(packaging="native")
        )
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("dims", [0, -1, DIM + 1])
def test_dims_that_the_model_lacks_are_refused(
    tiny_checkpoint: Path, tmp_path: Path, dims: int
) -> None:
    with pytest.raises(ExportError, match=f"dims: expected 1 to {DIM}.*got {dims}"):
        export_checkpoint(
            read_checkpoint(tiny_checkpoint), tmp_path / "model", ExportOptions(dims=dims)
        )


def run(folder: ModelFolder, ids: Any, attention: Any) -> Any:
    session = onnxruntime.InferenceSession(str(folder.model_path))
    return session.run(["contextual"], {"input_ids": ids, "attention_mask": attention})[0]


def test_the_manifest_of_an_exact_model_says_what_it_is(exact: ModelFolder) -> None:
    assert (exact.packaging, exact.requested, exact.reason) == ("exact", "exact", "asked for")
    assert exact.embedder.dim == 4
    assert exact.graph["outputs"] == {"contextual": ["batch", "sequence", 4]}
    assert not exact.has_drift
    assert {case["attention"] for case in exact.verification["cases"]} == {
        "full",
        "padded",
        "mixed",
    }
    assert read_model_folder(exact.path) == exact


def test_native_dims_are_the_first_components_normalised_again(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    wide = export_checkpoint(checkpoint, tmp_path / "wide", ExportOptions(dims=DIM, opset=17))
    narrow = export_checkpoint(checkpoint, tmp_path / "narrow", ExportOptions(dims=3, opset=17))
    assert (wide.packaging, narrow.packaging) == ("native", "native")
    ids = np.random.default_rng(4).integers(0, len(VOCABULARY), (2, 11))
    attention = np.ones_like(ids)
    rows = run(wide, ids, attention)[..., :3].astype(np.float64)
    wanted = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    np.testing.assert_allclose(run(narrow, ids, attention), wanted, atol=1e-5, rtol=0)


def test_the_graph_tells_queries_from_documents_by_column_1(exact: ModelFolder) -> None:
    spec = exact.embedder
    text = [IDS["rose"], IDS["."], IDS["is"]]
    ids = np.array([
        [spec.start_id, marker, *text, spec.end_id]
        for marker in (spec.query_marker_id, spec.document_marker_id)
    ])
    rows = run(exact, ids, np.ones_like(ids))
    distinct = [len(np.unique(text_rows, axis=0)) for text_rows in rows]
    # A document's full stop is a copy of the first row that counts, a query's has its own.
    assert distinct == [6, 5]
    assert (rows[1, 3] == rows[1, 0]).all()


def faults() -> Mapping[str, Callable[[ExactEncoder], None]]:
    def roles_swapped(module: ExactEncoder) -> None:
        module.query_id = IDS["[unused1]"]

    def nothing_skipped(module: ExactEncoder) -> None:
        module.skip_ids = torch.zeros(0, dtype=torch.int64)

    def attended(module: ExactEncoder) -> None:
        module.expansion_attended = True

    def mean(module: ExactEncoder) -> None:
        module.mean_score = True

    def start_dropped(module: ExactEncoder) -> None:
        module.start_row_dropped = True

    def marker_taken_out(module: ExactEncoder) -> None:
        module.columns = copy.copy(module.columns)
        module.columns.has_marker = False

    found = (roles_swapped, nothing_skipped, attended, mean, start_dropped, marker_taken_out)
    return {each.__name__: each for each in found}


@pytest.mark.parametrize("fault", faults())
def test_a_wrong_exact_graph_never_gets_its_name(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def convert(module: Any, examples: Any, path: Path, opset: int, form: Any) -> None:
        right = dict(vars(module))
        buffer = module.skip_ids
        faults()[fault](module)
        EXPORTERS[1].convert(module, examples, path, opset, form)
        vars(module).update(right)
        module.skip_ids = buffer

    faulty = Exporter(name="faulty", opsets=range(17, 24), convert=convert)
    monkeypatch.setattr(export_module, "EXPORTERS", (faulty,))
    with pytest.raises(GraphMismatchError, match=r"batch \d, length \d+, "):
        export_checkpoint(
            read_checkpoint(tiny_checkpoint), tmp_path / "model", ExportOptions(packaging="exact")
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_both_exporters_make_the_same_exact_graph(
    tiny_checkpoint: Path, exact: ModelFolder, tmp_path: Path
) -> None:
    options = replace(REQUEST, opset=18)
    other = export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "model", options)
    ids = np.random.default_rng(6).integers(0, len(VOCABULARY), (3, 13))
    ids[:, 1] = IDS["[unused0]"], IDS["[unused1]"], IDS["[unused0]"]
    attention = np.ones_like(ids)
    attention[2, 7:] = 0
    np.testing.assert_allclose(
        run(other, ids, attention), run(exact, ids, attention), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("options", "reused"),
    [
        (REQUEST, True),
        (replace(REQUEST, accept_drift=True), True),
        (replace(REQUEST, dims=None), False),
        (replace(REQUEST, dims=3), False),
        (replace(REQUEST, packaging="native"), False),
        (replace(REQUEST, packaging="auto"), False),
        (replace(REQUEST, opset=18), False),
        (replace(REQUEST, dtype="fp16"), False),
        (replace(REQUEST, optimize=True), False),
        (replace(REQUEST, verify=False), True),
        (replace(REQUEST, vespa_version="8.700.24"), False),
    ],
)
def test_a_model_folder_is_reused_for_the_same_request_alone(
    tiny_checkpoint: Path,
    exact: ModelFolder,
    monkeypatch: pytest.MonkeyPatch,
    options: ExportOptions,
    *,
    reused: bool,
) -> None:
    asked: list[ExportOptions] = []

    def export(_checkpoint: Any, _output: Path, wanted: ExportOptions, **_more: Any) -> ModelFolder:
        asked.append(wanted)
        return exact

    monkeypatch.setattr(pipeline_module, "export_checkpoint", export)
    made = export_model(tiny_checkpoint, exact.path, export=options)
    assert made.reused == reused
    assert asked == ([] if reused else [options])


def test_a_folder_with_drift_is_reused_only_where_drift_is_accepted(
    tiny_checkpoint: Path, exact: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = replace(exact, differences=({"point": "score", "faithful": False},))
    monkeypatch.setattr(pipeline_module, "read_model_folder", lambda _path: drifting)
    monkeypatch.setattr(pipeline_module, "export_checkpoint", lambda *_args, **_more: exact)
    accepting = replace(REQUEST, accept_drift=True)
    assert export_model(tiny_checkpoint, tmp_path, export=accepting).reused
    assert not export_model(tiny_checkpoint, tmp_path, export=REQUEST).reused


def test_what_was_not_verified_is_not_reused_where_that_is_asked_for(
    tiny_checkpoint: Path, exact: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unverified = replace(exact, verification=dict(exact.verification) | {"verified": False})
    monkeypatch.setattr(pipeline_module, "read_model_folder", lambda _path: unverified)
    monkeypatch.setattr(pipeline_module, "export_checkpoint", lambda *_args, **_more: exact)
    assert not export_model(tiny_checkpoint, tmp_path, export=REQUEST).reused
    hasty = replace(REQUEST, verify=False)
    assert export_model(tiny_checkpoint, tmp_path, export=hasty).reused


def test_a_dtype_that_loses_too_much_is_reused_only_where_that_is_accepted(
    tiny_checkpoint: Path, exact: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lossy = replace(
        exact,
        graph=dict(exact.graph) | {"dtype": "int8"},
        verification=dict(exact.verification) | {"loss": {"faults": ["mean cosine 0.9"]}},
    )
    monkeypatch.setattr(pipeline_module, "read_model_folder", lambda _path: lossy)
    monkeypatch.setattr(pipeline_module, "export_checkpoint", lambda *_args, **_more: exact)
    narrow = replace(REQUEST, dtype="int8")
    assert not export_model(tiny_checkpoint, tmp_path, export=narrow).reused
    accepting = replace(narrow, accept_drift=True)
    assert export_model(tiny_checkpoint, tmp_path, export=accepting).reused


def test_the_verb_says_which_packaging_and_why(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from vespa_colbert.cli.main import main

    source = copy()
    edit_json(source / SETTINGS, skiplist_words=list(string.punctuation[:5]))
    arguments = ["export", str(source), "-o", str(tmp_path / "model"), "--dims", "4"]
    arguments += ["--opset", "17"]

    def verb(*more: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["vespa-colbert", *arguments, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    code, _out, refused = verb("--packaging", "native")
    assert code == 1
    assert "whose scores would change" in refused
    code, said, _err = verb()
    assert code == 0
    assert "packaging exact (native would change scores: punctuation); contextual 4 wide" in said
    assert "reused" in verb("--packaging", "exact")[1]
    assert verb("--packaging", "other")[0] == 2
