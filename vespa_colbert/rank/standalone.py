"""Expressions by themselves: text and inputs → type and value, one by one or a file of cases."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vespa_colbert.errors import (
    ArrayError,
    CaseError,
    ExpressionError,
    ExpressionSyntaxError,
    ExpressionTypeError,
    TensorTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
    VespaColbertError,
)
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.language.nodes import Call
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.result_types import ResultTypes
from vespa_colbert.tensor import Tensor, TensorType, literal, parse_literal

__all__ = ["Evaluated", "evaluate_cases", "evaluate_expression", "kind_of", "read_inputs"]

logger = logging.getLogger(__name__)

KINDS: tuple[tuple[type[VespaColbertError], str], ...] = (
    (CaseError, "case"),
    (ExpressionSyntaxError, "syntax"),
    (ExpressionTypeError, "type"),
    (TensorTypeError, "type"),
    (UnknownFeatureError, "unknown"),
    (UnsupportedFunctionError, "unsupported"),
    (ArrayError, "value"),
    (ExpressionError, "expression"),
)
"""Error → the kind that a case is answered with, the first that fits."""

MOST_WRITTEN = 2**22
"""Cells of a result that is written: a gigabyte of texts on the way."""

SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The value of an expression.

    Attributes:
        type: Its type, which is known before it is evaluated.
        value: A tensor of that type.
    """

    type: TensorType
    value: Tensor


def evaluate_expression(expression: str, inputs: Mapping[str, Tensor]) -> Evaluated:
    """Return the type and the value of an expression.

    Args:
        expression: In Vespa's language.
        inputs: Value of each name in it: ``query(q)``, ``attribute(a)``, or a word alone.

    Raises:
        ExpressionError: If it does not parse, its types do not fit, or a name has no value.
    """
    named = _by_feature(inputs)
    types = ResultTypes(lambda name: named[name].type if name in named else None, inputs_first=True)
    try:
        node = parse_expression(expression)
        kind = types.of(node)
        return Evaluated(kind, Evaluation(named.get, 0, inputs_first=True).value(node, {}))
    except (RecursionError, MemoryError):
        raise ExpressionError(
            "the expression is nested too deeply, or its tensors are too large"
        ) from None


def _by_feature(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return inputs by their names as expressions have them.

    Raises:
        ExpressionError: If two have one name.
    """
    named = {_feature_name(name): tensor for name, tensor in inputs.items()}
    if len(named) < len(inputs):
        raise ExpressionError(f"expected one input of each name, got {', '.join(inputs)}")
    return named


@lru_cache(maxsize=1024)
def _feature_name(name: str) -> str:
    """Return a name as expressions have it, blanks removed.

    Raises:
        ExpressionSyntaxError: If it is no name.
    """
    node = parse_expression(name)
    if not isinstance(node, Call):
        raise ExpressionSyntaxError("expected a name such as query(q)", name, 0)
    return node.feature_name


def read_inputs(literals: Mapping[str, str]) -> dict[str, Tensor]:
    """Return inputs from their literals.

    Raises:
        VespaColbertError: If one is no literal; a note says which.
    """
    inputs = {}
    for name, text in literals.items():
        try:
            inputs[name] = _tensor(text)
        except VespaColbertError as error:
            error.add_note(f"input {name}")
            raise
    return inputs


@lru_cache(maxsize=1024)
def _tensor(text: str) -> Tensor:
    return parse_literal(text)


def kind_of(error: VespaColbertError) -> str:
    """Return the kind of an error, one of those in ``KINDS``."""
    return next((kind for known, kind in KINDS if isinstance(error, known)), "expression")


def evaluate_cases(lines: Iterable[bytes]) -> Iterator[dict[str, str]]:
    r"""Yield the answer to each line of a file of cases, in order.

    A line ``{"expression": …, "inputs": {name: literal}}`` gives ``{"type": …, "result": …}``, the
    result with the address of every cell, or ``{"error": kind, "message": …}``; so does a line that
    is no case, and the rest goes on.

    Args:
        lines: JSON in UTF-8, split at ``\n`` and nothing else.
    """
    for line in lines:
        try:
            yield _answer(line)
        except VespaColbertError as error:
            text = "\n  in ".join([str(error), *getattr(error, "__notes__", [])])
            yield {"error": kind_of(error), "message": text}
        except Exception as error:
            # A fault of this package must not cost the other cases their answers.
            logger.exception("case %r", line[:500])
            yield {"error": "internal", "message": f"{type(error).__name__}: {error}"}


def _answer(line: bytes) -> dict[str, str]:
    """Return the answer to one case.

    Raises:
        ArrayError: If the result is too large to be written.
    """
    expression, inputs = _case(line)
    found = evaluate_expression(expression, read_inputs(inputs))
    if (cells := found.value.values.size) > MOST_WRITTEN:
        raise ArrayError(f"{found.type}: expected a result of {MOST_WRITTEN} cells, got {cells}")
    return {"type": str(found.type), "result": literal(found.value, short=False)}


def _case(line: bytes) -> tuple[str, dict[str, str]]:
    """Return the expression and the literals of the inputs.

    Raises:
        CaseError: If the line has no such thing.
    """
    shown = repr(line[:60].decode("utf-8", errors="replace"))
    try:
        text = line.decode("utf-8")
        case: Any = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise CaseError(f"expected a JSON object, got {shown}: {error}") from None
    if not isinstance(case, dict) or not isinstance(case.get("expression"), str):
        raise CaseError(f'expected {{"expression": "…", "inputs": {{…}}}}, got {shown}')
    inputs = case.get("inputs", {})
    if not isinstance(inputs, dict) or not all(map(_is_literal, inputs.values())):
        raise CaseError('expected "inputs" to be an object of name and literal')
    return case["expression"], {name: str(each) for name, each in inputs.items()}


def _is_literal(value: object) -> bool:
    """Return whether a JSON value is a text or a number."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        CaseError: If a name occurs twice, or is or has a text with half a surrogate pair.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise CaseError(f"expected each name once, got {twice!r} twice")
    for text in (each for pair in pairs for each in pair if isinstance(each, str)):
        if SURROGATE.search(text):
            raise CaseError(f"expected text, got half a surrogate pair in {text[:60]!r}")
    return found
