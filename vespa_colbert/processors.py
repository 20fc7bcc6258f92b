"""How many processors this process may really use."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["processors"]

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def processors(control_groups: Path = CONTROL_GROUPS) -> int:
    """Return how many processors this process may use: what a container is granted counts.

    Args:
        control_groups: Where Linux says it.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    known = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    granted = min(_shares(control_groups), default=math.inf)
    return max(1, min(known, math.ceil(granted) if math.isfinite(granted) else known))


def _shares(control_groups: Path) -> Iterator[float]:
    """Yield processors granted, by the second version of control groups and by the first."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (control_groups / "cpu.max").read_text(encoding="ascii").split()
        yield int(quota) / int(period)  # "max" is no number: nothing is granted then
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        folder = control_groups / "cpu"
        quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
        period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        yield int(quota) / int(period) if int(quota) > 0 else math.inf
