"""``vespa-colbert mine``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.options import (
    AppOption,
    IndexOption,
    JsonFlag,
    ModelOption,
    RecipeOption,
    load_recipe,
)
from vespa_colbert.cli.search import open_searcher

if TYPE_CHECKING:
    from vespa_colbert.evaluate import JudgedCollection
    from vespa_colbert.pipeline import Mined
    from vespa_colbert.train import Search


class Terms(StrEnum):
    """What bm25 counts."""

    WORDS = "words"
    BIGRAMS = "bigrams"


class PickFlag(StrEnum):
    """Which of more candidates are taken."""

    HARDEST = "hardest"
    RANDOM = "random"


CollectionArgument: TypeAlias = Annotated[
    Path, typer.Argument(help="Folder with corpus.jsonl, queries.jsonl and qrels/.")
]
OPTIONS: dict[str, Any] = {
    "negatives": Annotated[
        int | None, typer.Option("-n", "--negatives", min=1, help="Of a row at most; 7 else.")
    ],
    "first": Annotated[
        int | None, typer.Option("--first", min=1, help="Best rank that is taken; 2 else.")
    ],
    "last": Annotated[
        int | None, typer.Option("--last", min=1, help="Worst rank that is taken; 50 else.")
    ],
    "margin": Annotated[
        float | None,
        typer.Option("--margin", min=0, help="By how much the positive must score higher."),
    ],
    "relative_margin": Annotated[
        float | None,
        typer.Option("--relative-margin", min=0, help="The same, as a share of its score."),
    ],
    "pick": Annotated[
        PickFlag | None, typer.Option("--pick", help="Which of more candidates; hardest else.")
    ],
    "seed": Annotated[int | None, typer.Option("--seed", min=0, help="Of random picks; 0 else.")],
}


@takes_flags("chosen", OPTIONS)
def command(
    collection: CollectionArgument,
    chosen: Given,
    output: Annotated[Path, typer.Option("-o", "--output", help="The training rows.")],
    split: Annotated[
        str, typer.Option("--split", help="Which judgements: the file qrels/SPLIT.tsv.")
    ] = "train",
    profile: Annotated[
        str, typer.Option("-p", "--profile", help="Search by this rank profile, not by bm25.")
    ] = "",
    application: AppOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    terms: Annotated[
        Terms, typer.Option("--terms", help="Of bm25; bigrams for Chinese and Japanese.")
    ] = Terms.WORDS,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find hard negatives for judged queries: documents that a search ranks high and none answers.

    Example: vespa-colbert mine scifact --split train -o rows.jsonl --first 2 --last 50
    """
    from vespa_colbert.evaluate import beir_files, read_judged
    from vespa_colbert.pipeline import mine_collection, profile_search
    from vespa_colbert.train import MiningOptions, Pick

    if "pick" in chosen:
        chosen["pick"] = Pick(chosen["pick"].value)
    options = MiningOptions(**chosen)
    judged = read_judged(beir_files(collection, split))
    if profile:
        searcher = open_searcher(load_recipe(recipe), application, index, model)
        search = profile_search(searcher, profile)
    else:
        search = _by_bm25(judged, terms)
    made = mine_collection(judged, search, options, output, Console())
    _print(made, profile or "bm25", as_json=as_json)


def _by_bm25(judged: JudgedCollection, terms: Terms) -> Search:
    from vespa_colbert.index.lexical import bigram_tokens, plain_tokens
    from vespa_colbert.pipeline import bm25_search

    tokenize = bigram_tokens if terms is Terms.BIGRAMS else plain_tokens
    return bm25_search(judged.documents, tokenize)


def _print(made: Mined, by: str, *, as_json: bool) -> None:
    queries = len({row.query for row in made.rows})
    if as_json:
        print_json({
            "output": made.path,
            "by": by,
            "queries": queries,
            "rows": len(made.rows),
            "negatives": made.negatives,
            "rows-without": made.without,
        })
        return
    print_line(
        f"{made.path}: {len(made.rows)} rows for {queries} queries, {made.negatives} negatives "
        f"by {by}"
    )
    if made.without:
        print_line(f"  {made.without} rows without a negative: they are pairs")
