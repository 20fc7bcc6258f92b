"""How fast a feed is written from a local index: documents a second, tensors as hexadecimal blocks.

Usage: python benchmarks/feed.py [--documents 20000] [--tokens 8] [--rounds 5]

The documents are short: so many token vectors each, of 128 components, drawn, and a text of as many
words. Feeds are written to a file as ``feed`` writes them: without tensors, with packed bits, and
with float cells; contenders take turns, medians are shown: by the clock, and by the time of the one
processor that writes, which others that are at work do not lengthen. The index is written once.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app import Schema, read_schema
from vespa_colbert.index import Document, build_index, write_feed
from vespa_colbert.pipeline.feed import FeedOptions, open_feed

DIM = 128
WANTED = 20_000
"""Documents a second of one processor, of packed bits: a model makes hundreds."""

SCHEMA = """schema passage {{
    document passage {{
        field title type string {{ indexing: summary | index }}
        field text type string {{ indexing: summary | index }}
        {0}
    }}
}}
"""
TENSORS = {
    "no tensors": {},
    "packed bits": {"bits": f"tensor<int8>(dt{{}},x[{DIM // 8}])"},
    "float": {"floats": f"tensor<float>(dt{{}},x[{DIM}])"},
}
"""What is fed → name and type of the tensor fields that documents have."""


def schema_of(folder: Path, tensors: dict[str, str], indexing: str = "attribute") -> Schema:
    """Return the schema of a package whose documents have these fields."""
    fields = [
        f"field {name} type {kind} {{ indexing: {indexing} }}" for name, kind in tensors.items()
    ]
    path = folder / "passage.sd"
    path.write_text(SCHEMA.format("\n".join(fields)), encoding="utf-8")
    return read_schema(path)


def write_index(folder: Path, documents: int, tokens: int) -> Path:
    """Return the index of drawn vectors."""
    draw = np.random.default_rng(0)
    table = draw.standard_normal((4096, DIM), dtype=np.float32)
    text = " ".join(["word"] * tokens)

    def embed(said: str) -> NDArray[np.float32]:
        start = int(said) % (len(table) - tokens)
        return table[start : start + tokens]

    corpus = (
        Document(id=f"d{place}", fields={"title": str(place), "text": text})
        for place in range(documents)
    )
    every = {name: kind for each in TENSORS.values() for name, kind in each.items()}
    schema = schema_of(folder, every, "input title | embed colbert | attribute")
    build_index(list(corpus), schema, embed, folder / "index", origin={"made": "drawn"})
    return folder / "index"


def seconds(index: Path, schema: Schema, path: Path) -> tuple[float, float]:
    """Return how long it takes to write a feed: by the clock, and of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    write_feed(open_feed(index, schema, FeedOptions(namespace="passages")), path)
    return time.perf_counter() - started, time.process_time() - worked


def main() -> None:
    """Write each feed a few times and print documents a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = write_index(folder, given.documents, given.tokens)
        taken: dict[str, list[tuple[float, float]]] = {what: [] for what in TENSORS}
        sizes = {}
        for _ in range(given.rounds):
            for what, tensors in TENSORS.items():
                path = folder / "feed.jsonl"
                taken[what].append(seconds(index, schema_of(folder, tensors), path))
                sizes[what] = path.stat().st_size / given.documents
    print(f"{given.documents} documents of {given.tokens} token vectors, documents a second")
    print(f"{'':<14}{'clock':>10}{'processor':>12}  bytes a document")
    reached = 0.0
    for what, each in taken.items():
        clock, worked = (
            given.documents / statistics.median(one) for one in zip(*each, strict=True)
        )
        print(f"  {what:<12}{clock:>10,.0f}{worked:>12,.0f}{sizes[what]:>18,.0f}")
        reached = worked if what == "packed bits" else reached
    verdict = "reached" if reached >= WANTED else "missed"
    print(f"wanted {WANTED:,} documents a second of a processor with packed bits: {verdict}")


if __name__ == "__main__":
    main()
