"""Every damage that the suite does to a checkpoint, and the words that its refusal must have."""

from __future__ import annotations

from tests.checkpoint.damage_cases import Case
from tests.checkpoint.damages_of_files import FILE_DAMAGES
from tests.checkpoint.damages_of_settings import (
    LENGTH_DAMAGES,
    MARKER_DAMAGES,
    MODULE_DAMAGES,
    OWN_DAMAGES,
)
from tests.checkpoint.damages_of_tokenizers import TOKENIZER_DAMAGES
from tests.checkpoint.damages_of_values import BUILD_CASES, CONFIG_DAMAGES, LAYER, VALUE_DAMAGES
from tests.checkpoint.damages_of_weights import WEIGHT_FILE_DAMAGES

__all__ = ["BUILD_CASES", "LAYER", "READ_CASES", "Case"]

READ_CASES = (
    *FILE_DAMAGES,
    *WEIGHT_FILE_DAMAGES,
    *VALUE_DAMAGES,
    *CONFIG_DAMAGES,
    *TOKENIZER_DAMAGES,
    *LENGTH_DAMAGES,
    *MARKER_DAMAGES,
    *MODULE_DAMAGES,
    *OWN_DAMAGES,
)
"""Seen when the checkpoint is read; ``BUILD_CASES`` when the module is built, as export does it."""
