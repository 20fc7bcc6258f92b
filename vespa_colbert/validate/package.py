"""An application package as the checks see it: each part read once, and lazily."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from vespa_colbert.app.reader import Application, read_application, read_schema
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.source import SCHEMA_FOLDERS
from vespa_colbert.embedder.pooling import UNPOOLED, TokenPooling
from vespa_colbert.errors import (
    CheckpointError,
    GraphMismatchError,
    SchemaSyntaxError,
    SpecError,
    VespaColbertError,
)
from vespa_colbert.validate.findings import Fault, Place
from vespa_colbert.validate.model_file import ModelFacts, read_model
from vespa_colbert.validate.queries import QuerySettings, read_query_settings
from vespa_colbert.validate.ranking import Parsed, Profile, profiles_of
from vespa_colbert.validate.services import Component, Services, read_services
from vespa_colbert.validate.tokenizer_of import TokenizerView, read_tokenizer_view
from vespa_colbert.validate.written import Places, read_places

__all__ = ["COLBERT", "HUGGING_FACE", "Package", "place_of_error"]

COLBERT, HUGGING_FACE = "colbert-embedder", "hugging-face-embedder"
MODEL, TOKENIZER = "transformer-model", "tokenizer-model"
PLACED = re.compile(r"(?P<path>[^\n:]+\.(?:sd|profile|xml|expression)):(?P<line>\d+)")

Read = TypeVar("Read")


@dataclass(kw_only=True)
class Package:
    """A package.

    Attributes:
        folder: Where it is.
        unreadable: What could not be read, and therefore was not checked.
        damaged: Models and tokenizers that are none.
        pooling: How whoever feeds the package pools token vectors, as far as that is known.
    """

    folder: Path
    pooling: TokenPooling = UNPOOLED
    unreadable: list[Fault] = field(default_factory=list)
    damaged: list[Fault] = field(default_factory=list)

    @cached_property
    def application(self) -> Application:
        """The schemas that could be read."""
        if not any((self.folder / each).is_dir() for each in SCHEMA_FOLDERS):
            return Application(path=self.folder, schemas=())
        try:
            return read_application(self.folder)
        except VespaColbertError:
            pass
        found = list[Schema]()
        for folder in SCHEMA_FOLDERS:
            for path in sorted((self.folder / folder).glob("*.sd")):
                file = path.relative_to(self.folder).as_posix()
                schema = self._read(lambda path=path: read_schema(path), file)  # type: ignore[misc]
                found += [] if schema is None else [schema]
        return Application(path=self.folder, schemas=tuple(found))

    @cached_property
    def places(self) -> Places:
        """What stands where in the schemas."""
        return read_places(self.application)

    @cached_property
    def parsed(self) -> Parsed:
        """Trees of expressions."""
        return Parsed()

    @cached_property
    def profiles(self) -> tuple[Profile, ...]:
        """The rank profiles of all schemas."""
        return tuple(
            profile
            for schema in self.application.schemas
            for profile in profiles_of(schema, self.places, self.parsed)
        )

    @cached_property
    def services(self) -> Services | None:
        """What services.xml says, ``None`` if it cannot be read."""
        return self._read(lambda: read_services(self.folder), "services.xml")

    @cached_property
    def queries(self) -> QuerySettings:
        """What query profiles give to rank profiles."""
        return read_query_settings(self.folder)

    @cached_property
    def embedders(self) -> tuple[Component, ...]:
        """Embedders that run a transformer."""
        kinds = {COLBERT, HUGGING_FACE}
        components = self.services.components if self.services else ()
        return tuple(each for each in components if each.kind in kinds)

    @cached_property
    def models(self) -> dict[str, ModelFacts]:
        """Path in the package → what the ONNX file says, for embedders whose file is here."""
        return self._files(MODEL, read_model)

    @cached_property
    def tokenizers(self) -> dict[str, TokenizerView]:
        """Path in the package → what the tokenizer says, for components whose file is here."""
        return self._files(TOKENIZER, read_tokenizer_view) | self._files(
            "model", read_tokenizer_view
        )

    def model_of(self, component: Component) -> ModelFacts | None:
        """Return the model of an embedder, ``None`` if it is not in the package or not readable."""
        found = component.settings.get(MODEL)
        return self.models.get(found.path) if found is not None else None

    def tokenizer_of(self, component: Component) -> TokenizerView | None:
        """Return the tokenizer of an embedder, ``None`` if it is not here or not readable."""
        found = component.settings.get(TOKENIZER)
        return self.tokenizers.get(found.path) if found is not None else None

    def _files(self, element: str, read: Callable[[Path], Read]) -> dict[str, Read]:
        found = {}
        components = self.services.components if self.services else ()
        for component in components:
            setting = component.settings.get(element)
            if setting is None or not setting.path or setting.path in found:
                continue
            if element == "model" and component.kind != "hugging-face-tokenizer":
                continue
            path = self.folder / setting.path
            if path.is_file() and path.resolve().is_relative_to(self.folder.resolve()):
                facts = self._read(lambda path=path: read(path), setting.path)  # type: ignore[misc]
                if facts is not None:
                    found[setting.path] = facts
        return found

    def _read(self, read: Callable[[], Read], file: str) -> Read | None:
        """Return what a file says; if it cannot be read, say so once and return ``None``."""
        try:
            return read()
        except (VespaColbertError, OSError) as error:
            place = place_of_error(str(error), self.folder, file)
            if isinstance(error, GraphMismatchError | CheckpointError):
                remedy = "put the file there that the exporter or the library wrote"
                self.damaged.append(Fault(place=place, reason=_first_line(error), remedy=remedy))
            else:
                self.unreadable.append(Fault(place=place, reason=_first_line(error)))
            return None


def place_of_error(message: str, folder: Path, file: str = "") -> Place:
    """Return the place that a message names, else the file."""
    found = PLACED.search(message)
    if found is None:
        return Place(file=file)
    path = Path(found["path"])
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    return Place(file=shown.as_posix(), line=int(found["line"]))


def _first_line(error: Exception) -> str:
    if isinstance(error, SpecError) and error.faults:
        return f"{str(error).splitlines()[0]}: {'; '.join(error.faults)}"
    if isinstance(error, SchemaSyntaxError):
        lines = str(error).splitlines()
        more = [each.strip(" -") for each in lines[1:] if each.startswith("  - ")]
        return "; ".join([lines[0], *more])
    return str(error).splitlines()[0]
