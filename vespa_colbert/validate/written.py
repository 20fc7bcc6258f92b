"""Where a schema says what: lines of fields, profiles and inputs, and every expression as written.

Specs are values and know no place. What is found here is found again by name and text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.app.reader import Application
from vespa_colbert.app.source import SCHEMA_FOLDERS, Source, read_source
from vespa_colbert.app.texts import one_line, split_features
from vespa_colbert.errors import SchemaSyntaxError
from vespa_colbert.validate.findings import Place

__all__ = ["Places", "Written", "read_places"]

FEATURES = ("match-features", "summary-features", "rank-features")
PHASES = ("first_phase", "second_phase", "global_phase")
SUFFIX = ".expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An expression as it stands in a file.

    Attributes:
        part: ``first-phase``, ``function max_sim``, ``match-features`` or the like.
        text: The expression.
        parameters: Names that are its own, for a function.
        file: Path in the package.
        line: Where the text begins.
    """

    part: str
    text: str
    parameters: tuple[str, ...] = ()
    file: str = ""
    line: int = 0

    def place(self, position: int = 0) -> Place:
        """Return where a character of the text stands."""
        start = len(self.text) - len(self.text.lstrip()) if position == 0 else position
        return Place(file=self.file, line=self.line + self.text.count("\n", 0, start))


@dataclass(slots=True, kw_only=True)
class Places:
    """What stands where in the schemas of a package.

    Attributes:
        folder: The package.
        named: Kind and names → where it is declared: ``("field", "doc", "text")``.
        expressions: Part and text in its normal form → the expression as written, the first.
    """

    folder: Path
    named: dict[tuple[str, ...], Place] = field(default_factory=dict)
    expressions: dict[tuple[str, str], Written] = field(default_factory=dict)

    def of(self, *names: str) -> Place:
        """Return where something is declared; the schema's file if that is not known."""
        return self.named.get(names) or Place(file=f"{SCHEMA_FOLDERS[0]}/{names[1]}.sd")

    def written(
        self, schema: str, part: str, text: str, parameters: tuple[str, ...] = ()
    ) -> Written:
        """Return an expression as it was written; as it is, where nobody wrote it."""
        found = self.expressions.get((part, text))
        if found is not None:
            return found
        return Written(part=part, text=text, parameters=parameters, file=self.of("", schema).file)


def read_places(application: Application) -> Places:
    """Return what stands where in the schemas of a package."""
    places = Places(folder=application.path)
    for schema in application.schemas:
        for folder in SCHEMA_FOLDERS:
            path = application.path / folder / f"{schema.name}.sd"
            if path.is_file():
                _add_schema(places, read_source(path), schema.name)
            for profile in sorted(path.with_suffix("").rglob("*.profile")):
                source = read_source(profile, path.parent)
                tree = source.parse("profile_file").children[0]
                _Profile(places, source, schema.name).add(tree)
    return places


def _add_schema(places: Places, source: Source, schema: str) -> None:
    tree = source.parse("schema_file")
    for each in tree.iter_subtrees_topdown():
        name = str(each.children[0]) if each.children else ""
        if each.data in {"field", "constant_file", "onnx_model", "import_field", "fieldset"}:
            name = str(each.children[1]) if each.data == "import_field" else name
            places.named.setdefault((str(each.data), schema, name), _place(places, source, each))
    for item in tree.children:
        if getattr(item, "data", "") == "rank_profile":
            _Profile(places, source, schema).add(item)


def _place(places: Places, source: Source, tree: Any) -> Place:
    file = source.path.relative_to(places.folder).as_posix()
    return Place(file=file, line=_line(source, tree))


def _line(source: Source, tree: Any) -> int:
    start = tree.start_pos if hasattr(tree, "start_pos") else tree.meta.start_pos
    return source.text.count("\n", 0, start) + 1


@dataclass(frozen=True, slots=True)
class _Profile:
    """Adds what a rank profile says, and those inside of it."""

    places: Places
    source: Source
    schema: str

    def add(self, tree: Any, outer: tuple[str, ...] = ()) -> None:
        """Add a profile."""
        name, _parents, *items = tree.children
        path = (*outer, str(name))
        full = ".".join(path)
        self._name("profile", full, tree)
        for item in items:
            kind = str(item.data)
            if kind == "rank_profile":
                self.add(item, path)
            elif kind == "inputs":
                self._inputs(full, item)
            elif kind in PHASES:
                self._phase(full, item)
            elif kind == "function":
                self._function(item)
            elif kind == "features":
                self._features(item.children[0])
            elif kind == "onnx_model":
                self._model(full, item)

    def _name(self, kind: str, name: str, tree: Any) -> None:
        key = (kind, self.schema, name)
        self.places.named.setdefault(key, _place(self.places, self.source, tree))

    def _inputs(self, profile: str, tree: Any) -> None:
        for each in tree.children:
            names = [one for one in each.children if getattr(one, "type", "") == "NAME"]
            self._name("input", f"{profile} {names[0]}", each)

    def _phase(self, profile: str, tree: Any) -> None:
        part = str(tree.data).replace("_", "-")
        self._name(part, profile, tree)
        for item in tree.children:
            if item.data == "expression":
                self._add(part, item.children[0], "expression")
            else:
                self._name(f"{part} {str(item.children[0]).split(':')[0]}", profile, item)

    def _function(self, tree: Any) -> None:
        _inline, name, *parameters, body = tree.children
        names = tuple(str(each) for each in parameters if each is not None)
        self._add(f"function {name}", body.children[0], "expression", names)

    def _features(self, token: Any) -> None:
        text = str(token)
        is_block = token.type == "FEATURES_BLOCK"
        head, body = text.removesuffix("}").split("{" if is_block else ":", 1)
        word = head.partition(" inherits ")[0].strip()
        at = 0
        for feature in split_features(body):
            found = body.find(feature, at)
            at = found + len(feature) if found >= 0 else at
            start = token.start_pos + len(head) + 1 + max(found, 0)
            self._keep(word, feature, self.source.text.count("\n", 0, start) + 1)

    def _model(self, profile: str, tree: Any) -> None:
        self._name("onnx_model", f"{profile} {tree.children[0]}", tree)
        for item in tree.children[1:]:
            if getattr(item, "type", "") == "ONNX_INPUT":
                text = str(item).rpartition(":")[2]
                self._keep("onnx-model", one_line(text), _line(self.source, item))

    def _add(self, part: str, token: Any, word: str, parameters: tuple[str, ...] = ()) -> None:
        """Add an expression, out of its own file if it stands in one."""
        text = str(token)[len(word) :]
        body = text.lstrip()
        start = token.start_pos + len(word) + len(text) - len(body) + 1
        body = body[1:] if body.startswith(":") else body[1:-1]
        line = self.source.text.count("\n", 0, start) + 1
        if not one_line(body).startswith("file:"):
            self._keep(part, body, line, parameters)
            return
        name = one_line(body).removeprefix("file:").strip().removesuffix(SUFFIX) + SUFFIX
        try:
            inside = self.source.beside(token, name)
        except SchemaSyntaxError:
            return
        base = self.source.folder or self.source.path.parent
        path = next((each for each in (base / name,) if each.is_file()), None)
        if path is None:
            self._keep(part, inside.replace("\n", " "), line, parameters)
        else:
            file = path.relative_to(self.places.folder).as_posix()
            self._keep(part, inside, 1, parameters, file)

    def _keep(
        self, part: str, text: str, line: int, parameters: tuple[str, ...] = (), file: str = ""
    ) -> None:
        own = self.source.path.relative_to(self.places.folder).as_posix()
        written = Written(part=part, text=text, parameters=parameters, file=file or own, line=line)
        self.places.expressions.setdefault((part, one_line(text)), written)
