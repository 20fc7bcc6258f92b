"""JSON lines with texts → JSON lines with one vector each, in order, while they come in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vespa_colbert.embedder import LocalDenseEmbedder, Role
from vespa_colbert.embedder.dense import TEXTS_AT_ONCE
from vespa_colbert.errors import CollectionError
from vespa_colbert.json_lines import json_object, valid_text

__all__ = ["embed_lines"]

PARTS = ("title", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line: what it is called, if it is, and its text."""

    id: str | None
    text: str


def embed_lines(
    lines: Iterable[str],
    embedder: LocalDenseEmbedder,
    role: Role,
    *,
    source: str = "input",
    dims: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[str]:
    """Yield a line ``{"_id": …, "vector": […]}`` for each line with a text; blank ones have none.

    A title is put before the text with a space between. Numbers are written so that they are read
    as the same float32 again.

    Args:
        lines: ``{"_id": …, "title": …, "text": …}`` each; only ``text`` must be there.
        embedder: Makes the vectors.
        role: Says which instruction is put before the texts.
        source: What errors call the lines.
        dims: How many of the first components; None for as many as the model is used with.
        progress: Told how many texts are done.

    Raises:
        CollectionError: With the number of the line, if it is no object or has no text. Lines
            before it were yielded, those of its own five hundred aside.
        ArrayError: If the model gives values that are not finite.
        TensorTypeError: If the model has fewer components.
    """
    read = _read(lines, source)
    done = 0
    while chunk := list(islice(read, TEXTS_AT_ONCE)):
        vectors = embedder.embed_many([each.text for each in chunk], role, dims=dims)
        for line, vector in zip(chunk, vectors, strict=True):
            row: dict[str, Any] = {} if line.id is None else {"_id": line.id}
            # The text of a float32 is the shortest that is read as it again.
            row["vector"] = [float(str(value)) for value in vector]
            yield json.dumps(row, ensure_ascii=False)
        done += len(chunk)
        if progress is not None:
            progress(done)


def _read(lines: Iterable[str], source: str) -> Iterator[_Line]:
    """Yield the lines that are not blank.

    Raises:
        CollectionError: With the number of a line that is no object or has no text.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{source} line {number}"
        row = json_object(line.removeprefix("\ufeff") if number == 1 else line, where)
        texts = [row[name] for name in PARTS if row.get(name)]
        if not isinstance(row.get("text"), str) or not all(isinstance(each, str) for each in texts):
            raise CollectionError(
                f'{where}: expected a text under "text" (and "title"), got {line.strip()[:60]!r}'
            )
        found = row.get("_id")
        yield _Line(
            id=None if found is None else str(found),
            text=valid_text(" ".join(texts), "text", where),
        )
