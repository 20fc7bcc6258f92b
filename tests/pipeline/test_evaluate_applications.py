"""Rank profiles measured on judged queries: every stored variant, vectors made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.app.tiny_models import write_colbert
from tests.pipeline.judged_collections import judged_collection
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.options import TokenRetrieval
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import CollectionError, SpecError
from vespa_colbert.evaluate import EvaluationOptions, JudgedCollection
from vespa_colbert.export.model_folder import MODEL_FILE, ModelFolder
from vespa_colbert.pipeline import (
    Contender,
    Searcher,
    embed_corpus,
    evaluate_applications,
    only_schema,
)
from vespa_colbert.plan.memory import stored_tensor
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType, TensorType

ALL_CELLS = (CellType.FLOAT, CellType.BFLOAT16, CellType.INT8)
VARIANTS = AppOptions(cell_types=ALL_CELLS, dims=(16, 8))
TEXTS = ["red", "green greens", "red green 🦊", "🦊 🦊", "greens", "red red green"]
QUERIES = {"q1": "red", "q2": "green", "q3": "🦊"}
QRELS = "q1\td0\t1\nq2\td1\t2\nq2\td4\t1\nq3\td3\t1\n"
MEASURES = EvaluationOptions(measures=("nDCG@10", "RR@10", "R@1"))


@pytest.fixture(scope="module", name="model")
def model_fixture(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", name="collection")
def collection_fixture(tmp_path_factory: pytest.TempPathFactory) -> JudgedCollection:
    folder = tmp_path_factory.mktemp("collection")
    return judged_collection(folder, TEXTS, QUERIES, QRELS)


def package(model: ModelFolder, path: Path, options: AppOptions = VARIANTS) -> Path:
    return render_app(
        application_spec(folder_embedder(model), options), path, parse=parse_expression
    ).path


def test_each_variant_is_ranked_as_a_search_over_its_own_index_ranks(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    app = package(model, tmp_path / "app")

    found = evaluate_applications(
        collection, [Contender(application=app, model=model)], tmp_path / "work", MEASURES
    )

    index = embed_corpus(
        collection.files.corpus, model, only_schema(app), tmp_path / "index", threads=1
    ).value
    searcher = Searcher(app, index.path, model, threads=1)
    assert not found.skipped
    names = [each.name for each in searcher.schema.rank_profiles]
    assert [row.system.name for row in found.rows] == names
    assert {"bm25", "max_sim_float", "max_sim_int8_8", "rerank_bfloat16_8"} <= set(names)
    for row in found.rows:
        for query, text in QUERIES.items():
            hits = searcher.search(text, row.system.profile, hits=len(TEXTS))
            assert row.system.run[query] == [hit.id for hit in hits]


def test_what_is_stored_stands_beside_each(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    contender = Contender(application=package(model, tmp_path / "app"), model=model)

    found = evaluate_applications(collection, [contender], tmp_path / "work", MEASURES)

    embedder = LocalEmbedder(model, threads=1)
    lengths = [len(embedder.embed(" " + text, "document")) for text in TEXTS]
    systems = {row.system.name: row.system for row in found.rows}
    assert systems["bm25"].bytes == 0
    for name, kind, width in (
        ("float", "tensor<float>(dt{},x[16])", 64),
        ("bfloat16_8", "tensor<bfloat16>(dt{},x[8])", 16),
        ("int8_8", "tensor<int8>(dt{},x[1])", 1),
    ):
        for profile in (f"max_sim_{name}", f"rerank_{name}"):
            (field,) = systems[profile].fields
            assert field.type == kind
            assert field.vectors == np.mean(lengths)
            assert systems[profile].cell_bytes == width * np.mean(lengths)
            type_ = TensorType.parse(kind)
            memory = [stored_tensor(type_, each).memory for each in lengths]
            assert systems[profile].bytes == np.mean(memory)
    coarse = systems["coarse_to_fine_float"]
    assert coarse.bytes == sum(each.bytes for each in coarse.fields)
    assert len(coarse.fields) == 2
    # What reads two fields is no reference for each of them.
    assert found.options.baseline == "max_sim_float"


def test_vectors_are_made_once_for_all_packages(
    model: ModelFolder,
    collection: JudgedCollection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embedded: list[str] = []
    embed = LocalEmbedder.embed

    def heard(self: LocalEmbedder, text: str, role: str) -> object:
        if role == "document":
            embedded.append(text)
        return embed(self, text, role)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalEmbedder, "embed", heard)
    first = Contender(application=package(model, tmp_path / "one"), model=model, name="one")
    options = AppOptions(cell_types=(CellType.BFLOAT16,))
    second = replace(first, application=package(model, tmp_path / "two", options), name="two")

    both = evaluate_applications(collection, [first, second], tmp_path / "work", MEASURES)
    again = evaluate_applications(collection, [second], tmp_path / "work", MEASURES)

    assert len(embedded) == len(TEXTS)
    means = {row.system.name: row.means for row in both.rows}
    assert means["two:max_sim_bfloat16"] == means["one:max_sim_bfloat16"]
    assert again.rows[0].system.name == "two:bm25"
    assert not [path for path in (tmp_path / "work").iterdir() if path.is_dir()]


def test_pooled_vectors_are_fewer(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    options = AppOptions(cell_types=(CellType.FLOAT,))
    plain = Contender(
        application=package(model, tmp_path / "app", options),
        model=model,
        name="all",
        profiles=("max_sim_*",),
    )
    pooled = replace(plain, name="first", pool=lambda vectors: vectors[:1])

    found = evaluate_applications(collection, [plain, pooled], tmp_path / "work", MEASURES)

    every, first = (row.system for row in found.rows)
    assert first.fields[0].vectors == 1.0 < every.fields[0].vectors
    # The first vector is that of the start token: all documents are alike.
    assert first.run["q1"] == [f"d{place}" for place in range(len(TEXTS))]
    assert (every.facts["pooled"], first.facts["pooled"]) == (False, True)


def test_a_run_stands_beside_the_profiles(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.run"
    path.write_text("q1 Q0 d0 1 9 x\nq2 Q0 d4 1 9 x\nq2 Q0 d1 2 8 x\n", encoding="utf-8")
    contender = Contender(
        application=package(model, tmp_path / "app"), model=model, profiles=("bm25",)
    )

    found = evaluate_applications(collection, [contender], tmp_path / "work", MEASURES, runs=[path])

    theirs, words = found.rows
    assert (theirs.system.name, theirs.system.bytes, words.system.bytes) == ("theirs", None, 0)
    assert theirs.means["R@1"] == (1 + 0.5 + 0) / 3


def test_a_profile_that_cannot_be_ranked_is_said_or_refused_when_named(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    app = package(model, tmp_path / "app", AppOptions(cell_types=(CellType.FLOAT,)))
    schema = app / "schemas" / "passage.sd"
    odd = "    rank-profile odd { first-phase { expression: nativeRank(text) } }\n}\n"
    schema.write_text(schema.read_text().rstrip().removesuffix("}") + odd)
    contender = Contender(application=app, model=model)

    found = evaluate_applications(collection, [contender], tmp_path / "work", MEASURES)

    assert list(found.skipped) == ["odd"]
    assert "nativeRank" in found.skipped["odd"]
    with pytest.raises(Exception, match="nativeRank"):
        evaluate_applications(
            collection, [replace(contender, profiles=("odd",))], tmp_path / "work", MEASURES
        )
    with pytest.raises(SpecError, match=r"'nothing_\*', there are bm25"):
        evaluate_applications(
            collection, [replace(contender, profiles=("nothing_*",))], tmp_path / "work", MEASURES
        )


def test_candidates_are_those_of_the_package_s_own_query(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    options = AppOptions(
        cell_types=(CellType.FLOAT,), token_retrieval=TokenRetrieval(target_hits=1)
    )
    app = package(model, tmp_path / "app", options)

    found = evaluate_applications(
        collection, [Contender(application=app, model=model)], tmp_path / "work", MEASURES
    )

    by_tokens = [row for row in found.rows if "token" in row.system.name]
    assert by_tokens
    assert all(len(row.system.run["q1"]) < len(TEXTS) for row in by_tokens)


def test_another_model_than_the_package_s_is_refused(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    app = package(model, tmp_path / "app")
    (app / "files" / MODEL_FILE).write_bytes(b"another")

    with pytest.raises(SpecError, match="got another"):
        evaluate_applications(
            collection, [Contender(application=app, model=model)], tmp_path / "work", MEASURES
        )


def test_a_wrong_measure_is_found_before_anything_is_embedded(
    model: ModelFolder, collection: JudgedCollection, tmp_path: Path
) -> None:
    contender = Contender(application=package(model, tmp_path / "app"), model=model)

    with pytest.raises(CollectionError, match="measures"):
        evaluate_applications(
            collection, [contender], tmp_path / "work", EvaluationOptions(measures=("niceness",))
        )

    assert not (tmp_path / "work").exists()
