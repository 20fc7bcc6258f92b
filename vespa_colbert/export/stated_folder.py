"""A model folder whose facts stand in one member of ``embedder.json``: dense, or cross-encoder.

The three files, the checksums and the seal are those of every model folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from vespa_colbert.errors import ExportError
from vespa_colbert.export.facts_file import read_facts
from vespa_colbert.export.model_folder import EMBEDDER_FILE, FORMAT, MODEL_FILE, TOKENIZER_FILE
from vespa_colbert.export.seal import check_seal, sealed
from vespa_colbert.files import FileDigest, changed_files

__all__ = ["StatedFolder", "read_stated_folder", "states_member"]

Facts = TypeVar("Facts")


# Slots would not let a subscripted alias of it be called, which DenseFolder is.
@dataclass(frozen=True, kw_only=True)
class StatedFolder(Generic[Facts]):
    """A model folder as its manifest describes it.

    Attributes:
        path: The folder.
        member: Which member of the manifest holds the facts; it names the kind of model.
        facts: What must be known beside the two files.
        requested: What was asked for, by name: options that change the files.
        checkpoint: Where the model came from: name, layout, encoder, facts, provenance, files.
        versions: Library name → version that made the files.
        graph: Opset, IR version, axis names, dtype, and the Vespa release that it is made for.
        verification: What was compared with torch before the files got their names.
        differences: Where Vespa differs from the library all the same, in a sentence each.
        files: File name → sha256 and size.
    """

    path: Path
    member: str
    facts: Facts
    requested: Mapping[str, Any]
    checkpoint: Mapping[str, Any]
    versions: Mapping[str, str]
    graph: Mapping[str, Any]
    verification: Mapping[str, Any]
    differences: tuple[str, ...] = ()
    files: Mapping[str, FileDigest] = field(default_factory=dict)

    @property
    def model_path(self) -> Path:
        """Path of the ONNX file."""
        return self.path / MODEL_FILE

    @property
    def tokenizer_path(self) -> Path:
        """Path of the tokenizer file."""
        return self.path / TOKENIZER_FILE

    @property
    def checksum(self) -> str:
        """The sha256 of the ONNX file: what an index made with this model remembers."""
        return self.files[MODEL_FILE].sha256

    @property
    def is_verified(self) -> bool:
        """Whether the graph was compared with torch."""
        return bool(self.verification.get("verified") and self.verification.get("cases"))

    @property
    def summary(self) -> str:
        """What there is to say of it, in one sentence."""
        graph, cases = self.graph, self.verification.get("cases", ())
        compared = "not checked against torch"
        if self.is_verified:
            worst = max(case["worst"] for case in cases)
            compared = f"largest difference to torch {worst:.1e} on {len(cases)} shapes"
        axes = "; ".join(
            f"{name} ({', '.join(map(str, each))})" for name, each in graph["outputs"].items()
        )
        return (
            f"{self.member.replace('_', '-')}, {axes}, opset {graph['opset']}, {graph['dtype']}, "
            f"for Vespa {graph['target']['vespa']} or newer; {compared}"
        )

    def manifest(self) -> str:
        """Return the text of ``embedder.json``, its own checksum at the end."""
        document = {
            "format": FORMAT,
            self.member: asdict(self.facts),  # type: ignore[call-overload]
            "requested": dict(self.requested),
            "checkpoint": dict(self.checkpoint),
            "graph": dict(self.graph),
            "verification": dict(self.verification),
            "differences": list(self.differences),
            "versions": dict(self.versions),
            "files": {name: asdict(digest) for name, digest in sorted(self.files.items())},
        }
        return sealed(json.dumps(document, indent=2, ensure_ascii=False))


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
    manifest = path / EMBEDDER_FILE
    if not manifest.is_file():
        raise ExportError(
            f"{path}: expected a model folder with {EMBEDDER_FILE}, found none; "
            "make one with: vespa-colbert export CHECKPOINT -o DIR"
        )
    facts = read_facts(manifest, member, kind)
    try:
        data = manifest.read_bytes()
        if check:
            check_seal(data)
        folder = _parse(path, member, facts, json.loads(data.decode("utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{manifest}: not a valid manifest ({error}); export again") from error
    if check and (faults := changed_files(path, folder.files)):
        raise ExportError("model folder is damaged; export again\n  " + "\n  ".join(faults))
    return folder


def states_member(path: Path, member: str) -> bool:
    """Return whether a folder has a manifest with a member; a damaged one has none."""
    try:
        document = json.loads((path / EMBEDDER_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and member in document


def _parse(path: Path, member: str, facts: Facts, document: dict[str, Any]) -> StatedFolder[Facts]:
    """Return the folder that a manifest describes.

    Raises:
        ValueError: If the format is another one, or a file that must be listed is not.
    """
    if document["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {document['format']}")
    files = {name: FileDigest(**digest) for name, digest in document["files"].items()}
    if missing := {MODEL_FILE, TOKENIZER_FILE} - files.keys():
        raise ValueError(f"files lists no {', '.join(sorted(missing))}")
    return StatedFolder(
        path=path,
        member=member,
        facts=facts,
        requested=document["requested"],
        checkpoint=document["checkpoint"],
        versions=document["versions"],
        graph=document["graph"],
        verification=document["verification"],
        differences=tuple(document["differences"]),
        files=files,
    )
