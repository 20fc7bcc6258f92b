"""Why do two vectorisers disagree? The settings that make one of the other, each one proved."""

from __future__ import annotations

from vespa_colbert.diagnose.diagnose import diagnose
from vespa_colbert.diagnose.result import Cause, Diagnosis, Evidence, Setting
from vespa_colbert.diagnose.sides import BlackBox, Side, WhiteBox, black_box, open_side

__all__ = [
    "BlackBox",
    "Cause",
    "Diagnosis",
    "Evidence",
    "Setting",
    "Side",
    "WhiteBox",
    "black_box",
    "diagnose",
    "open_side",
]
