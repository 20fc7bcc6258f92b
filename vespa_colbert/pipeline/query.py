"""What is sent to Vespa for a question: the YQL, the rank profile, and every tensor it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.app import Query, RankProfile, Schema, read_package
from vespa_colbert.app.sent import holds_tokens, is_embedded, is_token_input, token_place
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import ExpressionError, SpecError, TensorTypeError
from vespa_colbert.export import ModelFolder
from vespa_colbert.tensor import Dimension, Tensor, TensorType, cells_of
from vespa_colbert.tensor.literal import parse_literal
from vespa_colbert.tensor.literal_text import literal

__all__ = [
    "QueryOptions",
    "other_inputs",
    "package_name",
    "package_queries",
    "query_body",
    "query_tensors",
    "sent_fields",
    "token_inputs",
]

PACKAGED_MODEL = "files/model.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """What one may choose about a request.

    Attributes:
        yql: The statement; empty for that of the profile.
        hits: How many hits come back.
        group: Whose documents are searched, in streaming mode.
        tensors: Input → literal of the tensor that fills it, of those that no model here makes.
    """

    yql: str = ""
    hits: int = 10
    group: str = ""
    tensors: Mapping[str, str] = field(default_factory=dict)


UNCHANGED = QueryOptions()


def package_queries(application: Path) -> dict[str, Query]:
    """Return how the rank profiles of a package are asked; empty if it is none of ours."""
    try:
        return {each.profile: each for each in read_package(application, check=False).queries}
    except SpecError:
        return {}


def package_name(application: Path) -> str:
    """Return an application's name, the namespace of its documents; empty if not one of ours."""
    try:
        return read_package(application, check=False).name
    except SpecError:
        return ""


def sent_fields(application: Path) -> frozenset[str]:
    """Return the tensor fields that whoever feeds fills without a model of the recipe."""
    try:
        fed = read_package(application, check=False).fed
    except SpecError:
        return frozenset()
    return frozenset(name for name, statement in fed.items() if not is_embedded(statement))


def query_body(
    application: Path,
    schema: Schema,
    text: str,
    profile: str,
    *,
    model: ModelFolder | None = None,
    options: QueryOptions = UNCHANGED,
) -> dict[str, Any]:
    """Return the body of a request to Vespa, as ``vespa query --file`` takes it.

    Tensors that Vespa's embedder can make are left to it.

    Args:
        application: The package.
        schema: Its schema.
        text: The question.
        profile: Name of a rank profile.
        model: Makes the token vectors that Vespa does not.
        options: The choices.

    Raises:
        SpecError: If it is not known how the profile is asked, or a model or group is missing.
    """
    query, asked = _query(application, schema, profile), schema.profile(profile)
    sent = _sent(query, asked, given := _given(options, asked))
    vectors = _vectors(application, text, model) if sent else None
    tensors = given | ({} if vectors is None else query_tensors(sent, vectors))
    values = dict(each for each in query.inputs if each[1])
    # Its type stands in the rank profile and need not be said with each tensor.
    values |= {name: literal(each).partition(":")[2] for name, each in tensors.items()}
    return {
        "yql": options.yql or query.yql(schema.name, None if vectors is None else len(vectors)),
        "text": text,
        "ranking.profile": profile,
        "hits": options.hits,
        **{f"input.query({name})": value for name, value in values.items()},
        **dict(_parameters(query, options, profile)),
        **_presentation(schema),
    }


def _query(application: Path, schema: Schema, profile: str) -> Query:
    """Return how a profile is asked.

    Raises:
        SpecError: If there is no such profile, or nobody says how its inputs are filled.
    """
    wanted = schema.profile(profile)
    if (known := package_queries(application).get(profile)) is not None:
        return known
    if others := other_inputs(wanted):
        raise SpecError(
            f"rank profile {profile}: it is not known what fills query({others[0]}): the package "
            "was not generated with this profile"
        )
    return Query(profile=profile, inputs=tuple((name, "") for name in token_inputs(wanted)))


def _given(options: QueryOptions, profile: RankProfile) -> dict[str, Tensor]:
    """Return the tensors that whoever asks gives.

    Raises:
        SpecError: If the profile has no such input, or one is no tensor of its type.
    """
    kinds, found = profile.input_types, {}
    for name, text in options.tensors.items():
        if name not in kinds:
            known = ", ".join(kinds) or "none"
            raise SpecError(
                f"rank profile {profile.name}: expected an input of {known}, got {name!r}"
            )
        try:
            found[name] = parse_literal(text, kinds[name])
        except (ExpressionError, TensorTypeError) as error:
            raise SpecError(f"query({name}): expected a {kinds[name]}: {error}") from error
    return found


def _sent(query: Query, profile: RankProfile, given: Mapping[str, Tensor]) -> dict[str, TensorType]:
    """Return the inputs that token vectors fill here.

    Raises:
        SpecError: If one is another model's, and not given.
    """
    kinds = profile.input_types
    sent = {name: kinds[name] for name, source in query.inputs if not (source or name in given)}
    for name in other_inputs(profile):
        if name in sent:
            raise SpecError(
                f"rank profile {profile.name}: query({name}) is sent by whoever asks, and no model "
                f"here makes it; give it with --query-tensor '{name}=…', a {sent[name]}"
            )
    return sent


def _vectors(application: Path, text: str, model: ModelFolder | None) -> TokenVectors:
    """Return the token vectors of a question.

    Raises:
        SpecError: If no model is given, or another one than the package holds.
    """
    if model is None:
        raise SpecError(
            "the token vectors of this query are sent with it: name the model that makes them "
            "with --model"
        )
    try:
        packaged = read_package(application, check=False).files.get(PACKAGED_MODEL)
    except SpecError:
        packaged = None
    if packaged is not None and packaged.sha256 != model.checksum:
        raise SpecError(f"{model.path}: expected the model that {application} holds, got another")
    return LocalEmbedder(model).embed(text, "query")


def token_inputs(profile: RankProfile) -> dict[str, TensorType]:
    """Return the inputs of a profile that token vectors fill: all of them, or one each."""
    return {
        each.name: each.type
        for each in profile.inputs
        if not each.default and is_token_input(each.name, each.type)
    }


def other_inputs(profile: RankProfile) -> tuple[str, ...]:
    """Return the tensors that a profile asks for and token vectors cannot fill."""
    filled = token_inputs(profile)
    return tuple(
        each.name
        for each in profile.inputs
        if not each.default and each.name not in filled and not each.type.is_number
    )


def query_tensors(inputs: Mapping[str, TensorType], vectors: TokenVectors) -> dict[str, Tensor]:
    """Return the tensors of a query, cut to their width; those of tokens it has not are left out.

    Args:
        inputs: Name → type: a vector for each token, or for one token (``rq0``) its vector.
        vectors: (token, dim) float32.

    Raises:
        SpecError: If an input is of another type.
    """
    return dict(_tensors(inputs, vectors))


def _tensors(
    inputs: Mapping[str, TensorType], vectors: TokenVectors
) -> Iterator[tuple[str, Tensor]]:
    for name, kind in inputs.items():
        place = token_place(name, kind)
        if place is not None and place < len(vectors):
            rows = TensorType(kind.cell_type, (Dimension("qt"), *kind.dimensions))
            yield name, Tensor.dense(kind, cells_of(vectors[place : place + 1], rows)[0])
        elif place is None and holds_tokens(kind):
            yield name, Tensor.rows(kind, cells_of(vectors, kind))
        elif place is None:
            raise SpecError(f"query({name}): expected token vectors, got a {kind}")


def _parameters(query: Query, options: QueryOptions, profile: str) -> Iterator[tuple[str, str]]:
    given = {"streaming.groupname": options.group}
    for name, value in query.parameters:
        if not (said := value or given.get(name, "")):
            raise SpecError(
                f"rank profile {profile}: expected a value of {name}: name the group of documents "
                "with --group"
            )
        yield name, said


def _presentation(schema: Schema) -> dict[str, str]:
    """Return what hits are to carry: the texts alone where there is such a summary."""
    shown = [each.name for each in schema.summaries]
    return {"presentation.summary": shown[0]} if shown else {}
