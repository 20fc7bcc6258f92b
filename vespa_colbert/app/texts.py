"""What may be printed into a schema: names, expressions, features and indexing statements.

Every text has one normal form, on one line and without comments, so that a schema read back is
equal to the one that was printed, and nothing in it can close the block that it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from vespa_colbert.errors import TensorTypeError
from vespa_colbert.tensor import TensorType

__all__ = [
    "BLOCK_WORDS",
    "brace_fault",
    "bracket_fault",
    "cluster_name_fault",
    "component_name_fault",
    "dashed_name_fault",
    "decimal",
    "element_fault",
    "expression_fault",
    "feature_fault",
    "field_name_fault",
    "function_name_fault",
    "literal_fault",
    "name_fault",
    "one_line",
    "path_fault",
    "profile_name_fault",
    "property_fault",
    "schema_name_fault",
    "setting_word_fault",
    "split_features",
    "split_statements",
    "statement_fault",
    "type_fault",
    "uri_fault",
]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DASHED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""Source: IndexFieldNames, Vespa 8.700.24."""
PROFILE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*")
FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\$?")
LONGEST_NAME = 128
FEATURE = re.compile(r"[A-Za-z_@][\w@$]*(?:\([^{}#]*\))?(?:\.[\w@$]+)*", re.ASCII)
WORD = re.compile(r"[a-z][a-z0-9-]*")
PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
LITERAL = re.compile(r"""-?[0-9]+(?:\.[0-9]+)?|[\[{][^#]*[\]}]""")
URI = re.compile(r"https?:(?://)?[\w./:-]+", re.ASCII | re.IGNORECASE)
TYPE = re.compile(r"[A-Za-z_]\w*(?:<[\w<>,]+>)?", re.ASCII)
PIECE = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<gap>(?:\s|\#[^\n]*)+)|(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
PAIRS = {")": "(", "]": "[", "}": "{"}

DEEPEST_BRACES = 3
"""How deep Vespa's schema lexer follows braces inside an expression.

Source: SchemaParser.jj, BRACE_SL_LEVEL_1 to 3, Vespa 8.700.24.
"""

RESERVED_FIELDS = frozenset({
    "index",
    "index_url",
    "summary",
    "attribute",
    "select_input",
    "host",
    "documentid",
    "position",
    "split_foreach",
    "tokenize",
    "if",
    "else",
    "switch",
    "case",
    "sddocname",
    "relevancy",
})
"""Names that no field may have, in any case. Source: Schema.isReservedName, Vespa 8.700.24."""

BLOCK_WORDS = frozenset({"expression", "match-features", "rank-features", "summary-features"})
"""Names that Vespa's lexer takes, with the block behind them, for something else.

Source: SchemaParser.jj, EXPRESSION_ML and the like, Vespa 8.700.24.
"""

RESERVED_SCHEMAS = frozenset({
    "and", "document", "false", "id", "inherits", "not", "null", "or", "position", "true",
})  # fmt: skip
"""Names that no document type may have, in any case; two of them lie in the grammar.

Source: ReservedDocumentTypeNameValidator and ReservedDocumentNames, Vespa 8.700.24.
"""

RESERVED_FUNCTIONS = frozenset({"inline", "tensor"})
"""Words that Vespa reads otherwise where a function's name stands. Source: SchemaParser.jj."""

RESERVED_CLUSTERS = frozenset({"admin", "client", "default", "hosts"})
"""Ids that Vespa, or the container that is generated, has already. Source: VespaModel 8.700.24."""

RESERVED_COMPONENTS = BLOCK_WORDS | {"_"}
"""Words that an indexing statement reads otherwise. Source: IndexingParser.jj, Vespa 8.700.24."""


def name_fault(
    name: str, pattern: re.Pattern[str] = NAME, kept: frozenset[str] = BLOCK_WORDS
) -> str:
    """Return why Vespa would not take the name, or an empty text."""
    if name.lower() in kept:
        return f"{name!r} is a word that Vespa keeps for itself"
    if not pattern.fullmatch(name):
        signs = ", _ and -" if pattern in {DASHED_NAME, PROFILE_NAME} else " and _"
        first = "a letter" if pattern is FIELD_NAME else "a letter or _"
        wanted = f"letters, digits{signs}, starting with {first}"
        return f"expected a name of {wanted}, got {name[:LONGEST_NAME]!r}"
    if len(name) > LONGEST_NAME:
        length = f"at most {LONGEST_NAME} characters, got {len(name)}"
        return f"expected a name of {length} in {name[:80]!r}"
    return ""


def schema_name_fault(name: str) -> str:
    """Return why Vespa would not take the name of a schema, or an empty text."""
    return name_fault(name, kept=BLOCK_WORDS | RESERVED_SCHEMAS)


def function_name_fault(name: str) -> str:
    """Return why Vespa would not take the name of a function, or an empty text."""
    return name_fault(name, FUNCTION_NAME, RESERVED_FUNCTIONS)


def profile_name_fault(name: str) -> str:
    """Return why Vespa would not take the name of a rank profile, or an empty text.

    One that stands inside of another one has that one's name and a dot before its own.
    """
    return name_fault(name, PROFILE_NAME)


def cluster_name_fault(name: str) -> str:
    """Return why Vespa would not take the id of a content cluster, or an empty text."""
    return name_fault(name, DASHED_NAME, RESERVED_CLUSTERS)


def dashed_name_fault(name: str) -> str:
    """Return why Vespa would not take the name of a summary, or an empty text."""
    return name_fault(name, DASHED_NAME)


def component_name_fault(name: str) -> str:
    """Return why a component cannot have an id that indexing statements name, or an empty text."""
    return name_fault(name, DASHED_NAME, RESERVED_COMPONENTS)


def field_name_fault(name: str) -> str:
    """Return why Vespa would not take the name of a field, or an empty text."""
    return name_fault(name, FIELD_NAME, RESERVED_FIELDS)


def one_line(text: str) -> str:
    """Return the normal form of an expression or statement: no comment, single spaces, no ends.

    Quoted strings stay as they are.

    Source: RankingExpressionParser.jj and IndexingParser.jj, Vespa 8.700.24; # starts a comment.
    """
    pieces = (" " if kind == "gap" else piece for kind, piece in _pieces(text))
    return "".join(pieces).strip()


def split_statements(text: str) -> tuple[str, ...]:
    """Return the statements of an indexing script, each in its normal form."""
    parts, depth = [""], 0
    for kind, piece in _pieces(one_line(text)):
        depth += (piece in "([{") - (piece in ")]}") if kind == "other" else 0
        if kind == "other" and piece == ";" and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return tuple(part.strip() for part in parts if part.strip())


def split_features(text: str) -> tuple[str, ...]:
    """Return the features of a list, which spaces keep apart, each without a space in it.

    Source: RankingExpressionParser.jj, featureList, Vespa 8.700.24.
    """
    parts, depth, last = [""], 0, ""
    pieces = [(kind, piece) for kind, piece in _pieces(one_line(text))]
    for place, (kind, piece) in enumerate(pieces):
        if kind == "gap":
            following = pieces[place + 1][1]
            if depth == 0 and following not in "(." and last != ".":
                parts.append("")
            continue
        depth += (piece in "([") - (piece in ")]") if kind == "other" else 0
        parts[-1] += piece
        last = piece
    return tuple(part for part in parts if part)


def expression_fault(text: str) -> str:
    """Return why a rank expression cannot be printed on one line of a schema, or an empty text."""
    return _line_fault(text) or brace_fault(text) or bracket_fault(text)


def statement_fault(text: str) -> str:
    """Return why an indexing statement cannot be printed on one line, or an empty text."""
    if len(split_statements(text)) != 1 or split_statements(text)[0] != text:
        return f"expected one statement, on one line and with single spaces, got {text[:80]!r}"
    outside = "".join(piece for kind, piece in _pieces(text) if kind == "other")
    if outside.endswith("|"):
        return f"expected a statement that ends, Vespa reads on after its |, got {text[:80]!r}"
    return _line_fault(text) or brace_fault(outside) or bracket_fault(text)


def feature_fault(text: str) -> str:
    """Return why a text is no single rank feature that can stand in a list, or an empty text."""
    if not FEATURE.fullmatch(text) or split_features(text) != (text,):
        return f"expected a rank feature such as bm25(title), got {text[:80]!r}"
    return bracket_fault(text)


def setting_word_fault(text: str) -> str:
    """Return why a text is no single word of Vespa's such as ``none``; empty is none needed."""
    return "" if not text or WORD.fullmatch(text) else f"expected one word, got {text[:80]!r}"


def type_fault(text: str) -> str:
    """Return why a text is no type of a field in its normal form, or an empty text."""
    if text.startswith(("tensor<", "tensor(")):
        try:
            wanted = str(TensorType.parse(text))
        except TensorTypeError as error:
            return str(error)
        return "" if text == wanted else f"expected the type written as {wanted}, got {text!r}"
    return "" if TYPE.fullmatch(text) else f"expected a type such as string, got {text[:80]!r}"


def path_fault(text: str) -> str:
    """Return why a text is no path inside an application package, or an empty text."""
    parts = text.split("/")
    if PATH.fullmatch(text) and not {"", ".", ".."} & set(parts):
        return ""
    return f"expected a relative path of letters, digits, _ . / and -, got {text[:80]!r}"


def decimal(number: float) -> str:
    """Return a number as a schema writes it: with a point and without an exponent."""
    text = f"{Decimal(repr(number)):f}"
    return text if "." in text else f"{text}.0"


def uri_fault(text: str) -> str:
    """Return why a text is no address that Vespa fetches a file from, or an empty text."""
    return "" if URI.fullmatch(text) else f"expected an http or https address, got {text[:80]!r}"


def element_fault(text: str) -> str:
    """Return why a text cannot be that of an element of services.xml, or an empty text.

    Source: PropertiesProcessor, Vespa 8.700.24: what begins with ``${`` is replaced.
    """
    if text and text.isprintable() and "${" not in text:
        return ""
    return f"expected a text on one line, without ${{, got {text[:80]!r}"


def property_fault(text: str) -> str:
    """Return why a text is no name or value of a rank property, or an empty text."""
    if text and text.isprintable() and not {'"', "'"} <= set(text):
        return ""
    return f"expected a text on one line, without quotes of both kinds, got {text[:80]!r}"


def literal_fault(text: str) -> str:
    """Return why a text is no number or tensor literal on one line, or an empty text."""
    if not LITERAL.fullmatch(text):
        return f"expected a number or a tensor literal, got {text[:80]!r}"
    return _line_fault(text) or bracket_fault(text)


def brace_fault(text: str) -> str:
    """Return why braces would end the block around the text, or an empty text.

    Vespa's lexer counts them in quoted strings too.
    """
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return "a } closes a brace that was not opened"
        if depth > DEEPEST_BRACES:
            return f"braces are nested deeper than {DEEPEST_BRACES}, which Vespa cannot read"
    return "a { is not closed" if depth else ""


def bracket_fault(text: str) -> str:
    """Return which bracket or quote outside of quoted strings has no partner, or an empty text."""
    opened: list[str] = []
    for kind, piece in _pieces(text):
        if kind != "other":
            continue
        if piece in "\"'":
            return f"a quote {piece} is not closed"
        if piece in "([{":
            opened.append(piece)
        elif piece in PAIRS and (not opened or opened.pop() != PAIRS[piece]):
            return f"a {piece} closes a bracket that was not opened"
    return f"a {opened[-1]} is not closed" if opened else ""


def _line_fault(text: str) -> str:
    """Return why the text is not in its normal form, or an empty text."""
    if not text:
        return "expected a text, got nothing"
    if not text.isprintable() or text != one_line(text):
        return f"expected one line with single spaces and no comment, got {text[:80]!r}"
    return ""


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind (quoted, gap or other) and text of each piece: a string, a gap, a character."""
    for match in PIECE.finditer(text):
        yield str(match.lastgroup), match[0]
