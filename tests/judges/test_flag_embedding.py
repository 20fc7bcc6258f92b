"""The judge: FlagEmbedding's arithmetic for BGE-M3, on folders as FlagEmbedding saves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.judges.judge_folders import minilm, write_bge_m3
from tests.judges.judge_formulas import FlagEmbeddingFormula
from tests.judges.judge_scores import QUICK_OPSET, check_scores, maxsim, vespa_scores
from tests.judges.judge_texts import DOCUMENTS, QUERIES
from vespa_colbert.checkpoint import ReadOptions, read_checkpoint
from vespa_colbert.export import ExportOptions, ModelFolder, export_checkpoint
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

LENGTH = 48
QUICK = ExportOptions(opset=QUICK_OPSET)


def exported(folder: Path, output: Path, length: int, options: ExportOptions) -> ModelFolder:
    """Return what ``auto`` makes of the folder, which must be exact files."""
    allowed = ReadOptions(allow_pickle=True, max_query_tokens=length, max_document_tokens=length)
    made = export_checkpoint(read_checkpoint(folder, allowed), output, options)
    assert made.packaging == "exact"
    return made


def check(
    java: VespaJava,
    formula: FlagEmbeddingFormula,
    folder: ModelFolder,
    queries: Sequence[str],
    documents: Sequence[str],
) -> None:
    wanted = maxsim(formula.rows(queries), formula.rows(documents), mean=True)
    check_scores(vespa_scores(java, folder, queries, documents), wanted)


@pytest.fixture(scope="module")
def bge_m3(tiny_xlm_roberta: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bge_m3(tmp_path_factory.mktemp("bge_m3") / "checkpoint", tiny_xlm_roberta, 12)


@pytest.fixture(scope="module")
def exact(bge_m3: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return exported(bge_m3, tmp_path_factory.mktemp("bge_m3") / "model", LENGTH, QUICK)


def test_scores_are_those_of_the_formula(java: VespaJava, bge_m3: Path, exact: ModelFolder) -> None:
    check(java, FlagEmbeddingFormula(bge_m3, LENGTH), exact, QUERIES, DOCUMENTS)


@pytest.mark.slow
def test_scores_of_adversarial_texts(
    java: VespaJava, bge_m3: Path, exact: ModelFolder, adversarial: tuple[str, ...]
) -> None:
    formula = FlagEmbeddingFormula(bge_m3, LENGTH)
    check(java, formula, exact, adversarial[::20], adversarial)


@pytest.mark.slow
def test_scores_of_a_trained_encoder(java: VespaJava, tmp_path: Path) -> None:
    folder = write_bge_m3(tmp_path / "checkpoint", minilm(), 128)
    made = exported(folder, tmp_path / "model", 200, ExportOptions())
    check(java, FlagEmbeddingFormula(folder, 200), made, QUERIES, DOCUMENTS)
