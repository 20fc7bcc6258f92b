"""Timings of contenders that take turns, on a machine on which others may work too.

Before a timing the machine is waited for until nothing else runs; one during which other processes
took a processor is repeated, a few times at most, and counts as disturbed if they did so every
time. Needs ``/proc``.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

PROCESSORS = len(os.sched_getaffinity(0))
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

LONG = 0.4
"""Seconds: a longer timing is not repeated, its rounds are enough."""

DISTURBED = 0.05
"""Share of the processors' time that others take in a timing that does not count."""

FEWEST = 3
"""Undisturbed timings that make a median; where there are fewer, all timings do."""

QUIET_SECONDS = 0.06
REPEATS = 3
SHORTEST = 0.1
"""Seconds: a shorter call is repeated until so much has passed."""


def busy_ticks() -> tuple[int, int]:
    """Return processor time that all processes took, and that this one took, in ticks."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    every = sum(map(int, fields)) - int(fields[3]) - int(fields[4])
    own = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return every, int(own[11]) + int(own[12])


def taken_by_others(before: tuple[int, int]) -> int:
    every, own = busy_ticks()
    return (every - before[0]) - (own - before[1])


def wait_for_quiet(patience: float) -> None:
    """Return when nothing has run for a moment, or patience has run out.

    Threads of this process count too: those of a matrix product spin for a while after it.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before, _own = busy_ticks()
        time.sleep(QUIET_SECONDS)
        if busy_ticks()[0] <= before:
            return


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call: by the clock, and of processors' time divided by processors.

    ``taken`` is the share of the processors' time that others took.
    """

    clock: float
    processor: float
    taken: float


Timings: TypeAlias = dict[str, list[Timing]]
Seconds: TypeAlias = dict[str, float]


def timed(run: Callable[[], Any], patience: float) -> Timing:
    """Return the least disturbed of a few timings."""
    found: list[Timing] = []
    while len(found) < REPEATS:
        wait_for_quiet(patience)
        before, calls = busy_ticks(), 0
        started, worked = time.perf_counter(), time.process_time()
        while (passed := time.perf_counter() - started) < SHORTEST:
            run()
            calls += 1
        work = (time.process_time() - worked) / PROCESSORS
        taken = taken_by_others(before) / (TICKS_A_SECOND * PROCESSORS * passed)
        found.append(Timing(passed / calls, work / calls, taken))
        if taken <= DISTURBED or passed >= LONG:
            break
    return min(found, key=lambda each: each.taken)


def undisturbed(times: list[Timing]) -> list[Timing]:
    return [each for each in times if each.taken <= DISTURBED]


def is_enough(times: list[Timing], rounds: int) -> bool:
    """Return whether a contender is timed often enough: a long one is not waited for."""
    asked = rounds if times and times[-1].clock >= LONG else 2 * rounds
    return len(undisturbed(times)) >= rounds or len(times) >= asked


def measured(contenders: dict[str, Callable[[], Any]], rounds: int, patience: float) -> Timings:
    """Return the timings of every round, the contenders in random order in each."""
    order = random.Random(0)  # noqa: S311 - not a secret
    taken: Timings = {name: [] for name in contenders}
    while names := [name for name in contenders if not is_enough(taken[name], rounds)]:
        order.shuffle(names)
        for name in names:
            taken[name].append(timed(contenders[name], patience))
    return taken


def median_of(taken: Timings) -> Seconds:
    """Return the median of the undisturbed timings of each contender, by the clock."""
    found = {}
    for name, times in taken.items():
        counted = undisturbed(times)
        counted = counted if len(counted) >= FEWEST else times
        found[name] = statistics.median(each.clock for each in counted)
    return found


def best_of(taken: Timings) -> Seconds:
    """Return the best round of each contender, by the clock."""
    return {name: min(each.clock for each in times) for name, times in taken.items()}


def work_of(taken: Timings) -> Seconds:
    """Return the median of processors' time, of all rounds."""
    return {
        name: statistics.median(each.processor for each in times) for name, times in taken.items()
    }
