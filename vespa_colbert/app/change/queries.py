"""How queries come along: query profiles and the manifest's queries, written again by new names."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vespa_colbert.app.query import Query
from vespa_colbert.app.render import read_package
from vespa_colbert.app.services import read_xml, xml_bytes
from vespa_colbert.errors import SpecError

__all__ = ["QueryNames", "QueryProfiles", "query_profile_ids", "stated_queries"]

FOLDER = "search/query-profiles"
DEFAULT = "default"
RANKING = {"ranking", "ranking.profile"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryNames:
    """What becomes of names in queries.

    Attributes:
        embedder: Old and new id.
        fields: Old → new name.
        profiles: Rank profile → its new name.
        suffix: What the new ids of query profiles end in.
    """

    embedder: tuple[str, str]
    fields: Mapping[str, str]
    profiles: Mapping[str, str]
    suffix: str

    def text(self, text: str) -> str:
        """Return the value of an input for the new model."""
        old, new = self.embedder
        return re.sub(rf"(\bembed\s*\(\s*){re.escape(old)}(?=\s*[,)])", rf"\g<1>{new}", text)

    def query(self, query: Query) -> Query:
        """Return how the new profile is asked."""
        nearest = query.nearest
        if nearest is not None:
            nearest = replace(nearest, field=self.fields.get(nearest.field, nearest.field))
        return replace(
            query,
            profile=self.profiles[query.profile],
            inputs=tuple((name, self.text(text)) for name, text in query.inputs),
            nearest=nearest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryProfiles:
    """The query profiles of a package that use the old model.

    Attributes:
        added: Path → text of those for the new model.
        removed: Paths of the old ones, which go with the old model.
        replaced: Path → text of those that queries use without asking for them: they cannot have
            another name, and change when the old model goes.
    """

    added: Mapping[str, bytes] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    replaced: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, names: QueryNames) -> QueryProfiles:
        """Return the query profiles of an application package.

        Args:
            folder: The package.
            names: What becomes of names.

        Raises:
            SpecError: If a query profile is not XML.
        """
        roots = {path.name: read_xml(path) for path in _paths(folder)}
        used = {name: root for name, root in roots.items() if _uses(root, names)}
        ids = {root.get("id", "") for root in used.values()} - {DEFAULT}
        renamed = {each: each + names.suffix for each in ids}
        added, replaced = dict[str, bytes](), dict[str, bytes]()
        for file, root in used.items():
            text = xml_bytes(_rewritten(root, names, renamed))
            if root.get("id", "") in renamed:
                added[f"{FOLDER}/{renamed[root.get('id')]}.xml"] = text
            else:
                replaced[f"{FOLDER}/{file}"] = text
        gone = {f"{FOLDER}/{file}" for file, root in used.items() if root.get("id", "") in renamed}
        return cls(added=added, removed=frozenset(gone), replaced=replaced)


def query_profile_ids(folder: Path) -> list[str]:
    """Return the ids of the query profiles of a package.

    Raises:
        SpecError: If one is not XML.
    """
    return [str(read_xml(path).get("id", "")) for path in _paths(folder)]


def stated_queries(folder: Path) -> tuple[Query, ...]:
    """Return how the profiles of a package are asked, nothing for a package that is not ours."""
    try:
        return read_package(folder, check=False).queries
    except SpecError:
        return ()


def _paths(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).glob("*.xml"))


def _fields(root: Any) -> Iterator[Any]:
    yield from (each for each in root.iter("field") if each.text)


def _uses(root: Any, names: QueryNames) -> bool:
    return any(
        (each.get("name") in RANKING and each.text.strip() in names.profiles)
        or names.text(each.text) != each.text
        for each in _fields(root)
    )


def _rewritten(root: Any, names: QueryNames, renamed: Mapping[str, str]) -> Any:
    """Return a query profile with the new names."""
    root = copy.deepcopy(root)
    root.set("id", renamed.get(root.get("id", ""), root.get("id", "")))
    if root.get("inherits"):
        parents = root.get("inherits").split()
        root.set("inherits", " ".join(renamed.get(each, each) for each in parents))
    for each in _fields(root):
        each.text = names.text(each.text)
        if each.get("name") in RANKING:
            each.text = names.profiles.get(each.text.strip(), each.text)
    return root
