"""A corpus embedded: bad lines, stdin, BEIR folders, shards, resumption, additions."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.index.stored_cases import SCHEMA, found
from tests.pipeline.embedded_corpora import MODEL, install, request, text, write_corpus
from vespa_colbert.errors import (
    CollectionError,
    IndexFolderError,
    MissingExtraError,
    OutputError,
    SpecError,
)
from vespa_colbert.files import write_lock
from vespa_colbert.index import all_faults, open_index, open_snapshot, read_index, write_index
from vespa_colbert.index.manifest import read_manifest
from vespa_colbert.pipeline import (
    EmbedRequest,
    Shard,
    append_corpus,
    corpus,
    corpus_file,
    embed,
    embed_with_ray,
    embedding,
)
from vespa_colbert.pipeline.compressed_index import is_plaid_index
from vespa_colbert.pipeline.survey import survey_corpus

BAD = ("no json", '{"_id": "d0", "text": "again"}', '{"_id": "x"}', "\xff")


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file where each text that is embedded is written down."""
    for module, names in (
        (corpus, ("LocalEmbedder", "embed_documents")),
        (embedding, ("WINDOW_DOCUMENTS", "COMMIT_BYTES")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    install(tmp_path / "log")
    return tmp_path / "log"


def cells(path: Path) -> dict[str, bytes]:
    """Return the files of an index, its manifest aside."""
    files = (each for each in path.rglob("*") if each.is_file() and each.name != "manifest.json")
    return {each.name: each.read_bytes() for each in files}


def stored(count: int) -> dict[str, str]:
    return {f"d{place}": text(place) for place in range(count)}


def test_a_corpus_is_embedded_once_and_its_index_reused(tmp_path: Path, encoder: Path) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 30), tmp_path / "index")

    first, second = embed(given).embedded, embed(given).embedded

    assert found(given.output) == stored(30)
    assert list(found(given.output)) == list(stored(30))
    assert (first.reused, first.documents, second.reused, second.documents) == (False, 30, True, 30)
    assert sorted(encoder.read_text().splitlines()) == sorted({text(each) for each in range(30)})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.jsonl", "index", "log"]


def interrupt(given: EmbedRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what a run leaves that ends between its last document and its index."""
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "publish", lambda *_arguments, **_named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            embed(given)
    return given.output.with_name("index.partial")


def test_nobody_reads_an_unfinished_index_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 3), tmp_path / "index")
    partial = interrupt(given, monkeypatch)
    moved = Path(shutil.copytree(partial, tmp_path / "moved"))
    refused: tuple[Callable[[Path], object], ...] = (
        open_index,
        read_index,
        open_snapshot,
        read_manifest,
        all_faults,
        lambda path: contextlib.ExitStack().enter_context(write_index(path)),
        lambda path: append_corpus(replace(given, output=path)),
        is_plaid_index,
    )

    for path in (partial, moved):
        for read in refused:
            with pytest.raises(IndexFolderError) as caught:
                read(path)
            assert str(caught.value) == (
                f"{path}: expected a whole index, got 3 documents of a run of embed that has not "
                f"ended; {path} is an unfinished one: run the same vespa-colbert embed again"
            )

    assert embed(given).embedded.kept == 3
    assert found(given.output) == stored(3)
    assert not all_faults(given.output)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_corpus(tmp_path / "c.jsonl", 30)
    embed(request(path, tmp_path / "whole"))
    encoder.unlink()
    once = vars(corpus)["embed_documents"]

    def failing(*arguments: Any, **named: Any) -> Any:
        if encoder.exists() and len(encoder.read_text().splitlines()) > 10:
            raise KeyboardInterrupt
        return once(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(corpus, "embed_documents", failing)
        with pytest.raises(KeyboardInterrupt):
            embed(request(path, tmp_path / "index"))
    assert not (tmp_path / "index").exists()
    with pytest.raises(IndexFolderError, match="index.partial is an unfinished one"):
        open_snapshot(tmp_path / "index")

    again = embed(request(path, tmp_path / "index")).embedded

    assert again.kept == 12
    assert sorted(encoder.read_text().splitlines()) == sorted(text(each) for each in range(30))
    assert cells(tmp_path / "index") == cells(tmp_path / "whole")


def test_what_a_changed_corpus_lacks_is_not_in_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 30), tmp_path / "index")
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "publish", lambda *_arguments, **_named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            embed(given)
    rows = [
        json.dumps({"_id": name, "text": said, "contexts": [said] * 2})
        for name, said in (("d7", "other"), ("d3", text(3)))
    ]
    given.corpus.write_text("\n".join(rows))

    done = embed(given).embedded

    assert list(found(given.output).items()) == [("d7", "other"), ("d3", text(3))]
    assert done.documents == 2


def test_bad_lines_end_it_before_anything_is_embedded(tmp_path: Path, encoder: Path) -> None:
    path = write_corpus(tmp_path / "out" / "c.jsonl", 5, bad=BAD)

    with pytest.raises(CollectionError, match="line 2: expected a JSON object"):
        embed(request(path, tmp_path / "out" / "index"))

    assert not encoder.exists()
    assert [each.name for each in path.parent.iterdir()] == ["c.jsonl"]


def test_bad_lines_are_skipped_and_every_one_reported(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    write_corpus(path, 5, bad=(*BAD[:3], "HERE", '{"_id": "list", "text": ["x"]}'))
    path.write_bytes(path.read_bytes().replace(b"HERE", b"\xff"))

    done = embed(request(path, tmp_path / "index", on_error="skip")).embedded

    assert found(done.path) == stored(5)
    report = [
        json.loads(line) for line in (tmp_path / "index.skipped.jsonl").read_text().splitlines()
    ]
    assert [each["line"] for each in report] == [2, 3, 4, 5, 6]
    reasons = ["JSON object", "was used on line 1", "no text", "UTF-8", "list ['x']"]
    for each, reason in zip(report, reasons, strict=True):
        assert reason in each["reason"]
        # The line is said beside it, and the corpus is what was given.
        assert not {"c.jsonl", f"line {each['line']}"} & set(each["reason"].split())
    assert [(each.line, each.reason) for each in done.skipped] == [
        (each["line"], each["reason"]) for each in report
    ]


def test_an_empty_text_beside_contexts_is_embedded_as_nothing_and_nothing_at_all_is_refused(
    tmp_path: Path, encoder: Path
) -> None:
    rows = ('{"_id": "long", "text": "", "contexts": ["one", ""]}', '{"_id": "none", "text": " "}')
    path = write_corpus(tmp_path / "c.jsonl", 2, bad=rows)

    with pytest.raises(CollectionError, match=r"line 3: expected words .*; --on-error skip passes"):
        embed(request(path, tmp_path / "index"))
    assert not encoder.exists()
    done = embed(request(path, tmp_path / "index", on_error="skip")).embedded

    assert ([each.line for each in done.skipped], done.documents) == ([3], 3)
    index = open_index(done.path)
    place = index.positions["long"]
    assert index.documents[place].fields["text"] == ""
    assert sorted(encoder.read_text().splitlines()) == sorted([text(0), text(1), "one"])
    assert not len(index.tensors["floats"].document(place).values)


def test_what_vespa_would_refuse_is_a_bad_line_before_anything_is_embedded(
    tmp_path: Path, encoder: Path
) -> None:
    refused = ('{"_id": "nul", "text": "a\\u0000b"}', '{"_id": "a\\u0001", "text": "x"}')
    path = write_corpus(tmp_path / "c.jsonl", 5, bad=refused)
    with pytest.raises(CollectionError, match=r"c\.jsonl line 2: document 'nul': .*U\+0000"):
        embed(request(path, tmp_path / "index"))
    assert not encoder.exists()

    given = request(path, tmp_path / "index", on_error="skip")
    embed(given, Shard(number=1, of=2))
    done = embed(given, Shard(number=2, of=2)).embedded

    assert found(given.output) == stored(5)
    assert [each.line for each in done.skipped] == [2, 3]
    assert "its id has U+0001" in done.skipped[1].reason


def test_a_line_that_goes_bad_while_its_corpus_is_embedded_ends_it(
    tmp_path: Path, encoder: Path
) -> None:
    path = write_corpus(tmp_path / "c.jsonl", 5)
    given = request(path, tmp_path / "index", on_error="skip")
    survey = survey_corpus(given)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "no json", *lines[3:]]))

    with pytest.raises(CollectionError, match="line 3: expected a JSON object"):
        corpus.embed_slice(given, survey)

    assert not given.output.exists()


def test_a_corpus_without_a_good_line_is_told_with_its_first_fault(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("no json\n[]\n")

    with pytest.raises(CollectionError, match="got 2 bad; the first, line 1: expected a JSON"):
        embed(request(path, tmp_path / "index", on_error="skip"))


@pytest.mark.parametrize("shard", [None, Shard(number=1, of=2)])
def test_what_stands_in_the_way_is_told_before_anything_is_embedded(
    tmp_path: Path, encoder: Path, shard: Shard | None
) -> None:
    path = write_corpus(tmp_path / "c.jsonl", 3)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()

    for name, fault in (("file", "got a file"), ("folder", "not written by this command")):
        with pytest.raises(OutputError, match=fault):
            embed(request(path, tmp_path / name), shard)

    assert not encoder.exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.jsonl", "file", "folder"]


def test_documents_that_the_model_cannot_embed_are_named_or_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_corpus(tmp_path / "c.jsonl", 6)
    once = vars(corpus)["embed_documents"]

    def broken(embedder: Any, texts: Any, pool: Any, *, progress: Any) -> Any:
        made = once(embedder, texts, pool, progress=progress)
        return [
            np.full((1, 8), np.nan, np.float32) if each == text(3) else rows
            for each, rows in zip(texts, made, strict=True)
        ]

    monkeypatch.setattr(corpus, "embed_documents", broken)
    with pytest.raises(ValueError, match="document 'd3': the model gave NaN"):
        embed(request(path, tmp_path / "index"))

    done = embed(request(path, tmp_path / "index", on_error="skip")).embedded

    assert [each.line for each in done.skipped] == [4]
    assert list(found(done.path)) == ["d0", "d1", "d2", "d4", "d5"]


def test_a_corpus_comes_from_a_folder_or_from_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_corpus(tmp_path / "beir" / "corpus.jsonl", 3)
    stdin = types.SimpleNamespace(buffer=io.BytesIO(path.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)

    with corpus_file(path.parent) as of_folder, corpus_file(Path("-")) as of_stdin:
        assert of_folder == path
        assert of_stdin.read_bytes() == path.read_bytes()
        embed(request(of_stdin, tmp_path / "index"))
    assert not of_stdin.exists()
    assert found(tmp_path / "index") == stored(3)
    with (
        pytest.raises(CollectionError, match=r"folder with corpus\.jsonl"),
        corpus_file(tmp_path),
    ):
        pass


@pytest.mark.parametrize("of", [2, 7])
def test_shards_in_any_order_make_the_same_index(tmp_path: Path, encoder: Path, of: int) -> None:
    path = write_corpus(tmp_path / "c.jsonl", 5, bad=BAD[:1])
    embed(request(path, tmp_path / "whole", on_error="skip"))
    encoder.unlink()
    given = request(path, tmp_path / "index", on_error="skip")

    for number in range(of, 0, -1):
        done = embed(given, Shard(number=number, of=of))
        again = embed(given, Shard(number=number, of=of))
        assert again.embedded.reused
        assert len(done.missing) == len(again.missing) == number - 1

    assert cells(given.output) == cells(tmp_path / "whole")
    assert open_snapshot(given.output).manifest.origin == (
        open_snapshot(tmp_path / "whole").manifest.origin
    )
    assert sorted(encoder.read_text().splitlines()) == sorted(text(each) for each in range(5))
    names = {"c.jsonl", "index", "index.skipped.jsonl", "log", "whole", "whole.skipped.jsonl"}
    assert {each.name for each in tmp_path.iterdir()} == names
    assert given.report.read_text() == (tmp_path / "whole.skipped.jsonl").read_text()


def test_a_shard_waits_for_another_that_joins_them(tmp_path: Path) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 5), tmp_path / "index")

    with write_lock(tmp_path / "index.shards"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("vespa_colbert.pipeline.shards.PATIENCE", 0.1)
        with pytest.raises(OutputError, match="another process"):
            embed(given, Shard(number=1, of=1))

    assert embed(given, Shard(number=1, of=1)).embedded.documents == 5


@pytest.mark.parametrize("asked", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"])
def test_a_shard_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(SpecError, match="shard"):
        Shard.parse(asked)


def test_more_documents_are_appended_once_and_replace_their_like(
    tmp_path: Path, encoder: Path
) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 8), tmp_path / "index")
    embed(given)
    rows = {"d2": "changed", "d3": text(3), "new": "new"}
    lines = (json.dumps({"_id": n, "text": t, "contexts": [t] * 2}) for n, t in rows.items())
    more = tmp_path / "more.jsonl"
    more.write_text("\n".join(lines))
    encoder.unlink()

    done = append_corpus(replace(given, corpus=more))
    again = append_corpus(replace(given, corpus=more))

    assert found(given.output) == {**stored(8), **rows}
    assert sorted(encoder.read_text().splitlines()) == ["changed", "new"]
    assert (done.documents, done.kept, done.reused) == (9, 1, False)
    assert (again.documents, again.kept, again.reused) == (9, 3, True)
    # The index is not that of the first corpus any more: it is embedded anew.
    assert not embed(given).embedded.reused


def test_an_index_of_another_model_or_width_takes_nothing(tmp_path: Path) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 3), tmp_path / "index")
    embed(given)
    wider = replace(MODEL, embedder=replace(MODEL.embedder, dim=32))

    with pytest.raises(IndexFolderError, match="made with dim '16', expected '32'"):
        append_corpus(replace(given, model=wider))
    other = replace(MODEL, files={**MODEL.files, "model.onnx": MODEL.files["tokenizer.json"]})
    with pytest.raises(IndexFolderError, match=r"model 'model\.onnx', expected 'tokenizer\.json'"):
        append_corpus(replace(given, model=other))


def test_an_index_says_what_computed_it_and_takes_nothing_else(tmp_path: Path) -> None:
    lines = write_corpus(tmp_path / "c.jsonl", 3)
    near = request(lines, tmp_path / "index", runtime="openvino-bf16")
    assert not embed(near).embedded.reused

    with pytest.raises(IndexFolderError, match="made with runtime 'openvino-bf16'"):
        append_corpus(request(lines, tmp_path / "index"))
    assert append_corpus(near).reused
    assert embed(near).embedded.reused
    assert open_snapshot(tmp_path / "index").manifest.origin["runtime"] == "openvino-bf16"
    assert not embed(request(lines, tmp_path / "index")).embedded.reused


def test_two_runs_into_one_index_do_not_mix(tmp_path: Path) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 3), tmp_path / "index")

    with write_lock(tmp_path / "index.partial"), pytest.raises(OutputError, match="another proc"):
        embed(given)
    with write_lock(tmp_path / "index"), pytest.raises(OutputError, match="another process"):
        embed(given)

    assert embed(given).embedded.kept == 3


def test_ray_runs_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 9), tmp_path / "index")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="ray"):
        embed_with_ray(given)

    class Rows:
        """Stands for a data set of Ray: its tasks run here, one after the other."""

        def __init__(self, count: int, **_named: Any) -> None:
            self.rows = [{"id": number} for number in range(count)]

        def map(self, task: Any, **_named: Any) -> Rows:
            self.rows = [task(each) for each in self.rows]
            return self

        def materialize(self) -> Rows:
            return self

    ray = types.ModuleType("ray")
    data = types.ModuleType("ray.data")
    vars(ray).update(is_initialized=lambda: True, cluster_resources=lambda: {"CPU": 1.0})
    vars(data).update(range=Rows)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)

    done = embed_with_ray(given)
    assert (done.documents, done.reused) == (9, False)
    assert found(given.output) == stored(9)
    monkeypatch.setattr(data, "range", None)
    done = embed_with_ray(given)
    assert (done.documents, done.reused) == (9, True)


def test_a_partial_index_of_other_fields_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = request(write_corpus(tmp_path / "c.jsonl", 3), tmp_path / "index")
    interrupt(given, monkeypatch)
    assert len(open_snapshot(tmp_path / "index.partial", unfinished=True)) == 3
    other = replace(MODEL, files={**MODEL.files, "model.onnx": MODEL.files["tokenizer.json"]})

    assert embed(replace(given, model=other)).embedded.kept == 0


def test_fields_of_two_embedders_are_not_filled_from_one_model(tmp_path: Path) -> None:
    *others, bits, deep = SCHEMA.fields
    newer = replace(bits, indexing=("input text | embed colbert_v2 | attribute",))
    two = replace(SCHEMA, fields=(*others, newer, deep))
    with pytest.raises(SpecError, match="colbert_v2 fills bits") as caught:
        request(write_corpus(tmp_path / "corpus.jsonl", 2), tmp_path / "index", schema=two)
    assert "colbert fills floats, deep" in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["corpus.jsonl"]
