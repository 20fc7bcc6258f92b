"""``vespa-colbert plan``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from vespa_colbert.cli.console import print_json, print_line
from vespa_colbert.cli.options import (
    IndexOption,
    JsonFlag,
    PoolFactorOption,
    ProtectedTokensOption,
    RecipeOption,
    load_recipe,
    pooling_of,
)
from vespa_colbert.cli.planned import Planned, PlannedQuery, planned_json, planned_lines
from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from vespa_colbert.plan import Lengths
    from vespa_colbert.recipe import Recipe

THOUSANDS = {"k": 10**3, "M": 10**6, "G": 10**9}
DEFAULT_QUERY_TOKENS = 32

ApplicationArgument: TypeAlias = Annotated[
    Path | None, typer.Argument(help="The application package.")
]
DocumentsOption: TypeAlias = Annotated[
    str, typer.Option("-n", "--documents", help="Documents, such as 250k or 10M.")
]
TokensOption: TypeAlias = Annotated[
    int | None, typer.Option("-t", "--tokens", min=0, help="Token vectors of a document.")
]
QueryTokensOption: TypeAlias = Annotated[int, typer.Option(min=1, help="Token vectors of a query.")]
SchemaOption: TypeAlias = Annotated[str, typer.Option(help="The one schema to look at.")]
MatchedOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Documents that a query matches; all when not given.")
]
GflopsOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0.001, help="Thousand million operations a second that one thread does; 10 assumed."
    ),
]
CompareOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Another package, planned beside this one.")
]


def command(
    application: ApplicationArgument = None,
    documents: DocumentsOption = "1M",
    tokens: TokensOption = None,
    query_tokens: QueryTokensOption = DEFAULT_QUERY_TOKENS,
    index: IndexOption = None,
    schema: SchemaOption = "",
    matched: MatchedOption = None,
    gflops: GflopsOption = None,
    compare: CompareOption = None,
    pool_factor: PoolFactorOption = None,
    protected_tokens: ProtectedTokensOption = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show memory, disk and the work of a query for a number of documents, before deploying.

    Any application package. Cell types, residuals of a codec and dims that the model allows stand
    side by side, and factors of token pooling where the client embeds.

    Example: vespa-colbert plan output/app --documents 10M --tokens 120
    """
    from vespa_colbert.plan import choices, plan_application, poolings
    from vespa_colbert.recipe import Recipe

    said = Recipe() if application is not None and recipe is None else load_recipe(recipe)
    folder = application or said.app.output
    lengths = _lengths(tokens, query_tokens, index)
    lengths = _pooled(lengths, said, pool_factor, protected_tokens)
    total = _number(documents)
    query = PlannedQuery(matched=None if matched is None else _number(matched), gflops=gflops)
    plans = [
        plan_application(each, total, lengths, schema)
        for each in ([folder] if compare is None else [folder, compare])
    ]
    planned = Planned(
        documents=total,
        lengths=lengths,
        query=query,
        packages=plans,
        choices=choices(plans[0].dims, lengths) if plans[0].dims else (),
        poolings=poolings(folder, total, lengths, schema),
    )
    if as_json:
        print_json(planned_json(planned))
        return
    for line in planned_lines(planned):
        print_line(line)


def _lengths(tokens: int | None, query_tokens: int, index: Path | None) -> Lengths:
    from vespa_colbert.index import open_index
    from vespa_colbert.plan import Lengths, measured_lengths

    if index is None:
        if tokens is None:
            raise SpecError(
                "expected the number of token vectors of a document: give --tokens, or --index to "
                "count them"
            )
        return Lengths(document=tokens, query=query_tokens)
    if tokens is not None:
        raise SpecError("--tokens and --index: expected one of them, got both")
    return measured_lengths(open_index(index), query=query_tokens)


def _pooled(lengths: Lengths, said: Recipe, factor: float | None, protected: int | None) -> Lengths:
    """Return lengths that are pooled, by flag or recipe; a pooled index is what a recipe says."""
    if factor is None and lengths.counted_after.is_active:
        return lengths
    return replace(lengths, pooling=pooling_of(said, factor, protected))


def _number(text: str) -> int:
    factor = THOUSANDS.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    try:
        number = round(float(digits) * factor)
    except (ValueError, OverflowError):
        number = -1
    if number < 0:
        raise SpecError(f"expected a number of documents such as 5000, 250k or 10M, got {text!r}")
    return number
