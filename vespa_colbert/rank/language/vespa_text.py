"""Trees printed as Vespa's Java prints them, which is what Vespa sends to its content nodes.

It differs from what the nodes print themselves: derived functions are spelled out in primitive
ones, numbers and strings are written anew, composite cells and indexes get parentheses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from decimal import Decimal

from vespa_colbert.rank.language.built_ins import BUILT_INS, is_built_in, operands
from vespa_colbert.rank.language.nodes import (
    Call,
    Coordinate,
    Dimensions,
    Embraced,
    Generated,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Number,
    Operation,
    Pattern,
    Slice,
    String,
    Switch,
    TensorLiteral,
)
from vespa_colbert.rank.language.operators import binds_tighter
from vespa_colbert.rank.language.rows import row_of
from vespa_colbert.rank.language.words import type_text, vespa_label

__all__ = ["vespa_text"]

ADD, SUBTRACT, MULTIPLY, DIVIDE = (f"f(a,b)(a {sign} b)" for sign in "+-*/")
LESS, EQUAL = "f(a,b)(a < b)", "f(a,b)(a==b)"
SQUARE, ROOT, POWER = "f(a)(a * a)", "f(a)(sqrt(a))", "f(a)(exp(a))"
LARGE, SMALL = 1e7, 1e-3
ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\"}


def vespa_text(node: Node, row: tuple[str, ...] = ()) -> str:
    """Return the text that Vespa's RankingExpression prints.

    Args:
        node: A tree that was parsed.
        row: The operators of the row that the node is an operand of, or an argument of a feature
            in it: Vespa prints more parentheses there than it needs.

    Source: the toString methods of ExpressionNode and TensorFunction, Vespa 8.700.24.
    """
    if isinstance(node, Operation):
        return _row(node, row)
    if isinstance(node, Negative | Not):
        return f"{'-' if isinstance(node, Negative) else '!'}{vespa_text(node.inner, row)}"
    if isinstance(node, Call):
        return _call(node, row)
    return PRINTERS[type(node)](node)


def _row(node: Operation, around: tuple[str, ...]) -> str:
    parts, operators = row_of(node)
    inside = tuple(operators)
    printed = [
        f"({vespa_text(part)})" if isinstance(part, Operation) else vespa_text(part, inside)
        for part in parts
    ]
    pairs = zip(operators, printed[1:], strict=True)
    text = printed[0] + "".join(f" {operator} {part}" for operator, part in pairs)
    if not around:
        return text
    is_single = len(around) == len(inside) == 1
    return text if is_single and not binds_tighter(around[0], inside[0]) else f"({text})"


def _call(node: Call, row: tuple[str, ...]) -> str:
    """Return a built-in or a feature; a feature passes on the row that it stands in."""
    if not is_built_in(node):
        listed = ",".join(vespa_text(each, row) for each in node.arguments or ())
        output = "" if node.output is None else f".{node.output}"
        return node.name + (f"({listed})" if listed else "") + output
    arguments = node.arguments or ()
    count = operands(node)
    values = [vespa_text(each) for each in arguments[:count]]
    words = [_word(each) for each in arguments[count:]]
    printer = DERIVED.get(node.name) or SHAPED.get(BUILT_INS[node.name])
    if printer is not None:
        return printer(node.name, values, words)
    return f"{node.name}({', '.join([*values, *words])})"


def _word(node: Node) -> str:
    if isinstance(node, Lambda):
        return f"f({','.join(node.parameters)})({vespa_text(node.body)})"
    if isinstance(node, Number):
        return _decimal(node.value)
    if isinstance(node, Dimensions) and len(node.names) == 1:
        return node.names[0]
    return str(node)


def _join(left: str, right: str, function: str) -> str:
    return f"join({left}, {right}, {function})"


def _map(inner: str, function: str) -> str:
    return f"map({inner}, {function})"


def _reduce(inner: str, aggregator: str, dimensions: Sequence[str]) -> str:
    return f"reduce({', '.join([inner, aggregator, *dimensions])})"


def _comma(name: str, values: Sequence[str], _words: Sequence[str]) -> str:
    return f"{name}({','.join(values)})"


def _if(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    return f"if ({', '.join([*values, *words])})"


def _unpack_bits(name: str, values: Sequence[str], words: Sequence[str]) -> str:
    defaults = ["float", "big"]
    return f"{name}({','.join([*values, *words, *defaults[len(words) :]])})"


def _top(_name: str, values: Sequence[str], _words: Sequence[str]) -> str:
    count, tensor = values
    mask = _join(f"cell_order({tensor}, max)", count, LESS)
    return _join(tensor, f"filter_subspaces({mask}, f(s)(s))", MULTIPLY)


def _largest(aggregator: str) -> Callable[[str, Sequence[str], Sequence[str]], str]:
    return lambda _name, values, words: _join(
        values[0], _reduce(values[0], aggregator, words), EQUAL
    )


def _l1_normalize(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    return _join(values[0], _reduce(values[0], "sum", words), DIVIDE)


def _l2_normalize(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    squares = _reduce(_map(values[0], SQUARE), "sum", words)
    return _join(values[0], _map(squares, ROOT), DIVIDE)


def _softmax(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    powers = _map(values[0], POWER)
    return _join(powers, _reduce(powers, "sum", words), DIVIDE)


def _expand(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    return _join(f"tensor<int8>({words[0]}[1])(1.0)", values[0], MULTIPLY)


def _matmul(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    return _reduce(_join(values[0], values[1], MULTIPLY), "sum", words)


def _euclidean(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    squares = _map(_join(values[0], values[1], SUBTRACT), SQUARE)
    return _map(_reduce(squares, "sum", words), ROOT)


def _cosine(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    left, right = values

    def product(first: str, second: str) -> str:
        return _reduce(_join(first, second, MULTIPLY), "sum", words)

    lengths = _map(_join(product(left, left), product(right, right), MULTIPLY), ROOT)
    return _join(product(left, right), lengths, DIVIDE)


def _layer(_name: str, values: Sequence[str], words: Sequence[str]) -> str:
    return _join(_matmul("", values[:2], words), values[2], ADD)


DERIVED: dict[str, Callable[[str, Sequence[str], Sequence[str]], str]] = {
    "top": _top,
    "argmax": _largest("max"),
    "argmin": _largest("min"),
    "l1_normalize": _l1_normalize,
    "l2_normalize": _l2_normalize,
    "softmax": _softmax,
    "expand": _expand,
    "matmul": _matmul,
    "euclidean_distance": _euclidean,
    "cosine_similarity": _cosine,
    "xw_plus_b": _layer,
    **{
        name: lambda name, values, words: _reduce(values[0], name, words)
        for name in ("avg", "count", "median", "prod", "sum")
    },
}
"""Built-ins that Vespa spells out in others → how.

Source: the toPrimitive methods in com.yahoo.tensor.functions, Vespa 8.700.24.
"""

SHAPED = {
    "VALUE_FUNCTION": _comma,
    "PAIR_FUNCTION": _comma,
    "LARGEST": _comma,
    "UNPACK_BITS": _unpack_bits,
    "IF": _if,
}


def _number(node: Number) -> str:
    """Return a number as Java prints a long, a double or a truth value."""
    if node.text.lstrip("-") in {"true", "false"}:
        return node.text
    return str(int(node.text)) if node.text.lstrip("-").isdecimal() else _decimal(node.value)


def _decimal(value: float) -> str:
    """Return a double as Java's Double.toString prints it."""
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    size = abs(value)
    if size == 0 or SMALL <= size < LARGE:
        return repr(value)
    _, digits, exponent = Decimal(repr(size)).normalize().as_tuple()
    first, *rest = map(str, digits)
    sign = "-" if value < 0 else ""
    return f"{sign}{first}.{''.join(rest) or '0'}E{int(exponent) + len(rest)}"


def _string(node: String) -> str:
    """Return a string in double quotes, with escapes for all but plain characters.

    Source: UnicodeUtilities.quote, Vespa 8.700.24.
    """
    data = node.value.encode("utf-16-be", "surrogatepass")
    units = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    return f'"{"".join(map(_unit, units))}"'


def _unit(unit: int) -> str:
    if chr(unit) == '"':
        return '\\"'
    is_plain = 0x20 <= unit <= 0x7E
    return ESCAPES.get(chr(unit)) or (chr(unit) if is_plain else f"\\u{unit:04x}")


def _membership(node: Membership) -> str:
    return f"{vespa_text(node.value)} in [{', '.join(map(vespa_text, node.members))}]"


def _scalar(node: Node) -> str:
    """Return an index or a cell: in parentheses, unless it is a name or a constant."""
    text = vespa_text(node)
    is_name = isinstance(node, Call) and node.arguments is None and node.output is None
    # The negative of a truth value is no constant to Vespa.
    is_constant = isinstance(node, Number | String) and text not in {"-true", "-false"}
    return text if is_name or is_constant or isinstance(node, Embraced) else f"({text})"


def _slice(node: Slice) -> str:
    subject, (first, *_) = vespa_text(node.subject), node.coordinates
    if first.dimension is None:
        return f"{subject}{{{first.label}}}" if first.index is None else f"{subject}[{_at(first)}]"
    listed = ", ".join(f"{each.dimension}:{_at(each)}" for each in node.coordinates)
    return f"{subject}{{{listed}}}"


def _at(coordinate: Coordinate) -> str:
    if coordinate.index is not None:
        return _scalar(coordinate.index)
    return vespa_label(coordinate.label or "")


def _generated(node: Generated) -> str:
    return f"{type_text(node.type)}({_scalar(node.body)})"


def _pattern(node: Pattern) -> str:
    names = [each.name for each in node.type.dimensions]
    if node.name == "range":
        body = "+".join(names)
    elif node.name == "random":
        body = "random"
    else:
        pairs = [f"{one}=={two}" for one, two in itertools.pairwise(names)]
        body = "*".join(f"({pair})" for pair in pairs) if len(pairs) > 1 else "".join(pairs) or "1"
    return f"{type_text(node.type)}({body})"


def _literal(node: TensorLiteral) -> str:
    if node.type.is_number and node.cells:
        value = _scalar(node.cells[0].value)
        return f"{type_text(node.type)}:{{{{}}:{value}}}"
    cells = []
    for cell in node.cells:
        pairs = zip(node.type.dimensions, cell.labels, strict=True)
        address = ",".join(f"{each.name}:{vespa_label(label)}" for each, label in pairs)
        cells.append(f"{{{address}}}:{_scalar(cell.value)}")
    return f"{type_text(node.type)}:{{{','.join(cells)}}}"


def _switch(node: Switch) -> str:
    cases = "".join(
        f"case {vespa_text(case.value)}: {vespa_text(case.result)}, " for case in node.cases
    )
    return f"switch({vespa_text(node.subject)}) {{ {cases}default: {vespa_text(node.default)} }}"


PRINTERS: dict[type, Callable[..., str]] = {
    Number: _number,
    String: _string,
    Embraced: lambda node: f"({vespa_text(node.inner)})",
    Membership: _membership,
    Slice: _slice,
    Generated: _generated,
    Pattern: _pattern,
    TensorLiteral: _literal,
    Switch: _switch,
}
