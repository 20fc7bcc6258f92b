"""Rank features with real values: one table, a row a feature; what Vespa has beside them raises.

A feature is read from the query, from the documents or from the application package. What has no
value raises an error that names it: it never scores 0 instead.

Differs: where a query lacks an input without a default, Vespa takes 0 or an empty tensor; where it
lacks a nearestNeighbor for a field, closeness is 0 in Vespa. Both are errors here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from vespa_colbert.errors import ExpressionTypeError, UnknownFeatureError
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.batches import batch_numbers
from vespa_colbert.rank.features import types
from vespa_colbert.rank.features.attributes import attribute_value
from vespa_colbert.rank.features.bm25 import bm25
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
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.features.run import FeatureRun
from vespa_colbert.rank.features.types import FeatureType
from vespa_colbert.rank.features.vectors import closeness, distance
from vespa_colbert.tensor import Tensor

__all__ = ["FEATURES", "REFUSED", "REFUSED_TENSORS", "Feature"]

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

REFUSED_TENSORS = frozenset({
    "closest", "elementwise", "onnxModel", "tensorFromLabels", "tensorFromStructs",
    "tensorFromWeightedSet",
})  # fmt: skip
"""Those of them that are no numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A row of the table.

    Attributes:
        name: What stands before the parentheses.
        signature: How it is written.
        gives: What its value is.
        kind: Its type, known before anything is computed.
        read: Computes it.
        source: Where its behaviour is taken from.
    """

    name: str
    signature: str
    gives: str
    kind: FeatureType
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
    name: Feature(name=name, signature=signature, gives=gives, kind=kind, read=read, source=source)
    for name, signature, gives, kind, read, source in (
        (
            "query",
            "query(name)",
            "what the query brings for an input of the profile, else its default",
            types.query,
            _query,
            "QueryValue, Vespa 8.700.24",
        ),
        (
            "attribute",
            "attribute(field), attribute(array,i), attribute(set,key); .weight .contains .count",
            "the number or tensor of an attribute; NaN for a number that is not there",
            types.attribute,
            _attribute,
            "attributefeature.cpp, Vespa 8.700.24",
        ),
        (
            "constant",
            "constant(name)",
            "a constant of the profile or the schema, also from a file of the package",
            types.constant,
            _constant,
            "ConstantBlueprint, Vespa 8.700.24",
        ),
        (
            "value",
            "value(number)",
            "the number",
            types.number(1),
            _value,
            "ValueBlueprint, Vespa 8.700.24",
        ),
        (
            "bm25",
            "bm25(field)",
            "bm25 over the query's words, with k1, b and averageFieldLength from rank-properties",
            types.bm25,
            bm25,
            "bm25_feature.cpp, Vespa 8.700.24",
        ),
        (
            "closeness",
            "closeness(field,name), closeness(label,name), closeness(name)",
            "closeness of the nearest vector to the query's nearestNeighbor",
            types.number(1, 2),
            closeness,
            "closenessfeature.cpp, Vespa 8.700.24",
        ),
        (
            "distance",
            "distance(field,name), distance(label,name), distance(name)",
            "distance of the nearest vector, in the unit of the metric",
            types.number(1, 2),
            distance,
            "distancefeature.cpp, Vespa 8.700.24",
        ),
        (
            "firstPhase",
            "firstPhase",
            "the first phase's score",
            types.number(0),
            _first_phase,
            "first_phase_feature.cpp, Vespa 8.700.24",
        ),
        (
            "secondPhase",
            "secondPhase",
            "the second phase's expression, for any hit",
            types.second_phase,
            _second_phase,
            "second_phase_feature.cpp, Vespa 8.700.24",
        ),
        (
            "relevanceScore",
            "relevanceScore",
            "relevance from the content nodes, in the global phase",
            types.relevance,
            relevance,
            "HitRescorer, Vespa 8.700.24",
        ),
        (
            "rankingExpression",
            "rankingExpression(name)",
            "a function of the profile",
            types.ranking_expression,
            _ranking_expression,
            "RankingExpressionBlueprint, Vespa 8.700.24",
        ),
        (
            "onnx",
            "onnx(model).output",
            "an output of a model of the package, d0, d1 … its dimensions",
            types.onnx,
            onnx,
            "onnx_feature.cpp, Vespa 8.700.24",
        ),
        (
            "tokenInputIds",
            "tokenInputIds(length, a, b, …)",
            "101 a 102 b 102 0 …, cut to the length",
            types.tokens(1),
            token_input_ids,
            TOKENS,
        ),
        (
            "customTokenInputIds",
            "customTokenInputIds(start, separator, length, a, b, …)",
            "start a separator b separator 0 …, cut to the length",
            types.tokens(3),
            custom_token_input_ids,
            TOKENS,
        ),
        (
            "tokenTypeIds",
            "tokenTypeIds(length, a, b, …)",
            "0 up to the separator after a, then 1, 0 after the last separator",
            types.tokens(1),
            token_type_ids,
            TOKENS,
        ),
        (
            "tokenAttentionMask",
            "tokenAttentionMask(length, a, b, …)",
            "1 up to the last separator, then 0",
            types.tokens(1),
            token_attention_mask,
            TOKENS,
        ),
        (
            "normalize_linear",
            "normalize_linear(x)",
            "x scaled to 0 … 1 over the window of the global phase",
            types.normalizer(1),
            normalize_linear,
            f"LinearNormalizer and {NORMALIZERS}, Vespa 8.700.24",
        ),
        (
            "reciprocal_rank",
            "reciprocal_rank(x), reciprocal_rank(x, k)",
            "1 / (k + rank of x in the window); k is 60",
            types.normalizer(1, 2),
            reciprocal_rank,
            f"ReciprocalRankNormalizer and {NORMALIZERS}, Vespa 8.700.24",
        ),
        (
            "reciprocal_rank_fusion",
            "reciprocal_rank_fusion(a, b, …)",
            "the sum of reciprocal_rank of all arguments",
            types.normalizer(),
            reciprocal_rank_fusion,
            f"{NORMALIZERS}, Vespa 8.700.24",
        ),
    )
}
"""Feature name → its row."""
