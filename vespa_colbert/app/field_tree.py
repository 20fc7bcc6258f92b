"""Parse tree of a field, a struct or an index → specs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from vespa_colbert.app.field import Field, FieldSet, NamedSettings, Struct, StructField
from vespa_colbert.app.field_settings import (
    ATTRIBUTE_WORDS,
    INDEX_WORDS,
    MATCH_WORDS,
    RANK_WORDS,
    setting_fault,
)
from vespa_colbert.app.passed_over import is_passed_over, pass_over
from vespa_colbert.app.source import Source
from vespa_colbert.app.texts import split_statements
from vespa_colbert.errors import TensorTypeError
from vespa_colbert.tensor import TensorType

__all__ = [
    "block_text",
    "field_of",
    "fieldset_of",
    "index_of",
    "names_of",
    "struct_of",
    "tensor_type_of",
    "type_of",
    "unquoted",
]

SETTINGS = {
    "index": INDEX_WORDS,
    "attribute": ATTRIBUTE_WORDS,
    "match": MATCH_WORDS,
    "rank": RANK_WORDS,
}
"""Block of a field → settings that are kept."""


def field_of(source: Source, tree: Any, *, in_document: bool) -> Field:
    """Return a field.

    Raises:
        SchemaSyntaxError: If it holds something that is not known and may bear on ranking.
    """
    name, type_tree, *items = tree.children
    stated: dict[str, Any] = {"name": str(name), "type": type_of(source, type_tree)}
    for item in items:
        if item.data in {"index", "attribute"}:
            _add_named(source, item, stated)
        elif item.data == "rank_type":
            index, word = item.children
            _add(stated, "rank_types", ((str(index or ""), str(word)),))
        elif item.data == "weight":
            stated["weight"] = int(item.children[0])
        elif item.data == "linguistics":
            stated["linguistics"] = _linguistics(item)
        elif item.data in {"stemming", "normalizing"}:
            stated[str(item.data)] = str(item.children[0])
        elif not _add_common(source, item, stated):
            pass_over(source, item, "field")
    return Field(**stated, in_document=in_document)


def struct_of(source: Source, tree: Any) -> Struct:
    """Return a struct."""
    name, parents, *items = tree.children
    fields = tuple((str(each.children[0]), type_of(source, each.children[1])) for each in items)
    return Struct(name=str(name), fields=fields, inherits=names_of(parents))


def index_of(source: Source, tree: Any) -> NamedSettings:
    """Return an index that stands outside of any field.

    Raises:
        SchemaSyntaxError: If it has no name, or a setting that is not known.
    """
    name, *rest = tree.children
    if name is None:
        raise source.error(tree, "expected the name of the index, as it stands in no field")
    return NamedSettings(name=str(name), settings=_settings(source, rest, "index"))


def fieldset_of(source: Source, tree: Any) -> FieldSet:
    """Return a fieldset.

    Raises:
        SchemaSyntaxError: If it holds something that is not known.
    """
    name, *items = tree.children
    fields: list[str] = []
    match: tuple[str, ...] = ()
    for item in items:
        if item.data == "match":
            match += _settings(source, item.children, "match")
        elif item.data == "other":
            pass_over(source, item, "fieldset")
        else:
            fields += [str(each) for each in item.children]
    return FieldSet(name=str(name), fields=tuple(fields), match=match)


def type_of(source: Source, tree: Any) -> str:
    """Return the type of a field as Vespa writes it; ``raw[]`` is ``array<raw>``.

    Raises:
        SchemaSyntaxError: If a tensor type is not valid.
    """
    if tree.children[0].type == "TENSOR_TYPE":
        return str(tensor_type_of(source, tree.children[0]))
    first, *arguments, brackets = tree.children
    text = str(first)
    if inner := [type_of(source, each) for each in arguments if each is not None]:
        text = f"{first}<{','.join(inner)}>"
    return text if brackets is None else f"array<{text}>"


def tensor_type_of(source: Source, token: Any) -> TensorType:
    """Return the tensor type that a token spells.

    Raises:
        SchemaSyntaxError: If it is not valid.
    """
    try:
        return TensorType.parse(str(token))
    except TensorTypeError as error:
        raise source.error(token, str(error)) from None


def block_text(token: Any, word: str) -> str:
    """Return what stands behind ``word:``, or between the braces behind ``word``."""
    text = str(token)[len(word) :].strip()
    return text[1:] if text.startswith(":") else text[1:-1]


def names_of(tree: Any) -> tuple[str, ...]:
    """Return the names behind ``inherits``."""
    return () if tree is None else tuple(str(each) for each in tree.children)


def unquoted(token: Any) -> str:
    """Return a text without the quotes around it, if it has any."""
    text = str(token)
    return text[1:-1] if text[:1] in {'"', "'"} else text


def _add(stated: dict[str, Any], name: str, values: tuple[Any, ...]) -> None:
    stated[name] = stated.get(name, ()) + values


def _add_named(source: Source, tree: Any, stated: dict[str, Any]) -> None:
    """Add the settings of an index or attribute, which may have another name than the field."""
    block = str(tree.data)
    alias, *rest = tree.children
    settings = _settings(source, rest, block)
    if alias is None or str(alias) == stated["name"]:
        _add(stated, block, settings)
        return
    other = "other_indexes" if block == "index" else "other_attributes"
    _add(stated, other, (NamedSettings(name=str(alias), settings=settings),))


def _add_common(source: Source, tree: Any, stated: dict[str, Any]) -> bool:
    """Add what a field and a part of it may both say.

    Returns:
        Whether it is that.
    """
    if tree.data == "indexing":
        stated["indexing"] = split_statements(block_text(tree.children[0], "indexing"))
    elif tree.data in {"match", "rank"}:
        _add(stated, str(tree.data), _settings(source, tree.children, str(tree.data)))
    elif tree.data == "struct_field":
        _add(stated, "struct_fields", (_struct_field(source, tree),))
    return bool(tree.data != "other")


def _struct_field(source: Source, tree: Any) -> StructField:
    """Return what a field says of a part of its elements.

    Raises:
        SchemaSyntaxError: If it holds something that is not known and may bear on ranking.
    """
    name, *items = tree.children
    stated: dict[str, Any] = {"name": str(name)}
    for item in items:
        if item.data == "attribute":
            _add(stated, "attribute", _settings(source, item.children[1:], "attribute"))
        elif not _add_common(source, item, stated):
            pass_over(source, item, "struct-field")
    return StructField(**stated)


def _settings(source: Source, trees: Iterable[Any], block: str) -> tuple[str, ...]:
    """Return settings as ``word`` or ``word: value``; of blocks behind them that of hnsw is kept.

    Raises:
        SchemaSyntaxError: If one of them is not known.
    """
    found = []
    for tree in trees:
        word, value = (*tree.children, None)[:2]
        head = str(word).split(":")[0].split()[0]
        if is_passed_over(head, block):
            continue
        plain = value is None or value.startswith("{")
        text = str(word) if plain else f"{word}: {value}"
        is_block = value is not None and value.startswith("{")
        if head == "hnsw" and is_block and (inner := _on_one_line(value[1:-1])):
            text = f"{word} {{ {inner} }}"
        if fault := setting_fault(text, SETTINGS[block]):
            raise source.error(word, fault)
        found.append(text)
    return tuple(found)


def _on_one_line(text: str) -> str:
    """Return settings with single spaces between their parts and without comments."""
    return " ".join(re.sub(r"#[^\n]*", "", text).replace(":", ": ").split()).replace(" :", ":")


def _linguistics(tree: Any) -> tuple[tuple[str, str], ...]:
    """Return side → profile; one profile alone is for both sides."""
    first = tree.children[0]
    if not hasattr(first, "data"):
        return (("index", str(first)), ("search", str(first)))
    sides = {str(side): str(name) for side, name in (each.children for each in tree.children)}
    sides = {"index": "", "search": sides.get("index", ""), **sides}
    return tuple(sides.items())
