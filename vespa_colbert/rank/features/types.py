"""The types of rank features, known from the schema and the profile alone.

What Vespa has and is not reproduced has a type too: that it has no value is said where the value
is asked for, so that a branch which is not taken needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import (
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.rank.compiled import CompiledProfile
from vespa_colbert.rank.features.bm25 import require_bm25
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.features.onnx import graph_input, graph_output, run_graph
from vespa_colbert.rank.features.tokens import END, START, sequence_length, special_ids
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = ["FeatureType", "FeatureTypes"]

NUMBER = TensorType(CellType.DOUBLE)


class FeatureTypes(Protocol):
    """What the type of a feature is known from."""

    @property
    def profile(self) -> CompiledProfile:
        """The profile."""

    @property
    def is_global(self) -> bool:
        """Whether this is the global phase."""

    def of_text(self, expression: str, where: str) -> TensorType:
        """Return the type of an expression that stands in a feature's argument."""


FeatureType = Callable[[FeatureTypes, FeatureName], TensorType]


def number(*counts: int) -> FeatureType:
    """Return the rule of a number that takes one of these numbers of arguments."""

    def rule(types: FeatureTypes, feature: FeatureName) -> TensorType:
        feature.taken(types.profile.where, *counts)
        return NUMBER

    return rule


def query(types: FeatureTypes, feature: FeatureName) -> TensorType:
    """Return the type of ``query(name)``; what no profile declares can only be a number."""
    (name,) = feature.taken(types.profile.where, 1)
    return types.profile.input_type(name) or NUMBER


def attribute(types: FeatureTypes, feature: FeatureName) -> TensorType:
    """Return the type of ``attribute(field)``.

    Raises:
        UnknownFeatureError: If the schema has no such attribute.
    """
    schema, (name, *rest) = types.profile.schema, feature.taken(types.profile.where, 1, 2)
    field = next((each for each in schema.all_fields if each.name == name), None)
    kind = schema.attribute_types.get(name) or (field.tensor_type if field else None)
    if kind is None:
        if not _holds_numbers(schema, name):
            fault = f"schema {schema.name} has no such tensor field or attribute"
            if field is not None:
                fault = (
                    f"field {name} of schema {schema.name} is no attribute; add it to its indexing"
                )
            raise UnknownFeatureError(f"{feature.text}: {fault}")
        return NUMBER
    if rest or feature.output not in {"", "value"}:
        raise UnknownFeatureError(f"{feature.text}: a tensor has no elements and no such output")
    return kind


def _holds_numbers(schema: Schema, name: str) -> bool:
    """Return whether an attribute that is no tensor has that name."""
    found = {each.name for each in schema.all_imported_fields}
    for field in schema.all_fields:
        found |= {each.name for each in field.other_attributes}
        if field.is_attribute:
            found.add(field.name)
    # Parts of structs, and of positions, are attributes by a name of their own.
    heads = {each.name for each in schema.all_fields}
    return name in found or name.partition(".")[0] in heads - {name} or name.endswith("_zcurve")


def constant(types: FeatureTypes, feature: FeatureName) -> TensorType:
    """Return the type of ``constant(name)``."""
    (name,) = feature.taken(types.profile.where, 1)
    return types.profile.constant_type(name)


def bm25(types: FeatureTypes, feature: FeatureName) -> TensorType:
    """Return the type of ``bm25(field)``."""
    (name,) = feature.taken(types.profile.where, 1)
    with suppress(UnsupportedFunctionError):
        require_bm25(types.profile, name)
    return NUMBER


def second_phase(types: FeatureTypes, feature: FeatureName) -> TensorType:
    """Return the type of ``secondPhase``.

    Raises:
        UnknownFeatureError: If the profile has none.
    """
    if types.profile.second is None:
        raise UnknownFeatureError(f"{feature.text}: {types.profile.where} has no second-phase")
    return NUMBER


def relevance(types: FeatureTypes, feature: FeatureName) -> TensorType:
    """Return the type of what only the global phase has.

    Raises:
        UnsupportedFunctionError: If this is another phase: Vespa refuses that.
    """
    if not types.is_global:
        raise UnsupportedFunctionError(
            f"{feature.text}: only the global phase has {feature.name} ({types.profile.where})"
        )
    return NUMBER


def normalizer(*counts: int) -> FeatureType:
    """Return the rule of a normalizer of one expression, or of all its arguments if none is said.

    Args:
        *counts: How many arguments it takes; what follows the first is no expression.
    """

    def rule(types: FeatureTypes, feature: FeatureName) -> TensorType:
        relevance(types, feature)
        if counts:
            feature.taken(types.profile.where, *counts)
        for word in feature.arguments[:1] if counts else feature.arguments:
            if not (kind := types.of_text(word, feature.text)).is_number:
                raise ExpressionTypeError(f"{feature.text}: expected {word} a number, got {kind}")
        return NUMBER

    return rule


def ranking_expression(types: FeatureTypes, feature: FeatureName) -> TensorType:
    """Return the type of ``rankingExpression(name)``."""
    (name,) = feature.taken(types.profile.where, 1)
    return types.of_text(name, feature.text)


def tokens(first: int) -> FeatureType:
    """Return the rule of token ids and their like, whose arguments begin at ``first``."""

    def rule(types: FeatureTypes, feature: FeatureName) -> TensorType:
        size = sequence_length(feature, first)
        special_ids(feature) if first > 1 else (START, END)
        for word in feature.arguments[first:]:
            kind = types.of_text(word, feature.text)
            if kind.mapped or kind.indexed != ("d0",):
                raise ExpressionTypeError(
                    f"{feature.text}: expected token ids in a tensor with one dimension d0, "
                    f"got {kind}"
                )
        return TensorType(CellType.FLOAT, (Dimension("d0", 1), Dimension("d1", size)))

    return rule


def onnx(types: FeatureTypes, feature: FeatureName) -> TensorType:
    """Return the type of an output of a model: the model is run once, on zeros.

    Raises:
        ExpressionTypeError: If an input is not dense.

    Source: OnnxWrapper::WirePlanner, Vespa 8.700.24, which runs it where sizes are left open.
    """
    (name,) = feature.taken(types.profile.where, 1)
    model, graph = types.profile.onnx_model(name)
    wanted, zeros = graph_output(model, graph, feature), {}
    for each in graph.inputs:
        kind = types.of_text(graph_input(model, each), f"{feature.text}, input {each}")
        if kind.mapped:
            raise ExpressionTypeError(f"{feature.text}: expected a dense tensor, got {kind}")
        zeros[each] = Tensor.empty(kind)
    return run_graph(graph, wanted, zeros, feature.text).type
