from __future__ import annotations

from vespa_colbert.cli.verify import ladder_lines
from vespa_colbert.verify import ParityReport
from vespa_colbert.verify.report import RungCount


def test_a_rung_that_was_not_checked_shows_no_difference_of_zero() -> None:
    passed, empty = RungCount("scores", 1e-6, "relative"), RungCount("ids", 0.0, "exact")
    passed.add("a pair", 1e-7, 1)
    empty.add("a query without a hit", 0.0, 0)
    rungs = (passed.rung(), empty.rung(), RungCount("rows", 0.0, "exact").rung())

    lines = ladder_lines(ParityReport(judges=("ours", "theirs"), rungs=rungs, versions={}))

    columns = [line.split() for line in lines[1:]]
    assert columns[0][:6] == ["scores", "1", "1", "1.0e-07", "1e-06", "relative"]
    assert columns[1][:5] == ["ids", "1", "0", "-", "exact"]
    assert columns[2][:5] == ["rows", "0", "0", "-", "exact"]
