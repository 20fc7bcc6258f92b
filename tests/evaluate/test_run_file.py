from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.errors import CollectionError
from vespa_colbert.evaluate import read_run

KNOWN = {"a", "b", "c"}


def run_file(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_hits_stand_by_score_then_by_rank(tmp_path: Path) -> None:
    path = run_file(
        tmp_path / "x.run",
        "q1 Q0 a 3 1.5 mine",
        "q1 Q0 b 2 1.5 mine",
        "",
        "q1\tQ0\tc\t9\t2e0\tmine",
        "q2 Q0 a 1 -1 mine",
    )

    assert read_run(path, documents=KNOWN) == {"q1": ["c", "b", "a"], "q2": ["a"]}


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ("q1 a 1 1.0 mine", "expected query, Q0"),
        ("q1 Q0 b first 1.0 mine", "expected query, Q0"),
        ("q1 Q0 b 1 high mine", "expected query, Q0"),
        ("q1 Q0 b 1 nan mine", "NaN"),
        ("q1 Q0 z 1 1.0 mine", "'z' is not in the corpus"),
        ("q1 Q0 a 2 0.5 mine", "'a' is there twice for 'q1'"),
    ],
)
def test_a_bad_line_of_a_run_is_named(tmp_path: Path, line: str, fragment: str) -> None:
    path = run_file(tmp_path / "x.run", "q1 Q0 a 1 1.0 mine", line)

    with pytest.raises(CollectionError) as error:
        read_run(path, documents=KNOWN)

    assert f"{path} line 2" in str(error.value)
    assert fragment in str(error.value)


def test_an_empty_and_an_absent_run_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="empty"):
        read_run(run_file(tmp_path / "x.run"), documents=KNOWN)
    with pytest.raises(CollectionError, match="found none"):
        read_run(tmp_path / "y.run", documents=KNOWN)
