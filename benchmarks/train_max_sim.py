"""Memory and time of MaxSim with its gradient: bounded against plain, in processes of their own.

Usage: python benchmarks/train_max_sim.py [--queries 64] [--documents 64] [--rows 300] [--dim 128]
       [--query-rows 32] [--rounds 5] [--threads 1] [--device cpu]

Peak memory is what the scores and their gradient took beyond what stood before: inputs, torch and
its libraries, warmed up on a small batch. On a processor it is the peak of the process's resident
memory (ru_maxrss) above its resident memory at that moment, read from the kernel; on a GPU it is
torch's own peak of allocated bytes above those allocated. The gradients of the inputs count, in
both forms. Times are medians of the rounds after that one: by the clock, and of the processors,
which other programs cannot take away. Several threads wait for each other where other programs
run, and burn time of processors meanwhile; hence one thread by default.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WANTED = 1 / 8
FORMS = ("plain", "bounded")


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def measure(form: str, sizes: argparse.Namespace) -> dict[str, float]:
    """Return peak bytes and median times of one form, in this process."""
    import torch

    from vespa_colbert.train.max_sim import PaddedVectors, max_sim, plain_max_sim

    score = {"plain": plain_max_sim, "bounded": max_sim}[form]
    on_gpu = sizes.device != "cpu"

    def padded(texts: int, rows: int) -> PaddedVectors:
        vectors = torch.randn(texts, rows, sizes.dim, device=sizes.device)
        vectors = torch.nn.functional.normalize(vectors, dim=-1).requires_grad_()
        mask = torch.ones(texts, rows, dtype=torch.bool, device=sizes.device)
        return PaddedVectors(vectors=vectors, mask=mask)

    def once(queries: PaddedVectors, documents: PaddedVectors) -> tuple[float, float]:
        started = time.perf_counter(), time.process_time()
        loss = score(queries, documents).logsumexp(dim=1).sum()
        torch.autograd.grad(loss, (queries.vectors, documents.vectors))
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - started[0], time.process_time() - started[1]

    torch.manual_seed(1)
    torch.set_num_threads(sizes.threads)
    once(padded(2, 4), padded(2, 4))
    sides = padded(sizes.queries, sizes.query_rows), padded(sizes.documents, sizes.rows)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        once(*sides)
        peak = torch.cuda.max_memory_allocated()
    else:
        before = resident()
        once(*sides)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    times = [once(*sides) for _round in range(sizes.rounds)]
    clock, processors = (statistics.median(each) for each in zip(*times, strict=True))
    return {"bytes": peak - before, "seconds": clock, "of processors": processors}


def in_child(form: str) -> Any:
    """Return the same, measured in a process that does nothing else."""
    command = [sys.executable, __file__, *sys.argv[1:], "--form", form]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)


def main() -> None:
    """Print both forms and their ratios; fail if the bounded form takes too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, number in {"queries": 64, "documents": 64, "rows": 300, "dim": 128}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--query-rows", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.form:
        print(json.dumps(measure(given.form, given)))
        return
    plain, bounded = (in_child(form) for form in FORMS)
    shape = f"{given.queries} x {given.query_rows} rows, {given.documents} x {given.rows} rows"
    print(f"{shape}, {given.dim} wide, {given.device}: score and gradient")
    for form, found in zip(FORMS, (plain, bounded), strict=True):
        print(
            f"  {form:<8}{found['bytes'] / 1e6:>9.1f} MB{found['seconds'] * 1e3:>9.1f} ms"
            f"{found['of processors'] * 1e3:>9.1f} ms of processors"
        )
    ratios = {name: bounded[name] / plain[name] for name in plain}
    memory = ratios["bytes"]
    print(
        f"  bounded ÷ plain: memory {memory:.3f} (at most {WANTED:.3f} wanted), "
        f"time {ratios['seconds']:.2f}, of processors {ratios['of processors']:.2f}"
    )
    if memory > WANTED:
        sys.exit("the bounded form takes too much memory")


if __name__ == "__main__":
    main()
