"""How a rank profile is asked: what finds the documents and where its inputs come from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Query"]

ANY_WORD = "userInput(@text)"
"""Documents that have a word of the query: Vespa's weakAnd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """How a profile is asked.

    Attributes:
        profile: Name of the rank profile.
        where: The condition of the YQL; ``@text`` is the query's text.
        inputs: Input → the expression that Vespa is to fill it by (``embed(colbert, @text)``);
            empty where whoever asks sends the tensor.
    """

    profile: str
    where: str = ANY_WORD
    inputs: tuple[tuple[str, str], ...] = ()

    def yql(self, schema: str) -> str:
        """Return the statement that asks for documents of a schema."""
        return f"select * from {schema} where {self.where}"  # noqa: S608 - names are checked
