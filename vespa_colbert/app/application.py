"""What an application package says beside its schemas, as values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from vespa_colbert.app.faults import named, repeated
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.texts import cluster_name_fault, dashed_name_fault
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import EmbedderSpec
from vespa_colbert.files import FileDigest

__all__ = [
    "MINIMUM_VESPA_VERSION",
    "ApplicationSpec",
    "Embedder",
    "PackagedFile",
    "RemoteFile",
    "embedder_faults",
]

MINIMUM_VESPA_VERSION = "8.338.38"
"""What Vespa's own ColBERT application asks for. Source: sample-apps, colbert/app/services.xml."""

ATTEND_TO_EXPANSION_SINCE = "8.691.19"
"""First release that knows the element ``attend-to-expansion-tokens``."""

VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,6}\.[0-9]{1,6}")
URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&()*+,;=%-]+")
PACKAGED_PATH = re.compile(r"files/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""Not below ``models/``: whatever stands there, Vespa imports as a model for ranking too, and
refuses the package where it cannot. Source: ImportedMlModels, Vespa 8.700.24."""


ELEMENTS = (
    ("max-tokens", "max_tokens"),
    ("max-query-tokens", "max_query_tokens"),
    ("max-document-tokens", "max_document_tokens"),
    ("transformer-start-sequence-token", "start_id"),
    ("transformer-end-sequence-token", "end_id"),
    ("transformer-mask-token", "mask_id"),
    ("transformer-pad-token", "pad_id"),
    ("query-token-id", "query_marker_id"),
    ("document-token-id", "document_marker_id"),
)
"""Element of services.xml → fact of the embedder. Source: common.rnc, ColBertEmbedder, 8.700.24."""


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
    def reference(self) -> tuple[str, str]:
        """Name and value of the attribute that points Vespa at it."""
        return "path", self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A model file that Vespa's container downloads.

    Attributes:
        url: Where it is published.
    """

    url: str

    @property
    def reference(self) -> tuple[str, str]:
        """Name and value of the attribute that points Vespa at it."""
        return "url", self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """A component of type ``colbert-embedder``.

    Attributes:
        name: Its id, which indexing statements and queries name.
        facts: What it must know beside its two files.
        transformer: The ONNX model.
        tokenizer: The tokenizer file.
        input_ids: Name of the model's input of token ids.
        attention_mask: Name of the model's input of attention.
        output: Name of the model's output.
    """

    name: str
    facts: EmbedderSpec
    transformer: PackagedFile | RemoteFile
    tokenizer: PackagedFile | RemoteFile
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    output: str = "contextual"

    @property
    def elements(self) -> tuple[tuple[str, str], ...]:
        """Name and text of every element but the two files, in the order printed.

        ``attend-to-expansion-tokens`` is only there when it must be: older releases refuse it.
        """
        numbers = ((name, str(getattr(self.facts, fact))) for name, fact in ELEMENTS)
        expansion = (
            () if self.facts.expansion_emitted else (("attend-to-expansion-tokens", "false"),)
        )
        return (
            *numbers,
            *expansion,
            ("transformer-input-ids", self.input_ids),
            ("transformer-attention-mask", self.attention_mask),
            ("transformer-output", self.output),
        )

    @property
    def files(self) -> tuple[PackagedFile, ...]:
        """The files that travel in the package."""
        both = (self.transformer, self.tokenizer)
        return tuple(file for file in both if isinstance(file, PackagedFile))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSpec:
    """An application package to be printed.

    Attributes:
        name: Id of the content cluster and namespace of document ids.
        schemas: At least one.
        embedders: Components that turn text into tensors.
        minimum_vespa_version: Lowest release to accept; raised where an element needs a later one.

    Raises:
        SpecError: With every fault found.
    """

    name: str
    schemas: tuple[Schema, ...]
    embedders: tuple[Embedder, ...] = ()
    minimum_vespa_version: str = MINIMUM_VESPA_VERSION

    def __post_init__(self) -> None:
        if faults := tuple(_faults(self)):
            raise SpecError(f"application {self.name[:80]!r} is not valid", faults)

    @property
    def required_vespa_version(self) -> str:
        """The lowest release that can run the package."""
        needed = [self.minimum_vespa_version]
        if not all(embedder.facts.expansion_emitted for embedder in self.embedders):
            needed.append(ATTEND_TO_EXPANSION_SINCE)
        return max(needed, key=lambda version: [int(part) for part in version.split(".")])

    @property
    def files(self) -> tuple[PackagedFile, ...]:
        """The model files that travel in the package."""
        return tuple(file for embedder in self.embedders for file in embedder.files)


def _faults(spec: ApplicationSpec) -> Iterator[str]:
    """Yield why Vespa would not take the application."""
    yield from named("name", cluster_name_fault(spec.name))
    if not spec.schemas:
        yield "expected at least one schema"
    if not VERSION.fullmatch(spec.minimum_vespa_version):
        yield f"Vespa version: expected one such as 8.338.38, got {spec.minimum_vespa_version!r}"
    yield from repeated("schema", spec.schemas)
    yield from repeated("embedder", spec.embedders)
    for embedder in spec.embedders:
        yield from named(f"embedder {embedder.name[:80]!r}", *embedder_faults(embedder))
    paths = [file.path for file in spec.files]
    yield from (f"two files are to stand at {path}" for path in set(paths) if paths.count(path) > 1)


def embedder_faults(embedder: Embedder) -> Iterator[str]:
    """Yield why Vespa could not take or run the embedder; texts may be empty."""
    yield dashed_name_fault(embedder.name)
    for name in ("input_ids", "attention_mask", "output"):
        yield from named(name, "" if getattr(embedder, name).isprintable() else "not printable")
    for file in (embedder.transformer, embedder.tokenizer):
        yield _file_fault(file)
    yield from _fact_faults(embedder.facts)


def _file_fault(file: PackagedFile | RemoteFile) -> str:
    """Return why a file cannot be pointed at, or an empty text."""
    if isinstance(file, RemoteFile):
        fits = URL.fullmatch(file.url)
        return "" if fits else f"expected an http or https URL, got {file.url[:80]!r}"
    if not PACKAGED_PATH.fullmatch(file.path):
        return f"expected a path such as files/model.onnx, got {file.path[:80]!r}"
    return "" if file.source.is_file() else f"expected a model file, there is none at {file.source}"


def _fact_faults(facts: EmbedderSpec) -> Iterator[str]:
    """Yield facts that no embedder can work with.

    Source: ColBertEmbedder, Vespa 8.700.24: start, marker and end take three places of every text.
    """
    lengths = {"dim", "max_query_tokens", "max_document_tokens", "max_tokens"}
    for each in fields(facts):
        value = getattr(facts, each.name)
        least = 1 if each.name in lengths else 0
        if each.name == "expansion_emitted":
            if not isinstance(value, bool):
                yield f"{each.name}: expected true or false, got {value!r}"
        elif isinstance(value, bool) or not isinstance(value, int) or value < least:
            yield f"{each.name}: expected a whole number of {least} or more, got {value!r}"
        elif "tokens" in each.name and value < 4:
            yield f"{each.name}: expected room for start, marker, end and a token, got {value}"
