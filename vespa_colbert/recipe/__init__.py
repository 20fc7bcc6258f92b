"""The recipe: one TOML file that says what every stage is to do, with nothing left open."""

from __future__ import annotations

from vespa_colbert.recipe.read import (
    default_recipe,
    read_recipe,
    recipe_application,
    search_profile,
)
from vespa_colbert.recipe.tables import Recipe

__all__ = ["Recipe", "default_recipe", "read_recipe", "recipe_application", "search_profile"]
