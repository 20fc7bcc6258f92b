"""Documents and questions as Vespa itself fills them, for profiles that ask for other models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from vespa_colbert.app import Schema
from vespa_colbert.app.services import components, read_services
from vespa_colbert.export import ModelFolder
from vespa_colbert.index import Document, Feed, FeedFields
from vespa_colbert.pipeline.onnx_models import open_onnx
from vespa_colbert.pipeline.query import QueryOptions, query_body
from vespa_colbert.pipeline.search import Searcher
from vespa_colbert.rank import Documents, NearestNeighbor, Ranker, RankQuery
from vespa_colbert.rank.documents import field_tensors
from vespa_colbert.tensor import Tensor
from vespa_colbert.vespa_java import VespaJava

__all__ = [
    "NEAREST",
    "Answering",
    "Served",
    "downloads_others",
    "embeds_tokens",
    "indexed_by_vespa",
    "local_copies",
    "read_by_vespa",
]

NEAREST = re.compile(r"nearestNeighbor\((\w+),\s*(\w+)\)")
COLBERT = "colbert-embedder"
ANY_GROUP = "any"
"""Whose documents a question in streaming mode is for: no matter to what its inputs are."""


class Answering(Protocol):
    """Has a ranker for each profile, and questions with what it asks for."""

    def ranker(self, profile: str) -> Ranker:
        """Return the ranker of a profile."""

    def query(self, text: str, profile: str) -> RankQuery:
        """Return a question with the inputs of a profile."""


class Served:
    """Some documents of an index, all their fields filled by Vespa's own indexing.

    What is embedded by other models than that of token vectors is in no local index, and no other
    model is run here: Vespa's own code fills documents and questions, and both judges rank them.

    Args:
        searcher: The package, the index and the model.
        java: Vespa's own code.
        positions: Of the documents, in the index.
    """

    def __init__(self, searcher: Searcher, java: VespaJava, positions: Sequence[int]) -> None:
        self._searcher, self._java, self._positions = searcher, java, positions
        self._documents: Documents | None = None

    @property
    def documents(self) -> Documents:
        """The documents as Vespa indexes them, made when first asked for.

        Raises:
            VespaJavaError: If Vespa's code refuses one.
        """
        if self._documents is None:
            searcher = self._searcher
            made = indexed_by_vespa(
                self._java,
                searcher.application,
                searcher.schema,
                self._operations(),
                local_copies(searcher.application, searcher.embedder.folder),
            )
            ids = [searcher.index.documents[position].id for position in self._positions]
            self._documents = replace(made, ids=ids)
        return self._documents

    def ranker(self, profile: str) -> Ranker:
        """Return the ranker of a profile over these documents."""
        searcher = self._searcher
        return Ranker(
            searcher.schema,
            profile,
            self.documents,
            folder=searcher.application,
            open_onnx=open_onnx,
        )

    def query(self, text: str, profile: str) -> RankQuery:
        """Return a question as Vespa's container reads it, every input filled.

        Raises:
            SpecError: If it is not known how the profile is asked.
            VespaJavaError: If Vespa's code refuses the request.
        """
        searcher = self._searcher
        body = query_body(
            searcher.application,
            searcher.schema,
            text,
            profile,
            model=searcher.embedder.folder,
            options=QueryOptions(group=ANY_GROUP),
        )
        copies = local_copies(searcher.application, searcher.embedder.folder)
        return read_by_vespa(self._java, searcher.application, body, text, copies)

    def _operations(self) -> list[dict[str, Any]]:
        """Return what is fed of these documents."""
        searcher, index = self._searcher, self._searcher.index
        fed = [each.name for each in searcher.schema.document_fields if each.name in index.tensors]

        def tensors(place: int, _document: Document) -> Mapping[str, Tensor]:
            return {name: index.tensors[name].document(self._positions[place]) for name in fed}

        feed = Feed(
            documents=[index.documents[position] for position in self._positions],
            fields=FeedFields.of_schema(searcher.schema, namespace="served"),
            tensors=tensors,
        )
        return [json.loads(each.line()) for each in feed.operations()]


def local_copies(application: Path, model: ModelFolder) -> dict[str, Path]:
    """Return address → file for a model that Vespa downloads: the model that made the index.

    Args:
        application: The package.
        model: What stands in the place of the download.
    """
    files = {"transformer-model": model.model_path, "tokenizer-model": model.tokenizer_path}
    root = read_services(application)
    found = [] if root is None else components(root)
    return {
        url: path
        for each in found
        if each.get("type") == COLBERT
        for name, path in files.items()
        for file in each.iter(name)
        if (url := file.get("url"))
    }


def embeds_tokens(application: Path) -> bool:
    """Return whether a package has a component that makes token vectors."""
    root = read_services(application)
    return root is not None and any(each.get("type") == COLBERT for each in components(root))


def downloads_others(application: Path) -> bool:
    """Return whether a package has a model beside that of token vectors that Vespa downloads."""
    root = read_services(application)
    found = [] if root is None else components(root)
    others = (each for each in found if each.get("type") != COLBERT)
    return any(file.get("url") or file.get("model-id") for each in others for file in each)


def indexed_by_vespa(
    java: VespaJava,
    application: Path,
    schema: Schema,
    operations: Sequence[Mapping[str, Any]],
    models: Mapping[str, Path] | None = None,
) -> Documents:
    """Return the documents that Vespa's indexing makes of put operations.

    Args:
        java: Vespa's own code.
        application: The package.
        schema: Its schema.
        operations: As in a feed.
        models: Web address → local copy, of models that Vespa downloads.

    Raises:
        VespaJavaError: If Vespa's code refuses one.
    """
    made = java.index_documents(application, operations, models=models)
    types = {each.name: each.tensor_type for each in schema.fields}
    return Documents(
        ids=[str(each["put"]) for each in operations],
        tensors={
            name: field_tensors(kind, [each.get(name) for each in made])
            for name, kind in types.items()
            if kind is not None
        },
        values={
            name: [each.get(name) for each in made] for name, kind in types.items() if kind is None
        },
        where="Vespa's indexing",
    )


def read_by_vespa(
    java: VespaJava,
    application: Path,
    parameters: Mapping[str, Any],
    text: str,
    models: Mapping[str, Path] | None = None,
) -> RankQuery:
    """Return the question that Vespa's container makes of the parameters of a request.

    Args:
        java: Vespa's own code.
        application: The package.
        parameters: Of the request.
        text: Its words.
        models: Web address → local copy, of models that Vespa downloads.

    Raises:
        VespaJavaError: If Vespa's code refuses the request.
    """
    said = {name: str(value) for name, value in parameters.items()}
    query = java.read_query(application, said, models=models)
    return RankQuery(
        text=text,
        tensors={name[len("query(") : -1]: value for name, value in query.inputs.items()},
        nearest=tuple(
            NearestNeighbor(field=field, tensor=tensor)
            for field, tensor in NEAREST.findall(query.yql)
        ),
    )
