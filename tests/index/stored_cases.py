"""Indexes of made-up documents: which documents an index has is compared with a plain dict."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vespa_colbert.app.schema import Field, Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.index import Document, IndexWriter, open_index
from vespa_colbert.index.embedding import FieldCells, embedded_fields
from vespa_colbert.index.manifest import FieldKind, IndexManifest
from vespa_colbert.index.rows import CodedRows, DocumentRows, NumberedRows, Rows
from vespa_colbert.index.segment import SegmentPart, document_line
from vespa_colbert.index.store import field_kinds
from vespa_colbert.tensor import TensorType

EMBED = ("input text | embed colbert | attribute",)
SCHEMA = Schema(
    name="passage",
    fields=(
        Field(name="text", type="string", indexing=("index | summary",)),
        Field(name="contexts", type="array<string>", indexing=("index",)),
        Field(name="floats", type="tensor<float>(dt{},x[8])", indexing=EMBED, in_document=False),
        Field(name="bits", type="tensor<int8>(dt{},x[1])", indexing=EMBED, in_document=False),
        Field(
            name="deep",
            type="tensor<bfloat16>(context{},token{},x[8])",
            indexing=("input contexts | embed colbert context | attribute",),
            in_document=False,
        ),
    ),
)
CODED = FieldKind(type=TensorType.parse("tensor<int8>(c{},dt{},x[2])"), centroids="c")
START = IndexManifest(
    schema="passage", fields={**field_kinds(SCHEMA), "coded": CODED}, origin={"model": "m"}
)

Stored = Mapping[str, str]
"""Id → text."""


def embed(text: str) -> TokenVectors:
    """Return rows that only this text has."""
    draw = np.random.default_rng(zlib.crc32(text.encode()))
    return draw.standard_normal((len(text) % 7, 8)).astype(np.float32)


def coded(texts: Sequence[str]) -> CodedRows:
    """Return residuals that only these texts have, their centroids beyond those of 16 bits."""
    lengths = [len(text) % 7 for text in texts]
    draws = [np.random.default_rng(zlib.crc32(text.encode())) for text in texts]
    values = [d.integers(-128, 128, (n, 2)) for d, n in zip(draws, lengths, strict=True)]
    numbers = [d.integers(0, 70_000, n) for d, n in zip(draws, lengths, strict=True)]
    rows = DocumentRows(
        type=CODED.inner,
        offsets=np.cumsum([0, *lengths]),
        values=np.concatenate([np.zeros((0, 2)), *values]).astype(np.int8),
    )
    every = np.concatenate([np.zeros(0), *numbers]).astype(np.int32)
    return CodedRows(type=CODED.type, outer="c", rows=rows, numbers=every)


def document(name: str, text: str) -> Document:
    return Document(id=name, fields={"text": text, "contexts": [text, text]})


def part(stored: Stored, first: int = 0) -> SegmentPart:
    """Return documents ready to be added."""
    fields = {
        name: FieldCells(embedded=each)
        for name, each in embedded_fields(SCHEMA).items()
        if each.holds_tokens
    }
    documents = [document(name, text) for name, text in stored.items()]
    for each in documents:
        for cells in fields.values():
            cells.add(each.fields, embed)
    lines = {each.id: document_line(each, {}) for each in documents}
    rows: dict[str, Rows] = {name: cells.rows() for name, cells in fields.items()}
    rows["coded"] = coded(list(stored.values()))
    return SegmentPart.of(lines, range(first, first + len(lines)), rows)


def found(path: Path) -> dict[str, str]:
    """Return id → text of an index, after comparing every cell with what the text gives."""
    index = open_index(path)
    stored = {each.id: str(each.fields["text"]) for each in index.documents}
    assert len(stored) == len(index)
    wanted = part(stored)
    for name, rows in index.tensors.items():
        assert np.array_equal(np.diff(rows.offsets), wanted.fields[name].lengths), name
        assert np.array_equal(rows.values, wanted.fields[name].values), name
        if isinstance(rows, NumberedRows):
            assert np.array_equal(rows.numbers, wanted.fields[name].numbers), name
    return stored


def change(writer: IndexWriter, step: int, stored: Stored) -> dict[str, str]:
    """Do the n-th of a sequence of changes; return which documents there are then."""
    after = changed(step, stored)
    if step % 9 == 8:
        writer.compact()
    elif step % 4 == 3:
        writer.delete([name for name in stored if name not in after])
    else:
        writer.add([part({n: t for n, t in after.items() if stored.get(n) != t}, 10 * step)])
    return after


def changed(step: int, stored: Stored) -> dict[str, str]:
    """Return which documents there are after the n-th change."""
    if step % 9 == 8:
        return dict(stored)
    if step % 4 == 3:
        return dict(list(stored.items())[1::2])
    names = [f"d{step}", f"e{step}", *list(stored)[:2]]
    rest = {name: text for name, text in stored.items() if name not in names}
    return {**rest, **{name: f"text {name} of step {step}" for name in names}}


def states(steps: int) -> Sequence[dict[str, str]]:
    """Return which documents there are after 0, 1, 2, … changes."""
    every: list[dict[str, str]] = [{}]
    for step in range(steps):
        every.append(changed(step, every[-1]))
    return every
