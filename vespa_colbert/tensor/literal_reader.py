"""The characters of a tensor literal, read from left to right: brackets, labels, numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

from vespa_colbert.errors import ExpressionSyntaxError
from vespa_colbert.tensor.types import CellType, TensorType

__all__ = ["CellList", "LiteralReader"]

SPACE = re.compile(r"\s*")
WORD = re.compile(r"[^\s,\]}:]*")
LABEL = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,\]}:'\"][^\s,\]}:]*)")
NUMBER = re.compile(
    r"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?|NaN|nan|Infinity|infinity|inf)",
    re.ASCII,
)
DECIMAL = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
SMALL = r"[+-]?(?:1[01]\d|12[0-7]|\d\d?)"
"""Numbers that need no second look: those of any cell type, and those of int8."""

ANY_LABEL = r"('[^']*'|\"[^\"]*\"|[^\s,\]}:'\"][^\s,\]}:]*)"
DIMENSION_NAMES = re.compile(r"([A-Za-z0-9_]+)\s*[\[{]")
INDEX = re.compile(r"0|[1-9][0-9]*")


@dataclass(slots=True)
class CellList:
    """Cells as they are read.

    Attributes:
        labels: Label or index in every dimension, in the order of the first address.
        numbers: The number beside each.
        places: Where each begins.
    """

    labels: list[Sequence[str]] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


@lru_cache(maxsize=256)
def _cell_pattern(order: tuple[str, ...], number: str) -> re.Pattern[str]:
    """Return a pattern of one more cell whose dimensions are written in that order."""
    address = r"\s*,\s*".join(rf"{re.escape(name)}\s*:\s*{ANY_LABEL}" for name in order)
    return re.compile(rf"\s*\{{\s*{address}\s*\}}\s*:\s*({number})\s*(?:,|(?=\}}))", re.ASCII)


@lru_cache(maxsize=8)
def _run_pattern(number: str) -> re.Pattern[str]:
    """Return a pattern of numbers up to the closing bracket."""
    return re.compile(rf"((?:\s*{number}\s*,)*\s*{number}\s*)\]", re.ASCII)


class LiteralReader:
    """Reads a literal from left to right; every fault has its place."""

    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0

    def fail(self, message: str, place: int | None = None) -> NoReturn:
        """Raise the fault.

        Raises:
            ExpressionSyntaxError: Always.
        """
        raise ExpressionSyntaxError(
            f"tensor literal: {message}", self.text, self.place if place is None else place
        )

    def found(self) -> str:
        """Return what stands here, for a message."""
        return repr(self.text[self.place]) if self.place < len(self.text) else "the end"

    def skip_space(self) -> None:
        """Go to the next character that is no space."""
        found = SPACE.match(self.text, self.place)
        self.place = found.end() if found else self.place

    def peek(self) -> str:
        """Return the next character, or nothing at the end."""
        return self.text[self.place : self.place + 1]

    def peek_second(self) -> str:
        """Return the first character after the next one that is no space."""
        found = SPACE.match(self.text, self.place + 1)
        return self.text[found.end() : found.end() + 1] if found else ""

    def optional(self, character: str) -> bool:
        """Return whether a character stands here; if so it is read."""
        self.skip_space()
        if self.peek() != character:
            return False
        self.place += 1
        return True

    def expect(self, character: str) -> None:
        """Read a character that must stand here."""
        if not self.optional(character):
            self.fail(f"expected {character!r}, got {self.found()}")

    def separator(self, closing: str) -> None:
        """Read a comma; none is needed before the closing bracket."""
        if not self.optional(",") and self.peek() != closing:
            self.fail(f"expected ',' or {closing!r}, got {self.found()}")

    def end(self) -> None:
        """Return nothing if there is nothing left but space."""
        self.skip_space()
        if self.place < len(self.text):
            self.fail(f"expected the end, got {self.found()}")

    def word(self) -> str:
        """Return the characters up to a space, comma, colon or closing bracket."""
        self.skip_space()
        found = WORD.match(self.text, self.place)
        self.place += len(found[0]) if found else 0
        return found[0] if found else ""

    def label(self) -> str:
        """Return a label without its quotes."""
        self.skip_space()
        if (found := LABEL.match(self.text, self.place)) is None:
            quote = self.peek()
            closing = (
                f": no closing {quote}" if quote and quote in "'\"" else f", got {self.found()}"
            )
            self.fail(f"expected a label{closing}")
        self.place = found.end()
        return found[found.lastindex or 0]

    def number(self, cell_type: CellType, expected: str = "a number") -> str:
        """Return a number as :func:`float` reads it."""
        self.skip_space()
        start, word = self.place, self.word()
        if NUMBER.fullmatch(word) is None:
            self.place = start
            self.fail(f"expected {expected}, got {repr(word) if word else self.found()}")
        if word[-1] in "dD" or (word[-1] in "fF" and word[-2] not in "nN"):
            word = word[:-1]
        if cell_type is CellType.INT8:
            value = float(word)
            if not (value.is_integer() and -128 <= value <= 127):
                self.fail(f"expected a whole number from -128 to 127, got {word}", start)
        return word

    def numbers(self, cell_type: CellType) -> list[str]:
        """Return numbers up to a closing bracket, which is read too."""
        pattern = _run_pattern(SMALL if cell_type is CellType.INT8 else DECIMAL)
        if (run := pattern.match(self.text, self.place)) is not None:
            self.place = run.end()
            return run[1].split(",")
        found = [self.number(cell_type)]
        while self.optional(","):
            found.append(self.number(cell_type))
        self.expect("]")
        return found

    def cells_alike(self, order: tuple[str, ...], cell_type: CellType, cells: CellList) -> None:
        """Read cells as long as they are written like the first; others take the long way."""
        if not order:
            return
        pattern = _cell_pattern(order, SMALL if cell_type is CellType.INT8 else DECIMAL)
        while (found := pattern.match(self.text, self.place)) is not None:
            *labels, number = found.groups()
            unquoted = [label[1:-1] if label[0] in "'\"" else label for label in labels]
            cells.labels.append(unquoted)
            cells.numbers.append(number)
            cells.places.append(self.place)
            self.place = found.end()

    def address(self) -> dict[str, str]:
        """Return ``{x:a,y:0}``: dimension → label; empty if there is none."""
        found: dict[str, str] = {}
        if not self.optional("{"):
            return found
        while not self.optional("}"):
            start, name = self.place, self.word()
            if not name or name in found:
                self.fail(f"expected another dimension, got {name or self.found()}", start)
            self.expect(":")
            found[name] = self.label()
            self.separator("}")
        return found

    def index(self, label: str, size: int, name: str, place: int) -> int:
        """Return the label of an indexed dimension as its index."""
        if INDEX.fullmatch(label) is None or int(label) >= size:
            self.fail(f"expected an index of {name} from 0 to {size - 1}, got {label!r}", place)
        return int(label)

    def tensor_type(self) -> tuple[TensorType, tuple[str, ...]]:
        """Return the type before the colon, and its dimensions in the order written."""
        colon = self.text.find(":", self.place)
        if colon < 0:
            self.fail("expected ':' after the type", len(self.text))
        spelled = self.text[self.place : colon]
        found = TensorType.parse(spelled)
        self.place = colon + 1
        return found, tuple(DIMENSION_NAMES.findall(spelled[spelled.index("(") :]))
