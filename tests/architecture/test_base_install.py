"""The wheel without extras, in an environment of its own: small, and it reads, generates, ranks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv", path=str(ROOT / ".tools" / "bin")) or shutil.which("uv")
LARGEST_MEGABYTES = 150

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from vespa_colbert.app import render_app
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.index import Document, build_index, open_index
from vespa_colbert.pipeline import only_schema
from vespa_colbert.rank import Ranker, RankQuery, parse_expression
from vespa_colbert.recipe import read_recipe, recipe_application
from vespa_colbert.tensor import Tensor

checkpoint, recipe, here = map(Path, sys.argv[1:])
assert read_checkpoint(checkpoint).dim == 8
render_app(recipe_application(read_recipe(recipe)), here / "app", parse=parse_expression)
schema = only_schema(here / "app")
documents = [Document(id=name, fields={"text": name}) for name in ("ab", "c")]
vectors = {"ab": np.eye(2, 128, dtype=np.float32), "c": -np.eye(1, 128, dtype=np.float32)}
build_index(documents, schema, lambda text: vectors[text.strip()], here / "index", origin={})
profile = "max_sim_float"
query_type = schema.profile(profile).input_types["qt"]
query = RankQuery(tensors={"qt": Tensor.rows(query_type, np.eye(1, 128))})
hits = Ranker(schema, profile, open_index(here / "index")).rank(query)
assert [(hit.id, hit.relevance) for hit in hits] == [("ab", 1.0), ("c", -1.0)], hits
assert not {"torch", "onnxruntime", "jpype", "tokenizers", "scipy"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if UV is None:
        pytest.skip("needs uv to build a wheel; `make test` brings it")
    folder = tmp_path_factory.mktemp("base")

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)

    run(UV, "build", "--wheel", "--quiet", "--out-dir", folder / "dist")
    (wheel,) = (folder / "dist").glob("*.whl")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "env")
    python = folder / "env" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--system-certs", "--python", python, wheel)
    return folder / "env"


def test_the_base_install_is_small(environment: Path) -> None:
    size = sum(
        path.stat().st_size
        for path in environment.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    megabytes = size / 1e6
    assert megabytes < LARGEST_MEGABYTES


def test_the_base_install_reads_generates_and_ranks(
    environment: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = ROOT / "examples" / "reference" / "recipe.toml"
    python = environment / "bin" / "python"
    command: list[str | Path] = [python, "-c", SCRIPT, tiny_checkpoint, recipe, tmp_path]

    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "app" / "services.xml").is_file()


def test_the_base_install_names_the_extra_that_a_verb_needs(
    environment: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    program = environment / "bin" / "vespa-colbert"
    command: list[str | Path] = [program, "export", tiny_checkpoint, "-o", "model"]

    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ran.returncode == 1
    assert "pip install 'vespa-colbert[export]'" in ran.stderr
    assert list(tmp_path.iterdir()) == []
