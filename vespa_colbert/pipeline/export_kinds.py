"""What a kind of model has to bring so that ``export`` takes it: one row of ``export.KINDS``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vespa_colbert import __version__
from vespa_colbert.checkpoint import ReadOptions
from vespa_colbert.errors import ExportError, SpecError
from vespa_colbert.export import ExportOptions
from vespa_colbert.export.model_folder import ExportedFolder
from vespa_colbert.pipeline.reporter import Made, Reporter

__all__ = ["ExportKind", "ExportRequest", "WrittenModel", "made_or_standing", "serves"]

Folder = TypeVar("Folder", bound=ExportedFolder)


class WrittenModel(Protocol):
    """A model folder of any kind."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def summary(self) -> str:
        """What there is to say of it, in one sentence."""

    def manifest(self) -> str:
        """Return the text of ``embedder.json``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is to become a model folder.

    Attributes:
        checkpoint: A folder, or a name on the Hub.
        output: The model folder; reused where it is whole and was made by this version from the
            same files and facts to the same request.
        export: How it is to be packaged and written.
        options: What the user allows and states of a checkpoint, whatever its kind.
        stated: Fact → what the user states of it, for facts that some kinds alone have.
    """

    checkpoint: Path
    output: Path
    export: ExportOptions = field(default_factory=ExportOptions)
    options: ReadOptions = field(default_factory=ReadOptions)
    stated: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportKind:
    """A kind of model that can be exported.

    Attributes:
        name: As ``--kind`` calls it.
        signs: Local folder and options → what in it says that it is of this kind, empty if nothing
            does. Looks at names and configs only.
        export: Reads the checkpoint, and converts it unless what stands there still serves.
        facts: Names of the facts that may be stated of this kind beside ``ReadOptions``.
    """

    name: str
    signs: Callable[[Path, ReadOptions], str]
    export: Callable[[ExportRequest, Reporter], Made[Any]]
    facts: frozenset[str] = frozenset()


def made_or_standing(
    output: Path,
    read: Callable[[Path], Folder],
    is_wanted: Callable[[Folder], bool],
    make: Callable[[], Folder],
) -> Made[Folder]:
    """Return the model folder at an output: the one that stands there, or a new one.

    Args:
        output: Where it is, or will be.
        read: Reads a folder of the kind that is wanted.
        is_wanted: Whether a folder that is whole is what would be written.
        make: Writes it.
    """
    standing: Folder | None = None
    with contextlib.suppress(ExportError, SpecError):
        standing = read(output)
    if standing is not None and is_wanted(standing):
        return Made(value=standing, reused=True)
    return Made(value=make(), reused=False)


def serves(standing: ExportedFolder, described: Mapping[str, Any], wanted: ExportOptions) -> bool:
    """Return whether a model folder was made by this version from these files as it is wanted.

    What the kind of model has of its own is not looked at.

    Args:
        standing: The folder.
        described: ``files`` and ``facts`` of the checkpoint, as a manifest has them.
        wanted: How it is to be written.
    """
    graph = standing.graph
    return (
        (standing.is_verified or not wanted.verify)
        and standing.checkpoint.get("files") == described["files"]
        and standing.checkpoint.get("facts") == described["facts"]
        and graph.get("opset") == wanted.opset
        and graph.get("dtype") == wanted.dtype
        and graph.get("target", {}).get("vespa") == wanted.vespa_version
        and standing.versions.get("vespa-colbert") == __version__
    )
