"""What an exported model gives in Vespa's embedder, next to torch and to the training library.

Two matrices: encoders by packaging, and layouts by dtype.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tests.checkpoint.layout_folders import LAYOUTS, LayoutFiles
from tests.library_scores import Library
from tests.tiny_checkpoint import build_tiny_checkpoint
from tests.tiny_encoders import FAMILIES, build_family
from vespa_colbert.arrays import pack_bits
from vespa_colbert.checkpoint import Checkpoint, ReadOptions, read_checkpoint
from vespa_colbert.embedder import LocalEmbedder, Role
from vespa_colbert.export import ExportOptions, ModelFolder, export_checkpoint
from vespa_colbert.export.options import Dtype, Packaging
from vespa_colbert.tensor import TensorType
from vespa_colbert.vespa_java import EmbedderFiles, JavaEmbedding, VespaJava

__all__ = [
    "DECODERS",
    "ENCLOSED_DECODERS",
    "ENCODER_CELLS",
    "FUSED_CELLS",
    "LAYOUT_CELLS",
    "ROWS_TOLERANCE",
    "Figures",
    "measure_encoder",
    "measure_layout",
]

ENCODERS = (
    *("bert", "distilbert", "roberta", "xlm-roberta", "electra", "mpnet", "deberta-v2"),
    *("camembert", "modernbert"),
)
DECODERS = ("qwen3", "qwen3-eos", "lfm2")
"""Their tokenizers put around a text: nothing, an end token, a start token. Native is refused."""
ENCLOSED_DECODERS = ("qwen3-bos-eos", "lfm2-bos-eos")
"""Theirs put a start and an end token around a text, as native files need it."""
ENCODER_CELLS: tuple[tuple[str, Packaging], ...] = (
    *((family, packaging) for family in ENCODERS for packaging in ("native", "exact")),
    *((family, "exact") for family in DECODERS),
    *((family, packaging) for family in ENCLOSED_DECODERS for packaging in ("native", "exact")),
)

FUSED_CELLS: tuple[tuple[str, Packaging], ...] = tuple(
    (family, packaging)
    for family in ("bert", "distilbert", "roberta", "xlm-roberta", "electra", "camembert")
    for packaging in ("native", "exact")
)
"""Encoders whose attention can be one operator."""

QUERIES = (
    *("", "rose", "What is a rose?", "the lazy dog's café; (jump)!", "x y z " * 12, "  Vespa \n"),
    *("富士山は高い。", "🦊 is?", "?!", "ranks documents"),
)
DOCUMENTS = (
    *QUERIES,
    "A rose is a rose. Is it a rose? It is!",
    "The quick brown fox jumps over the lazy dog, and the dog does not care at all. " * 3,
    "!!! ??? ... --- ;;; ,,, ::: (((",
    "L'été, le café est cher (42 lines).",
    "e\u0301 ﬁ \u00a0 C++",
    "\t\n rose   rose \r\n",
)
TEXTS: dict[Role, tuple[str, ...]] = {"query": QUERIES, "document": DOCUMENTS}

TORCH_TOLERANCES: Mapping[Dtype, float] = {"fp32": 1e-5, "fp16": 2e-3, "int8": math.inf}
"""Components of a unit vector, as in the check that every export makes itself; int8 is judged by
cosines and signs instead."""
SCORE_TOLERANCES: Mapping[Dtype, float] = {"fp32": 2e-5, "fp16": 0.15, "int8": math.inf}
"""Of MaxSim over twelve rows: float32 rounding of 2e-6 a row; in half precision 2e-3 in each of
the eight components of both sides of a product."""
ROWS_TOLERANCE = 2e-6
"""The same file in two releases of ONNX Runtime, whose sums may have another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one cell of a matrix gave.

    Attributes:
        packaging: ``native`` or ``exact``.
        dtype: Of the weights.
        exporter: Which of torch's exporters wrote the graph.
        export: Largest difference of a component, ONNX Runtime from torch, in the export's check;
            for int8 from the same graph in fp32.
        torch: The same of Vespa's embedder from the encoder as transformers loads it; None for
            exact, whose rows are not the encoder's.
        score: Largest difference of MaxSim over Vespa's rows from the library's; None for native,
            which differs by design.
        rows: Largest difference of a component, Vespa's embedder from ours in Python.
        ids_equal: Whether both give every text the same ids and attention.
        bits_equal: Whether both pack every document into the same bytes.
        cosine: Mean cosine of the rows of the samples and those in fp32; None for fp32.
        sign_flips: Share of their components that have another sign; None for fp32.
        seconds: Export, its own checks included.
    """

    packaging: Packaging
    dtype: Dtype
    exporter: str
    export: float
    torch: float | None
    score: float | None
    rows: float
    ids_equal: bool
    bits_equal: bool
    cosine: float | None
    sign_flips: float | None
    seconds: float

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        limits = {
            "export": (self.export, TORCH_TOLERANCES[self.dtype]),
            "torch": (self.torch, TORCH_TOLERANCES[self.dtype]),
            "score": (self.score, SCORE_TOLERANCES[self.dtype]),
            "rows": (self.rows, ROWS_TOLERANCE),
        }
        # NaN is within no limit.
        beyond = (
            f"{name}: {got}" for name, (got, most) in limits.items() if not (got or 0.0) <= most
        )
        unequal = (name for name in ("ids_equal", "bits_equal") if not getattr(self, name))
        return [*beyond, *unequal]


def measure_encoder(
    family: str, packaging: Packaging, java: VespaJava, folder: Path, *, optimize: bool = False
) -> Figures:
    """Return the figures of an encoder; ``folder`` must not exist."""
    source = build_family(FAMILIES[family], folder / "checkpoint")
    options = ExportOptions(packaging=packaging, optimize=optimize)
    return _measure(read_checkpoint(source), options, java, folder)


def measure_layout(layout: str, dtype: Dtype, java: VespaJava, folder: Path) -> Figures:
    """Return the figures of a layout, in the packaging that fits; ``folder`` must not exist."""
    checkpoint = LAYOUT_CHECKPOINTS[layout](folder / "checkpoint")
    return _measure(checkpoint, ExportOptions(dtype=dtype), java, folder)


def _plain(folder: Path) -> Checkpoint:
    """Return the tiny checkpoint read as an encoder and a head that are not told to be a model."""
    build_tiny_checkpoint(folder)
    head = folder.parent / "head.safetensors"
    (folder / "1_Dense" / "model.safetensors").rename(head)
    shutil.rmtree(folder / "1_Dense")
    for name in ("modules.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    return read_checkpoint(
        folder,
        ReadOptions(
            head=head,
            query_marker="[unused0]",
            document_marker="[unused1]",
            max_query_tokens=10,
            max_document_tokens=20,
        ),
    )


def _reader(layout: LayoutFiles) -> Callable[[Path], Checkpoint]:
    return lambda folder: read_checkpoint(layout.build(folder))


LAYOUT_CHECKPOINTS: Mapping[str, Callable[[Path], Checkpoint]] = {
    **{each.layout: _reader(each) for each in LAYOUTS},
    "plain": _plain,
}
LAYOUT_CELLS: tuple[tuple[str, Dtype], ...] = tuple(
    (layout, dtype) for layout in LAYOUT_CHECKPOINTS for dtype in ("fp32", "fp16", "int8")
)


def _measure(
    checkpoint: Checkpoint, options: ExportOptions, java: VespaJava, folder: Path
) -> Figures:
    # Tiny random models may lose more than a gate allows: what they lose is measured here.
    options = replace(options, accept_drift=True)
    started = time.monotonic()
    made = export_checkpoint(checkpoint, folder / "model", options)
    seconds = time.monotonic() - started
    library = Library(checkpoint, transformers.AutoModel.from_pretrained(checkpoint.path))
    found = {role: _in_java(java, made, role) for role in TEXTS}
    local = LocalEmbedder(made)
    packaging: Packaging = "exact" if made.packaging == "exact" else "native"
    loss = made.verification.get("loss", {})
    return Figures(
        packaging=packaging,
        dtype=options.dtype,
        exporter=made.verification["exporter"],
        export=_worst_export(made.verification),
        torch=_worst_row(library, found) if packaging == "native" else None,
        score=_worst_score(library, found) if packaging == "exact" else None,
        rows=max(
            float(np.abs(each.tensor.values - local.embed(text, role)).max())
            for role, embeddings in found.items()
            for text, each in zip(TEXTS[role], embeddings, strict=True)
        ),
        ids_equal=all(
            _same_input(each, local, text, role)
            for role, embeddings in found.items()
            for text, each in zip(TEXTS[role], embeddings, strict=True)
        ),
        bits_equal=_bits_equal(java, made, local),
        cosine=loss.get("cosine"),
        sign_flips=loss.get("sign_flips"),
        seconds=seconds,
    )


def _worst_export(verification: Mapping[str, Any]) -> float:
    loss = verification.get("loss", {})
    if loss.get("dtype") == "int8":
        return float(loss["worst"])
    cases = loss.get("cases", verification["cases"])
    return max(float(case["worst"]) for case in cases)


def _in_java(java: VespaJava, folder: ModelFolder, role: Role) -> list[JavaEmbedding]:
    destination, name = {"query": ("query(qt)", "qt"), "document": ("doc.colbert", "dt")}[role]
    target = TensorType.parse(f"tensor<float>({name}{{}},x[{folder.embedder.dim}])")
    return java.embed_many(EmbedderFiles.of(folder), TEXTS[role], destination, target)


def _same_input(found: JavaEmbedding, local: LocalEmbedder, text: str, role: Role) -> bool:
    given = local.transformer_input(text, role)
    ids, attention = tuple(found.token_ids.tolist()), tuple(found.attention_mask.tolist())
    return (ids, attention) == (given.ids, given.attention)


def _bits_equal(java: VespaJava, folder: ModelFolder, local: LocalEmbedder) -> bool:
    target = TensorType.parse(f"tensor<int8>(dt{{}},x[{folder.embedder.dim // 8}])")
    found = java.embed_many(EmbedderFiles.of(folder), DOCUMENTS, "doc.colbert", target)
    return all(
        np.array_equal(each.tensor.values, pack_bits(local.embed(text, "document")))
        for text, each in zip(DOCUMENTS, found, strict=True)
    )


def _worst_row(library: Library, found: Mapping[Role, list[JavaEmbedding]]) -> float:
    """Return how far a row is from what torch gives for the ids that Vespa made."""
    return max(
        float(np.abs(each.contextual - library.encode(ids, attention)).max())
        for embeddings in found.values()
        for each in embeddings
        for ids, attention in [(each.token_ids.tolist(), each.attention_mask.tolist())]
    )


def _worst_score(library: Library, found: Mapping[Role, list[JavaEmbedding]]) -> float:
    wanted = library.scores(QUERIES, DOCUMENTS)
    got = [
        [_max_sim(query, document) for document in found["document"]] for query in found["query"]
    ]
    return float(np.abs(np.array(got) - wanted).max())


def _max_sim(query: JavaEmbedding, document: JavaEmbedding) -> float:
    similarities = query.tensor.values.astype(np.float64) @ document.tensor.values.T
    return float(similarities.max(axis=1).sum())
