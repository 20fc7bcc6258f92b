"""A process that forks publications of a model's version and kills them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.killed_processes import Target, answer
from vespa_colbert.errors import VespaColbertError
from vespa_colbert.export.versions import current_version, publish_version

MODEL = "zh"


def target(request: dict[str, Any]) -> Target:
    source, root = Path(request["source"]), Path(request["root"])

    return Target(
        run=lambda: publish_version(source, root, MODEL),
        output=root / MODEL,
        state=lambda: state(root),
        rerun=True,
    )


def state(root: Path) -> str:
    """Return ``old`` or ``new`` for the version in use, every file of which is as it should be."""
    try:
        found = current_version(root, MODEL)
    except VespaColbertError as error:
        return f"broken: {error}"
    return "old" if found.version == "1" else "new"


if __name__ == "__main__":
    answer(target)
