"""Calls about embedders: token vectors by ColBertEmbedder, one vector by HuggingFaceEmbedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.tensor import TensorType
from vespa_colbert.tensor.binary import decode_tensor
from vespa_colbert.vespa_java.language import (
    CASES_A_REQUEST,
    LanguageCalls,
    package_folder,
    parts,
    require_text,
)
from vespa_colbert.vespa_java.report import (
    DenseFiles,
    EmbedderComponent,
    EmbedderFiles,
    JavaEmbedding,
    JavaVector,
)

__all__ = ["EmbedderCalls"]


class EmbedderCalls(LanguageCalls):
    """What a client asks about vectors of texts; it knows how to ask."""

    def embed(
        self,
        source: EmbedderComponent | EmbedderFiles,
        text: str,
        destination: str,
        tensor_type: TensorType,
    ) -> JavaEmbedding:
        """Return a text as Vespa's ColBertEmbedder embeds it.

        Args:
            source: The embedder that a package configures, or files and facts.
            text: Any text without lone surrogates.
            destination: ``query(qt)`` for a query, ``schema.field`` for a document: Vespa takes
                the role from it.
            tensor_type: Type of the destination.

        Raises:
            VespaJavaError: If Vespa refuses the package, the model or the type.
        """
        return self.embed_many(source, [text], destination, tensor_type)[0]

    def embed_many(
        self,
        source: EmbedderComponent | EmbedderFiles,
        texts: Sequence[str],
        destination: str,
        tensor_type: TensorType,
    ) -> list[JavaEmbedding]:
        """Return each text as Vespa's ColBertEmbedder embeds it; see :meth:`embed`.

        Raises:
            VespaJavaError: As for one text.
        """
        _require_destination(destination)
        for number, text in enumerate(texts):
            require_text(text, f"text {number}")
        if isinstance(source, EmbedderComponent):
            package_folder(source.folder)
        made: list[JavaEmbedding] = []
        for part in parts(texts, CASES_A_REQUEST):
            answers = self._ask("embed", source, part, destination, str(tensor_type))
            made += [_embedding(answer) for answer in answers]
        return made

    def text_vectors(
        self,
        source: EmbedderComponent | DenseFiles,
        texts: Sequence[str],
        destination: str,
        tensor_type: TensorType,
    ) -> list[JavaVector]:
        """Return each text as Vespa's HuggingFaceEmbedder embeds it.

        Args:
            source: The embedder that a package configures, or files and facts.
            texts: Any texts without lone surrogates.
            destination: ``query(q)`` for queries, ``schema.field`` for documents: Vespa takes the
                role from it.
            tensor_type: Type of the destination.

        Raises:
            VespaJavaError: If Vespa refuses the package, the model or the type.
        """
        for number, text in enumerate(texts):
            require_text(text, f"text {number}")
        made: list[JavaVector] = []
        for part in parts(texts, CASES_A_REQUEST):
            for answer in self._ask("text_vectors", source, part, destination, str(tensor_type)):
                ids = decode_tensor(answer.token_ids).values[0, 0].astype("int64")
                output = decode_tensor(answer.output).values[0, 0]
                made.append(
                    JavaVector(token_ids=ids, output=output, tensor=decode_tensor(answer.tensor))
                )
        return made


def _embedding(wire: Any) -> JavaEmbedding:
    return JavaEmbedding(
        token_ids=decode_tensor(wire.token_ids).values[0, 0].astype("int64"),
        attention_mask=decode_tensor(wire.attention_mask).values[0, 0].astype("int64"),
        contextual=decode_tensor(wire.contextual).values[0, 0],
        tensor=decode_tensor(wire.tensor),
    )


def _require_destination(destination: str) -> None:
    """Return nothing if the text names a query feature or a document field.

    Raises:
        VespaJavaError: If it names neither; Vespa would take it for a document field.
    """
    is_query = destination.startswith("query(") and destination.endswith(")")
    schema, dot, field = destination.partition(".")
    if not is_query and not (schema and dot and field):
        raise VespaJavaError(
            f"expected a destination such as query(qt) or doc.colbert, got {destination!r}"
        )
