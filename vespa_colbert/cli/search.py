"""``vespa-colbert search``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import print_json, print_line
from vespa_colbert.cli.options import (
    AppOption,
    IndexOption,
    JsonFlag,
    ModelOption,
    RecipeOption,
    load_recipe,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vespa_colbert.pipeline import Searcher
    from vespa_colbert.pipeline.search import MatchedToken
    from vespa_colbert.recipe import Recipe


def command(
    text: Annotated[str, typer.Argument(help="The question.")],
    application: AppOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    profile: Annotated[
        str | None, typer.Option("-p", "--profile", help="The rank profile.")
    ] = None,
    hits: Annotated[int | None, typer.Option("-n", "--hits", min=1, help="Hits shown.")] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Rank the index by a profile of the package's own schema, and show why.

    Example: vespa-colbert search "how do I open a file?" -p max_sim_float -n 3
    """
    from vespa_colbert.recipe import search_profile

    said = load_recipe(recipe)
    searcher = open_searcher(said, application, index, model)
    name = profile or search_profile(said, searcher.schema.profile_names)
    found = searcher.search(text, name, hits=hits or said.search.hits)
    if as_json:
        print_json([
            {
                "rank": rank,
                "id": hit.id,
                "relevance": hit.relevance,
                "match-features": hit.match_features,
                "fields": searcher.index.documents[hit.position].fields,
            }
            for rank, hit in enumerate(found, start=1)
        ])
        return
    if not found:
        print_line(f"no document matches by {name}")
    for rank, hit in enumerate(found, start=1):
        document = searcher.index.documents[hit.position]
        print_line(f"{rank:>3}  {hit.relevance:<12.6g}{hit.id}  {document.text('title')}")
        text = document.text("text") or document.text("contexts")
        print_line(f"     {' '.join(text.split())[:100]}")
        if shown := strongest(searcher.matched_tokens(text, name, hit)):
            print_line(f"     {shown}")


def strongest(matched: Sequence[MatchedToken], count: int = 8) -> str:
    """Return the best matches of words as one line, markers and the like left out."""
    words = [each for each in matched if each.query_token.strip("#").isalnum()]
    best = sorted(words, key=lambda each: -each.value)[:count]
    return "  ".join(f"{each.query_token}→{each.document_token} {each.value:.2f}" for each in best)


def open_searcher(
    said: Recipe, application: Path | None, index: Path | None, model: Path | None
) -> Searcher:
    """Return package, index and model opened together, flags before recipe keys."""
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.pipeline import Searcher

    return Searcher(
        application or said.app.output,
        index or said.index.output,
        read_model_folder(model or said.export.output),
        threads=said.index.threads,
    )
