from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vespa_colbert.errors import (
    ExpressionError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.rank import NearestNeighbor, Ranker, RankQuery
from vespa_colbert.rank.features.name import read_feature_name
from vespa_colbert.rank.features.table import FEATURES, REFUSED
from vespa_colbert.rank.string_hash import string_value
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.literal import parse_literal

DOCUMENTS = [
    {
        "id": "a",
        "title": "red apples fall",
        "price": 1.1,
        "stars": 4,
        "fresh": True,
        "brand": "acme",
        "sizes": [3, 5],
        "tags": {"red": 7},
        "years": {"1999": 2},
        "place": {"values": [3, 4]},
        "parts": {"blocks": {"x": [1, 0], "y": [0, 9]}},
        "tokens": {"values": [7, 8, 0]},
    },
    {"id": "b", "title": "red red", "tokens": {"values": [9, 0, 0]}},
]
PROFILE = """
    rank-profile p {
        inputs {
            query(v) tensor<float>(x[2])
            query(w) double: 2.5
            query(d) tensor<float>(x[2]): [1, 2]
            query(t) tensor<float>(d0[2])
            query(s) string
        }
        constants {
            half double: 0.5
            pair tensor<float>(x[2]): [3, 4]
        }
        rank-properties {
            bm25(title).k1: 2.0
            bm25(title).b: 0
        }
        function doubled() { expression: 2 * attribute(stars) }
        function ids() { expression: query(t) }
        onnx-model scorer {
            file: models/scorer.onnx
            input "in.put": doubled_pair
            output "sc/ore": score
        }
        function doubled_pair() { expression: 2 * attribute(place) }
        first-phase { expression: EXPRESSION }
    }
"""
SCHEMA = """
schema doc {
    document doc {
        field title type string { indexing: index
            index: enable-bm25 }
        field body type string { indexing: index }
        field plain type string { indexing: index
            index: enable-bm25
            rank: filter }
        field price type float { indexing: attribute }
        field stars type int { indexing: attribute }
        field fresh type bool { indexing: attribute }
        field brand type string { indexing: attribute }
        field sizes type array<int> { indexing: attribute }
        field tags type weightedset<string> { indexing: attribute }
        field years type weightedset<int> { indexing: attribute }
        field stored type int { indexing: summary }
        field place type tensor<float>(x[2]) { indexing: attribute
            attribute { distance-metric: euclidean } }
        field parts type tensor<float>(p{},x[2]) { indexing: attribute
            attribute { distance-metric: dotproduct } }
        field tokens type tensor<float>(d0[3]) { indexing: attribute }
    }
    constant filed { file: constants/filed.json
        type: tensor<float>(x[2]) }
    constant binary { file: constants/binary.tbf
        type: tensor<float>(x[2]) }
PROFILE
}
"""

RankerFor = Callable[..., Ranker]


@pytest.fixture
def ranker_for(tmp_path: Path) -> RankerFor:
    """Returns the ranker of a package whose first phase is an expression."""

    def make(expression: str = "1", **options: Any) -> Ranker:
        (tmp_path / "schemas").mkdir(exist_ok=True)
        profile = PROFILE.replace("EXPRESSION", expression)
        (tmp_path / "schemas" / "doc.sd").write_text(SCHEMA.replace("PROFILE", profile))
        (tmp_path / "constants").mkdir(exist_ok=True)
        (tmp_path / "constants" / "filed.json").write_text('{"values": [5, 6]}')
        documents = tmp_path / "documents.jsonl"
        documents.write_text("".join(json.dumps(each) + "\n" for each in DOCUMENTS))
        return Ranker.from_application(tmp_path, "p", documents, **options)

    return make


def scores(ranker: Ranker, query: RankQuery | None = None) -> list[float]:
    found = ranker.scores(query or RankQuery(), ranker.phases["first-phase"], np.arange(2))
    return [float(each) for each in found]


def vector(*cells: float) -> Tensor:
    return Tensor.dense(TensorType.parse("tensor<float>(x[2])"), np.array(cells, np.float32))


NEAREST = RankQuery(
    tensors={"v": vector(0, 0), "d": vector(1, 1)},
    nearest=(
        NearestNeighbor(field="place", tensor="v"),
        NearestNeighbor(field="parts", tensor="d", label="mine"),
    ),
)


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("query(w)", [2.5, 2.5]),
        ("sum(query(d))", [3, 3]),
        ("constant(half)", [0.5, 0.5]),
        ("sum(constant(pair))", [7, 7]),
        ("sum(constant(filed))", [11, 11]),
        ("value(4)", [4, 4]),
        ("attribute(price)", [float(np.float32(1.1)), math.nan]),
        ("attribute(stars)", [4, math.nan]),
        ("attribute(stars).count", [1, 1]),
        ("attribute(fresh)", [1, 0]),
        ("attribute(brand)", [string_value("acme"), math.nan]),
        ("attribute(sizes,1)", [5, 0]),
        ("attribute(sizes)", [0, 0]),
        ("attribute(sizes).count", [2, 0]),
        ("attribute(tags,red).weight", [7, 0]),
        ("attribute(tags,red).contains", [1, 0]),
        ("attribute(tags,blue).weight", [0, 0]),
        ("attribute(tags).count", [1, 0]),
        ("attribute(years,1999)", [1999, 0]),
        ("attribute(years,1999).weight", [2, 0]),
        ("sum(attribute(place))", [7, 0]),
        ("sum(attribute(parts))", [10, 0]),
        ("rankingExpression(doubled)", [8, math.nan]),
        ("firstPhase + 1", None),
    ],
)
def test_a_feature_has_its_value(
    ranker_for: RankerFor, expression: str, values: list[float] | None
) -> None:
    ranker = ranker_for(expression)
    if values is None:
        with pytest.raises(ExpressionError, match="needs its own value"):
            scores(ranker)
        return

    found = scores(ranker)

    assert found == pytest.approx(values, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("closeness(field,place)", [1 / 6, 0]),
        ("closeness(place)", [1 / 6, 0]),
        ("distance(field,place)", [5, np.finfo(np.float64).max]),
        ("closeness(label,mine)", [9, -np.finfo(np.float64).max]),
        ("distance(label,mine)", [-9, np.finfo(np.float64).max]),
    ],
)
def test_closeness_and_distance_measure_from_the_nearest_neighbor_of_the_query(
    ranker_for: RankerFor, expression: str, values: list[float]
) -> None:
    assert scores(ranker_for(expression), NEAREST) == values


def test_nearest_neighbours_with_target_hits_find_documents(ranker_for: RankerFor) -> None:
    ranker = ranker_for("1")
    # Only the first document has vectors; the other one is never found by them.
    limited = tuple(replace(each, target_hits=5) for each in NEAREST.nearest)

    assert ranker.candidates(NEAREST).tolist() == [0, 1]
    assert ranker.candidates(replace(NEAREST, nearest=limited)).tolist() == [0]
    assert ranker.candidates(replace(NEAREST, nearest=limited[:1])).tolist() == [0]
    # One of them that says no number leaves all documents, as where something else finds them too.
    mixed = (limited[0], NEAREST.nearest[1])
    assert ranker.candidates(replace(NEAREST, nearest=mixed)).tolist() == [0, 1]


def test_bm25_takes_its_settings_from_rank_properties(ranker_for: RankerFor) -> None:
    found = scores(ranker_for("bm25(title)"), RankQuery(text="red"))

    # Both of 2 documents have it: rarity log(1 + 0.5 / 2.5). With b = 0 length does not matter.
    rarity = math.log(1 + 0.5 / 2.5)
    assert found == pytest.approx([rarity * 3 / 3, rarity * 2 * 3 / (2 + 2)], rel=1e-12)


def test_bm25_takes_whatever_makes_its_terms(ranker_for: RankerFor) -> None:
    def stems(text: str) -> list[str]:
        return [word.rstrip("s") for word in text.lower().split()]

    plain = scores(ranker_for("bm25(title)"), RankQuery(text="Apple"))
    stemmed = scores(ranker_for("bm25(title)", tokenize=stems), RankQuery(text="Apple"))

    assert plain == [0, 0]
    assert stemmed[0] > 0


@pytest.mark.parametrize(
    ("expression", "cells"),
    [
        ("tokenInputIds(8,ids,attribute(tokens))", [101, 5, 102, 7, 8, 102, 0, 0]),
        ("tokenInputIds(4,query(t),attribute(tokens))", [101, 5, 102, 7]),
        ("customTokenInputIds(1,2,7,query(t),attribute(tokens))", [1, 5, 2, 7, 8, 2, 0]),
        ("tokenTypeIds(8,query(t),attribute(tokens))", [0, 0, 0, 1, 1, 1, 0, 0]),
        ("tokenAttentionMask(8,query(t),attribute(tokens))", [1, 1, 1, 1, 1, 1, 0, 0]),
    ],
)
def test_token_features_make_the_inputs_of_a_cross_encoder(
    ranker_for: RankerFor, expression: str, cells: list[float]
) -> None:
    # A weighted sum tells every cell and place of it.
    weights = f"tensor(d1[{len(cells)}])(pow(3, d1))"
    ranker = ranker_for(f"sum({expression} * {weights})")
    tokens = parse_literal("tensor<float>(d0[2]):[5,0]")

    found = scores(ranker, RankQuery(tensors={"t": tokens}))

    assert found[0] == sum(cell * 3**place for place, cell in enumerate(cells))
    assert found[1] != found[0]


class Doubling:
    """A graph that adds up its input, as an output of one cell."""

    inputs: Sequence[str] = ("in.put",)
    outputs: Sequence[str] = ("sc/ore", "oth.er")

    def run(self, values: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        total = values["in.put"].astype(np.float32).sum()
        return {"sc/ore": np.array([[total]]), "oth.er": np.array([-total, 1], np.int64)}


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("sum(onnx(scorer).score)", [14, 0]),
        ("sum(onnx(scorer))", [14, 0]),
        ("sum(onnx(scorer).oth_er)", [-13, 1]),
    ],
)
def test_onnx_runs_the_model_with_the_features_that_the_profile_names(
    ranker_for: RankerFor, expression: str, values: list[float]
) -> None:
    opened = []

    def open_onnx(path: Path) -> Doubling:
        opened.append(path.name)
        return Doubling()

    found = scores(ranker_for(expression, open_onnx=open_onnx))

    assert found == values
    assert opened == ["scorer.onnx"]


@pytest.mark.parametrize(
    ("expression", "error", "fragment"),
    [
        ("attribute(stored)", UnknownFeatureError, "is no attribute"),
        ("attribute(nosuch)", UnknownFeatureError, "no such tensor field or attribute"),
        ("attribute(place,1)", UnknownFeatureError, "a tensor has no elements"),
        ("attribute(sizes,first)", ExpressionTypeError, "expected an index"),
        ("attribute(stars).size", UnknownFeatureError, "no output size"),
        ("bm25(body)", UnknownFeatureError, "enable-bm25"),
        ("bm25(plain)", UnsupportedFunctionError, "plain is a filter"),
        ("closeness(field,place)", UnknownFeatureError, "no nearestNeighbor with field 'place'"),
        ("closeness(tag,place)", ExpressionTypeError, "expected field or label"),
        ("constant(nosuch)", UnknownFeatureError, "half, pair, filed, binary"),
        ("sum(constant(binary))", ExpressionError, "binary.tbf: cannot be read"),
        ("sum(query(v))", UnknownFeatureError, "got nothing"),
        ("query(undeclared)", UnknownFeatureError, "not an input"),
        ("onnx(scorer).score", UnsupportedFunctionError, "nothing was given to run models"),
        ("onnx(nosuch)", UnknownFeatureError, "expected an onnx-model among scorer"),
        ("tokenInputIds(query(t))", ExpressionTypeError, "length of the sequence"),
        ("tokenInputIds(8,query(d))", ExpressionTypeError, "one dimension d0"),
        ("secondPhase", UnknownFeatureError, "has no second-phase"),
        ("relevanceScore", UnsupportedFunctionError, "only the global phase"),
        ("reciprocal_rank(doubled)", UnsupportedFunctionError, "only the global phase"),
        ("normalize_linear(doubled)", UnsupportedFunctionError, "only the global phase"),
        ("now", UnsupportedFunctionError, "now is a rank feature of Vespa"),
        ("nosuch(title)", UnknownFeatureError, "nosuch(title)"),
    ],
)
def test_what_has_no_value_raises_with_its_place(
    ranker_for: RankerFor, expression: str, error: type[Exception], fragment: str
) -> None:
    ranker = ranker_for(expression)
    with pytest.raises(error) as raised:
        ranker.rank(RankQuery(tensors={"t": parse_literal("tensor<float>(d0[2]):[5,0]")}))

    assert fragment in str(raised.value)
    assert "schema doc, profile p, first-phase" in raised.value.__notes__


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_feature_that_is_not_reproduced_is_refused_by_name(
    ranker_for: RankerFor, name: str
) -> None:
    with pytest.raises(UnsupportedFunctionError, match=name):
        scores(ranker_for(f"{name}(title)"))


def test_an_undeclared_number_of_the_query_is_taken_as_vespa_takes_it(
    ranker_for: RankerFor,
) -> None:
    found = scores(ranker_for("query(u)"), RankQuery(tensors={"u": Tensor.number(3)}))

    assert found == [3, 3]


def test_the_table_of_features_is_complete() -> None:
    for name, row in FEATURES.items():
        assert row.name == name
        assert row.signature.startswith(name)
        assert "Vespa 8.700.24" in row.source
    assert not FEATURES.keys() & REFUSED


@pytest.mark.parametrize(
    ("text", "name", "arguments", "output"),
    [
        ("now", "now", (), ""),
        ("now()", "now", (), ""),
        ("attribute(tags,red).weight", "attribute", ("tags", "red"), "weight"),
        ('onnx("a,b").out', "onnx", ('"a,b"',), "out"),
        ("reciprocal_rank((a + f(b,c)),5)", "reciprocal_rank", ("(a + f(b,c))", "5"), ""),
    ],
)
def test_a_feature_name_comes_apart(
    text: str, name: str, arguments: tuple[str, ...], output: str
) -> None:
    found = read_feature_name(text)

    assert (found.name, found.arguments, found.output) == (name, arguments, output)
    assert found.words() == tuple(each.strip('"') for each in arguments)


def test_a_batch_gives_what_one_document_after_the_other_gives(ranker_for: RankerFor) -> None:
    expression = (
        "sum(tokenInputIds(6,attribute(tokens)) * tensor(d1[6])(d1)) + sum(onnx(scorer).score)"
        " + sum(attribute(parts)) + closeness(field,place) + attribute(sizes,0)"
    )
    ranker = ranker_for(expression, open_onnx=lambda _path: Doubling())
    node = ranker.phases["first-phase"]

    together = ranker.scores(NEAREST, node, np.array([1, 0, 1]))
    alone = [ranker.scores(NEAREST, node, np.array([place]))[0] for place in (1, 0, 1)]

    assert together.tolist() == alone
