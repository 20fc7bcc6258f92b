"""In the worker: documents through the indexing statements that Vespa derives from a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.application import Applications, BuiltApplication
from vespa_colbert.vespa_java.embedder import Embedders
from vespa_colbert.vespa_java.evaluator import from_java
from vespa_colbert.vespa_java.jvm import java_class, java_map

__all__ = ["Indexers"]

CHUNKERS = {"fixed-length": "FixedLengthChunker", "sentence": "SentenceChunker"}
"""Source: ApplicationContainerCluster, Vespa 8.700.24."""

DOCUMENT_TYPES = "com.yahoo.document.config.DocumentmanagerConfig"
SCRIPTS = "com.yahoo.vespa.configdefinition.IlscriptsConfig"
LANGUAGE = "com.yahoo.vespa.indexinglanguage"


class Indexers:
    """Indexes documents as the container of a package does.

    Args:
        applications: Builds the packages.
        embedders: Has the embedders that their statements name.
    """

    def __init__(self, applications: Applications, embedders: Embedders) -> None:
        self.applications, self.embedders = applications, embedders

    def index(
        self, folder: Path, operations: list[str], models: Mapping[str, Path]
    ) -> list[dict[str, Any]]:
        """Return the fields of each document after indexing: tensors as bytes, other values as is.

        Args:
            folder: An application package.
            operations: Put operations, one JSON object each.
            models: Web address → local copy, for embedders whose files are on the web.

        Raises:
            VespaJavaError: If Vespa refuses the package or an operation.
        """
        application, _ = self.applications.require(folder)
        types = _document_types(application)
        context = self._context(application, models)
        return [self._indexed(application, types, context, each) for each in operations]

    def _indexed(
        self, application: BuiltApplication, types: Any, context: Any, operation: str
    ) -> dict[str, Any]:
        document = _document(types, operation)
        name = str(document.getDataType().getName())
        script = _script(application, name, document.getDataType(), context)
        script.resolve(document.getDataType())
        done = java_class(f"{LANGUAGE}.expressions.Expression").execute(script, document)
        found = {}
        for entry in done.iterator():
            found[str(entry.getKey().getName())] = _value(entry.getValue())
        return found

    def _context(self, application: BuiltApplication, models: Mapping[str, Path]) -> Any:
        """Return what statements are parsed with: linguistics, chunkers and embedders."""
        embedders = self.embedders.java_embedders(application, models)
        package = "ai.vespa.language.chunker"
        chunkers = {name: java_class(f"{package}.{each}")() for name, each in CHUNKERS.items()}
        linguistics = java_class("com.yahoo.language.simple.SimpleLinguistics")()
        return java_class(f"{LANGUAGE}.ScriptParserContext")(
            linguistics, java_map(chunkers), embedders, java_map()
        )


def _document_types(application: BuiltApplication) -> Any:
    config = application.config(DOCUMENT_TYPES, "client")
    return java_class("com.yahoo.document.DocumentTypeManager")(config)


def _document(types: Any, operation: str) -> Any:
    """Return the document of a put operation.

    Raises:
        VespaJavaError: If it is another operation.
    """
    stream = java_class("java.io.ByteArrayInputStream")(operation.encode("utf-8"))
    factory = java_class("com.fasterxml.jackson.core.JsonFactory")()
    found = java_class("com.yahoo.document.json.JsonReader")(types, stream, factory).next()
    if found is None or not hasattr(found, "getDocument"):
        raise VespaJavaError(f"expected a put operation, got {operation[:80]!r}")
    return found.getDocument()


def _script(application: BuiltApplication, name: str, document_type: Any, context: Any) -> Any:
    """Return all indexing statements of a document type.

    Source: ScriptManager.createScriptsMap, Vespa 8.700.24.
    """
    config = application.config(SCRIPTS, application.schema_config_id(name))
    statements = java_class("java.util.ArrayList")()
    for script in config.ilscript():
        if str(script.doctype()) == name:
            for text in script.content():
                statements.add(_statement(str(text), document_type, context))
    return java_class(f"{LANGUAGE}.expressions.ScriptExpression")(statements)


def _statement(text: str, document_type: Any, context: Any) -> Any:
    """Return one statement, told which field it fills."""
    parts = f"{LANGUAGE}.expressions"
    context.setInputStream(java_class(f"{LANGUAGE}.parser.IndexingInput")(text))
    statement = java_class(f"{parts}.StatementExpression").newInstance(context)
    names = java_class(f"{parts}.OutputExpression").OutputFieldNameExtractor()
    statement.select(names, names)
    for name in list(names.getOutputFieldNames())[:1]:
        statement.setStatementOutput(document_type, document_type.getField(name))
    return statement


def _value(value: Any) -> Any:
    """Return a field's value: bytes for a tensor, a list for an array, else a text."""
    if isinstance(value, java_class("com.yahoo.document.datatypes.TensorFieldValue")):
        return from_java(value.getTensor().get())
    if isinstance(value, java_class("com.yahoo.document.datatypes.Array")):
        return list(_values(value))
    return str(value.getWrappedValue())


def _values(array: Any) -> Iterator[Any]:
    for element in array:
        yield _value(element)
