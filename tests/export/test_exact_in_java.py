"""Exact packaging, judged: Vespa's own embedder on our files gives the library's scores."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import transformers

from tests.judges.judge_texts import lone_punctuation_texts, without_lone_punctuation
from tests.library_scores import Library, Rows
from tests.tiny_checkpoint import SPECIALS, edit_json
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.embedder import LocalEmbedder, Role
from vespa_colbert.export import ExportOptions, ModelFolder, export_checkpoint
from vespa_colbert.tensor import TensorType
from vespa_colbert.vespa_java import EmbedderFiles, VespaJava

pytestmark = pytest.mark.java

Copy = Callable[[], Path]

ROUNDING = 2e-6
"""float32 rounding through two layers and a projection, in components of unit vectors."""
SCORE_ROUNDING = 2e-5
"""float32 rounding of rows, 2e-6 each, over the ten rows of a query."""

QUERIES = (
    *("", " ", "rose", "what is a rose?", "a, b; (c) d!", "?!", "...", "x y z " * 12, "日本 rose"),
    *("🦊 is?", "\u200b", "rose's", "C++ is (not) C#", "é e\u0301", "is\u00a0rose", "ROSE"),
)
DOCUMENTS = (
    *QUERIES,
    "a rose is a rose. is it a rose? it is!",
    "!!! ??? ... --- ;;; ,,, ::: (((",
    "ab. cd, ef; gh: ij! kl? (mn) [op] {qr} <st> 'uv' \"wx\" yz",
    "x" * 50,
    "rose, " * 40,
    "日本。狐！ (rose)",
    "👩‍👩‍👧‍👦 rose.",
    "\t\n rose \r\n",
)


@pytest.fixture(scope="module", name="exact")
def exact_fixture(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    output = tmp_path_factory.mktemp("exact") / "model"
    return export_checkpoint(
        read_checkpoint(tiny_checkpoint), output, ExportOptions(packaging="exact", opset=17)
    )


def java_scores(
    java: VespaJava, folder: ModelFolder, queries: Sequence[str], documents: Sequence[str]
) -> Rows:
    """Return the sum of maxima over the tensors that Vespa's embedder makes, (query, document)."""
    files, dim = EmbedderFiles.of(folder), folder.embedder.dim
    query_type = TensorType.parse(f"tensor<float>(qt{{}},x[{dim}])")
    document_type = TensorType.parse(f"tensor<float>(dt{{}},x[{dim}])")
    left = java.embed_many(files, queries, "query(qt)", query_type)
    right = java.embed_many(files, documents, "doc.colbert", document_type)
    return np.array([
        [(q.tensor.values.astype(np.float64) @ d.tensor.values.T).max(axis=1).sum() for d in right]
        for q in left
    ])


def test_a_pylate_model(
    java: VespaJava, exact: ModelFolder, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    library = Library(checkpoint, transformers.BertModel.from_pretrained(tiny_checkpoint))
    wanted = library.scores(QUERIES, DOCUMENTS)
    assert wanted.size >= 200
    got = java_scores(java, exact, QUERIES, DOCUMENTS)
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)
    native = export_checkpoint(checkpoint, tmp_path / "native", ExportOptions(opset=17))
    assert native.packaging == "native"
    # Texts are such that removing punctuation before the encoder shows.
    assert np.abs(java_scores(java, native, QUERIES, DOCUMENTS) - wanted).max() > 0.01


def test_attended_expansion_and_fewer_dims(java: VespaJava, copy: Copy, tmp_path: Path) -> None:
    source = copy()
    edit_json(source / "config_sentence_transformers.json", attend_to_expansion_tokens=True)
    checkpoint = read_checkpoint(source)
    folder = export_checkpoint(checkpoint, tmp_path / "model", ExportOptions(dims=5, opset=17))
    assert (folder.packaging, folder.embedder.dim) == ("exact", 5)
    library = Library(checkpoint, transformers.BertModel.from_pretrained(source), dims=5)
    wanted = library.scores(QUERIES, DOCUMENTS)
    got = java_scores(java, folder, QUERIES, DOCUMENTS)
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)
    without = replace(checkpoint, expansion_attended=False)
    plain = Library(without, transformers.BertModel.from_pretrained(source), dims=5)
    assert np.abs(plain.scores(QUERIES, DOCUMENTS) - wanted).max() > 0.01


def test_a_model_like_m3(java: VespaJava, m3: Checkpoint, m3_folder: Path, tmp_path: Path) -> None:
    folder = export_checkpoint(m3, tmp_path / "model", ExportOptions(opset=17))
    assert folder.packaging == "exact"
    library = Library(m3, transformers.XLMRobertaModel.from_pretrained(m3_folder))
    wanted = library.scores(QUERIES, DOCUMENTS)
    got = java_scores(java, folder, QUERIES, DOCUMENTS)
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)


def test_a_mean_without_markers_over_words_skipped_on_both_sides(
    java: VespaJava, m3: Checkpoint, m3_folder: Path, tmp_path: Path
) -> None:
    words = (".", ",", "?", "!", "▁")
    checkpoint = replace(
        m3,
        skip_words=words,
        skip_ids=m3.tokenizer.ids(words),
        skip_queries=True,
        query_expansion=True,
        lower_case=True,
        strip=True,
    )
    folder = export_checkpoint(checkpoint, tmp_path / "model", ExportOptions(opset=17))
    library = Library(checkpoint, transformers.XLMRobertaModel.from_pretrained(m3_folder))
    wanted = library.scores(QUERIES, DOCUMENTS)
    got = java_scores(java, folder, QUERIES, DOCUMENTS)
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)


OUT_OF_REACH = {
    **dict.fromkeys(string.punctuation, ""),
    "[[MASK]]": "[MASK]",
    "[MASK].": "[MASK]",
    ".[MASK] rose": "[MASK] rose",
    "[MASK]?[UNK]": "[MASK][UNK]",
}
"""Text → what exact files let the encoder see of it."""
WITHIN_REACH = (
    *(" ?", "? ", "?!", "..", "[MASK] .", ". [MASK]", "[MASK]..", "[MASK]", "rose [MASK] is."),
    *("", "？", "[ MASK ]"),
)


@pytest.mark.parametrize("role", ["query", "document"])
def test_lone_punctuation_is_out_of_reach(
    java: VespaJava, exact: ModelFolder, tiny_checkpoint: Path, role: Role
) -> None:
    """One character is as an empty text, beside an added token as the token alone."""
    assert_seen_as(java, exact, OUT_OF_REACH, role)
    library = Library(
        read_checkpoint(tiny_checkpoint), transformers.BertModel.from_pretrained(tiny_checkpoint)
    )
    for text, seen in OUT_OF_REACH.items():
        ours, theirs = (library.rows(each, query=role == "query") for each in (text, seen))
        assert ours.shape != theirs.shape or np.abs(ours - theirs).max() > 0.01, text


def test_the_texts_that_judges_leave_out_are_out_of_reach(
    java: VespaJava, exact: ModelFolder, collections: Path
) -> None:
    texts = lone_punctuation_texts(collections)
    assert len(texts) == 13
    assert_seen_as(java, exact, {each: OUT_OF_REACH[each] for each in texts}, "document")
    assert_seen_as(java, exact, {each: OUT_OF_REACH[each] for each in texts}, "query")
    for text, seen in OUT_OF_REACH.items():
        assert without_lone_punctuation(text) == seen


def test_punctuation_next_to_anything_else_is_within_reach(
    java: VespaJava, exact: ModelFolder, tiny_checkpoint: Path
) -> None:
    library = Library(
        read_checkpoint(tiny_checkpoint), transformers.BertModel.from_pretrained(tiny_checkpoint)
    )
    got = java_scores(java, exact, WITHIN_REACH, WITHIN_REACH)
    wanted = library.scores(WITHIN_REACH, WITHIN_REACH)
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)


def assert_seen_as(
    java: VespaJava, folder: ModelFolder, seen: Mapping[str, str], role: Role
) -> None:
    """Fail unless each text has the ids and rows of another, in Vespa and in Python."""
    target = {"query": "query(qt)", "document": "doc.colbert"}[role]
    kind = TensorType.parse(f"tensor<float>(token{{}},x[{folder.embedder.dim}])")
    local = LocalEmbedder(folder)
    found, wanted = (
        java.embed_many(EmbedderFiles.of(folder), list(texts), target, kind)
        for texts in (seen, seen.values())
    )
    for text, of_text, of_seen in zip(seen, found, wanted, strict=True):
        assert of_text.token_ids.tolist() == of_seen.token_ids.tolist(), text
        assert np.array_equal(of_text.tensor.values, of_seen.tensor.values), text
        assert local.transformer_input(text, role).ids == tuple(of_seen.token_ids.tolist()), text
        rows = local.embed(text, role)
        np.testing.assert_allclose(rows, of_seen.tensor.values, atol=ROUNDING, rtol=0)


@pytest.mark.slow
def test_adversarial_texts(
    java: VespaJava, exact: ModelFolder, collections: Path, tiny_checkpoint: Path
) -> None:
    lines = (collections / "adversarial" / "constructed.jsonl").read_text().splitlines()
    rows = [json.loads(line)["text"] for line in lines]
    checkpoint = read_checkpoint(tiny_checkpoint)
    texts = [
        text
        for text in rows
        if text not in string.punctuation and not any(token in text for token in SPECIALS)
    ]
    library = Library(checkpoint, transformers.BertModel.from_pretrained(tiny_checkpoint))
    wanted = library.scores(texts[::9], texts)
    got = java_scores(java, exact, texts[::9], texts)
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)
