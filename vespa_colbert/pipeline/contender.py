"""An application whose rank profiles are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.export import ModelFolder
from vespa_colbert.index.lexical import plain_tokens
from vespa_colbert.rank.documents import Tokenize

__all__ = ["Contender", "Pool"]

Pool: TypeAlias = Callable[[TokenVectors], TokenVectors]
"""Token vectors of a document's text → fewer of them: (token, dim) float32 both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """An application whose rank profiles are compared.

    Attributes:
        application: The package; its schema is read as it stands.
        model: Its model folder.
        name: Goes before the names of its profiles, where there are several applications.
        profiles: Patterns of the profiles to rank by, as ``max_sim_*``; all of them when empty.
        pool: Makes fewer vectors of a document's before cells are made of them; ``None`` for none.
        pool_key: Says how it pools; its vectors are then kept on disk. Empty for in memory.
        threads: Of ONNX Runtime; 0 for one a core.
        tokenize: Text → terms, for bm25; plain words by default, where Vespa stems.
        codec: Folder of the residual codec that the package holds, where its field of residuals is
            ranked, and no other field.
    """

    application: Path
    model: ModelFolder
    name: str = ""
    profiles: tuple[str, ...] = ()
    pool: Pool | None = None
    pool_key: str = ""
    threads: int = 0
    tokenize: Tokenize = plain_tokens
    codec: Path | None = None
