"""How long the command line takes to start, as ratios to a bare interpreter in the same run.

Usage: python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 7
COMMAND = [sys.executable, "-m", "vespa_colbert"]
REFERENCE = Path(__file__).parent.parent / "examples" / "reference" / "recipe.toml"


def seconds(command: list[str]) -> float:
    """Return how long a command took."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print median and best of interleaved rounds."""
    with tempfile.TemporaryDirectory() as folder:
        package = str(Path(folder) / "app")
        contenders = {
            "bare interpreter": [sys.executable, "-c", "pass"],
            "--help": [*COMMAND, "--help"],
            "--version": [*COMMAND, "--version"],
            "generate": [*COMMAND, "generate", "-r", str(REFERENCE), "-o", package],
        }
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for _round in range(ROUNDS):
            for name, command in contenders.items():
                taken[name].append(seconds(command))
    bare = statistics.median(taken["bare interpreter"])
    print(f"{'command':<18}{'median s':>10}{'best s':>10}{'÷ bare':>10}")
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:<18}{median:>10.3f}{min(times):>10.3f}{median / bare:>10.1f}")


if __name__ == "__main__":
    main()
