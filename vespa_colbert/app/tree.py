"""Parse tree of a schema file → specs. What may bear on ranking and is not known is an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vespa_colbert.app.field import (
    DocumentSummary,
    Field,
    FieldSet,
    ImportedField,
    NamedSettings,
    Struct,
)
from vespa_colbert.app.field_tree import field_of, fieldset_of, index_of, names_of, struct_of
from vespa_colbert.app.passed_over import pass_over
from vespa_colbert.app.profile import Constant, OnnxModel, RankProfile
from vespa_colbert.app.profile_tree import constant_file_of, onnx_model_of, profiles_of
from vespa_colbert.app.source import Source

__all__ = ["SchemaParts", "schema_parts", "separate_profiles"]


@dataclass(slots=True, kw_only=True)
class SchemaParts:
    """What one schema file holds, before it is checked as a whole.

    Attributes:
        source: The file.
        name: The schema's name, or that of a document that stands without one.
        inherits: The schema that it inherits, as a token that knows its place.
        document_inherits: The documents that its document inherits, likewise.
    """

    source: Source
    name: str
    inherits: Any = None
    document_inherits: tuple[Any, ...] = ()
    is_document: bool = False
    fields: list[Field] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)
    imported_fields: list[ImportedField] = field(default_factory=list)
    indexes: list[NamedSettings] = field(default_factory=list)
    fieldsets: list[FieldSet] = field(default_factory=list)
    summaries: list[DocumentSummary] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    onnx_models: list[OnnxModel] = field(default_factory=list)
    rank_profiles: list[RankProfile] = field(default_factory=list)
    stemming: str = ""


def schema_parts(source: Source) -> SchemaParts:
    """Return what a schema file holds.

    Raises:
        SchemaSyntaxError: If it does not parse, or holds something that is not known and may bear
            on ranking.
    """
    tree = source.parse("schema_file")
    if tree.data == "document_file":
        return _document_alone(source, tree.children[0])
    name, parents, *items = tree.children
    parts = SchemaParts(source=source, name=str(name))
    if parents is not None:
        parts.inherits, *more = parents.children
        if more:
            raise source.error(more[0], "a schema inherits one schema, not several")
    for item in items:
        _add_to_schema(source, item, parts)
    return parts


def separate_profiles(source: Source) -> tuple[RankProfile, ...]:
    """Return the rank profile that a ``.profile`` file holds, and those inside of it.

    Raises:
        SchemaSyntaxError: If it does not parse, or holds something that is not known and may bear
            on ranking.
    """
    return tuple(profiles_of(source, source.parse("profile_file").children[0]))


def _document_alone(source: Source, tree: Any) -> SchemaParts:
    """Return what a file holds that is a document without a schema around it.

    Raises:
        SchemaSyntaxError: If the document has no name.
    """
    if tree.children[0] is None:
        raise source.error(tree, "a document outside of a schema has to have a name")
    parts = SchemaParts(source=source, name=str(tree.children[0]), is_document=True)
    _add_document(source, tree, parts)
    return parts


def _add_to_schema(source: Source, item: Any, parts: SchemaParts) -> None:
    """Add one item of a schema to what is known of it.

    Raises:
        SchemaSyntaxError: If it is not known and may bear on ranking.
    """
    kind = str(item.data)
    if kind in ONE_BY_ONE:
        name, read = ONE_BY_ONE[kind]
        getattr(parts, name).append(read(source, item))
    elif kind == "document":
        _add_document(source, item, parts)
    elif kind == "rank_profile":
        parts.rank_profiles += profiles_of(source, item)
    elif kind == "stemming":
        parts.stemming = str(item.children[0])
    elif kind == "other":
        pass_over(source, item, "schema")
    elif not str(item.children[0]).startswith("raw-as-base64-in-summary"):
        raise source.error(item, f"{item.children[0]} in schema is not known")


def _add_document(source: Source, tree: Any, parts: SchemaParts) -> None:
    """Add the fields of the document, and what it inherits.

    Raises:
        SchemaSyntaxError: If the document has another name than its schema.
    """
    name, parents, *items = tree.children
    if name is not None and str(name) != parts.name:
        raise source.error(name, f"expected the document to be named {parts.name}, as its schema")
    parts.document_inherits = () if parents is None else tuple(parents.children)
    for item in items:
        if item.data == "field":
            parts.fields.append(field_of(source, item, in_document=True))
        elif item.data == "struct":
            parts.structs.append(struct_of(source, item))
        else:
            pass_over(source, item, "document")


def _imported_field(source: Source, tree: Any) -> ImportedField:
    """Return a field of another document.

    Raises:
        SchemaSyntaxError: If it is not named by a reference, a dot and a field.
    """
    path, name = tree.children
    reference, dot, foreign = str(path).partition(".")
    if not (reference and dot and foreign) or "." in foreign:
        raise source.error(path, f"expected a reference field, a dot and a field, got {path}")
    return ImportedField(name=str(name), reference=reference, field=foreign)


def _summary(_source: Source, tree: Any) -> DocumentSummary:
    name, parents, *items = tree.children
    flags = {str(item.children[0]) for item in items if item.data == "flag"}
    return DocumentSummary(
        name=str(name),
        fields=tuple(_summary_fields(items)),
        inherits=names_of(parents),
        from_disk="from-disk" in flags,
    )


def _summary_fields(items: list[Any]) -> Iterator[str]:
    return (str(item.children[0]) for item in items if item.data == "summary_field")


def _derived_field(source: Source, tree: Any) -> Field:
    return field_of(source, tree, in_document=False)


ONE_BY_ONE = {
    "field": ("fields", _derived_field),
    "struct": ("structs", struct_of),
    "import_field": ("imported_fields", _imported_field),
    "index": ("indexes", index_of),
    "fieldset": ("fieldsets", fieldset_of),
    "summary": ("summaries", _summary),
    "constant_file": ("constants", constant_file_of),
    "onnx_model": ("onnx_models", onnx_model_of),
}
"""Rule → part of a schema that it is one of, and how it is read."""
