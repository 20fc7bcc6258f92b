"""The templates that print a package: the project's own, or a copy that its user changed.

A template's path is its output's path and ``.jinja``. In a folder of the user's, templates that
the project does not have are printed too, and files without that ending are copied as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vespa_colbert.app.texts import decimal
from vespa_colbert.errors import SpecError
from vespa_colbert.files import atomic_folder

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Templates", "eject_templates", "template_root"]

SUFFIX = ".jinja"
RAISED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What an expression of a template can raise."""

OWN_FILES = ("files/", "models/", ".vespa-colbert.json")
"""What only the project itself writes into a package."""


def template_root() -> Path:
    """Return the project's templates: beside the installed package, or in the checkout.

    Raises:
        SpecError: If they are in neither place.
    """
    package = Path(__file__).parent.parent
    places = (package / "_templates", package.parent / "templates")
    for place in places:
        if place.is_dir():
            return place
    raise SpecError(f"expected templates at {places[0]} or {places[1]}; install the package again")


def eject_templates(folder: Path) -> tuple[Path, ...]:
    """Return the templates copied into a new folder, for a user to change.

    Args:
        folder: Where they go; it must not be there, or be empty.

    Raises:
        OutputError: If the folder holds anything, or cannot be written.
    """
    own = template_root()
    with atomic_folder(folder, is_ours=lambda _folder: False) as part:
        shutil.copytree(own, part, dirs_exist_ok=True)
    return tuple(folder / path for path in _files(own))


class Templates:
    """A folder of templates, rendered in a sandbox that can reach nothing but what it is given.

    Args:
        folder: The user's own; the project's when absent.

    Raises:
        SpecError: If there is no such folder, or it holds links.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = template_root() if folder is None else folder
        self.is_own = folder is None
        if not self.folder.is_dir():
            raise SpecError(
                f"{self.folder}: expected a folder of templates, there is none; "
                "make one with: vespa-colbert templates --eject FOLDER"
            )
        self.environment = _own_environment() if self.is_own else _environment(self.folder)

    def render(self, path: str, values: Mapping[str, object]) -> str:
        """Return the text that the template of an output prints.

        Raises:
            SpecError: If the template is missing, asks for what is not there, or prints no XML
                where it should.
        """
        from jinja2 import TemplateError

        name = path + SUFFIX
        try:
            text = self.environment.get_template(name).render(values)
        except (TemplateError, *RAISED) as error:
            raise SpecError(
                f"template {self.folder / name}: {type(error).__name__}: {error}"
            ) from error
        if path.endswith(".xml") and (fault := _xml_fault(text)):
            raise SpecError(f"template {self.folder / name}: {fault}")
        return text

    def additions(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the outputs of templates that the project lacks, and the files to copy as is.

        Raises:
            SpecError: If one would take the place of what the project itself writes, or is a link.
        """
        if self.is_own:
            return (), ()
        known = {path.as_posix() for path in _files(template_root())}
        found = [path.as_posix() for path in _files(self.folder)]
        printed = [path[: -len(SUFFIX)] for path in found if path.endswith(SUFFIX)]
        copied = [path for path in found if not path.endswith(SUFFIX)]
        for path in (*printed, *copied):
            name = path.rpartition("/")[2]
            if name in {"", ".", ".."} or not path.isprintable() or "\\" in path:
                raise SpecError(
                    f"{self.folder}: expected a name that a package takes, got {path!r}"
                )
            if path.startswith(OWN_FILES):
                raise SpecError(f"{self.folder / path}: {path} is written by the project itself")
        more = tuple(path for path in printed if path + SUFFIX not in known)
        return more, tuple(copied)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the path of each file in a folder, relative to it, sorted.

    Raises:
        SpecError: If one is a link.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise SpecError(f"{path}: expected files and folders, got a link; copy what it names")
        if path.is_file():
            yield path.relative_to(folder)


@cache
def _own_environment() -> Environment:
    """Return the sandbox of the project's templates, which are compiled once a process."""
    return _environment(template_root())


def _environment(folder: Path) -> Environment:
    """Return the sandbox in which templates run: a missing name is an error, XML is escaped."""
    from jinja2 import FileSystemLoader, StrictUndefined, select_autoescape
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=(f"xml{SUFFIX}",), default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["decimal"] = decimal
    return environment


def _xml_fault(text: str) -> str:
    """Return why a text is no XML, or has a DOCTYPE, or an empty text."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        return f"prints no valid XML: {error}"
    return "expected no DOCTYPE, got one" if root.getroottree().docinfo.doctype else ""
