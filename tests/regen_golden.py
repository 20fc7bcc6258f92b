"""Prints the committed package again: ``python tests/regen_golden.py [FOLDER]``."""

from __future__ import annotations

import sys
from pathlib import Path

from vespa_colbert.app import render_app
from vespa_colbert.rank import parse_expression
from vespa_colbert.recipe import read_recipe, recipe_application

RECIPE = Path(__file__).parent.parent / "examples" / "reference" / "recipe.toml"


def main() -> None:
    recipe = read_recipe(RECIPE)
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else recipe.app.output.resolve()
    package = render_app(recipe_application(recipe), output, parse=parse_expression)
    sys.stdout.write(f"{package.path}\n")


if __name__ == "__main__":
    main()
