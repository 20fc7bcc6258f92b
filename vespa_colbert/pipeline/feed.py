"""Corpus or local index → the Vespa feed, with the tensors that the schema's documents have."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vespa_colbert.app import Schema
from vespa_colbert.app.field import Field
from vespa_colbert.app.sent import document_example
from vespa_colbert.app.variants.residual import FIELD
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.embedder.pooling import UNPOOLED, TokenPooling, pooled_embedding
from vespa_colbert.errors import (
    ArrayError,
    CollectionError,
    IndexFolderError,
    SpecError,
)
from vespa_colbert.export import ModelFolder
from vespa_colbert.index import (
    Document,
    Feed,
    FeedFields,
    IndexReader,
    LocalIndex,
    embedded_fields,
    is_index_folder,
    iterate_corpus,
    read_index,
    write_feed,
)
from vespa_colbert.index.embedding import Embed, EmbeddedField, FieldCells
from vespa_colbert.index.indexing import read_embed_statement
from vespa_colbert.index.snapshot import Snapshot
from vespa_colbert.index.store import Rows
from vespa_colbert.pipeline.corpus import index_origin
from vespa_colbert.pipeline.packaged_codec import require_codec_of
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.document_json import tensor_from_json

__all__ = ["FeedOptions", "check_corpus", "feed_corpus", "given_fields", "open_feed"]

RUN_DOCUMENTS = 256
"""Documents of an index whose rows are looked up together; their cells stay on disk."""

OF_VECTORS = (
    "vespa-colbert compress makes it of an index of vectors, embed --codec --index-only of texts"
)
"""What makes residuals, for messages."""

CLIENT = "client"
"""What stands for the embedder in a statement that is carried out here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOptions:
    """What one may choose about a feed.

    Attributes:
        namespace: First part of the document ids.
        group: Name of the field whose text is a document's group; empty for the corpus's own.
        tensors: Whether the document's tensor fields are fed; ``None`` for those that it has.
        embed: What is embedded into them, in the indexing language: ``input text``. Where it is
            empty, title and text, or the list of contexts.
        threads: Of ONNX Runtime; 0 for one a core.
        given: Tensor fields that no model here fills: they stand in the corpus under ``_tensors``.
        pooling: How many vectors of a document are left, where they are made here.
        application: The package that is fed; residuals of an index must be of its codec.
    """

    namespace: str
    group: str = ""
    tensors: bool | None = None
    embed: str = ""
    threads: int = 0
    given: frozenset[str] = frozenset()
    pooling: TokenPooling = UNPOOLED
    application: Path | None = None


def open_feed(
    source: Path, schema: Schema, options: FeedOptions, model: ModelFolder | None = None
) -> Feed:
    """Return the feed of a corpus, read as it goes, or of a local index.

    Args:
        source: A corpus, or the folder of an index, which has the vectors ready.
        schema: What the documents of the application are.
        options: The choices.
        model: Embeds a corpus whose documents have tensor fields; of an index, what it must have
            been made with.

    Raises:
        SpecError: If the documents have a tensor field that cannot be filled, or the package
            another codec than the index.
        IndexFolderError: If the index is damaged, another one, or lacks such a field.
        SchemaSyntaxError: If what is to be embedded is not understood.
    """
    fields = FeedFields.of_schema(schema, namespace=options.namespace, group=options.group)
    wanted = _tensor_fields(schema, options)
    if is_index_folder(source):
        origin = None if model is None else index_origin(model, schema)
        index = read_index(source, origin=origin)
        if wanted:
            _require_codec(index, options.application, schema)
        return _index_feed(index, fields, wanted, options.given)
    documents = iterate_corpus(source)
    types = {each.name: TensorType.parse(each.type) for each in wanted}
    given = {name: kind for name, kind in types.items() if name in options.given}
    made = [each for each in wanted if each.name not in given]
    if not made:
        return Feed(documents=documents, fields=fields, tensors=lambda _at, one: _given(given, one))
    if model is None:
        raise SpecError(_no_model(schema, made))
    embedded = [_embedded(schema, each, options.embed) for each in made]
    embedder = LocalEmbedder(model, threads=options.threads)
    embed = pooled_embedding(lambda text: embedder.embed(text, "document"), options.pooling)

    def tensors(_position: int, document: Document) -> Mapping[str, Tensor]:
        return {**_given(given, document), **_embed(embedded, document, embed)}

    return Feed(documents=documents, fields=fields, tensors=tensors, is_costly=True)


def _require_codec(index: IndexReader, application: Path | None, schema: Schema) -> None:
    """Return nothing if the residuals of an index, where it has some, are of the package's codec.

    Raises:
        SpecError: If they are of another one, or no package is named.
    """
    made_with = index.snapshot.manifest.origin
    require_codec_of(made_with, f"the index {index.path}", application, schema)


def _no_model(schema: Schema, fields: list[Field]) -> str:
    names = ", ".join(each.name for each in fields)
    return (
        f"schema {schema.name}: its documents have {names}; name the model that embeds them with "
        "-m, feed an index, or leave them out with --no-tensors"
    )


def given_fields(schema: Schema) -> frozenset[str]:
    """Return the tensor fields of documents that no index has: token vectors do not fill them."""
    embedded = {name for name, each in embedded_fields(schema).items() if each.holds_tokens}
    documents = (each for each in schema.document_fields if each.tensor_type is not None)
    return frozenset(each.name for each in documents if each.name not in embedded)


def check_corpus(corpus: Path, schema: Schema) -> None:
    """Return nothing if each line of a corpus brings the tensors that no index has.

    Raises:
        CollectionError: If a line is bad, lacks one, or has one of another type.
    """
    if kinds := _given_types(schema):
        for document in iterate_corpus(corpus):
            _given(kinds, document)


def feed_corpus(
    index: LocalIndex,
    path: Path,
    *,
    namespace: str,
    schema: Schema,
    corpus: Path | None = None,
    application: Path | None = None,
) -> int:
    """Return the number of put operations written to a Vespa feed file.

    Args:
        index: Has the token vectors.
        path: Where it is written.
        namespace: First part of the document ids.
        schema: What the documents of the application are.
        corpus: What the index was made from; brings the tensors that no index has.
        application: The package that is fed; residuals of an index must be of its codec.

    Raises:
        SpecError: If the index holds residuals of another codec, or no package is named for them.
        CollectionError: If Vespa would refuse a document, or the corpus lacks a tensor.
        IndexFolderError: If the index lacks a tensor field that documents have.
        OutputError: If the file cannot be written.
    """
    fields = FeedFields.of_schema(schema, namespace=namespace)
    kinds = {} if corpus is None else _given_types(schema)
    wanted = _tensor_fields(schema, FeedOptions(namespace=namespace))
    made = [each for each in wanted if each.name not in kinds]
    reader = read_index(index.path)
    _require_codec(reader, application, schema)
    feed = _index_feed(reader, fields, made, given_fields(schema))
    if corpus is not None and kinds:
        feed = _with_given(feed, corpus, kinds)
    return write_feed(feed, path).operations


def _given_types(schema: Schema) -> dict[str, TensorType]:
    """Return name → type of the tensor fields that no index has."""
    names = given_fields(schema)
    return {
        each.name: TensorType.parse(each.type)
        for each in schema.document_fields
        if each.name in names
    }


def _with_given(feed: Feed, corpus: Path, kinds: Mapping[str, TensorType]) -> Feed:
    """Return the feed of an index with what the lines of its corpus bring."""

    def tensors(position: int, document: Document) -> Mapping[str, Tensor]:
        return {**feed.tensors(position, document), **_given(kinds, document)}

    return replace(feed, documents=iterate_corpus(corpus), tensors=tensors)


def _tensor_fields(schema: Schema, options: FeedOptions) -> list[Field]:
    """Return the tensor fields that are fed.

    Raises:
        SpecError: If there must be one and there is none.
    """
    found = [each for each in schema.document_fields if each.tensor_type is not None]
    if options.tensors and not found:
        raise SpecError(
            f"schema {schema.name}: its documents have no tensor field; Vespa's indexing makes the "
            "tensors and takes none from a feed"
        )
    return [] if options.tensors is False else found


def _index_feed(
    index: IndexReader, fields: FeedFields, wanted: list[Field], given: frozenset[str]
) -> Feed:
    """Return the feed of an index.

    Raises:
        IndexFolderError: If it lacks a field, or has it with another type.
    """
    for each in wanted:
        kind, got = TensorType.parse(each.type), index.types.get(each.name)
        if got != kind:
            if each.name in given:
                remedy = "feed the corpus, whose lines have it under _tensors"
                raise IndexFolderError(
                    f"{index.path}: {each.name} is made by no model here and not in this index; "
                    f"{OF_VECTORS if each.name == FIELD else remedy}"
                )
            raise IndexFolderError(
                f"{index.path}: expected {each.name} with type {kind}, got {got or 'none'}; embed "
                "again, or feed the corpus with -m"
            )
    runs = _Runs(snapshot=index.snapshot, names=tuple(each.name for each in wanted))
    return Feed(documents=index.documents(), fields=fields, tensors=runs.tensors)


@dataclass(slots=True, kw_only=True, eq=False)
class _Runs:
    """The tensors of an index, found for a run of documents at a time.

    Attributes:
        snapshot: The index.
        names: The fields.
        run: Segment and positions in it that ``rows`` has.
        rows: Name → the tensors of those documents.
    """

    snapshot: Snapshot
    names: tuple[str, ...]
    run: tuple[int, range] = (-1, range(0))
    rows: dict[str, Rows] = field(default_factory=dict)

    def tensors(self, position: int, _document: Document) -> Mapping[str, Tensor]:
        """Return the tensors of one document, by its place in the index."""
        number, place = self.snapshot.locations[position].tolist()
        if self.run[0] != number or place not in self.run[1]:
            segment = self.snapshot.segments[number]
            end = min(place + RUN_DOCUMENTS, segment.entry.documents)
            self.run = number, range(place, end)
            self.rows = {name: segment.rows(name, place, end) for name in self.names}
        return {name: rows.document(place - self.run[1].start) for name, rows in self.rows.items()}


def _given(fields: Mapping[str, TensorType], document: Document) -> dict[str, Tensor]:
    """Return the tensors that a document of the corpus brings.

    Raises:
        CollectionError: If it lacks one, or one is none of its type.
    """
    found = {}
    for name, kind in fields.items():
        if name not in document.tensors:
            remedy = (
                "put it there, or leave it out: feed with --no-tensors, embed with --index-only"
            )
            raise CollectionError(
                f"document {document.id!r}: expected a {kind} {name} under _tensors, such as "
                f"{document_example(kind)}: no model here makes it; "
                f"{OF_VECTORS if name == FIELD else remedy}"
            )
        try:
            found[name] = tensor_from_json(document.tensors[name], kind)
        except ArrayError as error:
            raise CollectionError(f"document {document.id!r}: _tensors: {name}: {error}") from error
    return found


def _embedded(schema: Schema, field: Field, source: str) -> EmbeddedField:
    """Return what is embedded into a field of the document.

    Raises:
        SpecError: If its type is none of token vectors, or nothing is known to embed.
    """
    if (known := embedded_fields(schema).get(field.name)) is not None and not source:
        return known
    where, kind = f"schema {schema.name}, field {field.name}", TensorType.parse(field.type)
    dimension = _list_dimension(kind)
    text = source or _default_source(schema, where, is_list=bool(dimension))
    statement = read_embed_statement(f"{text} | embed {CLIENT} {dimension}", where)
    if statement is None:
        raise SpecError(f"{where}: expected something to embed, got {text!r}")
    embedded = EmbeddedField(name=field.name, type=kind, statement=statement)
    if not embedded.holds_tokens:
        raise SpecError(
            f"{where}: expected a type of token vectors such as tensor<float>(dt{{}},x[128]), got "
            f"{kind}; leave tensors out with --no-tensors"
        )
    return embedded


def _list_dimension(kind: TensorType) -> str:
    """Return the dimension whose labels are the places in a list of texts, if there is one."""
    if len(kind.mapped) != 2:
        return ""
    return "context" if "context" in kind.mapped else kind.mapped[0]


def _default_source(schema: Schema, where: str, *, is_list: bool) -> str:
    """Return what is embedded where nothing says it.

    Raises:
        SpecError: If the documents have no such field.
    """
    types = {each.name: each.type for each in schema.document_fields}
    if is_list and types.get("contexts") == "array<string>":
        return "input contexts"
    texts = [name for name in ("title", "text") if types.get(name) == "string" and not is_list]
    if not texts:
        raise SpecError(
            f"{where}: its documents have no title, text or contexts; say what is embedded, as in "
            '--embed "input body"'
        )
    return ' . " " . '.join(f'(input {name} || "")' for name in texts)


def _embed(embedded: list[EmbeddedField], document: Document, embed: Embed) -> Mapping[str, Tensor]:
    """Return the tensors of one document; a text is embedded once for all its fields."""
    once = functools.cache(embed)
    found = {}
    for each in embedded:
        cells = FieldCells(embedded=each)
        cells.add(document.fields, once)
        found[each.name] = cells.rows().document(0)
    return found
