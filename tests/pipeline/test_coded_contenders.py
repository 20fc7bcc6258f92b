"""Residuals measured on judged queries: what is ranked is what the codec keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.app.tiny_models import write_colbert
from tests.pipeline.judged_collections import judged_collection
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.residual_vectors import read_residual_vectors
from vespa_colbert.codec import CodecOptions, read_codec, unit_vectors
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.errors import SpecError
from vespa_colbert.evaluate import EvaluationOptions, JudgedCollection
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.pipeline import (
    Contender,
    ResidualStorage,
    coded_contenders,
    evaluate_applications,
)
from vespa_colbert.plan.memory import stored_tensor
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType, TensorType

TEXTS = ["red", "green greens", "red green 🦊", "🦊 🦊", "greens", "red red green"]
QUERIES = {"q1": "red", "q2": "green 🦊", "q3": "🦊"}
QRELS = "q1\td0\t1\nq2\td1\t2\nq2\td4\t1\nq3\td3\t1\n"
MEASURES = EvaluationOptions(measures=("nDCG@10",))
CENTROID_BYTES = 4
SCORE = 1e-5
"""Absolute: sums of float products of vectors of length 1, in another order."""


@pytest.fixture(scope="module", name="model")
def model_fixture(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", name="collection")
def collection_fixture(tmp_path_factory: pytest.TempPathFactory) -> JudgedCollection:
    folder = tmp_path_factory.mktemp("collection")
    return judged_collection(folder, TEXTS, QUERIES, QRELS)


def coded(
    collection: JudgedCollection, model: ModelFolder, folder: Path, factor: float = 1.0
) -> list[Contender]:
    pooling = TokenPooling(factor=factor)

    def package(codec: Path | None, dim: int) -> Path:
        options = AppOptions(
            cell_types=(CellType.FLOAT,),
            dims=(dim,),
            residual=None if codec is None else read_residual_vectors(codec),
        )
        path = folder / ("app" if codec is None else f"app-{codec.name}")
        spec = application_spec(folder_embedder(model), options)
        return render_app(spec, path, parse=parse_expression).path

    base = Contender(
        application=package(None, 16),
        model=model,
        profiles=("max_sim_*",),
        pool=pooling.pool if pooling.is_active else None,
        pool_key=str(pooling) if pooling.is_active else "",
    )
    storage = ResidualStorage(bits=(1, 2, 4), dims=(16, 8), options=CodecOptions(centroids=4))
    return [
        base,
        *coded_contenders(collection, base, storage, folder / "work", package=package),
    ]


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_residuals_are_ranked_as_the_codec_keeps_them(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path, factor: float
) -> None:
    contenders = coded(collection, model, tmp_path, factor)

    found = evaluate_applications(collection, contenders, tmp_path / "work", MEASURES)

    assert len(found.rows) == 7
    embedder, pooling = LocalEmbedder(model, threads=1), TokenPooling(factor=factor)
    documents = [pooling.pool(embedder.embed(" " + text, "document")) for text in TEXTS]
    for contender, row in zip(contenders[1:], found.rows[1:], strict=True):
        assert contender.codec is not None
        codec = read_codec(contender.codec)
        decoded = [codec.decode(codec.encode(unit_vectors(v, codec.dim))) for v in documents]
        for query, text in QUERIES.items():
            asked = embedder.embed(text, "query")[:, : codec.dim]
            scores = [float((asked @ each.T).max(axis=1).sum()) for each in decoded]
            order = [int(name[1:]) for name in row.system.run[query]]
            assert sorted(order) == list(range(len(TEXTS)))
            ranked = [scores[place] for place in order]
            assert ranked == pytest.approx(sorted(scores, reverse=True), abs=SCORE)
        (field,) = row.system.fields
        assert field.vectors == np.mean([len(each) for each in documents])
        assert field.disk_bytes == pytest.approx(field.vectors * (codec.width + CENTROID_BYTES))
        kind = TensorType.parse(f"tensor<int8>(c{{}},dt{{}},x[{codec.width}])")
        stored = [stored_tensor(kind, len(each)).memory for each in documents]
        assert row.system.bytes == np.mean(stored)
    assert found.options.baseline.endswith("max_sim_float")


def test_another_codec_than_the_package_s_is_refused(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    _base, first, second, *_more = coded(collection, model, tmp_path)

    mixed = replace(first, codec=second.codec)
    with pytest.raises(SpecError, match="other weights"):
        evaluate_applications(collection, [mixed], tmp_path / "work", MEASURES)


def test_queries_are_left_out_evenly(collection: JudgedCollection) -> None:
    fewer = collection.sampled(2)
    assert list(fewer.queries) == list(fewer.qrels) == ["q1", "q2"]
    assert (fewer.left_out, collection.sampled(3).left_out) == (1, 0)
