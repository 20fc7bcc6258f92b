"""Vespa's hugging-face-embedder in Python: one vector a text, as its Java makes it.

It reads the same two files and the same facts as services.xml gives to Vespa, and shares no code
with the judge that runs the Java. The stages can be looked at one by one: text with its
instruction → ids → rows → pooled vector → length 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.embedder.batches import (
    BATCH_TOKENS,
    encoded_batches,
    token_batches,
    worker_threads,
)
from vespa_colbert.embedder.colbert import Role
from vespa_colbert.embedder.tokenizer import encoded, open_tokenizer
from vespa_colbert.errors import ArrayError, CollectionError, ExportError
from vespa_colbert.export.dense import DenseFolder
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.dense_vectors import (
    Vectors,
    cells_of_vectors,
    pool_batch,
    unit_vectors,
)
from vespa_colbert.export.onnx_session import open_session
from vespa_colbert.processors import processors
from vespa_colbert.tensor import TensorType

__all__ = ["LocalDenseEmbedder"]

TEXTS_AT_ONCE = 512
"""Texts of a stream that are sorted by length together."""

ROWS_SHAPE = 3
"""Axes of an output that is still to be pooled."""


class LocalDenseEmbedder:
    """The embedder of one model folder.

    Texts of one length go through the encoder together, see ``batches.py``. A vector does not
    depend on what else is in its batch, up to the last digits of float32 sums (1e-6 of a
    component).

    Source: HuggingFaceEmbedder, Vespa 8.700.24.
    """

    def __init__(self, folder: DenseFolder, *, threads: int = 0) -> None:
        """Open tokenizer and model.

        Args:
            folder: A model folder.
            threads: How many calls run at a time, each on one thread; 0 for one a processor.

        Raises:
            MissingExtraError: If tokenizers or onnxruntime is not installed.
            ExportError: If a file cannot be read, or the model has other inputs or another output
                than its facts.
        """
        self.folder = folder
        self.spec: DenseSpec = folder.facts
        self._tokenizer = open_tokenizer(folder.tokenizer_path, folder.facts.max_tokens)
        self._session = _open_session(folder)
        self._workers = threads or processors()

    def prepared(self, text: str, role: Role) -> str:
        """Return a text with the instruction of its role before it.

        Source: TextPrepender, Vespa 8.700.24.
        """
        before = self.spec.query_prepend if role == "query" else self.spec.document_prepend
        return before + text if before.strip() else text

    def token_ids(self, text: str, role: Role) -> tuple[int, ...]:
        """Return the ids of a text as the encoder gets them, instruction and specials included.

        Raises:
            CollectionError: If the text holds half of a surrogate pair, or nothing is left of it.
        """
        ids = encoded(self._tokenizer, self.prepared(text, role), specials=True)
        if not ids:
            raise CollectionError(f"text: expected one that has tokens, got {text!r:.80}")
        return ids

    def tokens(self, text: str, role: Role) -> tuple[str, ...]:
        """Return the token behind each id, as the vocabulary writes it."""
        return tuple(self._tokenizer.id_to_token(each) or "" for each in self.token_ids(text, role))

    def rows(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return what the graph gives for one text's ids.

        Returns:
            (token, width) float32, or (1, width) where the graph has pooled.
        """
        output = self._run([tuple(ids)])
        return output if output.ndim < ROWS_SHAPE else output[0]

    def pooled(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        batch_tokens: int = BATCH_TOKENS,
        batch_texts: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Vectors:
        """Return vectors before they are brought to length 1, in the order of the texts.

        Args:
            texts: Any number.
            role: Says which instruction is put before them.
            batch_tokens: Tokens of a batch.
            batch_texts: Most texts of a batch; None for any number.
            progress: Told how many texts are done.

        Returns:
            (text, width) float32, all components that the model has.

        Raises:
            ArrayError: If the model gives a value that is not finite.
            CollectionError: If a text has half of a surrogate pair, or no tokens.
        """
        found: dict[int, NDArray[np.float32]] = {}
        with worker_threads(self._workers) as pool:
            ids = list(pool.map(lambda text: self.token_ids(text, role), texts))
            batches = token_batches([len(each) for each in ids], batch_tokens, batch_texts)
            for places, vectors in encoded_batches(
                lambda places: self._pooled([ids[each] for each in places]), batches, pool
            ):
                for place, vector in zip(places, vectors, strict=True):
                    self._require_finite(vector, texts[place])
                    found[place] = vector
                if progress is not None:
                    progress(len(found))
        rows = [found[place] for place in range(len(ids))]
        return np.array(rows, np.float32).reshape(len(ids), -1)

    def embed_many(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        dims: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        batch_texts: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Vectors:
        """Return the vector of each text: (text, dim) float32.

        Args:
            texts: Any number.
            role: Says which instruction is put before them.
            dims: How many of the first components; None for as many as the model is used with.
            batch_tokens: As of ``pooled``.
            batch_texts: As of ``pooled``.
            progress: As of ``pooled``.

        Raises:
            ArrayError: If the model gives a value that is not finite, or a vector of zeros that is
                to be brought to length 1.
            CollectionError: If a text has half of a surrogate pair, or no tokens.
            TensorTypeError: If the model has fewer components.
        """
        pooled = self.pooled(
            texts, role, batch_tokens=batch_tokens, batch_texts=batch_texts, progress=progress
        )
        width = dims or self.spec.dim
        return self.cells(pooled, TensorType.parse(f"tensor<float>(x[{width}])"))

    def embed(self, text: str, role: Role) -> NDArray[np.float32]:
        """Return the vector of a text: (dim,) float32; see :meth:`embed_many`."""
        vector: NDArray[np.float32] = self.embed_many([text], role)[0]
        return vector

    def embed_stream(
        self, texts: Iterable[str], role: Role, *, dims: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the vector of each text, in order, while texts come in; see :meth:`embed_many`."""
        source = iter(texts)
        while chunk := list(islice(source, TEXTS_AT_ONCE)):
            yield from self.embed_many(chunk, role, dims=dims)

    def cells(self, pooled: Vectors, cell_type: TensorType) -> NDArray[Any]:
        """Return what Vespa's embedder puts into a tensor of a type: a row of cells for each text.

        Args:
            pooled: As ``pooled`` returns them.
            cell_type: One indexed dimension: as many components, or packed bits in int8.

        Raises:
            TensorTypeError: If the type has more room than components are there, or another form.
            ArrayError: If a vector of zeros is to be brought to length 1.
        """
        return cells_of_vectors(pooled, cell_type, normalize=self.spec.normalize)

    def unit(self, pooled: Vectors) -> Vectors:
        """Return vectors of length 1, whatever the component is told: (text, dim) float32."""
        return unit_vectors(pooled)

    def _require_finite(self, vector: NDArray[np.float32], text: str) -> None:
        """Return nothing if all components of a vector are numbers.

        Raises:
            ArrayError: If not.
        """
        if not np.isfinite(vector).all():
            raise ArrayError(
                f"{self.spec.output}: expected finite values, got NaN or infinity for {text!r:.80}"
            )

    def _pooled(self, batch: Sequence[tuple[int, ...]]) -> Vectors:
        """Return the vectors of texts of one length: (text, width) float32."""
        return pool_batch(self._run(batch), [len(each) for each in batch], self.spec.pooling)

    def _run(self, batch: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        """Return the graph's output for the ids of texts of one length.

        Returns:
            (text, token, width), or (text, width) where the graph has pooled.
        """
        spec, ids = self.spec, np.array(batch, np.int64)
        given = {
            spec.input_ids: ids,
            spec.attention_mask: np.ones_like(ids),
            spec.token_type_ids: np.zeros_like(ids),
        }
        feeds = {name: array for name, array in given.items() if name}
        (output,) = self._session.run([spec.output], feeds)
        values: NDArray[np.float32] = output
        return values


def _open_session(folder: DenseFolder) -> Any:
    """Return an ONNX Runtime session after a look at its inputs and output.

    Raises:
        MissingExtraError: If onnxruntime is not installed.
        ExportError: If the file is no model, or names or axes are not those of its facts.

    Source: HuggingFaceEmbedder.analyze, Vespa 8.700.24.
    """
    try:
        session = open_session(folder.model_path, threads=1)
    except ExportError as error:
        raise ExportError(f"{folder.model_path}: {error}; export again") from error
    spec = folder.facts
    wanted = {each for each in (spec.input_ids, spec.attention_mask, spec.token_type_ids) if each}
    inputs = {each.name for each in session.get_inputs()}
    shapes = {each.name: each.shape for each in session.get_outputs()}
    if inputs != wanted or spec.output not in shapes:
        raise ExportError(
            f"{folder.model_path}: expected inputs {', '.join(sorted(wanted))} and output "
            f"{spec.output}, got {', '.join(sorted(inputs))} and {', '.join(shapes)}; export again"
        )
    axes = 2 if spec.pooling == "none" else ROWS_SHAPE
    if len(shapes[spec.output]) != axes:
        raise ExportError(
            f"{folder.model_path}: expected {axes} axes of {spec.output} for pooling "
            f"{spec.pooling}, got {shapes[spec.output]}; export again"
        )
    return session
