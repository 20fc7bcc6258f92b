"""What query profiles give to rank profiles: inputs, and texts that are embedded into them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.app.services import read_xml
from vespa_colbert.errors import SpecError
from vespa_colbert.validate.findings import Place

__all__ = ["Given", "QuerySettings", "read_query_settings"]

FOLDER = "search/query-profiles"
INPUT = re.compile(r"(?:ranking\.features\.|rankfeature\.|input\.)query\((?P<name>[\w$.-]+)\)")
EMBED = re.compile(r"\s*embed\(\s*(?:(?P<name>[\w$.-]+)\s*,)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An input that a query profile gives, or declares.

    Attributes:
        name: The ``x`` of ``query(x)``.
        embedder: Id of the embedder that makes it; empty for the only one.
        is_embedded: Whether an embedder makes it.
        place: Where it stands.
    """

    name: str
    embedder: str
    is_embedded: bool
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySettings:
    """All inputs that query profiles name."""

    given: tuple[Given, ...]

    @property
    def names(self) -> frozenset[str]:
        """Names of the inputs."""
        return frozenset(each.name for each in self.given)


def read_query_settings(folder: Path) -> QuerySettings:
    """Return what the query profiles of a package say; files that are not XML say nothing."""
    return QuerySettings(given=tuple(_given(folder)))


def _given(folder: Path) -> Iterator[Given]:
    for path in sorted((folder / FOLDER).rglob("*.xml")):
        try:
            root = read_xml(path, comments=False)
        except SpecError:
            continue
        for each in root.iter("field"):
            if (found := INPUT.fullmatch(each.get("name", ""))) is None:
                continue
            embed = EMBED.match(each.text or "")
            yield Given(
                name=found["name"],
                embedder=(embed["name"] or "") if embed else "",
                is_embedded=embed is not None,
                place=Place(file=path.relative_to(folder).as_posix(), line=each.sourceline),
            )
