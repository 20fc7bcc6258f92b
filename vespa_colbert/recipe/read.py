"""Reads a recipe file, reports all its faults together, and prints the default one."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vespa_colbert.app import (
    ApplicationSpec,
    application_spec,
    folder_embedder,
    published_embedder,
    read_embedder_facts,
)
from vespa_colbert.app.variants.residual import PROFILE
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import ModelFolder, read_model_folder
from vespa_colbert.export.runtimes import runtime_of
from vespa_colbert.recipe.tables import Recipe, tables

__all__ = ["default_recipe", "read_recipe", "recipe_application", "search_profile"]

HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?")
OPENED_HEADER = re.compile(r"""\s*\[+\s*["']?([\w.-]*)""")
CLOSED_HEADER = re.compile(r"""\s*["']?([\w.-]+)["']?\s*\]+\s*(?:#.*)?""")
KEY = re.compile(r"""\s*["']?([^\s"'=#\[\]]+)["']?\s*=""")
AT_LINE = re.compile(r"(.*) \(at line (\d+), column \d+\)|(.*) \(at end of document\)")
MOST_SYNTAX_FAULTS = 20

WANTED = {
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "path_type": "a text in quotes",
    "tuple_type": "a list",
    "model_type": "a table",
    "string_pattern_mismatch": "a measure such as nDCG@10",
}
"""Kind of fault in pydantic's words → what a value should have been."""


def read_recipe(path: Path) -> Recipe:
    """Return what a recipe file says, with every default filled in.

    Args:
        path: The TOML file. Paths in it are relative to its folder.

    Raises:
        SpecError: If there is no such file, or with every fault found in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: expected UTF-8, byte {error.start} is not") from None
    except OSError as error:
        hint = "write one with: vespa-colbert init"
        raise SpecError(f"{path}: cannot be read ({error.strerror}); {hint}") from error
    mended, faults = _mended(text)
    document, lines = tomllib.loads(mended), _lines(mended)
    recipe, more = _validate(document, path.parent, lines)
    faults += [*more, *_no_cell_types(document, lines)]
    if recipe is not None:
        faults += [(0, fault) for fault in _output_faults(recipe)]
    if faults or recipe is None:
        listed = [f"line {line}: {fault}" if line else fault for line, fault in sorted(faults)]
        raise SpecError(f"{path}: the recipe is not valid", tuple(listed))
    return recipe


def default_recipe() -> str:
    """Return the text of a recipe that states every key with its default and what it means."""
    parts = ["# The recipe of vespa-colbert. Paths are relative to this file."]
    for name, table in tables().items():
        parts += ["", f"# {table.__doc__}", f"[{name}]"]
        for each in table.model_fields.values():
            value = each.examples[0] if each.default is None and each.examples else each.default
            hidden = "# " if each.default is None else ""
            parts += [f"# {each.description}", f"{hidden}{each.alias} = {_toml(value)}"]
    return "\n".join(parts) + "\n"


def recipe_application(recipe: Recipe) -> ApplicationSpec:
    """Return the application that a recipe asks for.

    Raises:
        ExportError: If the model folder is not there or is damaged.
        SpecError: If the facts of a published model cannot be read, or do not fit, or the lowest
            Vespa release does not load the model.
    """
    published = recipe.model
    if published.embedder is None:
        folder = read_model_folder(recipe.export.output)
        _check_target(folder, recipe.app.minimum_vespa_version)
        embedder = folder_embedder(folder)
    else:
        embedder = published_embedder(
            read_embedder_facts(published.embedder),
            transformer=published.transformer,
            tokenizer=published.tokenizer,
        )
    return application_spec(embedder, recipe.app_options)


def search_profile(recipe: Recipe, names: Iterable[str], *, residuals_alone: bool = False) -> str:
    """Return the profile that a search ranks by: the one that is stated, or MaxSim.

    Where no whole token vectors are stored, it is MaxSim of the widest that are, or of residuals.

    Args:
        recipe: What is to be done.
        names: The rank profiles that there are.
        residuals_alone: Whether the index holds residuals in place of vectors: they are rebuilt.
    """
    known, profile = set(names), recipe.search.profile
    is_stated = "profile" in recipe.search.model_fields_set
    if residuals_alone and not is_stated:
        return PROFILE
    if profile in known or is_stated:
        return profile
    cut = (re.fullmatch(rf"{re.escape(profile)}_([0-9]+)", name) for name in known)
    widths = [int(found[1]) for found in cut if found]
    if widths:
        return f"{profile}_{max(widths)}"
    return PROFILE if PROFILE in known else profile


def _check_target(folder: ModelFolder, vespa_version: str) -> None:
    """Return nothing if a Vespa release loads a model.

    Raises:
        ExportError: If its ONNX Runtime is not known.
        SpecError: If it loads no graph that new.
    """
    runtime = runtime_of(vespa_version)
    opset, ir_version = folder.graph.get("opset", 0), folder.graph.get("ir_version", 0)
    if opset > runtime.opset or ir_version > runtime.ir_version:
        raise SpecError(
            f"{folder.path}: expected a graph that Vespa {vespa_version} loads (ONNX Runtime "
            f"{runtime.onnxruntime}: opset ≤ {runtime.opset}, IR version ≤ {runtime.ir_version}), "
            f"got opset {opset} and IR version {ir_version}; raise app.minimum-vespa-version, or "
            "export for it"
        )


def _mended(text: str) -> tuple[str, list[tuple[int, str]]]:
    """Return the text that is left to parse, and line and text of each fault of its syntax.

    The parser stops at the first fault: that entry is blanked and the rest parsed again. A header
    that is not whole is made so, for the keys below it are of its table.
    """
    lines, faults = text.split("\n"), list[tuple[int, str]]()
    while len(faults) < MOST_SYNTAX_FAULTS:
        try:
            tomllib.loads("\n".join(lines))
        except tomllib.TOMLDecodeError as error:
            match = AT_LINE.fullmatch(str(error))
            last = int(match[2]) if match and match[2] else len(lines)
            message = (match[1] or match[3]) if match else str(error)
            repeats = message.startswith(("Cannot overwrite", "Cannot declare"))
            first, last = _entry(lines, last) if repeats else (last, last)
            shown = lines[first - 1].strip()
            if not shown:
                faults.append((last, message))
                break
            what = f"{shown.split('=')[0].strip()} is there twice" if repeats else message
            faults.append((first, f"{what}, got {shown[:80]!r}"))
            whole = "" if repeats else _whole_header(lines[first - 1])
            lines[first - 1 : last] = [whole] + [""] * (last - first)
        else:
            return "\n".join(lines), faults
    return "", faults


def _whole_header(line: str) -> str:
    """Return the header that a line was to be; empty where it is none, or whole as it stands."""
    opened, closed = OPENED_HEADER.match(line), CLOSED_HEADER.fullmatch(line)
    name = opened[1] if opened else closed[1] if closed and closed[1] in tables() else ""
    whole = f"[{name}]" if name else ""
    return "" if whole == line.strip() else whole


def _entry(lines: list[str], line: int) -> tuple[int, int]:
    """Return first and last line, from 1, of the key or the whole table that ends by a line."""
    for first in range(line, 0, -1):
        text = lines[first - 1]
        if KEY.match(text):
            return first, line
        if HEADER.fullmatch(text) or _whole_header(text):
            following = range(first + 1, len(lines) + 1)
            ends = (each - 1 for each in following if HEADER.fullmatch(lines[each - 1]))
            return first, next(ends, len(lines))
    return line, line


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line, from 1, of each table and of each key in it; the first where it is twice."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if match := HEADER.fullmatch(line):
            table = (match[1],)
            found.setdefault(table, number)
        elif match := KEY.match(line):
            found.setdefault((*table, *match[1].split(".")), number)
    return found


def _validate(
    document: dict[str, Any], folder: Path, lines: Mapping[tuple[str, ...], int]
) -> tuple[Recipe | None, list[tuple[int, str]]]:
    """Return the recipe, or ``None`` with line and text of each fault."""
    filled: dict[str, Any] = {name: {} for name in tables()} | document
    # As JSON, where a text may become a path and a list a tuple; what JSON lacks becomes a table.
    text = json.dumps(filled, default=lambda _value: {})
    try:
        recipe = Recipe.model_validate_json(text, context={"folder": folder})
    except ValidationError as error:
        return None, [_explained(each, document, lines) for each in error.errors(include_url=False)]
    if "profile" in recipe.search.model_fields_set:
        return recipe, []
    cells = recipe.app.cell_types
    values = {**dict(recipe.search), "profile": f"max_sim_{cells[-1]}" if cells else PROFILE}
    stated = recipe.search.model_fields_set
    search = type(recipe.search).model_construct(_fields_set=stated, **values)
    return recipe.model_copy(update={"search": search}), []


def _no_cell_types(
    document: Mapping[str, Any], lines: Mapping[tuple[str, ...], int]
) -> Iterator[tuple[int, str]]:
    """Yield line and text of the fault if a package is to have token vectors of no kind at all."""
    app, tokens = (document.get(name) for name in ("app", "tokens"))
    has_residuals = isinstance(tokens, Mapping) and "residual" in tokens
    if isinstance(app, Mapping) and app.get("cell-types") == [] and not has_residuals:
        expected = "expected at least one, and each once, or [tokens] residual"
        yield lines.get(("app", "cell-types"), 0), f"[app] cell-types: {expected}, got []"


def _explained(
    error: Any, document: Mapping[str, Any], lines: Mapping[tuple[str, ...], int]
) -> tuple[int, str]:
    """Return line and text of a fault."""
    place = tuple(str(part) for part in error["loc"])
    line = lines.get(place[:2]) or lines.get(place[:1]) or 0
    entries = [f", entry {int(part) + 1}" for part in place[2:] if part.isdecimal()]
    where = f"[{place[0]}] {''.join(place[1:2])}".strip() + "".join(entries)
    if error["type"] == "extra_forbidden":
        if len(place) == 1 and not isinstance(document.get(place[0]), Mapping):
            owners = [name for name in tables() if place[0] in _keys(name)]
            below = f"[{owners[0]}]" if owners else "a table"
            return line, f"{place[0]}: expected a key below {below}, got one above all tables"
        known = tables() if len(place) == 1 else _keys(place[0])
        close = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        return line, f"{where}: unknown {'table' if len(place) == 1 else 'key'}; {hint}"
    context = error.get("ctx", {})
    wanted = WANTED.get(error["type"], "")
    if error["type"] == "value_error":
        return line, f"{where}: {context['error']}"
    if error["type"] == "literal_error":
        wanted = str(context["expected"])
    elif error["type"] == "greater_than_equal":
        wanted = f"{context['ge']} or more"
    elif error["type"] == "less_than_equal":
        wanted = f"{context['le']} or less"
    got = _stated(document, error)
    return line, f"{where}: expected {wanted or error['msg']}, got {got!r}"


def _keys(table: str) -> list[str]:
    """Return the keys of a table."""
    return [str(each.alias) for each in tables()[table].model_fields.values()]


def _stated(document: Any, error: Any) -> Any:
    """Return the value that a fault is about, as it was written."""
    try:
        for part in error["loc"]:
            document = document[part]
    except (KeyError, IndexError, TypeError):
        return error["input"]
    return document


def _output_faults(recipe: Recipe) -> Iterator[str]:
    """Yield outputs that would overwrite each other."""
    outputs = {
        "[head] output": recipe.head.output,
        "[train] output": recipe.train.output,
        "[export] output": recipe.export.output,
        "[app] output": recipe.app.output,
        "[index] output": recipe.index.output,
        "[index] feed": recipe.index.feed,
        "[verify] output": recipe.verify.output,
    }
    names = list(outputs)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            one, two = outputs[name].resolve(), outputs[other].resolve()
            if one == two or one in two.parents or two in one.parents:
                yield f"{name} and {other}: expected places apart, got {one} and {two}"


def _toml(value: object) -> str:
    """Return a default as TOML spells it: these are texts, numbers, truth values and lists."""
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return json.dumps(value.as_posix() if isinstance(value, Path) else value, ensure_ascii=False)
