"""In the worker: the text forms of tensors and the types of expressions, by Vespa's own code.

Each function takes many cases and answers each: what Vespa made of it, or why it refused it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from vespa_colbert.vespa_java.evaluator import BoundTypes, from_java, to_java, type_of
from vespa_colbert.vespa_java.jvm import java_class, message_chain, proxy

__all__ = ["TENSOR_FORMS", "Refusal"]

Case = TypeVar("Case")


class Refusal(str):
    """Why Vespa refused a case, in its own words."""

    __slots__ = ()


def read_literals(cases: Sequence[tuple[str, str | None]]) -> list[bytes | Refusal]:
    """Return the tensors that literals spell, each read with a type beside it or without.

    Source: Tensor.from, Vespa 8.700.24.
    """
    tensor = java_class("com.yahoo.tensor.Tensor")

    def read(case: tuple[str, str | None]) -> bytes:
        text, spec = case
        made = tensor.from_(text) if spec is None else tensor.from_(type_of(spec), text)
        return from_java(made)

    return _each(read, cases)


def print_tensors(cases: Sequence[bytes]) -> list[tuple[str, str] | Refusal]:
    """Return tensors as Vespa prints them: in short form, and with every cell's address.

    Source: Tensor.toString, Vespa 8.700.24.
    """

    def both(data: bytes) -> tuple[str, str]:
        made = to_java(data)
        return str(made.toString()), str(made.toString(True, False))  # noqa: FBT003 - Java's call

    return _each(both, cases)


def read_json_tensors(cases: Sequence[tuple[str, str]]) -> list[bytes | Refusal]:
    """Return the tensors that document JSON spells; a case is a type and the JSON.

    Source: JsonFormat.decode, Vespa 8.700.24.
    """
    json = java_class("com.yahoo.tensor.serialization.JsonFormat")

    def read(case: tuple[str, str]) -> bytes:
        return from_java(json.decode(type_of(case[0]), case[1].encode("utf-8")))

    return _each(read, cases)


def write_json_tensors(
    cases: Sequence[tuple[bytes, bool, bool, bool]],
) -> list[str | Refusal]:
    """Return tensors in document JSON; beside each: short form, without its type, hexadecimal.

    Source: JsonFormat.encode, Vespa 8.700.24.
    """
    json = java_class("com.yahoo.tensor.serialization.JsonFormat")
    options = java_class("com.yahoo.tensor.serialization.JsonFormat$EncodeOptions")

    def write(case: tuple[bytes, bool, bool, bool]) -> str:
        data, *chosen = case
        return bytes(json.encode(to_java(data), options(*chosen))).decode("utf-8")

    return _each(write, cases)


def expression_types(cases: Sequence[tuple[str, Mapping[str, str]]]) -> list[str | Refusal]:
    """Return the types of rank expressions, given the type of every feature in them.

    Source: RankingExpression.type, Vespa 8.700.24.
    """
    expression = java_class("com.yahoo.searchlib.rankingexpression.RankingExpression")

    def resolve(case: tuple[str, Mapping[str, str]]) -> str:
        text, features = case
        types = {name: type_of(spec) for name, spec in features.items()}
        context = proxy("com.yahoo.tensor.evaluation.TypeContext", BoundTypes(types))
        return str(expression(text).type(context))

    return _each(resolve, cases)


def _each(compute: Callable[[Case], Any], cases: Sequence[Case]) -> list[Any]:
    """Return what becomes of each case; an exception is a refusal, a broken JVM is not."""
    answers = []
    for case in cases:
        try:
            answers.append(compute(case))
        except java_class("java.lang.Exception") as error:
            answers.append(Refusal("; caused by: ".join(message_chain(error))))
    return answers


TENSOR_FORMS: dict[str, Callable[..., Any]] = {
    "expression_types": expression_types,
    "print_tensors": print_tensors,
    "read_json_tensors": read_json_tensors,
    "read_literals": read_literals,
    "write_json_tensors": write_json_tensors,
}
"""Name of a call → what answers it."""
