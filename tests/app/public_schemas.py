"""Application packages around schemas that stand in a folder, whatever layout it has."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SchemaFiles", "schema_files", "write_package"]

NAME = re.compile(r"^\s*(schema|search|document)\s+(\w+)", re.MULTILINE)
PARENTS = re.compile(r"(?:schema|search|document)\s+\w+\s+inherits\s+([\w, ]+)")
REFERENCE = re.compile(r"reference\s*<\s*(\w+)\s*>")
EMBEDDER = re.compile(r"\bembed\s+([\w-]+)")
SCHEMA_FOLDERS = {"schemas", "searchdefinitions"}
NOT_BROUGHT = {".sd", ".profile", ".xml", ".cfg", ".jar", ".class", ".def"}
LARGEST_FILE = 2_000_000
MOST_SCHEMAS = 40
"""A folder with more is a heap of schemas, not a package with files for them."""

SERVICES = """<services version="1.0">
  <container id="default" version="1.0"><search/><document-api/>{components}</container>
  <content id="content" version="1.0">
    <redundancy>1</redundancy>
    <documents>{documents}</documents>
    <nodes><node distribution-key="0" hostalias="node"/></nodes>
  </content>
</services>
"""
HOSTS = '<hosts><host name="localhost"><alias>node</alias></host></hosts>'
DOCUMENT = '<document type="{name}" mode="index" global="{is_global}"/>'
COMPONENT = (
    '<component id="{id}" type="hugging-face-embedder">'
    '<transformer-model url="https://example.com/model.onnx"/>'
    '<tokenizer-model url="https://example.com/tokenizer.json"/></component>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaFiles:
    """A schema with those that it inherits or refers to.

    Attributes:
        name: Name of the schema.
        folder: Where they stand.
        files: Name → file of each, the schema itself first.
    """

    name: str
    folder: Path
    files: Mapping[str, Path]


def schema_files(root: Path) -> Iterator[SchemaFiles]:
    """Yield each schema below a folder, equal ones once."""
    seen = set()
    for folder in sorted({path.parent for path in root.rglob("*.sd")}):
        known: dict[str, Path] = {}
        for path in sorted(folder.glob("*.sd")):
            if found := NAME.search(_text(path)):
                known.setdefault(found[2], path)
        for name in known:
            files = {each: known[each] for each in _needed(name, known, [])}
            texts = tuple(_text(path) for path in files.values())
            if texts not in seen:
                seen.add(texts)
                yield SchemaFiles(name=name, folder=folder, files=files)


def write_package(schema: SchemaFiles, app: Path) -> Path:
    """Return a folder with an application package that has the schema and the files it names."""
    for name, path in schema.files.items():
        target = app / "schemas" / f"{name}.sd"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        for folder in {schema.folder / name, schema.folder / path.stem}:
            for profile in folder.rglob("*.profile"):
                _copy(profile, app / "schemas" / name / profile.relative_to(folder))
    _bring_files(schema.folder, app)
    texts = {name: _text(path) for name, path in schema.files.items()}
    referred = {name for text in texts.values() for name in REFERENCE.findall(text)}
    embedders = {name for text in texts.values() for name in EMBEDDER.findall(text)}
    documents = "".join(
        DOCUMENT.format(name=name, is_global=str(name in referred).lower())
        for name, text in texts.items()
        if (found := NAME.search(text)) and found[1] != "document"
    )
    components = "".join(COMPONENT.format(id=name) for name in sorted(embedders))
    (app / "services.xml").write_text(SERVICES.format(documents=documents, components=components))
    (app / "hosts.xml").write_text(HOSTS)
    return app


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _needed(name: str, known: Mapping[str, Path], found: list[str]) -> list[str]:
    """Return a schema and those that it inherits or refers to, added to what was found."""
    if name in found or name not in known:
        return found
    found.append(name)
    text = _text(known[name])
    parents = [each for names in PARENTS.findall(text) for each in re.split(r"[ ,]+", names)]
    for each in (*parents, *REFERENCE.findall(text)):
        _needed(each, known, found)
    return found


def _bring_files(folder: Path, app: Path) -> None:
    """Copy the files that schemas name: models, constants, expressions."""
    root = folder.parent if folder.name in SCHEMA_FOLDERS else folder
    if len(list(folder.glob("*.sd"))) > MOST_SCHEMAS:
        root = folder
    for path in root.rglob("*"):
        place = path.relative_to(root)
        if not path.is_file() or path.suffix in NOT_BROUGHT or path.stat().st_size > LARGEST_FILE:
            continue
        if path.suffix == ".expression":
            _copy(path, app / "schemas" / path.name)
        elif place.parts[0] not in SCHEMA_FOLDERS:
            _copy(path, app / place)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
