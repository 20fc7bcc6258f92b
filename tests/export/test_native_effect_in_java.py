"""The effect that an export reports, against the scores of Vespa's own embedder on its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from tests.export.conftest import edited
from tests.library_scores import Library, Rows
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.export import ExportOptions, ModelFolder, Packaging, export_checkpoint
from vespa_colbert.export.differences import Subject, points_of
from vespa_colbert.export.native_effect import sample_texts
from vespa_colbert.export.samples import SAMPLE_PASSAGES, SAMPLE_QUERIES
from vespa_colbert.export.tokenizer_file import open_tokenizer
from vespa_colbert.tensor import TensorType
from vespa_colbert.vespa_java import EmbedderFiles, VespaJava

pytestmark = pytest.mark.java

FIGURE_ROUNDING = 2e-5
"""float32 rounding of rows, 2e-6 each, over the ten rows of a query, relative to its score."""

TOUCHED = 2e-5
"""A smaller change is rounding between ONNX Runtime and torch."""


def vespa_scores(java: VespaJava, folder: ModelFolder, texts: Sequence[Sequence[str]]) -> Rows:
    """Return (query, document): sums of maxima over the rows of Vespa's embedder."""
    files, dim = EmbedderFiles.of(folder), folder.embedder.dim
    sides = zip(("query(qt)", "doc.colbert"), ("qt", "dt"), texts, strict=True)
    queries, documents = (
        [
            each.tensor.values.astype(np.float64)
            for each in java.embed_many(
                files, side, destination, TensorType.parse(f"tensor<float>({name}{{}},x[{dim}])")
            )
        ]
        for destination, name, side in sides
    )
    return np.array([[(q @ d.T).max(axis=1).sum() for d in documents] for q in queries])


def texts_of(checkpoint: Checkpoint, packaging: Packaging) -> tuple[tuple[str, ...], ...]:
    tokenizer = open_tokenizer(checkpoint.tokenizer.text, checkpoint)
    subject = Subject(checkpoint=checkpoint, tokenizer=tokenizer)
    shown = sample_texts(subject, points_of(subject, packaging))
    return (*SAMPLE_QUERIES, *shown), (*SAMPLE_PASSAGES, *shown)


def check(java: VespaJava, folder: ModelFolder, checkpoint: Checkpoint, source: Path) -> Any:
    """Compare the reported total with Vespa's scores; return it."""
    texts = texts_of(checkpoint, "exact" if folder.packaging == "exact" else "native")
    model = transformers.BertModel.from_pretrained(source)
    library = Library(checkpoint, model).scores(*texts)
    vespa = vespa_scores(java, folder, texts)
    changes = np.abs(vespa - library) / np.abs(library)
    total = folder.verification["effect"]
    effect = total["effect"]
    assert (effect["queries"], effect["documents"]) == library.shape
    assert effect["largest"] == pytest.approx(changes.max(), abs=FIGURE_ROUNDING)
    assert effect["mean"] == pytest.approx(changes.mean(), abs=FIGURE_ROUNDING)
    assert effect["touched"] == (changes > TOUCHED).sum()
    best = library.argmax(axis=1)
    assert effect["best_changed"] == np.mean(best != vespa.argmax(axis=1))
    return effect


def test_native_files_with_accepted_drift(java: VespaJava, copy: Any, tmp_path: Path) -> None:
    source = copy()
    checkpoint = edited(source, attend_to_expansion_tokens=True, skiplist_words=["rose", "is", "!"])
    options = ExportOptions(packaging="native", accept_drift=True)
    folder = export_checkpoint(checkpoint, tmp_path / "model", options)
    assert [each["point"] for each in folder.differences if each["effect"]["touched"]] == [
        "attention to expansion tokens",
        "punctuation",
        "end of long documents",
    ]
    assert check(java, folder, checkpoint, source)["ordinary_touched"] > 0


@pytest.mark.slow
def test_faithful_native_files(java: VespaJava, tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    folder = export_checkpoint(checkpoint, tmp_path / "model")
    assert folder.packaging == "native"
    check(java, folder, checkpoint, tiny_checkpoint)


@pytest.mark.slow
def test_exact_files(java: VespaJava, tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    folder = export_checkpoint(checkpoint, tmp_path / "model", ExportOptions(packaging="exact"))
    effect = check(java, folder, checkpoint, tiny_checkpoint)
    assert (effect["ordinary_touched"], effect["touched"] > 0) == (0, True)
