"""What takes long to make of a file of this package, kept from process to process.

It is kept where numba keeps its code: beside the compiled modules, or among the user's caches where
that folder may not be written. What was made of something else, or is not whole, is not taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.errors import OutputError
from vespa_colbert.files import atomic_file

__all__ = ["KeptFile"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A file that can be made anew at any time.

    Attributes:
        source: The file of this package that it is made of.
        name: What it is called beside it, unique among what is made there.
        made_of: All that its content depends on.
    """

    source: Path
    name: str
    made_of: str

    def read(self) -> bytes | None:
        """Return the content, ``None`` where it is not kept, was made of others, or is damaged."""
        for place in self._places():
            with contextlib.suppress(OSError):
                head, _, content = place.read_bytes().partition(b"\n")
                if head == self._head(content):
                    return content
        return None

    def write(self, content: bytes) -> None:
        """Keep the content in the first place that can be written, if there is one."""
        for place in self._places():
            try:
                with atomic_file(place) as part:
                    part.write_bytes(self._head(content) + b"\n" + content)
            except (OSError, OutputError) as error:
                logger.info("%s: not kept there: %s", place, error)
            else:
                return

    def _head(self, content: bytes) -> bytes:
        """Return the first line: what it is made of, and that it is whole."""
        parts = (self.made_of.encode("utf-8"), content)
        return b" ".join(hashlib.sha256(each).hexdigest().encode("ascii") for each in parts)

    def _places(self) -> Iterator[Path]:
        """Yield the files that may hold it, in the order in which they are tried."""
        name = f"{self.name}.{sys.implementation.cache_tag}.kept"
        yield self.source.parent / "__pycache__" / name
        with contextlib.suppress(RuntimeError):  # a user without a home
            caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            yield Path(caches) / "vespa-colbert" / name
