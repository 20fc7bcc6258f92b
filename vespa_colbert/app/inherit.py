"""Which profile a name means, across schemas that inherit each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from vespa_colbert.app.merge import merge
from vespa_colbert.app.profile import Constant, OnnxModel, RankProfile, Rerank
from vespa_colbert.errors import SpecError

__all__ = ["Family", "flatten", "inheritance_faults", "profile_names"]

BUILT_IN = (
    RankProfile(name="default"),
    RankProfile(
        name="unranked",
        first_phase="value(0)",
        second_phase=Rerank(rerank_count=0),
        settings=(("ignore-default-rank-features", "true"), ("first-phase.keep-rank-count", "0")),
    ),
)
"""Profiles that every schema has and may replace.

Source: DefaultRankProfile and UnrankedRankProfile, Vespa 8.700.24.
"""

DEFAULT_FIRST_PHASE = "nativeRank"
DEFAULT_RERANK_COUNT = 100
"""Source: indexproperties.cpp, HeapSize, and GlobalPhaseSetup, Vespa 8.700.24."""

DEEPEST = 100
"""Parents in a row that are followed."""


class Family(Protocol):
    """What of a schema takes part in the inheritance of profiles."""

    @property
    def name(self) -> str:
        """Name of the schema."""
        ...

    @property
    def rank_profiles(self) -> Sequence[RankProfile]:
        """Its profiles, as written."""
        ...

    @property
    def document_parents(self) -> Sequence[Family]:
        """The schemas of the documents that its document inherits."""
        ...

    @property
    def schema_parent(self) -> Family | None:
        """The schema that it inherits."""
        ...

    @property
    def all_constants(self) -> Sequence[Constant]:
        """Constants for every profile, with those of the schema that it inherits."""
        ...

    @property
    def all_onnx_models(self) -> Sequence[OnnxModel]:
        """Models for every profile, with those of the schema that it inherits."""
        ...


def flatten(schema: Family, name: str) -> RankProfile:
    """Return the profile of that name with everything it inherits and Vespa's defaults.

    Args:
        schema: The schema that has it, or inherits the one that has it.
        name: The profile wanted.

    Raises:
        SpecError: If there is no such profile, a parent is not known, parents form a cycle, or two
            parents give different things of one name.

    Source: RankProfile and RankProfileRegistry, Vespa 8.700.24.
    """
    home = _home(schema, name)
    if home is None:
        known = ", ".join(profile_names(schema))
        raise SpecError(f"schema {schema.name}: expected a profile among {known}, got {name!r}")
    merged = _Inheritance(f"schema {schema.name}: ").merged(home, name, ())
    return replace(
        merged,
        inherits=(),
        match_features_inherit=(),
        summary_features_inherit=(),
        empty_features=(),
        first_phase=merged.first_phase or DEFAULT_FIRST_PHASE,
        second_phase=_with_default(merged.second_phase),
        global_phase=_with_default(merged.global_phase),
    )


def profile_names(schema: Family) -> tuple[str, ...]:
    """Return the names of all profiles that a query may ask for, those of Vespa first.

    Source: RankProfileRegistry.rankProfilesOf, Vespa 8.700.24.
    """
    parent = () if schema.schema_parent is None else profile_names(schema.schema_parent)
    names = (*(each.name for each in (*BUILT_IN, *schema.rank_profiles)), *parent)
    return tuple(dict.fromkeys(names))


def inheritance_faults(schema: Family) -> Iterator[str]:
    """Yield why profiles cannot be put together: unknown parents, cycles, contradictions."""
    inheritance = _Inheritance("")
    found = set()
    for profile in schema.rank_profiles:
        try:
            inheritance.merged(schema, profile.name, ())
        except SpecError as error:
            found.add(str(error))
    yield from sorted(found)


def _written(schema: Family) -> dict[str, RankProfile]:
    return {profile.name: profile for profile in (*BUILT_IN, *schema.rank_profiles)}


def _home(schema: Family | None, name: str) -> Family | None:
    """Return the schema that has a profile that a query may ask for, or ``None``."""
    while schema is not None and name not in _written(schema):
        schema = schema.schema_parent
    return schema


def _owner(schema: Family, name: str, child: str) -> Family | None:
    """Return the schema whose profile of that name is meant as a parent, or ``None``.

    A profile that names itself means the one of a document that its own inherits.

    Source: RankProfile.resolveInheritedProfile, Vespa 8.700.24.
    """
    own = schema if name in _written(schema) else None
    if own is not None and name != child:
        return own
    found = (each for parent in schema.document_parents if (each := _owner(parent, name, "")))
    return next(found, own)


class _Inheritance:
    """The profiles of a schema and its parents, each put together once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.done: dict[tuple[str, str], RankProfile] = {}

    def merged(self, schema: Family, name: str, children: tuple[str, ...]) -> RankProfile:
        """Return a profile of a schema with what it inherits, defaults not yet filled in.

        Raises:
            SpecError: If a profile is not known, or inherits itself.
        """
        key = f"{schema.name}.{name}"
        if key in children or len(children) > DEEPEST:
            names = [each.partition(".")[2] for each in (*children, key)[-5:]]
            chain = " → ".join(names)
            raise SpecError(f"{self.where}rank-profile {name!r} inherits itself: {chain}")
        if (schema.name, name) not in self.done:
            profile = _written(schema)[name]
            parents = [
                self.parent(schema, each, (*children, key))
                for each in profile.inherits
                # "default" naming itself as its parent is an old habit that Vespa overlooks.
                if (name, each) != ("default", "default")
            ]
            what = f"{self.where}rank-profile {name!r}"
            shared = (tuple(schema.all_constants), tuple(schema.all_onnx_models))
            self.done[schema.name, name] = merge(profile, parents, shared, what)
        return self.done[schema.name, name]

    def parent(self, schema: Family, name: str, children: tuple[str, ...]) -> RankProfile:
        """Return the profile that a profile of a schema names as its parent.

        Raises:
            SpecError: If there is none of that name.
        """
        child = children[-1].partition(".")[2]
        owner = _owner(schema, name, child)
        if owner is None:
            by = f"rank-profile {child!r} inherits {name!r}: "
            known = ", ".join(_written(schema))
            raise SpecError(f"{self.where}{by}expected a profile among {known}, got {name!r}")
        return self.merged(owner, name, children)


def _with_default(phase: Rerank | None) -> Rerank | None:
    """Return the phase with a count of hits, or ``None`` if it has no expression."""
    if phase is None or not phase.expression:
        return None
    if phase.rerank_count is None and phase.total_rerank_count is None:
        return replace(phase, rerank_count=DEFAULT_RERANK_COUNT)
    return phase
