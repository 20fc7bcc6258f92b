"""The log of a run, JSON lines, and its curves. A resumed run goes on where its state was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vespa_colbert.errors import MissingExtraError, TrainingError
from vespa_colbert.files import atomic_file

__all__ = ["RunLog", "draw_curves", "read_log"]

SMOOTHED = 0.05
"""Share of the steps whose losses make one point of the smooth curve."""


class RunLog:
    """Lines of a run, each with the step that it is about, written as they come."""

    def __init__(self, path: Path, *, after: int) -> None:
        """Begin, or go on.

        Args:
            path: The file.
            after: The step that the run goes on from: lines of later ones are dropped.

        Raises:
            OutputError: If the file cannot be written.
        """
        self.path = path
        kept = [line for line in read_log(path) if line["step"] <= after] if after else []
        with atomic_file(path) as part, part.open("w", encoding="utf-8") as stream:
            for line in kept:
                stream.write(_text(line))

    def add(self, step: int, **values: Any) -> None:
        """Write a line.

        Raises:
            TrainingError: If it cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(_text({"step": step, **values}))
        except OSError as error:
            raise TrainingError(f"{self.path}: cannot be written: {error}") from error


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; one that a killed run left unfinished ends it."""
    found: list[dict[str, Any]] = []
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def draw_curves(lines: Sequence[dict[str, Any]], path: Path) -> Path:
    """Return ``path`` after drawing loss and measure over the steps there, as SVG.

    Args:
        lines: Of a log.
        path: The file.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        OutputError: If the file cannot be written.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "matplotlib") from error
    losses = [line for line in lines if "loss" in line]
    measured = [line for line in lines if "measure" in line]
    # No font is embedded, no date written, ids are not random: the same log, the same file.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "vespa-colbert"}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(8, 6 if measured else 3.5), layout="constrained")
        axes = figure.subplots(2 if measured else 1, sharex=True, squeeze=False)[:, 0]
        steps = [line["step"] for line in losses]
        values = [line["loss"] for line in losses]
        axes[0].plot(steps, values, color="0.8", linewidth=0.8)
        axes[0].plot(steps, _smoothed(values), color="C0")
        axes[0].set_ylabel("loss")
        if measured:
            _draw_measures(axes[1], measured)
        axes[-1].set_xlabel("step")
        with atomic_file(path) as part:
            figure.savefig(part, format="svg", metadata={"Date": None})
    return path


def _draw_measures(axes: Any, measured: Sequence[dict[str, Any]]) -> None:
    """Draw the measure that judges, and those beside it, named where there are such."""
    steps, name = [line["step"] for line in measured], measured[-1]["measure"]
    axes.plot(steps, [line["value"] for line in measured], marker="o", color="C1", label=name)
    axes.set_ylabel(name)
    others = list(measured[-1].get("others", {}))
    for place, other in enumerate(others, start=2):
        values = [line["others"][other] for line in measured]
        axes.plot(steps, values, color=f"C{place}", linewidth=1, label=other)
    if others:
        axes.legend()


def _smoothed(values: Sequence[float]) -> list[float]:
    """Return the mean of each value and those shortly before it."""
    window = max(1, round(SMOOTHED * len(values)))
    spans = (values[max(0, end - window) : end] for end in range(1, len(values) + 1))
    return [sum(span) / len(span) for span in spans]


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"
