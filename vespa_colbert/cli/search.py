"""``vespa-colbert search``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.options import (
    AppOption,
    IndexOption,
    JsonFlag,
    ModelOption,
    ProfileOption,
    QuestionArgument,
    RecipeOption,
    load_recipe,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vespa_colbert.pipeline import Searcher
    from vespa_colbert.pipeline.candidates import Finding
    from vespa_colbert.pipeline.search import MatchedToken
    from vespa_colbert.recipe import Recipe


FINDING: dict[str, Any] = {
    "by": Annotated[
        str | None,
        typer.Option(
            "--candidates",
            help="What finds documents: query (as the package asks), all, nearest (to each query "
            "token), scan (as approximate:false), graph (HNSW, beside the index) or words (bm25).",
        ),
    ],
    "target_hits": Annotated[
        int | None,
        typer.Option("--target-hits", min=1, help="Documents for each token, or for the words."),
    ],
    "explore": Annotated[
        int | None, typer.Option("--explore", min=1, help="Of the graph: vectors kept in view.")
    ],
    "max_links": Annotated[
        int | None, typer.Option("--max-links", min=2, help="Of the graph: links of a vector.")
    ],
    "neighbors_to_explore": Annotated[
        int | None,
        typer.Option("--neighbors-to-explore", min=1, help="Of the graph: looked at on insert."),
    ],
    "rebuild": Annotated[bool | None, typer.Option("--build-graph", help="Build the graph again.")],
}
OF_GRAPH = ("explore", "max_links", "neighbors_to_explore", "rebuild")


@takes_flags("finding", FINDING)
def command(
    text: QuestionArgument,
    application: AppOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    profile: ProfileOption = None,
    hits: Annotated[int | None, typer.Option("-n", "--hits", min=1, help="Hits shown.")] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
    finding: Given | None = None,
) -> None:
    """Rank the index by a profile of the package's own schema, and show why.

    Example: vespa-colbert search "how do I open a file?" -p max_sim_float -n 3
    """
    said = load_recipe(recipe)
    searcher = open_searcher(said, application, index, model)
    name = profile or _profile(said, searcher)
    chosen = _finding(finding or {})
    found = searcher.search(text, name, hits=hits or said.search.hits, finding=chosen)
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
        held = len(searcher.index)
        where = f"the index {searcher.index.path} has no documents"
        print_line(f"no document matches by {name}" if held else where)
    for rank, hit in enumerate(found, start=1):
        document = searcher.index.documents[hit.position]
        print_line(f"{rank:>3}  {hit.relevance:<12.6g}{hit.id}  {document.text('title')}")
        text = document.text("text") or document.text("contexts")
        print_line(f"     {' '.join(text.split())[:100]}")
        if shown := strongest(searcher.matched_tokens(text, name, hit)):
            print_line(f"     {shown}")


def _profile(said: Recipe, searcher: Searcher) -> str:
    """Return the profile of a search that names none."""
    from vespa_colbert.app.variants.residual import FIELD
    from vespa_colbert.recipe import search_profile

    names, held = searcher.schema.profile_names, set(searcher.index.tensors)
    return search_profile(said, names, residuals_alone=held == {FIELD})


def _finding(given: Given) -> Finding:
    """Return how documents are found."""
    from vespa_colbert.index.token_graph import GraphOptions
    from vespa_colbert.pipeline.candidates import By, Finding

    known = get_args(By)
    if (chosen := given.get("by", "query")) not in known:
        raise typer.BadParameter(
            f"expected {', '.join(known)}, got {chosen!r}", param_hint="--candidates"
        )
    _check_options(given, chosen)
    options = {name: given[name] for name in given if name in OF_GRAPH}
    rebuild = options.pop("rebuild", False)
    return Finding(
        by=chosen,
        target_hits=given.get("target_hits", 0),
        graph=GraphOptions(**options),
        rebuild=rebuild,
    )


def _check_options(given: Given, by: str) -> None:
    """Return nothing if what was given says something of how documents are found.

    Raises:
        BadParameter: If it does not: a number would seem to have been heeded.
    """
    for name in given if by != "graph" else ():
        if name in OF_GRAPH:
            flag = "--build-graph" if name == "rebuild" else f"--{name.replace('_', '-')}"
            raise typer.BadParameter(
                f"goes with --candidates graph, got --candidates {by}", param_hint=flag
            )
    if by == "all" and "target_hits" in given:
        raise typer.BadParameter(
            "--candidates all ranks every document; leave it out", param_hint="--target-hits"
        )


def strongest(matched: Sequence[MatchedToken], count: int = 8) -> str:
    """Return the matches of words that stand out most as one line, markers and the like left out.

    A word that is like every token of a document says little, however large its product is.
    """
    words = [each for each in matched if each.query_token.strip("#").isalnum()]
    best = sorted(words, key=lambda each: each.mean - each.value)[:count]
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
        say=Console().say,
    )
