"""Checkpoint → torch module: encoder, projection, L2 normalisation. Needs the export extra.

The modules' classes stand in ``contextual.py`` and ``exact.py``, which import torch and are
imported when called for.
"""

from __future__ import annotations

from vespa_colbert.model.build import build_encoder, build_exact_encoder
from vespa_colbert.model.build_dense import build_dense
from vespa_colbert.model.roles import role_ids

__all__ = ["build_dense", "build_encoder", "build_exact_encoder", "role_ids"]
