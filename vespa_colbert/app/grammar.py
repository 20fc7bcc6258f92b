"""Parsers of the grammars that this package brings, their tables kept from process to process.

Making the tables of a grammar takes a tenth of a second and more. They are kept where numba keeps
its code: beside the compiled modules, or among the user's caches where that folder may not be
written. The name of such a file says what it was made of, its first line that it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vespa_colbert.errors import OutputError
from vespa_colbert.files import atomic_file

if TYPE_CHECKING:
    from lark import Lark

__all__ = ["open_grammar"]

logger = logging.getLogger(__name__)


def open_grammar(path: Path, **options: Any) -> Lark:
    """Return the LALR parser of a grammar.

    Args:
        path: The grammar, a file of this package.
        options: Those of lark; all of them can be pickled.
    """
    import lark

    text = path.read_text(encoding="utf-8")
    made_of = pickle.dumps((text, options, lark.__version__, sys.version))
    places = [*_places(path, _digest(made_of).decode("ascii"))]
    if (tables := _kept(places)) is not None:
        try:  # the file is trusted as the compiled modules beside it are
            return lark.Lark.load(io.BytesIO(tables))
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the grammar itself is there
            logger.info("%s: tables are made anew: %s", path, error)
    parser = lark.Lark(text, parser="lalr", **options)
    stream = io.BytesIO()
    parser.save(stream)
    _keep(places, stream.getvalue())
    return parser


def _places(path: Path, made_of: str) -> Iterator[Path]:
    """Yield the files that may hold the tables of a grammar, in the order they are tried."""
    name = f"{path.name}.{made_of[:16]}.kept"
    yield path.parent / "__pycache__" / name
    with contextlib.suppress(RuntimeError):  # a user without a home
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        yield Path(caches) / "vespa-colbert" / name


def _kept(places: list[Path]) -> bytes | None:
    """Return what the first whole file holds, ``None`` where there is none."""
    for place in places:
        with contextlib.suppress(OSError):
            head, _, tables = place.read_bytes().partition(b"\n")
            if head == _digest(tables):
                return tables
    return None


def _keep(places: list[Path], tables: bytes) -> None:
    """Write the first file that can be written, if there is one."""
    for place in places:
        try:
            with atomic_file(place) as part:
                part.write_bytes(_digest(tables) + b"\n" + tables)
        except (OSError, OutputError) as error:
            logger.info("%s: not kept there: %s", place, error)
        else:
            return


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode("ascii")
