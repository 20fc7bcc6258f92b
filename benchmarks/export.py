"""Time and peak memory of an export, next to torch.onnx.export of the bare encoder in the same run.

Usage: python benchmarks/export.py [--rounds N]

The checkpoint is the demo's: MiniLM-L6 with a projection to 128 components. Every run is a process
of its own, imports included; contenders take turns. "plain" has no projection, no normalisation and
no check of anything: it is what a script of ten lines does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.demo.checkpoint import write_demo_checkpoint

ROUNDS = 5
KIB = 1024

PLAIN = """
import sys, torch, transformers
folder, path = sys.argv[1:]
model = transformers.AutoModel.from_pretrained(folder).eval()
ids, attention = torch.ones(2, 9, dtype=torch.int64), torch.ones(2, 9, dtype=torch.int64)
attention[1, 5:] = 0
axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
torch.onnx.export(
    model, (ids, attention), path, input_names=["input_ids", "attention_mask"],
    dynamo=True, opset_version=18, external_data=False, verbose=False,
    dynamic_shapes={"input_ids": axes, "attention_mask": axes},
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process cost.

    Attributes:
        seconds: Wall time.
        peak: Largest resident memory, in bytes.
    """

    seconds: float
    peak: int


def measure(command: list[str]) -> Run:
    """Return what a command cost.

    Raises:
        SystemExit: If it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        said = process.stderr.read().decode() if process.stderr else ""
        raise SystemExit(f"{' '.join(command)} failed:\n{said[-2000:]}")
    return Run(seconds=seconds, peak=usage.ru_maxrss * KIB)


def contenders(checkpoint: Path, folder: Path) -> dict[str, list[str]]:
    """Return contender → command."""
    export = [sys.executable, "-m", "vespa_colbert", "export", str(checkpoint), "-o"]
    plain = [sys.executable, "-c", PLAIN, str(checkpoint), str(folder / "plain.onnx")]
    return {
        "plain torch.onnx.export": plain,
        "export --no-verify": [*export, str(folder / "unverified"), "--no-verify"],
        "export": [*export, str(folder / "verified")],
        "export --packaging exact": [*export, str(folder / "exact"), "--packaging", "exact"],
    }


def main() -> None:
    """Print median and best of interleaved rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as name:
        checkpoint = write_demo_checkpoint(Path(name) / "checkpoint")
        for place in range(rounds):
            # Nothing is reused: every round writes into a folder of its own.
            folder = Path(name) / str(place)
            folder.mkdir()
            for contender, command in contenders(checkpoint, folder).items():
                runs.setdefault(contender, []).append(measure(command))
                print(f"\rround {place + 1} of {rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    show(runs)


def show(runs: dict[str, list[Run]]) -> None:
    """Print a table; ratios are paired by round."""
    plain = next(iter(runs.values()))
    print(
        f"{'contender':<26}{'median s':>10}{'best s':>8}{'÷ plain':>9}{'peak MB':>9}{'÷ plain':>9}"
    )
    for name, made in runs.items():
        seconds = [each.seconds for each in made]
        slower = statistics.median(a.seconds / b.seconds for a, b in zip(made, plain, strict=True))
        larger = statistics.median(a.peak / b.peak for a, b in zip(made, plain, strict=True))
        peak = statistics.median(each.peak for each in made) / 1e6
        print(
            f"{name:<26}{statistics.median(seconds):>10.1f}{min(seconds):>8.1f}{slower:>9.2f}"
            f"{peak:>9.0f}{larger:>9.2f}"
        )


if __name__ == "__main__":
    main()
