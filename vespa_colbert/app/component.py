"""Components of the container, and the files of models that they read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vespa_colbert.files import FileDigest

__all__ = [
    "URL",
    "Component",
    "Element",
    "ModelFile",
    "PackagedFile",
    "Pairs",
    "RemoteFile",
    "file_fault",
]

Pairs = tuple[tuple[str, str], ...]
"""Names with a text each, in the order printed."""

URL = re.compile(
    r"https?://[A-Za-z0-9](?:[A-Za-z0-9._~:/?@!$&()*+,;=-]|%[0-9A-Fa-f]{2})*"
    r"(?:#(?:[A-Za-z0-9._~:/?@!$&()*+,;=-]|%[0-9A-Fa-f]{2})*)?"
)
"""What java.net.URI takes of an address."""
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
PACKAGED_PATH = re.compile(r"files/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""Not below ``models/``: whatever stands there, Vespa imports as a model for ranking too, and
refuses the package where it cannot. Source: ImportedMlModels, Vespa 8.700.24."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element of services.xml.

    Attributes:
        name: Its name.
        text: What stands in it, if no elements do.
        children: Elements in it.
    """

    name: str
    text: str = ""
    children: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedFile:
    """A model file that travels in the package.

    Attributes:
        path: Where it stands in the package: ``files/model.onnx``.
        source: The file to put there.
        digest: Its sha256 and size where they are known already.
    """

    path: str
    source: Path
    digest: FileDigest | None = None

    @property
    def attributes(self) -> Pairs:
        """What points Vespa at it in services.xml."""
        return (("path", self.path),)

    @property
    def place(self) -> str:
        """Where it is, for a reader."""
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A model file that Vespa's container downloads.

    Attributes:
        url: Where it is published; empty for a model that Vespa Cloud has.
        model_id: Vespa Cloud's name of the model; it goes before the url there.
        secret_ref: Name of the secret that the download is authorised with.
    """

    url: str = ""
    model_id: str = ""
    secret_ref: str = ""

    @property
    def attributes(self) -> Pairs:
        """What points Vespa at it in services.xml."""
        given = {"model-id": self.model_id, "url": self.url, "secret-ref": self.secret_ref}
        return tuple((name, value) for name, value in given.items() if value)

    @property
    def place(self) -> str:
        """Where it is, for a reader."""
        return self.url or f"{self.model_id} of Vespa Cloud"


ModelFile = PackagedFile | RemoteFile


class Component(Protocol):
    """What services.xml says of a component of the container."""

    @property
    def name(self) -> str:
        """Its id, which indexing statements and queries name."""
        ...

    @property
    def type(self) -> str:
        """Vespa's name of its kind: ``colbert-embedder``."""
        ...

    @property
    def models(self) -> tuple[tuple[str, ModelFile], ...]:
        """Element → the file that it points at, in the order printed."""
        ...

    @property
    def elements(self) -> tuple[Element, ...]:
        """Every other element, in the order printed."""
        ...

    @property
    def runs_onnx(self) -> bool:
        """Whether it runs a model, so that it takes the elements of ONNX Runtime."""
        ...

    @property
    def since(self) -> str:
        """The first release that takes every element, or empty where any does."""
        ...

    @property
    def summary(self) -> str:
        """What it does, in a sentence for the package's README."""
        ...

    def faults(self) -> Iterator[str]:
        """Yield why Vespa could not take or run it; texts may be empty."""
        ...


def file_fault(file: ModelFile) -> str:
    """Return why a file cannot be pointed at, or an empty text."""
    if isinstance(file, RemoteFile):
        return _remote_fault(file)
    if not PACKAGED_PATH.fullmatch(file.path):
        return f"expected a path such as files/model.onnx, got {file.path[:80]!r}"
    return "" if file.source.is_file() else f"expected a model file, there is none at {file.source}"


def _remote_fault(file: RemoteFile) -> str:
    """Return why Vespa could not find or fetch a file, or an empty text."""
    for name in ("model_id", "secret_ref"):
        text = getattr(file, name)
        if text and not IDENTIFIER.fullmatch(text):
            return f"{name}: expected letters, digits, _, . and -, got {text[:80]!r}"
    if file.model_id and not file.url:
        return ""
    fits = URL.fullmatch(file.url)
    return "" if fits else f"expected an http or https URL, got {file.url[:80]!r}"
