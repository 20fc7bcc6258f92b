"""What the tables of a recipe share: strict keys, and the kinds of values that they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo

from vespa_colbert.app import MINIMUM_VESPA_VERSION
from vespa_colbert.app.application import VERSION
from vespa_colbert.app.component import URL
from vespa_colbert.app.texts import cluster_name_fault, dashed_name_fault, schema_name_fault
from vespa_colbert.checkpoint.hub import HUB_NAME

__all__ = [
    "LARGEST",
    "CheckpointPath",
    "ClusterName",
    "Measure",
    "ProfileName",
    "RecipePath",
    "SchemaName",
    "Table",
    "Url",
    "Version",
    "each_at_most_once",
    "each_once",
]

LARGEST = 2**31 - 1
"""The largest whole number that Vespa reads."""


def _path(value: object, info: ValidationInfo) -> Path:
    """Return a path, taken relative to the recipe's folder.

    Raises:
        ValueError: If the value is no path.
    """
    if not isinstance(value, str | Path):
        raise ValueError(f"expected a text in quotes, got {value!r}")  # noqa: TRY004 - for pydantic
    if not str(value).strip() or not str(value).isprintable():
        raise ValueError(f"expected a path, got {value!r}")
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / value


def _path_or_hub_name(value: object, info: ValidationInfo) -> Path:
    """Return a path as ``_path`` does, or the name of a model on the Hub as it stands."""
    path = _path(value, info)
    is_name = HUB_NAME.fullmatch(str(value)) is not None
    return Path(str(value)) if is_name and not path.exists() else path


def _checked(fault_of: Callable[[str], str]) -> AfterValidator:
    """Return a validator that refuses a text with what a check says of it."""

    def check(value: str) -> str:
        if fault := fault_of(value):
            raise ValueError(fault)
        return value

    return AfterValidator(check)


def _version_fault(value: str) -> str:
    fits = VERSION.fullmatch(value)
    return "" if fits else f"expected a version such as {MINIMUM_VESPA_VERSION}, got {value!r}"


def _url_fault(value: str) -> str:
    fits = not value or URL.fullmatch(value)
    return "" if fits else f"expected an http or https URL, got {value!r}"


def each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values unchanged.

    Raises:
        ValueError: If there is none, or one stands twice.
    """
    if not values or len(set(values)) < len(values):
        raise ValueError(f"expected at least one, and each once, got {list(values)}")
    return values


def each_at_most_once(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values unchanged; there may be none.

    Raises:
        ValueError: If one stands twice.
    """
    return each_once(values) if values else values


RecipePath = Annotated[Path, PlainValidator(_path)]
CheckpointPath = Annotated[Path, PlainValidator(_path_or_hub_name)]
SchemaName = Annotated[str, _checked(schema_name_fault)]
ClusterName = Annotated[str, _checked(cluster_name_fault)]
ProfileName = Annotated[str, _checked(dashed_name_fault)]
Version = Annotated[str, _checked(_version_fault)]
Url = Annotated[str, _checked(_url_fault)]
Measure = Annotated[str, Field(pattern=r"^[A-Za-z]+(\([^()]*\))?(@[1-9][0-9]*)?$")]


class Table(BaseModel):
    """A table of the recipe: no other keys, no conversions, nothing changed afterwards."""

    model_config = ConfigDict(
        alias_generator=lambda name: name.replace("_", "-"),
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
    )
