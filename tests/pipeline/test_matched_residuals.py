"""The document tokens that answer a question, where an index holds residuals of their vectors."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.app.tiny_models import write_colbert
from tests.pipeline.coded_indexes import Made, make
from vespa_colbert.codec import read_codec, unit_vectors
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.index import open_index
from vespa_colbert.pipeline import Searcher
from vespa_colbert.rank import Hit

TEXTS = [
    "red",
    "green greens 🦊 red red greens green 🦊 red green red 🦊 greens",
    "🦊 greens red",
    "greens green",
]
"""One of more than ten tokens: labels are numbers, not words in the order of an alphabet."""

QUERY = "green 🦊 red"
SCORE = 1e-5
"""Absolute: sums of float products of vectors of length 1, in another order."""


@pytest.fixture(scope="module", name="model")
def model_fixture(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", name="made")
def made_fixture(tmp_path_factory: pytest.TempPathFactory, model: ModelFolder) -> Made:
    return make(tmp_path_factory.mktemp("made"), model, said=TEXTS)


def products_of(made: Made, place: int, *, is_scaled: bool) -> np.ndarray:
    """Return the query's products with the vectors that the codec rebuilds: (query, document)."""
    codec, rows = read_codec(made.codec), open_index(made.index).tensors["colbert_float"]
    codes = codec.encode(unit_vectors(rows.document(place).values, codec.dim))
    vectors = codec.decode(codes)
    if not is_scaled:
        bits = np.unpackbits(codes.residuals, axis=1).reshape(len(codes), codec.dim, -1)
        buckets = bits @ (1 << np.arange(bits.shape[2]))
        vectors = codec.centroids[codes.centroids] + codec.weights[buckets]
    asked = LocalEmbedder(made.model, threads=1).embed(QUERY, "query")
    return np.asarray(asked @ vectors.T)


@pytest.mark.parametrize(
    "profile", ["max_sim_residual", "rerank_residual", "max_sim_residual_unscaled"]
)
def test_the_tokens_of_rebuilt_vectors_are_shown_as_those_of_floats(
    made: Made, profile: str
) -> None:
    searcher = Searcher(made.app, made.coded, made.model, threads=1)
    hits = searcher.search(QUERY, profile, hits=len(TEXTS))
    # The query has a word of each text, so that bm25 finds them all.
    assert len(hits) == len(TEXTS)

    for hit in hits:
        shown = searcher.matched_tokens(QUERY, profile, hit)

        products = products_of(made, hit.position, is_scaled="unscaled" not in profile)
        said = searcher.embedder.tokens(f" {TEXTS[hit.position]}", "document")
        assert [each.query_token for each in shown] == [*searcher.embedder.tokens(QUERY, "query")]
        values = [each.value for each in shown]
        np.testing.assert_allclose(values, products.max(axis=1), rtol=0, atol=SCORE)
        assert [each.mean for each in shown] == pytest.approx(products.mean(axis=1), abs=SCORE)
        assert sum(values) == pytest.approx(hit.relevance, abs=SCORE)
        best = [said[row] for row in products.argmax(axis=1).tolist()]
        assert [each.document_token for each in shown] == best


def test_where_centroids_rank_first_the_vectors_of_the_second_phase_are_shown(made: Made) -> None:
    searcher = Searcher(made.app, made.coded, made.model, threads=1)
    (hit, *_) = searcher.search(QUERY, "coarse_to_fine_residual")
    found = searcher.matched_tokens(QUERY, "coarse_to_fine_residual", hit)
    assert found == searcher.matched_tokens(QUERY, "max_sim_residual", hit)
    assert found != []


def hit_of(searcher: Searcher, profile: str) -> Hit:
    return searcher.search("red", profile)[0]


def test_nothing_is_shown_where_it_is_not_known_how_vectors_are_rebuilt(
    made: Made, tmp_path: Path
) -> None:
    searcher = Searcher(made.app, made.coded, made.model, threads=1)
    assert searcher.matched_tokens("red", "bm25", hit_of(searcher, "bm25")) == []
    app = shutil.copytree(made.app, tmp_path / "app")
    (path,) = (app / "schemas").glob("*.sd")
    text, old = path.read_text(encoding="utf-8"), "l2_normalize(token_residuals + "
    assert old in text
    path.write_text(text.replace(old, "l2_normalize(1 * token_residuals + "), encoding="utf-8")
    changed = Searcher(app, made.coded, made.model, threads=1)
    hit = hit_of(changed, "max_sim_residual")
    assert changed.matched_tokens("red", "max_sim_residual", hit) == []


def test_nothing_is_shown_of_pooled_rows_which_are_no_token_s(
    model: ModelFolder, tmp_path: Path
) -> None:
    made = make(tmp_path, model, factor=2.0, said=TEXTS)
    for app, index, profile in (
        (made.app, made.coded, "max_sim_residual"),
        (made.folder / "float", made.index, "max_sim_float"),
    ):
        searcher = Searcher(app, index, model, threads=1)
        hits = searcher.search(QUERY, profile, hits=len(TEXTS))
        (rows,) = open_index(index).tensors.values()
        assert len(hits) == len(TEXTS)
        for hit in hits:
            said = searcher.embedder.tokens(f" {TEXTS[hit.position]}", "document")
            assert len(rows.document(hit.position).values) < len(said)
            assert searcher.matched_tokens(QUERY, profile, hit) == []
