"""What a test needs and not every machine has: it is skipped without, or fails where it must run.

``VESPA_COLBERT_REQUIRE`` names, with commas between, what may not be missing.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any, NoReturn

import pytest

__all__ = ["REQUIRED", "import_or_skip", "skip_or_fail"]

REQUIRED = "VESPA_COLBERT_REQUIRE"


def skip_or_fail(name: str, reason: str) -> NoReturn:
    """End a test for which something is missing, by the name that the variable has for it."""
    if name in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(f"{REQUIRED} names {name}, but {reason}")
    pytest.skip(reason)


def import_or_skip(module: str) -> Any:
    """Return a module of another project, imported without its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        skip_or_fail(module.partition(".")[0], f"{module} cannot be imported ({error})")
