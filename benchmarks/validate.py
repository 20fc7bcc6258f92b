"""How long a package takes to be generated and validated, everything imported and the JVM warm.

Usage: python benchmarks/validate.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vespa_colbert.app import render_app
from vespa_colbert.rank import parse_expression
from vespa_colbert.recipe import read_recipe, recipe_application
from vespa_colbert.validate import validate_application
from vespa_colbert.vespa_java import VespaJava

ROUNDS, WARM_ROUNDS = 21, 40
REFERENCE = Path(__file__).parent.parent / "examples" / "reference" / "recipe.toml"


def milliseconds(work: Callable[[], object]) -> float:
    """Return how long something took."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    """Print the first time, and median and best of the rounds after the warm ones."""
    with tempfile.TemporaryDirectory() as scratch, VespaJava() as java:
        package = Path(scratch) / "app"
        contenders: dict[str, Callable[[], object]] = {
            "generate": lambda: render_app(
                recipe_application(read_recipe(REFERENCE)), package, parse=parse_expression
            ),
            "our own checks": lambda: validate_application(package),
            "Vespa's alone": lambda: java.validate_application(package),
            "validate": lambda: validate_application(package, java),
        }
        first = {name: milliseconds(work) for name, work in contenders.items()}
        for _round in range(WARM_ROUNDS):
            java.validate_application(package)
        print(f"{'':<18}{'first ms':>10}{'median ms':>11}{'best ms':>10}")
        for name, work in contenders.items():
            taken = [milliseconds(work) for _round in range(ROUNDS)]
            median, best = statistics.median(taken), min(taken)
            print(f"{name:<18}{first[name]:>10.0f}{median:>11.1f}{best:>10.1f}")


if __name__ == "__main__":
    main()
