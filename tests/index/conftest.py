from __future__ import annotations

from collections.abc import Iterator

import pytest

from vespa_colbert.vespa_java import VespaJava


@pytest.fixture(scope="session")
def java() -> Iterator[VespaJava]:
    with VespaJava(timeout_seconds=60.0) as judge:
        yield judge
