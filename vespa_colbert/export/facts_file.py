"""Facts of a model, stated in a JSON file beside it: read strictly into a frozen dataclass."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from vespa_colbert.errors import SpecError

__all__ = ["read_facts"]

Facts = TypeVar("Facts")


def read_facts(path: Path, member: str, kind: type[Facts]) -> Facts:
    """Return the facts that a member of a JSON file states.

    Args:
        path: The file.
        member: Which member of it.
        kind: The dataclass: what has no default must be stated, nothing else may be.

    Raises:
        SpecError: If the file cannot be read, or a fact is missing or not known.
    """
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))[member]
        known: Any = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
        needed = {name for name, each in known.items() if each.default is MISSING}
        missing, unknown = sorted(needed - stated.keys()), sorted(stated.keys() - known.keys())
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be read ({error.strerror}); expected the folder of a model, with its "
            f"facts under {member!r} of this file; make one with: vespa-colbert export CHECKPOINT "
            f"-o {path.parent}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"{path}: expected JSON with the facts under {member!r}") from error
    if missing or unknown:
        faults = [f"{name}: missing" for name in missing] + [f"{name}: unknown" for name in unknown]
        raise SpecError(f"{path}: not the facts of an embedder", tuple(faults))
    return kind(**stated)
