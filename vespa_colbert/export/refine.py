"""What is done to a graph that equals torch: fusion and a narrower dtype, each checked again."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, replace
from typing import Any

from vespa_colbert.errors import ExportError, GraphMismatchError
from vespa_colbert.export.dtype import convert_dtype
from vespa_colbert.export.fusion import fuse_attention
from vespa_colbert.export.graph_job import CheckedGraph, GraphJob
from vespa_colbert.export.job import Job
from vespa_colbert.export.loss import (
    GATES,
    Loss,
    gate_faults,
    loss_lines,
    measure_loss,
    run_samples,
)
from vespa_colbert.export.samples import SAMPLE_PASSAGES, SAMPLE_QUERIES, sample_inputs

__all__ = ["fuse_graph", "narrow_graph", "refine_graph"]


def refine_graph(job: Job, graph: CheckedGraph) -> CheckedGraph:
    """Return the graph after what the options ask for; its file is rewritten.

    Raises:
        ExportError: If it cannot be fused, or its dtype loses more than the gate allows and that is
            not accepted.
        GraphMismatchError: If the result is not as wanted or differs from torch.
    """
    return fuse_graph(job, graph) if job.options.dtype == "fp32" else _narrow(job, graph)


def fuse_graph(job: GraphJob, graph: CheckedGraph) -> CheckedGraph:
    """Return the graph with its attention fused, where that is asked for, checked again.

    Raises:
        ExportError: If it cannot be fused.
        GraphMismatchError: If the result is not as wanted or differs from torch.
    """
    if not job.options.optimize:
        return graph
    try:
        fused = _fuse_file(job)
        facts = job.facts(fused=True)
        return replace(graph, fused=fused, facts=facts, cases=job.compare())
    except GraphMismatchError as error:
        error.add_note(f"{job.checkpoint.path}: optimize was asked for")
        raise


def narrow_graph(job: GraphJob, graph: CheckedGraph) -> CheckedGraph:
    """Return the graph in the dtype that was asked for, fused where that is; its file is rewritten.

    The converters do not look into the choices that the fusion writes, so that it comes last; that
    it changes nothing is seen in float32 before.

    Raises:
        ExportError: If it cannot be converted or fused.
        GraphMismatchError: If the fused graph is not as wanted or differs from torch.
    """
    dtype, optimize = job.options.dtype, job.options.optimize
    if optimize:
        plain = job.path.with_name(f"{job.path.name}.plain")
        shutil.copyfile(job.path, plain)
        graph = fuse_graph(job, graph)
        plain.replace(job.path)
    job.tell(f"converting to {dtype}")
    convert_dtype(job.path, dtype)
    if optimize:
        _fuse_file(job)
    return replace(graph, facts=job.facts(fused=optimize))


def _fuse_file(job: GraphJob) -> dict[str, int]:
    """Return what was fused, after rewriting the file with it.

    Raises:
        ExportError: If it cannot be fused.
    """
    job.tell("fusing the attention")
    try:
        return fuse_attention(job.path)
    except ExportError as error:
        error.add_note(f"{job.checkpoint.path}: optimize was asked for")
        raise


def _narrow(job: Job, graph: CheckedGraph) -> CheckedGraph:
    """Return the graph in the dtype that was asked for, with what that lost.

    Raises:
        ExportError: If it loses more than the gate allows and that is not accepted.
    """
    dtype, accepted = job.options.dtype, job.options.accept_drift
    inputs = sample_inputs(job.tokenizer, job.spec)
    wanted = run_samples(job.path, inputs)
    graph = narrow_graph(job, graph)
    job.tell(f"measuring what {dtype} loses on sample texts")
    loss = measure_loss(wanted, run_samples(job.path, inputs), len(SAMPLE_QUERIES))
    faults = gate_faults(dtype, loss)
    if faults and not accepted:
        raise ExportError(_refusal(job, loss, faults))
    return replace(graph, loss=_described(job, loss, faults))


def _described(job: Job, loss: Loss, faults: list[str]) -> dict[str, Any]:
    """Return what the manifest says of a loss.

    Raises:
        GraphMismatchError: If half precision differs from torch by more than its gate allows.
    """
    dtype, accepted = job.options.dtype, job.options.accept_drift
    described = {
        "dtype": dtype,
        "queries": len(SAMPLE_QUERIES),
        "documents": len(SAMPLE_PASSAGES),
        **asdict(loss),
        "gate": asdict(GATES[dtype]),
        "faults": faults,
    }
    if dtype == "fp16":
        # int8 has no bound on a single component: its gate is about cosines, signs and ranks.
        tolerance = math.inf if accepted else GATES[dtype].worst
        try:
            cases = job.compare(tolerance=tolerance)
        except GraphMismatchError as error:
            error.add_note("fp16 was asked for; fp32 keeps every bit")
            raise
        described["cases"] = [asdict(case) for case in cases]
    return described


def _refusal(job: Job, loss: Loss, faults: list[str]) -> str:
    dtype = job.options.dtype
    figures = "".join(f"\n  {line}" for line in loss_lines(dtype, asdict(loss)))
    return (
        f"{job.checkpoint.path}: {dtype} loses more than is allowed on {len(SAMPLE_QUERIES)} "
        f"queries and {len(SAMPLE_PASSAGES)} documents, in {len(faults)} of these:{figures}\n"
        "  export as fp32, or accept the drift"
    )
