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
from vespa_colbert.app.field import (
    DocumentSummary,
    Field,
    FieldSet,
    ImportedField,
    NamedSettings,
    Struct,
)
from vespa_colbert.app.inherit import flatten, inheritance_faults, profile_names
from vespa_colbert.app.profile import Constant, OnnxModel, RankProfile
from vespa_colbert.app.texts import (
    dashed_name_fault,
    name_fault,
    schema_name_fault,
    setting_word_fault,
)
from vespa_colbert.errors import SpecError
from vespa_colbert.tensor import TensorType

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
        is_document: Whether it is a document without a schema, which others may inherit.
        structs: Types made of fields.
        imported_fields: Fields of other documents.
        indexes: Settings of indexes that stand in no field.
        onnx_models: Models for every profile.
        schema_parent: The schema that it inherits.
        document_parents: The schemas of the documents that its document inherits.
        referred: The schemas of the documents that its reference fields refer to.

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
    is_document: bool = False
    structs: tuple[Struct, ...] = ()
    imported_fields: tuple[ImportedField, ...] = ()
    indexes: tuple[NamedSettings, ...] = ()
    onnx_models: tuple[OnnxModel, ...] = ()
    schema_parent: Schema | None = None
    document_parents: tuple[Schema, ...] = ()
    referred: tuple[Schema, ...] = ()

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

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """Its fields and all that it inherits: those of documents, and of its schema's parent."""
        above = [*self.document_parents, *([self.schema_parent] if self.schema_parent else [])]
        found = {field.name: field for parent in above for field in parent.all_fields}
        return tuple((found | {field.name: field for field in self.fields}).values())

    @property
    def all_imported_fields(self) -> tuple[ImportedField, ...]:
        """Its imported fields and those that it inherits."""
        inherited = self.schema_parent.all_imported_fields if self.schema_parent else ()
        found = {field.name: field for field in (*inherited, *self.imported_fields)}
        return tuple(found.values())

    @property
    def all_constants(self) -> tuple[Constant, ...]:
        """Constants for every profile, with those of the schema that it inherits."""
        inherited = self.schema_parent.all_constants if self.schema_parent else ()
        found = {constant.name: constant for constant in (*inherited, *self.constants)}
        return tuple(found.values())

    @property
    def all_onnx_models(self) -> tuple[OnnxModel, ...]:
        """Models for every profile, with those of the schema that it inherits."""
        inherited = self.schema_parent.all_onnx_models if self.schema_parent else ()
        return tuple({model.name: model for model in (*inherited, *self.onnx_models)}.values())

    @property
    def profile_names(self) -> tuple[str, ...]:
        """Names of all profiles that a query may ask for, those of Vespa first."""
        return profile_names(self)

    @property
    def attribute_types(self) -> dict[str, TensorType]:
        """Name → type of each ``attribute(name)`` that holds a tensor, imported ones too."""
        found: dict[str, TensorType] = {}
        for field in self.all_fields:
            if (type_ := field.tensor_type) is not None:
                others = [other.name for other in field.other_attributes]
                names = [field.name, *others] if field.is_attribute else others
                found |= dict.fromkeys(names, type_)
        for imported in self.all_imported_fields:
            schema, name = self.origin(imported) or (None, "")
            if schema is not None and name in schema.attribute_types:
                found[imported.name] = schema.attribute_types[name]
        return found

    def origin(self, imported: ImportedField) -> tuple[Schema, str] | None:
        """Return the schema that an imported field is imported from, and its name there.

        ``None`` if no reference field of that name is known.
        """
        documents = {field.name: field.referred for field in self.all_fields}
        wanted = documents.get(imported.reference)
        family = [self, *([self.schema_parent] if self.schema_parent else [])]
        for schema in (
            each for member in (*family, *self.document_parents) for each in member.referred
        ):
            if schema.name == wanted:
                return schema, imported.field
        return None

    def field(self, name: str) -> Field:
        """Return the field of that name, its own or inherited.

        Raises:
            SpecError: If there is none.
        """
        for field in self.all_fields:
            if field.name == name:
                return field
        known = ", ".join(field.name for field in self.all_fields)
        raise SpecError(f"schema {self.name}: expected a field among {known}, got {name!r}")

    def profile(self, name: str) -> RankProfile:
        """Return a rank profile with everything that it inherits, and Vespa's defaults filled in.

        Raises:
            SpecError: If there is none, or its parents contradict each other.
        """
        return flatten(self, name)


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
    yield from repeated("onnx-model", schema.onnx_models)
    yield from repeated("imported field", schema.imported_fields)
    yield from inheritance_faults(schema)


def _reference_faults(schema: Schema) -> Iterator[str]:
    """Yield names in fieldsets and summaries that nothing carries."""
    fields = _field_names(schema)
    summaries = {"default", *_summary_names(schema)}
    for fieldset in schema.fieldsets:
        what = f"fieldset {fieldset.name[:80]!r}"
        yield from named(what, name_fault(fieldset.name))
        yield from named(
            what,
            *(f"no field {name!r}" for name in fieldset.fields if name.split(".")[0] not in fields),
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


def _field_names(schema: Schema) -> set[str]:
    """Return all names that a fieldset may hold: fields, indexes, attributes, imported fields."""
    fields = schema.all_fields
    found = {field.name for field in fields}
    found |= {imported.name for imported in schema.all_imported_fields}
    found |= {index.name for index in schema.indexes}
    for field in fields:
        found |= {each.name for each in (*field.other_indexes, *field.other_attributes)}
    return found


def _summary_names(schema: Schema) -> Iterator[str]:
    """Yield the names of a schema's summaries and of those that it inherits."""
    yield from (summary.name for summary in schema.summaries)
    for parent in (schema.schema_parent, *schema.document_parents):
        if parent is not None:
            yield from _summary_names(parent)
