"""What finds the documents that are ranked: as the package asks, exactly, by a graph, by words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.tiny_models import write_colbert
from tests.required import import_or_skip
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.options import TokenRetrieval
from vespa_colbert.errors import IndexFolderError, SpecError
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.index import write_index
from vespa_colbert.index.token_graph import GraphOptions, TokenGraph
from vespa_colbert.pipeline import Searcher, embed_corpus, only_schema
from vespa_colbert.pipeline.candidates import By, Finding
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType

WORDS = ("red", "green", "greens", "🦊", "##s", "x", "y")
ALL_CELLS = (CellType.FLOAT, CellType.BFLOAT16, CellType.INT8)
PROFILES = [
    f"{name}_{cells.value}"
    for name in ("token_retrieval", "max_sim", "rerank")
    for cells in ALL_CELLS
]
DOCUMENTS = 40


@pytest.fixture(scope="module", name="model")
def model_fixture(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", name="folder")
def folder_fixture(model: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package, and the index of a corpus whose texts share words."""
    folder = tmp_path_factory.mktemp("candidates")
    options = AppOptions(token_retrieval=TokenRetrieval(target_hits=3), cell_types=ALL_CELLS)
    render_app(
        application_spec(folder_embedder(model), options), folder / "app", parse=parse_expression
    )
    random = np.random.default_rng(7)
    texts = [" ".join(random.choice(WORDS, 5)) for _ in range(DOCUMENTS)]
    lines = (json.dumps({"_id": f"d{place}", "text": text}) for place, text in enumerate(texts))
    (folder / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    embed_corpus(folder / "corpus.jsonl", model, only_schema(folder / "app"), folder / "index")
    return folder


@pytest.fixture(name="searcher")
def searcher_fixture(model: ModelFolder, folder: Path) -> Searcher:
    return Searcher(folder / "app", folder / "index", model, threads=1)


def found(searcher: Searcher, text: str, profile: str, finding: Finding) -> list[int]:
    positions = searcher.candidates(searcher.query(text, profile), profile, finding)
    assert positions is not None
    return [int(each) for each in positions]


@pytest.mark.parametrize("profile", PROFILES)
def test_candidates_of_each_kind_hold_the_nearest(searcher: Searcher, profile: str) -> None:
    nearest = found(searcher, "red 🦊", profile, Finding(by="nearest", target_hits=5))
    scanned = found(searcher, "red 🦊", profile, Finding(by="scan", target_hits=5))

    assert 5 <= len(nearest) <= len(scanned) <= DOCUMENTS
    assert set(nearest) <= set(scanned)
    assert found(searcher, "red 🦊", profile, Finding(by="all")) == list(range(DOCUMENTS))
    for finding in (Finding(by="nearest", target_hits=5), Finding(by="scan", target_hits=5)):
        hits = searcher.search("red 🦊", profile, hits=DOCUMENTS, finding=finding)
        everything = searcher.search("red 🦊", profile, hits=DOCUMENTS, finding=Finding(by="all"))
        kept = found(searcher, "red 🦊", profile, finding)
        if profile.startswith("max_sim"):
            assert [hit.id for hit in hits] == [
                hit.id for hit in everything if hit.position in kept
            ]
        assert {hit.position for hit in hits} == set(kept)


def test_documents_are_found_as_the_package_asks_by_default(searcher: Searcher) -> None:
    query = searcher.query("red", "token_retrieval_float")
    asked = searcher.candidates(query, "token_retrieval_float")

    assert asked is not None
    exact = Finding(by="nearest", target_hits=3)
    assert asked.tolist() == found(searcher, "red", "token_retrieval_float", exact)
    more = Finding(target_hits=9)
    assert len(found(searcher, "red", "token_retrieval_float", more)) > len(asked)
    assert searcher.candidates(searcher.query("red", "max_sim_float"), "max_sim_float") is None


def test_words_find_what_has_them(searcher: Searcher) -> None:
    texts = [document.text("text") for document in searcher.index.documents]
    with_green = [place for place, text in enumerate(texts) if "green" in text.split()]

    every = Finding(by="words", target_hits=DOCUMENTS)
    assert found(searcher, "green", "max_sim_int8", every) == with_green
    assert len(found(searcher, "green", "max_sim_int8", Finding(by="words", target_hits=2))) == 2


def test_a_profile_that_compares_no_tokens_is_named(searcher: Searcher) -> None:
    with pytest.raises(SpecError, match="rank profile bm25: expected one that compares token"):
        searcher.search("red", "bm25", finding=Finding(by="nearest"))


@pytest.mark.parametrize("profile", ["token_retrieval_int8", "max_sim_float", "max_sim_int8"])
def test_a_graph_finds_them_and_stays_beside_the_index(
    folder: Path, model: ModelFolder, profile: str
) -> None:
    import_or_skip("faiss").omp_set_num_threads(1)
    heard: list[str] = []
    path = folder / f"index.{only_field(folder, profile)}.graph"
    path.unlink(missing_ok=True)
    options = GraphOptions(explore=200)

    def answers(say: Callable[[str], None], **more: bool) -> tuple[list[int], list[str]]:
        searcher = Searcher(folder / "app", folder / "index", model, threads=1, say=say)
        finding = Finding(by="graph", target_hits=6, graph=options, **more)
        hits = searcher.search("red 🦊", profile, hits=DOCUMENTS, finding=finding)
        return found(searcher, "red 🦊", profile, finding), [hit.id for hit in hits]

    positions, ids = answers(heard.append)

    assert path.is_file()
    assert any("building a graph" in line for line in heard)
    # Of documents as near as the last one that is wanted, either may be taken.
    assert len(positions) >= 6
    assert {f"d{place}" for place in positions} == set(ids)
    heard.clear()
    assert answers(heard.append) == (positions, ids)
    assert heard == []
    answers(heard.append, rebuild=True)
    assert heard


def only_field(folder: Path, profile: str) -> str:
    """Return the field of token vectors that a profile reads, by its cells."""
    cells = profile.rpartition("_")[2]
    return next(
        field.name
        for field in only_schema(folder / "app").fields
        if field.tensor_type is not None and field.tensor_type.cell_type.value == cells
    )


def test_each_search_takes_its_own_options_of_the_graph(
    searcher: Searcher, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_or_skip("faiss").omp_set_num_threads(1)
    folder.joinpath("index.colbert_float.graph").unlink(missing_ok=True)
    explored, nearest = list[int](), TokenGraph.nearest

    def heard(self: TokenGraph, *asked: Any) -> Any:
        explored.append(self.options.explore)
        return nearest(self, *asked)

    monkeypatch.setattr(TokenGraph, "nearest", heard)
    for explore in (5, 70, 5):
        finding = Finding(by="graph", graph=GraphOptions(explore=explore))
        searcher.search("red", "max_sim_float", finding=finding)

    assert explored == [5, 70, 5]
    other = Finding(by="graph", graph=GraphOptions(max_links=8))
    with pytest.raises(IndexFolderError, match="built from max_links 16, expected 8"):
        searcher.search("red", "max_sim_float", finding=other)


def test_the_graph_of_an_index_that_was_changed_is_refused(
    folder: Path, model: ModelFolder, tmp_path: Path
) -> None:
    import_or_skip("faiss").omp_set_num_threads(1)
    corpus, schema = tmp_path / "corpus.jsonl", only_schema(folder / "app")
    corpus.write_text('{"_id": "a", "text": "red"}\n{"_id": "b", "text": "green"}\n')
    embed_corpus(corpus, model, schema, tmp_path / "index")
    finding = Finding(by="graph", target_hits=1)
    Searcher(folder / "app", tmp_path / "index", model).search(
        "red", "max_sim_float", finding=finding
    )
    corpus.write_text('{"_id": "a", "text": "red"}\n{"_id": "b", "text": "greens"}\n')
    embed_corpus(corpus, model, schema, tmp_path / "index")

    changed = Searcher(folder / "app", tmp_path / "index", model)

    with pytest.raises(
        IndexFolderError, match=r"built from vectors '\w+', expected '\w+'.*--build"
    ):
        changed.search("red", "max_sim_float", finding=finding)
    rebuilt = Finding(by="graph", target_hits=1, rebuild=True)
    assert changed.search("red", "max_sim_float", finding=rebuilt)[0].id == "a"


def test_the_graph_of_an_index_in_memory_is_not_kept(
    searcher: Searcher, folder: Path, model: ModelFolder
) -> None:
    import_or_skip("faiss").omp_set_num_threads(1)
    before = sorted(folder.iterdir())
    in_memory = Searcher(folder / "app", searcher.index, model, threads=1)

    finding = Finding(by="graph", target_hits=4)
    assert in_memory.search("red", "max_sim_bfloat16", finding=finding)

    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("by", ["query", "all", "words"])
@pytest.mark.parametrize("profile", ["token_retrieval_float", "max_sim_float", "bm25"])
def test_nothing_is_found_in_an_index_without_documents(
    model: ModelFolder, folder: Path, tmp_path: Path, by: By, profile: str
) -> None:
    shutil.copytree(folder / "index", tmp_path / "index")
    with write_index(tmp_path / "index") as writer:
        writer.delete([f"d{place}" for place in range(DOCUMENTS)])
    searcher = Searcher(folder / "app", tmp_path / "index", model, threads=1)
    assert searcher.search("red", profile, finding=Finding(by=by)) == []
