"""How long a fresh process takes to answer from a local index: imports, open, two answers.

Usage: python benchmarks/first_answer.py [--vectors 1000000] [--dim 128] [--rounds 5] [--folder F]

An index of random token vectors is written once, with float cells and with packed bits. Then each
round starts a process for each profile that imports the package, opens the index, and ranks all
documents by a package's own profile, twice. The query's vectors are random too: embedding is
another model's start. numba, which is imported when a call is worth its kernels, and the many
modules of its own that it imports at the first call of a compiled function, are imported before the
index is opened and timed by themselves: a one-shot command pays for them, too. The first process
compiles numba's kernels if nobody did before; it is not counted. With --folder the index is kept
there, and used again where it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TOKENS = 32
LENGTHS = (40, 161)
"""Token vectors of a document: at least, and one more than at most."""

WANTED = 0.5
"""Seconds from the end of imports to the first answer."""

PROFILES = ("max_sim_float", "max_sim_int8")
STEPS = ("import", "import numba", "open", "first answer", "second answer")

SCHEMA = """schema passage {{
    document passage {{
        field text type string {{ indexing: summary | index }}
    }}
    field rows type tensor<float>(dt{{}},x[{dim}]) {{
        indexing: input text | embed colbert | attribute
    }}
    field bits type tensor<int8>(dt{{}},x[{width}]) {{
        indexing: input text | embed colbert | attribute
    }}
    rank-profile max_sim_float {{
        inputs {{ query(qt) tensor<float>(qt{{}},x[{dim}]) }}
        function max_sim() {{
            expression: sum(reduce(sum(query(qt) * attribute(rows), x), max, dt), qt)
        }}
        first-phase {{ expression: max_sim }}
    }}
    rank-profile max_sim_int8 inherits max_sim_float {{
        function max_sim() {{
            expression {{
                sum(reduce(sum(query(qt) * unpack_bits(attribute(bits)), x), max, dt), qt)
            }}
        }}
    }}
}}
"""


def write_package(folder: Path, dim: int) -> None:
    """Write a schema with both profiles."""
    (folder / "schemas").mkdir(parents=True)
    text = SCHEMA.format(dim=dim, width=dim // 8)
    (folder / "schemas" / "passage.sd").write_text(text, encoding="utf-8")


def write_index(application: Path, path: Path, vectors: int, dim: int) -> None:
    """Write an index of random vectors."""
    from vespa_colbert.app import read_application
    from vespa_colbert.index import Document, build_index

    generator = np.random.default_rng(0)
    lengths = list(_lengths(generator, vectors))
    made = iter(lengths)

    def embed(_text: str) -> NDArray[np.float32]:
        rows = generator.standard_normal((next(made), dim), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    documents = [
        Document(id=str(number), fields={"text": f"text {number}"})
        for number in range(len(lengths))
    ]
    (schema,) = read_application(application).schemas
    build_index(documents, schema, embed, path, origin={"made": "random"})


def _lengths(generator: np.random.Generator, vectors: int) -> Iterator[int]:
    """Yield lengths of documents until there are so many vectors."""
    while vectors > 0:
        length = min(int(generator.integers(*LENGTHS)), vectors)
        yield length
        vectors -= length


def answer(application: Path, path: Path, profile: str) -> dict[str, float]:
    """Return what each step took in this process, in seconds."""
    at = [time.perf_counter()]
    from vespa_colbert.app import read_application
    from vespa_colbert.index import open_index
    from vespa_colbert.rank import Ranker, RankQuery
    from vespa_colbert.tensor import Tensor

    at.append(time.perf_counter())
    from numba.core.registry import cpu_target

    from vespa_colbert.rank.kernels import compiled  # noqa: F401 - its import is timed

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    at.append(time.perf_counter())
    (schema,) = read_application(application).schemas
    ranker = Ranker(schema, profile, open_index(path), folder=application)
    at.append(time.perf_counter())
    kind = ranker.profile.input_types["qt"]
    generator = np.random.default_rng(1)
    for _round in range(2):
        rows = generator.standard_normal((TOKENS, kind.shape[0]), dtype=np.float32)
        ranker.rank(RankQuery(text="", tensors={"qt": Tensor.rows(kind, rows)}))
        at.append(time.perf_counter())
    return dict(zip(STEPS, np.diff(at).tolist(), strict=True))


def compare(application: Path, path: Path, rounds: int) -> None:
    """Print median and best of fresh processes."""
    print(f"{'profile':<22}" + "".join(f"{step:>15}" for step in (*STEPS, "open + first")))
    for profile in PROFILES:
        command = [sys.executable, __file__, "--answer", str(application), str(path), profile]
        taken = []
        for _round in range(rounds + 1):
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            taken.append(json.loads(ran.stdout))
        for each in taken:
            each["open + first"] = each["open"] + each["first answer"]
        for name, of in (("median", statistics.median), ("best", min)):
            found = {step: of([each[step] for each in taken[1:]]) for step in taken[0]}
            print(
                f"{profile} {name}".ljust(22) + "".join(f"{each:>15.3f}" for each in found.values())
            )
            verdict = "reached" if found["open + first"] <= WANTED else "missed"
            print(f"  open and first answer, {name}: wanted {WANTED} s, {verdict}")


def main() -> None:
    """Write the index and start the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--answer", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        application, path, profile = given.answer
        print(json.dumps(answer(Path(application), Path(path), profile)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        application, path = folder / "app", folder / "index"
        if not path.exists():
            write_package(application, given.dim)
            write_index(application, path, given.vectors, given.dim)
        compare(application, path, given.rounds)


if __name__ == "__main__":
    main()
