"""Pooled vectors: made at embed time, fed, ranked, proved; refused where Vespa makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.app.tiny_models import write_colbert
from tests.pipeline.embedded_corpora import request_of_texts
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.errors import IndexFolderError, SpecError
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.index import open_index
from vespa_colbert.pipeline import (
    EmbedRequest,
    FeedOptions,
    ProofOptions,
    Searcher,
    append_corpus,
    embed,
    embed_corpus,
    open_feed,
    prove,
)
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType, Tensor, TensorType, cells_of
from vespa_colbert.verify import Verdict
from vespa_colbert.verify.judges import Embedded, PooledEmbeddings, TextCase
from vespa_colbert.vespa_java import VespaJava

ALL_CELLS = (CellType.FLOAT, CellType.BFLOAT16, CellType.INT8)
CLIENT = AppOptions(embeddings="client", cell_types=ALL_CELLS, dims=(16, 8))
TEXTS = {"one": "red green greens red red", "two": "greens", "three": "🦊 red green 🦊 green 🦊"}
HALF = TokenPooling(factor=2)


@pytest.fixture(scope="module", name="model")
def model_fixture(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("model"))


@pytest.fixture(name="request_of")
def request_fixture(model: ModelFolder, tmp_path: Path) -> EmbedRequest:
    return request(model, tmp_path, CLIENT, HALF)


def request(
    model: ModelFolder, folder: Path, options: AppOptions, pooling: TokenPooling
) -> EmbedRequest:
    app = render_app(
        application_spec(folder_embedder(model), options), folder / "app", parse=parse_expression
    ).path
    return request_of_texts(TEXTS, model, app, folder, pooling)


def test_the_index_and_the_feed_hold_pooled_vectors(
    request_of: EmbedRequest, model: ModelFolder
) -> None:
    embed(request_of)

    index = open_index(request_of.output)
    embedder = LocalEmbedder(model, threads=1)
    for position, text in enumerate(TEXTS.values()):
        vectors = HALF.pool(embedder.embed(" " + text, "document"))
        held = index.tensors["colbert_float"].document(position).values
        np.testing.assert_array_equal(held, vectors)
        packed = index.tensors["colbert_int8_8"].document(position).values
        np.testing.assert_array_equal(packed.view(np.uint8)[:, 0], np.packbits(vectors[:, :8] > 0))
    every = sum(len(embedder.embed(" " + text, "document")) for text in TEXTS.values())
    assert len(index.tensors["colbert_float"].values) < every
    assert index.origin["pooling"] == "ward, factor 2, 1 protected"
    options = FeedOptions(namespace="passages", pooling=HALF, threads=1)
    for source, given in ((request_of.output, None), (request_of.corpus, model)):
        feed = open_feed(source, request_of.schema, options, given)
        for position, document in enumerate(feed.documents):
            tensors = feed.tensors(position, document)
            expected = index.tensors["colbert_int8"].document(position)
            assert tensors["colbert_int8"] == expected


def test_an_index_that_is_pooled_otherwise_is_made_again(
    request_of: EmbedRequest, model: ModelFolder
) -> None:
    embed(request_of)
    pooled = len(open_index(request_of.output).tensors["colbert_float"].values)

    again = embed(request_of)
    plain = embed_corpus(request_of.corpus, model, request_of.schema, request_of.output, threads=1)

    assert again.embedded.reused
    assert not plain.reused
    assert len(plain.value.tensors["colbert_float"].values) > pooled
    with pytest.raises(IndexFolderError, match="pooling"):
        append_corpus(request_of)


def test_vectors_that_vespa_makes_are_not_pooled(model: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"Vespa's own embedder fills it and cannot pool"):
        request(model, tmp_path, AppOptions(), HALF)


def test_a_pooled_index_is_not_searched_for_a_package_that_embeds(
    model: ModelFolder, tmp_path: Path
) -> None:
    options = AppOptions(embeddings="client", cell_types=(CellType.FLOAT,))
    asked = request(model, tmp_path, options, HALF)
    embed(asked)
    theirs = render_app(
        application_spec(folder_embedder(model), AppOptions(cell_types=(CellType.FLOAT,))),
        tmp_path / "other",
        parse=parse_expression,
    ).path

    assert Searcher(tmp_path / "app", asked.output, model, threads=1).pooling == HALF
    with pytest.raises((SpecError, IndexFolderError)):
        Searcher(theirs, asked.output, model, threads=1)


def test_what_an_index_says_of_its_pooling_is_read_back() -> None:
    choices = (
        TokenPooling(),
        TokenPooling(factor=2),
        TokenPooling(factor=1 / 3 + 2, protected=0),
        TokenPooling(factor=1e9, protected=12, normalized=True),
    )
    assert [TokenPooling.parse(str(each)) for each in choices] == list(choices)
    with pytest.raises(SpecError, match="expected such as ward, factor 2"):
        TokenPooling.parse("mean of neighbours")


class FakeJudge:
    """Gives what it is asked for of fixed vectors, cut as Vespa cuts them."""

    def __init__(self, vectors: TokenVectors) -> None:
        self.vectors = vectors

    def embed(self, case: TextCase) -> Embedded:
        tensors = {
            name: Tensor.rows(kind, cells_of(self.vectors, kind))
            for name, kind in case.targets.items()
        }
        return Embedded(ids=(1, 2), attention=(1, 1), tensors=tensors)


def test_a_judge_is_asked_for_whole_vectors_and_they_are_cut_after_pooling() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((9, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kinds = {
        "passage.wide": TensorType.parse("tensor<float>(dt{},x[16])"),
        "passage.narrow": TensorType.parse("tensor<bfloat16>(dt{},x[8])"),
        "passage.bits": TensorType.parse("tensor<int8>(dt{},x[1])"),
    }
    judge = PooledEmbeddings(judge=FakeJudge(vectors), pooling=HALF, dim=16)
    case = TextCase(name="d", text="", role="document", targets=kinds, document=0)

    made = judge.embed(case)

    pooled = HALF.pool(vectors)
    assert len(pooled) == 5
    for name, kind in kinds.items():
        assert made.tensors[name] == Tensor.rows(kind, cells_of(pooled, kind))
    query = TextCase(name="q", text="", role="query", targets=kinds)
    np.testing.assert_array_equal(judge.embed(query).tensors["passage.wide"].values, vectors)


@pytest.mark.slow
@pytest.mark.java
def test_pooled_vectors_are_proved(request_of: EmbedRequest, model: ModelFolder) -> None:
    embed(request_of)
    searcher = Searcher(request_of.output.parent / "app", request_of.output, model, threads=1)

    with VespaJava() as java:
        report = prove(searcher, java, {"q": "greens red"}, ProofOptions(pairs=4))

    rungs = {rung.name: rung for rung in report.rungs}
    assert report.passed
    for name in ("rows, float", "rows, packed bits"):
        assert rungs[name].verdict is Verdict.PASSED
        assert rungs[name].cases > 0
