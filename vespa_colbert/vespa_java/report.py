"""What the judge says, as plain data that crosses from the worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenIds, TokenVectors
from vespa_colbert.export.dense import DenseFolder
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.model_folder import EmbedderSpec, ModelFolder
from vespa_colbert.tensor import Tensor

__all__ = [
    "ApplicationReport",
    "BlockedChange",
    "ChangeReport",
    "ConfigChange",
    "DenseFiles",
    "DeployMessage",
    "EmbedderComponent",
    "EmbedderFiles",
    "JavaEmbedding",
    "JavaQuery",
    "JavaVector",
    "Properties",
]

Properties: TypeAlias = tuple[tuple[str, str], ...]
"""Name → value pairs of one derived rank profile, in Vespa's order; a name may occur again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployMessage:
    """One message of Vespa's deploy log.

    Attributes:
        level: Java's word: INFO, WARNING, SEVERE.
        text: The message.
    """

    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationReport:
    """Vespa's judgement of an application package.

    Attributes:
        folder: The package.
        vespa_version: The release that judged.
        errors: Why Vespa refuses it: the exception's message and that of every cause, outermost
            first. Empty: Vespa accepts it.
        messages: The deploy log.
        not_checked: What ``vespa deploy`` checks and could not be checked here.
        profiles: Schema → rank profile → what Vespa derived from it for the content nodes; empty
            when the package is refused.
        written: Schema → rank profile → what Vespa read, inheritance followed and nothing
            compiled: functions, phases, inputs, constants, models; empty when it is refused.
    """

    folder: Path
    vespa_version: str
    errors: tuple[str, ...] = ()
    messages: tuple[DeployMessage, ...] = ()
    not_checked: tuple[str, ...] = ()
    profiles: Mapping[str, Mapping[str, Properties]] = field(default_factory=dict)
    written: Mapping[str, Mapping[str, Properties]] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether ``vespa deploy`` would take the package."""
        return not self.errors

    @property
    def warnings(self) -> tuple[str, ...]:
        """The deploy log's warnings."""
        return tuple(each.text for each in self.messages if each.level in {"WARNING", "SEVERE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """What one change of a package asks for before it has its effect.

    Attributes:
        kind: ``reindex``, ``refeed`` or ``restart``.
        message: What changes, in Vespa's words.
        override: The validation that Vespa refuses it by, empty if by none.
        document_type: The documents to index or feed again; empty for a restart.
        services: The services that it is about.
    """

    kind: str
    message: str
    override: str = ""
    document_type: str = ""
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedChange:
    """Changes that Vespa refuses until an override allows them.

    Attributes:
        override: What validation-overrides.xml must allow: ``field-type-change``.
        meaning: What that allows, in Vespa's words.
        messages: What changes.
    """

    override: str
    meaning: str
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeReport:
    """Vespa's judgement of deploying a package where another one runs.

    Attributes:
        old: The package that runs.
        new: The package that is to be deployed.
        vespa_version: The release that judged.
        errors: Why Vespa refuses the new package whatever is allowed.
        changes: What must be done about them.
        blocked: What Vespa refuses without an override.
        messages: The deploy log.
        not_checked: What ``vespa deploy`` checks and could not be checked here.
    """

    old: Path
    new: Path
    vespa_version: str
    errors: tuple[str, ...] = ()
    changes: tuple[ConfigChange, ...] = ()
    blocked: tuple[BlockedChange, ...] = ()
    messages: tuple[DeployMessage, ...] = ()
    not_checked: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether ``vespa deploy`` would take the new package as it is."""
        return not self.errors and not self.blocked

    @property
    def overrides(self) -> tuple[str, ...]:
        """What validation-overrides.xml must allow beside what it does."""
        return tuple(each.override for each in self.blocked)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderFiles:
    """An embedder as its files and facts describe it.

    Attributes:
        model: The ONNX file.
        tokenizer: The tokenizer file.
        spec: What the component would be configured with.
    """

    model: Path
    tokenizer: Path
    spec: EmbedderSpec

    @classmethod
    def of(cls, folder: ModelFolder) -> EmbedderFiles:
        """Return the embedder of a model folder."""
        return cls(model=folder.model_path, tokenizer=folder.tokenizer_path, spec=folder.embedder)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseFiles:
    """An embedder of whole texts as its files and facts describe it.

    Attributes:
        model: The ONNX file.
        tokenizer: The tokenizer file.
        spec: What the component would be configured with.
    """

    model: Path
    tokenizer: Path
    spec: DenseSpec

    @classmethod
    def of(cls, folder: DenseFolder) -> DenseFiles:
        """Return the embedder of a model folder."""
        return cls(model=folder.model_path, tokenizer=folder.tokenizer_path, spec=folder.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderComponent:
    """An embedder as services.xml configures it: Vespa reads the package, we only name it.

    Attributes:
        folder: The application package.
        component_id: The ``id`` of its ``<component>``.
        models: Web address → local copy, for files given by ``url=``; nothing is downloaded.
    """

    folder: Path
    component_id: str
    models: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaQuery:
    """A request for hits as Vespa's container read it.

    Attributes:
        yql: The statement, as Vespa prints what it parsed.
        profile: Name of the rank profile.
        inputs: Rank feature, as ``query(qt)`` → its value.
    """

    yql: str
    profile: str
    inputs: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaEmbedding:
    """One text as Vespa's embedder made it.

    Attributes:
        token_ids: (token,) int64, what the encoder was given, mask padding included.
        attention_mask: (token,) int64, what the encoder was given.
        contextual: (token, dim) float32, what the encoder answered; its rows may be more than
            the tensor has.
        tensor: The value of the destination.
    """

    token_ids: TokenIds
    attention_mask: NDArray[np.int64]
    contextual: TokenVectors
    tensor: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaVector:
    """One text as Vespa's embedder of whole texts made it.

    Attributes:
        token_ids: (token,) int64, what the encoder was given.
        output: What the graph answered: (token, width) float32, or (width,) where it pools.
        tensor: The value of the destination.
    """

    token_ids: TokenIds
    output: NDArray[np.float32]
    tensor: Tensor
