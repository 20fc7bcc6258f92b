"""In the worker: lines of a feed through Vespa's own reader of document JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vespa_colbert.tensor import Tensor
from vespa_colbert.vespa_java.application import Applications
from vespa_colbert.vespa_java.evaluator import from_java
from vespa_colbert.vespa_java.jvm import java_class, message_chain
from vespa_colbert.vespa_java.tensor_forms import Refusal

__all__ = ["DocumentReader", "FieldValue", "JavaDocument", "WireDocument"]

DOCUMENT_TYPES = "com.yahoo.document.config.DocumentmanagerConfig"
FieldValue: TypeAlias = str | Tensor | tuple[str, ...]
WireDocument: TypeAlias = tuple[str, dict[str, str | bytes | tuple[str, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaDocument:
    """A document as Vespa read it.

    Attributes:
        id: Its document id.
        fields: Name → text, list of texts, or tensor.
    """

    id: str
    fields: dict[str, FieldValue]


class DocumentReader:
    """Reads put operations for the document types of a package.

    Args:
        applications: Builds the packages.
    """

    def __init__(self, applications: Applications) -> None:
        self.applications = applications

    def read(self, folder: Any, lines: Sequence[str]) -> list[WireDocument | Refusal]:
        """Return the document of each line, or why Vespa refuses it.

        Source: JsonReader.next and TensorReader, Vespa 8.700.24.
        """
        built, _ = self.applications.require(folder)
        config = built.config(DOCUMENT_TYPES, "client")
        types = java_class("com.yahoo.document.DocumentTypeManager")(config)
        answers: list[WireDocument | Refusal] = []
        for line in lines:
            try:
                answers.append(_read(types, line))
            except java_class("java.lang.Exception") as error:
                answers.append(Refusal("; caused by: ".join(message_chain(error))))
        return answers


def _read(types: Any, line: str) -> WireDocument:
    """Return the document of one line, read as the only one of a JSON list."""
    stream = java_class("java.io.ByteArrayInputStream")(f"[{line}]".encode())
    factory = java_class("com.fasterxml.jackson.core.JsonFactory")()
    reader = java_class("com.yahoo.document.json.JsonReader")(types, stream, factory)
    document = reader.next().getDocument()
    fields: dict[str, str | bytes | tuple[str, ...]] = {}
    for entry in document.iterator():
        fields[str(entry.getKey().getName())] = _value(entry.getValue())
    return str(document.getId()), fields


def _value(value: Any) -> str | bytes | tuple[str, ...]:
    if isinstance(value, java_class("com.yahoo.document.datatypes.TensorFieldValue")):
        return from_java(value.getTensor().get())
    if isinstance(value, java_class("com.yahoo.document.datatypes.Array")):
        return tuple(str(each) for each in value.getValues())
    return str(value)
