"""The types of all that a profile ranks by, asked for before a document is ranked.

So a branch that is never taken is looked at too, as Vespa does when a package is deployed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vespa_colbert.errors import ExpressionError, ExpressionTypeError, UnsupportedFunctionError
from vespa_colbert.rank.compiled import CompiledProfile, located
from vespa_colbert.rank.features.name import read_feature_name
from vespa_colbert.rank.features.table import FEATURES, REFUSED, REFUSED_TENSORS
from vespa_colbert.rank.language.nodes import Node, shortened
from vespa_colbert.rank.result_types import NUMBER, ResultTypes
from vespa_colbert.tensor import TensorType

__all__ = ["ProfileTypes", "require_types"]


@dataclass(slots=True)
class ProfileTypes:
    """The types of a profile's features and expressions.

    Attributes:
        profile: The profile.
        is_global: Whether it is asked for the global phase, which has features of its own.
    """

    profile: CompiledProfile
    is_global: bool = False
    expressions: ResultTypes = field(init=False)
    _entered: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.expressions = ResultTypes(self)

    def of(self, node: Node) -> TensorType:
        """Return the type of an expanded tree.

        Raises:
            ExpressionTypeError: If types do not fit an operation.
            UnknownFeatureError: If nothing defines a name.
            UnsupportedFunctionError: If the type of something is not known.
            ExpressionError: If it is nested too deeply.
        """
        try:
            return self.expressions.of(node)
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None

    def of_text(self, expression: str, where: str) -> TensorType:
        """Return the type of an expression that stands in a feature's argument."""
        return self.of(self.profile.tree(expression, where))

    def __call__(self, name: str) -> TensorType | None:
        """Return the type of a feature, ``None`` if there is none of that name.

        Raises:
            UnsupportedFunctionError: If its type is not known.
            ExpressionError: If it needs itself.
        """
        feature = read_feature_name(name)
        if feature.name in REFUSED_TENSORS:
            raise UnsupportedFunctionError(
                f"{name}: {feature.name} is a rank feature of Vespa that is not reproduced here; "
                f"its type is not known ({self.profile.where})"
            )
        if feature.name in REFUSED:
            return NUMBER
        if (row := FEATURES.get(feature.name)) is None:
            return None
        if name in self._entered:
            cycle = " → ".join((*self._entered, name))
            raise ExpressionError(f"{name} needs its own value: {cycle} ({self.profile.where})")
        self._entered.append(name)
        try:
            return row.kind(self, feature)
        finally:
            self._entered.pop()


def require_types(elsewhere: ProfileTypes, globally: ProfileTypes) -> None:
    """Check the types of every phase, match feature and summary feature of a profile.

    Args:
        elsewhere: Of the content nodes' phases.
        globally: Of the same profile's global phase.

    Raises:
        ExpressionTypeError: If types do not fit, or a phase gives no number; notes name the
            expression, the function and the phase it is in.
        ExpressionError: If the type of something is not known.

    Source: RankingExpressionTypeResolver, Vespa 8.700.24.
    """
    profile = elsewhere.profile
    for phase, node in profile.phases.items():
        with located(f"{profile.where}, {phase}"):
            kind = (globally if phase == "global-phase" else elsewhere).of(node)
            if not kind.is_number:
                raise ExpressionTypeError(
                    f"{shortened(node)}: expected a number for each hit, got {kind}"
                )
    for place, node in _features(profile):
        with located(f"{profile.where}, {place}"):
            elsewhere.of(node)


def _features(profile: CompiledProfile) -> Iterator[tuple[str, Node]]:
    for place, features in (
        ("match-features", profile.match_features),
        ("summary-features", profile.summary_features),
    ):
        yield from ((place, node) for node in features.values())
