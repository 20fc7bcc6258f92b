"""What must start at once loads nothing heavy; benchmarks/startup.py has the times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "examples" / "reference" / "recipe.toml"
HEAVY = (
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "tokenizers",
    "jpype",
    "scipy",
    "ir_measures",
    "vespa",
    "vespacli",
)

SCRIPT = """
import sys
from vespa_colbert.cli.main import main
heavy = sys.argv.pop(1).split(",")
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
loaded = sorted(set(heavy) & set(sys.modules))
assert not loaded, loaded
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["export", "--help"],
        ["generate", "-r", str(REFERENCE), "-o", "app"],
        ["init", "recipe.toml"],
    ],
    ids=lambda arguments: arguments[0] if isinstance(arguments, list) else "",
)
def test_a_light_verb_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, ",".join(HEAVY), *arguments]

    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ran.returncode == 0, ran.stderr


def test_inspect_and_rank_load_no_torch(tiny_checkpoint: Path, tmp_path: Path) -> None:
    # Where it is installed, the tokenizer is asked which packaging auto takes.
    heavy = ",".join(name for name in HEAVY if name != "tokenizers")
    command = [sys.executable, "-c", SCRIPT, heavy, "inspect", str(tiny_checkpoint)]

    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ran.returncode == 0, ran.stderr
    assert "pylate checkpoint" in ran.stdout
