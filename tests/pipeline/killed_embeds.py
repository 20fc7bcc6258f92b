"""A process that forks ``embed`` and kills it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.index.stored_cases import embed
from tests.killed_processes import Target, answer
from tests.pipeline.embedded_corpora import install, request, text
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.index import all_faults, open_index
from vespa_colbert.pipeline.shards import embed as embed_index


def target(asked: dict[str, Any]) -> Target:
    install(Path(asked["log"]))
    given = request(Path(asked["corpus"]), Path(asked["output"]))
    return Target(
        run=lambda: embed_index(given),
        output=given.output,
        state=lambda: state(given.output, asked["documents"]),
        rerun=True,
    )


def state(output: Path, documents: int) -> str:
    """Return which index stands there: ``new`` if it is all of the corpus, in its order."""
    if not output.exists():
        return "none"
    try:
        if faults := all_faults(output):
            return f"broken: {faults}"
        index = open_index(output)
    except IndexFolderError as error:
        return f"broken: {error}"
    ids = [each.id for each in index.documents]
    if ids == ["old"]:
        return "old"
    if ids != [f"d{place}" for place in range(documents)]:
        return f"mixed: {ids}"
    rows = index.tensors["floats"]
    same = all(
        (rows.document(place).values == embed(text(place))).all() for place in range(documents)
    )
    return "new" if same else "wrong cells"


if __name__ == "__main__":
    answer(target)
