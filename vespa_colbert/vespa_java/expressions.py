"""In the worker: rank expressions read and printed by Vespa's parser, thousands a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vespa_colbert.vespa_java.jvm import java_class, message_chain

__all__ = ["JavaExpression", "print_expressions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaExpression:
    """What Vespa makes of a text.

    Attributes:
        text: The expression as Vespa prints it, ``None`` if Vespa does not accept the text.
        fault: Why it does not.
        printing_fault: Why Vespa cannot print an expression that it accepts.
    """

    text: str | None = None
    fault: str | None = None
    printing_fault: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether Vespa reads the text as a rank expression."""
        return self.fault is None


def print_expressions(texts: Sequence[str]) -> list[JavaExpression]:
    """Return what Vespa makes of each text.

    Source: RankingExpression, Vespa 8.700.24.
    """
    parse = java_class("com.yahoo.searchlib.rankingexpression.RankingExpression")
    throwable = java_class("java.lang.Throwable")
    found = []
    for text in texts:
        try:
            parsed = parse(text)
        except throwable as error:
            found.append(JavaExpression(fault="; caused by: ".join(message_chain(error))))
            continue
        try:
            found.append(JavaExpression(text=str(parsed.toString())))
        except throwable as error:
            reason = "; caused by: ".join(message_chain(error))
            found.append(JavaExpression(printing_fault=reason))
    return found
