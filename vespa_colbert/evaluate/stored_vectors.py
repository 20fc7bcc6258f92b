"""Token vectors of texts on disk at full precision: made once, whatever is stored of them later.

One file: a line of JSON, then for each text its sha256, the number of its vectors, a checksum, and
the vectors. A run that was killed left whole records, and the next one goes on after them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, check_array
from vespa_colbert.errors import IndexFolderError, OutputError
from vespa_colbert.files import continued_file
from vespa_colbert.index.embedding import Embed

__all__ = ["StoredVectors", "missing_texts", "open_vectors", "store_vectors"]

logger = logging.getLogger(__name__)

FORMAT = "vespa-colbert token vectors 1"
HEADER_BYTES = 1024
RECORD = struct.Struct("<32sII")
"""Before the vectors of a text: its sha256, how many there are, CRC-32 of all that and of them."""

Places = dict[bytes, tuple[int, int]]
"""sha256 of a text → where its vectors begin in the file, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredVectors:
    """The token vectors of texts, read from disk when they are asked for.

    Attributes:
        path: The file.
        dim: Components of a token vector.
        places: sha256 of a text → where its vectors begin, and how many there are.
        content: The mapped file: (byte,) uint8.
    """

    path: Path
    dim: int
    places: Mapping[bytes, tuple[int, int]]
    content: NDArray[np.uint8]

    def __contains__(self, text: str) -> bool:
        return _digest(text) in self.places

    def embed(self, text: str) -> TokenVectors:
        """Return the token vectors of a text: (token, dim) float32, not to be written to.

        Raises:
            IndexFolderError: If the text is not among those that were embedded.
        """
        if (place := self.places.get(_digest(text))) is None:
            raise IndexFolderError(f"{self.path}: has no token vectors of the text {text!r:.60}")
        start, rows = place
        part = self.content[start : start + rows * self.dim * 4]
        return part.view("<f4").astype(np.float32, copy=False).reshape(rows, self.dim)


def open_vectors(path: Path, *, dim: int, origin: Mapping[str, str]) -> StoredVectors:
    """Return what is whole of a file of token vectors; nothing if it was made with something else.

    Args:
        path: The file; it may be absent.
        dim: Components of a token vector.
        origin: What the vectors must have been made with: name → checksum.

    Raises:
        OutputError: If another kind of file stands there.
    """
    content = np.zeros(0, np.uint8)
    places: Places = {}
    if path.is_file() and path.stat().st_size:
        content = np.asarray(np.memmap(path, np.uint8, "r"))
        if _header_of(content, path) == _header(dim, origin):
            places, end = _records(content, dim)
            if end < len(content):
                logger.warning("%s: damaged after %s texts; they are used", path, len(places))
    return StoredVectors(path=path, dim=dim, places=places, content=content)


def missing_texts(stored: StoredVectors, texts: Iterable[str]) -> list[str]:
    """Return those of the texts that are not stored, each once."""
    known = set(stored.places)
    missing = []
    for text in texts:
        if (digest := _digest(text)) not in known:
            known.add(digest)
            missing.append(text)
    return missing


def store_vectors(
    stored: StoredVectors,
    texts: Iterable[str],
    embed: Embed,
    *,
    origin: Mapping[str, str],
    progress: Callable[[int], None] = lambda _done: None,
) -> StoredVectors:
    """Return the stored vectors with those of more texts, written one text at a time.

    Args:
        stored: From ``open_vectors``.
        texts: Not yet stored; those that an earlier, killed run left are not embedded again.
        embed: Text of a document → (token, dim) float32.
        origin: As for ``open_vectors``.
        progress: Called with the number of texts done.

    Raises:
        OutputError: If the file cannot be written.
        ArrayError: If ``embed`` gives something else.
    """
    path, dim = stored.path, stored.dim
    with continued_file(path) as stream:
        known = _continue(stream, dim, origin)
        for done, text in enumerate(texts, start=1):
            if _digest(text) not in known:
                _append(stream, text, embed(text), dim)
            progress(done)
    return open_vectors(path, dim=dim, origin=origin)


def _continue(stream: BinaryIO, dim: int, origin: Mapping[str, str]) -> Places:
    """Return what is whole of a file, which ends after it then."""
    wanted, places, end = _header(dim, origin), Places(), 0
    if stream.seek(0, 2):
        content = np.asarray(np.memmap(stream.name, np.uint8, "r"))
        if _header_of(content, Path(stream.name)) == wanted:
            places, end = _records(content, dim)
    stream.truncate(end)
    stream.seek(end)
    if not end:
        stream.write(wanted)
    return places


def _append(stream: BinaryIO, text: str, vectors: TokenVectors, dim: int) -> None:
    check_array(vectors, "token vectors", dtype=np.float32, shape=(None, dim))
    data = np.ascontiguousarray(vectors, "<f4").tobytes()
    digest = _digest(text)
    stream.write(RECORD.pack(digest, len(vectors), _checksum(digest, len(vectors), data)) + data)


def _records(content: NDArray[np.uint8], dim: int) -> tuple[Places, int]:
    """Return the records up to the first that is not whole, and where they end."""
    places, end = Places(), HEADER_BYTES
    for digest, rows, start in _whole_records(memoryview(content.data), dim):
        places[digest] = start, rows
        end = start + rows * dim * 4
    return places, end


def _whole_records(content: memoryview, dim: int) -> Iterator[tuple[bytes, int, int]]:
    place = HEADER_BYTES
    while (start := place + RECORD.size) <= len(content):
        digest, rows, checksum = RECORD.unpack_from(content, place)
        place = start + rows * dim * 4
        if place > len(content) or _checksum(digest, rows, content[start:place]) != checksum:
            return
        yield digest, rows, start


def _checksum(digest: bytes, rows: int, data: bytes | memoryview) -> int:
    return zlib.crc32(data, zlib.crc32(digest + rows.to_bytes(4, "little")))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()


def _header(dim: int, origin: Mapping[str, str]) -> bytes:
    said = {"format": FORMAT, "dim": dim, "origin": dict(sorted(origin.items()))}
    return json.dumps(said).encode("ascii").ljust(HEADER_BYTES - 1) + b"\n"


def _header_of(content: NDArray[np.uint8], path: Path) -> bytes:
    """Return the first line of a file of ours.

    Raises:
        OutputError: If it is another kind of file.
    """
    found = content[:HEADER_BYTES].tobytes()
    # What was cut inside of the header holds nothing.
    if not found.startswith(f'{{"format": "{FORMAT}"'.encode("ascii")):
        raise OutputError(
            f"{path}: expected a file of token vectors or none, got another kind; choose another "
            "output folder"
        )
    return found
