"""How long a fresh process takes to answer from a local index: imports, open, two answers.

Usage: python benchmarks/first_answer.py [--vectors 1000000] [--dim 128] [--rounds 5] [--folder F]

An index of random token vectors is written once, with float cells and with packed bits, and one of
random codes of two bits, with as many centroids as a codec has for so many vectors. Then each round
starts a process for each profile that imports the package, opens the index, and ranks all
documents by a package's own profile, twice. The query's vectors are random too: embedding is
another model's start. numba, which is imported when a call is worth its kernels, and the many
modules of its own that it imports at the first call of a compiled function, are imported before the
index is opened and timed by themselves: a one-shot command pays for them, too. The first process
compiles numba's kernels if nobody did before; it is not counted. With --folder the indexes are kept
there, and used again where they are.
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
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vespa_colbert.codec import ResidualCodec

TOKENS = 32
LENGTHS = (40, 161)
"""Token vectors of a document: at least, and one more than at most."""

WANTED = 0.5
"""Seconds from the end of imports to the first answer."""

PROFILES = {
    "max_sim_float": ("app", "index"),
    "max_sim_int8": ("app", "index"),
    "max_sim_residual": ("coded-app", "coded-index"),
}
"""Rank profile → its package and its index."""

BITS = 2
"""Bits a component of the codes."""

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

CODED_SCHEMA = """schema passage {{
    document passage {{
        field text type string {{ indexing: summary | index }}
        field {field} type {kind} {{ indexing: attribute }}
    }}
    constant centroids {{
        file: {file}
        type: {centroids}
    }}
    rank-profile max_sim_residual {{
        inputs {{ query(qt) tensor<float>(qt{{}},x[{dim}]) }}
        function token_residuals() {{ expression {{ {residuals} }} }}
        function token_vectors() {{
            expression: l2_normalize(token_residuals + constant(centroids), x)
        }}
        function max_sim() {{
            expression: sum(reduce(sum(query(qt) * token_vectors, x), max, dt, c), qt)
        }}
        first-phase {{ expression: max_sim }}
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


def random_codec(vectors: int, dim: int) -> ResidualCodec:
    """Return a codec of random centroids, as many as PLAID takes for so many vectors."""
    from vespa_colbert.codec import ResidualCodec, centroids_for

    generator = np.random.default_rng(2)
    made = generator.standard_normal((centroids_for(vectors), dim), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    weights = np.linspace(-0.06, 0.06, 1 << BITS).astype(np.float32)
    return ResidualCodec(
        centroids=made.astype(np.float16).astype(np.float32),
        cutoffs=weights[1:] - np.float32(0.02),
        weights=weights,
    )


def write_coded_package(application: Path, codec: ResidualCodec) -> None:
    """Write a schema that ranks residuals, and the centroids."""
    from vespa_colbert.app.variants.residual import (
        FIELD,
        FILE,
        residual_type,
        residuals_expression,
    )
    from vespa_colbert.codec import write_codec
    from vespa_colbert.codec.store import centroids_type

    (application / "schemas").mkdir(parents=True)
    write_codec(codec, (application / FILE).parent)
    text = CODED_SCHEMA.format(
        field=FIELD,
        kind=residual_type(codec.width),
        file=FILE,
        centroids=centroids_type(codec.dim),
        dim=codec.dim,
        residuals=residuals_expression(codec.weights.tolist(), codec.dim),
    )
    (application / "schemas" / "passage.sd").write_text(text, encoding="utf-8")


def write_coded(application: Path, codec: ResidualCodec, floats: Path, path: Path) -> None:
    """Write an index of random codes.

    Args:
        application: Folder of its package.
        codec: What the codes are of.
        floats: The index that has as many vectors.
        path: The index of codes.
    """
    from vespa_colbert.codec import ResidualCodes
    from vespa_colbert.index import read_index
    from vespa_colbert.pipeline.coded_index import write_coded_index
    from vespa_colbert.pipeline.compressed_index import CompressedIndex

    generator, index = np.random.default_rng(3), read_index(floats)
    lengths = index.snapshot.lengths("rows")

    def codes() -> Iterator[ResidualCodes]:
        for length in lengths.tolist():
            yield ResidualCodes(
                centroids=generator.integers(len(codec.centroids), size=length, dtype=np.int32),
                residuals=generator.integers(256, size=(length, codec.width), dtype=np.uint8),
            )

    source = CompressedIndex(
        codec=codec, documents=codes, lengths=lambda: lengths, where=str(floats), local=index
    )
    write_coded_index(source, path, application)


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

    from vespa_colbert.rank.kernels import compiled, residual_loops  # noqa: F401 - imports are timed

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


def require_vectors(path: Path, vectors: int, dim: int) -> None:
    """Stop if an index that is used again has other vectors than those asked for.

    Raises:
        SystemExit: If it has.
    """
    from vespa_colbert.index import read_index

    snapshot = read_index(path).snapshot
    held = int(snapshot.lengths("rows").sum()), snapshot.manifest.fields["rows"].type.shape[0]
    if held != (vectors, dim):
        raise SystemExit(f"{path}: expected {vectors} vectors of {dim} components, got {held}")


def compare(folder: Path, rounds: int) -> None:
    """Print median and best of fresh processes."""
    print(f"{'profile':<22}" + "".join(f"{step:>15}" for step in (*STEPS, "open + first")))
    for profile, names in PROFILES.items():
        paths = [str(folder / name) for name in names]
        command = [sys.executable, __file__, "--answer", *paths, profile]
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
        require_vectors(path, given.vectors, given.dim)
        if not (folder / "coded-index").exists():
            codec = random_codec(given.vectors, given.dim)
            write_coded_package(folder / "coded-app", codec)
            write_coded(folder / "coded-app", codec, path, folder / "coded-index")
        compare(folder, given.rounds)


if __name__ == "__main__":
    main()
