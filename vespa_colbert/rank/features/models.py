"""``onnx`` and the token features that make its inputs."""

from __future__ import annotations

from vespa_colbert.errors import ExpressionTypeError, UnknownFeatureError
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.features.onnx import normalized, run_graph
from vespa_colbert.rank.features.run import FeatureRun
from vespa_colbert.rank.features.tokens import END, START, attention_mask, input_ids, type_ids
from vespa_colbert.tensor import Tensor

__all__ = [
    "custom_token_input_ids",
    "onnx",
    "token_attention_mask",
    "token_input_ids",
    "token_type_ids",
]


def onnx(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return an output of a model for the documents.

    Raises:
        UnknownFeatureError: If the model has no output of that name.
    """
    (name,) = run.arguments(feature, 1)
    model, graph = run.profile.onnx_model(name)
    said = dict(model.inputs)
    inputs = {
        each: run.value_of(said.get(each, normalized(each)), f"{feature.text}, input {each}")
        for each in graph.inputs
    }
    names = dict(model.outputs)
    outputs = {names.get(each, normalized(each)): each for each in graph.outputs}
    wanted = feature.output or next(iter(outputs))
    if wanted not in outputs:
        known = ", ".join(outputs)
        raise UnknownFeatureError(f"{feature.text}: expected an output among {known}")
    return run_graph(graph, outputs[wanted], inputs, feature.text)


def _token_arguments(run: FeatureRun, feature: FeatureName, first: int) -> tuple[int, list[Tensor]]:
    """Return the length of the sequence and the values of the arguments after it.

    Raises:
        ExpressionTypeError: If the length is no whole number, or nothing follows it.
    """
    words = feature.arguments
    if len(words) <= first or not words[first - 1].isdecimal() or int(words[first - 1]) < 1:
        raise ExpressionTypeError(
            f"{feature.text}: expected the length of the sequence and then arguments"
        )
    values = [run.value_of(each, feature.text) for each in words[first:]]
    return int(words[first - 1]), values


def token_input_ids(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``tokenInputIds(length, a, b, …)``."""
    size, arguments = _token_arguments(run, feature, 1)
    return input_ids(size, START, END, arguments, feature.text)


def custom_token_input_ids(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return token ids with special tokens of one's own.

    Raises:
        ExpressionTypeError: If those are no numbers.
    """
    size, arguments = _token_arguments(run, feature, 3)
    try:
        start, end = (float(each) for each in feature.arguments[:2])
    except ValueError:
        raise ExpressionTypeError(
            f"{feature.text}: expected two token ids as numbers first"
        ) from None
    return input_ids(size, start, end, arguments, feature.text)


def token_type_ids(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``tokenTypeIds(length, a, b, …)``."""
    size, arguments = _token_arguments(run, feature, 1)
    return type_ids(size, arguments, feature.text)


def token_attention_mask(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``tokenAttentionMask(length, a, b, …)``."""
    size, arguments = _token_arguments(run, feature, 1)
    return attention_mask(size, arguments, feature.text)
