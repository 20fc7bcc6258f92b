"""Writes docs/export-matrix.md: every cell of both matrices is exported and measured anew.

Usage: python -m tests.export.write_matrix docs/export-matrix.md
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import transformers

from tests.export.export_matrix import (
    ENCODER_CELLS,
    FUSED_CELLS,
    LAYOUT_CELLS,
    Figures,
    measure_encoder,
    measure_layout,
)
from vespa_colbert.files import atomic_file
from vespa_colbert.vespa_java import VespaJava

PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "tokenizers")
AROUND = {
    "qwen3": "qwen3, nothing around a text",
    "qwen3-eos": "qwen3, end token alone",
    "qwen3-bos-eos": "qwen3, start and end token",
    "lfm2": "lfm2, start token alone",
    "lfm2-bos-eos": "lfm2, start and end token",
}

TEXT = """# Export matrix

Written by `make export-matrix`, which exports every cell anew and compares it. Measured on {date}
with {versions}.
Judge: `ColBertEmbedder` in {judges}.

Models are tiny (two or three layers, random weights, 8 components a row); each encoder has a
tokenizer of its family's kind. 10 queries and 16 documents: words, punctuation, other scripts,
emoji, white space, an empty text, texts that are cut.

- *exporter*: which of torch's exporters wrote the graph (dynamo is tried first).
- *export*: largest difference of a component between ONNX Runtime and torch on random ids, in the
  check that every export makes (several batches, up to all positions). Allowed: fp32 1e-5, fp16
  2e-3.
  For int8: from the same graph in fp32.
- *torch*: the same between Vespa's embedder and the encoder as transformers loads it, on the texts.
  An exact graph has rows of its own; its column is *score*.
- *score*: largest difference of MaxSim between the rows of Vespa's embedder and the training
  library's definition. Allowed in fp32: 2e-5.
- *rows*, *ids*, *bits*: Vespa's embedder against the one in Python, which shares no code with it:
  largest difference of a component, the same ids and attention for every text, the same packed
  bytes for every document.
- *cosine*, *signs*: mean cosine of a row and the row in fp32, share of components whose sign
  differs.

## Encoders

Vespa's embedder always writes a start and an end token. Where a decoder's tokenizer puts only one
of them around a text, or nothing, only exact files can carry the model; `native` is refused. Where
it puts both, a decoder has both packagings. *seconds* is the export with its checks, on two cores.

| encoder | packaging | exporter | export | torch | score | rows | ids | bits | seconds |
|---|---|---|---|---|---|---|---|---|---|
{encoders}

## Fused encoders

With `--optimize`: attention is one operator where nothing is padded, as in documents. The other
encoders of the table above are refused.

| encoder | packaging | exporter | export | torch | score | rows | ids | bits | seconds |
|---|---|---|---|---|---|---|---|---|---|
{fused}

## Layouts

In the packaging that fits, which `auto` finds.

| layout | dtype | packaging | export | torch | score | rows | ids | bits | cosine | signs |
|---|---|---|---|---|---|---|---|---|---|---|
{layouts}
"""


def main(path: Path) -> int:
    """Measure all, write the file, and return 1 if a figure is beyond what is allowed."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder, VespaJava(timeout_seconds=120.0) as java:
        work = Path(folder)
        encoders = {
            cell: measure_encoder(*cell, java, work / "-".join(cell)) for cell in ENCODER_CELLS
        }
        fused = {
            cell: measure_encoder(*cell, java, work / "-".join(("fused", *cell)), optimize=True)
            for cell in FUSED_CELLS
        }
        layouts = {
            cell: measure_layout(*cell, java, work / "-".join(cell)) for cell in LAYOUT_CELLS
        }
        judges = java.versions()
    text = TEXT.format(
        date=datetime.now(UTC).date().isoformat(),
        versions=", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        judges=", ".join(f"{name} {version}" for name, version in judges.items()),
        encoders="\n".join(_encoder_row(*cell, figures) for cell, figures in encoders.items()),
        fused="\n".join(_encoder_row(*cell, figures) for cell, figures in fused.items()),
        layouts="\n".join(_layout_row(*cell, figures) for cell, figures in layouts.items()),
    )
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")
    found = [*encoders.items(), *fused.items(), *layouts.items()]
    faults = [f"{' '.join(cell)}: {fault}" for cell, each in found for fault in each.faults()]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return int(bool(faults))


def _encoder_row(family: str, packaging: str, figures: Figures) -> str:
    return _row((
        AROUND.get(family, family),
        packaging,
        figures.exporter,
        *_judged(figures),
        f"{figures.seconds:.1f}",
    ))


def _layout_row(layout: str, dtype: str, figures: Figures) -> str:
    flips = "" if figures.sign_flips is None else f"{figures.sign_flips:.2%}"
    cosine = "" if figures.cosine is None else f"{figures.cosine:.5f}"
    return _row((layout, dtype, figures.packaging, *_judged(figures), cosine, flips))


def _judged(figures: Figures) -> tuple[str, ...]:
    differences = (figures.export, figures.torch, figures.score, figures.rows)
    return (
        *("" if each is None else f"{each:.1e}" if each else "0" for each in differences),
        "equal" if figures.ids_equal else "differ",
        "equal" if figures.bits_equal else "differ",
    )


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
