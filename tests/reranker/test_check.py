"""Damaged folders of custom weights get their diagnosis, and none is read in silence."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.reranker.damaged_rerankers import DAMAGES, RerankerDamage
from tests.tiny_cross_encoders import write_cross_encoder_checkpoint
from vespa_colbert.checkpoint.cross_encoder import read_cross_encoder_checkpoint
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.errors import ArrayError, CheckpointError, VespaColbertError
from vespa_colbert.reranker import Reranker, TorchScorer, check_cross_encoder, open_scorer
from vespa_colbert.reranker.remedies import CAUSES

LEAST_DAMAGES = 25
FOUND_ELSEWHERE = {
    *("folder-missing", "model-folder-damaged", "token-types"),
    *("scores-fail", "stored-narrow", "separators"),
}
"""Diagnoses with a test of their own."""


@pytest.fixture(name="no_network", autouse=True)
def no_network_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_named: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(name="damaged")
def damaged_fixture(
    request: pytest.FixtureRequest, checkpoints: Mapping[str, Path], tmp_path: Path
) -> tuple[RerankerDamage, Path]:
    damage: RerankerDamage = request.param
    folder = Path(shutil.copytree(checkpoints[damage.family], tmp_path / "folder"))
    damage.change(folder)
    return damage, folder


def in_every_case() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("damaged", DAMAGES, indirect=True, ids=lambda each: each.name)


@in_every_case()
def test_each_damage_has_its_diagnosis_and_none_is_read_in_silence(
    damaged: tuple[RerankerDamage, Path],
) -> None:
    damage, folder = damaged

    report = check_cross_encoder(folder)

    assert sorted(each.code for each in report.diagnoses) == sorted(damage.codes)
    assert not report.is_sound
    assert all(each.remedy and each.found for each in report.diagnoses)
    if not damage.is_read:
        with pytest.raises(VespaColbertError, match=str(folder)):
            open_scorer(folder)
        return
    reranker = Reranker(open_scorer(folder))
    if damage.codes == ("scores-not-finite",):
        with pytest.raises(ArrayError, match="NaN or infinite"):
            reranker.score([("a dog", "the lazy dog")])


def test_there_are_enough_damages_and_every_cause_has_one() -> None:
    found = {code for damage in DAMAGES for code in damage.codes}

    assert len(DAMAGES) >= LEAST_DAMAGES
    assert {cause.code for cause in CAUSES} == found | FOUND_ELSEWHERE


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_a_whole_folder_is_sound_and_its_scores_are_shown(
    checkpoints: Mapping[str, Path], family: str
) -> None:
    report = check_cross_encoder(checkpoints[family])

    assert report.is_sound
    assert report.diagnoses == ()
    assert report.not_checked == ()
    assert [len(row) for row in report.scores] == [4, 4, 4, 4]
    assert report.facts["separators"] == (1 if family == "bert" else 2)


def test_a_folder_that_is_not_there_is_not_looked_up(tmp_path: Path) -> None:
    (diagnosis,) = check_cross_encoder(tmp_path / "BAAI" / "bge-reranker-v2-m3").diagnoses

    assert diagnosis.code == "folder-missing"
    assert "nothing there" in diagnosis.found


def test_several_faults_show_at_once(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints["bert"], tmp_path / "folder"))
    (folder / "config.json").unlink()
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "tokenizer.json").unlink()

    codes = {each.code for each in check_cross_encoder(folder).diagnoses}

    assert codes == {"config-missing", "weights-empty", "tokenizer-missing"}


def test_a_torch_file_is_read_where_it_is_allowed(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    (damage,) = (each for each in DAMAGES if each.codes == ("weights-pickle",))
    folder = Path(shutil.copytree(checkpoints["bert"], tmp_path / "folder"))
    damage.change(folder)

    allowed = check_cross_encoder(folder, ReadOptions(allow_pickle=True))

    assert allowed.is_sound
    assert allowed.scores == check_cross_encoder(checkpoints["bert"]).scores


def test_more_token_types_than_the_model_has_is_a_fault(tmp_path: Path) -> None:
    folder = write_cross_encoder_checkpoint(tmp_path / "one", "bert", {"type_vocab_size": 1})

    (diagnosis,) = check_cross_encoder(folder).diagnoses

    assert diagnosis.code == "token-types"
    with pytest.raises(CheckpointError, match="token types below 1"):
        read_cross_encoder_checkpoint(folder)


def test_weights_in_half_precision_and_unusual_separators_are_warnings(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints["xlm-roberta"], tmp_path / "folder"))
    tensors = load_file(folder / "model.safetensors")
    halves = {name: each.bfloat16() for name, each in tensors.items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    del document["post_processor"]["pair"][2]
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")

    report = check_cross_encoder(folder)

    assert report.is_sound
    assert {each.code for each in report.diagnoses} == {"stored-narrow", "separators"}
    assert {each.severity for each in report.diagnoses} == {"warning"}
    assert report.facts["dtypes"] == ["BF16"]


def test_a_model_that_cannot_be_run_is_a_fault(
    checkpoints: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(TorchScorer, "logits", fail)

    (diagnosis,) = check_cross_encoder(checkpoints["bert"]).diagnoses

    assert diagnosis.code == "scores-fail"
    assert "cannot be multiplied" in diagnosis.found


def test_a_model_folder_is_checked_too(folders: Mapping[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["bert"], tmp_path / "model"))
    whole = check_cross_encoder(folder)
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")

    (diagnosis,) = check_cross_encoder(folder).diagnoses

    assert whole.is_sound
    assert len(whole.scores) == 4
    assert diagnosis.code == "model-folder-damaged"
