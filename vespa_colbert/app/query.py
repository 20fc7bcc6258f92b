"""How a rank profile is asked: what finds the documents and where its inputs come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["ANY_WORD", "NearestTokens", "Query"]

PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")

ANY_WORD = "userInput(@text)"
"""Documents that have a word of the query: Vespa's weakAnd."""

NEAREST_INPUT = "rq"
"""What the names of inputs begin with that hold the vector of one query token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestTokens:
    """Documents that have a token near to one of the query: a nearestNeighbor for each of these.

    Attributes:
        field: The field that is searched.
        target_hits: Documents that each token finds, on each content node.
        most: Tokens that a query has at most.
    """

    field: str
    target_hits: int
    most: int

    @staticmethod
    def names(count: int) -> tuple[str, ...]:
        """Return the inputs of so many tokens, in order."""
        return tuple(f"{NEAREST_INPUT}{place}" for place in range(count))

    def where(self, count: int) -> str:
        """Return the condition for a query of so many tokens."""
        return " or ".join(
            f"({{targetHits:{self.target_hits}}}nearestNeighbor({self.field}, {name}))"
            for name in self.names(min(count, self.most))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """How a profile is asked.

    Attributes:
        profile: Name of the rank profile.
        where: The condition of the YQL; ``@text`` is the query's text.
        inputs: Input → the expression that Vespa is to fill it by (``embed(colbert, @text)``);
            empty where whoever asks sends the tensor.
        parameters: Other parameters of the request that it needs; whoever asks says their values.
        nearest: What finds documents in the place of the condition.
    """

    profile: str
    where: str = ANY_WORD
    inputs: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    nearest: NearestTokens | None = None

    @classmethod
    def from_json(cls, profile: str, stated: Mapping[str, Any]) -> Self:
        """Return the query that a manifest states; the other way round of ``to_json``.

        Raises:
            KeyError: If something is missing.
            TypeError: If something is of another type.
        """
        nearest = stated.get("nearest")
        return cls(
            profile=profile,
            where=str(stated["where"]),
            inputs=tuple((str(name), str(text)) for name, text in stated["inputs"].items()),
            parameters=tuple((str(name), str(text)) for name, text in stated["parameters"].items()),
            nearest=None if nearest is None else NearestTokens(**nearest),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest states of it."""
        nearest = self.nearest
        stated: dict[str, Any] = {
            "where": self.where,
            "inputs": dict(self.inputs),
            "parameters": dict(self.parameters),
        }
        return stated if nearest is None else {**stated, "nearest": asdict(nearest)}

    @property
    def sent(self) -> tuple[str, ...]:
        """The inputs that whoever asks sends."""
        return tuple(name for name, source in self.inputs if not source)

    @property
    def is_filled(self) -> bool:
        """Whether Vespa fills all its inputs."""
        return not self.sent

    def faults(self) -> Iterator[str]:
        """Yield why it cannot be printed into a query profile and into a command line of a shell.

        Source: SubstituteString of query profiles, Vespa 8.700.24, for what a value cannot hold.
        """
        stated = [("where", self.where)]
        stated += [(f"input {name[:80]!r}", source) for name, source in self.inputs if source]
        for name, value in self.parameters:
            if not PARAMETER.fullmatch(name):
                yield f"expected a parameter such as streaming.groupname, got {name[:80]!r}"
            stated += [(f"parameter {name[:80]!r}", value)] if value else []
        for place, text in stated:
            if not text or not text.isprintable() or "'" in text or "%{" in text:
                yield f"{place}: expected one line without ' and %{{, got {text[:80]!r}"

    def yql(self, schema: str, tokens: int | None = None) -> str:
        """Return the statement that asks for documents of a schema.

        Args:
            schema: Its name.
            tokens: Tokens of the query; as many as it can have when absent.
        """
        where = self.where
        if self.nearest is not None:
            where = self.nearest.where(self.nearest.most if tokens is None else tokens)
        return f"select * from {schema} where {where}"  # noqa: S608 - names are checked
