"""What a rank profile says, as values. Expressions are text on one line."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.tensor import TensorType

__all__ = ["Constant", "Function", "Input", "RankProfile", "Rerank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A value that comes with the query: ``query(name)`` in expressions.

    Attributes:
        name: An identifier.
        type: Its tensor type; a number for ``double``.
        default: Tensor literal or number used when the query has none; empty for none.
    """

    name: str
    type: TensorType
    default: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A tensor or number that does not change: ``constant(name)`` in expressions.

    Attributes:
        name: An identifier.
        type: Its tensor type; a number for ``double``.
        value: Tensor literal or number; empty if it stands in a file.
        file: Path in the application package; empty if it stands here.
    """

    name: str
    type: TensorType
    value: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A named expression.

    Attributes:
        name: An identifier.
        arguments: Names of its arguments, in order.
        expression: A rank expression, on one line.
    """

    name: str
    arguments: tuple[str, ...] = ()
    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerank:
    """The second or the global phase; each part may come from a parent.

    Attributes:
        expression: A rank expression, on one line; empty to inherit it.
        rerank_count: Hits ranked again, on each content node in the second phase.
        total_rerank_count: Hits ranked again on all content nodes together; second phase only.
    """

    expression: str = ""
    rerank_count: int | None = None
    total_rerank_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankProfile:
    """How hits are ranked.

    Attributes:
        name: An identifier, dashes allowed.
        inherits: Profiles whose parts it has unless it states them itself.
        inputs: Values of the query.
        constants: Constants of this profile.
        functions: Named expressions.
        first_phase: A rank expression, on one line; empty to inherit it.
        second_phase: What is ranked again on the content nodes.
        global_phase: What is ranked again in the container.
        match_features: Features that every hit carries.
        match_features_inherit: Parents whose match features are added to its own; without them its
            own replace those of its parents.
    """

    name: str
    inherits: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    constants: tuple[Constant, ...] = ()
    functions: tuple[Function, ...] = ()
    first_phase: str = ""
    second_phase: Rerank | None = None
    global_phase: Rerank | None = None
    match_features: tuple[str, ...] = ()
    match_features_inherit: tuple[str, ...] = ()

    @property
    def input_types(self) -> dict[str, TensorType]:
        """Name of each input → its type."""
        return {each.name: each.type for each in self.inputs}
