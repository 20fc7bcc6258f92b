"""What a rank profile says, as values. Expressions are text on one line."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.tensor import TensorType

__all__ = [
    "Constant",
    "Diversity",
    "FieldRank",
    "Function",
    "Input",
    "MatchPhase",
    "Mutation",
    "OnnxModel",
    "RankProfile",
    "Rerank",
]

Pairs = tuple[tuple[str, str], ...]
"""Names with a text each, in the order written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A value that comes with the query: ``query(name)`` in expressions.

    Attributes:
        name: An identifier.
        type: Its tensor type; a number for ``double``.
        default: Tensor literal or number used when the query has none; empty for none.
        is_text: Whether it is a ``string``, which expressions compare by its hash.
    """

    name: str
    type: TensorType
    default: str = ""
    is_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A tensor or number that does not change: ``constant(name)`` in expressions.

    Attributes:
        name: An identifier.
        type: Its tensor type; a number for ``double``.
        value: Tensor literal or number; empty if it stands in a file.
        file: Path in the application package; empty if it stands elsewhere.
        uri: Address that Vespa fetches it from; empty if it stands elsewhere.
    """

    name: str
    type: TensorType
    value: str = ""
    file: str = ""
    uri: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A named expression.

    Attributes:
        name: An identifier.
        arguments: Names of its arguments, in order.
        expression: A rank expression, on one line.
        is_inline: Whether Vespa is asked to put its body in the place of each call, which it does
            if there are no arguments.
    """

    name: str
    arguments: tuple[str, ...] = ()
    expression: str
    is_inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A model that expressions run as ``onnx(name)``.

    Attributes:
        name: An identifier.
        file: Path in the application package; empty if it stands elsewhere.
        uri: Address that Vespa fetches it from; empty if it stands elsewhere.
        inputs: Input of the graph → the feature or function that is put in.
        outputs: Output of the graph → its name in expressions.
        settings: How it is run, as ``gpu-device: 0``; no value of it depends on them.
    """

    name: str
    file: str = ""
    uri: str = ""
    inputs: Pairs = ()
    outputs: Pairs = ()
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerank:
    """The second or the global phase; each part may come from a parent.

    Attributes:
        expression: A rank expression, on one line; empty to inherit it.
        rerank_count: Hits ranked again, on each content node in the second phase.
        total_rerank_count: Hits ranked again on all content nodes together; second phase only.
        drop_limit: Hits with this score or a lower one are dropped.
    """

    expression: str = ""
    rerank_count: int | None = None
    total_rerank_count: int | None = None
    drop_limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchPhase:
    """Which documents are looked at when too many match.

    Attributes:
        attribute: The attribute whose best documents are looked at.
        max_hits: Documents looked at, on each content node; ``None`` if only a total is stated.
        total_max_hits: Documents looked at on all content nodes together.
        is_ascending: Whether low values are the best ones.
        max_filter_coverage: Share of documents that the limit may leave out.
        evaluation_point: Share of documents after which the hits are estimated.
        pre_post_filter_tipping_point: When the limit is applied after the query.

    Source: MatchPhaseSettings, Vespa 8.700.24.
    """

    attribute: str
    max_hits: int | None = None
    total_max_hits: int | None = None
    is_ascending: bool = False
    max_filter_coverage: float = 0.2
    evaluation_point: float = 0.2
    pre_post_filter_tipping_point: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """How many groups of documents the match phase keeps.

    Attributes:
        attribute: The attribute whose values make the groups.
        min_groups: Groups that are kept.
        cutoff_factor: How much larger than its share a group may be.
        is_strict: Whether the cutoff is kept strictly.

    Source: DiversitySettings, Vespa 8.700.24.
    """

    attribute: str
    min_groups: int
    cutoff_factor: float = 10.0
    is_strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRank:
    """What a rank profile says of one field.

    Attributes:
        field: Name of the field or index.
        weight: Weight in nativeRank and its relatives, 100 being Vespa's own.
        rank_type: Vespa's word for tables of nativeRank.
        is_filter: Whether its terms are matched without information for ranking.
        filter_threshold: Share of documents from which on a term is such a filter.
        element_gap: Distance between the elements of an array, or ``infinity``.
    """

    field: str
    weight: int | None = None
    rank_type: str = ""
    is_filter: bool = False
    filter_threshold: float | None = None
    element_gap: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A change of an attribute of documents that were ranked.

    Attributes:
        phase: ``on-match``, ``on-first-phase``, ``on-second-phase`` or ``on-summary``.
        attribute: The attribute.
        operation: ``=``, ``+=`` or ``-=`` and a number.
    """

    phase: str
    attribute: str
    operation: str


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
        summary_features: Features that the summary of a hit carries.
        summary_features_inherit: As for match features.
        rank_features: Features that are dumped when a query asks for them.
        empty_features: Lists of features that are stated and empty, so that those of the parents
            do not count: ``match-features``, ``summary-features``, ``rank-features``.
        first_phase_drop_limit: Hits with this score or a lower one are dropped.
        properties: Settings of rank features (``bm25(title).k1``); a name may stand several times.
        settings: All that a word and a number say, as ``("num-threads-per-search", "4")``; with
            the block's name before it for those in one: ``weakand.stopword-limit``. Sorted.
        onnx_models: Models of this profile.
        match_phase: Which documents are looked at when too many match.
        diversity: Groups that the match phase keeps.
        field_ranks: What it says of single fields.
        mutations: Changes of attributes.
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
    summary_features: tuple[str, ...] = ()
    summary_features_inherit: tuple[str, ...] = ()
    rank_features: tuple[str, ...] = ()
    empty_features: tuple[str, ...] = ()
    first_phase_drop_limit: float | None = None
    properties: Pairs = ()
    settings: Pairs = ()
    onnx_models: tuple[OnnxModel, ...] = ()
    match_phase: MatchPhase | None = None
    diversity: Diversity | None = None
    field_ranks: tuple[FieldRank, ...] = ()
    mutations: tuple[Mutation, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", tuple(sorted(self.settings)))

    def setting(self, name: str, default: str = "") -> str:
        """Return the text of a setting, or the default if it is not stated."""
        return dict(self.settings).get(name, default)

    def settings_of(self, block: str) -> Pairs:
        """Return word and value of the settings of a block; an empty name for those in none."""
        split = [(name.rpartition("."), value) for name, value in self.settings]
        return tuple((word, value) for (place, _, word), value in split if place == block)

    @property
    def input_types(self) -> dict[str, TensorType]:
        """Name of each input → its type."""
        return {each.name: each.type for each in self.inputs}
