"""``vespa-colbert rank``: documents in a file, ranked by a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

SCHEMA = """
schema doc {
    document doc {
        field title type string { indexing: index
            index: enable-bm25 }
        field price type float { indexing: attribute }
        field brand type string { indexing: attribute }
        field rows type tensor<float>(dt{},x[2]) { indexing: attribute }
        field spot type tensor<float>(x[2]) { indexing: attribute
            attribute { distance-metric: euclidean } }
    }
    rank-profile max_sim {
        inputs {
            query(qt) tensor<float>(qt{},x[2])
            query(spot) tensor<float>(x[2])
        }
        function max_sim() {
            expression: sum(reduce(sum(query(qt) * attribute(rows), x), max, dt), qt)
        }
        first-phase { expression: max_sim }
        match-features { max_sim attribute(price) attribute(rows) }
    }
    rank-profile near inherits max_sim {
        first-phase { expression: closeness(label, here) }
        match-features { distance(field, spot) }
    }
    rank-profile named {
        inputs {
            query(name) string
        }
        first-phase { expression: query(name) == attribute(brand) }
    }
    rank-profile words {
        first-phase { expression: bm25(title) }
    }
}
"""
DOCUMENTS = (
    '{"id": "a", "fields": {"title": "red fox", "price": 2, "brand": "acme", "spot": [3, 4]}}\n'
    '{"put": "id:n:doc::b", "fields": {"title": "box", "spot": [0, 1], '
    '"rows": {"blocks": {"0": [1, 0], "1": [0, 2]}}}}\n'
)


@pytest.fixture(name="package")
def package_fixture(tmp_path: Path) -> Path:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "doc.sd").write_text(SCHEMA)
    (tmp_path / "documents.jsonl").write_text(DOCUMENTS)
    return tmp_path


def test_documents_are_ranked_with_their_match_features(run: Run, package: Path) -> None:
    ask = ("rank", package, "-p", "max_sim", "-d", package / "documents.jsonl")
    tensor = ("-t", "qt={x:[1,1],y:[0,1]}")

    shown = run(*ask, *tensor)
    found: Any = run(*ask, *tensor, "--json").json

    assert shown.code == 0
    assert shown.out.splitlines()[0].split() == ["1", "4", "id:n:doc::b"]
    assert "     max_sim = 4" in shown.out
    assert [(hit["rank"], hit["id"], hit["relevance"]) for hit in found] == [
        (1, "id:n:doc::b", 4.0),
        (2, "a", 0.0),
    ]
    assert found[0]["match-features"] == {
        "max_sim": 4.0,
        "attribute(price)": "nan",
        "attribute(rows)": "tensor<float>(dt{},x[2]):{0:[1.0, 0.0], 1:[0.0, 2.0]}",
    }
    assert found[0]["summary-features"] == {}


def test_hits_nearest_neighbours_and_words_of_the_query(run: Run, package: Path) -> None:
    file = package / "documents.jsonl"
    near: Any = run(
        *("rank", package, "-p", "near", "-d", file, "--json"),
        *("-t", "spot=[0,0]", "--nearest", "here:spot=spot", "-n", 1),
    ).json
    all_of_them: Any = run(
        *("rank", package, "-p", "near", "-d", file, "--json", "-t", "spot=[0,0]"),
        *("--nearest", "here:spot=spot", "--target-hits", 1),
    ).json
    first: Any = run(
        *("rank", package, "-p", "near", "-d", file, "--json", "-t", "spot=[3,4]"),
        *("--nearest", "here:spot=spot", "--target-hits", 1),
    ).json
    words: Any = run("rank", package, "-p", "words", "-d", file, "-q", "FOX", "--json").json
    nothing = run("rank", package, "-p", "words", "-d", file, "-q", "wolf")

    assert [(hit["id"], hit["relevance"]) for hit in near] == [("id:n:doc::b", 0.5)]
    # One is wanted: the first document is near when it is looked at, the second only if nearer.
    assert [hit["id"] for hit in all_of_them] == ["id:n:doc::b", "a"]
    assert [hit["id"] for hit in first] == ["a"]
    assert list(near[0]["match-features"].values()) == [1.0]
    assert [hit["id"] for hit in words] == ["a"]
    assert nothing.out == "no document matches by words\n"


@pytest.mark.java
def test_words_may_be_those_of_vespas_linguistics(run: Run, package: Path) -> None:
    ask = ("rank", package, "-p", "words", "-d", package / "documents.jsonl", "--json")

    plain: Any = run(*ask, "-q", "foxes").json
    stemmed: Any = run(*ask, "-q", "foxes", "--vespa-terms").json

    assert plain == []
    assert [hit["id"] for hit in stemmed] == ["a"]


def test_a_text_of_the_query_is_compared_by_its_hash(run: Run, package: Path) -> None:
    ask = ("rank", package, "-p", "named", "-d", package / "documents.jsonl", "--json")

    found: Any = run(*ask, "-t", "name=acme").json

    assert [(hit["id"], hit["relevance"]) for hit in found] == [("a", 1.0), ("id:n:doc::b", 0.0)]


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        (("-p", "absent"), 1, "absent"),
        (("-p", "max_sim"), 1, "query(qt): expected tensor<float>(qt{},x[2]), got nothing"),
        (("-p", "max_sim", "-t", "qt"), 2, "expected name=literal"),
        (("-p", "max_sim", "-t", "qt={x:[1]}"), 1, "in --query-tensor qt"),
        (("-p", "near", "--nearest", "spot"), 2, "expected field=name"),
        (("-p", "near", "-t", "spot=[0,0]"), 1, "no nearestNeighbor with label 'here'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    run: Run, package: Path, arguments: tuple[str, ...], code: int, fragment: str
) -> None:
    ended = run("rank", package, "-d", package / "documents.jsonl", *arguments)

    assert ended.code == code
    assert fragment in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


def test_a_bad_document_is_named_by_file_and_line(run: Run, package: Path) -> None:
    file = package / "documents.jsonl"
    file.write_text(DOCUMENTS + '{"id": "c", "price": "cheap"}\n')

    ended = run("rank", package, "-p", "words", "-d", file, "-q", "fox")

    assert ended.code == 1
    assert f"{file} line 3: field price: expected float, got 'cheap'" in ended.err
