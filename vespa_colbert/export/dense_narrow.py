"""A dense graph in half precision or with int8 weights, and what its vectors lose by that."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from vespa_colbert.errors import ExportError
from vespa_colbert.export.dense_job import DenseJob
from vespa_colbert.export.dense_vectors import Vectors, pool_batch, unit_vectors
from vespa_colbert.export.graph_job import CheckedGraph
from vespa_colbert.export.loss import HALF_ERROR
from vespa_colbert.export.onnx_session import open_session
from vespa_colbert.export.refine import narrow_graph
from vespa_colbert.export.samples import SAMPLE_PASSAGES, SAMPLE_QUERIES
from vespa_colbert.export.tokenizer_file import open_any_tokenizer

__all__ = ["DENSE_GATES", "DenseLoss", "narrow_dense"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLoss:
    """What a narrower graph loses against the float32 one, over vectors of texts of length 1.

    Attributes:
        worst: Largest difference of a component.
        cosine: Smallest cosine of a vector with its original.
    """

    worst: float
    cosine: float


DENSE_GATES = {
    "fp16": DenseLoss(worst=HALF_ERROR, cosine=0.9999),
    "int8": DenseLoss(worst=1.0, cosine=0.97),
}
"""The most that a dtype may lose. int8: weights per channel were measured at cosines of 0.98 and
more for token vectors; a text's vector is a mean of rows and loses less."""


def narrow_dense(job: DenseJob, graph: CheckedGraph) -> CheckedGraph:
    """Return the graph in the dtype that was asked for, with what that lost.

    Raises:
        ExportError: If it loses more than the gate allows and that is not accepted.
    """
    dtype = job.options.dtype
    before = _sample_vectors(job)
    graph = narrow_graph(job, graph)
    job.tell(f"measuring what {dtype} loses on sample texts")
    after = _sample_vectors(job)
    loss = DenseLoss(
        worst=float(np.abs(after - before).max()), cosine=float((after * before).sum(axis=1).min())
    )
    gate = DENSE_GATES[dtype]
    is_lossy = loss.worst > gate.worst or loss.cosine < gate.cosine
    figures = (
        f"largest difference {loss.worst:.2g} (at most {gate.worst:g}), smallest cosine "
        f"{loss.cosine:.6f} (at least {gate.cosine:g})"
    )
    if is_lossy and not job.options.accept_drift:
        raise ExportError(
            f"{job.checkpoint.path}: {dtype} loses more than is allowed on {len(before)} texts: "
            f"{figures}; export as fp32, or accept the drift"
        )
    described = {
        "dtype": dtype,
        "texts": len(before),
        **asdict(loss),
        "gate": asdict(gate),
        "faults": [figures] if is_lossy else [],
    }
    return replace(graph, loss=described)


def _sample_vectors(job: DenseJob) -> Vectors:
    """Return the vectors of the sample texts, one text at a time: (text, dim) float32."""
    spec = job.spec
    tokenizer = open_any_tokenizer(job.tokenizer, str(job.checkpoint.path))
    tokenizer.enable_truncation(spec.max_tokens)
    session, vectors = open_session(job.path), list[Vectors]()
    samples = [
        *(spec.query_prepend + text for text in SAMPLE_QUERIES),
        *(spec.document_prepend + text for text in SAMPLE_PASSAGES),
    ]
    for text in samples:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        feeds = dict(zip(job.form.inputs, (ids, np.ones_like(ids)), strict=True))
        (output,) = session.run([job.form.output], feeds)
        vectors.append(pool_batch(output, [ids.shape[1]], spec.pooling))
    return unit_vectors(np.concatenate(vectors))
