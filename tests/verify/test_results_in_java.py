"""Phases over whole results, and expressions that hold what a content node computes, in Java."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.tensor import parse_literal
from vespa_colbert.verify import Verdict, compare_results, compare_scores
from vespa_colbert.verify.judges import JavaScores, LocalScores, ScoreCase
from vespa_colbert.verify.result_judges import JavaResults, LocalResults
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

SERVICES = """<services version="1.0">
  <container id="default" version="1.0"><search/><document-api/></container>
  <content id="doc" version="1.0"><redundancy>1</redundancy>
    <documents><document type="doc" mode="index"/></documents></content>
</services>
"""
SCHEMA = """
schema doc {
    document doc {
        field number type double { indexing: attribute }
        field v type tensor<float>(dt{},x[2]) { indexing: attribute }
        field title type string { indexing: index
            index: enable-bm25 }
    }
    rank-profile p {
        inputs {
            query(q) tensor<float>(x[2])
            query(w) double: 3
        }
        function by_title() { expression: bm25(title) }
        function by_number() { expression: attribute(number) }
        function nearest() { expression: reduce(sum(query(q) * attribute(v), x), max) }
        function mixed() { expression: bm25(title) * 2 + nearest / query(w) }
        first-phase { expression: attribute(number) }
        second-phase { expression: firstPhase * 2 + bm25(title) }
        global-phase {
            rerank-count: 4
            expression: EXPRESSION
        }
        match-features { by_number }
    }
}
"""
GLOBAL_PHASES = (
    "normalize_linear(by_title) + nearest",
    "reciprocal_rank(by_number, 3) * 10 + normalize_linear(nearest) * query(w)",
    "reciprocal_rank_fusion(by_title, by_number)",
    "normalize_linear(bm25(title)) + relevanceScore",
)
DOCUMENTS = [
    {"id": "a", "number": 5, "title": "red rose", "v": {"blocks": {"0": [1, 0], "1": [0, 1]}}},
    {"id": "b", "number": 4, "title": "blue sky over a red sea", "v": {"blocks": {"0": [-1, 2]}}},
    {"id": "c", "number": 3, "title": "rose rose rose", "v": {"blocks": {"0": [0.5, 0.5]}}},
    {"id": "d", "number": 3, "title": "nothing", "v": {"blocks": {}}},
    {"id": "e", "number": -1, "title": "a rose in the sea", "v": {"blocks": {"x": [3, -3]}}},
]
QUERIES = {
    "rose": RankQuery(text="rose", tensors={"q": parse_literal("tensor<float>(x[2]):[1,2]")}),
    "red sea": RankQuery(
        text="red sea", tensors={"q": parse_literal("tensor<float>(x[2]):[-1,0.25]")}
    ),
}


def package(folder: Path, expression: str) -> Path:
    (folder / "schemas").mkdir(parents=True)
    (folder / "services.xml").write_text(SERVICES)
    (folder / "schemas" / "doc.sd").write_text(SCHEMA.replace("EXPRESSION", expression))
    lines = "".join(json.dumps(each) + "\n" for each in DOCUMENTS)
    (folder / "docs.jsonl").write_text(lines)
    return folder


def ranker_of(folder: Path) -> Ranker:
    return Ranker.from_application(folder, "p", folder / "docs.jsonl")


@pytest.mark.parametrize("expression", GLOBAL_PHASES)
def test_a_phase_over_a_result_is_judged(judge: VespaJava, tmp_path: Path, expression: str) -> None:
    folder = package(tmp_path / "app", expression)
    ranker = ranker_of(folder)
    theirs = JavaResults(java=judge, application=folder, ranker=ranker, hits=5)

    rung = compare_results("p", QUERIES, (LocalResults(ranker=ranker, hits=5), theirs))

    assert (rung.verdict, rung.cases, rung.values, rung.note) == (Verdict.PASSED, 2, 10, "")


def test_a_result_by_another_expression_fails(judge: VespaJava, tmp_path: Path) -> None:
    folder = package(tmp_path / "app", GLOBAL_PHASES[0])
    other = ranker_of(package(tmp_path / "other", f"{GLOBAL_PHASES[0]} + 0.001"))
    theirs = JavaResults(java=judge, application=folder, ranker=ranker_of(folder), hits=5)

    rung = compare_results("p", QUERIES, (LocalResults(ranker=other, hits=5), theirs))

    assert rung.verdict is Verdict.FAILED


@pytest.mark.parametrize("function", ["mixed", "second-phase", "first-phase"])
def test_an_expression_around_bm25_is_judged_with_the_local_value_of_it(
    judge: VespaJava, tmp_path: Path, function: str
) -> None:
    folder = package(tmp_path / "app", "1")
    ranker = ranker_of(folder)
    node = ranker.phases.get(function) or ranker.compiled.tree(function, "test")
    cases = [
        (name, ScoreCase(query=query, document=document))
        for name, query in QUERIES.items()
        for document in (0, 1, 2, 4)
    ]
    theirs = JavaScores(java=judge, application=folder, ranker=ranker, function=function)

    rung = compare_scores("p", cases, (LocalScores(ranker=ranker, node=node), theirs), "given")

    assert (rung.verdict, rung.cases, rung.note) == (Verdict.PASSED, 8, "given")
