"""What a schema says, as values: fields, fieldsets, summaries, rank profiles.

The generator prints them and the reader gives them back. Expressions are text here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vespa_colbert.app.faults import (
    constant_faults,
    field_faults,
    named,
    profile_faults,
    repeated,
)
from vespa_colbert.app.field import DocumentSummary, Field, FieldSet
from vespa_colbert.app.inherit import flatten, inheritance_faults
from vespa_colbert.app.profile import Constant, RankProfile
from vespa_colbert.app.texts import (
    dashed_name_fault,
    name_fault,
    schema_name_fault,
    setting_word_fault,
)
from vespa_colbert.errors import SpecError

__all__ = ["DocumentSummary", "Field", "FieldSet", "Schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One document type with its rank profiles: the content of ``schemas/<name>.sd``.

    Attributes:
        name: An identifier: name of the file and of the document type too.
        fields: In the order given, those in the document first.
        fieldsets: In the order given.
        summaries: Document summaries beside the default one.
        constants: Tensor constants in files, for every profile.
        rank_profiles: As written; ``profile`` gives one with everything it inherits.
        stemming: Vespa's word for all fields, or empty for its default.

    Raises:
        SpecError: With every fault found, if Vespa would not take it or would read another schema.
    """

    name: str
    fields: tuple[Field, ...]
    fieldsets: tuple[FieldSet, ...] = ()
    summaries: tuple[DocumentSummary, ...] = ()
    constants: tuple[Constant, ...] = ()
    rank_profiles: tuple[RankProfile, ...] = ()
    stemming: str = ""

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.fields, key=lambda field: not field.in_document))
        object.__setattr__(self, "fields", ordered)
        if faults := tuple(_faults(self)):
            raise SpecError(f"schema {self.name[:80]!r} is not valid", faults)

    @property
    def document_fields(self) -> tuple[Field, ...]:
        """The fields that are fed."""
        return tuple(field for field in self.fields if field.in_document)

    @property
    def derived_fields(self) -> tuple[Field, ...]:
        """The fields that Vespa makes by their indexing statements."""
        return tuple(field for field in self.fields if not field.in_document)

    def field(self, name: str) -> Field:
        """Return the field of that name.

        Raises:
            SpecError: If there is none.
        """
        for field in self.fields:
            if field.name == name:
                return field
        known = ", ".join(field.name for field in self.fields)
        raise SpecError(f"schema {self.name}: expected a field among {known}, got {name!r}")

    def profile(self, name: str) -> RankProfile:
        """Return a rank profile with everything that it inherits, and Vespa's defaults filled in.

        Raises:
            SpecError: If there is none, or its parents contradict each other.
        """
        return flatten(self.name, self.rank_profiles, name)


def _faults(schema: Schema) -> Iterator[str]:
    """Yield why Vespa would not take the schema, or would read another one than meant."""
    yield from named("schema", schema_name_fault(schema.name))
    yield from named("stemming", setting_word_fault(schema.stemming))
    for field in schema.fields:
        yield from named(f"field {field.name[:80]!r}", *field_faults(field))
    for constant in schema.constants:
        yield from named(
            f"constant {constant.name[:80]!r}", *constant_faults(constant, in_file=True)
        )
    for profile in schema.rank_profiles:
        yield from named(f"rank-profile {profile.name[:80]!r}", *profile_faults(profile))
    yield from _reference_faults(schema)
    yield from repeated("field", schema.fields)
    yield from repeated("fieldset", schema.fieldsets)
    yield from repeated("document-summary", schema.summaries)
    yield from repeated("constant", schema.constants)
    yield from repeated("rank-profile", schema.rank_profiles)
    yield from inheritance_faults(schema.rank_profiles)


def _reference_faults(schema: Schema) -> Iterator[str]:
    """Yield names in fieldsets and summaries that nothing carries."""
    fields = {field.name for field in schema.fields}
    summaries = {summary.name for summary in schema.summaries}
    for fieldset in schema.fieldsets:
        what = f"fieldset {fieldset.name[:80]!r}"
        yield from named(what, name_fault(fieldset.name))
        yield from named(
            what, *(f"no field {name!r}" for name in fieldset.fields if name not in fields)
        )
        if not fieldset.fields:
            yield f"{what}: expected at least one field"
    for summary in schema.summaries:
        what = f"document-summary {summary.name[:80]!r}"
        yield from named(what, dashed_name_fault(summary.name))
        yield from named(what, *(dashed_name_fault(name) for name in summary.fields))
        yield from named(
            what, *(f"no summary {name!r}" for name in summary.inherits if name not in summaries)
        )
