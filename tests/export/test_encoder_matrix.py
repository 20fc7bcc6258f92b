from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.export.export_matrix import (
    DECODERS,
    ENCLOSED_DECODERS,
    ENCODER_CELLS,
    ROWS_TOLERANCE,
    Figures,
    measure_encoder,
)
from tests.library_scores import Library
from tests.tiny_checkpoint import HIDDEN
from tests.tiny_encoders import FAMILIES, build_family
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export import ExportOptions, export_checkpoint
from vespa_colbert.export.options import Dtype, Packaging
from vespa_colbert.export.packaging import choose_packaging
from vespa_colbert.model import build_encoder
from vespa_colbert.vespa_java import VespaJava

QUICK = {("bert", "native"), ("lfm2", "exact")}
"""An encoder and a decoder: two kinds of tokenizer, and LFM2 has no end token."""


@pytest.mark.java
@pytest.mark.parametrize(
    ("family", "packaging"),
    [
        pytest.param(*cell, marks=[] if cell in QUICK else [pytest.mark.slow], id="-".join(cell))
        for cell in ENCODER_CELLS
    ],
)
def test_vespas_embedder_gives_the_rows_of_torch(
    java: VespaJava, tmp_path: Path, family: str, packaging: Packaging
) -> None:
    assert measure_encoder(family, packaging, java, tmp_path / family).faults() == []


FLAWLESS = Figures(
    packaging="native",
    dtype="fp32",
    exporter="dynamo",
    export=0.0,
    torch=0.0,
    score=None,
    rows=0.0,
    ids_equal=True,
    bits_equal=True,
    cosine=None,
    sign_flips=None,
    seconds=1.0,
)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("figure", ["export", "torch", "score", "rows"])
def test_a_figure_that_is_no_number_is_a_fault(figure: str, dtype: Dtype) -> None:
    flawless = replace(FLAWLESS, dtype=dtype)
    assert flawless.faults() == []
    changes: dict[str, Any] = {figure: math.nan}
    assert replace(flawless, **changes).faults() == [f"{figure}: nan"]


@pytest.mark.parametrize("family", ENCLOSED_DECODERS)
def test_a_decoder_with_a_token_on_both_sides_may_be_packaged_native(
    tmp_path: Path, family: str
) -> None:
    checkpoint = read_checkpoint(build_family(FAMILIES[family], tmp_path / "checkpoint"))
    assert None not in {checkpoint.start_id, checkpoint.end_id}
    choice = choose_packaging(checkpoint, "native", accept_drift=True)
    lost = [each.point for each in choice.drift]
    assert (choice.packaging, lost) == ("native", ["white space around a text"])


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_without_one_of_the_two_is_never_packaged_native(
    tmp_path: Path, family: str
) -> None:
    checkpoint = read_checkpoint(build_family(FAMILIES[family], tmp_path / "checkpoint"))
    assert choose_packaging(checkpoint, "auto").packaging == "exact"
    for accept_drift in (False, True):
        options = ExportOptions(packaging="native", accept_drift=accept_drift)
        with pytest.raises(ExportError, match="(start|end) token"):
            export_checkpoint(checkpoint, tmp_path / "model", options)


def test_where_two_libraries_put_the_marker_differently_is_said(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(build_family(FAMILIES["qwen3"], tmp_path / "qwen3"))
    assert any("the marker is the second token" in warning for warning in checkpoint.warnings)
    started = read_checkpoint(build_family(FAMILIES["lfm2"], tmp_path / "lfm2"))
    assert not any("second token" in warning for warning in started.warnings)


def test_a_model_that_puts_nothing_around_a_text_is_refused(tmp_path: Path) -> None:
    folder = build_family(
        FAMILIES["qwen3"], tmp_path / "checkpoint", query_prefix="", document_prefix=""
    )
    with pytest.raises(ExportError, match="an empty text would have no token"):
        export_checkpoint(read_checkpoint(folder), tmp_path / "model")


def test_an_embedding_of_another_width_than_the_layers_is_read(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(build_family(FAMILIES["electra"], tmp_path / "checkpoint"))
    embedding = checkpoint.encoder.weights["embeddings.word_embeddings.weight"]
    assert (embedding.shape[1], checkpoint.encoder.hidden_size) == (8, HIDDEN)


def test_expansion_tokens_outside_a_local_window_are_as_in_the_library(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(build_family(FAMILIES["modernbert"], tmp_path / "checkpoint"))
    model = transformers.AutoModel.from_pretrained(tmp_path / "checkpoint")
    ids = [2, 5, 9, 3, *[4] * 20]
    attention = [1] * 4 + [0] * 20
    got = build_encoder(checkpoint)(torch.tensor([ids]), torch.tensor([attention]))[0].numpy()
    wanted = Library(checkpoint, model).encode(ids, attention)
    np.testing.assert_allclose(got, wanted, atol=ROWS_TOLERANCE, rtol=0)
    # transformers' other implementation lets such a token attend to everything.
    model.set_attn_implementation("eager")
    other = Library(checkpoint, model).encode(ids, attention)
    assert np.abs(other - wanted).max() > 0.1
