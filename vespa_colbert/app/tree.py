"""Parse tree of a schema file → specs. What bears on ranking and is not known is an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vespa_colbert.app.field import DocumentSummary, Field, FieldSet
from vespa_colbert.app.profile import Constant, Function, Input, RankProfile, Rerank
from vespa_colbert.app.source import Source
from vespa_colbert.app.texts import (
    ATTRIBUTE_WORDS,
    INDEX_WORDS,
    MATCH_WORDS,
    expression_fault,
    one_line,
    setting_fault,
    split_features,
    split_statements,
)
from vespa_colbert.errors import TensorTypeError
from vespa_colbert.tensor import CellType, TensorType

__all__ = ["SchemaParts", "profile_of", "schema_parts"]

PASSED_OVER = {
    "schema": frozenset({
        "documentid",
        "annotation",
        "struct",
        "onnx-model",
    }),
    "document": frozenset({
        "annotation",
        "struct",
    }),
    "field": frozenset({
        "alias",
        "bolding",
        "dictionary",
        "id",
        "map",
        "query-command",
        "sorting",
        "struct-field",
        "summary-to",
        "weightedset",
    }),
    "attribute": frozenset({"alias", "enable-bit-vectors", "sorting"}),
    "fieldset": frozenset({
        "query-command",
    }),
    "rank-profile": frozenset({
        "approximate-threshold",
        "exploration-slack",
        "filter-first-exploration",
        "filter-first-threshold",
        "min-hits-per-thread",
        "num-search-partitions",
        "num-threads-per-search",
        "onnx-model",
        "post-filter-threshold",
        "prefetch-tensors",
        "rank-features",
        "strict",
        "summary-features",
        "target-hits-max-adjustment-factor",
        "termwise-limit",
    }),
    "first-phase": frozenset({
        "keep-rank-count",
        "total-keep-rank-count",
    }),
}
"""Block → settings in it that change no score: they say what is stored, how a graph is searched,
how many threads work, or declare what an expression would have to name."""

SETTINGS = {"index": INDEX_WORDS, "attribute": ATTRIBUTE_WORDS, "match": MATCH_WORDS}
"""Block of a field → settings that are kept."""

NUMBER = TensorType(CellType.DOUBLE)


@dataclass(slots=True, kw_only=True)
class SchemaParts:
    """What one schema file holds, before it is checked as a whole."""

    name: str
    fields: list[Field] = field(default_factory=list)
    fieldsets: list[FieldSet] = field(default_factory=list)
    summaries: list[DocumentSummary] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    rank_profiles: list[RankProfile] = field(default_factory=list)
    stemming: str = ""


def schema_parts(source: Source) -> SchemaParts:
    """Return what a schema file holds.

    Raises:
        SchemaSyntaxError: If it does not parse, or holds something that bears on ranking and is
            not known.
    """
    name, parents, *items = source.parse("schema_file").children
    parts = SchemaParts(name=str(name))
    if parents is not None:
        raise source.error(parents, "a schema that inherits another one is not read")
    for item in items:
        _add_to_schema(source, item, parts)
    return parts


def profile_of(source: Source) -> RankProfile:
    """Return the rank profile that a ``.profile`` file holds.

    Raises:
        SchemaSyntaxError: If it does not parse, or holds something that bears on ranking and is
            not known.
    """
    return _profile(source, source.parse("profile_file").children[0])


def _add_to_schema(source: Source, item: Any, parts: SchemaParts) -> None:
    """Add one item of a schema to what is known of it.

    Raises:
        SchemaSyntaxError: If it bears on ranking and is not known.
    """
    if item.data == "document":
        parts.fields += _document_fields(source, item, parts.name)
    elif item.data == "field":
        parts.fields.append(_field(source, item, in_document=False))
    elif item.data == "fieldset":
        parts.fieldsets.append(_fieldset(source, item))
    elif item.data == "summary":
        parts.summaries.append(_summary(item))
    elif item.data == "constant_file":
        parts.constants.append(_constant_file(source, item))
    elif item.data == "rank_profile":
        parts.rank_profiles.append(_profile(source, item))
    elif item.data == "stemming":
        parts.stemming = str(item.children[0])
    elif item.data == "other":
        _pass_over(source, item, "schema")


def _document_fields(source: Source, tree: Any, schema: str) -> Iterator[Field]:
    """Yield the fields of the document.

    Raises:
        SchemaSyntaxError: If the document has another name, parents or something not known.
    """
    name, parents, *items = tree.children
    if name is not None and str(name) != schema:
        raise source.error(name, f"expected the document to be named {schema}, as its schema")
    if parents is not None:
        raise source.error(parents, "a document that inherits another one is not read")
    for item in items:
        if item.data == "field":
            yield _field(source, item, in_document=True)
        else:
            _pass_over(source, item, "document")


def _field(source: Source, tree: Any, *, in_document: bool) -> Field:
    """Return a field.

    Raises:
        SchemaSyntaxError: If it holds something that bears on ranking and is not known.
    """
    name, type_tree, *items = tree.children
    stated: dict[str, Any] = {"name": str(name), "type": _type(source, type_tree)}
    for item in items:
        if item.data in {"index", "attribute"}:
            alias, *rest = item.children
            if alias is not None and alias != name:
                raise source.error(alias, f"an {item.data} not named {name} is not read")
            stated[item.data] = stated.get(item.data, ()) + _settings(source, rest, item.data)
        elif item.data == "match":
            stated["match"] = stated.get("match", ()) + _settings(source, item.children, "match")
        elif item.data == "indexing":
            stated["indexing"] = split_statements(_body(item.children[0], "indexing"))
        elif item.data in {"stemming", "normalizing"}:
            stated[str(item.data)] = str(item.children[0])
        elif item.data == "other":
            _pass_over(source, item, "field")
    return Field(**stated, in_document=in_document)


def _settings(source: Source, trees: list[Any], block: str) -> tuple[str, ...]:
    """Return settings as ``word`` or ``word: value``; blocks behind a word are left out.

    Raises:
        SchemaSyntaxError: If one of them is not known.
    """
    found = []
    for word, value in (_pair(tree) for tree in trees):
        if word in PASSED_OVER.get(block, ()):
            continue
        plain = value is None or value.startswith("{")
        text = str(word) if plain else f"{word}: {value}"
        if fault := setting_fault(text, SETTINGS[block]):
            raise source.error(word, fault)
        found.append(text)
    return tuple(found)


def _pair(tree: Any) -> tuple[Any, Any]:
    """Return word and value of a setting."""
    return tree.children[0], tree.children[1]


def _type(source: Source, tree: Any) -> str:
    """Return the type of a field as Vespa writes it."""
    first, *arguments = [each for each in tree.children if each is not None]
    if first.type == "TENSOR_TYPE":
        return str(_tensor_type(source, first))
    if not arguments:
        return str(first)
    return f"{first}<{','.join(_type(source, each) for each in arguments)}>"


def _tensor_type(source: Source, token: Any) -> TensorType:
    """Return the tensor type, or that of numbers, that a token spells.

    Raises:
        SchemaSyntaxError: If it is not valid.
    """
    if token.type == "NUMBER_TYPE":
        if str(token) == "string":
            raise source.error(token, "an input of type string is not read")
        return NUMBER
    try:
        return TensorType.parse(str(token))
    except TensorTypeError as error:
        raise source.error(token, str(error)) from None


def _fieldset(source: Source, tree: Any) -> FieldSet:
    name, *items = tree.children
    fields: list[str] = []
    for item in items:
        if item.data == "other":
            _pass_over(source, item, "fieldset")
        else:
            fields += [str(each) for each in item.children]
    return FieldSet(name=str(name), fields=tuple(fields))


def _summary(tree: Any) -> DocumentSummary:
    name, parents, *items = tree.children
    fields = tuple(str(item.children[0]) for item in items if item.data == "summary_field")
    flags = {str(item.children[0]) for item in items if item.data == "flag"}
    return DocumentSummary(
        name=str(name), fields=fields, inherits=_names(parents), from_disk="from-disk" in flags
    )


def _constant_file(source: Source, tree: Any) -> Constant:
    """Return a constant whose value is in a file.

    Raises:
        SchemaSyntaxError: If its type or file is missing.
    """
    name, *items = tree.children
    types = [_tensor_type(source, item) for item in items if not hasattr(item, "data")]
    files = [str(item.children[0]) for item in items if hasattr(item, "data")]
    if len(types) != 1 or len(files) != 1:
        raise source.error(name, f"constant {name}: expected one file and one type")
    return Constant(name=str(name), type=types[0], file=files[0])


def _profile(source: Source, tree: Any) -> RankProfile:
    """Return a rank profile as written.

    Raises:
        SchemaSyntaxError: If it holds something that bears on ranking and is not known.
    """
    name, parents, *items = tree.children
    profile: dict[str, Any] = {"name": str(name), "inherits": _names(parents)}
    for item in items:
        if item.data == "first_phase":
            profile["first_phase"] = _phase(source, item, "first-phase").expression
        elif item.data in {"second_phase", "global_phase"}:
            profile[item.data] = _phase(source, item, item.data.replace("_", "-"))
        elif item.data == "function":
            profile["functions"] = (*profile.get("functions", ()), _function(source, item))
        elif item.data == "inputs":
            inputs = tuple(_input(source, each) for each in item.children)
            profile["inputs"] = profile.get("inputs", ()) + inputs
        elif item.data == "constants":
            constants = tuple(_constant(source, each) for each in item.children)
            profile["constants"] = profile.get("constants", ()) + constants
        elif item.data == "features":
            _add_features(profile, str(item.children[0]))
        elif item.data == "other":
            _pass_over(source, item, "rank-profile")
    return RankProfile(**profile)


def _phase(source: Source, tree: Any, word: str) -> Rerank:
    """Return what a phase states.

    Raises:
        SchemaSyntaxError: If it states something that bears on ranking and is not known.
    """
    stated: dict[str, Any] = {}
    for item in tree.children:
        if item.data == "expression":
            stated["expression"] = _expression(source, item)
            continue
        setting, value = _pair(item)
        counts = {"rerank-count", "total-rerank-count"} if word != "first-phase" else set[str]()
        if setting in counts and value is not None and value.isdecimal():
            stated[setting.replace("-", "_")] = int(value)
        elif setting not in PASSED_OVER.get(word, ()):
            raise source.error(setting, _not_known(setting, word))
    return Rerank(**stated)


def _function(source: Source, tree: Any) -> Function:
    name, *arguments, body = tree.children
    names = tuple(str(each) for each in arguments if each is not None)
    return Function(name=str(name), arguments=names, expression=_expression(source, body))


def _expression(source: Source, tree: Any) -> str:
    """Return an expression in its normal form.

    Raises:
        SchemaSyntaxError: If brackets or quotes in it have no partner.
    """
    text = one_line(_body(tree.children[0], "expression"))
    if fault := expression_fault(text):
        raise source.error(tree.children[0], f"expression: {fault}")
    return text


def _input(source: Source, tree: Any) -> Input:
    name, type_tree, literal = tree.children
    stated = NUMBER if type_tree is None else _tensor_type(source, type_tree.children[0])
    default = "" if literal is None else _literal(source, literal)
    return Input(name=str(name), type=stated, default=default)


def _constant(source: Source, tree: Any) -> Constant:
    name, type_tree, value = tree.children
    stated = NUMBER if type_tree is None else _tensor_type(source, type_tree.children[0])
    if value.data == "value_file":
        return Constant(name=str(name), type=stated, file=str(value.children[0]))
    return Constant(name=str(name), type=stated, value=_literal(source, value))


def _literal(source: Source, tree: Any) -> str:
    """Return a number or tensor literal in its normal form."""
    return one_line(source.text[tree.meta.start_pos : tree.meta.end_pos])


def _add_features(profile: dict[str, Any], text: str) -> None:
    """Add a list of match features, and the parents whose features it adds to, to a profile."""
    head, body = text.split("{", 1) if "{" in text else text.split(":", 1)
    inherited = head.partition(" inherits ")[2].replace(",", " ").split()
    features = split_features(body.rstrip("}"))
    profile["match_features"] = profile.get("match_features", ()) + features
    profile["match_features_inherit"] = (*profile.get("match_features_inherit", ()), *inherited)


def _body(token: Any, word: str) -> str:
    """Return what stands behind ``word:``, or between the braces behind ``word``."""
    text = str(token)[len(word) :].strip()
    return text[1:] if text.startswith(":") else text[1:-1]


def _names(tree: Any) -> tuple[str, ...]:
    """Return the names behind ``inherits``."""
    return () if tree is None else tuple(str(each) for each in tree.children)


def _pass_over(source: Source, tree: Any, block: str) -> None:
    """Return nothing for a setting that changes no score.

    Raises:
        SchemaSyntaxError: For any other.
    """
    if tree.children[0] not in PASSED_OVER[block]:
        raise source.error(tree.children[0], _not_known(tree.children[0], block))


def _not_known(word: Any, block: str) -> str:
    return f"{word} in {block} is not reproduced here and may bear on ranking; take it out"
