"""The judge: PyLate itself, which wants older libraries and so an environment of its own.

``uv venv pylate-env && uv pip install --python pylate-env/bin/python pylate==1.6.0`` makes one;
VESPA_COLBERT_PYLATE_PYTHON names its interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.judges.judge_folders import add_tokens, minilm, write_pylate, write_stanford
from tests.judges.judge_scores import Rows, Scores, check_scores, maxsim, vespa_scores
from tests.judges.judge_texts import DOCUMENTS, QUERIES
from tests.tiny_checkpoint import edit_json
from tests.tiny_encoders import FAMILIES, build_family
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import ExportOptions, export_checkpoint
from vespa_colbert.vespa_java import VespaJava

pytestmark = [pytest.mark.java, pytest.mark.slow]

PYTHON = "VESPA_COLBERT_PYLATE_PYTHON"
SCRIPT = Path(__file__).with_name("pylate_rows.py")
TIMEOUT_SECONDS = 300.0

LAYERS = (
    {"out": 12, "bias": True, "activation": "Tanh", "residual": True},
    {"out": 8, "bias": False},
)
PREFIXES = {"query_prefix": "[unused0]", "document_prefix": "[unused1]"}
CASES: dict[str, dict[str, Any]] = {
    "expansion": {**PREFIXES, "query_length": 12, "document_length": 24},
    "no expansion": {
        **PREFIXES,
        "query_length": 9,
        "document_length": 40,
        "do_query_expansion": False,
        "skiplist_words": ["rose", ".", "is", "[SEP]"],
    },
    "attended, no markers": {
        "query_prefix": "",
        "document_prefix": "",
        "query_length": 14,
        "document_length": 20,
        "attend_to_expansion_tokens": True,
    },
}


@pytest.fixture(scope="module")
def pylate_python() -> Path:
    named = os.environ.get(PYTHON)
    if not named:
        pytest.skip(f"{PYTHON} names no interpreter of an environment with PyLate")
    return Path(named)


def pylate_scores(
    python: Path,
    checkpoint: Path,
    scratch: Path,
    queries: Sequence[str],
    documents: Sequence[str],
) -> Scores:
    """Return the scores of PyLate's own token vectors."""
    texts, output = scratch / "texts.json", scratch / "rows.npz"
    texts.write_text(json.dumps({"queries": queries, "documents": documents}), encoding="utf-8")
    command = [str(python), str(SCRIPT), str(checkpoint), str(texts), str(output)]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        command,
        env=kept | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(output) as arrays:
        left: list[Rows] = [arrays[f"query_{place}"] for place in range(len(queries))]
        right: list[Rows] = [arrays[f"document_{place}"] for place in range(len(documents))]
    return maxsim(left, right)


def check(
    java: VespaJava,
    python: Path,
    source: Path,
    scratch: Path,
    texts: tuple[Sequence[str], Sequence[str]],
) -> None:
    options = ExportOptions(packaging="exact")
    folder = export_checkpoint(read_checkpoint(source), scratch / "model", options)
    wanted = pylate_scores(python, source, scratch, *texts)
    check_scores(vespa_scores(java, folder, *texts), wanted)


@pytest.mark.parametrize("case", CASES)
def test_exact_scores_are_those_of_pylate(
    pylate_python: Path, java: VespaJava, tiny_checkpoint: Path, tmp_path: Path, case: str
) -> None:
    source = write_pylate(tmp_path / "checkpoint", tiny_checkpoint, LAYERS, **CASES[case])
    check(java, pylate_python, source, tmp_path, (QUERIES, DOCUMENTS))


def test_exact_scores_of_adversarial_texts(
    pylate_python: Path,
    java: VespaJava,
    tiny_checkpoint: Path,
    adversarial: tuple[str, ...],
    tmp_path: Path,
) -> None:
    settings = CASES["expansion"]
    source = write_pylate(tmp_path / "checkpoint", tiny_checkpoint, LAYERS, **settings)
    check(java, pylate_python, source, tmp_path, (adversarial[::20], adversarial))


def test_exact_scores_of_a_stanford_checkpoint(
    pylate_python: Path, java: VespaJava, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    metadata = {"query_maxlen": 12, "doc_maxlen": 24, "attend_to_mask_tokens": False}
    source = write_stanford(tmp_path / "checkpoint", tiny_checkpoint, 8, **metadata)
    check(java, pylate_python, source, tmp_path, (QUERIES, DOCUMENTS))


def test_exact_scores_of_a_trained_encoder(
    pylate_python: Path, java: VespaJava, tmp_path: Path
) -> None:
    added = add_tokens(minilm(), tmp_path / "added", ("[Q] ", "[D] "), special=False)
    layers = ({"out": 192, "bias": True, "activation": "GELU", "residual": True}, {"out": 64})
    prefixes = {"query_prefix": "[Q] ", "document_prefix": "[D] "}
    lengths = {"query_length": 32, "document_length": 180}
    source = write_pylate(tmp_path / "checkpoint", added, layers, **prefixes, **lengths)
    check(java, pylate_python, source, tmp_path, (QUERIES, DOCUMENTS))


@pytest.mark.parametrize("family", ["modernbert", "xlm-roberta", "qwen3-eos"])
def test_exact_scores_of_other_encoders_and_tokenizers(
    pylate_python: Path, java: VespaJava, tmp_path: Path, family: str
) -> None:
    source = build_family(FAMILIES[family], tmp_path / "checkpoint")
    # Without it the library makes a tokenizer of its own from the vocabulary.
    edit_json(source / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    check(java, pylate_python, source, tmp_path, (QUERIES, DOCUMENTS))
