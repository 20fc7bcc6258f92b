"""Writes docs/public-applications.md from the facts and from what our recipes make.

Usage: python -m tests.app.write_public_applications docs/public-applications.md
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.app.public_applications import APPLICATIONS, Alike, PublicRecipe
from tests.app.tiny_models import write_cross_encoder
from vespa_colbert.app import ApplicationSpec, Schema
from vespa_colbert.app.render import render_schema
from vespa_colbert.export.cross_encoder_spec import CrossEncoderSpec
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.model_folder import MODEL_FILE, TOKENIZER_FILE, EmbedderSpec, ModelFolder
from vespa_colbert.files import atomic_file, digest_file
from vespa_colbert.recipe import read_recipe, recipe_application

__all__ = ["page", "specs"]

COLBERT_V2 = EmbedderSpec(
    dim=128,
    start_id=101,
    end_id=102,
    mask_id=103,
    pad_id=0,
    query_marker_id=1,
    document_marker_id=2,
    max_query_tokens=32,
    max_document_tokens=512,
    max_tokens=512,
    expansion_emitted=True,
)
E5 = DenseSpec(
    dim=384,
    max_tokens=512,
    pooling="mean",
    normalize=False,
    query_prepend="query: ",
    document_prepend="passage: ",
)
HEAD = """# Public applications

Written by `make public-applications`, and compared in the tests with what is generated today.

The rank profiles of Vespa's sample applications for ColBERT and of the notebooks of pyvespa, each
with a recipe that makes a package that ranks so, and the profile that is generated from it. A test
generates every recipe of this page and compares each phase of the two in the canonical form in
which Vespa prints an expression: functions put in the place of their calls, names exchanged, sums
in one order. *Differs* is what is known to differ in what ranks, and why; phases, counts and rank
properties are equal otherwise. Fields, their names and what is shown with a hit are our own. A
recipe shows what is not a default; `colbert.json` has the facts of colbertv2.0, `e5` those of
e5-small-v2.
"""


def specs(folder: Path) -> dict[str, ApplicationSpec]:
    """Return title → the application that its recipe makes.

    Args:
        folder: Where the recipes and what they name are put.
    """
    (folder / "e5").mkdir()
    for name in (MODEL_FILE, TOKENIZER_FILE):
        (folder / "e5" / name).write_text("{}", encoding="utf-8")
    _write(folder / "colbert.json", {"embedder": asdict(COLBERT_V2)})
    _write(folder / "e5" / "embedder.json", {"dense": asdict(E5)})
    types = "token_type_ids"
    cross = CrossEncoderSpec(max_tokens=96, token_type_ids=types)
    write_cross_encoder(folder / "cross-encoder", cross, "bert")
    _write_model_folder(folder / "output" / "model")
    found = {}
    for each in APPLICATIONS:
        path = folder / "recipe.toml"
        path.write_text(each.recipe, encoding="utf-8")
        found[each.title] = recipe_application(read_recipe(path))
    return found


def _write(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


def _write_model_folder(path: Path) -> None:
    """Write the model that clients run, where a recipe looks for one; nothing reads its graph."""
    path.mkdir(parents=True)
    for name in (MODEL_FILE, TOKENIZER_FILE):
        (path / name).write_text("{}", encoding="utf-8")
    folder = ModelFolder(
        path=path,
        embedder=COLBERT_V2,
        packaging="native",
        checkpoint={},
        versions={},
        graph={"opset": 17, "ir_version": 9},
        verification={},
        files={name: digest_file(path / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    (path / "embedder.json").write_text(folder.manifest(), encoding="utf-8")


def page() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as name:
        found = specs(Path(name))
    return HEAD + "".join(_section(each, found[each.title]) for each in APPLICATIONS)


def _section(public: PublicRecipe, spec: ApplicationSpec) -> str:
    text, shown = render_schema(spec.schemas[0]), set[str]()
    profiles = []
    for each in public.profiles:
        names = [name for name in _line_of(spec.schemas[0], each.ours) if name not in shown]
        shown.update(names)
        profiles.append(_profile([_block(text, name) for name in names], each))
    found = "\n\n".join(profiles)
    return f"\n## {public.title}\n\n```toml\n{public.recipe}```\n\n{found}\n"


def _line_of(schema: Schema, name: str) -> list[str]:
    """Return a profile and those that it inherits, the first of them first."""
    profile = next(each for each in schema.rank_profiles if each.name == name)
    return [each for parent in profile.inherits for each in _line_of(schema, parent)] + [name]


def _block(schema: str, name: str) -> str:
    """Return the text of a rank profile."""
    match = re.search(rf"^    rank-profile {name}\b.*?^    \}}$", schema, re.M | re.S)
    assert match is not None, name
    return "\n".join(line.removeprefix("    ") for line in match[0].split("\n"))


def _profile(blocks: Sequence[str], alike: Alike) -> str:
    """Return how a profile is called there and here, its text here, and what differs."""
    found = f"`{alike.theirs}`, here `{alike.ours}`:"
    if blocks:
        found += "\n\n```\n" + "\n\n".join(blocks) + "\n```"
    return f"{found}\n\nDiffers: {alike.left}" if alike.left else found


def main(path: Path) -> None:
    """Write the page."""
    with atomic_file(path) as part:
        part.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
