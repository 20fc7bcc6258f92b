"""The models of a package beside that of token vectors, run here as Vespa's container runs them.

A dense model makes one vector of a whole text, the tokenizer of a cross-encoder its token ids. Both
are opened from the package's own ``services.xml``. Dense vectors of documents are made once and
kept beside the index, at full precision, by the model and the text that they are of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vespa_colbert.app import Query, RankProfile, Schema
from vespa_colbert.errors import SchemaSyntaxError
from vespa_colbert.index import Document, tensor_fields
from vespa_colbert.index.indexing import EmbedStatement, read_embed_statement
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.pipeline.packaged_models import DenseModel, PackagedModel, packaged_models
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.rank.documents import FieldTensors, field_tensors
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["FilledTensors", "OtherModels"]

EMBEDDED = re.compile(r"embed\(\s*([\w.-]+)\s*,\s*@text\s*\)")
"""What fills an input of a query by a component."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """A tensor field that another model fills."""

    type: TensorType
    statement: EmbedStatement
    model: PackagedModel

    @property
    def inner_type(self) -> TensorType:
        """Type of what one text gives."""
        return self.type.without(self.statement.dimension)


class OtherModels:
    """The models beside that of token vectors whose files are in a package.

    Args:
        application: The package.
        schema: Its schema.
        threads: Of ONNX Runtime; 0 for one a core.
    """

    def __init__(self, application: Path, schema: Schema, *, threads: int = 0) -> None:
        self._models = dict(packaged_models(application, threads))
        self.unread = dict[str, SchemaSyntaxError]()
        self.fields = dict(_fields(schema, self._models, self.unread))

    def fills(self, query: Query | None, names: Sequence[str]) -> bool:
        """Return whether these models fill inputs of a query.

        Args:
            query: How a profile is asked; ``None`` where that is not known.
            names: The inputs.
        """
        return query is not None and all(
            self._component(query, each) in self._models for each in names
        )

    def query_tensors(
        self, profile: RankProfile, query: Query, names: Sequence[str], text: str
    ) -> dict[str, Tensor]:
        """Return inputs of a profile, filled by these models.

        Args:
            profile: Declares their types.
            query: Says what fills them.
            names: The inputs.
            text: The question.
        """
        kinds = profile.input_types
        return {
            name: Tensor.dense(
                kinds[name], self._models[self._component(query, name)].query(text, kinds[name])
            )
            for name in names
        }

    def keep_vectors(
        self, documents: Sequence[Document], folder: Path, reporter: Reporter | None = None
    ) -> None:
        """Make the dense vectors of documents that are not in a folder yet, and keep them there.

        Args:
            documents: The corpus.
            folder: Where the files of vectors stand.
            reporter: Hears of the progress.
        """
        for each in self.fields.values():
            if isinstance(each.model, DenseModel):
                texts = list(dict.fromkeys(_texts(each, documents)))
                each.model.stored(texts, folder, reporter or Silent())

    def tensors(
        self, name: str, documents: Sequence[Document], folder: Path, reporter: Reporter
    ) -> DocumentRows | FieldTensors:
        """Return a field of documents.

        Args:
            name: Name of the field.
            documents: The corpus.
            folder: Where the files of vectors stand; vectors that are missing are made.
            reporter: Hears of the progress.

        Raises:
            SchemaSyntaxError: If it is not understood what is embedded there.
        """
        if name in self.unread:
            raise self.unread[name]
        field = self.fields[name]
        texts = list(dict.fromkeys(_texts(field, documents)))
        cells = field.model.documents(texts, field.inner_type, folder, reporter)
        places = {text: place for place, text in enumerate(texts)}
        return field_tensors(
            field.type, [_tensor(field, each, places, cells) for each in documents]
        )

    def _component(self, query: Query, name: str) -> str:
        """Return the component that fills an input; empty if none does."""
        found = EMBEDDED.fullmatch(dict(query.inputs).get(name, ""))
        return "" if found is None else found[1]


class FilledTensors(Mapping[str, DocumentRows | FieldTensors]):
    """The tensor fields of an index and those that other models fill, made when first read.

    Args:
        stored: Those of the index.
        models: The other models.
        make: Name of a field → its tensors.
    """

    def __init__(
        self,
        stored: Mapping[str, DocumentRows | FieldTensors],
        models: OtherModels,
        make: Callable[[str], DocumentRows | FieldTensors],
    ) -> None:
        self._known, self._make = dict(stored), make
        self._names = dict.fromkeys((*stored, *models.fields, *models.unread))

    def __getitem__(self, name: str) -> DocumentRows | FieldTensors:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._known:
            self._known[name] = self._make(name)
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _fields(
    schema: Schema, models: Mapping[str, PackagedModel], unread: dict[str, SchemaSyntaxError]
) -> Iterator[tuple[str, _Filled]]:
    """Yield the fields that indexing fills by one of these models.

    Args:
        schema: The schema.
        models: By the ids of their components.
        unread: Filled with the fields whose statements are not understood, and why.
    """
    for each in tensor_fields(schema):
        kind = TensorType.parse(each.type)
        for indexing in each.indexing:
            where = f"schema {schema.name}, field {each.name}"
            try:
                statement = read_embed_statement(indexing, where)
            except SchemaSyntaxError as error:
                unread[each.name] = error
                continue
            if statement is None or (model := models.get(statement.component or "")) is None:
                continue
            field = _Filled(type=kind, statement=statement, model=model)
            if not field.inner_type.mapped and len(kind.indexed) == 1:
                yield each.name, field


def _texts(field: _Filled, documents: Sequence[Document]) -> Iterator[str]:
    for each in documents:
        yield from field.statement.passages(each.fields).values()


def _tensor(
    field: _Filled, document: Document, places: Mapping[str, int], cells: NDArray[Any]
) -> Tensor | None:
    """Return the tensor of a document; ``None`` where it has no text."""
    passages = field.statement.passages(document.fields)
    rows = cells[[places[text] for text in passages.values()]]
    if field.statement.dimension:
        return Tensor.rows(field.type, rows, [str(place) for place in passages])
    return Tensor.dense(field.type, rows[0]) if passages else None
