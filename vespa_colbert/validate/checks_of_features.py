"""Checks of the names in rank expressions: features, fields, inputs."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.schema import Schema
from vespa_colbert.rank.features.name import FeatureName, read_feature_name
from vespa_colbert.validate.findings import Fault
from vespa_colbert.validate.names import KNOWN
from vespa_colbert.validate.package import Package
from vespa_colbert.validate.ranking import Profile, Use

__all__ = [
    "bm25_not_enabled",
    "bm25_of_no_index",
    "container_only",
    "distance_of_no_vectors",
    "tensor_input_not_declared",
    "unknown_features",
    "unknown_fields",
    "unused_inputs",
    "value_input_not_declared",
]

OF_FIELDS = frozenset({
    "age", "attributeMatch", "elementCompleteness", "elementSimilarity", "fieldLength",
    "fieldMatch", "fieldTermMatch", "freshness", "matchCount", "matches", "nativeAttributeMatch",
    "nativeDotProduct", "nativeFieldMatch", "nativeProximity", "termDistance", "textSimilarity",
})  # fmt: skip
"""Features whose first argument is a field. Source: their describe methods, Vespa 8.700.24."""

OF_THE_CONTAINER = frozenset({
    "normalize_linear",
    "reciprocal_rank",
    "reciprocal_rank_fusion",
    "relevanceScore",
})
"""Features that only the global phase has, which runs in the container."""

ON_CONTENT_NODES = frozenset({"first-phase", "second-phase", "match-features", "summary-features"})


def unknown_features(package: Package) -> Iterator[Fault]:
    """Yield names that are no function of the profile and no feature of Vespa."""
    for profile in package.profiles:
        for use in profile.uses:
            name = use.call.name
            if use.maybe_dimension or name in KNOWN or profile.function_of(use.call):
                continue
            if use.call.arguments is None and name in profile.constants:
                continue
            if name in profile.spec.input_types and use.call.arguments is None:
                remedy = f"write query({name})"
            else:
                remedy = "correct the name, or add a function of that name to the profile"
            yield Fault(
                place=use.written.place(use.call.position),
                about=use.call.feature_name,
                reason=(
                    f"{use.call.feature_name} is neither a function of {profile.where} nor a rank "
                    "feature: the profile cannot be set up on content nodes"
                ),
                remedy=remedy,
            )


def _features(package: Package, *names: str) -> Iterator[tuple[Profile, Use, FeatureName]]:
    """Yield every use of some features."""
    for profile in package.profiles:
        for use in profile.uses:
            if use.call.name in names and profile.function_of(use.call) is None:
                yield profile, use, read_feature_name(use.call.feature_name)


def bm25_of_no_index(package: Package) -> Iterator[Fault]:
    """Yield bm25 of what is no index."""
    for profile, use, feature in _features(package, "bm25"):
        name = _bm25_field(feature)
        if name and not _is_index(profile.schema, name):
            yield Fault(
                place=use.written.place(use.call.position),
                about=use.call.feature_name,
                reason=f"bm25({name}): schema {profile.schema.name} has no index of that name",
                remedy="name a field whose indexing has index, with index: enable-bm25",
            )


def bm25_not_enabled(package: Package) -> Iterator[Fault]:
    """Yield bm25 of an index that does not keep what bm25 needs."""
    for profile, use, feature in _features(package, "bm25"):
        schema, name = profile.schema, _bm25_field(feature)
        said = next((each for each in schema.all_fields if each.name == name), None)
        mode = package.services.mode(schema.name) if package.services else "index"
        if said is None or not said.is_index or mode != "index":
            continue
        named = [each.settings for each in schema.indexes if each.name == name]
        if not any("enable-bm25" in settings for settings in (said.index, *named)):
            yield Fault(
                place=use.written.place(use.call.position),
                about=use.call.feature_name,
                reason=f"bm25({name}): field {name} states no enable-bm25, with which its index "
                "keeps what bm25 reads",
                remedy=f"add index: enable-bm25 to field {name}, and feed again",
            )


def _bm25_field(feature: FeatureName) -> str:
    words = feature.words()
    return words[0].removeprefix("field:") if words else ""


def _is_index(schema: Schema, name: str) -> bool:
    fields = schema.all_fields
    if any(each.name == name and each.is_index for each in fields):
        return True
    others = {other.name for each in fields for other in each.other_indexes}
    return name in others | {each.name for each in schema.indexes}


def distance_of_no_vectors(package: Package) -> Iterator[Fault]:
    """Yield closeness and distance of what no nearestNeighbor can look at."""
    for profile, use, feature in _features(package, "closeness", "distance"):
        words = feature.words()
        if len(words) == 2 and words[0] == "label":
            continue
        name = words[-1] if words else ""
        if name and not _has_places(profile.schema, name):
            yield Fault(
                place=use.written.place(use.call.position),
                about=use.call.feature_name,
                reason=f"{feature.text}: {name} is no attribute of schema {profile.schema.name} "
                "that holds tensors or positions",
                remedy="name a tensor field whose indexing has attribute",
            )


def _has_places(schema: Schema, name: str) -> bool:
    if name in schema.attribute_types:
        return True
    imported = {each.name for each in schema.all_imported_fields}
    return name in imported or any(
        each.name == name and each.is_attribute and ("position" in each.type or "long" in each.type)
        for each in schema.all_fields
    )


def unknown_fields(package: Package) -> Iterator[Fault]:
    """Yield features of fields that the schema does not have."""
    for profile, use, feature in _features(package, *OF_FIELDS):
        names = feature.words()[:1]
        known = _known_fields(profile.schema)
        for name in names:
            if name and name.split(".")[0] not in known:
                yield Fault(
                    place=use.written.place(use.call.position),
                    about=use.call.feature_name,
                    reason=f"{feature.text}: schema {profile.schema.name} has no field {name}",
                    remedy=f"name one of {', '.join(sorted(known))}",
                )


def _known_fields(schema: Schema) -> set[str]:
    fields = schema.all_fields
    found = {each.name for each in fields} | {each.name for each in schema.indexes}
    found |= {each.name for each in schema.all_imported_fields}
    for each in fields:
        found |= {other.name for other in (*each.other_indexes, *each.other_attributes)}
    return found


def container_only(package: Package) -> Iterator[Fault]:
    """Yield features of the global phase that content nodes are to compute."""
    for profile in package.profiles:
        roots = [each for each in profile.roots if each.part in ON_CONTENT_NODES]
        for use in profile.uses_from(roots):
            if use.call.name in OF_THE_CONTAINER and not profile.function_of(use.call):
                yield Fault(
                    place=use.written.place(use.call.position),
                    about=use.call.feature_name,
                    reason=f"{use.call.feature_name} exists in the global phase alone, and "
                    f"{profile.where} needs it on the content nodes",
                    remedy="use it in the expression of global-phase",
                )


def _not_declared(package: Package) -> Iterator[tuple[Profile, Use, str]]:
    """Yield inputs that a profile uses and neither it nor a query profile declares."""
    for profile, use, feature in _features(package, "query"):
        for name in feature.words()[:1]:
            stated = {key for key, _ in profile.spec.properties}
            declared = {*profile.spec.input_types, *package.queries.names}
            if name not in declared and f"query({name})" not in stated:
                yield profile, use, name


def _tensor_inputs(profile: Profile) -> dict[str, str]:
    """Return inputs that are tensors in any profile of the same schema: name → type."""
    return {
        each.name: str(each.type)
        for written in profile.schema.rank_profiles
        for each in written.inputs
        if not each.type.is_number
    }


def tensor_input_not_declared(package: Package) -> Iterator[Fault]:
    """Yield inputs that are tensors in another profile, and taken for numbers in this one."""
    for profile, use, name in _not_declared(package):
        if (kind := _tensor_inputs(profile).get(name)) is not None:
            yield Fault(
                place=use.written.place(use.call.position),
                about=use.call.feature_name,
                reason=f"query({name}) is not declared in {profile.where}, where Vespa takes it "
                f"for a number; another profile declares it as {kind}",
                remedy=f"add query({name}) {kind} to inputs, or inherit the profile that has it",
            )


def value_input_not_declared(package: Package) -> Iterator[Fault]:
    """Yield inputs that nothing declares."""
    for profile, use, name in _not_declared(package):
        if name not in _tensor_inputs(profile):
            yield Fault(
                place=use.written.place(use.call.position),
                about=use.call.feature_name,
                reason=f"query({name}) is declared nowhere: Vespa takes it for a number, which is "
                "0 for every query that does not send it",
                remedy=f"add query({name}) double: 0 to inputs, or correct the name",
            )


def _used_inputs(package: Package) -> dict[tuple[str, str], bool]:
    """Return schema and name of each input that a profile has → whether one of them uses it."""
    used: dict[tuple[str, str], bool] = {}
    for profile in package.profiles:
        names = {use.call.feature_name for use in profile.uses if use.call.name == "query"}
        for each in profile.spec.inputs:
            is_vector = not each.type.is_number and not each.type.mapped
            key = (profile.schema.name, each.name)
            in_use = f"query({each.name})" in names or is_vector or each.is_text
            used[key] = used.get(key, False) or in_use
    return used


def unused_inputs(package: Package) -> Iterator[Fault]:
    """Yield inputs that no profile with them uses.

    A vector may still be the target of a nearestNeighbor in the text of queries, and a text is
    what a searcher reads: neither is a fault.
    """
    used = _used_inputs(package)
    for schema in package.application.schemas:
        for written in schema.rank_profiles:
            for each in written.inputs:
                if not used.get((schema.name, each.name), True):
                    yield Fault(
                        place=package.places.of(
                            "input", schema.name, f"{written.name} {each.name}"
                        ),
                        reason=f"query({each.name}) is declared and no expression uses it",
                        remedy="leave it out, or correct the name where it is meant",
                    )
