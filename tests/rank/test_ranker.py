from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from vespa_colbert.errors import (
    ExpressionTypeError,
    SpecError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.rank import Hit, Ranker, RankQuery
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.literal import parse_literal

SCHEMA = """
schema doc {
    document doc {
        field first type double { indexing: attribute }
        field second type double { indexing: attribute }
        field last type double { indexing: attribute }
        field rows type tensor<float>(dt{},x[2]) { indexing: attribute }
    }
    rank-profile p {
        function by_last() { expression: attribute(last) }
        function by_first() { expression: attribute(first) }
        PROFILE
    }
}
"""
# first, second, last of documents a to e.
VALUES = [(5, 1, 9), (4, 2, 7), (3, 3, 8), (2, 4, 1), (1, 5, 2)]

RankerFor = Callable[..., Ranker]


@pytest.fixture
def ranker_for(tmp_path: Path) -> RankerFor:
    """Returns a ranker from what stands in its profile, over documents a, b, c ..."""

    def make(profile: str, *values: tuple[float | None, ...]) -> Ranker:
        (tmp_path / "schemas").mkdir(exist_ok=True)
        (tmp_path / "schemas" / "doc.sd").write_text(SCHEMA.replace("PROFILE", profile))
        rows = [
            {
                "id": chr(ord("a") + place),
                **dict(zip(("first", "second", "last"), row, strict=True)),
            }
            for place, row in enumerate(values or VALUES)
        ]
        path = tmp_path / "documents.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Ranker.from_application(tmp_path, "p", path)

    return make


FIRST = "first-phase { expression: attribute(first) }"


def shown(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.id, hit.relevance) for hit in hits]


def test_the_second_phase_ranks_its_window_and_the_rest_stays_below(ranker_for: RankerFor) -> None:
    ranker = ranker_for(
        FIRST + "second-phase { rerank-count: 3\n expression: firstPhase + attribute(second) * 10 }"
    )

    # Window 5, 4, 3 becomes 15, 24, 33: nothing below is moved.
    assert shown(ranker.rank(RankQuery())) == [("c", 33), ("b", 24), ("a", 15), ("d", 2), ("e", 1)]


def test_a_total_rerank_count_is_that_of_the_one_node(ranker_for: RankerFor) -> None:
    ranker = ranker_for(
        FIRST + "second-phase { total-rerank-count: 1\n expression: attribute(second) * 10 }"
    )

    assert shown(ranker.rank(RankQuery(), hits=2)) == [("a", 10), ("b", 4)]


def test_drop_limits_drop_hits_of_their_phase(ranker_for: RankerFor) -> None:
    first = ranker_for(
        "first-phase { rank-score-drop-limit: 2.0\n expression: attribute(first) }"
    ).rank(RankQuery())
    second = ranker_for(
        FIRST
        + "second-phase { rerank-count: 2\n rank-score-drop-limit: 1.5\n"
        + "expression: attribute(second) }"
    ).rank(RankQuery())

    assert shown(first) == [("a", 5), ("b", 4), ("c", 3)]
    # Window 5, 4 becomes 1, 2: scale 1, so c to e are 3 - 3, 2 - 3, 1 - 3 and dropped with a.
    assert shown(second) == [("b", 2)]


def test_a_score_that_is_no_finite_number_is_the_lowest(ranker_for: RankerFor) -> None:
    ranker = ranker_for(FIRST, (None, 0, 0), (1, 0, 0), (2, 0, 0))

    assert shown(ranker.rank(RankQuery())) == [("c", 2), ("b", 1), ("a", -math.inf)]


def test_first_phase_as_a_feature_is_what_was_computed(ranker_for: RankerFor) -> None:
    ranker = ranker_for(
        "first-phase { expression: attribute(first) / 0 }"
        "second-phase { expression: if (firstPhase > 100, attribute(second), 0) }"
        "match-features { firstPhase secondPhase }",
        (1, 7, 0),
    )

    (hit,) = ranker.rank(RankQuery())

    assert hit.relevance == 7
    assert hit.match_features == {"firstPhase": math.inf, "secondPhase": 7}


def test_the_global_phase_ranks_the_best_again_with_normalizers(ranker_for: RankerFor) -> None:
    ranker = ranker_for(
        FIRST
        + "global-phase { rerank-count: 3\n expression:"
        + " normalize_linear(by_last) * 10 + reciprocal_rank(by_first, 1) + relevanceScore }"
    )

    # Window a 9, b 7, c 8 → 1, 0, 0.5; ranks 1 to 3 → 1/2, 1/3, 1/4. Lowest 13/3 of the window is
    # over 3 of before: d and e stay.
    assert shown(ranker.rank(RankQuery())) == [
        ("a", 10 + 1 / 2 + 5),
        ("c", 5 + 1 / 4 + 3),
        ("b", 0 + 1 / 3 + 4),
        ("d", 2),
        ("e", 1),
    ]


def test_the_window_of_the_global_phase_is_wider_than_the_hits_asked_for(
    ranker_for: RankerFor,
) -> None:
    ranker = ranker_for(FIRST + "global-phase { rerank-count: 5\n expression: -attribute(first) }")

    assert shown(ranker.rank(RankQuery(), hits=1)) == [("e", -1)]


def test_hits_below_the_global_window_are_moved_under_it(ranker_for: RankerFor) -> None:
    ranker = ranker_for(FIRST + "global-phase { rerank-count: 2\n expression: -attribute(first) }")

    # 5, 4 → -5, -4: scale 1, bias -5 - 4.
    assert shown(ranker.rank(RankQuery(), hits=4)) == [("b", -4), ("a", -5), ("c", -6), ("d", -7)]


def test_reciprocal_rank_fusion_is_the_sum_of_reciprocal_ranks(ranker_for: RankerFor) -> None:
    fused = ranker_for(
        FIRST + "global-phase { expression: reciprocal_rank_fusion(by_first, by_last) }"
    ).rank(RankQuery())
    summed = ranker_for(
        FIRST + "global-phase { expression: reciprocal_rank(by_first) + reciprocal_rank(by_last) }"
    ).rank(RankQuery())

    # By first a b c d e, by last a c b e d.
    wanted = [2 / 61, 1 / 62 + 1 / 63, 1 / 63 + 1 / 62, 1 / 64 + 1 / 65, 1 / 65 + 1 / 64]
    assert [hit.id for hit in fused] == ["a", "b", "c", "d", "e"]
    assert [hit.relevance for hit in fused] == wanted
    assert shown(summed) == shown(fused)


def test_a_global_drop_limit_drops_also_what_was_not_ranked_again(ranker_for: RankerFor) -> None:
    ranker = ranker_for(
        FIRST
        + "global-phase { rerank-count: 2\n rank-score-drop-limit: 2.0\n"
        + "expression: relevanceScore }"
    )

    assert shown(ranker.rank(RankQuery())) == [("a", 5), ("b", 4), ("c", 3)]


def test_a_rerank_count_of_0_skips_the_global_phase(ranker_for: RankerFor) -> None:
    ranker = ranker_for(FIRST + "global-phase { rerank-count: 0\n expression: 1 }")

    assert shown(ranker.rank(RankQuery(), hits=1)) == [("a", 5)]


def test_nan_of_the_global_phase_comes_last(ranker_for: RankerFor) -> None:
    ranker = ranker_for(
        FIRST + "global-phase { expression: attribute(last) }", (3, 0, None), (2, 0, 1), (1, 0, 2)
    )

    hits = ranker.rank(RankQuery())

    assert [hit.id for hit in hits] == ["c", "b", "a"]
    assert math.isnan(hits[2].relevance)


def test_match_and_summary_features_are_numbers_or_tensors(
    ranker_for: RankerFor, tmp_path: Path
) -> None:
    ranker = ranker_for(
        FIRST
        + "match-features { by_last attribute(rows) }"
        + "summary-features { attribute(second) }"
    )
    path = tmp_path / "more.jsonl"
    row = {"id": "a", "first": 1, "last": 2, "second": 3, "rows": {"blocks": {"0": [1, 2]}}}
    path.write_text(json.dumps(row) + '\n{"id": "b", "first": 0}\n')

    hits = Ranker.from_application(tmp_path, "p", path).rank(RankQuery())

    assert ranker.profile.name == "p"
    assert hits[0].match_features["by_last"] == 2
    rows = hits[0].match_features["attribute(rows)"]
    assert rows == parse_literal("tensor<float>(dt{},x[2]):{0:[1,2]}")
    assert hits[1].match_features["attribute(rows)"] == Tensor.empty(
        TensorType.parse("tensor<float>(dt{},x[2])")
    )
    assert hits[0].summary_features == {"attribute(second)": 3}


def test_features_of_hits_are_those_of_the_hit_and_not_of_its_neighbour(
    ranker_for: RankerFor,
) -> None:
    ranker = ranker_for(
        FIRST
        + "second-phase { rerank-count: 2\n expression: attribute(second) }"
        + "match-features { by_first by_last attribute(second) }"
    )

    for hit in ranker.rank(RankQuery()):
        wanted = VALUES[ord(hit.id) - ord("a")]
        assert tuple(hit.match_features.values()) == (wanted[0], wanted[2], wanted[1])


@pytest.mark.parametrize(
    ("profile", "error", "fragment"),
    [
        (
            FIRST + "global-phase { expression: reciprocal_rank(1 + attribute(last)) }",
            ExpressionTypeError,
            "put the expression into a function",
        ),
        (
            FIRST + "diversity { attribute: second\n min-groups: 3 }",
            UnsupportedFunctionError,
            "diversity by second is not reproduced",
        ),
        (
            FIRST
            + "match-phase { attribute: first\n max-hits: 5\n"
            + "diversity { attribute: last\n min-groups: 3 } }",
            UnsupportedFunctionError,
            "diversity by last is not reproduced",
        ),
        (
            FIRST + "rank-properties { vespa.hitcollector.heapsize: 3 }",
            UnsupportedFunctionError,
            "vespa.hitcollector.heapsize",
        ),
    ],
)
def test_what_is_not_reproduced_is_refused_when_the_profile_is_read(
    ranker_for: RankerFor, profile: str, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=fragment):
        ranker_for(profile)


def test_a_match_phase_that_would_leave_documents_out_is_refused(ranker_for: RankerFor) -> None:
    limit = "match-phase { attribute: first\n max-hits: LIMIT }"

    assert len(ranker_for(FIRST + limit.replace("LIMIT", "5")).rank(RankQuery())) == 5
    with pytest.raises(UnsupportedFunctionError, match="match-phase looks at 4 documents"):
        ranker_for(FIRST + limit.replace("LIMIT", "4")).rank(RankQuery())


def test_a_fault_names_the_phase_it_is_in(ranker_for: RankerFor) -> None:
    ranker = ranker_for(FIRST + "global-phase { expression: attribute(nosuch) }")

    with pytest.raises(UnknownFeatureError) as raised:
        ranker.rank(RankQuery())
    assert raised.value.__notes__ == ["schema doc, profile p, global-phase"]


def test_documents_are_no_index(ranker_for: RankerFor) -> None:
    with pytest.raises(SpecError, match="expected a local index"):
        _ = ranker_for(FIRST).index
