"""Documents in JSON lines → what a ranker ranks.

A line is ``{"id": …, "fields": {…}}``, ``{"id": …, field: …}`` or Vespa's own
``{"put": "id:…", "fields": {…}}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vespa_colbert.app.field import Field
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import ArrayError, CollectionError
from vespa_colbert.rank.documents import Documents, field_tensors
from vespa_colbert.rank.features.attributes import NUMBER_TYPES, element_type
from vespa_colbert.tensor import Tensor
from vespa_colbert.tensor.document_json import tensor_from_json

__all__ = ["read_documents"]

OTHER_OPERATIONS = ("update", "remove")
TEXT_TYPES = ("string", "uri")


def read_documents(path: Path, schema: Schema) -> Documents:
    """Return the documents of a JSON-lines file.

    Fields that indexing would derive, such as embeddings, are taken from the line too.

    Args:
        path: The file.
        schema: Says which fields there are and of what type.

    Raises:
        CollectionError: With file and line, if a line is no document, a field is not in the
            schema or not of its type, or an id occurs twice.
    """
    ids: dict[str, int] = {}
    rows: list[Mapping[str, Any]] = []
    known = {field.name: field for field in schema.all_fields}
    for number, line in _lines(path):
        where = f"{path} line {number}"
        identifier, fields = _document(line, where)
        if identifier in ids:
            raise CollectionError(f"{where}: id {identifier!r} was used on line {ids[identifier]}")
        ids[identifier] = number
        rows.append({
            name: _field(known, name, value, where)
            for name, value in fields.items()
            if value is not None
        })
    if not rows:
        raise CollectionError(f"{path}: expected at least one document, got an empty file")
    given = {name for row in rows for name in row}
    used = [field for field in schema.all_fields if field.in_document or field.name in given]
    return Documents(
        ids=list(ids),
        tensors={
            field.name: field_tensors(kind, [row.get(field.name) for row in rows])
            for field in used
            if (kind := field.tensor_type) is not None
        },
        values={
            field.name: [row.get(field.name) for row in rows]
            for field in used
            if field.tensor_type is None
        },
        where=str(path),
        hint="give it in every line",
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of every line that is not blank.

    Raises:
        CollectionError: If the file cannot be read or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CollectionError(f"{path}: cannot be read ({error.strerror})") from error
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise CollectionError(
                f"{path} line {number}: expected UTF-8, byte {error.start} is not"
            ) from None
        if line.strip():
            yield number, line


def _document(line: str, where: str) -> tuple[str, Mapping[str, Any]]:
    """Return id and fields of a line.

    Raises:
        CollectionError: If it is no document.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CollectionError(f"{where}: expected a JSON object ({error})") from None
    if not isinstance(row, dict):
        raise CollectionError(f"{where}: expected a JSON object, got {line.strip()[:60]!r}")
    for operation in OTHER_OPERATIONS:
        if operation in row:
            raise CollectionError(f'{where}: expected a document or a "put", got "{operation}"')
    key = "put" if "put" in row else "id"
    identifier = row.get(key)
    if not isinstance(identifier, str) or not identifier:
        raise CollectionError(
            f'{where}: expected a text "id" or "put", got {identifier!r:.40} '
            f"(keys: {', '.join(row) or 'none'})"
        )
    others = {name: value for name, value in row.items() if name != key}
    is_operation = key == "put" or set(others) == {"fields"}
    fields = others.get("fields", {}) if is_operation else others
    if not isinstance(fields, dict):
        raise CollectionError(f'{where}: expected an object "fields", got {fields!r:.40}')
    return identifier, fields


def _field(known: Mapping[str, Field], name: str, value: Any, where: str) -> Any:
    """Return a field's value, checked.

    Raises:
        CollectionError: If the schema has no such field, or the value is of another type.
    """
    if (field := known.get(name)) is None:
        raise CollectionError(
            f"{where}: field {name!r} is not in the schema (fields: {', '.join(known)})"
        )
    if (kind := field.tensor_type) is not None:
        return _tensor(field, value, kind, where)
    collection, element = element_type(field.type)
    if element not in NUMBER_TYPES and element not in TEXT_TYPES:
        return value
    fits = {
        "": lambda: _is_element(value, element),
        "array": lambda: isinstance(value, list) and all(_is_element(x, element) for x in value),
        "weightedset": lambda: (
            isinstance(value, dict) and all(_is_element(weight, "int") for weight in value.values())
        ),
    }
    if not fits[collection]():
        raise CollectionError(f"{where}: field {name}: expected {field.type}, got {value!r:.60}")
    return value


def _tensor(field: Field, value: Any, kind: Any, where: str) -> Tensor:
    """Return a tensor field's value.

    Raises:
        CollectionError: If it is no such tensor.
    """
    try:
        return tensor_from_json(value, kind)
    except ArrayError as error:
        raise CollectionError(f"{where}: field {field.name}: {error}") from None


def _is_element(value: Any, element: str) -> bool:
    """Return whether a JSON value is one of a type, whole numbers within its bits."""
    if element in TEXT_TYPES:
        return isinstance(value, str)
    if element == "bool" or isinstance(value, bool):
        return element == "bool" and isinstance(value, bool)
    bits = NUMBER_TYPES[element]
    if bits == 0:
        return isinstance(value, int | float)
    return isinstance(value, int) and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
