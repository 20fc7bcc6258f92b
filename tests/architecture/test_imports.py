from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "vespa_colbert"
HEAVY = (
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "jpype",
    "tokenizers",
    "ir_measures",
    "vespa",
    "vespacli",
    "faiss",
    "ray",
    "openvino",
)
"""Libraries of the extras: imported where they are used, never by an import of ours."""

STAGES = sorted(
    path.stem if path.is_file() else path.name
    for path in PACKAGE.iterdir()
    if path.stem[0] not in "_." and (path.suffix == ".py" or (path / "__init__.py").is_file())
)
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.stem not in {"__init__", "__main__"}
)
DEFINES_A_TORCH_CLASS = {
    *(
        f"vespa_colbert.model.{name}"
        for name in ("attention", "columns", "contextual", "dense", "exact", "pair_encoder")
    ),
    *(f"vespa_colbert.train.{name}" for name in ("losses", "max_sim")),
    *(f"vespa_colbert.train.{name}" for name in ("encode", "loop", "measure", "model")),
    *(f"vespa_colbert.train.{name}" for name in ("sources", "state", "step", "train")),
}
"""The modules whose import is the import of torch; the others import it inside functions."""

SECONDS = 60

LOADED = """
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(" ".join(sorted({heavy!r} & sys.modules.keys())))
"""


def loaded_by(*names: str) -> str:
    """Return the heavy libraries that a fresh interpreter loads for these imports."""
    source = LOADED.format(names=names, heavy=set(HEAVY))
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return done.stdout.strip()


def test_the_check_sees_what_is_loaded() -> None:
    assert loaded_by("vespa_colbert", "tokenizers") == "tokenizers"


def test_every_stage_is_here() -> None:
    assert {"arrays", "errors", "files", "tensor", "rank", "embedder", "index"} <= set(STAGES)


@pytest.mark.parametrize("stage", ["", *STAGES])
def test_importing_a_stage_loads_no_library_of_an_extra(stage: str) -> None:
    assert loaded_by(f"vespa_colbert.{stage}".rstrip(".")) == ""


def test_importing_every_module_loads_no_library_of_an_extra() -> None:
    assert set(MODULES) >= DEFINES_A_TORCH_CLASS
    assert loaded_by(*(name for name in MODULES if name not in DEFINES_A_TORCH_CLASS)) == ""


def test_stages_import_only_what_stands_above_them() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [command, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
