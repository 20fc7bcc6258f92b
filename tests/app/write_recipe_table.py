"""Writes docs/recipes.md: every recipe of the table is made and judged anew.

Usage: python -m tests.app.write_recipe_table docs/recipes.md
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.app.recipe_models import QUESTIONS, scifact_rows, write_recipe_models
from tests.app.recipe_table import Judged, judge_recipe
from tests.app.recipe_texts import RECIPES
from tests.conftest import COLLECTIONS
from vespa_colbert.files import atomic_file
from vespa_colbert.verify.parity import SCORES_FLOOR, SCORES_TOLERANCE
from vespa_colbert.vespa_java import VespaJava

TEXT = """# Recipes

Written by `make recipe-table`, which makes the package of every recipe and judges it anew. Measured
on {date} with {versions}.

{recipes} recipes, {accepted} accepted by Vespa, {profiles} rank profiles, {pairs} scores compared,
largest difference {worst:.1e} (allowed: {allowed:.0e} relative), {not_checked} phases not checked.

A line of a recipe is what differs from the default recipe. Models are tiny ones that Vespa's
embedders run: 16 components a token, 230 words. The corpus has {documents}. {questions} questions
are asked, with quotes, other scripts and emoji among them, and one that is cut.

- *profiles*: rank profiles of the package. All are derived by Vespa as they are read here.
- *Vespa*: what its config model and validation say. A host that is not there is no fault.
- *warnings*: what `validate` warns of besides; each is meant so in that recipe.
- *tensors*: tensors of documents that Vespa's indexing made and the local index has, bit for bit.
- *questions*: questions that Vespa's container read from query profiles, or from what
  `vespa-colbert query` prints: profile, nearestNeighbor and every input as made here.
- *scores*: scores that Vespa's `ModelsEvaluator`, or its global phase over a whole result, and the
  local ranker both computed; *worst*: the largest relative difference. A score near 0 is measured
  against {share:.0%} of the largest of its phase, whose float32 products it is a sum of too.
- *given*: phases in which Java was given what only a content node computes (bm25, closeness), so
  that the value itself is not checked.
- *not checked*: phases that ask for what a client alone makes (*sent*; other tests give it), and
  phases that nothing else is in: bm25 and closeness alone, and hamming distances,
  whose `1 / tensor` a content node computes and Java does not.

{head}
{rows}
"""
COLUMNS = (
    *("recipe", "lines", "profiles", "Vespa", "warnings", "tensors", "questions"),
    *("scores", "worst", "given", "not checked"),
)
SHORT = {"query(": "sent", "bm25": "bm25", "closeness": "closeness", "divides": "hamming"}
"""What the reason of a phase that was not checked begins with → how the table says it."""


def main(path: Path) -> int:
    """Judge all, write the file, and return 1 if a recipe is not as it should be."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name, VespaJava(timeout_seconds=120.0) as java:
        folder, rows = Path(name), scifact_rows(COLLECTIONS)
        model = write_recipe_models(folder, rows)
        found = {name: judge_recipe(java, name, model) for name in RECIPES}
        documents = len((folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines())
        versions = java.versions()
    said = f"{documents} documents" + (f", {len(rows)} of them from SciFact" if rows else "")
    judged = found.values()
    text = TEXT.format(
        date=datetime.now(UTC).date().isoformat(),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        recipes=len(found),
        accepted=sum(not each.faults for each in judged),
        profiles=sum(each.profiles for each in judged),
        pairs=sum(each.pairs for each in judged),
        worst=max(each.worst for each in judged),
        allowed=SCORES_TOLERANCE,
        share=SCORES_FLOOR / SCORES_TOLERANCE,
        not_checked=sum(each.not_checked.total() for each in judged),
        documents=said,
        questions=len(QUESTIONS),
        head=f"{_line(COLUMNS)}\n{_line(['---'] * len(COLUMNS))}",
        rows="\n".join(_row(name, each) for name, each in found.items()),
    )
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")
    faults = [f"{name}: {fault}" for name, each in found.items() for fault in each.faults]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return int(bool(faults))


def _row(name: str, judged: Judged) -> str:
    reasons = judged.not_checked.items()
    cells = (
        name,
        f"`{' · '.join(RECIPES[name].splitlines())}`" if RECIPES[name] else "",
        str(judged.profiles),
        "REFUSED" if judged.faults else "accepted",
        ", ".join(judged.codes),
        str(judged.tensors),
        str(judged.questions),
        str(judged.pairs),
        f"{judged.worst:.1e}",
        str(judged.given or ""),
        ", ".join(
            f"{count} {short}"
            for start, short in SHORT.items()
            if (count := sum(n for note, n in reasons if note.startswith(start)))
        ),
    )
    return _line(cells)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
