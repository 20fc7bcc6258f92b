"""Scores are the library's, whatever the batch; pairs are cut as the library cuts them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.library_pairs import library_logits
from tests.tiny_encoders import CORPUS
from vespa_colbert.checkpoint.cross_encoder import read_cross_encoder_checkpoint
from vespa_colbert.checkpoint.pair_form import read_pair_form
from vespa_colbert.errors import CollectionError, ExportError, SpecError
from vespa_colbert.reranker import Reranker, Sequencing, TorchScorer, open_scorer

LIBRARY = 1e-5
"""Two layers or six in float32, whose sums ONNX Runtime and torch order otherwise."""
BATCH = 1e-6
"""Padding changes how sums are split, and nothing that is summed."""

FAMILIES = pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
QUERIES = ("what is a rose?", "dog", "how does Vespa rank documents, and what does it sum?", "é")
LONG_QUERY = " ".join(CORPUS[:3])


def some_pairs(count: int) -> list[tuple[str, str]]:
    """Return pairs of many lengths, among them empty and overlong texts."""
    generator = np.random.default_rng(3)
    words = " ".join(CORPUS).split()
    pairs = [("", ""), ("dog", ""), ("", "dog"), (LONG_QUERY, LONG_QUERY), ("dog", LONG_QUERY)]
    while len(pairs) < count:
        sizes = generator.integers(1, (12, 90))
        texts = [" ".join(generator.choice(words, size)) for size in sizes]
        pairs.append((texts[0], texts[1]))
    return pairs


@FAMILIES
@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_logits_are_those_of_transformers_long_pairs_included(
    checkpoints: Mapping[str, Path], folders: Mapping[str, Path], family: str, count: int
) -> None:
    pairs = some_pairs(count)
    reranker = Reranker(open_scorer(folders[family]))

    logits = reranker.score(pairs)
    wanted = library_logits(checkpoints[family], pairs, reranker.sequencing.max_tokens)

    assert sum(each.is_cut for each in reranker.sequences(pairs)) > count // 4
    assert np.abs(logits - wanted).max() <= LIBRARY
    assert np.ptp(wanted) > 0.1


@FAMILIES
def test_torch_and_onnx_runtime_give_the_same_logits(
    checkpoints: Mapping[str, Path], folders: Mapping[str, Path], family: str
) -> None:
    pairs = some_pairs(40)
    in_torch = Reranker(TorchScorer(read_cross_encoder_checkpoint(checkpoints[family])))
    in_onnx = Reranker(open_scorer(folders[family]))

    assert np.abs(in_torch.score(pairs) - in_onnx.score(pairs)).max() <= LIBRARY
    assert in_torch.identity != in_onnx.identity


@FAMILIES
def test_a_score_does_not_depend_on_its_batch(folders: Mapping[str, Path], family: str) -> None:
    pairs = some_pairs(96)
    scorer = open_scorer(folders[family])
    alone = Reranker(scorer, batch_size=1).score(pairs)

    for seed, size in enumerate((1, 3, 8, 64)):
        order = np.random.default_rng(seed).permutation(len(pairs))
        reranker = Reranker(scorer, batch_size=size, budget=10_000)
        found = reranker.score([pairs[place] for place in order])
        assert np.abs(found - alone[order]).max() <= BATCH


@FAMILIES
def test_sequences_are_those_of_the_tokenizer(folders: Mapping[str, Path], family: str) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folders[family] / "tokenizer.json"))
    reranker = Reranker(open_scorer(folders[family]))
    limit = reranker.sequencing.max_tokens
    tokenizer.enable_truncation(limit, strategy="only_second")
    pairs = [(query, text) for query in QUERIES for text in (*CORPUS, LONG_QUERY, "")]

    for pair, mine in zip(pairs, reranker.sequences(pairs), strict=True):
        wanted = tokenizer.encode(*pair)
        assert mine.ids == tuple(wanted.ids)
        assert mine.types == tuple(wanted.type_ids)
        assert mine.is_cut == bool(wanted.overflowing)


def test_a_query_keeps_three_quarters_and_a_document_the_rest(
    folders: Mapping[str, Path],
) -> None:
    reranker = Reranker(open_scorer(folders["xlm-roberta"]))
    (pair,) = reranker.sequences([(LONG_QUERY, LONG_QUERY)])

    assert reranker.sequencing == Sequencing(max_tokens=48, query_tokens=36)
    assert len(pair.ids) == 48
    assert [place for place, each in enumerate(pair.ids) if each == 2] == [37, 38, 47]


def test_a_package_cuts_the_query_elsewhere(folders: Mapping[str, Path]) -> None:
    scorer = open_scorer(folders["bert"])
    rule = Sequencing.of_package(48, 10)
    (pair,) = Reranker(scorer, sequencing=rule).sequences([(LONG_QUERY, LONG_QUERY)])
    form = read_pair_form(folders["bert"])

    separators = [place for place, each in enumerate(pair.ids) if each == form.separator_id]
    assert separators == [11, 47]
    assert pair.types == (0,) * 12 + (1,) * 36


def test_the_double_separator_and_the_last_one_matter(
    checkpoints: Mapping[str, Path], folders: Mapping[str, Path]
) -> None:
    """XLM-R: what ``customTokenInputIds`` alone makes of a pair has another score."""
    pairs = [("what is a rose?", LONG_QUERY), ("dog", "the lazy dog")]
    scorer = open_scorer(folders["xlm-roberta"])
    right = Reranker(scorer).score(pairs)
    one = Sequencing(max_tokens=48, query_tokens=36, separators=1)
    endless = Sequencing(max_tokens=48, query_tokens=36, cut="end")

    with_one = Reranker(scorer, sequencing=one).score(pairs)
    without_last = Reranker(scorer, sequencing=endless)
    cut = without_last.score(pairs)

    assert np.abs(right - library_logits(checkpoints["xlm-roberta"], pairs, 48)).max() <= LIBRARY
    assert np.abs(with_one - right).min() > 100 * LIBRARY
    assert without_last.sequences(pairs)[0].ids[-1] != 2
    assert abs(cut[0] - right[0]) > 100 * LIBRARY
    assert cut[1] == pytest.approx(right[1], abs=BATCH), "a pair that fits loses nothing"


def test_documents_stand_best_first_and_equal_ones_as_given(folders: Mapping[str, Path]) -> None:
    reranker = Reranker(open_scorer(folders["bert"]))
    documents = [*CORPUS[:4], CORPUS[0], CORPUS[2]]

    ranked = reranker.rerank("dog", documents)
    scores = reranker.score([("dog", text) for text in documents])

    assert [each.score for each in ranked] == sorted(scores, reverse=True)
    places = [each.position for each in ranked]
    assert places.index(0) + 1 == places.index(4)
    assert places.index(2) + 1 == places.index(5)
    assert reranker.rerank("dog", documents, top=2) == ranked[:2]
    assert reranker.rerank("dog", []) == []


def test_a_sigmoid_is_of_the_logit(folders: Mapping[str, Path]) -> None:
    scorer, pairs = open_scorer(folders["bert"]), some_pairs(9)
    logits = Reranker(scorer).score(pairs)

    found = Reranker(scorer, score="sigmoid").score(pairs)

    assert found == pytest.approx(1 / (1 + np.exp(-logits)), rel=1e-12)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sequencing": Sequencing(max_tokens=49, query_tokens=9)}, "at most 48"),
        ({"sequencing": Sequencing(max_tokens=48, query_tokens=45)}, "expected 1 to 44"),
        ({"sequencing": Sequencing(max_tokens=48, query_tokens=0)}, "expected 1 to 44"),
        ({"budget": 0}, "1 or more"),
        ({"batch_size": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_is_refused(
    folders: Mapping[str, Path], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        Reranker(open_scorer(folders["bert"]), **given)


def test_half_precision_is_for_gpus(
    checkpoints: Mapping[str, Path], folders: Mapping[str, Path]
) -> None:
    with pytest.raises(SpecError, match="expected a GPU"):
        open_scorer(checkpoints["bert"], half=True)
    with pytest.raises(SpecError, match="name the checkpoint"):
        open_scorer(folders["bert"], device="cuda")


@pytest.mark.gpu
def test_half_precision_on_a_gpu_stays_close(checkpoints: Mapping[str, Path]) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    pairs = some_pairs(40)
    exact = Reranker(open_scorer(checkpoints["bert"])).score(pairs)
    half = Reranker(open_scorer(checkpoints["bert"], device="cuda", half=True)).score(pairs)

    # Eleven bits of a half, through two layers: 2 ** -11 times about ten.
    assert np.abs(half - exact).max() <= 5e-3 * max(1.0, np.abs(exact).max())


def test_half_a_character_is_refused(folders: Mapping[str, Path]) -> None:
    with pytest.raises(CollectionError, match="half of a surrogate pair"):
        Reranker(open_scorer(folders["bert"])).score([("a", "\ud800")])


def test_a_changed_model_folder_is_refused(folders: Mapping[str, Path], tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(folders["bert"], tmp_path / "model"))
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(bytes(data))

    with pytest.raises(ExportError, match="damaged"):
        open_scorer(folder)
