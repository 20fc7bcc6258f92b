"""The ranker against Vespa's own Java: the global phase, token features, terms of bm25."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vespa_colbert.app import Schema, read_application
from vespa_colbert.errors import VespaJavaError
from vespa_colbert.rank import Hit, Ranker, RankQuery, read_documents
from vespa_colbert.tensor.literal import parse_literal
from vespa_colbert.vespa_java import NodeHit, VespaJava

pytestmark = pytest.mark.java

SERVICES = """<services version="1.0">
  <container id="default" version="1.0"><search/><document-api/></container>
  <content id="doc" version="1.0"><redundancy>1</redundancy>
    <documents><document type="doc" mode="index"/></documents></content>
</services>
"""
GLOBAL_PHASES = {
    "plain": "rerank-count: 4\n expression: attribute(last)",
    "linear": "rerank-count: 5\n expression: normalize_linear(by_last)",
    "linear_feature": "rerank-count: 6\n expression: normalize_linear(attribute(last)) - 2",
    "ranks": "rerank-count: 4\n expression: reciprocal_rank(by_last)",
    "ranks_k": "rerank-count: 6\n expression: reciprocal_rank(by_last, 7.5) * 100",
    "fusion": "rerank-count: 5\n expression: reciprocal_rank_fusion(by_last, by_first)",
    "nested": "rerank-count: 4\n expression: mixed * query(w)",
    "own_score": "rerank-count: 3\n expression: relevanceScore * -1",
    "dropped": "rerank-count: 3\n rank-score-drop-limit: 1.5\n expression: attribute(last)",
    "default_count": "expression: attribute(last) * 2 + 1",
    "first": "rerank-count: 4\n expression: firstPhase + attribute(last)",
}
PROFILE = """
    rank-profile NAME {
        inputs {
            query(w) double: 3
        }
        function by_last() { expression: attribute(last) }
        function by_first() { expression: attribute(first) }
        function mixed() { expression: normalize_linear(by_last) + reciprocal_rank(by_first) }
        first-phase { expression: attribute(first) }
        global-phase { PHASE }
    }
"""
SCHEMA = """
schema doc {
    document doc {
        field first type double { indexing: attribute }
        field last type double { indexing: attribute }
        field tokens type tensor<float>(d0[4]) { indexing: attribute }
        field title type string { indexing: index
            index: enable-bm25 }
    }
    rank-profile tokens {
        inputs {
            query(t) tensor<float>(d0[3])
        }
        function title_ids() { expression: attribute(tokens) }
        function ids() { expression: tokenInputIds(9, query(t), attribute(tokens)) }
        function short_ids() { expression: tokenInputIds(5, query(t), title_ids, query(t)) }
        function custom() { expression: customTokenInputIds(1, 2, 10, query(t), attribute(tokens)) }
        function types() { expression: tokenTypeIds(9, query(t), attribute(tokens)) }
        function mask() { expression: tokenAttentionMask(9, query(t), attribute(tokens)) }
        first-phase { expression: sum(ids) + sum(short_ids) + sum(custom) + sum(types) + sum(mask) }
        match-features { ids short_ids custom types mask }
    }
    rank-profile words {
        first-phase { expression: bm25(title) }
    }
PROFILES
}
"""
FEATURES = {"attribute(first)": 0, "attribute(last)": 1, "firstPhase": 0}
VALUES = [-1e39, -3.0, -1.0, -0.0, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 7.0, 1e39]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (folder / "schemas").mkdir()
    (folder / "services.xml").write_text(SERVICES)
    profiles = "".join(
        PROFILE.replace("NAME", name).replace("PHASE", phase)
        for name, phase in GLOBAL_PHASES.items()
    )
    (folder / "schemas" / "doc.sd").write_text(SCHEMA.replace("PROFILES", profiles))
    return folder


def rows(seed: int) -> list[tuple[float, float]]:
    """Returns first and last of 7 documents, with ties."""
    chosen = np.random.default_rng(seed).choice(VALUES, (7, 2))
    return [(float(first), float(last)) for first, last in chosen]


def ranked(package: Path, profile: str, values: Sequence[tuple[float, float]]) -> list[Hit]:
    path = package / "documents.jsonl"
    lines = [
        {"id": f"d{place}", "first": first, "last": None if math.isnan(last) else last}
        for place, (first, last) in enumerate(values)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    schema = schema_of(package)
    ranker = Ranker(schema, profile, read_documents(path, schema))
    return ranker.rank(RankQuery(), hits=len(values))


@cache
def schema_of(package: Path) -> Schema:
    return read_application(package).schema()


def node_hits(values: Sequence[tuple[float, float]]) -> list[NodeHit]:
    """Returns the hits of a content node whose first phase is the first value.

    It sorts by the bits of a score: 0 is above -0.
    """

    def rank(place: int) -> tuple[float, float, int]:
        score = values[place][0]
        return -score, -math.copysign(1, score), place

    best = sorted(range(len(values)), key=rank)
    return [
        NodeHit(
            id=f"d{place}",
            relevance=values[place][0],
            match_features={name: values[place][column] for name, column in FEATURES.items()},
        )
        for place in best
    ]


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 20), marks=pytest.mark.slow)])
@pytest.mark.parametrize("profile", GLOBAL_PHASES)
def test_the_global_phase_is_that_of_the_container(
    judge: VespaJava, package: Path, profile: str, seeds: range
) -> None:
    for seed in seeds:
        values = rows(seed)
        theirs = judge.rerank(package, "doc", profile, node_hits(values))

        mine = ranked(package, profile, values)

        wanted = [(hit.id, hit.relevance) for hit in theirs]
        assert [(hit.id, hit.relevance) for hit in mine] == wanted, values


@pytest.mark.parametrize("profile", ["plain", "linear", "ranks", "dropped"])
def test_nan_goes_through_the_global_phase_as_in_the_container(
    judge: VespaJava, package: Path, profile: str
) -> None:
    values = [(5.0, 1.0), (4.0, math.nan), (3.0, 2.0), (2.0, math.nan), (1.0, 0.0)]
    theirs = judge.rerank(package, "doc", profile, node_hits(values))

    mine = ranked(package, profile, values)

    assert [hit.id for hit in mine] == [hit.id for hit in theirs]
    np.testing.assert_array_equal(
        [hit.relevance for hit in mine], [hit.relevance for hit in theirs]
    )


def test_the_judge_takes_no_hit_without_what_the_phase_needs(
    judge: VespaJava, package: Path
) -> None:
    hit = NodeHit(id="a", relevance=1.0, match_features={"attribute(first)": 1.0})

    with pytest.raises(VespaJavaError, match=r"lack the match features attribute\(last\)"):
        judge.rerank(package, "doc", "plain", [hit])
    with pytest.raises(VespaJavaError, match="no global-phase"):
        judge.rerank(package, "doc", "words", [hit])


@pytest.mark.parametrize("query", ["[5,0,0]", "[5,6,7]", "[0,0,0]", "[0,5,0]"])
def test_token_features_are_those_that_vespa_derives(
    judge: VespaJava, package: Path, query: str
) -> None:
    asked = parse_literal(f"tensor<float>(d0[3]):{query}")
    stored = [[7, 8, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0], [0, 9, 0, 9]]
    path = package / "tokens.jsonl"
    path.write_text(
        "".join(json.dumps({"id": str(i), "tokens": row}) + "\n" for i, row in enumerate(stored))
    )
    ranker = Ranker.from_application(package, "tokens", path)

    hits = ranker.rank(RankQuery(tensors={"t": asked}))

    for hit in hits:
        tokens = parse_literal(f"tensor<float>(d0[4]):{stored[hit.position]}")
        for name, value in hit.match_features.items():
            bindings = {"query(t)": asked, "attribute(tokens)": tokens}
            assert value == judge.evaluate(package, "doc", "tokens", name, bindings), name


def test_bm25_over_the_terms_of_vespas_linguistics(judge: VespaJava, package: Path) -> None:
    path = package / "titles.jsonl"
    path.write_text('{"id": "a", "title": "The Foxes\' café"}\n{"id": "b", "title": "A box"}\n')

    def terms(text: str) -> list[str]:
        return judge.index_terms([text])[0]

    ranker = Ranker.from_application(package, "words", path, tokenize=terms)

    assert [hit.id for hit in ranker.rank(RankQuery(text="fox"))] == ["a"]
    assert [hit.id for hit in ranker.rank(RankQuery(text="cafe"))] == ["a"]
    assert terms("The foxes") == ["the", "fox"]
    assert judge.index_terms(["The foxes"], stemming="none") == [["the", "foxes"]]
