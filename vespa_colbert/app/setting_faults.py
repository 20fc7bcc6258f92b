"""Collects what is wrong with what a schema says beside fields' types and expressions."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.field import Field, StructField
from vespa_colbert.app.field_settings import (
    ATTRIBUTE_WORDS,
    INDEX_WORDS,
    MATCH_WORDS,
    RANK_WORDS,
    setting_fault,
)
from vespa_colbert.app.profile import FieldRank, MatchPhase, OnnxModel, RankProfile
from vespa_colbert.app.profile_settings import setting_fault_of
from vespa_colbert.app.texts import (
    expression_fault,
    name_fault,
    path_fault,
    property_fault,
    setting_word_fault,
    statement_fault,
    uri_fault,
)

__all__ = ["field_setting_faults", "onnx_model_faults", "setting_faults"]

MUTATION_PHASES = frozenset({"on-match", "on-first-phase", "on-second-phase", "on-summary"})


def field_setting_faults(field: Field) -> Iterator[str]:
    """Yield why Vespa would not take what a field says of ranking, other names and its parts."""
    yield from (setting_fault(each, RANK_WORDS) for each in field.rank)
    for index, word in field.rank_types:
        yield name_fault(index) if index else ""
        yield setting_word_fault(word) if word else "rank-type: expected a word, got nothing"
    for side, profile in field.linguistics:
        yield "" if side in {"index", "search"} else f"linguistics: no side {side!r}"
        yield name_fault(profile) if profile else ""
    for named, known in (
        *((each, INDEX_WORDS) for each in field.other_indexes),
        *((each, ATTRIBUTE_WORDS) for each in field.other_attributes),
    ):
        yield name_fault(named.name)
        yield from (setting_fault(each, known) for each in named.settings)
    for part in field.struct_fields:
        yield from _part_faults(part)


def setting_faults(profile: RankProfile) -> Iterator[str]:
    """Yield why Vespa would not take what a rank profile says beside expressions."""
    for text in (text for pair in profile.properties for text in pair):
        fault = property_fault(text)
        yield f"rank-properties: {fault}" if fault else ""
    for name, value in profile.settings:
        yield setting_fault_of(name, value)
    for model in profile.onnx_models:
        yield from onnx_model_faults(model)
    if profile.match_phase is not None:
        yield from _match_phase_faults(profile.match_phase)
    if profile.diversity is not None:
        yield name_fault(profile.diversity.attribute)
        if profile.diversity.min_groups < 1:
            yield f"diversity: expected 1 group or more, got {profile.diversity.min_groups}"
    for rank in profile.field_ranks:
        yield from _field_rank_faults(rank)
    for mutation in profile.mutations:
        yield "" if mutation.phase in MUTATION_PHASES else f"mutate: no phase {mutation.phase!r}"
        yield name_fault(mutation.attribute)
        yield expression_fault(mutation.operation)


def onnx_model_faults(model: OnnxModel) -> Iterator[str]:
    """Yield why Vespa would not take the model."""
    what = f"onnx-model {model.name[:80]!r}"
    yield name_fault(model.name)
    if bool(model.file) == bool(model.uri):
        yield f"{what}: expected either a file or a uri"
    yield path_fault(model.file) if model.file else ""
    yield uri_fault(model.uri) if model.uri else ""
    for graph_name, text in (*model.inputs, *model.outputs):
        yield property_fault(graph_name)
        yield expression_fault(text)
    for setting in model.settings:
        word, _, value = setting.partition(": ")
        yield setting_fault_of(f"onnx-model.{word}", value)


def _part_faults(part: StructField) -> Iterator[str]:
    yield from (name_fault(name) for name in part.name.split("."))
    yield from (statement_fault(statement) for statement in part.indexing)
    yield from (setting_fault(each, ATTRIBUTE_WORDS) for each in part.attribute)
    yield from (setting_fault(each, MATCH_WORDS) for each in part.match)
    yield from (setting_fault(each, RANK_WORDS) for each in part.rank)
    for each in part.struct_fields:
        yield from _part_faults(each)


def _match_phase_faults(phase: MatchPhase) -> Iterator[str]:
    yield name_fault(phase.attribute)
    if phase.max_hits is None and phase.total_max_hits is None:
        yield "match-phase: expected max-hits or total-max-hits"


def _field_rank_faults(rank: FieldRank) -> Iterator[str]:
    yield name_fault(rank.field)
    yield setting_word_fault(rank.rank_type)
    if rank.element_gap:
        yield setting_fault_of("rank.element-gap", rank.element_gap)
    if rank.filter_threshold is not None and not 0 <= rank.filter_threshold <= 1:
        yield f"filter-threshold: expected 0 to 1, got {rank.filter_threshold}"
