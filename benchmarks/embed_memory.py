"""Memory while a corpus is embedded whose token vectors are many times what may be resident.

Usage: python benchmarks/embed_memory.py [--gigabytes 1,5,20] [--cells int8] [--folder FOLDER]

The encoder is a drawn table: a text of n words gets n unit vectors of 128 floats, some documents 20
and some 500. So everything runs as it does with a model, but the model itself, whose memory does
not depend on the corpus: reading, windows, blocks, packing, segments, joining, and the index under
its name. The size is that of the vectors as the encoder gives them; with packed bits the index on
disk is 32 times smaller. Each size is a process of its own; its largest resident memory is what the
kernel says, pages of mapped files included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIM = 128
LENGTHS = (20, 501)
"""Words of a text: at least, and one more than at most."""

MOST = 1e9
"""Bytes that may be resident."""

SCHEMA = """schema passage {{
    document passage {{
        field text type string {{ indexing: summary | index }}
    }}
    field rows type {kind} {{
        indexing: input text | embed colbert | attribute
    }}
}}
"""
KINDS = {
    "int8": f"tensor<int8>(dt{{}},x[{DIM // 8}])",
    "bfloat16": f"tensor<bfloat16>(dt{{}},x[{DIM}])",
    "float": f"tensor<float>(dt{{}},x[{DIM}])",
}


def write_corpus(path: Path, vectors: int) -> None:
    """Write texts of so many words altogether."""
    generator, number = np.random.default_rng(0), 0
    with path.open("w", encoding="utf-8") as stream:
        while vectors > 0:
            length = min(int(generator.integers(*LENGTHS)), vectors)
            # Texts differ, as a text that occurs again is embedded once.
            text = f"{number:06d} " + "word " * (length - 1)
            stream.write(json.dumps({"_id": str(number), "title": "", "text": text}) + "\n")
            vectors, number = vectors - length, number + 1


def peak_memory() -> int:
    """Return the largest resident memory of this process, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def drawn_encoder() -> Callable[..., list[NDArray[np.float32]]]:
    """Return what stands for a model: texts → vectors, a new array each."""
    table = np.random.default_rng(1).standard_normal((4096, DIM), dtype=np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)

    def embed(
        _embedder: Any, texts: Sequence[str], _pool: Any, *, progress: Callable[[int], None]
    ) -> list[NDArray[np.float32]]:
        made = []
        for text in texts:
            start = int(text[:6]) % (len(table) - LENGTHS[1])
            made.append(table[start : start + len(text.split())].copy())
        progress(len(texts))
        return made

    return embed


def embed(folder: Path, cells: str) -> dict[str, float]:
    """Return memory and time of embedding the corpus of a folder, in this process."""
    from vespa_colbert.app import read_schema
    from vespa_colbert.pipeline import EmbedRequest, corpus
    from vespa_colbert.pipeline.corpus import embed_slice
    from vespa_colbert.pipeline.survey import survey_corpus

    schema = folder / "passage.sd"
    schema.write_text(SCHEMA.format(kind=KINDS[cells]), encoding="utf-8")

    class Drawn(EmbedRequest):
        """A request that needs no model folder: the vectors are drawn."""

        origin = property(lambda _self: {"made": "drawn"})

    no_model: Any = None
    request = Drawn(
        corpus=folder / "corpus.jsonl", model=no_model, schema=read_schema(schema),
        output=folder / "index", threads=1,
    )  # fmt: skip
    vars(corpus).update(
        LocalEmbedder=lambda *_model, **_options: None, embed_documents=drawn_encoder()
    )
    before, started = peak_memory(), time.perf_counter()
    found = embed_slice(request, survey_corpus(request))
    return {
        "documents": found.documents,
        "seconds": time.perf_counter() - started,
        "before": before,
        "peak": peak_memory(),
        "stored": sum(each.stat().st_size for each in request.output.rglob("*") if each.is_file()),
    }


def main() -> None:
    """Embed each size in a process of its own and print its memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", default="1,5,20")
    parser.add_argument("--cells", choices=KINDS, default="int8")
    parser.add_argument("--folder", type=Path, help="Where scratch folders are made.")
    parser.add_argument("--embed", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.embed:
        print(json.dumps(embed(given.embed, given.cells)))
        return
    heads = ("vectors GB", "documents", "seconds", "stored GB", "before MB", "peak MB")
    print("".join(f"{each:>14}" for each in heads))
    peaks = []
    for size in map(float, given.gigabytes.split(",")):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            write_corpus(Path(folder) / "corpus.jsonl", int(size * 1e9) // (4 * DIM))
            command = [sys.executable, __file__, "--embed", folder, "--cells", given.cells]
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(ran.stdout)
        peaks.append(found["peak"])
        print(
            f"{size:>14g}{found['documents']:>14}{found['seconds']:>14.1f}"
            f"{found['stored'] / 1e9:>14.2f}{found['before'] / 1e6:>14.0f}"
            f"{found['peak'] / 1e6:>14.0f}",
            flush=True,
        )
    print(f"wanted at most {MOST / 1e6:.0f} MB: {'kept' if max(peaks) <= MOST else 'exceeded'}")


if __name__ == "__main__":
    main()
