"""What only the global phase has: normalizers over its window, and the relevance before it."""

from __future__ import annotations

import numpy as np

from vespa_colbert.errors import ExpressionTypeError, UnsupportedFunctionError
from vespa_colbert.rank.batches import batch_numbers
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.features.run import FeatureRun, Scores
from vespa_colbert.rank.phases import linear, reciprocal_ranks
from vespa_colbert.tensor import Tensor

__all__ = ["normalize_linear", "reciprocal_rank", "reciprocal_rank_fusion", "relevance"]

RECIPROCAL_K = 60.0
"""Source: NormalizerFunctionExpander, Vespa 8.700.24."""


def relevance(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``relevanceScore``."""
    return batch_numbers(_window(run, feature))


def _window(run: FeatureRun, feature: FeatureName) -> Scores:
    """Return the relevance of the hits of the global phase.

    Raises:
        UnsupportedFunctionError: If this is another phase: Vespa refuses that.
    """
    if run.relevance is None:
        raise UnsupportedFunctionError(
            f"{feature.text}: only the global phase has {feature.name} ({run.profile.where})"
        )
    return run.relevance


def normalize_linear(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``normalize_linear(x)``."""
    _window(run, feature)
    (argument,) = run.arguments(feature, 1)
    return batch_numbers(linear(_normalized_input(run, argument, feature)))


def reciprocal_rank(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``reciprocal_rank(x, k)``.

    Raises:
        ExpressionTypeError: If k is no constant.
    """
    _window(run, feature)
    argument, *rest = run.arguments(feature, 1, 2)
    try:
        k = float(rest[0]) if rest else RECIPROCAL_K
    except ValueError:
        raise ExpressionTypeError(f"{feature.text}: expected a number k, got {rest[0]}") from None
    return batch_numbers(reciprocal_ranks(_normalized_input(run, argument, feature), k))


def reciprocal_rank_fusion(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return the sum of ``reciprocal_rank`` of all arguments.

    Raises:
        ExpressionTypeError: If there are fewer than two.
    """
    _window(run, feature)
    if len(feature.arguments) < 2:
        raise ExpressionTypeError(f"{feature.text}: expected 2 arguments or more")
    ranks = [
        reciprocal_ranks(_normalized_input(run, argument, feature), RECIPROCAL_K)
        for argument in feature.arguments
    ]
    return batch_numbers(np.sum(ranks, axis=0))


def _normalized_input(run: FeatureRun, argument: str, feature: FeatureName) -> Scores:
    return run.numbers_of(run.profile.tree(argument, feature.text))
