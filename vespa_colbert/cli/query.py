"""``vespa-colbert query``."""

from __future__ import annotations

import json
from typing import Annotated, TypeAlias

import typer

from vespa_colbert.cli.console import print_json, print_line
from vespa_colbert.cli.options import (
    AppOption,
    ModelOption,
    ProfileOption,
    QuestionArgument,
    RecipeOption,
    load_recipe,
)

YqlOption: TypeAlias = Annotated[
    str, typer.Option("--yql", help="The statement, where not that of the profile.")
]
GroupOption: TypeAlias = Annotated[
    str, typer.Option("--group", help="Whose documents are searched, in streaming mode.")
]
QueryTensorOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "-t", "--query-tensor", help="name=literal, which no model here makes; repeatable."
    ),
]


def command(
    text: QuestionArgument,
    application: AppOption = None,
    model: ModelOption = None,
    profile: ProfileOption = None,
    yql: YqlOption = "",
    hits: Annotated[int | None, typer.Option("-n", "--hits", min=1, help="Hits asked for.")] = None,
    group: GroupOption = "",
    query_tensor: QueryTensorOption = None,
    recipe: RecipeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it on one line.")] = False,
) -> None:
    """Print the body of a request to Vespa: YQL, rank profile and all tensors it needs.

    Example: vespa-colbert query "open a file" -p max_sim_int8 > q.json; vespa query --file q.json
    """
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.pipeline import QueryOptions, only_schema, query_body
    from vespa_colbert.recipe import search_profile

    said = load_recipe(recipe)
    tensors = dict(_named(each) for each in query_tensor or ())
    package, folder = application or said.app.output, model or said.export.output
    is_there = model is not None or folder.is_dir()
    schema = only_schema(package)
    body = query_body(
        package,
        schema,
        text,
        profile or search_profile(said, schema.profile_names),
        model=read_model_folder(folder) if is_there else None,
        options=QueryOptions(yql=yql, hits=hits or said.search.hits, group=group, tensors=tensors),
    )
    if as_json:
        print_line(json.dumps(body, ensure_ascii=False))
    else:
        print_json(body)


def _named(given: str) -> tuple[str, str]:
    """Return the two sides of ``name=literal``."""
    name, separator, literal = given.partition("=")
    if not separator or not name.strip():
        raise typer.BadParameter(f"expected name=literal, got {given!r}", param_hint="-t")
    return name.strip().removeprefix("query(").removesuffix(")"), literal
