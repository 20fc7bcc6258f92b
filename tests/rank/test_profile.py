from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vespa_colbert.app.profile import Function, Input, RankProfile, Rerank
from vespa_colbert.app.schema import Field, Schema
from vespa_colbert.errors import (
    ExpressionSyntaxError,
    ExpressionTypeError,
    SpecError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.index import Document, DocumentRows, LocalIndex
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.tensor import Tensor, TensorType

MAX_SIM = "sum(reduce(sum(query(qt) * attribute(vectors), x), max, dt), qt)"
QUERY_TYPE = TensorType.parse("tensor<float>(qt{},x[2])")
FIELD_TYPE = TensorType.parse("tensor<float>(dt{},x[2])")
INPUTS = (Input(name="qt", type=QUERY_TYPE),)
TEXT = Field(name="text", type="string", indexing=("index",), index=("enable-bm25",))
VECTORS = Field(
    name="vectors",
    type=str(FIELD_TYPE),
    indexing=("input text | embed colbert | attribute",),
    in_document=False,
)


def schema(*profiles: RankProfile) -> Schema:
    return Schema(name="passage", fields=(TEXT, VECTORS), rank_profiles=profiles)


@pytest.fixture
def index(tmp_path: Path) -> LocalIndex:
    texts = ["apple", "apple apple pear", "plum", "pear"]
    rows = np.array([[1, 0], [0, 1], [0.5, 0.5], [-1, -1], [0, 3]], np.float32)
    vectors = DocumentRows(type=FIELD_TYPE, offsets=np.array([0, 1, 3, 4, 5]), values=rows)
    documents = tuple(
        Document(id=f"d{place}", fields={"text": text}) for place, text in enumerate(texts)
    )
    return LocalIndex(path=tmp_path, documents=documents, tensors={"vectors": vectors}, origin={})


def query(*rows: tuple[float, float], text: str = "") -> RankQuery:
    tensor = Tensor.rows(QUERY_TYPE, np.array(rows, np.float32).reshape(-1, 2))
    return RankQuery(text=text, tensors={"qt": tensor})


def test_every_document_is_ranked_by_max_sim(index: LocalIndex) -> None:
    profile = RankProfile(
        name="p",
        inputs=INPUTS,
        functions=(Function(name="max_sim", expression=MAX_SIM),),
        first_phase="max_sim",
        match_features=("max_sim",),
    )

    hits = Ranker(schema(profile), "p", index).rank(query((1, 0), (0, 1)))

    assert [(hit.id, hit.relevance) for hit in hits] == [
        ("d3", 3.0),
        ("d1", 1.5),
        ("d0", 1.0),
        ("d2", -2.0),
    ]
    assert hits[0].match_features == {"max_sim": 3.0}


def test_a_first_phase_of_bm25_matches_documents_with_a_word(index: LocalIndex) -> None:
    ranker = Ranker(schema(RankProfile(name="p", first_phase="bm25(text)")), "p", index)

    hits = ranker.rank(RankQuery(text="Apple"))

    assert ranker.matches_text
    # By hand, average length 1.5: d0 2.2 / 1.9 of the rarity, d1 4.4 / 4.1 of it.
    assert [hit.id for hit in hits] == ["d0", "d1"]


def test_equal_scores_keep_the_order_of_the_index(index: LocalIndex) -> None:
    ranker = Ranker(schema(RankProfile(name="p", first_phase="7")), "p", index)

    assert [hit.id for hit in ranker.rank(RankQuery(), hits=3)] == ["d0", "d1", "d2"]


def test_the_window_is_ranked_again_and_the_rest_is_moved_under_it(index: LocalIndex) -> None:
    # First phase by the second component of the best row: d3 3, d1 1, d0 0, d2 -1.
    profile = RankProfile(
        name="p",
        inputs=INPUTS,
        first_phase=MAX_SIM,
        second_phase=Rerank(expression="-firstPhase", rerank_count=2),
    )

    hits = Ranker(schema(profile), "p", index).rank(query((0, 1)))

    # Window {d3: 3, d1: 1} becomes {-3, -1}: range 2 against 2, so the scale is 1 and all below
    # move by 1 - (-3) = 4.
    assert [(hit.id, hit.relevance) for hit in hits] == [
        ("d1", -1.0),
        ("d3", -3.0),
        ("d0", -4.0),
        ("d2", -5.0),
    ]


def test_the_rest_keeps_its_scores_where_the_window_stays_above(index: LocalIndex) -> None:
    profile = RankProfile(
        name="p",
        inputs=INPUTS,
        first_phase=MAX_SIM,
        second_phase=Rerank(expression="firstPhase + 10", rerank_count=1),
    )

    hits = Ranker(schema(profile), "p", index).rank(query((0, 1)))

    assert [hit.relevance for hit in hits] == [13.0, 1.0, 0.0, -1.0]


def test_a_rerank_count_of_0_ranks_nothing_again(index: LocalIndex) -> None:
    profile = RankProfile(
        name="p",
        inputs=INPUTS,
        first_phase=MAX_SIM,
        second_phase=Rerank(expression="firstPhase + 10", rerank_count=0),
    )

    hits = Ranker(schema(profile), "p", index).rank(query((0, 1)))

    assert [hit.relevance for hit in hits] == [3.0, 1.0, 0.0, -1.0]


def test_a_second_phase_without_candidates_gives_no_hit(index: LocalIndex) -> None:
    profile = RankProfile(
        name="p",
        inputs=INPUTS,
        first_phase="bm25(text)",
        second_phase=Rerank(expression=MAX_SIM, rerank_count=10),
    )

    assert Ranker(schema(profile), "p", index).rank(query((0, 1), text="nothing")) == []


def test_an_edited_expression_moves_the_score(index: LocalIndex) -> None:
    plain = RankProfile(name="p", inputs=INPUTS, first_phase=MAX_SIM)
    doubled = RankProfile(name="p", inputs=INPUTS, first_phase=f"2 * {MAX_SIM} + 1")

    before, after = (
        Ranker(schema(each), "p", index).rank(query((1, 0)))[0].relevance
        for each in (plain, doubled)
    )

    assert after == 2 * before + 1


@pytest.mark.parametrize(
    ("expression", "error", "fragment"),
    [
        ("attribute(nofield)", UnknownFeatureError, "attribute(nofield)"),
        ("bm25(vectors)", UnknownFeatureError, "enable-bm25"),
        ("query(other)", UnknownFeatureError, "not an input"),
        ("nosuch(text)", UnknownFeatureError, "nosuch(text)"),
        ("fieldMatch(text)", UnsupportedFunctionError, "fieldMatch(text)"),
        ("sum(attribute(vectors), zz)", ExpressionTypeError, "zz"),
        ("attribute(vectors)", ExpressionTypeError, "expected a number"),
    ],
)
def test_what_has_no_value_raises_and_never_scores(
    index: LocalIndex, expression: str, error: type[Exception], fragment: str
) -> None:
    profile = RankProfile(name="p", inputs=INPUTS, first_phase=expression)

    with pytest.raises(error) as raised:
        Ranker(schema(profile), "p", index).rank(query((1, 0)))

    assert fragment in str(raised.value)


def test_a_query_of_another_type_or_none_raises(index: LocalIndex) -> None:
    ranker = Ranker(schema(RankProfile(name="p", inputs=INPUTS, first_phase=MAX_SIM)), "p", index)
    wide = Tensor.rows(TensorType.parse("tensor<float>(qt{},x[3])"), np.ones((1, 3)))

    with pytest.raises(ExpressionTypeError, match=r"expected tensor<float>\(qt\{\},x\[2\]\)"):
        ranker.rank(RankQuery(tensors={"qt": wide}))
    with pytest.raises(UnknownFeatureError, match="got nothing"):
        ranker.rank(RankQuery())


def test_an_index_with_another_field_type_raises(index: LocalIndex) -> None:
    narrower = Field(
        name="vectors",
        type="tensor<float>(dt{},x[1])",
        indexing=VECTORS.indexing,
        in_document=False,
    )
    profile = RankProfile(name="p", inputs=INPUTS, first_phase="sum(attribute(vectors))")
    other = Schema(name="passage", fields=(TEXT, narrower), rank_profiles=(profile,))

    with pytest.raises(ExpressionTypeError, match="embed again"):
        Ranker(other, "p", index).rank(query((1, 0)))


def test_faults_of_a_profile_name_it(index: LocalIndex) -> None:
    with pytest.raises(ExpressionSyntaxError) as error:
        Ranker(schema(RankProfile(name="p", first_phase="1 +")), "p", index)
    assert error.value.__notes__ == ["schema passage, profile p, first-phase"]
    with pytest.raises(SpecError, match="absent"):
        Ranker(schema(), "absent", index)
