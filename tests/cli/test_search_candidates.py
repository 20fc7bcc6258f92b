"""``search --candidates`` and ``embed --pool-factor``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import WORDS, Run, write_corpus
from tests.cli.test_feed import write_model_folder
from tests.required import import_or_skip


@pytest.fixture(scope="module", name="recipe")
def recipe_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("candidates")
    write_model_folder(folder / "model")
    write_corpus(folder / "corpus.jsonl")
    (folder / "recipe.toml").write_text(
        """
        [export]
        output = "model"
        [app]
        output = "app"
        [tokens]
        embeddings = "client"
        retrieval = true
        [corpus]
        path = "corpus.jsonl"
        [index]
        output = "index"
        feed = "feed.jsonl"
        pool-factor = 2
        """
    )
    return folder / "recipe.toml"


def test_pooled_vectors_are_searched_by_each_kind_of_candidates(run: Run, recipe: Path) -> None:
    import_or_skip("faiss").omp_set_num_threads(1)
    assert run("generate", "-r", recipe).code == 0
    pooled: Any = run("embed", "-r", recipe, "--json").json
    again: Any = run("embed", "-r", recipe, "--json").json
    ask = ("search", "a rose", "-r", recipe, "-n", len(WORDS), "--json")
    for profile in ("token_retrieval_int8", "max_sim_float"):
        every: Any = run(*ask, "-p", profile, "--candidates", "all").json
        assert len(every) == len(WORDS)
        for kind in ("nearest", "scan", "graph", "query"):
            is_counted = (profile, kind) != ("max_sim_float", "query")
            count = ("--target-hits", 2) if is_counted else ()
            ran = run(*ask, "-p", profile, "--candidates", kind, *count)
            found: Any = ran.json
            assert {each["id"] for each in found} <= {each["id"] for each in every}
            assert len(found) >= 2
            built = kind == "graph"
            assert ("building a graph" in ran.err) == built, ran.err
        rebuilt = run(*ask, "-p", profile, "--candidates", "graph", "--build-graph")
        assert "building a graph" in rebuilt.err
    words: Any = run(*ask, "-p", "max_sim_float", "--candidates", "words").json
    assert {each["id"] for each in words} == {"d0", "d1", "d2", "d4"}
    plain: Any = run("embed", "-r", recipe, "--json", "--pool-factor", 1).json
    assert (pooled["reused"], again["reused"], plain["reused"]) == (False, True, False)
    assert pooled["rows"]["colbert_float"] < plain["rows"]["colbert_float"]
    stale = run(*ask, "-p", "max_sim_float", "--candidates", "graph")
    assert stale.code == 1
    assert "built from vectors" in stale.err
    assert "--build-graph" in stale.err


def test_hits_are_counted_only_where_the_package_asks_for_the_nearest(
    run: Run, recipe: Path, tmp_path: Path
) -> None:
    app, index = tmp_path / "app", tmp_path / "index"
    assert run("generate", "-r", recipe, "-o", app).code == 0
    assert run("embed", "-r", recipe, "-a", app, "-o", index, "--index-only").code == 0
    ask = ("search", "a rose", "-r", recipe, "-a", app, "-i", index, "--target-hits", 1)

    refused = run(*ask, "-p", "max_sim_float")

    assert refused.code == 1
    assert "rank profile max_sim_float: the package asks without nearestNeighbor" in refused.err
    assert "leave it out, or take --candidates nearest or words" in refused.err
    assert run(*ask, "-p", "token_retrieval_int8").code == 0


@pytest.mark.parametrize("kind", ["query", "words"])
def test_an_index_without_documents_is_said_to_have_none(
    run: Run, recipe: Path, tmp_path: Path, kind: str
) -> None:
    app, index = tmp_path / "app", tmp_path / "index"
    assert run("generate", "-r", recipe, "-o", app).code == 0
    assert run("embed", "-r", recipe, "-a", app, "-o", index, "--index-only").code == 0
    every = [each for place in range(len(WORDS)) for each in ("--id", f"d{place}")]
    assert run("index", "delete", index, *every).code == 0
    ask = ("search", "a rose", "-r", recipe, "-a", app, "-i", index, "-p", "max_sim_float")

    ran = run(*ask, "--candidates", kind)

    assert (ran.code, ran.out) == (0, f"the index {index} has no documents\n")
    assert run(*ask, "--candidates", kind, "--json").json == []


def test_what_finds_documents_has_a_name(run: Run, recipe: Path) -> None:
    ran = run("search", "a rose", "-r", recipe, "--candidates", "magic")

    assert ran.code != 0
    assert "magic" in ran.err or "index" in ran.err


def test_more_is_appended_pooled_as_the_index_is(run: Run, recipe: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    assert run("generate", "-r", recipe).code == 0
    assert run("embed", "-r", recipe, "-o", index, "--index-only", "--pool-factor", 3).code == 0
    more = tmp_path / "more.jsonl"
    more.write_text('{"_id": "new", "text": "a fern is a rose"}')

    other = run("index", "append", index, "--corpus", more, "-r", recipe)
    same = run("index", "append", index, "--corpus", more, "-r", recipe, "--pool-factor", 3)

    assert (other.code, same.code) == (1, 0), same.err
    assert "made with pooling 'ward, factor 3, 1 protected', expected 'ward, factor 2" in other.err
    assert "; embed with the --pool-factor and --protected-tokens that it was made" in other.err
    assert "6 documents in 2 segments" in same.out


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (("--candidates", "words", "--explore", 10), "--explore: goes with --candidates graph"),
        (("--build-graph",), "--build-graph: goes with --candidates graph, got --candidates query"),
        (("--candidates", "all", "--target-hits", 5), "--target-hits: --candidates all ranks ever"),
    ],
)
def test_an_option_that_would_say_nothing_is_refused(
    run: Run, recipe: Path, given: tuple[object, ...], fault: str
) -> None:
    if not recipe.with_name("index").exists():
        assert run("generate", "-r", recipe).code == 0
        assert run("embed", "-r", recipe).code == 0

    ran = run("search", "a rose", "-r", recipe, "-p", "max_sim_float", *given)

    assert ran.code == 2
    assert fault in " ".join(ran.err.split()), ran.err


def test_vespas_own_vectors_are_not_pooled(run: Run, recipe: Path, tmp_path: Path) -> None:
    text = recipe.read_text().replace('embeddings = "client"', "").replace('"app"', '"vespa"')
    other = recipe.with_name("vespa.toml")
    other.write_text(text)
    assert run("generate", "-r", other).code == 0

    ran = run("embed", "-r", other, "-o", tmp_path / "index")

    assert ran.code == 1
    assert "cannot pool" in ran.err
    assert not (tmp_path / "index").exists()
