"""The state of a run on disk: whole or absent, and of one run only. Imports torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - reads and writes tensors; `train` imports it when it runs

from vespa_colbert.checkpoint import write_json
from vespa_colbert.errors import TrainingError
from vespa_colbert.files import FileDigest, atomic_folder, changed_files, digest_file

__all__ = ["Position", "SavedState", "load_state", "save_state", "save_tensors"]

STATE_FILE, FACTS_FILE = "state.pt", "state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a run is.

    Attributes:
        step: Steps done.
        epoch: The epoch that the next step is of, from 0.
        batch: The batch of that epoch that it begins with.
        best: The best value of the measure so far; None before the first.
        best_step: The step that had it.
        unimproved: Evaluations since then.
        is_finished: Whether no step is left, or the measure has stopped improving.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: float | None = None
    best_step: int = 0
    unimproved: int = 0
    is_finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """What is on disk.

    Attributes:
        position: How far the run was.
        tensors: Name → whatever torch keeps: weights, optimizer, schedule, scaler, generators.
    """

    position: Position
    tensors: Mapping[str, Any]


def save_state(folder: Path, state: SavedState, fingerprint: Mapping[str, str]) -> None:
    """Write a state in one rename; the one before stands until then.

    Args:
        folder: Where.
        state: What is to be kept.
        fingerprint: What the run is made of → its digest.

    Raises:
        OutputError: If it cannot be written.
    """
    with atomic_folder(folder, is_ours=lambda there: (there / FACTS_FILE).is_file()) as part:
        save_tensors(dict(state.tensors), part / STATE_FILE)
        facts = {
            "position": asdict(state.position),
            "fingerprint": dict(fingerprint),
            "files": {STATE_FILE: asdict(digest_file(part / STATE_FILE))},
        }
        write_json(part / FACTS_FILE, facts)


def save_tensors(tensors: Mapping[str, Any], path: Path) -> None:
    """Write what torch keeps to a file.

    Raises:
        OSError: If it cannot be written, which torch's own writer tells in another way.
    """
    with path.open("wb") as stream:
        try:
            torch.save(tensors, stream)
        except RuntimeError as error:
            # Where a write fails, torch raises this from its archive, the cause inside or lost.
            cause = error.__context__
            raise cause if isinstance(cause, OSError) else OSError(str(error)) from error


def load_state(folder: Path, fingerprint: Mapping[str, str]) -> SavedState | None:
    """Return the state of a run, None if there is none.

    Args:
        folder: Where it was written.
        fingerprint: What the run is made of now.

    Raises:
        TrainingError: If it is damaged, or of a run with other data, options or weights.
    """
    if not folder.is_dir():
        return None
    remedy = f"remove {folder} to begin anew"
    try:
        facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        position = Position(**facts["position"])
        files = {name: FileDigest(**digest) for name, digest in facts["files"].items()}
        said = dict[str, str](facts["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{folder}: the state cannot be read ({error}); {remedy}") from error
    others = [name for name, digest in fingerprint.items() if said.get(name) != digest]
    if others:
        raise TrainingError(
            f"{folder}: expected the state of this run, got one with other {', '.join(others)}; "
            f"resume it with what it began with, or {remedy}"
        )
    if faults := changed_files(folder, files):
        raise TrainingError(f"{faults[0]}; the state is damaged: {remedy}")
    tensors = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    return SavedState(position=position, tensors=tensors)
