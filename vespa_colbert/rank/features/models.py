"""``onnx`` and the token features that make its inputs."""

from __future__ import annotations

from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.features.onnx import graph_input, graph_output, run_graph
from vespa_colbert.rank.features.run import FeatureRun
from vespa_colbert.rank.features.tokens import (
    END,
    START,
    attention_mask,
    input_ids,
    sequence_length,
    special_ids,
    type_ids,
)
from vespa_colbert.tensor import Tensor

__all__ = [
    "custom_token_input_ids",
    "onnx",
    "token_attention_mask",
    "token_input_ids",
    "token_type_ids",
]


def onnx(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return an output of a model for the documents."""
    (name,) = run.arguments(feature, 1)
    model, graph = run.profile.onnx_model(name)
    wanted = graph_output(model, graph, feature)
    inputs = {
        each: run.value_of(graph_input(model, each), f"{feature.text}, input {each}")
        for each in graph.inputs
    }
    return run_graph(graph, wanted, inputs, feature.text)


def _token_arguments(run: FeatureRun, feature: FeatureName, first: int) -> tuple[int, list[Tensor]]:
    """Return the length of the sequence and the values of the arguments after it."""
    size = sequence_length(feature, first)
    return size, [run.value_of(each, feature.text) for each in feature.arguments[first:]]


def token_input_ids(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``tokenInputIds(length, a, b, …)``."""
    size, arguments = _token_arguments(run, feature, 1)
    return input_ids(size, START, END, arguments, feature.text)


def custom_token_input_ids(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return token ids with special tokens of one's own."""
    size, arguments = _token_arguments(run, feature, 3)
    start, end = special_ids(feature)
    return input_ids(size, start, end, arguments, feature.text)


def token_type_ids(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``tokenTypeIds(length, a, b, …)``."""
    size, arguments = _token_arguments(run, feature, 1)
    return type_ids(size, arguments, feature.text)


def token_attention_mask(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``tokenAttentionMask(length, a, b, …)``."""
    size, arguments = _token_arguments(run, feature, 1)
    return attention_mask(size, arguments, feature.text)
