"""One rank profile with the parts that its parents give it.

Source: RankProfile, Vespa 8.700.24.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from vespa_colbert.app.profile import (
    Constant,
    FieldRank,
    Function,
    Input,
    Mutation,
    OnnxModel,
    RankProfile,
    Rerank,
)
from vespa_colbert.errors import SpecError

__all__ = ["by_field", "merge"]

Part = TypeVar("Part", Input, Constant, Function, OnnxModel)
Value = TypeVar("Value")
Shared = tuple[tuple[Constant, ...], tuple[OnnxModel, ...]]


def merge(
    profile: RankProfile, parents: Sequence[RankProfile], shared: Shared, what: str
) -> RankProfile:
    """Return a profile with the parts of its parents, themselves already put together.

    Args:
        profile: As written.
        parents: In the order in which it names them.
        shared: Constants and models that the schema gives to every profile of it.
        what: The profile, for messages.

    Raises:
        SpecError: If two parents give different things of one name.
    """
    constants, models = shared
    return _with_settings(
        replace(
            profile,
            inputs=_named(profile.inputs, [each.inputs for each in parents], f"{what}: input"),
            constants=_named(
                (*constants, *profile.constants),
                [each.constants for each in parents],
                f"{what}: constant",
            ),
            onnx_models=_named(
                (*models, *profile.onnx_models),
                [each.onnx_models for each in parents],
                f"{what}: onnx-model",
            ),
            functions=_functions(profile, parents, what),
            first_phase=profile.first_phase
            or _only([each.first_phase for each in parents], f"{what}: first-phase")
            or "",
            second_phase=_rerank(profile, parents, "second_phase", f"{what}: second-phase"),
            global_phase=_rerank(profile, parents, "global_phase", f"{what}: global-phase"),
            match_features=_features(profile, parents, "match_features", what),
            summary_features=_features(profile, parents, "summary_features", what),
            rank_features=_features(profile, parents, "rank_features", what),
        ),
        parents,
        what,
    )


def _with_settings(profile: RankProfile, parents: Sequence[RankProfile], what: str) -> RankProfile:
    """Return a profile with what its parents say beside expressions."""
    limits = [each.first_phase_drop_limit for each in parents]
    limit = profile.first_phase_drop_limit
    return replace(
        profile,
        first_phase_drop_limit=_only_number(limits, f"{what}: rank-score-drop-limit")
        if limit is None
        else limit,
        properties=_properties(profile, parents, what),
        settings=_settings(profile, parents, what),
        match_phase=profile.match_phase
        or _only([each.match_phase for each in parents], f"{what}: match-phase"),
        diversity=profile.diversity
        or _only([each.diversity for each in parents], f"{what}: diversity"),
        field_ranks=_field_ranks(profile, parents, what),
        mutations=_mutations(profile, parents, what),
    )


def _only(values: Sequence[Value], what: str) -> Value | None:
    """Return the one value that parents give, or ``None`` if none gives any.

    Raises:
        SpecError: If they give several.
    """
    distinct = list(dict.fromkeys(value for value in values if value))
    if len(distinct) > 1:
        raise SpecError(f"{what}: its parents give different ones; state it in the profile itself")
    return distinct[0] if distinct else None


def _only_number(numbers: Sequence[Value | None], what: str) -> Value | None:
    """Return the one number that parents give, which may be 0."""
    only = _only([(number,) for number in numbers if number is not None], what)
    return only[0] if only else None


def _named(own: tuple[Part, ...], inherited: list[tuple[Part, ...]], what: str) -> tuple[Part, ...]:
    """Return parts by name, own ones in the place of inherited ones.

    Raises:
        SpecError: If two parents give different parts of one name.
    """
    parts: dict[str, Part] = {}
    for each in (part for parent in inherited for part in parent):
        if parts.setdefault(each.name, each) != each:
            raise SpecError(f"{what} {each.name!r}: two of its parents have it")
    parts.update({each.name: each for each in own})
    return tuple(parts.values())


def _functions(
    profile: RankProfile, parents: Sequence[RankProfile], what: str
) -> tuple[Function, ...]:
    """Return functions by name; not even equal ones may come from two parents.

    Raises:
        SpecError: If two parents have a function of one name.
    """
    parts: dict[str, Function] = {}
    for each in (function for parent in parents for function in parent.functions):
        if each.name in parts:
            raise SpecError(f"{what}: function {each.name!r}: two of its parents have it")
        parts[each.name] = each
    parts.update({each.name: each for each in profile.functions})
    return tuple(parts.values())


def _rerank(
    profile: RankProfile, parents: Sequence[RankProfile], name: str, what: str
) -> Rerank | None:
    """Return a phase whose expression and numbers are inherited one by one."""
    own: Rerank = getattr(profile, name) or Rerank()
    given: list[Rerank] = [getattr(each, name) or Rerank() for each in parents]
    counts = [each.rerank_count for each in given]
    totals = [each.total_rerank_count for each in given]
    limits = [each.drop_limit for each in given]
    merged = Rerank(
        expression=own.expression or _only([each.expression for each in given], what) or "",
        rerank_count=_only_number(counts, f"{what}: rerank-count")
        if own.rerank_count is None
        else own.rerank_count,
        total_rerank_count=_only_number(totals, f"{what}: total-rerank-count")
        if own.total_rerank_count is None
        else own.total_rerank_count,
        drop_limit=_only_number(limits, f"{what}: rank-score-drop-limit")
        if own.drop_limit is None
        else own.drop_limit,
    )
    return None if merged == Rerank() else merged


def _features(
    profile: RankProfile, parents: Sequence[RankProfile], kind: str, what: str
) -> tuple[str, ...]:
    """Return features: own ones replace those of parents unless they are added.

    Raises:
        SpecError: If features are taken from a profile that is no parent.
    """
    own: tuple[str, ...] = getattr(profile, kind)
    word = kind.replace("_", "-")
    names = () if kind == "rank_features" else getattr(profile, f"{kind}_inherit")
    if not names:
        if own or word in profile.empty_features:
            return tuple(dict.fromkeys(own))
        inherited: list[frozenset[str]] = [frozenset(getattr(each, kind)) for each in parents]
        only = _only(inherited, f"{what}: {word}")
        return (
            next((getattr(each, kind) for each in parents if getattr(each, kind)), ())
            if only
            else ()
        )
    features = list[str]()
    for name in names:
        if name not in profile.inherits:
            raise SpecError(f"{what}: {word} inherits {name!r}, which is no parent")
        features += next((getattr(each, kind) for each in parents if each.name == name), ())
    return tuple(dict.fromkeys((*features, *own)))


def _properties(
    profile: RankProfile, parents: Sequence[RankProfile], what: str
) -> tuple[tuple[str, str], ...]:
    """Return properties; all values of a name together are replaced by own ones."""
    inherited = _only([each.properties for each in parents], f"{what}: rank-properties") or ()
    names = {name for name, _ in profile.properties}
    return (*(pair for pair in inherited if pair[0] not in names), *profile.properties)


def _settings(
    profile: RankProfile, parents: Sequence[RankProfile], what: str
) -> tuple[tuple[str, str], ...]:
    """Return settings, each the profile's own or the one that its parents give."""
    own = dict(profile.settings)
    names = dict.fromkeys(name for parent in parents for name, _ in parent.settings)
    inherited = {
        name: _only([parent.setting(name) for parent in parents], f"{what}: {name}") or ""
        for name in names
        if name not in own
    }
    return (*inherited.items(), *own.items())


def _mutations(
    profile: RankProfile, parents: Sequence[RankProfile], what: str
) -> tuple[Mutation, ...]:
    """Return changes of attributes; those of a phase are replaced by own ones."""
    inherited = _only([each.mutations for each in parents], f"{what}: mutate") or ()
    phases = {each.phase for each in profile.mutations}
    return (*(each for each in inherited if each.phase not in phases), *profile.mutations)


def _field_ranks(
    profile: RankProfile, parents: Sequence[RankProfile], what: str
) -> tuple[FieldRank, ...]:
    """Return what is said of fields, one by field; a filter-threshold is not inherited."""
    own = by_field(profile.field_ranks)
    names = dict.fromkeys(each.field for parent in parents for each in parent.field_ranks)
    given = [by_field(parent.field_ranks) for parent in parents]
    merged = []
    for name in dict.fromkeys((*names, *own)):
        mine = own.get(name, FieldRank(field=name))
        theirs = [each[name] for each in given if name in each]
        merged.append(_field_rank(mine, theirs, f"{what}: {name}"))
    return tuple(each for each in merged if each != FieldRank(field=each.field))


def by_field(ranks: Sequence[FieldRank]) -> dict[str, FieldRank]:
    """Return name of a field → all that is said of it."""
    found: dict[str, FieldRank] = {}
    for each in ranks:
        before = found.get(each.field, FieldRank(field=each.field))
        found[each.field] = _over(before, each)
    return found


def _over(below: FieldRank, above: FieldRank) -> FieldRank:
    """Return what either says, the second one first."""
    threshold = above.filter_threshold
    return FieldRank(
        field=above.field,
        weight=below.weight if above.weight is None else above.weight,
        rank_type=above.rank_type or below.rank_type,
        is_filter=above.is_filter or below.is_filter,
        filter_threshold=below.filter_threshold if threshold is None else threshold,
        element_gap=above.element_gap or below.element_gap,
    )


def _field_rank(mine: FieldRank, theirs: Sequence[FieldRank], what: str) -> FieldRank:
    """Return what a profile and its parents say of a field."""
    inherited = FieldRank(
        field=mine.field,
        weight=mine.weight or _only_number([each.weight for each in theirs], f"{what}: weight"),
        rank_type=mine.rank_type
        or _only([each.rank_type for each in theirs], f"{what}: rank-type")
        or "",
        is_filter=any(each.is_filter for each in theirs),
        element_gap=mine.element_gap
        or _only([each.element_gap for each in theirs], f"{what}: element-gap")
        or "",
    )
    return _over(inherited, mine)
