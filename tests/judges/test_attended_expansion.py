"""The judge: colbert-ai's arithmetic, with jina-colbert-v2's attended expansion and without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.judges.judge_folders import minilm, write_stanford
from tests.judges.judge_formulas import StanfordFormula
from tests.judges.judge_scores import QUICK_OPSET, check_scores, maxsim, vespa_scores
from tests.judges.judge_texts import DOCUMENTS, QUERIES
from tests.tiny_checkpoint import edit_json
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import ExportOptions, ModelFolder, export_checkpoint
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

ATTENTION_EFFECT = 1e-2
"""Far above rounding: whether the expansion is attended must show in the scores."""

JINA: dict[str, Any] = {
    "query_token_id": "[QueryMarker]",
    "doc_token_id": "[DocumentMarker]",
    "query_maxlen": 16,
    "doc_maxlen": 40,
    "attend_to_mask_tokens": True,
}


def check(
    java: VespaJava,
    formula: StanfordFormula,
    folder: ModelFolder,
    queries: Sequence[str],
    documents: Sequence[str],
) -> None:
    wanted = maxsim(formula.queries(queries), formula.documents(documents))
    check_scores(vespa_scores(java, folder, queries, documents), wanted)


@pytest.fixture(scope="module")
def jina(tiny_xlm_roberta: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stanford(tmp_path_factory.mktemp("jina") / "model", tiny_xlm_roberta, 12, **JINA)


@pytest.fixture(scope="module")
def exact(jina: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """What ``auto`` makes of it."""
    output = tmp_path_factory.mktemp("jina") / "model"
    return export_checkpoint(read_checkpoint(jina), output, ExportOptions(opset=QUICK_OPSET))


def test_scores_are_those_of_attended_expansion(
    java: VespaJava, jina: Path, exact: ModelFolder
) -> None:
    assert exact.packaging == "exact"
    formula = StanfordFormula(jina)
    check(java, formula, exact, QUERIES, DOCUMENTS)
    attended = maxsim(formula.queries(QUERIES), formula.documents(DOCUMENTS))
    formula.metadata["attend_to_mask_tokens"] = False
    without = maxsim(formula.queries(QUERIES), formula.documents(DOCUMENTS))
    assert np.abs(attended - without).max() > ATTENTION_EFFECT


@pytest.mark.slow
def test_scores_of_adversarial_texts(
    java: VespaJava, jina: Path, exact: ModelFolder, adversarial: tuple[str, ...]
) -> None:
    check(java, StanfordFormula(jina), exact, adversarial[::20], adversarial)


@pytest.mark.slow
def test_fewer_dims_are_of_unit_length_again(java: VespaJava, jina: Path, tmp_path: Path) -> None:
    folder = export_checkpoint(read_checkpoint(jina), tmp_path / "model", ExportOptions(dims=5))
    formula = StanfordFormula(jina)
    formula.linear = formula.linear[:5]
    check(java, formula, folder, QUERIES, DOCUMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("attended", [True, False])
def test_scores_of_a_trained_encoder(
    java: VespaJava, adversarial: tuple[str, ...], tmp_path: Path, *, attended: bool
) -> None:
    lengths = {"query_maxlen": 32, "doc_maxlen": 180, "attend_to_mask_tokens": attended}
    source = write_stanford(tmp_path / "checkpoint", minilm(), 96, **lengths)
    options = ExportOptions(packaging="exact")
    folder = export_checkpoint(read_checkpoint(source), tmp_path / "model", options)
    documents = (*DOCUMENTS, *adversarial[::6], "[unused0]", "[unused1] is a marker")
    check(java, StanfordFormula(source), folder, QUERIES, documents)


@pytest.mark.slow
def test_nested_metadata_is_read_as_the_library_reads_it(
    java: VespaJava, jina: Path, tiny_xlm_roberta: Path, tmp_path: Path
) -> None:
    source = write_stanford(tmp_path / "checkpoint", tiny_xlm_roberta, 12)
    nested = {"config": JINA | {"mask_punctuation": False}}
    edit_json(source / "artifact.metadata", **nested)
    folder = export_checkpoint(read_checkpoint(source), tmp_path / "model")
    formula = StanfordFormula(jina)
    formula.skipped = formula.skipped[:0]
    check(java, formula, folder, QUERIES, DOCUMENTS)
