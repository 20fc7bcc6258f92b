"""Where fields and rank profiles stand in a schema's text, so that it can be edited in place.

What somebody wrote stays as it is, comments and all; the reader's specs do not hold everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.app.source import read_source

__all__ = ["Block", "BlockText", "read_blocks"]

KINDS = ("field", "rank_profile", "summary", "fieldset")
AROUND = ("schema_file", "document")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of a schema.

    Attributes:
        kind: ``field``, ``rank_profile``, ``summary`` or ``fieldset``.
        name: Its name.
        start: Offset of its first character.
        end: Offset behind its closing brace.
    """

    kind: str
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockText:
    """A schema's text with the places of its blocks.

    Attributes:
        text: The whole file.
        blocks: In the order of the text.
        end: Offset of the schema's closing brace.
    """

    text: str
    blocks: tuple[Block, ...]
    end: int

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the blocks of a kind."""
        return tuple(each.name for each in self.blocks if each.kind == kind)

    def of(self, kind: str, name: str) -> str:
        """Return the text of a block, empty if there is none."""
        found = (each for each in self.blocks if (each.kind, each.name) == (kind, name))
        return "".join(self.text[each.start : each.end] for each in found)

    def edited(self, added: str = "", removed: frozenset[tuple[str, str]] = frozenset()) -> str:
        """Return the text with blocks added at its end and others taken out.

        Args:
            added: Text of whole blocks, put before the closing brace.
            removed: Kind and name of each block to take out, with the line ends it leaves.
        """
        pieces, place = list[str](), 0
        for block in self.blocks:
            if (block.kind, block.name) in removed:
                pieces.append(self.text[place : block.start].rstrip(" \t"))
                rest = self.text[block.end :]
                place = len(self.text) - len(rest.lstrip(" \t"))
                while self.text.startswith("\n", place) and pieces[-1].endswith("\n\n"):
                    place += 1
                if pieces[-1].endswith("\n") and self.text.startswith("\n", place):
                    place += 1
        before = ("".join(pieces) + self.text[place : self.end]).rstrip()
        return before + "\n\n" + (f"{added.rstrip()}\n\n" if added else "") + self.text[self.end :]


def read_blocks(path: Path) -> BlockText:
    """Return a schema's text with the places of its blocks.

    Args:
        path: ``schemas/<name>.sd``.

    Raises:
        SchemaSyntaxError: If it does not parse.
    """
    source = read_source(path)
    tree = source.parse("schema_file")
    inside = tree.children[0] if str(tree.data) == "document_file" else tree
    return BlockText(
        text=source.text, blocks=tuple(_blocks(inside)), end=int(inside.meta.end_pos) - 1
    )


def _blocks(tree: Any) -> Iterator[Block]:
    """Yield the blocks of a schema or document; those inside of others are parts of them."""
    for child in tree.children:
        kind = str(getattr(child, "data", ""))
        if kind in AROUND:
            yield from _blocks(child)
        elif kind in KINDS:
            meta = child.meta
            yield Block(
                kind=kind, name=str(child.children[0]), start=meta.start_pos, end=meta.end_pos
            )
