"""A manifest's own checksum: its last member, of all that stands before it."""

from __future__ import annotations

import hashlib
import re

__all__ = ["check_seal", "sealed"]

CLOSE = "\n}"
SEAL = re.compile(rb'(?P<text>.*),\n  "checksum": "(?P<digest>[0-9a-f]{64})"\n\}\n', re.DOTALL)
"""The end of a manifest, which speaks of all that stands before it."""


def sealed(text: str) -> str:
    """Return the text of a JSON object with a last member added: the sha256 of what it was."""
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return f'{text.removesuffix(CLOSE)},\n  "checksum": "{digest}"{CLOSE}\n'


def check_seal(data: bytes) -> None:
    """Return nothing if a manifest is byte for byte as it was written.

    Raises:
        ValueError: If not.
    """
    found = SEAL.fullmatch(data)
    text = b"" if found is None else found["text"] + CLOSE.encode()
    if found is None or hashlib.sha256(text).hexdigest().encode() != found["digest"]:
        raise ValueError("it has not the checksum that it says: changed after it was written")
