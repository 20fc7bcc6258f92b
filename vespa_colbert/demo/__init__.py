"""The demo: a real checkpoint, a real corpus, every stage, every judge."""

from __future__ import annotations
