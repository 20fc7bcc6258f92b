"""Rank profiles with everything that they inherit, as Vespa puts them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from vespa_colbert.app.profile import Constant, Function, Input, RankProfile, Rerank
from vespa_colbert.errors import SpecError

__all__ = ["flatten", "inheritance_faults"]

BUILT_IN = (
    RankProfile(name="default"),
    RankProfile(name="unranked", first_phase="value(0)"),
)
"""Profiles that every schema has and may replace.

Source: DefaultRankProfile and UnrankedRankProfile, Vespa 8.700.24.
"""

DEFAULT_FIRST_PHASE = "nativeRank"
DEFAULT_RERANK_COUNT = 100
"""Source: indexproperties.cpp, HeapSize, and GlobalPhaseSetup, Vespa 8.700.24."""

DEEPEST = 100
"""Parents in a row that are followed."""

Part = TypeVar("Part", Input, Constant, Function)
Value = TypeVar("Value")


def flatten(schema: str, profiles: Sequence[RankProfile], name: str) -> RankProfile:
    """Return the profile of that name with everything it inherits and Vespa's defaults.

    Args:
        schema: Name of the schema, for messages.
        profiles: All profiles of the schema, as written.
        name: The profile wanted.

    Raises:
        SpecError: If there is no such profile, a parent is not known, parents form a cycle, or two
            parents give different things of one name.

    Source: RankProfile, Vespa 8.700.24.
    """
    merged = _Inheritance(schema, profiles).merged(name, ())
    return replace(
        merged,
        inherits=(),
        match_features_inherit=(),
        first_phase=merged.first_phase or DEFAULT_FIRST_PHASE,
        second_phase=_with_default(merged.second_phase),
        global_phase=_with_default(merged.global_phase),
    )


def inheritance_faults(profiles: Sequence[RankProfile]) -> Iterator[str]:
    """Yield why profiles cannot be put together: unknown parents, cycles, contradictions."""
    inheritance = _Inheritance("", profiles)
    found = set()
    for profile in profiles:
        try:
            inheritance.merged(profile.name, ())
        except SpecError as error:
            found.add(str(error))
    yield from sorted(found)


class _Inheritance:
    """The profiles of one schema, each put together once."""

    def __init__(self, schema: str, profiles: Sequence[RankProfile]) -> None:
        self.where = f"schema {schema}: " if schema else ""
        self.written = {profile.name: profile for profile in (*BUILT_IN, *profiles)}
        self.done: dict[str, RankProfile] = {}

    def merged(self, name: str, children: tuple[str, ...]) -> RankProfile:
        """Return the profile with what it inherits, defaults not yet filled in.

        Raises:
            SpecError: If a profile is not known, or inherits itself.
        """
        if name in children or len(children) > DEEPEST:
            chain = " → ".join((*children, name)[-5:])
            raise SpecError(f"{self.where}rank-profile {name!r} inherits itself: {chain}")
        if name not in self.written:
            by = f"rank-profile {children[-1]!r} inherits {name!r}: " if children else ""
            known = ", ".join(self.written)
            raise SpecError(f"{self.where}{by}expected a profile among {known}, got {name!r}")
        if name not in self.done:
            profile = self.written[name]
            # "default" naming itself as its parent is an old habit that Vespa overlooks.
            names = [each for each in profile.inherits if (name, each) != ("default", "default")]
            parents = [self.merged(each, (*children, name)) for each in names]
            self.done[name] = _merge(profile, parents, f"{self.where}rank-profile {name!r}")
        return self.done[name]


def _merge(profile: RankProfile, parents: list[RankProfile], what: str) -> RankProfile:
    """Return the profile with the parts of its parents, themselves already put together."""
    if not parents and not profile.match_features_inherit:
        return profile
    return replace(
        profile,
        inputs=_named_parts(
            profile.inputs, [each.inputs for each in parents], f"{what}: input", shared=True
        ),
        constants=_named_parts(
            profile.constants, [each.constants for each in parents], f"{what}: constant"
        ),
        functions=_named_parts(
            profile.functions, [each.functions for each in parents], f"{what}: function"
        ),
        first_phase=profile.first_phase
        or _only([each.first_phase for each in parents], f"{what}: first-phase")
        or "",
        second_phase=_rerank(
            profile.second_phase, [each.second_phase for each in parents], f"{what}: second-phase"
        ),
        global_phase=_rerank(
            profile.global_phase, [each.global_phase for each in parents], f"{what}: global-phase"
        ),
        match_features=_match_features(profile, parents, what),
    )


def _only(values: list[Value], what: str) -> Value | None:
    """Return the one value that parents give, or ``None`` if none gives any.

    Raises:
        SpecError: If they give several.
    """
    distinct = list(dict.fromkeys(value for value in values if value))
    if len(distinct) > 1:
        raise SpecError(f"{what}: its parents give different ones; state it in the profile itself")
    return distinct[0] if distinct else None


def _named_parts(
    own: tuple[Part, ...], inherited: list[tuple[Part, ...]], what: str, *, shared: bool = False
) -> tuple[Part, ...]:
    """Return parts by name, own ones in the place of inherited ones.

    Args:
        own: Parts of the profile itself.
        inherited: Parts of each parent.
        what: The profile and the kind of part, for messages.
        shared: Whether two parents may give equal ones.

    Raises:
        SpecError: If two parents give a part of one name.
    """
    parts: dict[str, Part] = {}
    for each in (part for parent in inherited for part in parent):
        present = parts.get(each.name)
        if present is not None and not (shared and present == each):
            raise SpecError(f"{what} {each.name!r}: two of its parents have it")
        parts[each.name] = each
    parts.update({each.name: each for each in own})
    return tuple(parts.values())


def _rerank(own: Rerank | None, inherited: list[Rerank | None], what: str) -> Rerank | None:
    """Return a phase whose expression and counts are inherited one by one."""
    own, given = own or Rerank(), [each or Rerank() for each in inherited]
    count, total = own.rerank_count, own.total_rerank_count
    merged = Rerank(
        expression=own.expression or _only([each.expression for each in given], what) or "",
        rerank_count=_only_count([each.rerank_count for each in given], what)
        if count is None
        else count,
        total_rerank_count=_only_count([each.total_rerank_count for each in given], what)
        if total is None
        else total,
    )
    return None if merged == Rerank() else merged


def _only_count(counts: list[int | None], what: str) -> int | None:
    only = _only([(count,) for count in counts if count is not None], f"{what}: rerank-count")
    return only[0] if only else None


def _match_features(profile: RankProfile, parents: list[RankProfile], what: str) -> tuple[str, ...]:
    """Return match features: own ones replace those of parents unless they are added.

    Raises:
        SpecError: If features are taken from a profile that is no parent.
    """
    if not profile.match_features_inherit:
        inherited = [each.match_features for each in parents]
        return profile.match_features or _only(inherited, f"{what}: match-features") or ()
    features = list[str]()
    for name in profile.match_features_inherit:
        if name not in profile.inherits:
            raise SpecError(f"{what}: match-features inherits {name!r}, which is no parent")
        features += next(each for each in parents if each.name == name).match_features
    return tuple(dict.fromkeys((*features, *profile.match_features)))


def _with_default(phase: Rerank | None) -> Rerank | None:
    """Return the phase with a count of hits, or ``None`` if it has no expression."""
    if phase is None or not phase.expression:
        return None
    if phase.rerank_count is None and phase.total_rerank_count is None:
        return replace(phase, rerank_count=DEFAULT_RERANK_COUNT)
    return phase
