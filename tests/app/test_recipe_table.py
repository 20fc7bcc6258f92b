"""Every recipe of the table: accepted, read, indexed, asked and scored as Vespa does it."""

from __future__ import annotations

import tomllib

import pytest

from tests.app.recipe_models import QUESTIONS, scifact_rows, write_recipe_models
from tests.app.recipe_table import judge_recipe
from tests.app.recipe_texts import BY_DEFAULT, RECIPES
from tests.conftest import COLLECTIONS
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.recipe.tables import tables
from vespa_colbert.verify.parity import SCORES_TOLERANCE
from vespa_colbert.vespa_java import VespaJava

LEAST_RECIPES = 40
NO_HOSTS = "Unable to lookup IP address of host"
NAMES = [
    name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES
]
TABLES = ("model", "app", "tokens", "dense", "lexical", "fusion", "cross-encoder", "nodes", "cloud")
"""What a package is made from."""
ELSEWHERE = {
    ("app", "output"),
    ("app", "minimum-vespa-version"),
    *(("dense", f"{file}-{how}") for file in ("transformer", "tokenizer") for how in ("url", "id")),
    ("dense", "secret-ref"),
}
"""What changes no score, and published models that are not at hand for Vespa's code to run."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_recipe_models(tmp_path_factory.mktemp("recipes"), scifact_rows(COLLECTIONS))


def expected_codes(text: str) -> set[str]:
    """Return what our own checks warn of in a package that is meant so."""
    recipe = tomllib.loads(text)
    said, codes = recipe.get("app", {}), set()
    vectors = recipe.get("tokens", {})
    # What a client cuts, no embedder of the package is asked for.
    if 8 in vectors.get("dims", ()) and vectors.get("embeddings") != "client":
        codes.add("vectors-cut")
    if said.get("layout", "passage") != "passage" or "bfloat16" in said.get("cell-types", ()):
        codes.add("slow-max-sim")
    if "residual" in vectors:  # two dimensions name a token, and it is rebuilt before
        codes.add("slow-max-sim")
    if recipe.get("nodes", {}).get("content", 1) > 1:
        codes.add("rerank-count-per-node")
    if "hosts" in recipe.get("nodes", {}):
        codes.add("vespa-warns")
    return codes


@pytest.mark.java
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_makes_a_package_that_serves_what_is_computed_here(
    java: VespaJava, model: ModelFolder, name: str
) -> None:
    judged = judge_recipe(java, name, model, QUESTIONS[1:3] if name in BY_DEFAULT else QUESTIONS)

    assert judged.faults == ()
    assert [each for each in judged.warnings if NO_HOSTS not in each] == []
    assert set(judged.codes) == expected_codes(RECIPES[name])
    assert judged.tensors > 0
    assert judged.questions > 0
    assert judged.pairs > 0
    assert judged.worst <= SCORES_TOLERANCE
    # A phase is not checked only where no Java computes it: bm25, closeness, 1 / tensor; or where
    # a client sends what nobody makes here: test_variant_lexical scores those.
    reasons = (
        *("computed by a content node, not by Java", "divides a number by a tensor"),
        "sent by whoever asks",
        "sent by whoever feeds",
    )
    assert all(any(each in note for each in reasons) for note in judged.not_checked)


def test_the_table_has_every_choice_alone_or_with_others() -> None:
    assert len(RECIPES) >= LEAST_RECIPES
    assert set(BY_DEFAULT) <= RECIPES.keys()
    stated = {
        (table, key)
        for text in RECIPES.values()
        for table, keys in tomllib.loads(text).items()
        for key in keys
    }
    known = tables()
    every = {(name, each.alias) for name in TABLES for each in known[name].model_fields.values()}
    assert every - stated == ELSEWHERE
