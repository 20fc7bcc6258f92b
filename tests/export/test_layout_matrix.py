from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.export_matrix import LAYOUT_CELLS, measure_layout
from vespa_colbert.export.options import Dtype
from vespa_colbert.vespa_java import VespaJava

QUICK = {("stanford", "fp16"), ("plain", "int8")}
"""One of each dtype that is not the default."""


@pytest.mark.java
@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        pytest.param(*cell, marks=[] if cell in QUICK else [pytest.mark.slow], id="-".join(cell))
        for cell in LAYOUT_CELLS
    ],
)
def test_vespas_embedder_gives_the_rows_of_torch(
    java: VespaJava, tmp_path: Path, layout: str, dtype: Dtype
) -> None:
    figures = measure_layout(layout, dtype, java, tmp_path / layout)
    assert figures.faults() == []
    # An export that was asked for another type and wrote fp32 would pass every other check.
    assert (figures.export > 1e-5) == (dtype != "fp32")
