from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.diagnose.planted import WHITE, copied
from tests.tiny_dense import build_tiny_dense
from vespa_colbert.cli.main import main

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ("What is a rose?", "the quick brown fox", "a rose is a rose")


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["vespa-colbert", "diagnose", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_verb_names_the_cause_and_its_exit_code_says_whether_vectors_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = build_tiny_dense(tmp_path / "good", pooling="cls")
    bad = copied(good, tmp_path / "bad")
    WHITE["pooling"].plant(bad)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")

    assert ended(monkeypatch, str(good), str(bad), str(texts)) == 1
    out = capsys.readouterr().out
    assert "1. pooling, stage: pooled vector (first stage that differs)" in out
    assert "A: cls  (1_Pooling/config.json: pooling_mode)" in out
    assert "proof: with the pooling of B on both sides (mean): 0 is left" in out

    lines = tmp_path / "texts.jsonl"
    lines.write_text("".join(json.dumps({"text": each}) + "\n" for each in TEXTS))
    np.save(tmp_path / "short.npy", np.zeros((3, 5), np.float32) + 1)
    arguments = (str(good), str(tmp_path / "short.npy"), str(lines), "--json")
    assert ended(monkeypatch, *arguments) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["explained"], told["before"], told["causes"]) == (False, None, [])

    assert ended(monkeypatch, str(good), str(good), str(lines)) == 0
    assert "the vectors agree" in capsys.readouterr().out
    assert ended(monkeypatch, str(good), "nowhere", str(lines)) == 1
    assert "found none by that name" in capsys.readouterr().err
    assert ended(monkeypatch, str(good)) == 2
