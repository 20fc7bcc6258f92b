"""Several causes, what only vectors show, graphs that pool, and what cannot be explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.diagnose.conftest import Made
from tests.diagnose.planted import (
    MODELS,
    TEXTS,
    WHITE,
    copied,
    edit,
    edit_weights,
    foreign,
)
from tests.tiny_checkpoint import build_tiny_checkpoint
from tests.tiny_dense import build_tiny_dense
from vespa_colbert.arrays import pack_bits
from vespa_colbert.checkpoint import ReadOptions, StatedFacts, read_dense_checkpoint
from vespa_colbert.diagnose import BlackBox, Diagnosis, Side, black_box, diagnose, open_side
from vespa_colbert.diagnose.closeness import FLOAT32
from vespa_colbert.diagnose.report import report_lines
from vespa_colbert.embedder import LocalDenseEmbedder
from vespa_colbert.errors import ArrayError, CheckpointError, CollectionError, SpecError
from vespa_colbert.export import ExportOptions, export_dense, read_dense_folder

pytestmark = pytest.mark.filterwarnings("default")

CLS, MEAN, XLM = MODELS
PLAIN = StatedFacts(
    pooling="cls", normalize=True, query_prepend="", document_prepend="", max_tokens=48
)


def opened(given: Path | str, stated: StatedFacts | None = None) -> Side:
    options = ReadOptions()
    return open_side(str(given), TEXTS, "document", options=options, stated=stated or StatedFacts())


def stored(vectors: Any) -> BlackBox:
    return black_box("stored.npy", vectors, len(TEXTS))


def names(found: Diagnosis) -> list[str]:
    return [each.setting for each in found.causes]


def planted(folder: Path, to: Path, *kinds: str) -> Path:
    bad = copied(folder, to)
    for kind in kinds:
        WHITE[kind].plant(bad)
    return bad


def test_several_causes_are_listed_in_the_order_of_the_stages(made: Made, tmp_path: Path) -> None:
    checkpoint, _folder = made(CLS)
    kinds = ("normalisation", "pooling", "hidden states", "max length", "instruction")
    bad = planted(checkpoint, tmp_path / "bad", *kinds)
    found = diagnose(opened(checkpoint), opened(bad), TEXTS)
    assert names(found) == [
        "instruction",
        "max length",
        "hidden states",
        "pooling",
        "normalisation",
    ]
    assert all(each.without > FLOAT32 for each in found.causes)
    assert found.causes[-1].left == found.after <= FLOAT32 < found.causes[-2].left
    assert found.explained
    # What is in the evidence is what the stage has, all others being closed.
    first = found.causes[0].evidence
    assert (first.text, first.b) == (1, repr(("the text: " + TEXTS[0])[:60]))
    notes = " ".join(found.causes[2].evidence.notes)
    assert "layer.1.output.dense.weight" in notes
    assert "layer 2" in notes


def test_a_setting_that_changes_no_vector_is_no_cause(made: Made, tmp_path: Path) -> None:
    checkpoint, _folder = made(CLS)
    bad = planted(checkpoint, tmp_path / "bad", "max length", "pooling")
    short = [text for text in TEXTS if len(text) < 20]
    sides = [
        open_side(str(each), short, "document", options=ReadOptions(), stated=StatedFacts())
        for each in (checkpoint, bad)
    ]
    found = diagnose(sides[0], sides[1], short)
    assert names(found) == ["pooling"]
    assert [each.name for each in found.without_effect] == ["max length"]
    agreeing = diagnose(sides[0], sides[0], short)
    assert agreeing.agree
    assert not agreeing.without_effect


def test_two_causes_are_found_from_vectors_alone(made: Made) -> None:
    checkpoint, _folder = made(CLS)
    other = foreign(CLS, checkpoint, pooling="mean", unit=False, max_length=32)
    found = diagnose(opened(checkpoint), stored(other(list(TEXTS))), TEXTS)
    assert names(found) == ["max length", "pooling", "normalisation"]
    assert [each.b for each in found.causes] == ["32 tokens", "mean", "not brought to 1"]


def test_a_function_may_come_first_and_sides_keep_their_names(made: Made) -> None:
    checkpoint, _folder = made(CLS)
    other = foreign(CLS, checkpoint, pooling="mean")
    found = diagnose(stored(other(list(TEXTS))), opened(checkpoint), TEXTS)
    (cause,) = found.causes
    assert (cause.setting, cause.a, cause.b) == ("pooling", "mean", "cls")


@pytest.mark.slow
@pytest.mark.parametrize("exact_first", [True, False])
def test_the_inside_of_a_graph_that_pools_is_found_by_trying(
    made: Made, tmp_path: Path, exact_first: bool
) -> None:
    checkpoint, _folder = made(CLS)
    bad = planted(checkpoint, tmp_path / "bad", "pooling", "instruction")
    options = ExportOptions(packaging="exact", verify=False)
    exact = export_dense(read_dense_checkpoint(bad), tmp_path / "exact", options)
    a, b = (exact.path, checkpoint) if exact_first else (checkpoint, exact.path)
    found = diagnose(opened(a), opened(b), TEXTS)
    assert names(found) == ["instruction", "pooling"]
    assert found.explained
    right = export_dense(read_dense_checkpoint(checkpoint), tmp_path / "right", options)
    assert diagnose(opened(checkpoint), opened(right.path), TEXTS).agree


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_a_narrow_graph_is_told_by_making_it(made: Made, tmp_path: Path, dtype: Any) -> None:
    checkpoint, folder = made(CLS)
    options = ExportOptions(dtype=dtype, accept_drift=True, verify=False)
    narrow = export_dense(read_dense_checkpoint(checkpoint), tmp_path / "narrow", options)
    for one in (checkpoint, folder):
        found = diagnose(opened(one), opened(narrow.path), TEXTS)
        assert names(found) == [f"dtype ({dtype})"]


def test_encoders_that_differ_on_few_texts_are_told_apart(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, _folder = made(CLS)
    bad = planted(checkpoint, tmp_path / "bad", "hidden states", "pooling")
    monkeypatch.setattr("vespa_colbert.diagnose.compare._same_rows", lambda *_all: True)
    found = diagnose(opened(checkpoint), opened(bad), TEXTS)
    assert names(found) == ["hidden states", "pooling"]


@pytest.mark.parametrize("kind", ["truncation side", "special tokens"])
def test_the_vectors_of_a_model_folder_are_those_of_the_local_embedder(
    made: Made, tmp_path: Path, kind: str
) -> None:
    _checkpoint, folder = made(XLM)
    for place in (folder, planted(folder, tmp_path / "other", kind)):
        vectors = LocalDenseEmbedder(read_dense_folder(place), threads=1).embed_many(
            TEXTS, "document"
        )
        assert diagnose(opened(place), stored(vectors), TEXTS).agree


def other_weights(folder: Path, to: Path) -> Path:
    bad = copied(folder, to)
    edit_weights(bad, lambda name, each: each * 1.3 if "layer.0" in name else each)
    return bad


@pytest.mark.parametrize("pairs", [8, pytest.param(600, marks=pytest.mark.slow)])
def test_what_was_not_shown_is_not_claimed(
    made: Made, tmp_path: Path, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vespa_colbert.diagnose.search.MOST_PAIRS", pairs)
    checkpoint, _folder = made(MEAN)
    vectors = foreign(MEAN, other_weights(checkpoint, tmp_path / "bad"))(list(TEXTS))
    found = diagnose(opened(checkpoint), stored(vectors), TEXTS)
    assert (found.agree, found.explained, found.causes) == (False, False, ())
    assert any("not explained" in line for line in report_lines(found))


def test_float16_is_said_to_be_likely_where_no_kernel_gives_its_last_digits(made: Made) -> None:
    checkpoint, _folder = made(CLS)
    generator = np.random.default_rng(3)
    vectors = foreign(CLS, checkpoint)(list(TEXTS))
    moved = (vectors + generator.normal(0, 4e-4, vectors.shape)).astype(np.float16)
    found = diagnose(opened(checkpoint), stored(moved), TEXTS)
    assert (found.explained, found.causes) == (False, ())
    assert "float16" in found.likely[0]


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


CUTS: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "cut, then length 1": (lambda each: unit(each[:, :8]), ["dims"]),
    "length 1, then cut": (lambda each: unit(each)[:, :8], ["dims", "normalisation"]),
    "bits as Vespa packs them": (pack_bits, ["dtype"]),
    "bits of the library": (
        lambda each: (np.packbits(each > 0, axis=1).astype(int) - 128).astype(np.int8),
        ["dtype"],
    ),
    "int8, one scale": (lambda each: np.round(each * 127).astype(np.int8), ["dtype"]),
    "bfloat16, cut off": (
        lambda each: (each.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32),
        ["dtype"],
    ),
}


@pytest.mark.parametrize("kind", CUTS)
def test_what_is_done_to_finished_vectors_is_found(made: Made, kind: str) -> None:
    checkpoint, _folder = made(CLS)
    change, wanted = CUTS[kind]
    vectors = change(foreign(CLS, checkpoint)(list(TEXTS)).astype(np.float32))
    found = diagnose(opened(checkpoint), stored(vectors), TEXTS)
    assert names(found) == wanted
    assert found.explained


def test_layers_behind_the_pooling_that_were_left_out_are_found(tmp_path: Path) -> None:
    checkpoint = build_tiny_dense(tmp_path / "heads", pooling="mean", heads=1)
    vectors = foreign("mean, length 1", checkpoint)(list(TEXTS))
    found = diagnose(opened(checkpoint), stored(vectors), TEXTS)
    assert names(found) == ["projection"]


def test_rows_of_another_layer_are_found(made: Made) -> None:
    import torch
    import transformers

    checkpoint, _folder = made(CLS)
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    given = tokenizer(
        list(TEXTS), padding=True, truncation=True, max_length=48, return_tensors="pt"
    )
    with torch.no_grad():
        rows = model(**given, output_hidden_states=True).hidden_states[-2]
    found = diagnose(opened(checkpoint), stored(unit(rows[:, 0].numpy())), TEXTS)
    assert names(found) == ["hidden layer"]


def test_a_row_of_padding_that_is_taken_for_the_first_one_is_found(made: Made) -> None:
    import torch
    import transformers

    checkpoint, _folder = made(CLS)
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.padding_side = "left"
    given = tokenizer(
        list(TEXTS), padding=True, truncation=True, max_length=48, return_tensors="pt"
    )
    with torch.no_grad():
        rows = model(**given).last_hidden_state
    found = diagnose(opened(checkpoint), stored(unit(rows[:, 0].numpy())), TEXTS)
    assert names(found) == ["padding"]
    assert "no mask in the pooling, padded on the left" in found.causes[0].b


def test_a_batch_that_matters_is_seen(made: Made) -> None:
    checkpoint, _folder = made(MEAN)
    embed = foreign(MEAN, checkpoint, masked=False)
    box = black_box(
        "by hand",
        embed(list(TEXTS)),
        len(TEXTS),
        lambda place: embed([TEXTS[place]])[0],
    )
    found = diagnose(opened(checkpoint), box, TEXTS)
    assert any("its batch matters" in each for each in found.signs)
    steady = replace(box, vectors=foreign(MEAN, checkpoint, unit=True)(list(TEXTS)), alone=None)
    assert names(diagnose(opened(checkpoint), steady, TEXTS)) == ["normalisation"]


def test_a_plain_encoder_has_its_facts_stated(made: Made, tmp_path: Path) -> None:
    checkpoint, _folder = made(CLS)
    plain = copied(checkpoint, tmp_path / "plain")
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (plain / name).unlink()
    with pytest.raises(CheckpointError, match="--pooling"):
        opened(plain)
    assert diagnose(opened(checkpoint), opened(plain, PLAIN), TEXTS).agree
    mean = opened(plain, replace(PLAIN, pooling="mean"))
    found = diagnose(opened(checkpoint), mean, TEXTS)
    assert names(found) == ["pooling"]
    assert found.causes[0].b_origin == "stated by the user"


def test_two_sides_of_which_only_vectors_are_known_are_not_explained() -> None:
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(len(TEXTS), 8)).astype(np.float32)
    found = diagnose(stored(vectors), stored(unit(vectors)), TEXTS)
    assert (found.agree, found.explained) == (False, False)
    assert any("only lengths" in each for each in found.signs)
    assert diagnose(stored(vectors), stored(vectors.copy()), TEXTS).agree


@pytest.mark.parametrize(
    ("vectors", "match"),
    [
        (np.zeros((3, 8), np.float32), "one vector of numbers for each of 10 texts"),
        (np.full((10, 8), np.nan, np.float32), "got NaN or infinity in rows"),
        (np.zeros((10, 8, 2), np.float32), "one vector of numbers for each"),
    ],
)
def test_vectors_that_do_not_fit_the_texts_are_an_error(
    tmp_path: Path, vectors: Any, match: str
) -> None:
    np.save(tmp_path / "vectors.npy", vectors)
    with pytest.raises(ArrayError, match=match):
        opened(tmp_path / "vectors.npy")


def test_what_is_no_side_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("def embed(texts):\n    raise RuntimeError('no')\n")
    for given, match in (
        ("nowhere", "found none by that name"),
        (f"{script}:absent", "AttributeError"),
        (f"{script}:embed", "the function fails"),
        ("no.such.module:embed", "ModuleNotFoundError"),
        (str(tmp_path / "absent.npy"), "found none"),
    ):
        with pytest.raises(SpecError, match=match):
            opened(given)
    script.write_text("def embed(texts):\n    return [[float(len(each)), 1.0] for each in texts]\n")
    box = opened(f"{script}:embed")
    assert isinstance(box, BlackBox)
    assert box.vectors[:, 0].tolist() == [len(each) for each in TEXTS]


def test_late_interaction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="verify compares token vectors"):
        opened(build_tiny_checkpoint(tmp_path / "tokens"))


def test_no_texts_are_an_error() -> None:
    with pytest.raises(CollectionError, match="at least one"):
        diagnose(stored(np.zeros((10, 2))), stored(np.zeros((10, 2))), [])


def test_seed_mean_instead_of_first_row_is_named_and_closed(made: Made, tmp_path: Path) -> None:
    """A hand-written BGE that pools by the mean, as published, is not the first row."""
    checkpoint, _folder = made(CLS)
    chinese = "为这个句子生成表示以用于检索相关文章："
    bge = copied(checkpoint, tmp_path / "bge")
    edit(
        bge / "config_sentence_transformers.json",
        lambda document: document.update(prompts={"query": "", "document": ""}),
    )
    other = foreign(CLS, bge, pooling="mean", instruction=chinese)
    found = diagnose(opened(bge), stored(other(list(TEXTS))), TEXTS)
    assert names(found) == ["instruction", "pooling"]
    assert found.causes[0].b == repr(chinese)
