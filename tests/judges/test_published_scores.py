"""Scores that others published for checkpoints, where the checkpoints themselves are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.judges.judge_scores import vespa_scores
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import ExportOptions, export_checkpoint
from vespa_colbert.vespa_java import VespaJava

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.filterwarnings("default")]

FOLDER = "VESPA_COLBERT_GOLDEN_CHECKPOINTS"
PUBLISHED_TOLERANCE = 1e-3
"""Relative and absolute, as the test has it that publishes the scores."""

QUERY = "Which planet is known as the Red Planet?"
DOCUMENTS = (
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet.",
)
# Name on the Hub → MaxSim of the query with each document, by PyLate in float32.
# Source: tests/multi_vector_encoder/test_pretrained.py, sentence-transformers at cad2119.
PUBLISHED = {
    "colbert-ir/colbertv2.0": (12.79703, 27.19449, 23.8495, 24.56564),
    "lightonai/colbertv2.0": (12.79703, 27.19449, 23.8495, 24.56564),
    "answerdotai/answerai-colbert-small-v1": (30.56916, 31.48954, 31.30291, 31.30716),
    "lightonai/GTE-ModernColBERT-v1": (11.25772, 11.51133, 11.34575, 11.4518),
    "lightonai/LateOn": (10.79417, 11.11042, 10.97427, 11.08107),
    "lightonai/mLateOn": (11.3486, 11.5170, 11.4391, 11.4867),
    "mixedbread-ai/mxbai-edge-colbert-v0-17m": (11.56932, 11.75844, 11.70989, 11.72288),
    "lightonai/Reason-ModernColBERT": (9.05118, 10.18419, 9.12381, 9.39101),
    "perplexity-ai/pplx-embed-v1-late-0.6b": (31.56128, 31.80504, 31.67393, 31.74072),
    "LiquidAI/LFM2-ColBERT-350M": (30.42596, 30.66987, 30.55955, 30.61758),
}


def checkpoint_folder(name: str) -> Path:
    """Return the folder of a model, ``owner/model`` below the folder that the user names."""
    parent = os.environ.get(FOLDER)
    if not parent:
        pytest.skip(f"{FOLDER} names no folder with checkpoints")
    folder = Path(parent) / name
    if not folder.is_dir():
        pytest.skip(f"{FOLDER} has no folder {name}")
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_scores_are_reproduced(java: VespaJava, tmp_path: Path, name: str) -> None:
    checkpoint = read_checkpoint(checkpoint_folder(name))
    folder = export_checkpoint(checkpoint, tmp_path / "model", ExportOptions(packaging="exact"))
    (got,) = vespa_scores(java, folder, (QUERY,), DOCUMENTS)
    np.testing.assert_allclose(
        got, PUBLISHED[name], rtol=PUBLISHED_TOLERANCE, atol=PUBLISHED_TOLERANCE
    )
