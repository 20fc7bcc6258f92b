"""The model folder: ``model.onnx``, ``tokenizer.json`` and ``embedder.json``, which says it all.

Reading one needs no torch and no onnxruntime, so that packages can be generated without them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vespa_colbert.errors import ExportError
from vespa_colbert.export.seal import check_seal, sealed
from vespa_colbert.files import FileDigest, atomic_folder, changed_files

__all__ = [
    "EMBEDDER_FILE",
    "FORMAT",
    "MODEL_FILE",
    "TOKENIZER_FILE",
    "EmbedderSpec",
    "ExportedFolder",
    "ModelFolder",
    "check_exported",
    "new_model_folder",
    "read_exported",
    "read_model_folder",
    "shared_members",
]

logger = logging.getLogger(__name__)

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
EMBEDDER_FILE = "embedder.json"
FORMAT = 1

Folder = TypeVar("Folder", bound="ExportedFolder")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSpec:
    """What an embedder must know beside the two files: rendered into services.xml, used locally.

    Attributes:
        dim: Width of a token vector, in components.
        start_id: Id put first ([CLS]).
        end_id: Id put last ([SEP]).
        mask_id: Id that fills a query up to ``max_query_tokens``.
        pad_id: Id of padding.
        query_marker_id: Id after the start token of a query.
        document_marker_id: Id after the start token of a document.
        max_query_tokens: Tokens of a query, start, marker and end included.
        max_document_tokens: Tokens of a document, start, marker and end included.
        max_tokens: Positions of the encoder, in tokens.
        expansion_emitted: Whether rows of mask padding are part of the query tensor
            (``attend-to-expansion-tokens``; Vespa never attends to them either way).

    Source: col-bert-embedder.def, Vespa 8.700.24.
    """

    dim: int
    start_id: int
    end_id: int
    mask_id: int
    pad_id: int
    query_marker_id: int
    document_marker_id: int
    max_query_tokens: int
    max_document_tokens: int
    max_tokens: int
    expansion_emitted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFolder:
    """What the manifest of every model folder says, whatever the kind of model.

    Attributes:
        path: The folder.
        checkpoint: Where the model came from: name, layout, encoder, facts, provenance, files.
        versions: Library name → version that made the files.
        graph: Opset, IR version, axis names, dtype, and the Vespa release that it is made for.
        verification: What was compared with torch before the files got their names.
        files: File name → sha256 and size.
    """

    path: Path
    checkpoint: Mapping[str, Any]
    versions: Mapping[str, str]
    graph: Mapping[str, Any]
    verification: Mapping[str, Any]
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
    def comparison(self) -> str:
        """What came of the comparison with torch, in a few words."""
        if not self.is_verified:
            return "not checked against torch"
        cases = self.verification["cases"]
        worst = max(case["worst"] for case in cases)
        return f"largest difference to torch {worst:.1e} on {len(cases)} shapes"

    def sealed_manifest(self, own: Mapping[str, Any]) -> str:
        """Return the text of ``embedder.json``, its own checksum at the end.

        Args:
            own: What the kind of model has besides what every manifest says.
        """
        document = {
            "format": FORMAT,
            **own,
            "checkpoint": dict(self.checkpoint),
            "graph": dict(self.graph),
            "verification": dict(self.verification),
            "versions": dict(self.versions),
            "files": {name: asdict(digest) for name, digest in sorted(self.files.items())},
        }
        return sealed(json.dumps(document, indent=2, ensure_ascii=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder(ExportedFolder):
    """A model folder of a late-interaction model, as its manifest describes it.

    Its verification has the ``effect`` of all differences together, too.

    Attributes:
        embedder: What services.xml and the local embedder are made from.
        packaging: ``native`` (the plain graph) or ``exact`` (the library's semantics built in).
        requested: What was asked for, ``auto`` included.
        reason: Why it is that packaging.
        differences: Where Vespa's embedder differs from the training library all the same, each
            with its ``effect`` on sample texts, or None and why it is ``not_measured``.
    """

    embedder: EmbedderSpec
    packaging: str
    requested: str = "auto"
    reason: str = ""
    differences: tuple[Mapping[str, Any], ...] = ()

    @property
    def has_drift(self) -> bool:
        """Whether a difference changes scores or the dtype loses too much, which was accepted."""
        faults = self.verification.get("loss", {}).get("faults")
        return bool(faults) or not all(each["faithful"] for each in self.differences)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Narrower widths that the model was trained for, as its checkpoint states them."""
        stated = self.checkpoint.get("facts", {}).get("cuts", ())
        return tuple(width for width in stated if width < self.embedder.dim)

    def manifest(self) -> str:
        """Return the text of ``embedder.json``, its own checksum at the end."""
        return self.sealed_manifest({
            "packaging": self.packaging,
            "requested": self.requested,
            "reason": self.reason,
            "differences": [dict(each) for each in self.differences],
            "embedder": asdict(self.embedder),
        })


def read_model_folder(path: Path, *, check: bool = True) -> ModelFolder:
    """Return a model folder after checking every file against the manifest's sha256.

    Args:
        path: The folder that ``export`` wrote.
        check: Whether to read all files and compare their checksums.

    Raises:
        ExportError: If there is no folder, no manifest, a fact is missing, or a file changed.
    """
    return read_exported(path, _parse, check=check)


def read_exported(
    path: Path, parse: Callable[[Path, dict[str, Any]], Folder], *, check: bool = True
) -> Folder:
    """Return a model folder of any kind after checking every file against the manifest's sha256.

    Args:
        path: The folder that ``export`` wrote.
        parse: Makes one of the folder and its manifest; what a kind of model has of its own.
        check: Whether to read all files and compare their checksums.

    Raises:
        ExportError: If there is no folder, no manifest, a fact is missing, or a file changed.
    """
    manifest = path / EMBEDDER_FILE
    check_exported(path)
    try:
        data = manifest.read_bytes()
        if check:
            check_seal(data)
        document = json.loads(data.decode("utf-8"))
        _check_format(document)
        folder = parse(path, document)
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{manifest}: not a valid manifest ({error}); export again") from error
    if check and (faults := changed_files(path, folder.files)):
        raise ExportError("model folder is damaged; export again\n  " + "\n  ".join(faults))
    return folder


def check_exported(path: Path) -> None:
    """Return nothing if there is a folder with a manifest.

    Raises:
        ExportError: If not.
    """
    if not (path / EMBEDDER_FILE).is_file():
        what = "this folder has none" if path.is_dir() else "there is no such folder"
        raise ExportError(
            f"{path}: expected a model folder with {EMBEDDER_FILE}, {what}; "
            "make one with: vespa-colbert export CHECKPOINT -o DIR"
        )


def shared_members(path: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of ``ExportedFolder``, as a manifest has them.

    Raises:
        ValueError: If a file that must be listed is not.
        KeyError: If one is missing.
    """
    names = ("checkpoint", "versions", "graph", "verification")
    members = {name: document[name] for name in names}
    return {"path": path, **members, "files": _stated_files(document)}


def _stated_files(document: Mapping[str, Any]) -> dict[str, FileDigest]:
    """Return the files that a manifest lists.

    Raises:
        ValueError: If one that must be listed is not.
    """
    files = {name: FileDigest(**digest) for name, digest in document["files"].items()}
    if missing := {MODEL_FILE, TOKENIZER_FILE} - files.keys():
        raise ValueError(f"files lists no {', '.join(sorted(missing))}")
    return files


def _check_format(document: Mapping[str, Any]) -> None:
    """Return nothing if a manifest is of the format that is read here.

    Raises:
        ValueError: If it is another one.
    """
    if document["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {document['format']}")


@contextmanager
def new_model_folder(output: Path) -> Iterator[Path]:
    """Yield a folder to write the three files into; it gets its name when that is done.

    Args:
        output: The final folder; a model folder that stands there is replaced.

    Yields:
        The folder as it is being written.
    """
    started = time.monotonic()
    with atomic_folder(output, is_ours=lambda there: (there / EMBEDDER_FILE).is_file()) as part:
        yield part
    logger.info("%s: converted and checked in %.1f s", output, time.monotonic() - started)


def _parse(path: Path, document: dict[str, Any]) -> ModelFolder:
    """Return the folder a manifest describes.

    Raises:
        ValueError: If it is of another kind of model.
    """
    if "embedder" not in document:
        raise ValueError("expected the facts of token vectors under embedder, got another kind")
    return ModelFolder(
        **shared_members(path, document),
        embedder=EmbedderSpec(**document["embedder"]),
        packaging=document["packaging"],
        requested=document["requested"],
        reason=document["reason"],
        differences=tuple(document["differences"]),
    )
