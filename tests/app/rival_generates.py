"""Processes that all ``generate`` into one folder at once, round by round."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import lxml.etree

from tests.app.killed_generates import state
from tests.killed_processes import fork
from vespa_colbert.app import read_package
from vespa_colbert.cli.generate import command
from vespa_colbert.errors import OutputError

IMPORTED = (jinja2, lxml.etree)
MOST_ROUNDS = 50


def main() -> None:
    """Answer with each round: who wrote, what the others were told, and what stands there."""
    request = json.load(sys.stdin)
    output, recipes = Path(request["output"]), [Path(each) for each in request["recipes"]]
    rounds = [one_round(output, recipes) for _ in range(request["rounds"])]
    # Whether two meet is the scheduler's choice.
    while not any(met(each) for each in rounds) and len(rounds) < MOST_ROUNDS:
        rounds.append(one_round(output, recipes))
    json.dump({"rounds": rounds}, sys.stdout)


def met(one: dict[str, Any]) -> bool:
    """Return whether a writer of a round was told of another."""
    return any(told["message"] for told in one["writers"])


def one_round(output: Path, recipes: list[Path]) -> dict[str, Any]:
    """Return what became of writers that start together."""
    waits, starts = os.pipe()
    told, tells = os.pipe()
    children = [fork(writer(output, recipe, waits, starts, tells)) for recipe in recipes]
    os.close(waits)
    os.close(tells)
    os.close(starts)
    with os.fdopen(told, encoding="utf-8") as stream:
        writers = [json.loads(line) for line in stream]
    codes = [os.waitpid(child, 0)[1] for child in children]
    return {
        "writers": writers,
        "codes": codes,
        "children": children,
        "state": state(output, ""),
        "name": read_package(output).name,
        "left": sorted(each.name for each in output.parent.iterdir()),
    }


def writer(output: Path, recipe: Path, waits: int, starts: int, tells: int) -> Callable[[], None]:
    """Return what a process does: it waits for the others to be there, writes and reports."""

    def write() -> None:
        os.close(starts)
        os.read(waits, 1)
        told = {"name": recipe.stem, "message": ""}
        try:
            command(recipe=recipe, output=output)
        except OutputError as error:
            told["message"] = str(error)
        os.write(tells, json.dumps(told).encode() + b"\n")

    return write


if __name__ == "__main__":
    main()
