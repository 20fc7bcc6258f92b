"""Rank features with real values: one table, a row a feature; what Vespa has beside them raises.

A feature is read from the query, from the documents or from the application package. What has no
value raises an error that names it: it never scores 0 instead.

Differs: where a query lacks an input without a default, Vespa takes 0 or an empty tensor; where it
lacks a nearestNeighbor for a field, closeness is 0 in Vespa. Both are errors here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from vespa_colbert.errors import (
    ExpressionError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.batches import batch_numbers
from vespa_colbert.rank.compiled import CompiledProfile
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.features.attributes import attribute_value
from vespa_colbert.rank.features.global_phase import (
    normalize_linear,
    reciprocal_rank,
    reciprocal_rank_fusion,
    relevance,
)
from vespa_colbert.rank.features.models import (
    custom_token_input_ids,
    onnx,
    token_attention_mask,
    token_input_ids,
    token_type_ids,
)
from vespa_colbert.rank.features.name import FeatureName, read_feature_name
from vespa_colbert.rank.features.run import FeatureRun
from vespa_colbert.rank.features.vectors import closeness, distance
from vespa_colbert.tensor import Tensor

__all__ = ["FEATURES", "REFUSED", "Feature", "Features", "require_bm25"]

Value: TypeAlias = Tensor | DocumentRows
REFUSED = frozenset({
    "age", "attributeMatch", "averageFieldLength", "closest", "debugAttributeWait", "debugWait",
    "distanceToPath", "dotProduct", "elementCompleteness", "elementSimilarity", "elementwise",
    "euclideanDistance", "fieldInfo", "fieldLength", "fieldMatch", "fieldTermMatch",
    "firstPhaseMax", "firstPhaseRank", "flowCompleteness", "foreach", "freshness",
    "globalSequence", "great_circle_distance", "itemRawScore", "jaroWinklerDistance", "match",
    "matchCount", "matches", "nativeAttributeMatch", "nativeDotProduct", "nativeFieldMatch",
    "nativeProximity", "nativeRank", "now", "onnxModel", "proximity", "queryCompleteness",
    "queryTermCount", "random", "randomNormal", "randomNormalStable", "rawScore",
    "reverseProximity", "subqueries", "tensorFromLabels", "tensorFromStructs",
    "tensorFromWeightedSet", "term", "termDistance", "termEditDistance", "termFieldMd",
    "termInfo", "textSimilarity",
})  # fmt: skip
"""Features of Vespa that are not reproduced. Source: setup_search_features, Vespa 8.700.24."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A row of the table.

    Attributes:
        name: What stands before the parentheses.
        signature: How it is written.
        gives: What its value is.
        read: Computes it.
        source: Where its behaviour is taken from.
    """

    name: str
    signature: str
    gives: str
    read: Callable[[FeatureRun, FeatureName], Value]
    source: str


def _query(run: FeatureRun, feature: FeatureName) -> Tensor:
    return run.query_value(*run.arguments(feature, 1))


def _attribute(run: FeatureRun, feature: FeatureName) -> Value:
    return attribute_value(
        feature, run.profile.schema, run.documents, run.positions, run.arguments(feature, 1, 2)
    )


def _constant(run: FeatureRun, feature: FeatureName) -> Tensor:
    return run.profile.constant(*run.arguments(feature, 1))


def _value(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``value(number)``.

    Raises:
        ExpressionTypeError: If it is no number.
    """
    (text,) = run.arguments(feature, 1)
    try:
        return Tensor.number(float(text))
    except ValueError:
        raise ExpressionTypeError(f"{feature.text}: expected a number, got {text!r}") from None


def require_bm25(profile: CompiledProfile, name: str) -> None:
    """Check that a field can be asked for bm25.

    Raises:
        UnknownFeatureError: If it is not indexed with bm25 enabled.
        UnsupportedFunctionError: If its terms are matched without what bm25 needs.
    """
    field_said = next((each for each in profile.schema.fields if each.name == name), None)
    ranks = [each for each in profile.profile.field_ranks if each.field == name]
    is_filter = any(each.is_filter or each.filter_threshold is not None for each in ranks)
    if is_filter or (field_said is not None and "filter" in field_said.rank):
        raise UnsupportedFunctionError(
            f"bm25({name}): {name} is a filter in {profile.where}, where Vespa takes one "
            "occurrence and the average length; that is not reproduced"
        )
    if field_said is None or "enable-bm25" not in field_said.index:
        raise UnknownFeatureError(
            f"bm25({name}): schema {profile.schema.name} has no such field with enable-bm25"
        )


def _bm25(run: FeatureRun, feature: FeatureName) -> Tensor:
    (name,) = run.arguments(feature, 1)
    require_bm25(run.profile, name)
    settings = {
        argument: number
        for argument, key in (("k1", "k1"), ("b", "b"), ("average", "averageFieldLength"))
        if (number := run.profile.number_property(f"bm25({name}).{key}")) is not None
    }
    field_index = run.documents.lexical(name, run.tokenize)
    found = field_index.scores(run.tokenize(run.query.text), **settings)
    return batch_numbers(found[run.positions])


def _first_phase(run: FeatureRun, _feature: FeatureName) -> Tensor:
    if run.first_phase is not None:
        return batch_numbers(run.first_phase)
    return batch_numbers(run.numbers_of(run.profile.first))


def _second_phase(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return the second phase's expression, also for hits that it did not rank.

    Raises:
        UnknownFeatureError: If the profile has none.
    """
    if run.profile.second is None:
        raise UnknownFeatureError(f"{feature.text}: {run.profile.where} has no second-phase")
    return batch_numbers(run.numbers_of(run.profile.second))


def _ranking_expression(run: FeatureRun, feature: FeatureName) -> Tensor:
    return run.value_of(run.arguments(feature, 1)[0], feature.text)


TOKENS, NORMALIZERS = "TokenTransformer, Vespa 8.700.24", "NormalizerFunctionExpander"

FEATURES = {
    name: Feature(name=name, signature=signature, gives=gives, read=read, source=source)
    for name, signature, gives, read, source in (
        (
            "query",
            "query(name)",
            "what the query brings for an input of the profile, else its default",
            _query,
            "QueryValue, Vespa 8.700.24",
        ),
        (
            "attribute",
            "attribute(field), attribute(array,i), attribute(set,key); .weight .contains .count",
            "the number or tensor of an attribute; NaN for a number that is not there",
            _attribute,
            "attributefeature.cpp, Vespa 8.700.24",
        ),
        (
            "constant",
            "constant(name)",
            "a constant of the profile or the schema, also from a file of the package",
            _constant,
            "ConstantBlueprint, Vespa 8.700.24",
        ),
        ("value", "value(number)", "the number", _value, "ValueBlueprint, Vespa 8.700.24"),
        (
            "bm25",
            "bm25(field)",
            "bm25 over the query's words, with k1, b and averageFieldLength from rank-properties",
            _bm25,
            "bm25_feature.cpp, Vespa 8.700.24",
        ),
        (
            "closeness",
            "closeness(field,name), closeness(label,name), closeness(name)",
            "closeness of the nearest vector to the query's nearestNeighbor",
            closeness,
            "closenessfeature.cpp, Vespa 8.700.24",
        ),
        (
            "distance",
            "distance(field,name), distance(label,name), distance(name)",
            "distance of the nearest vector, in the unit of the metric",
            distance,
            "distancefeature.cpp, Vespa 8.700.24",
        ),
        (
            "firstPhase",
            "firstPhase",
            "the first phase's score",
            _first_phase,
            "first_phase_feature.cpp, Vespa 8.700.24",
        ),
        (
            "secondPhase",
            "secondPhase",
            "the second phase's expression, for any hit",
            _second_phase,
            "second_phase_feature.cpp, Vespa 8.700.24",
        ),
        (
            "relevanceScore",
            "relevanceScore",
            "relevance from the content nodes, in the global phase",
            relevance,
            "HitRescorer, Vespa 8.700.24",
        ),
        (
            "rankingExpression",
            "rankingExpression(name)",
            "a function of the profile",
            _ranking_expression,
            "RankingExpressionBlueprint, Vespa 8.700.24",
        ),
        (
            "onnx",
            "onnx(model).output",
            "an output of a model of the package, d0, d1 … its dimensions",
            onnx,
            "onnx_feature.cpp, Vespa 8.700.24",
        ),
        (
            "tokenInputIds",
            "tokenInputIds(length, a, b, …)",
            "101 a 102 b 102 0 …, cut to the length",
            token_input_ids,
            TOKENS,
        ),
        (
            "customTokenInputIds",
            "customTokenInputIds(start, separator, length, a, b, …)",
            "start a separator b separator 0 …, cut to the length",
            custom_token_input_ids,
            TOKENS,
        ),
        (
            "tokenTypeIds",
            "tokenTypeIds(length, a, b, …)",
            "0 up to the separator after a, then 1, 0 after the last separator",
            token_type_ids,
            TOKENS,
        ),
        (
            "tokenAttentionMask",
            "tokenAttentionMask(length, a, b, …)",
            "1 up to the last separator, then 0",
            token_attention_mask,
            TOKENS,
        ),
        (
            "normalize_linear",
            "normalize_linear(x)",
            "x scaled to 0 … 1 over the window of the global phase",
            normalize_linear,
            f"LinearNormalizer and {NORMALIZERS}, Vespa 8.700.24",
        ),
        (
            "reciprocal_rank",
            "reciprocal_rank(x), reciprocal_rank(x, k)",
            "1 / (k + rank of x in the window); k is 60",
            reciprocal_rank,
            f"ReciprocalRankNormalizer and {NORMALIZERS}, Vespa 8.700.24",
        ),
        (
            "reciprocal_rank_fusion",
            "reciprocal_rank_fusion(a, b, …)",
            "the sum of reciprocal_rank of all arguments",
            reciprocal_rank_fusion,
            f"{NORMALIZERS}, Vespa 8.700.24",
        ),
    )
}
"""Feature name → its row."""


@dataclass(slots=True, kw_only=True)
class Features(FeatureRun):
    """Feature name → value, for one query and a batch of documents."""

    _entered: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.evaluation = Evaluation(self, len(self.positions))

    def __call__(self, name: str) -> Value | None:
        """Return the value of a feature, ``None`` if there is none of that name.

        Raises:
            UnsupportedFunctionError: If Vespa has it and it is not reproduced.
            ExpressionError: If its value needs itself.
        """
        feature = read_feature_name(name)
        if feature.name in REFUSED:
            raise UnsupportedFunctionError(
                f"{name}: {feature.name} is a rank feature of Vespa that is not reproduced here "
                f"({self.profile.where})"
            )
        if (row := FEATURES.get(feature.name)) is None:
            return None
        if name in self._entered:
            cycle = " → ".join((*self._entered, name))
            raise ExpressionError(f"{name} needs its own value: {cycle} ({self.profile.where})")
        self._entered.append(name)
        try:
            return row.read(self, feature)
        finally:
            self._entered.pop()
