"""A schema file's text, and errors that say where in it something stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vespa_colbert.app.grammar import open_grammar
from vespa_colbert.errors import SchemaSyntaxError

__all__ = ["SCHEMA_FOLDERS", "Source", "read_source"]

GRAMMAR_FILE = "schema.lark"
SCHEMA_FOLDERS = ("schemas", "searchdefinitions")
"""Where Vespa looks for schemas; the second is the old name.

Source: FilesApplicationPackage.getSchemaFiles, Vespa 8.700.24.
"""

LONGEST_EXPECTATION = 12
"""Alternatives that an error lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file being read.

    Attributes:
        path: The file.
        text: Its content.
        folder: Where the files of expressions lie that it names; the file's own when absent.
    """

    path: Path
    text: str
    folder: Path | None = None

    def parse(self, start: str) -> Any:
        """Return the parse tree.

        Args:
            start: ``schema_file`` or ``profile_file``.

        Raises:
            SchemaSyntaxError: If the text does not follow the grammar.
        """
        from lark.exceptions import UnexpectedCharacters, UnexpectedToken

        try:
            return _grammar().parse(self.text, start=start)
        except UnexpectedToken as error:
            ended = error.token.type == "$END"
            got = "the end of the file" if ended else f"{str(error.token)[:40]!r}"
            place = len(self.text.rstrip()) if ended else int(error.token.start_pos)
            raise self.error(place, _expected(error.expected, got)) from None
        except UnexpectedCharacters as error:
            offset: Any = error.pos_in_stream
            place = int(offset)
            got = repr(self.text[place : place + 20].split("\n")[0])
            raise self.error(place, _expected(error.allowed, got)) from None

    def beside(self, place: Any, name: str) -> str:
        """Return the text of a file of the application's schemas.

        Args:
            place: Where it is named.
            name: Its name, without a folder.

        Raises:
            SchemaSyntaxError: If there is none, or a folder is named too.

        Source: FilesApplicationPackage.getRankingExpression, Vespa 8.700.24.
        """
        if "/" in name or ".." in name:
            raise self.error(place, f"expected the name of a file in schemas/, got {name!r}")
        folder = self.folder or self.path.parent
        places = [folder / name, *(folder.parent / each / name for each in SCHEMA_FOLDERS)]
        found = next((each for each in places if each.is_file()), None)
        if found is None:
            raise self.error(place, f"there is no file {name} in {folder}")
        return read_source(found).text

    def error(self, place: int | Any, message: str) -> SchemaSyntaxError:
        """Return an error with file, line and column, and the line that it is about.

        Args:
            place: Offset in the text, or a token or tree of the parser.
            message: What is wrong there.
        """
        if not isinstance(place, int):
            place = place.start_pos if hasattr(place, "start_pos") else place.meta.start_pos
        before = self.text[:place]
        line, column = before.count("\n") + 1, place - before.rfind("\n")
        shown = self.text.split("\n")[line - 1].rstrip()
        pointer = " " * (column - 1) + "^"
        return SchemaSyntaxError(f"{self.path}:{line}:{column}: {message}\n  {shown}\n  {pointer}")


def read_source(path: Path, folder: Path | None = None) -> Source:
    """Return a file's text.

    Args:
        path: The file.
        folder: Where the files of expressions lie that it names; the file's own when absent.

    Raises:
        SchemaSyntaxError: If there is no such file or it is not UTF-8.
    """
    try:
        return Source(path=path, text=path.read_text(encoding="utf-8"), folder=folder)
    except UnicodeDecodeError as error:
        raise SchemaSyntaxError(f"{path}: expected UTF-8, byte {error.start} is not") from None
    except OSError as error:
        raise SchemaSyntaxError(f"{path}: cannot be read ({error.strerror})") from error


@cache
def _grammar() -> Any:
    """Return the parser, made once in a process."""
    return open_grammar(
        Path(__file__).with_name(GRAMMAR_FILE),
        lexer="contextual",
        start=["schema_file", "profile_file"],
        propagate_positions=True,
        maybe_placeholders=True,
    )


def _expected(terminals: Any, got: str) -> str:
    """Return what could have stood there instead, in the words of a schema."""
    names = sorted({_word(name) for name in terminals} - {""})
    shown = ", ".join(names[:LONGEST_EXPECTATION]) + (
        "…" if len(names) > LONGEST_EXPECTATION else ""
    )
    return f"expected {shown or 'nothing more'}, got {got}"


def _word(terminal: str) -> str:
    """Return a keyword as it is written, and the name of any other terminal in plain words."""
    if terminal in {"WHITESPACE", "COMMENT", "$END", "<END-OF-FILE>"}:
        return ""
    pattern = _grammar().get_terminal(terminal).pattern
    if pattern.type == "str":
        return repr(pattern.value)
    return terminal.lower().replace("_", " ")
