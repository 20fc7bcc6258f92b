from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.processors import processors


@pytest.mark.parametrize(
    ("file", "said", "most"),
    [
        ("cpu.max", "100000 100000\n", 1),
        ("cpu.max", "50000 100000\n", 1),
        ("cpu.max", "max 100000\n", None),
        ("cpu.max", "nonsense", None),
        ("cpu/cpu.cfs_quota_us", "-1\n", None),
        ("cpu/cpu.cfs_quota_us", "100000\n", 1),
    ],
)
def test_a_container_gets_the_processors_that_it_is_granted(
    tmp_path: Path, file: str, said: str, most: int | None
) -> None:
    every = processors(tmp_path)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / file).write_text(said)

    assert processors(tmp_path) == (every if most is None else most)
    assert every >= 1
