"""What OpenVINO computes in bfloat16, asked in a process of its own and for a limited time.

Its first call, made by two threads at once, can stand still for ever, which happens only once in a
process and must not hold up the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

__all__ = ["bfloat16_vectors"]

ROOT = Path(__file__).parents[2]
SECONDS = 120
NO_BFLOAT16 = "no bfloat16"


def bfloat16_vectors(
    model: Path, texts: list[str], scratch: Path, *, calls: int
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Return the texts' vectors by several threads at a time, and by one."""
    request, answer = scratch / "texts.json", scratch / "vectors.npz"
    request.write_text(json.dumps(texts), encoding="utf-8")
    command = [sys.executable, "-X", "faulthandler", "-m", __name__]
    try:
        done = subprocess.run(
            [*command, str(model), str(request), str(answer), str(calls)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"OpenVINO gave no vectors in {SECONDS} s ({late.stderr!r})")
    if NO_BFLOAT16 in done.stdout:
        pytest.skip("this processor has no bfloat16")
    assert done.returncode == 0, done.stderr
    with np.load(answer) as stored:
        together, alone = ([stored[f"{way}{n}"] for n in range(len(texts))] for way in "ta")
    return together, alone


def main(model: str, request: str, answer: str, calls: str) -> None:
    """Write the vectors of a list of texts, if the processor can."""
    import openvino

    from vespa_colbert.embedder import LocalEmbedder
    from vespa_colbert.embedder.batches import embed_documents
    from vespa_colbert.export.model_folder import read_model_folder

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        sys.stdout.write(NO_BFLOAT16)
        return
    texts = json.loads(Path(request).read_text(encoding="utf-8"))
    embedder = LocalEmbedder(
        read_model_folder(Path(model)), threads=1, calls=int(calls), runtime="openvino-bf16"
    )
    with ThreadPoolExecutor(int(calls)) as pool:
        together = embed_documents(embedder, texts, pool)
    alone = [embedder.embed(text, "document") for text in texts]
    ways = {"t": together, "a": alone}
    cells: dict[str, Any] = {f"{w}{n}": v for w, vs in ways.items() for n, v in enumerate(vs)}
    np.savez(answer, **cells)


if __name__ == "__main__":
    main(*sys.argv[1:])
