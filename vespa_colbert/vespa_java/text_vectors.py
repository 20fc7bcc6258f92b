"""Calls about texts that become one vector, by Vespa's HuggingFaceEmbedder."""

from __future__ import annotations

from collections.abc import Sequence

from vespa_colbert.tensor import TensorType
from vespa_colbert.tensor.binary import decode_tensor
from vespa_colbert.vespa_java.language import LanguageCalls, parts, require_text
from vespa_colbert.vespa_java.report import DenseFiles, EmbedderComponent, JavaVector

__all__ = ["TextVectorCalls"]

TEXTS_A_CALL = 16
"""Texts that one request carries: each goes through an encoder."""


class TextVectorCalls(LanguageCalls):
    """What a client asks about vectors of whole texts; it knows how to ask."""

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
        for part in parts(texts, TEXTS_A_CALL):
            for answer in self._ask("text_vectors", source, part, destination, str(tensor_type)):
                ids = decode_tensor(answer.token_ids).values[0, 0].astype("int64")
                output = decode_tensor(answer.output).values[0, 0]
                made.append(
                    JavaVector(token_ids=ids, output=output, tensor=decode_tensor(answer.tensor))
                )
        return made
