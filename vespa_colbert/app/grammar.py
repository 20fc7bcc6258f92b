"""Parsers of the grammars that this package brings, their tables kept from process to process.

Making the tables of a grammar takes a tenth of a second and more.
"""

from __future__ import annotations

import io
import logging
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vespa_colbert.app.kept_file import KeptFile

if TYPE_CHECKING:
    from lark import Lark

__all__ = ["open_grammar"]

logger = logging.getLogger(__name__)

GIVEN_ANEW = frozenset({"transformer"})
"""Options that tables do not depend on: they are not kept."""


def open_grammar(path: Path, **options: Any) -> Lark:
    """Return the LALR parser of a grammar.

    Args:
        path: The grammar, a file of this package.
        options: Those of lark.
    """
    import lark

    text = path.read_text(encoding="utf-8")
    stated = sorted((name, str(each)) for name, each in options.items() if name not in GIVEN_ANEW)
    anew = {name: each for name, each in options.items() if name in GIVEN_ANEW}
    made_of = repr((text, stated, lark.__version__, sys.version))
    tables = KeptFile(source=path, name=path.name, made_of=made_of)
    if (content := tables.read()) is not None:
        try:
            return _loaded(content, anew)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the grammar itself is there
            logger.info("%s: tables are made anew: %s", path, error)
    made = lark.Lark(text, parser="lalr", **options)
    stream = io.BytesIO()
    made.save(stream, GIVEN_ANEW)
    tables.write(stream.getvalue())
    return made


def _loaded(content: bytes, anew: dict[str, Any]) -> Lark:
    """Return the parser that was saved; ``Lark.load`` takes no options.

    The file is trusted as the compiled modules beside it are.
    """
    import lark

    saved = pickle.loads(content)  # noqa: S301
    parser: Lark = lark.Lark.__new__(lark.Lark)._load(saved, **anew)
    return parser
