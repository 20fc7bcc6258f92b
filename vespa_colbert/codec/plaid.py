"""PLAID's index, the files of colbert-ai: read so that nothing is encoded again, and written.

``centroids.pt`` (float16), ``buckets.pt`` (cutoffs and weights), ``avg_residual.pt``; for each
chunk ``N.codes.pt`` (int32), ``N.residuals.pt`` (uint8), ``doclens.N.json`` and
``N.metadata.json``; ``ivf.pid.pt`` (documents of each centroid), ``plan.json`` and
``metadata.json``. Its documents have no ids: they are the lines of a collection, in order.

Source: CollectionIndexer, IndexSaver and optimize_ivf, colbert-ai 501c29d.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.codec.residual import ResidualCodec, ResidualCodes
from vespa_colbert.codec.torch_values import read_torch_values, write_torch_values
from vespa_colbert.errors import CheckpointError, IndexFolderError, SpecError
from vespa_colbert.files import atomic_folder

__all__ = ["PlaidChunk", "PlaidIndex", "read_plaid", "write_plaid"]

METADATA_FILE, PLAN_FILE = "metadata.json", "plan.json"
CENTROIDS_FILE, BUCKETS_FILE = "centroids.pt", "buckets.pt"
AVERAGE_FILE, LISTS_FILE = "avg_residual.pt", "ivf.pid.pt"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlaidChunk:
    """Some documents, one after the other.

    Attributes:
        lengths: (document,) int64, token vectors of each.
        codes: Of all of them, laid end to end.
    """

    lengths: NDArray[np.int64]
    codes: ResidualCodes

    def documents(self) -> Iterator[ResidualCodes]:
        """Yield the codes of each document."""
        end = 0
        for length in self.lengths.tolist():
            start, end = end, end + length
            yield self.codes[start:end]


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaidIndex:
    """An index on disk.

    Attributes:
        path: Its folder.
        codec: Its centroids and buckets.
        config: What colbert-ai was told, as ``checkpoint``.
        chunk_count: How many chunks there are.
        tokens: Token vectors of all documents.
    """

    path: Path
    codec: ResidualCodec
    config: Mapping[str, Any]
    chunk_count: int
    tokens: int

    def chunks(self) -> Iterator[PlaidChunk]:
        """Yield the chunks, each checked.

        Raises:
            IndexFolderError: If a file is missing or damaged, or two contradict each other.
        """
        tokens = 0
        for number in range(self.chunk_count):
            chunk = _read_chunk(self, number)
            tokens += len(chunk.codes)
            yield chunk
        if tokens != self.tokens:
            raise IndexFolderError(
                f"{self.path}: expected {self.tokens} token vectors as {METADATA_FILE} says, got "
                f"{tokens}"
            )

    def lengths(self) -> NDArray[np.int64]:
        """Return how many token vectors each document has: (document,) int64.

        Raises:
            IndexFolderError: If a file is missing or damaged.
        """
        chunks = (_lengths(_lengths_file(self.path, each)) for each in range(self.chunk_count))
        return np.concatenate([np.zeros(0, np.int64), *chunks])

    def documents(self) -> Iterator[ResidualCodes]:
        """Yield the codes of each document."""
        for chunk in self.chunks():
            yield from chunk.documents()


def read_plaid(path: Path) -> PlaidIndex:
    """Return PLAID's index, its codec read and its chunks not yet.

    Raises:
        IndexFolderError: If there is none, a file is damaged, or two contradict each other.
    """
    said = _json(path / METADATA_FILE)
    try:
        config = dict(said["config"])
        dim, bits = int(config["dim"]), int(config["nbits"])
        chunks, tokens = int(said["num_chunks"]), int(said["num_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise IndexFolderError(f"{path / METADATA_FILE}: expected PLAID's ({error})") from error
    centroids = _tensors(path / CENTROIDS_FILE, 1)[0]
    cutoffs, weights = _tensors(path / BUCKETS_FILE, 2)
    average = _tensors(path / AVERAGE_FILE, 1)[0]
    try:
        codec = ResidualCodec(
            centroids=centroids,
            cutoffs=cutoffs,
            weights=weights,
            average_residual=float(average.mean(dtype=np.float64)),
        )
    except SpecError as error:
        raise IndexFolderError(f"{path}: {error}") from error
    if (codec.dim, codec.bits) != (dim, bits):
        raise IndexFolderError(
            f"{path}: expected {dim} components of {bits} bits as {METADATA_FILE} says, got "
            f"{codec.dim} of {codec.bits}"
        )
    return PlaidIndex(path=path, codec=codec, config=config, chunk_count=chunks, tokens=tokens)


def _read_chunk(index: PlaidIndex, number: int) -> PlaidChunk:
    """Return one chunk.

    Raises:
        IndexFolderError: If a file is missing or damaged, or they contradict each other.
    """
    path, codec = index.path, index.codec
    lengths = _lengths(_lengths_file(path, number))
    centroids = _tensors(path / f"{number}.codes.pt", 1)[0]
    residuals = _tensors(path / f"{number}.residuals.pt", 1)[0]
    tokens = int(lengths.sum())
    wanted = (("codes", centroids, (tokens,)), ("residuals", residuals, (tokens, codec.width)))
    for name, array, shape in wanted:
        if array.shape != shape or array.dtype.kind not in "iu":
            raise IndexFolderError(
                f"{path}: {number}.{name}.pt: expected shape {shape}, as doclens.{number}.json "
                f"and the codec say, got {array.shape} of {array.dtype}"
            )
    if tokens and not 0 <= centroids.min() <= centroids.max() < len(codec.centroids):
        raise IndexFolderError(
            f"{path}: {number}.codes.pt: expected centroids from 0 to {len(codec.centroids) - 1}, "
            f"got {centroids.min()} to {centroids.max()}"
        )
    codes = ResidualCodes(centroids=centroids.astype(np.int32), residuals=residuals)
    return PlaidChunk(lengths=lengths, codes=codes)


def _lengths_file(path: Path, number: int) -> Path:
    return path / f"doclens.{number}.json"


def _lengths(path: Path) -> NDArray[np.int64]:
    """Return the token vectors of each document.

    Raises:
        IndexFolderError: If the file is no list of numbers from 0.
    """
    said = _json(path)
    if not isinstance(said, list) or not all(type(each) is int and each >= 0 for each in said):
        raise IndexFolderError(f"{path}: expected a list of numbers of token vectors")
    return np.array(said, np.int64)


def _json(path: Path) -> Any:
    """Return what a JSON file says.

    Raises:
        IndexFolderError: If there is none, or it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise IndexFolderError(
            f"{path}: expected a file of PLAID's index, cannot read it ({error})"
        ) from error


def _tensors(path: Path, count: int) -> tuple[NDArray[Any], ...]:
    """Return the tensors of a file.

    Raises:
        IndexFolderError: If it is missing or damaged, or holds more or fewer.
    """
    try:
        found = read_torch_values(path)
    except CheckpointError as error:
        raise IndexFolderError(str(error)) from error
    if len(found) != count:
        raise IndexFolderError(f"{path}: expected {count} tensors, got {len(found)}")
    return found


def write_plaid(
    output: Path,
    codec: ResidualCodec,
    chunks: Iterable[PlaidChunk],
    *,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write an index that colbert-ai opens, whole or not at all.

    Args:
        output: The folder; an older index of PLAID there is replaced.
        codec: The codec of the codes.
        chunks: The documents, in order; a few tens of thousands in each.
        config: What colbert-ai is to be told beside dim and nbits, as ``checkpoint``.

    Raises:
        SpecError: If colbert-ai takes no vectors of that width.
        OutputError: If it cannot be written, or the folder holds something else.
    """
    if codec.dim % (8 * codec.bits):
        raise SpecError(
            f"PLAID takes {codec.bits} bits of a dim divisible by {8 * codec.bits}, got {codec.dim}"
        )
    said = {**(config or {}), "dim": codec.dim, "nbits": codec.bits}
    with atomic_folder(output, is_ours=_is_plaid) as folder:
        write_torch_values(folder / CENTROIDS_FILE, codec.centroids.astype(np.float16))
        write_torch_values(folder / BUCKETS_FILE, codec.cutoffs, codec.weights)
        average = np.float32(codec.average_residual)
        write_torch_values(folder / AVERAGE_FILE, np.asarray(average))
        lists, lengths, count, documents = list[NDArray[np.int32]](), list[int](), 0, 0
        for number, chunk in enumerate(chunks):
            _write_chunk(folder, number, chunk, documents, sum(lengths))
            lists.append(chunk.codes.centroids)
            documents += len(chunk.lengths)
            lengths += chunk.lengths.tolist()
            count = number + 1
        _write_lists(folder / LISTS_FILE, lists, lengths, len(codec.centroids))
        tokens = sum(lengths)
        totals = {"num_chunks": count, "num_partitions": len(codec.centroids)}
        average_length = tokens / max(documents, 1)
        estimates = {"num_embeddings_est": tokens, "avg_doclen_est": average_length}
        exact = {"num_embeddings": tokens, "avg_doclen": average_length}
        _write_json(folder / PLAN_FILE, {"config": said, **totals, **estimates})
        _write_json(folder / METADATA_FILE, {"config": said, **totals, **exact})


def _write_chunk(folder: Path, number: int, chunk: PlaidChunk, documents: int, tokens: int) -> None:
    write_torch_values(folder / f"{number}.codes.pt", chunk.codes.centroids)
    write_torch_values(folder / f"{number}.residuals.pt", chunk.codes.residuals)
    _write_json(folder / f"doclens.{number}.json", chunk.lengths.tolist())
    place = {
        "passage_offset": documents,
        "num_passages": len(chunk.lengths),
        "num_embeddings": len(chunk.codes),
        "embedding_offset": tokens,
    }
    _write_json(folder / f"{number}.metadata.json", place)


def _write_lists(
    path: Path, codes: list[NDArray[np.int32]], lengths: list[int], centroids: int
) -> None:
    """Write the documents that have tokens of each centroid, each once, in order.

    The last list is padded to the length of the longest, as PLAID reads them with strides.
    """
    every = np.concatenate([np.zeros(0, np.int32), *codes]).astype(np.int64)
    documents = np.repeat(np.arange(len(lengths)), lengths)
    pairs = np.unique(every * max(len(lengths), 1) + documents)
    owners, held = np.divmod(pairs, max(len(lengths), 1))
    counts = np.bincount(owners, minlength=centroids)
    longest = int(counts.max(initial=0))
    short = int(counts[:-1].sum()) + longest - len(held)
    padded = np.concatenate([held, np.zeros(longest if short > 0 else 0, np.int64)])
    write_torch_values(path, padded.astype(np.int32), counts.astype(np.int64))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=4) + "\n", encoding="utf-8")


def _is_plaid(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (METADATA_FILE, CENTROIDS_FILE, BUCKETS_FILE))
