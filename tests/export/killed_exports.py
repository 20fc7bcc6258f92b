"""A process that forks exports and kills them, so that torch is imported once for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import torch
import transformers

from tests.killed_processes import Target, answer
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.errors import VespaColbertError
from vespa_colbert.export import ExportOptions, export_checkpoint, read_model_folder

IMPORTED = (onnxruntime, torch, transformers)


def target(request: dict[str, Any]) -> Target:
    output = Path(request["output"])
    old = read_model_folder(output).manifest()

    def export() -> None:
        options = ExportOptions(opset=request["opset"])
        export_checkpoint(read_checkpoint(Path(request["checkpoint"])), output, options)

    return Target(run=export, output=output, state=lambda: state(output, old))


def state(output: Path, old: str) -> str:
    try:
        found = read_model_folder(output).manifest()
    except VespaColbertError as error:
        return f"broken: {error}"
    return "old" if found == old else "new"


if __name__ == "__main__":
    answer(target)
