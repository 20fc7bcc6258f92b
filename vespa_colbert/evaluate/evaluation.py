"""Systems compared on one collection: means, intervals, and differences to a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from vespa_colbert.errors import CollectionError
from vespa_colbert.evaluate.judged import JudgedCollection
from vespa_colbert.evaluate.losers import Loser, losers
from vespa_colbert.evaluate.measures import Evaluated, evaluate_run
from vespa_colbert.evaluate.significance import (
    Sampling,
    Values,
    bootstrap_intervals,
    holm,
    randomization_test,
)
from vespa_colbert.evaluate.systems import System, reference_system

__all__ = [
    "Difference",
    "Evaluation",
    "EvaluationOptions",
    "Row",
    "compare_systems",
    "differences_to",
]

PREFERRED = "nDCG@10"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """What is measured.

    Attributes:
        measures: As ir_measures names them.
        baseline: Name of the system that the others are compared with; when empty, the one that
            reads a single field, that of the most bytes.
        sampling: Of the tests and the intervals.
        losers: Queries shown of each system.
    """

    measures: tuple[str, ...] = ("nDCG@10", "RR@10", "R@10", "R@100")
    baseline: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    losers: int = 5

    @property
    def measure(self) -> str:
        """The measure that pictures and losers go by."""
        return PREFERRED if PREFERRED in self.measures else self.measures[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A system against the baseline, by one measure.

    Attributes:
        mean: Mean of the differences, positive where the system is better.
        interval: Of that mean.
        p_value: Two-sided, of the randomization test.
        corrected: The same, corrected for all systems of the table (Holm).
        better: Queries where the system is better.
        worse: Queries where it is worse.
    """

    mean: float
    interval: tuple[float, float]
    p_value: float
    corrected: float
    better: int
    worse: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One system.

    Attributes:
        system: The system.
        means: Measure → mean over all judged queries.
        intervals: Measure → interval of that mean.
        differences: Measure → difference to the baseline; empty for the baseline itself.
        losers: The queries that lose most against the baseline.
        by_query: Measure → query id → value.
    """

    system: System
    means: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    differences: Mapping[str, Difference]
    losers: tuple[Loser, ...]
    by_query: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return the figures for machines."""
        system = self.system
        return {
            "name": system.name,
            "application": system.application,
            "profile": system.profile,
            "bytes-a-document": system.bytes,
            "cell-bytes-a-document": system.cell_bytes,
            "fields": [asdict(each) for each in system.fields],
            "facts": dict(system.facts),
            "measures": dict(self.means),
            "intervals": {name: list(each) for name, each in self.intervals.items()},
            "differences": {name: asdict(each) for name, each in self.differences.items()},
            "losers": [asdict(each) for each in self.losers],
            "by-query": {name: dict(each) for name, each in self.by_query.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that was found out.

    Attributes:
        collection: Documents, queries and judgements.
        options: What was measured, the baseline by its name.
        rows: The systems in order.
        skipped: Name of what could not be ranked → why.
    """

    collection: JudgedCollection
    options: EvaluationOptions
    rows: tuple[Row, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def baseline(self) -> Row:
        """The row that the others are compared with."""
        return next(row for row in self.rows if row.system.name == self.options.baseline)

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation for machines."""
        files = self.collection.files
        return {
            "format": FORMAT,
            "collection": {
                "corpus": str(files.corpus),
                "queries": str(files.queries),
                "qrels": str(files.qrels),
                "documents": len(self.collection.documents),
                "judged-queries": len(self.collection.queries),
                "queries-left-out": self.collection.left_out,
                "unanswered-queries": self.collection.unanswered,
            },
            "baseline": self.options.baseline,
            "measure": self.options.measure,
            "test": {
                **asdict(self.options.sampling),
                "test": "paired randomization, two-sided",
                "correction": f"Holm over {max(len(self.rows) - 1, 0)} systems, each measure alone",
                "interval": "bootstrap over queries, percentiles",
            },
            "systems": [row.to_json() for row in self.rows],
            "skipped": dict(self.skipped),
        }


def compare_systems(
    collection: JudgedCollection,
    systems: Sequence[System],
    options: EvaluationOptions,
    skipped: Mapping[str, str] | None = None,
) -> Evaluation:
    """Return the measures of all systems, and each compared with the baseline.

    Args:
        collection: Says what is right.
        systems: Their runs; a query without hits counts as 0.
        options: What is measured.
        skipped: Name of what could not be ranked → why.

    Raises:
        CollectionError: If there is no system, two have one name, or none is the baseline; or if a
            measure is unknown.
    """
    names = [each.name for each in systems]
    if not names or len(set(names)) < len(names):
        raise CollectionError(f"expected systems, each with a name of its own, got {names}")
    baseline = options.baseline or reference_system(systems).name
    if baseline not in names:
        raise CollectionError(
            f"baseline: expected one of {', '.join(names)}, got {baseline!r}; see --baseline"
        )
    chosen = replace(options, baseline=baseline)
    evaluated = [evaluate_run(collection.qrels, each.run, options.measures) for each in systems]
    rows = _rows(collection, systems, evaluated, chosen)
    return Evaluation(
        collection=collection, options=chosen, rows=tuple(rows), skipped=dict(skipped or {})
    )


def _rows(
    collection: JudgedCollection,
    systems: Sequence[System],
    evaluated: Sequence[Evaluated],
    options: EvaluationOptions,
) -> list[Row]:
    place = [each.name for each in systems].index(options.baseline)
    tables = {name: _table(collection, evaluated, name) for name in options.measures}
    columns = np.concatenate(list(tables.values()), axis=1)
    flat = bootstrap_intervals(columns, options.sampling)
    intervals = dict(zip(tables, np.split(flat, len(tables)), strict=True))
    differences = {
        name: differences_to(values, place, options.sampling) for name, values in tables.items()
    }
    measure, reference = options.measure, evaluated[place].by_query
    return [
        Row(
            system=system,
            means=found.means,
            intervals={name: _pair(intervals[name][row]) for name in tables},
            differences={name: differences[name][row] for name in tables if row != place},
            losers=losers(
                collection,
                found.by_query[measure],
                reference[measure],
                (system.run, systems[place].run),
                options.losers,
            ),
            by_query=found.by_query,
        )
        for row, (system, found) in enumerate(zip(systems, evaluated, strict=True))
    ]


def _table(collection: JudgedCollection, evaluated: Sequence[Evaluated], measure: str) -> Values:
    """Return the values of a measure: (query, system) float64."""
    values = [[found.by_query[measure][query] for query in collection.qrels] for found in evaluated]
    return np.array(values, np.float64).T


def differences_to(values: Values, baseline: int, sampling: Sampling) -> list[Difference]:
    """Return each system against the baseline; that of the baseline is nothing.

    Args:
        values: Of one measure: (query, system) float64.
        baseline: Number of a system.
        sampling: Of the test and the intervals.
    """
    differences = values - values[:, [baseline]]
    p_values = randomization_test(differences, sampling)
    others = np.arange(values.shape[1]) != baseline
    corrected = np.ones(len(p_values))
    corrected[others] = holm(p_values[others])
    intervals = bootstrap_intervals(differences, sampling)
    return [
        Difference(
            mean=float(column.mean()),
            interval=_pair(intervals[row]),
            p_value=float(p_values[row]),
            corrected=float(corrected[row]),
            better=int((column > 0).sum()),
            worse=int((column < 0).sum()),
        )
        for row, column in enumerate(differences.T)
    ]


def _pair(interval: Values) -> tuple[float, float]:
    low, high = interval.tolist()
    return low, high
