"""Checkpoint → torch module: encoder, projection, L2 normalisation. Needs the export extra.

The module's class stands in ``contextual.py``, which imports torch and is imported when called for.
"""

from __future__ import annotations

from vespa_colbert.model.build import build_encoder

__all__ = ["build_encoder"]
