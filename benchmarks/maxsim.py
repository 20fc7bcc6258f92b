"""How fast MaxSim is: our kernels, what others have, and the limit of the machine, in one run.

Usage: python benchmarks/maxsim.py [--rounds 7] [--dims 128,96,64]

All contenders run in this process, in random order in each round; the scores of each are checked
first. Before a timing the machine is waited for until nothing else runs; a timing during which
other processes took a processor is repeated, a few times at most, and counts as disturbed if they
did so every time. Rounds go on until there are enough undisturbed timings, or twice as many rounds.
What is wanted must be reached by the median of the undisturbed timings; the best rounds and, for
our kernels, processor time, which nobody else can take away, are shown beside it. maxsim-cpu and
PyLate take part where they can be imported.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from benchmarks.timings import (
    FEWEST,
    PROCESSORS,
    Seconds,
    Timings,
    best_of,
    measured,
    median_of,
    undisturbed,
    wait_for_quiet,
    work_of,
)
from vespa_colbert.arrays import pack_bits
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank import fused
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.kernels import blocked, choice, queries, vectors
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType

TOKENS = 32
SCORE_ERROR = 1e-4
"""Of a sum of 32 cosines: every contender computes in float32 at least."""

PACKED_ERROR = 2e-3
"""The same for vectors of bits, which are up to eleven times as long."""

ASKED_TOKENS = (8, 20, 32, 40)
"""Of a query in a batch: a kernel compares 32 at once, whichever queries they are of."""

QUERIES_AT_ONCE = 16
BATCH_DOCUMENTS = 2000

TREES = {
    "float": "sum(reduce(sum(query(qt) * attribute(d), x), max, dt), qt)",
    "bits": "sum(reduce(sum(query(qt) * unpack_bits(attribute(d)), x), max, dt), qt)",
}


@dataclass(slots=True, kw_only=True)
class Workload:
    """Documents of token vectors, in the forms that contenders take."""

    name: str
    dim: int
    query: NDArray[np.float32]
    rows: NDArray[np.float32]
    offsets: NDArray[np.int64]
    packed: NDArray[np.int8] = field(init=False)
    halves: NDArray[np.uint16] = field(init=False)

    def __post_init__(self) -> None:
        self.packed = pack_bits(self.rows)
        self.halves = (self.rows.view(np.uint32) >> 16).astype(np.uint16)

    @property
    def operations(self) -> float:
        """Multiplications and additions of a float query."""
        return 2.0 * self.rows.size * TOKENS

    def documents(self) -> list[NDArray[np.float32]]:
        """Return a view of each document."""
        borders = zip(self.offsets[:-1], self.offsets[1:], strict=True)
        return [self.rows[first:last] for first, last in borders]


def workload(name: str, lengths: NDArray[np.int64], dim: int) -> Workload:
    generator = np.random.default_rng(dim)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    rows = generator.standard_normal((int(offsets[-1]), dim), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    query = generator.standard_normal((TOKENS, dim), dtype=np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    return Workload(name=name, dim=dim, query=query, rows=rows, offsets=offsets)


@intrinsic  # type: ignore[untyped-decorator]
def multiply_adds(_typing: Any, _count: Any, numbers: Any) -> Any:
    """Return what does ``count`` multiply-adds in as many registers as a kernel uses."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[1])(context, builder, values[1])
        kind = ir.FunctionType(vectors.FLOATS, [vectors.FLOATS] * 3)
        multiply_add = vectors._function(builder, kind, "llvm.fmuladd.v32f32")
        first, second = (
            vectors._vector(builder, array.data, vectors.INDEX(place), vectors.FLOATS)
            for place in (0, 1)
        )

        def step(_index: Any, sums: list[Any]) -> list[Any]:
            return [builder.call(multiply_add, [first, second, each]) for each in sums]

        starts = [first] * vectors.ROWS_A_TILE
        sums = vectors._loop(builder, values[0], starts, step)
        for place, each in enumerate(sums):
            line = builder.gep(array.data, [vectors.INDEX(vectors.LANES * (2 + place))])
            builder.store(each, builder.bitcast(line, vectors.FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, numbers), lower


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def run_multiply_adds(count: int, numbers: Any) -> None:
    multiply_adds(count, numbers)


PEAK_STEPS = 6_000_000
PEAK = 2.0 * PEAK_STEPS * vectors.ROWS_A_TILE * vectors.LANES * PROCESSORS
POOL = ThreadPoolExecutor(PROCESSORS)


def peak() -> None:
    """Keep the multiply-add units of all processors busy."""
    numbers = [np.zeros(32 * (2 + vectors.ROWS_A_TILE), np.float32) for _ in range(PROCESSORS)]
    list(POOL.map(lambda each: run_multiply_adds(PEAK_STEPS, each), numbers))


def naive_numpy(data: Workload) -> NDArray[Any]:
    """Return scores from one product of everything, as it is usually written."""
    products = data.rows @ data.query.T
    best = np.maximum.reduceat(products, data.offsets[:-1], axis=0)
    return np.asarray(best.sum(axis=1))


def naive_bits(data: Workload) -> NDArray[Any]:
    bits = np.unpackbits(data.packed.view(np.uint8), axis=1).astype(np.float32)
    best = np.maximum.reduceat(bits @ data.query.T, data.offsets[:-1], axis=0)
    return np.asarray(best.sum(axis=1))


def loop_numpy(data: Workload) -> NDArray[Any]:
    """Return scores from a loop over documents."""
    documents = data.documents()
    return np.array([(each @ data.query.T).max(axis=0).sum() for each in documents])


def through_tree(data: Workload, form: str) -> Callable[[], NDArray[Any]]:
    kind, width, values = ("float", data.dim, data.rows) if form == "float" else (
        "int8", data.dim // 8, data.packed
    )  # fmt: skip
    spec = TensorType.parse(f"tensor<{kind}>(dt{{}},x[{width}])")
    rows = DocumentRows(type=spec, offsets=data.offsets, values=values)
    tokens = Tensor.rows(TensorType.parse(f"tensor<float>(qt{{}},x[{data.dim}])"), data.query)
    features: dict[str, Tensor | DocumentRows] = {"query(qt)": tokens, "attribute(d)": rows}
    tree = parse_expression(TREES[form])
    return lambda: Evaluation(features.get, len(rows)).scores(tree)


def kernels(data: Workload) -> dict[str, Callable[[], Any]]:
    """Return name → what is timed: ours."""
    return {
        "numba float": lambda: choice.max_sim(data.query, data.rows, data.offsets),
        "numba bfloat16": lambda: choice.max_sim(data.query, data.halves, data.offsets),
        "numba bits": lambda: choice.max_sim_bits(data.query, data.packed, data.offsets),
        "numba float, tree": through_tree(data, "float"),
        "numba bits, tree": through_tree(data, "bits"),
        "numpy float": lambda: blocked.max_sim(data.query, data.rows, data.offsets),
        "numpy bits": lambda: blocked.max_sim_bits(
            data.query, data.packed, data.offsets, choice.BITS_OF_BYTE
        ),
    }


def others(data: Workload) -> dict[str, Callable[[], Any]]:
    """Return name → what is timed: plain numpy, and the packages that can be imported."""
    found: dict[str, Callable[[], Any]] = {
        "naive numpy": lambda: naive_numpy(data),
        "numpy loop": lambda: loop_numpy(data),
        "unpackbits + matmul": lambda: naive_bits(data),
    }
    for add in (add_maxsim_cpu, add_pylate):
        try:
            add(found, data)
        except ImportError as error:
            print(f"left out: {error}")
    return found


def add_maxsim_cpu(found: dict[str, Callable[[], Any]], data: Workload) -> None:
    import maxsim_cpu  # type: ignore[import-not-found]

    documents = data.documents()
    found["maxsim-cpu variable"] = lambda: maxsim_cpu.maxsim_scores_variable(data.query, documents)
    if len(set(map(len, documents))) == 1:
        cube = data.rows.reshape(len(documents), -1, data.dim)
        found["maxsim-cpu uniform"] = lambda: maxsim_cpu.maxsim_scores(data.query, cube)


def add_pylate(found: dict[str, Callable[[], Any]], data: Workload) -> None:
    import torch
    from pylate import rank  # type: ignore[import-not-found]

    documents = [torch.from_numpy(each) for each in data.documents()]
    query, ids = [torch.from_numpy(data.query)], [list(range(len(documents)))]

    def rerank() -> NDArray[Any]:
        hits = rank.rerank(ids, query, [documents])[0]
        scores = np.zeros(len(documents))
        for hit in hits:
            scores[hit["id"]] = hit["score"]
        return scores

    found["pylate rank.rerank"] = rerank


def check(name: str, run: Callable[[], Any], data: Workload, wanted: dict[str, Any]) -> None:
    """Stop if a contender's scores are wrong.

    Raises:
        SystemExit: If they are.
    """
    form = "bits" if "bits" in name else "bfloat16" if "bfloat16" in name else "float"
    difference = float(np.abs(np.asarray(run(), np.float64) - wanted[form]).max())
    limit = PACKED_ERROR if form == "bits" else SCORE_ERROR
    if not difference <= limit:
        raise SystemExit(f"{data.name}: {name} is wrong by {difference}")


def references(data: Workload) -> dict[str, NDArray[np.float64]]:
    """Return the scores in double, block by block."""
    wide = (data.halves.astype(np.uint32) << 16).view(np.float32)
    query = data.query.astype(np.float64)
    forms = {"float": data.rows, "bfloat16": wide}
    found = {name: blocked.max_sim(query, rows, data.offsets) for name, rows in forms.items()}
    cells = choice.BITS_OF_BYTE.astype(np.float64)
    found["bits"] = blocked.max_sim_bits(query, data.packed, data.offsets, cells)
    return found


def report(data: Workload, taken: Timings) -> None:
    middle, best, work = median_of(taken), best_of(taken), work_of(taken)
    limit = PEAK / middle["peak"]
    print(
        f"\n{data.name}, dim {data.dim}: {len(data.rows):,} document tokens, {TOKENS} query tokens"
    )
    print(f"multiply-add peak {limit / 1e9:.0f} GFLOP/s on {PROCESSORS} processors")
    print(
        f"{'contender':<22}{'median ms':>11}{'best ms':>10}{'work ms':>10}{'% of peak':>11}"
        f"{'÷ float':>9}{'undisturbed':>13}"
    )
    for name in sorted(best.keys() - {"peak"}, key=middle.__getitem__):
        share = data.operations / middle[name] / limit
        rounds = f"{len(undisturbed(taken[name]))} of {len(taken[name])}"
        print(
            f"{name:<22}{1e3 * middle[name]:>11.2f}{1e3 * best[name]:>10.2f}"
            f"{1e3 * work[name]:>10.2f}{share:>11.0%}{middle[name] / middle['numba float']:>9.2f}"
            f"{rounds:>13}"
        )
    busy = [name for name, times in taken.items() if len(undisturbed(times)) < FEWEST]
    if busy:
        print(f"the machine was too busy for the clock, medians of all rounds: {', '.join(busy)}")


def lines(data: Workload, taken: Timings, patience: float) -> None:
    """Print what is asked of a scan or a rerank, and what was measured."""
    middle, best = (ratios(data, each) for each in (median_of(taken), best_of(taken)))
    work = ratios(data, work_of(taken))
    for what, (got, least) in middle.items():
        verdict = "ok" if got >= least else "SHORT"
        print(
            f"  {what:<36}{got:>8.2f}  wanted ≥ {least:<6g}{verdict:<6} best {best[what][0]:.2f}"
            + (f", by processor time {work[what][0]:.2f}" if what in OURS else "")
        )
    for form in TREES:
        wait_for_quiet(patience)
        tree_line(data, form, best_of(taken)[f"numba {form}"])


def ratios(data: Workload, seconds: Seconds) -> dict[str, tuple[float, float]]:
    """Return what is asked → what was measured, and the least that will do."""
    scan, limit = data.name == "scan", PEAK / seconds["peak"]
    numba_float = seconds["numba float"]
    found = {
        "float, share of peak": (data.operations / numba_float / limit, 0.75 if scan else 0.7),
        "bfloat16, share of peak": (data.operations / seconds["numba bfloat16"] / limit, 0.5),
        "bits, times float kernel": (numba_float / seconds["numba bits"], 3.5),
        "bits, times unpackbits + matmul": (
            seconds["unpackbits + matmul"] / seconds["numba bits"],
            20.0,
        ),
        "numpy, times naive numpy": (seconds["naive numpy"] / seconds["numpy float"], 2.0),
    }
    if peers := [seconds[name] for name in seconds if name.startswith("maxsim-cpu")]:
        found["float, times maxsim-cpu"] = (min(peers) / numba_float, 3.5 if scan else 2.5)
    if "pylate rank.rerank" in seconds:
        found["float, times PyLate's rerank"] = (seconds["pylate rank.rerank"] / numba_float, 5.0)
    return found


OURS = ("float, share of peak", "bfloat16, share of peak", "bits, times float kernel")
"""What is computed from our kernels and the peak alone; others' threads also work while waiting."""


def tree_line(data: Workload, form: str, kernel: float) -> None:
    """Print what an evaluation takes besides the kernel, which is left out of it."""
    name = "max_sim_of_queries" if form == "float" else "max_sim_bits_of_queries"
    zeros, served = np.zeros((1, len(data.offsets) - 1)), getattr(fused, name)
    setattr(fused, name, lambda *_arguments: zeros)
    evaluate, taken = through_tree(data, form), []
    for _ in range(200):
        started = time.thread_time()
        evaluate()
        taken.append(time.thread_time() - started)
    setattr(fused, name, served)
    over = statistics.median(taken) / kernel
    verdict = "ok" if over <= 0.05 else "OVER"
    print(f"  {f'{form} through the tree, more by':<36}{over:>8.1%}  wanted ≤ 5%    {verdict}")


def memory_lines(data: Workload) -> None:
    """Print how far memory rises above what is held, while all documents are scored.

    The larger of what Python and numpy ask for and of how much the process grows.
    """
    for name, run in kernels(data).items():
        tracemalloc.start()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = memory("VmRSS")
        run()
        grown = (memory("VmHWM") - before) / 1e3
        rise = max(grown, tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
        verdict = "ok" if rise <= 50 else "OVER"
        print(f"  {f'memory of {name}, MB':<36}{rise:>8.1f}  wanted ≤ 50    {verdict}")


def memory(key: str) -> int:
    """Return a line of this process's status, in kB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(f"{key}:")[2].split()[0])


def run_workload(data: Workload, rounds: int, patience: float) -> None:
    contenders = kernels(data) | others(data)
    wanted = references(data)
    for name, run in contenders.items():
        check(name, run, data, wanted)
    taken = measured(contenders | {"peak": peak}, rounds, patience)
    report(data, taken)
    lines(data, taken, patience)
    if data.name == "scan":
        memory_lines(data)


def batch_lines(data: Workload, rounds: int, patience: float) -> None:
    """Print how much faster queries of some lengths are together than one after the other."""
    generator = np.random.default_rng(data.dim)
    for tokens in ASKED_TOKENS:
        asked = [
            generator.standard_normal((tokens, data.dim), dtype=np.float32)
            for _ in range(QUERIES_AT_ONCE)
        ]
        contenders: dict[str, Callable[[], Any]] = {}
        forms: dict[str, tuple[Callable[..., Any], Callable[..., Any], NDArray[Any]]] = {
            "float": (choice.max_sim, choice.max_sim_of_queries, data.rows),
            "bfloat16": (choice.max_sim, choice.max_sim_of_queries, data.halves),
            "bits": (choice.max_sim_bits, choice.max_sim_bits_of_queries, data.packed),
        }
        for form, (one, many, rows) in forms.items():
            alone = functools.partial(one_by_one, one, asked, (rows, data.offsets))
            together = functools.partial(many, asked, rows, data.offsets)
            assert np.array_equal(alone(), together()), f"{form}: other scores together"
            contenders |= {f"{form}, one by one": alone, f"{form}, together": together}
        taken = measured(contenders, rounds, patience)
        middle, best = median_of(taken), best_of(taken)
        for form in forms:
            got, most = (
                each[f"{form}, one by one"] / each[f"{form}, together"] for each in (middle, best)
            )
            print(
                f"  {f'{QUERIES_AT_ONCE} queries of {tokens} tokens, {form}':<36}"
                f"{got:>8.2f} times one by one, best {most:.2f}"
            )


def one_by_one(
    kernel: Callable[..., Any], asked: list[Any], arguments: tuple[Any, ...]
) -> NDArray[np.float64]:
    return np.stack([kernel(query, *arguments) for query in asked])


def main() -> None:
    """Print a table and the lines of acceptance for every workload."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dims", default="128,96,64")
    parser.add_argument("--only", choices=["rerank", "scan", "batch"])
    parser.add_argument("--patience", type=float, default=0.5, help="seconds to wait for quiet")
    options = parser.parse_args()
    queries.WORTH_COMPILING = 0
    for dim in map(int, options.dims.split(",")):
        lengths = {
            "rerank": np.full(1000, 180),
            "scan": np.random.default_rng(1).integers(30, 301, 10_000),
        }
        for name, each in lengths.items():
            if options.only in {None, name}:
                data = workload(name, each, dim)
                run_workload(data, options.rounds, options.patience)
                del data
        if options.only in {None, "batch"}:
            data = workload("batch", lengths["scan"][:BATCH_DOCUMENTS], dim)
            print(f"\n{BATCH_DOCUMENTS:,} documents, dim {dim}")
            batch_lines(data, options.rounds, options.patience)


if __name__ == "__main__":
    main()
