"""Parse tree of a rank profile → spec. What bears on ranking and is not known is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vespa_colbert.app.field_tree import block_text, names_of, tensor_type_of, unquoted
from vespa_colbert.app.merge import by_field
from vespa_colbert.app.passed_over import pass_over
from vespa_colbert.app.profile import (
    Constant,
    Diversity,
    FieldRank,
    Function,
    Input,
    MatchPhase,
    Mutation,
    OnnxModel,
    RankProfile,
    Rerank,
)
from vespa_colbert.app.profile_settings import read_settings, value_of
from vespa_colbert.app.source import Source
from vespa_colbert.app.texts import expression_fault, one_line, split_features
from vespa_colbert.tensor import CellType, TensorType

__all__ = ["constant_file_of", "onnx_model_of", "profiles_of"]

NUMBER = TensorType(CellType.DOUBLE)
SUFFIX = ".expression"
"""End of the name of a file that holds an expression; it may be left out."""
PROPERTY_PIECE = re.compile(r"""\"[^\"]*\"|'[^']*'|[^\s"']""")
"""A piece of a property: a quoted text or a sign. Source: SchemaParser.jj, rankPropertyItem."""


def profiles_of(source: Source, tree: Any, outer: tuple[str, ...] = ()) -> Iterator[RankProfile]:
    """Yield a rank profile as written, and those that stand in it, which are named after it.

    Args:
        source: The file.
        tree: The profile.
        outer: Names of the profiles that it stands in, outermost first.

    Raises:
        SchemaSyntaxError: If it holds something that is not known and may bear on ranking.

    Source: ParsedRankProfile.fullName and ParsedRankingConverter, Vespa 8.700.24.
    """
    name, parents, *items = tree.children
    written = names_of(parents)
    if outer and outer[-1] not in written:
        raise source.error(name, f"a profile inside of {outer[-1]} has to inherit it")
    path = (*outer, str(name))
    prefix = "".join(f"{each}." for each in outer[:-1])
    profile: dict[str, Any] = {
        "name": ".".join(path),
        "inherits": tuple(prefix + each for each in written),
    }
    inner = [item for item in items if item.data == "rank_profile"]
    for item in items:
        if item.data != "rank_profile":
            _add_item(source, item, profile)
    profile["settings"] = tuple(dict(profile.get("settings", ())).items())
    profile["field_ranks"] = tuple(by_field(profile.get("field_ranks", ())).values())
    yield RankProfile(**profile)
    for item in inner:
        yield from profiles_of(source, item, path)


def onnx_model_of(source: Source, tree: Any) -> OnnxModel:
    """Return a model.

    Raises:
        SchemaSyntaxError: If a setting is not known, or a line does not name what it should.
    """
    name, *items = tree.children
    model: dict[str, Any] = {"name": str(name)}
    settings = []
    for item in items:
        if not hasattr(item, "data"):
            side = "inputs" if item.type == "ONNX_INPUT" else "outputs"
            model[side] = (*model.get(side, ()), _graph_name(source, item, side[:-1]))
        elif item.data in {"file", "uri"}:
            model[str(item.data)] = str(item.children[0])
        else:
            settings += list(read_settings(source, [item], "onnx-model"))
    return OnnxModel(**model, settings=tuple(f"{word}: {value}" for word, value in settings))


def constant_file_of(source: Source, tree: Any) -> Constant:
    """Return a constant whose value is in a file.

    Raises:
        SchemaSyntaxError: If its type or file is missing.
    """
    name, *items = tree.children
    types = [tensor_type_of(source, item) for item in items if not hasattr(item, "data")]
    places = {str(item.data): str(item.children[0]) for item in items if hasattr(item, "data")}
    if len(types) != 1 or len(items) != 2 or len(places) != 1:
        raise source.error(name, f"constant {name}: expected one file and one type")
    return Constant(name=str(name), type=types[0], **places)


def _add_item(source: Source, item: Any, profile: dict[str, Any]) -> None:
    """Add one item of a profile to what is known of it."""
    kind = str(item.data)
    if kind.endswith("_phase"):
        _add_phase(source, item, profile)
    elif kind in ONE_BY_ONE:
        name, read_one = ONE_BY_ONE[kind]
        _extend(profile, name, read_one(source, item))
    elif kind in {"inputs", "constants"}:
        read = _input if kind == "inputs" else _constant
        _extend(profile, kind, *(read(source, each) for each in item.children))
    elif kind == "features":
        _add_features(profile, item.children[0])
    elif kind == "properties":
        _extend(profile, "properties", *(_property(each) for each in item.children))
    elif kind == "diversity":
        profile["diversity"] = _diversity(source, item)
    elif kind == "mutate":
        _extend(profile, "mutations", *(_mutation(each) for each in item.children))
    elif kind in {"block", "profile_setting", "flag"}:
        _extend(profile, "settings", *_profile_settings(source, item))
    else:
        pass_over(source, item, "rank-profile")


def _add_phase(source: Source, item: Any, profile: dict[str, Any]) -> None:
    """Add what a phase states."""
    kind = str(item.data)
    if kind == "first_phase":
        _add_first_phase(source, item, profile)
    elif kind == "match_phase":
        _add_match_phase(source, item, profile)
    else:
        before = profile.get(kind) or Rerank()
        phase = _rerank(source, item, kind.replace("_", "-"), before)
        profile[kind] = None if phase == Rerank() else phase


def _extend(profile: dict[str, Any], name: str, *values: Any) -> None:
    profile[name] = profile.get(name, ()) + values


def _profile_settings(source: Source, item: Any) -> Iterator[tuple[str, str]]:
    """Yield names and values of settings, after the name of their block if they stand in one.

    Raises:
        SchemaSyntaxError: If one is not known, or has a value that Vespa would not take.
    """
    word, *rest = item.children
    if item.data == "flag":
        if str(word) != "ignore-default-rank-features":
            raise source.error(word, f"{word} in rank-profile is not known")
        yield str(word), "true"
    elif item.data == "profile_setting":
        yield str(word), value_of(source, word, rest[0], "rank-profile")
    else:
        for name, value in read_settings(source, rest, str(word)):
            yield f"{word}.{name}", value


def _add_first_phase(source: Source, tree: Any, profile: dict[str, Any]) -> None:
    """Add what the first phase states."""
    for item in tree.children:
        if item.data == "expression":
            profile["first_phase"] = _expression(source, item)
            continue
        ((word, value),) = read_settings(source, [item], "first-phase")
        if word == "rank-score-drop-limit":
            profile["first_phase_drop_limit"] = float(value)
        else:
            _extend(profile, "settings", (f"first-phase.{word}", value))


def _rerank(source: Source, tree: Any, block: str, phase: Rerank) -> Rerank:
    """Return what a phase states, after what another block of it stated."""
    for item in tree.children:
        if item.data == "expression":
            phase = replace(phase, expression=_expression(source, item))
            continue
        ((word, value),) = read_settings(source, [item], block)
        if word == "rank-score-drop-limit":
            phase = replace(phase, drop_limit=float(value))
        elif word == "rerank-count":
            phase = replace(phase, rerank_count=int(value))
        else:
            phase = replace(phase, total_rerank_count=int(value))
    return phase


def _function(source: Source, tree: Any) -> Function:
    inline, name, *arguments, body = tree.children
    names = tuple(str(each) for each in arguments if each is not None)
    return Function(
        name=str(name),
        arguments=names,
        expression=_expression(source, body),
        is_inline=inline is not None,
    )


def _expression(source: Source, tree: Any) -> str:
    """Return an expression in its normal form, out of the file that it names if it names one.

    Raises:
        SchemaSyntaxError: If brackets or quotes in it have no partner, or there is no such file.

    Source: RankProfile.openRankingExpressionReader, Vespa 8.700.24.
    """
    token = tree.children[0]
    text = one_line(block_text(token, "expression"))
    if text.startswith("file:"):
        name = text.removeprefix("file:").strip()
        text = one_line(source.beside(token, name.removesuffix(SUFFIX) + SUFFIX))
    if fault := expression_fault(text):
        raise source.error(token, f"expression: {fault}")
    return text


def _input(source: Source, tree: Any) -> Input:
    name, type_tree, literal = _without_feature(tree)
    stated = _value_type(source, type_tree)
    is_text = type_tree is not None and str(type_tree.children[0]) == "string"
    default = "" if literal is None else _literal(source, literal)
    return Input(name=str(name), type=stated, default=default, is_text=is_text)


def _constant(source: Source, tree: Any) -> Constant:
    name, *rest = _without_feature(tree)
    *type_trees, value = [each for each in rest if each is not None]
    if value.data == "old_constant":
        return _old_constant(source, name, value)
    stated = _value_type(source, type_trees[0] if type_trees else None)
    if value.data == "value_file":
        return Constant(name=str(name), type=stated, file=str(value.children[0]))
    return Constant(name=str(name), type=stated, value=_literal(source, value))


def _without_feature(tree: Any) -> list[Any]:
    """Return what an input or constant states, ``query(`` or ``constant(`` left out."""
    features = {"QUERY_FEATURE", "CONSTANT_FEATURE"}
    return [each for each in tree.children if getattr(each, "type", "") not in features]


def _old_constant(source: Source, name: Any, tree: Any) -> Constant:
    """Return a constant whose value and type stand in a block, as they did in old schemas.

    Raises:
        SchemaSyntaxError: If it states not exactly one type and one value.
    """
    tokens = [item for item in tree.children if not hasattr(item, "data")]
    types = [tensor_type_of(source, each) for each in tokens if each.type == "TENSOR_TYPE"]
    values = [_literal(source, item.children[0]) for item in tree.children if hasattr(item, "data")]
    if len(types) != 1 or len(values) != 1:
        raise source.error(name, f"constant {name}: expected one type and one value")
    return Constant(name=str(name), type=types[0], value=values[0])


def _value_type(source: Source, tree: Any) -> TensorType:
    if tree is None or tree.children[0].type == "NUMBER_TYPE":
        return NUMBER
    return tensor_type_of(source, tree.children[0])


def _literal(source: Source, tree: Any) -> str:
    """Return a number or tensor literal in its normal form."""
    return one_line(source.text[tree.meta.start_pos : tree.meta.end_pos]).removesuffix("L")


def _add_features(profile: dict[str, Any], token: Any) -> None:
    """Add a list of features, and the parents whose features it adds to, to a profile."""
    is_block = token.type == "FEATURES_BLOCK"
    head, body = str(token).removesuffix("}").split("{" if is_block else ":", 1)
    word, _, inherited = head.partition(" inherits ")
    kind = word.strip().replace("-", "_")
    features = split_features(body)
    _extend(profile, kind, *features)
    if not features and not inherited:
        _extend(profile, "empty_features", word.strip())
    if inherited:
        _extend(profile, f"{kind}_inherit", *inherited.replace(",", " ").split())


def _property(token: Any) -> tuple[str, str]:
    """Return name and value of a property; gaps and quotes are no part of them."""
    pieces = [unquoted(piece) for piece in PROPERTY_PIECE.findall(str(token))]
    colon = pieces.index(":")
    return "".join(pieces[:colon]), "".join(pieces[colon + 1 :])


def _field_rank(source: Source, tree: Any) -> FieldRank:
    name, *items = tree.children
    if items and not hasattr(items[0], "data"):
        return FieldRank(field=str(name), is_filter=True)
    stated = dict(read_settings(source, items, "rank"))
    threshold = stated.get("filter-threshold")
    return FieldRank(
        field=str(name),
        filter_threshold=None if threshold is None else float(threshold),
        element_gap=stated.get("element-gap", ""),
    )


def _field_weight(_source: Source, tree: Any) -> FieldRank:
    return FieldRank(field=str(tree.children[0]), weight=int(tree.children[1]))


def _field_rank_type(_source: Source, tree: Any) -> FieldRank:
    return FieldRank(field=str(tree.children[0]), rank_type=str(tree.children[1]))


def _add_match_phase(source: Source, tree: Any, profile: dict[str, Any]) -> None:
    """Add a match phase, and the diversity that old schemas state in it.

    Raises:
        SchemaSyntaxError: If it has no attribute or no number of hits.
    """
    for item in tree.children:
        if item.data == "diversity":
            profile["diversity"] = _diversity(source, item)
    items = [item for item in tree.children if item.data != "diversity"]
    stated = dict(read_settings(source, items, "match-phase"))
    if "attribute" not in stated or not {"max-hits", "total-max-hits"} & stated.keys():
        raise source.error(tree, "match-phase: expected an attribute and max-hits")
    numbers: dict[str, Any] = {
        word.replace("-", "_"): int(value) if word.endswith("hits") else float(value)
        for word, value in stated.items()
        if word not in {"attribute", "order"}
    }
    profile["match_phase"] = MatchPhase(
        attribute=stated["attribute"], is_ascending=stated.get("order") == "ascending", **numbers
    )


def _diversity(source: Source, tree: Any) -> Diversity:
    """Return how many groups the match phase keeps.

    Raises:
        SchemaSyntaxError: If it has no attribute or no number of groups.
    """
    stated = dict(read_settings(source, tree.children, "diversity"))
    if not {"attribute", "min-groups"} <= stated.keys() or int(stated["min-groups"]) < 1:
        raise source.error(tree, "diversity: expected an attribute and min-groups of 1 or more")
    return Diversity(
        attribute=stated["attribute"],
        min_groups=int(stated["min-groups"]),
        cutoff_factor=float(stated.get("cutoff-factor", "10.0")),
        is_strict=stated.get("cutoff-strategy") == "strict",
    )


def _mutation(tree: Any) -> Mutation:
    phase, attribute, operator, number = tree.children
    text = str(number).removesuffix("L")
    return Mutation(phase=str(phase), attribute=str(attribute), operation=f"{operator}{text}")


def _graph_name(source: Source, token: Any, word: str) -> tuple[str, str]:
    """Return the graph's name of an input or output, and what stands for it in the schema.

    Raises:
        SchemaSyntaxError: If nothing stands behind the colon.
    """
    name, _, text = str(token)[len(word) :].rpartition(":")
    value = one_line(text)
    if not value:
        raise source.error(token, f"{word}: expected a name or feature behind the colon")
    return unquoted(name.strip()), value


ONE_BY_ONE = {
    "function": ("functions", _function),
    "onnx_model": ("onnx_models", onnx_model_of),
    "field_rank": ("field_ranks", _field_rank),
    "field_weight": ("field_ranks", _field_weight),
    "field_rank_type": ("field_ranks", _field_rank_type),
}
"""Rule → part of a profile that it is one of, and how it is read."""
