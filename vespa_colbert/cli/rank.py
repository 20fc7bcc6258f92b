"""``vespa-colbert rank``."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import JsonFlag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vespa_colbert.rank import Hit, NearestNeighbor, Ranker
    from vespa_colbert.tensor import Tensor

SHOWN = 60
"""Characters of a tensor that a line shows; JSON has all of it."""


ApplicationArgument: TypeAlias = Annotated[Path, typer.Argument(help="The application package.")]
DocumentsOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        "-d",
        "--documents",
        help='JSON lines: {"id": …, "fields": {…}}, or Vespa\'s {"put": …, "fields": {…}}.',
    ),
]
ProfileOption: TypeAlias = Annotated[str, typer.Option("-p", "--profile", help="The rank profile.")]
SchemaOption: TypeAlias = Annotated[
    str, typer.Option("-s", "--schema", help="The schema, if there are several.")
]
TextOption: TypeAlias = Annotated[
    str, typer.Option("-q", "--query", help="The words of the query.")
]
QueryTensorOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("-t", "--query-tensor", help="name=literal, for query(name); repeatable."),
]
NearestOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--nearest", help="field=name or label:field=name, a nearestNeighbor; repeatable."
    ),
]
TargetHitsOption: TypeAlias = Annotated[
    int,
    typer.Option(
        "--target-hits",
        min=0,
        help="Documents that each nearestNeighbor finds, as with approximate:false; 0: all.",
    ),
]
VespaTermsFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--vespa-terms", help="bm25 over the terms of Vespa's linguistics (English)."),
]
HitsOption: TypeAlias = Annotated[int, typer.Option("-n", "--hits", min=1, help="Hits shown.")]


def command(
    application: ApplicationArgument,
    documents: DocumentsOption,
    profile: ProfileOption,
    schema: SchemaOption = "",
    text: TextOption = "",
    query_tensor: QueryTensorOption = None,
    nearest: NearestOption = None,
    target_hits: TargetHitsOption = 0,
    vespa_terms: VespaTermsFlag = False,
    hits: HitsOption = 10,
    as_json: JsonFlag = False,
) -> None:
    """Rank documents by a profile of a package, as its content nodes and container would.

    Example: vespa-colbert rank output/app -p max_sim -d documents.jsonl -t 'qt={0:[1,0]}'
    """
    from vespa_colbert.pipeline.onnx_models import open_onnx
    from vespa_colbert.rank import Ranker, RankQuery

    with terms(vespa=vespa_terms) as tokenize:
        ranker = Ranker.from_application(
            application, profile, documents, schema=schema, tokenize=tokenize, open_onnx=open_onnx
        )
        query = RankQuery(
            text=text,
            tensors=dict(_tensor(ranker, each) for each in query_tensor or ()),
            nearest=tuple(_nearest(each, target_hits) for each in nearest or ()),
        )
        found = ranker.rank(query, hits=hits)
    if as_json:
        _print_json(found)
    else:
        _print_lines(found, profile)


def _print_json(found: Sequence[Hit]) -> None:
    print_json([
        {
            "rank": rank,
            "id": hit.id,
            "relevance": _json_value(hit.relevance),
            "match-features": _json_values(hit.match_features),
            "summary-features": _json_values(hit.summary_features),
        }
        for rank, hit in enumerate(found, start=1)
    ])


def _print_lines(found: Sequence[Hit], profile: str) -> None:
    if not found:
        print_line(f"no document matches by {profile}")
    for rank, hit in enumerate(found, start=1):
        print_line(f"{rank:>3}  {hit.relevance:<12.6g}{hit.id}")
        for name, value in (*hit.match_features.items(), *hit.summary_features.items()):
            print_line(f"     {name} = {_shown(value)}")


@contextmanager
def terms(*, vespa: bool) -> Iterator[Callable[[str], list[str]]]:
    """Yield what makes terms of a text: Vespa's linguistics, else plain words."""
    from vespa_colbert.index.lexical import plain_tokens

    if not vespa:
        yield plain_tokens
        return
    from vespa_colbert.cli.java import open_java

    with open_java(Console()) as java:
        yield lambda text: java.index_terms([text])[0]


def _tensor(ranker: Ranker, given: str) -> tuple[str, Tensor]:
    """Return name and tensor of a ``name=literal``."""
    from vespa_colbert.errors import ExpressionError, TensorTypeError
    from vespa_colbert.rank.string_hash import string_value
    from vespa_colbert.tensor import Tensor
    from vespa_colbert.tensor.literal import parse_literal

    name, separator, literal = given.partition("=")
    if not separator or not name.strip():
        raise typer.BadParameter(f"expected name=literal, got {given!r}", param_hint="-t")
    name = name.strip().removeprefix("query(").removesuffix(")")
    if any(each.name == name and each.is_text for each in ranker.profile.inputs):
        return name, Tensor.number(string_value(literal))
    try:
        return name, parse_literal(literal, ranker.profile.input_types.get(name))
    except (ExpressionError, TensorTypeError) as error:
        error.add_note(f"--query-tensor {name}")
        raise


def _nearest(given: str, target_hits: int) -> NearestNeighbor:
    """Return the item that ``field=tensor`` or ``label:field=tensor`` spells."""
    from vespa_colbert.rank import NearestNeighbor

    target, separator, tensor = given.partition("=")
    label, _, field = target.rpartition(":")
    if not separator or not field or not tensor:
        raise typer.BadParameter(
            f"expected field=name or label:field=name, got {given!r}", param_hint="--nearest"
        )
    return NearestNeighbor(field=field, tensor=tensor, label=label, target_hits=target_hits)


def _json_values(values: Mapping[str, float | Tensor]) -> dict[str, Any]:
    return {name: _json_value(value) for name, value in values.items()}


def _json_value(value: float | Tensor) -> Any:
    """Return a number as JSON has it, what is not finite as text, and a tensor as its literal."""
    import math

    from vespa_colbert.tensor.literal import literal

    if not isinstance(value, float):
        return literal(value)
    return value if math.isfinite(value) else str(value)


def _shown(value: float | Tensor) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    from vespa_colbert.tensor.literal import literal

    text = literal(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
