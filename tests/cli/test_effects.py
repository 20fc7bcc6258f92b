"""What ``inspect`` and ``export`` say of the differences between Vespa and the training library."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bare_model_folders import FACTS
from tests.cli.conftest import Run
from tests.tiny_checkpoint import edit_json
from vespa_colbert.cli.effects import effect_lines
from vespa_colbert.export import ModelFolder

Copy = Callable[[], Path]
SETTINGS = "config_sentence_transformers.json"

EFFECT = {
    "queries": 14,
    "documents": 26,
    "touched": 28,
    "largest": 0.36579,
    "mean": 0.0029578,
    "best_changed": 0.0714,
    "ordinary_pairs": 288,
    "ordinary_touched": 3,
}


def model_folder(**facts: Any) -> ModelFolder:
    given: dict[str, Any] = {"checkpoint": {}, "versions": {}, "graph": {}, "verification": {}}
    return ModelFolder(path=Path("model"), embedder=FACTS, packaging="native", **given | facts)


def test_a_line_has_every_figure() -> None:
    differences = (
        {"point": "punctuation", "faithful": True, "effect": EFFECT, "not_measured": ""},
        {"point": "marker", "faithful": False, "effect": None, "not_measured": "there is none"},
        {"point": "score", "faithful": False},
    )
    total = {"effect": None, "not_measured": "no native files"}
    folder = model_folder(differences=differences, verification={"effect": total})
    assert effect_lines(folder)[1:] == [
        (
            "    punctuation: largest 36.58%, mean 0.296%; 28 of 364 pairs, 3 of the 288 of "
            "ordinary texts; another best document for 7% of 14 queries"
        ),
        "    marker: not measured: there is none",
        "    score: not measured: made by an older version",
        "    all together: not measured: no native files",
    ]


def test_a_folder_of_which_nothing_was_measured_has_no_lines() -> None:
    point = {"point": "score", "faithful": False}
    assert effect_lines(model_folder(differences=(point,))) == []
    assert effect_lines(model_folder(verification={"effect": {"effect": EFFECT}})) == []


def test_inspect_shows_the_points_of_both_packagings(run: Run, tiny_checkpoint: Path) -> None:
    said = run("inspect", tiny_checkpoint).out
    assert "packaging auto takes native: only punctuation and end of long documents differ" in said
    native, exact = said.split("training library, native")[1].split("training library, exact")
    assert [line.split(":")[0].strip() for line in native.splitlines()[1:3]] == [
        "punctuation",
        "end of long documents",
    ]
    assert "'?'" in exact
    assert "'[MASK].'" in exact


def test_inspect_says_which_packaging_auto_takes_in_json(run: Run, copy: Copy) -> None:
    source = copy()
    edit_json(source / SETTINGS, attend_to_expansion_tokens=True)
    facts: Any = run("inspect", source, "--json").json
    packaging = facts["packaging"]
    assert packaging["auto"] == "exact"
    assert packaging["reason"] == "native would change scores: attention to expansion tokens"
    unfaithful = [each["point"] for each in packaging["native"] if not each["faithful"]]
    assert unfaithful == ["attention to expansion tokens"]
    assert all(each["faithful"] for each in packaging["exact"])
    assert {"point", "library", "vespa", "faithful"} == packaging["exact"][0].keys()


def test_inspect_says_that_nothing_can_be_made_of_one_marker(run: Run, copy: Copy) -> None:
    source = copy()
    edit_json(source / SETTINGS, query_prefix="")
    said = run("inspect", source)
    assert said.code == 0
    assert "packaging auto: not known: " in said.out
    assert "got none for the query" in said.out


def test_inspect_says_that_exact_files_cannot_be_made(run: Run, copy: Copy) -> None:
    source = copy()
    edit_json(source / SETTINGS, attend_to_expansion_tokens=True)
    document = json.loads((source / "tokenizer.json").read_text())
    # A token that stands in the text before normalization is out of any normalizer's reach.
    document["added_tokens"].append(
        {"id": document["model"]["vocab"]["!"], "content": "!", "special": False}
        | {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    )
    (source / "tokenizer.json").write_text(json.dumps(document))
    facts: Any = run("inspect", source, "--json").json
    assert facts["packaging"]["auto"] is None
    assert "lone punctuation no tokens" in facts["packaging"]["reason"]


def test_inspect_without_tokenizers_shows_what_the_files_say(
    run: Run, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    facts: Any = run("inspect", tiny_checkpoint, "--json").json
    assert facts["packaging"]["auto"] is None
    assert "vespa-colbert[embed]" in facts["packaging"]["reason"]
    assert [each["point"] for each in facts["packaging"]["native"]] == [
        "punctuation",
        "end of long documents",
    ]


def test_export_prints_and_keeps_the_effects(run: Run, copy: Copy, tmp_path: Path) -> None:
    source = copy()
    edit_json(source / SETTINGS, attend_to_expansion_tokens=True)
    given = ("export", source, "-o", tmp_path / "model", "--packaging", "native", "--accept-drift")
    said = run(*given).out.splitlines()
    place = next(i for i, line in enumerate(said) if "library's scores of sample texts" in line)
    assert said[place + 1].startswith("    attention to expansion tokens: largest ")
    assert said[-1].startswith("    all together: largest ")
    manifest = json.loads((tmp_path / "model" / "embedder.json").read_text())
    assert all(each["effect"]["touched"] > 0 for each in manifest["differences"])
    assert manifest["verification"]["effect"]["effect"]["touched"] > 0
    # What is still valid says it again.
    assert run(*given).out.splitlines()[place:] == said[place:]
