"""A model folder whose facts stand in one member of ``embedder.json``: dense, or cross-encoder.

The three files, the checksums and the seal are those of every model folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from vespa_colbert.export.facts_file import read_facts
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    ExportedFolder,
    check_exported,
    read_exported,
    shared_members,
)

__all__ = ["StatedFolder", "read_stated_folder", "states_member"]

Facts = TypeVar("Facts")


# Slots would not let a subscripted alias of it be called, which DenseFolder is.
@dataclass(frozen=True, kw_only=True)
class StatedFolder(ExportedFolder, Generic[Facts]):
    """A model folder as its manifest describes it.

    Attributes:
        member: Which member of the manifest holds the facts; it names the kind of model.
        facts: What must be known beside the two files.
        requested: What was asked for, by name: options that change the files.
        differences: Where Vespa differs from the library all the same, in a sentence each.
    """

    member: str
    facts: Facts
    requested: Mapping[str, Any]
    differences: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What there is to say of it, in one sentence."""
        graph = self.graph
        axes = "; ".join(
            f"{name} ({', '.join(map(str, each))})" for name, each in graph["outputs"].items()
        )
        return (
            f"{self.member.replace('_', '-')}, {axes}, opset {graph['opset']}, {graph['dtype']}, "
            f"for Vespa {graph['target']['vespa']} or newer; {self.comparison}"
        )

    def manifest(self) -> str:
        """Return the text of ``embedder.json``, its own checksum at the end."""
        return self.sealed_manifest({
            self.member: asdict(self.facts),  # type: ignore[call-overload]
            "requested": dict(self.requested),
            "differences": list(self.differences),
        })


def read_stated_folder(
    path: Path, member: str, kind: type[Facts], *, check: bool = True
) -> StatedFolder[Facts]:
    """Return a model folder after checking every file against the manifest's sha256.

    Args:
        path: The folder that ``export`` wrote.
        member: Which member of the manifest holds the facts.
        kind: The dataclass of the facts.
        check: Whether to read all files and compare their checksums.

    Raises:
        ExportError: If there is no folder, no manifest, a fact is missing, or a file changed.
        SpecError: If the manifest states other facts, or none of this kind of model.
    """
    check_exported(path)
    facts = read_facts(path / EMBEDDER_FILE, member, kind)

    def parse(path: Path, document: dict[str, Any]) -> StatedFolder[Facts]:
        return StatedFolder(
            **shared_members(path, document),
            member=member,
            facts=facts,
            requested=document["requested"],
            differences=tuple(document["differences"]),
        )

    return read_exported(path, parse, check=check)


def states_member(path: Path, member: str) -> bool:
    """Return whether a folder has a manifest with a member; a damaged one has none."""
    try:
        document = json.loads((path / EMBEDDER_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and member in document
