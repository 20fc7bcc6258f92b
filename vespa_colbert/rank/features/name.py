"""The name of a rank feature, taken apart: ``attribute(tags,red).weight``."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.errors import ExpressionTypeError
from vespa_colbert.rank.language.words import unquoted

__all__ = ["FeatureName", "read_feature_name"]

OPENING, CLOSING, QUOTES = "([{", ")]}", "\"'"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureName:
    """A rank feature as an expression names it.

    Attributes:
        name: What stands before the parentheses.
        arguments: As written; empty for both ``now`` and ``now()``.
        output: What follows the dot after the parentheses, or empty.
        text: The whole of it.
    """

    name: str
    arguments: tuple[str, ...]
    output: str
    text: str

    def taken(self, where: str, *counts: int) -> tuple[str, ...]:
        """Return the arguments without quotes.

        Args:
            where: Schema and profile, for messages.
            *counts: How many the feature takes.

        Raises:
            ExpressionTypeError: If there are more or fewer.
        """
        words = self.words()
        if len(words) not in counts:
            wanted = " or ".join(map(str, counts))
            raise ExpressionTypeError(
                f"{self.text}: expected {wanted} arguments, got {len(words)} ({where})"
            )
        return words

    def words(self) -> tuple[str, ...]:
        """Return the arguments without quotes around them."""
        return tuple(
            unquoted(each) if each[:1] in QUOTES and each else each for each in self.arguments
        )


def read_feature_name(text: str) -> FeatureName:
    """Return a feature's name, arguments and output, arguments split at commas outside brackets."""
    name, _, rest = text.partition("(")
    if not rest:
        return FeatureName(name=text, arguments=(), output="", text=text)
    parts, depth, quote, start, place = list[str](), 1, "", 0, 0
    while place < len(rest) and depth:
        sign = rest[place]
        if quote:
            place += sign == "\\"
            quote = "" if sign == quote else quote
        elif sign in QUOTES:
            quote = sign
        elif sign in OPENING:
            depth += 1
        elif sign in CLOSING:
            depth -= 1
        elif sign == "," and depth == 1:
            parts.append(rest[start:place].strip())
            start = place + 1
        place += 1
    last = rest[start : place - 1].strip()
    arguments = (*parts, last) if parts or last else ()
    return FeatureName(
        name=name, arguments=arguments, output=rest[place:].removeprefix("."), text=text
    )
