"""Prints an application package: every file from its template, models beside, a manifest last."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vespa_colbert.app.application import ApplicationSpec
from vespa_colbert.app.component import PackagedFile
from vespa_colbert.app.expressions import (
    ParseExpression,
    check_printed,
    with_parsed_expressions,
)
from vespa_colbert.app.query import Query
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.templates import Templates
from vespa_colbert.errors import OutputError, SpecError
from vespa_colbert.files import FileDigest, atomic_folder, changed_files, digest_file

__all__ = [
    "MANIFEST_FILE",
    "ApplicationPackage",
    "may_be_replaced",
    "read_package",
    "render_app",
    "render_schema",
]

MANIFEST_FILE = ".vespa-colbert.json"
FORMAT = 1
SCHEMA_TEMPLATE = "schemas/schema.sd"
QUERY_PROFILES = "search/query-profiles/"
QUERY_PROFILE = f"{QUERY_PROFILES}query-profile.xml"
MODEL_FOLDER = "files/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationPackage:
    """A package on disk, as its manifest describes it.

    Attributes:
        path: The folder.
        name: The application's name.
        files: Path in the package → sha256 and size, the manifest itself left out.
        queries: How its rank profiles are asked.
        fed: Tensor field that whoever feeds fills → the indexing statement that says with what, or
            of which text where another model or a codec makes it.
    """

    path: Path
    name: str
    files: Mapping[str, FileDigest]
    queries: tuple[Query, ...] = ()
    fed: Mapping[str, str] = field(default_factory=dict)

    @property
    def schemas(self) -> tuple[Path, ...]:
        """Paths of the schema files."""
        return tuple(self.path / name for name in sorted(self.files) if name.endswith(".sd"))

    def manifest(self) -> str:
        """Return the text of the manifest."""
        files = {name: asdict(digest) for name, digest in sorted(self.files.items())}
        document = {
            "format": FORMAT,
            "application": self.name,
            "queries": {each.profile: each.to_json() for each in self.queries},
            "fed": dict(self.fed),
            "files": files,
        }
        return json.dumps(document, indent=2) + "\n"


def render_app(
    spec: ApplicationSpec, output: Path, *, parse: ParseExpression, templates: Path | None = None
) -> ApplicationPackage:
    """Return the package that was printed into a folder.

    Args:
        spec: What to print.
        output: The folder. A package of ours that stands there, unchanged, is replaced whole.
        parse: Reads rank expressions, which are printed from their trees: ``parse_expression`` of
            the ranking language.
        templates: Folder of templates; the project's own when absent. They are rendered in a
            sandbox and can reach nothing but the spec.

    Raises:
        SpecError: If an expression cannot be read, or a template is missing or asks for what is
            not there.
        OutputError: If the folder cannot be written or holds anything that is not ours.
    """
    spec, printer = with_parsed_expressions(spec, parse), Templates(templates)
    texts = _texts(spec, printer)
    others = (*printer.additions()[1], *(file.path for file in spec.files), MANIFEST_FILE)
    _check_apart([*texts, *others], printer.folder)
    with atomic_folder(output, is_ours=may_be_replaced) as folder:
        files = {path: _write(folder / path, text) for path, text in texts.items()}
        files |= _copy(printer, folder)
        files |= {file.path: _place(file, folder) for file in spec.files}
        if not printer.is_own:
            check_printed(folder, parse, output)
        package = ApplicationPackage(
            path=output, name=spec.name, files=files, queries=spec.queries, fed=dict(spec.fed)
        )
        _write(folder / MANIFEST_FILE, package.manifest())
    return package


def render_schema(schema: Schema, *, templates: Path | None = None) -> str:
    """Return the text of a schema's ``.sd`` file.

    Args:
        schema: What to print.
        templates: Folder of templates; the project's own when absent.

    Raises:
        SpecError: If the template is missing or asks for what is not there.
    """
    return Templates(templates).render(SCHEMA_TEMPLATE, {"schema": schema})


def read_package(folder: Path, *, check: bool = True) -> ApplicationPackage:
    """Return a package that ``render_app`` printed.

    Args:
        folder: The package.
        check: Whether to read all files and compare their checksums.

    Raises:
        SpecError: If the folder is no package of ours, or a file is missing or differs.
    """
    manifest = folder / MANIFEST_FILE
    try:
        package = _parse_manifest(folder, json.loads(manifest.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SpecError(
            f"{folder}: expected an application package with {MANIFEST_FILE}, there is none; "
            "make one with: vespa-colbert generate"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"{manifest}: not a valid manifest ({error}); generate again") from error
    if check and (faults := tuple(changed_files(folder, package.files))):
        raise SpecError(f"{folder}: files differ from what was generated", faults)
    return package


def _parse_manifest(folder: Path, document: dict[str, Any]) -> ApplicationPackage:
    """Return the package that a manifest describes.

    Raises:
        ValueError: If the format is another one.
    """
    if document["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {document['format']}")
    files = {str(name): FileDigest(**each) for name, each in document["files"].items()}
    queries = document.get("queries", {})
    return ApplicationPackage(
        path=folder,
        name=str(document["application"]),
        files=files,
        queries=tuple(Query.from_json(str(name), each) for name, each in queries.items()),
        fed={str(name): str(each) for name, each in document.get("fed", {}).items()},
    )


def _texts(spec: ApplicationSpec, templates: Templates) -> dict[str, str]:
    """Return path in the package → text of every file that is printed."""
    texts = {
        f"schemas/{schema.name}.sd": templates.render(SCHEMA_TEMPLATE, {"schema": schema})
        for schema in spec.schemas
    }
    for query in spec.profiled_queries:
        values = {"application": spec, "query": query, "schema": spec.schemas[0]}
        texts[f"{QUERY_PROFILES}{query.profile}.xml"] = templates.render(QUERY_PROFILE, values)
    own, more = (*texts, *_single_files(spec)), templates.additions()[0]
    _check_apart([*own, *more], templates.folder)
    for path in (*_single_files(spec), *more):
        texts[path] = templates.render(path, {"application": spec})
    return texts


def _check_apart(paths: Sequence[str], templates: Path) -> None:
    """Return nothing if files can stand in one package together.

    Raises:
        SpecError: If one would take the place of another, or of a folder of it.
    """
    folders = {above.as_posix() for path in paths for above in PurePosixPath(path).parents}
    for place, path in enumerate(paths):
        if path in folders or path in paths[:place]:
            raise SpecError(f"{templates}: {path!r} takes the place of another file of the package")


def _single_files(spec: ApplicationSpec) -> Iterator[str]:
    """Yield the files of which a package has one, or none."""
    yield from ("services.xml", "README.md")
    if spec.nodes.hosts:
        yield "hosts.xml"
    if spec.cloud and spec.cloud.regions:
        yield "deployment.xml"


def _copy(templates: Templates, folder: Path) -> dict[str, FileDigest]:
    """Return path → digest of the user's files that go into the package as they are."""
    copied = {}
    for path in templates.additions()[1]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(templates.folder / path, folder / path)
        copied[path] = digest_file(folder / path)
    return copied


def _write(path: Path, text: str) -> FileDigest:
    """Return the digest of a text file just written, lines ended by LF alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
    return digest_file(path)


def _place(file: PackagedFile, folder: Path) -> FileDigest:
    """Return the digest of a model file just linked into the package, or copied."""
    path, source = folder / file.path, file.source.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)
    return file.digest or digest_file(path)


def may_be_replaced(folder: Path) -> bool:
    """Return whether a folder is a package of ours with nothing in it that anybody changed.

    Raises:
        OutputError: If it is ours and holds work that replacing it would destroy.
    """
    try:
        package = read_package(folder, check=False)
    except SpecError:
        return False
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    added = present - package.files.keys() - {MANIFEST_FILE}
    texts = {name for name in present & package.files.keys() if not name.startswith(MODEL_FOLDER)}
    edits = [f"{folder / name}: added" for name in sorted(added)]
    edits += changed_files(folder, {name: package.files[name] for name in texts})
    if edits:
        raise OutputError(
            f"{folder}: holds files that were added or changed after it was generated; it is left "
            "alone: choose another output folder or remove it yourself\n  " + "\n  ".join(edits)
        )
    return True
