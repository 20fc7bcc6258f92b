"""Token vectors by PyLate itself, in PyLate's own environment: nothing of this project is imported.

Arguments: a checkpoint folder, a JSON file of {"queries": [...], "documents": [...]}, and the .npz
file to write: query_0, query_1, …, document_0, …, each (token, dim) float64.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(checkpoint: str, texts: str, output: str) -> None:
    models = importlib.import_module("pylate.models")
    model = models.ColBERT(model_name_or_path=checkpoint, device="cpu").double()
    arrays: dict[str, Any] = {}
    for role, each in json.loads(Path(texts).read_text(encoding="utf-8")).items():
        encoded = model.encode(each, is_query=role == "queries", show_progress_bar=False)
        for place, rows in enumerate(encoded):
            name = f"{'query' if role == 'queries' else 'document'}_{place}"
            arrays[name] = np.asarray(rows)
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
