"""The Vespa feed: one put operation a line, as ``vespa feed`` takes it from a file or a pipe.

Fields that Vespa's indexing fills are never in it. Tensors of fields that the document itself has
are written as hexadecimal blocks, the shortest form that Vespa reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import CollectionError, OutputError
from vespa_colbert.files import atomic_file, continued_file
from vespa_colbert.index.collection import Document
from vespa_colbert.index.document_ids import document_id, refused_character
from vespa_colbert.tensor import Tensor
from vespa_colbert.tensor.document_json import tensor_to_json

__all__ = [
    "Feed",
    "FeedFields",
    "FeedResult",
    "Progress",
    "resume_feed",
    "stream_feed",
    "write_feed",
]

Progress: TypeAlias = Callable[[int], None]
"""Called with the number of operations done."""

TensorsOf: TypeAlias = Callable[[int, Document], Mapping[str, Tensor]]
"""Position in the corpus and document → field name → tensor."""

KEY_FIELD = "id"
JSON = json.JSONEncoder(ensure_ascii=False, check_circular=False)


def _no_tensors(_position: int, _document: Document) -> Mapping[str, Tensor]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFields:
    """What the operations say: the document type and which fields of a corpus it takes.

    Attributes:
        namespace: First part of the document ids.
        document_type: Name of the document type.
        types: Field name → type of the fields that are fed and hold no tensor; ``None`` where no
            schema says it, for all that the corpus has.
        group: Name of the field whose text is a document's group; empty for ``Document.group``.
    """

    namespace: str
    document_type: str
    types: Mapping[str, str] | None = None
    group: str = ""

    @classmethod
    def of_schema(cls, schema: Schema, *, namespace: str, group: str = "") -> FeedFields:
        """Return the fields that the documents of a schema have."""
        types = {
            each.name: each.type for each in schema.document_fields if each.tensor_type is None
        }
        return cls(namespace=namespace, document_type=schema.name, types=types, group=group)


@dataclass(slots=True, kw_only=True)
class Feed:
    """The put operations of a corpus, made one at a time.

    Attributes:
        documents: The corpus.
        fields: What the operations say.
        tensors: Gives the tensors of a document.
        is_costly: Whether that means running a model; they are not made again to compare then.
        left_out: Names of fields with a text that the document type does not have.
    """

    documents: Iterable[Document]
    fields: FeedFields
    tensors: TensorsOf = _no_tensors
    is_costly: bool = False
    left_out: set[str] = field(default_factory=set)

    def operations(self) -> Iterator[Operation]:
        """Yield an operation for each document.

        Raises:
            CollectionError: If Vespa would refuse one.
        """
        for position, document in enumerate(self.documents):
            yield self.operation(position, document)

    def operation(self, position: int, document: Document) -> Operation:
        """Return the operation of one document, its tensors not made yet.

        Args:
            position: Its place in the corpus, from 0.
            document: What is put.

        Raises:
            CollectionError: If Vespa would refuse it.
        """
        put = document_id(
            document.id,
            namespace=self.fields.namespace,
            document_type=self.fields.document_type,
            group=self._group(document),
        )
        texts = dict(self._texts(document))
        return Operation(self, position, document, {"put": put, "fields": texts})

    def _group(self, document: Document) -> str:
        """Return whose document it is.

        Raises:
            CollectionError: If it is to have a group and has none.
        """
        if not self.fields.group:
            return document.group
        if not (group := document.text(self.fields.group)):
            raise CollectionError(
                f"document {document.id!r}: expected a text in {self.fields.group}, its group"
            )
        return group

    def _texts(self, document: Document) -> Iterator[tuple[str, str | list[str]]]:
        """Yield the fields of a document that are fed.

        Raises:
            CollectionError: If Vespa would refuse one.
        """
        types = self.fields.types
        if types is None or KEY_FIELD in types:
            yield KEY_FIELD, document.id
        for name, value in document.fields.items():
            if types is not None and name not in types:
                self.left_out |= {name} if value else set()
                continue
            where = f"document {document.id!r}: field {name}"
            if types is not None:
                _check_type(value, types[name], where)
            texts = [value] if isinstance(value, str) else list(value)
            for text in texts:
                if (found := refused_character(text)) is not None:
                    raise CollectionError(f"{where} has {found}, which Vespa refuses; remove it")
            yield name, value if isinstance(value, str) else texts


def _check_type(value: str | Sequence[str], kind: str, where: str) -> None:
    """Return nothing if a field of that type takes the value.

    Raises:
        CollectionError: If it does not.
    """
    is_text = isinstance(value, str)
    if kind != ("string" if is_text else "array<string>"):
        got = "a text" if is_text else "a list of texts"
        raise CollectionError(f"{where}: the schema says {kind}, got {got}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One put operation.

    Attributes:
        feed: Whose it is.
        position: Its place in the corpus, from 0.
        document: What is put.
        texts: The operation without its tensors.
    """

    feed: Feed
    position: int
    document: Document
    texts: Mapping[str, Any]

    def line(self) -> bytes:
        """Return its line of the feed."""
        tensors = self.feed.tensors(self.position, self.document)
        values = {
            name: tensor_to_json(tensor, hexadecimal=True) for name, tensor in tensors.items()
        }
        operation = {**self.texts, "fields": {**self.texts["fields"], **values}}
        return (JSON.encode(operation) + "\n").encode()

    def is_line(self, line: bytes, *, tensors: bool) -> bool:
        """Return whether a line of a file is this operation's.

        Args:
            line: The line.
            tensors: Whether to make the tensors to compare them too.
        """
        if tensors:
            return line == self.line()
        try:
            said = json.loads(line)
            fields = said["fields"]
        except (ValueError, KeyError, TypeError):
            return False
        texts = {name: value for name, value in fields.items() if not isinstance(value, dict)}
        return bool({**said, "fields": texts} == self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedResult:
    """What was written.

    Attributes:
        operations: How many there are.
        kept: How many of them an earlier run had written.
        left_out: Names of fields with a text that the document type does not have.
    """

    operations: int
    kept: int = 0
    left_out: tuple[str, ...] = ()


def stream_feed(
    feed: Feed, stream: BinaryIO, *, progress: Progress = lambda _done: None
) -> FeedResult:
    """Return what was written to an open stream, one line after the other.

    Raises:
        CollectionError: If Vespa would refuse a document.
        BrokenPipeError: If nobody reads the stream any more.
    """
    count = _append(feed.operations(), stream, 0, progress)
    stream.flush()
    return FeedResult(operations=count, left_out=tuple(sorted(feed.left_out)))


def write_feed(feed: Feed, path: Path, *, progress: Progress = lambda _done: None) -> FeedResult:
    """Return what was written to a file, whole or not at all.

    Raises:
        CollectionError: If Vespa would refuse a document.
        OutputError: If the file cannot be written.
    """
    with atomic_file(path) as part, part.open("wb") as stream:
        return stream_feed(feed, stream, progress=progress)


def resume_feed(feed: Feed, path: Path, *, progress: Progress = lambda _done: None) -> FeedResult:
    """Return what was written to a file, going on where an earlier run stopped.

    The file has its name when it is complete and is ``PATH.partial`` until then. What an earlier
    run left must be the beginning of this very feed, down to the last complete line: ids and texts
    always, tensors too unless a model makes them; then those of the first and the last line.

    Raises:
        CollectionError: If Vespa would refuse a document.
        OutputError: If the file cannot be written, or what is there is another feed's.
    """
    with continued_file(path) as stream:
        operations = feed.operations()
        kept, end = _verified(feed, operations, stream, path)
        stream.seek(end)
        stream.truncate()
        count = _append(operations, stream, kept, progress)
    return FeedResult(operations=count, kept=kept, left_out=tuple(sorted(feed.left_out)))


def _append(
    operations: Iterator[Operation], stream: BinaryIO, done: int, progress: Progress
) -> int:
    """Return how many operations there are after writing these."""
    for operation in operations:
        stream.write(operation.line())
        done += 1
        progress(done)
    return done


def _verified(
    feed: Feed, operations: Iterator[Operation], stream: BinaryIO, path: Path
) -> tuple[int, int]:
    """Return how many operations a file has, and where the last complete line ends.

    Raises:
        OutputError: If one of them is not this feed's.
    """
    kept, end = 0, 0
    last: tuple[Operation, bytes] | None = None
    for line in stream:
        if not line.endswith(b"\n"):
            break
        operation = next(operations, None)
        whole = not feed.is_costly or kept == 0
        if operation is None or not operation.is_line(line, tensors=whole):
            raise OutputError(_another(path, kept + 1))
        last = operation, line
        kept, end = kept + 1, end + len(line)
    if last is not None and not last[0].is_line(last[1], tensors=True):
        raise OutputError(_another(path, kept))
    return kept, end


def _another(path: Path, number: int) -> str:
    return (
        f"{path}: what an earlier run left is not the beginning of this feed: line {number} "
        "differs; remove it and its .partial, or name another file"
    )
