"""What verbs that read a checkpoint let a user allow and state: flags, over the recipe's keys."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from vespa_colbert.cli.flags import Given, takes_flags

if TYPE_CHECKING:
    from vespa_colbert.checkpoint import ReadOptions
    from vespa_colbert.recipe import Recipe

__all__ = ["StatedOptions", "read_options", "takes_read_options"]

StatedOptions: TypeAlias = Given
"""Name of an option of ``ReadOptions`` → its value, for those given on the command line."""

FLAGS: dict[str, Any] = {
    "allow_pickle": Annotated[
        bool | None,
        typer.Option("--allow-pickle", help="Open torch files (.bin, .pt): tensors only."),
    ],
    "revision": Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit of a Hub model.")
    ],
    "head": Annotated[
        Path | None, typer.Option("--head", help="The projection of a plain encoder.")
    ],
    "query_marker": Annotated[
        str | None,
        typer.Option("--query-marker", help="Token after the start of a query; '' for none."),
    ],
    "document_marker": Annotated[
        str | None, typer.Option("--document-marker", help="The same for documents.")
    ],
    "max_query_tokens": Annotated[
        int | None, typer.Option("--max-query-tokens", help="Tokens of a query, special ones too.")
    ],
    "max_document_tokens": Annotated[
        int | None, typer.Option("--max-document-tokens", help="Tokens of a document.")
    ],
    "query_expansion": Annotated[
        bool | None,
        typer.Option(
            "--query-expansion/--no-query-expansion", help="Fill queries up with mask tokens."
        ),
    ],
    "expansion_attended": Annotated[
        bool | None,
        typer.Option(
            "--expansion-attended/--no-expansion-attended",
            help="Let the other tokens attend to them.",
        ),
    ],
    "skip_words": Annotated[
        str | None,
        typer.Option("--skip-words", help="Left out of documents, between spaces; '' for none."),
    ],
}
"""Option of ``ReadOptions`` → the flag that states it."""

takes_read_options = takes_flags("stated", FLAGS)
"""Decorates a verb with these flags; it gets those given as ``stated``."""


def read_options(said: Recipe, stated: StatedOptions | None) -> ReadOptions:
    """Return what is allowed and stated: the recipe's keys, with the given flags over them."""
    from vespa_colbert.checkpoint import ReadOptions

    given = dict(stated or {})
    if isinstance(words := given.get("skip_words"), str):
        given["skip_words"] = tuple(words.split())
    known = {each.name for each in fields(ReadOptions)}
    return replace(said.checkpoint.options, **{k: v for k, v in given.items() if k in known})
