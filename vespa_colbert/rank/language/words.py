"""The words of rank expressions: what is a name, a number, a string, a label, and how each reads.

The scanner, the nodes and both printers share these rules.
"""

from __future__ import annotations

import re

from vespa_colbert.tensor import TensorType

__all__ = [
    "IDENTIFIER",
    "INTEGER",
    "NUMBER",
    "STRING",
    "is_identifier",
    "label_text",
    "longest_word",
    "number_value",
    "output_text",
    "quoted",
    "type_text",
    "unquoted",
    "vespa_label",
]

INTEGER = r"(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)[lL]?"
NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?[fFdD]?"
IDENTIFIER = r"[A-Za-z0-9_@][A-Za-z0-9_@$]*"
STRING = r"""(?:"(?:\\"|[^"])*"|'(?:\\'|[^'])*')"""
"""Tokens of Vespa's grammar; of several that fit the longest counts, then the one named first.

Source: RankingExpressionParser.jj, Vespa 8.700.24.
"""

PLAIN = re.compile(f"(?!(?:{INTEGER}|{NUMBER}|unpack_bits)$){IDENTIFIER}")
LABEL = re.compile(f"-?{INTEGER}")
VESPA_LABEL = re.compile(r"[-_@A-Za-z0-9][_@$A-Za-z0-9]*")
WORDS = {
    kind: re.compile(pattern)
    for kind, pattern in (("INTEGER", INTEGER), ("FLOAT", NUMBER), ("NAME", IDENTIFIER))
}
ESCAPES = {"f": "\f", "n": "\n", "r": "\r", "t": "\t"}
PIECE = re.compile(r"\\u(.{3,4})|\\(u.{0,2}\Z|.|\Z)|([^\\])", re.DOTALL)
LONG = range(-(2**63), 2**63)
LONGEST_LONG = 19


def longest_word(text: str, at: int) -> tuple[str, str]:
    """Return the kind and the text of the longest name or number at a place; empty if none."""
    matches = ((kind, pattern.match(text, at)) for kind, pattern in WORDS.items())
    found = [(kind, match[0]) for kind, match in matches if match is not None]
    return max(found, key=lambda pair: len(pair[1]), default=("", ""))


def is_identifier(text: str) -> bool:
    """Return whether a text is one word that can name something, and not a number."""
    return PLAIN.fullmatch(text) is not None


def number_value(text: str) -> float | None:
    """Return what a number is worth, or ``None`` if Vespa cannot read it: ``5L``, ``0x10``, ``2f``.

    Source: Value.parse, Vespa 8.700.24: a whole number is read as Java's Long.parseLong reads it.
    """
    if "x" in text or "X" in text:
        return None
    if {".", "e", "E"} & set(text):
        return float(text.rstrip("fFdD"))
    digits = text.removeprefix("-").lstrip("0") or "0"
    if not digits.isdecimal() or len(digits) > LONGEST_LONG:
        return None
    value = -int(digits) if text.startswith("-") else int(digits)
    return float(value) if value in LONG else None


def output_text(output: str | None) -> str:
    """Return a feature's output as it is written after the feature, dot included.

    A blank ends a number that would take the next dot for its own.
    """
    if output is None:
        return ""
    found, at = [""], 0
    while at < len(output):
        _, word = longest_word(output, at)
        if output[at + len(word) : at + len(word) + 1] not in {"", "."}:
            word = word.partition(".")[0]
            found.append(f"{word} ")
        else:
            found.append(word)
        at += len(word) + 1
    return ".".join(found)


def label_text(label: str) -> str:
    """Return a label as a tensor literal has it; what stands in quotes there has no escapes.

    Source: the rule ``string`` of RankingExpressionParser.jj, Vespa 8.700.24.
    """
    if is_identifier(label) or LABEL.fullmatch(label):
        return label
    return f"'{label}'" if re.search(r"(?<!\\)'", label) is None else f'"{label}"'


def vespa_label(label: str) -> str:
    """Return a label as Vespa prints it, which its parser may not read again.

    Source: TensorAddress.labelToString, Vespa 8.700.24.
    """
    if VESPA_LABEL.fullmatch(label):
        return label
    return f'"{label}"' if "'" in label else f"'{label}'"


def type_text(tensor_type: TensorType) -> str:
    """Return a type as expressions have it, where a number is ``tensor()``."""
    return "tensor()" if tensor_type.is_number else str(tensor_type)


def quoted(text: str) -> str:
    """Return a text as a string of the language."""
    # A backslash before the last quote would make the string run on to the next one.
    return '"' + text.replace("\\", "\\u005c").replace('"', '\\"') + '"'


def unquoted(string: str) -> str:
    r"""Return the text that a string of the language stands for.

    Raises:
        ValueError: If a quote in it is not escaped, or four hexadecimal digits do not follow
            ``\u``; where the string ends before them, the rest of it counts for nothing.

    Source: UnicodeUtilities.unquote, Vespa 8.700.24.
    """
    found = []
    for match in PIECE.finditer(string[1:-1]):
        if match[1] is not None:
            found.append(_character(match[1]))
        elif match[3] is None:
            found.append("" if match[2].startswith("u") else ESCAPES.get(match[2], match[2]))
        elif match[3] == string[0]:
            raise ValueError(f"expected {string[0]} inside the string to have a backslash before")
        else:
            found.append(match[3])
    units = "".join(found).encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "surrogatepass")


def _character(digits: str) -> str:
    """Return the character of a number in hexadecimal digits, read as Java reads it.

    Raises:
        ValueError: If it is none.
    """
    if re.fullmatch(r"(?=.{4}\Z)[+-]?[0-9a-fA-F]+", digits, re.DOTALL) is None:
        raise ValueError(f"expected four hexadecimal digits after \\u, got {digits!r}")
    return chr(int(digits, 16) & 0xFFFF)
