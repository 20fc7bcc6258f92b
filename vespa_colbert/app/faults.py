"""Collects what is wrong with the parts of a schema, so that all of it is reported together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from vespa_colbert.app.field import Field
from vespa_colbert.app.field_settings import (
    ATTRIBUTE_WORDS,
    INDEX_WORDS,
    MATCH_WORDS,
    setting_fault,
)
from vespa_colbert.app.profile import Constant, Function, Input, RankProfile, Rerank
from vespa_colbert.app.setting_faults import field_setting_faults, setting_faults
from vespa_colbert.app.texts import (
    BLOCK_WORDS,
    expression_fault,
    feature_fault,
    field_name_fault,
    function_name_fault,
    literal_fault,
    name_fault,
    path_fault,
    profile_name_fault,
    setting_word_fault,
    statement_fault,
    type_fault,
    uri_fault,
)

__all__ = ["NO_NUMBER", "constant_faults", "field_faults", "named", "profile_faults", "repeated"]


NO_INPUT = BLOCK_WORDS | {"true", "false"}
"""Names that Vespa takes for an input or a constant, and reads as a truth value where it is used.

Source: RankingExpressionParser.jj, Vespa 8.700.24.
"""

NO_NUMBER = NO_INPUT | {"attribute", "query"}
"""Names that no constant number may have: Vespa puts it in the place of all attributes or inputs.

Source: ConstantDereferencer, Vespa 8.700.24.
"""


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


def named(what: str, *faults: str) -> Iterator[str]:
    """Return the faults that there are, each saying what it is about."""
    return (f"{what}: {fault}" for fault in faults if fault)


def repeated(what: str, parts: Iterable[Named]) -> Iterator[str]:
    """Return a fault for each name that stands more than once."""
    counts = Counter(part.name for part in parts)
    return (f"{what} {name[:80]!r}: there are {n}" for name, n in counts.items() if n > 1)


def field_faults(field: Field) -> Iterator[str]:
    """Yield why Vespa would not take the field."""
    yield field_name_fault(field.name)
    yield type_fault(field.type)
    yield from (statement_fault(statement) for statement in field.indexing)
    for what, settings, known in (
        ("index", field.index, INDEX_WORDS),
        ("attribute", field.attribute, ATTRIBUTE_WORDS),
        ("match", field.match, MATCH_WORDS),
    ):
        yield from named(what, *(setting_fault(setting, known) for setting in settings))
    yield from named("stemming", setting_word_fault(field.stemming))
    yield from named("normalizing", setting_word_fault(field.normalizing))
    yield from field_setting_faults(field)
    if {"paged", "fast-rank"} <= set(field.attribute):
        yield "attribute: paged and fast-rank exclude each other"


def profile_faults(profile: RankProfile) -> Iterator[str]:
    """Yield why Vespa would not take the rank profile, parents aside."""
    yield profile_name_fault(profile.name)
    for each in profile.inputs:
        yield from named(f"input {each.name[:80]!r}", *_input_faults(each))
    for constant in profile.constants:
        yield from named(f"constant {constant.name[:80]!r}", *constant_faults(constant))
    for function in profile.functions:
        yield from named(f"function {function.name[:80]!r}", *_function_faults(function))
    if profile.first_phase:
        yield from named("first-phase", expression_fault(profile.first_phase))
    yield from named("second-phase", *_rerank_faults(profile.second_phase))
    yield from named("global-phase", *_rerank_faults(profile.global_phase))
    if profile.global_phase and profile.global_phase.total_rerank_count is not None:
        yield "global-phase: there is no total-rerank-count here, only rerank-count"
    for word, features in (
        ("match-features", profile.match_features),
        ("summary-features", profile.summary_features),
        ("rank-features", profile.rank_features),
    ):
        yield from named(word, *(feature_fault(each) for each in features))
    yield from setting_faults(profile)
    yield from repeated("input", profile.inputs)
    yield from repeated("constant", profile.constants)
    yield from repeated("function", profile.functions)
    yield from repeated("onnx-model", profile.onnx_models)


def constant_faults(constant: Constant, *, in_file: bool = False) -> Iterator[str]:
    """Yield why Vespa would not take the constant.

    Args:
        constant: The constant.
        in_file: Whether it must stand in a file, as the constants of a schema do.
    """
    yield name_fault(constant.name, kept=NO_NUMBER if constant.type.is_number else NO_INPUT)
    stated = [bool(each) for each in (constant.value, constant.file, constant.uri)]
    if sum(stated) != 1 or (in_file and constant.value):
        yield f"expected {'a file' if in_file else 'either a value or a file'}"
    if constant.value:
        yield literal_fault(constant.value)
    if constant.file:
        yield path_fault(constant.file)
    if constant.uri:
        yield uri_fault(constant.uri)
        if not in_file:
            yield "only the constants of a schema may be fetched from a uri"
    if in_file and constant.type.is_number:
        yield "expected a tensor type, got double"


def _input_faults(each: Input) -> Iterator[str]:
    yield name_fault(each.name, kept=NO_INPUT)
    if each.default:
        yield literal_fault(each.default)


def _function_faults(function: Function) -> Iterator[str]:
    yield function_name_fault(function.name)
    for argument in function.arguments:
        yield from named(f"argument {argument[:80]!r}", name_fault(argument))
    yield expression_fault(function.expression)


def _rerank_faults(phase: Rerank | None) -> Iterator[str]:
    if phase is None:
        return
    if phase.expression:
        yield expression_fault(phase.expression)
    for name, count in (
        ("rerank-count", phase.rerank_count),
        ("total-rerank-count", phase.total_rerank_count),
    ):
        if count is not None and (isinstance(count, bool) or count < 0):
            yield f"{name}: expected 0 or more, got {count}"
    if phase == Rerank():
        yield "expected an expression or a count"
