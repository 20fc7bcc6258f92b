"""What verbs that read a checkpoint let a user allow and state: flags, over the recipe's keys."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from vespa_colbert.checkpoint import ReadOptions
    from vespa_colbert.recipe import Recipe

__all__ = ["StatedOptions", "read_options", "takes_read_options"]

StatedOptions: TypeAlias = dict[str, Any]
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

Command = TypeVar("Command", bound=Callable[..., None])


def takes_read_options(command: Command) -> Command:
    """Return the verb with these flags added; it gets those given as ``stated``."""
    signature = inspect.signature(command)

    @functools.wraps(command)
    def with_flags(**given: Any) -> None:
        stated = {name: given.pop(name) for name in FLAGS}
        command(**given, stated={k: v for k, v in stated.items() if v is not None})

    own = [each for name, each in signature.parameters.items() if name != "stated"]
    hints = get_type_hints(command, include_extras=True)
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=flag)
        for name, flag in FLAGS.items()
    ]
    parameters = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[each.name])
        for each in own
    ]
    with_flags.__signature__ = inspect.Signature([*parameters, *flags])  # type: ignore[attr-defined]
    with_flags.__annotations__ = {each.name: each.annotation for each in [*parameters, *flags]}
    return with_flags  # type: ignore[return-value]


def read_options(said: Recipe, stated: StatedOptions | None) -> ReadOptions:
    """Return what is allowed and stated: the recipe's keys, with the given flags over them."""
    from vespa_colbert.checkpoint import ReadOptions

    given = dict(stated or {})
    if isinstance(words := given.get("skip_words"), str):
        given["skip_words"] = tuple(words.split())
    known = {each.name for each in fields(ReadOptions)}
    return replace(said.checkpoint.options, **{k: v for k, v in given.items() if k in known})
