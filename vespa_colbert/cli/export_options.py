"""How a verb that writes a model folder is told to: flags, over the recipe's keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vespa_colbert.cli.flags import Given, takes_flags

if TYPE_CHECKING:
    from vespa_colbert.export import ExportOptions
    from vespa_colbert.recipe import Recipe

__all__ = ["export_options", "takes_export_options", "takes_kind_options", "takes_push_options"]

FLAGS: dict[str, Any] = {
    "packaging": Annotated[
        Literal["auto", "native", "exact"] | None,
        typer.Option("--packaging", help="The plain graph, or the training library's semantics."),
    ],
    "dims": Annotated[
        int | None, typer.Option("--dims", help="Components to leave of a token vector.")
    ],
    "accept_drift": Annotated[
        bool | None,
        typer.Option("--accept-drift", help="Write a model whose scores will change."),
    ],
    "opset": Annotated[int | None, typer.Option("--opset", help="ONNX operator set.")],
    "dtype": Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option("--dtype", help="Of the weights; what is lost is measured and gated."),
    ],
    "optimize": Annotated[
        bool | None,
        typer.Option(
            "--optimize", help="Attention as one operator, for BERT and its like: faster."
        ),
    ],
    "verify": Annotated[
        bool | None,
        typer.Option("--verify/--no-verify", help="Compare ONNX Runtime with torch."),
    ],
    "vespa_version": Annotated[
        str | None,
        typer.Option("--vespa-version", help="Oldest Vespa release that must load the model."),
    ],
}
"""Option of ``ExportOptions`` → the flag that sets it."""

PUSH_FLAGS: dict[str, Any] = {
    "push_to_hub": Annotated[
        str | None, typer.Option("--push-to-hub", help="Hub name to send the model folder to.")
    ],
    "dry_run": Annotated[
        bool | None,
        typer.Option("--dry-run", help="Show what would be sent, and send nothing."),
    ],
    "private": Annotated[
        bool | None, typer.Option("--private", help="Make a new Hub repository private.")
    ],
}

KIND_FLAGS: dict[str, Any] = {
    "pooling": Annotated[
        Literal["cls", "mean", "lasttoken", "max", "weightedmean", "mean_sqrt_len_tokens"] | None,
        typer.Option("--pooling", help="How a dense model makes one vector of its rows."),
    ],
    "normalize": Annotated[
        bool | None,
        typer.Option("--normalize/--no-normalize", help="Bring dense vectors to length 1."),
    ],
    "query_prepend": Annotated[
        str | None,
        typer.Option("--query-prepend", help="Instruction before the text of a query."),
    ],
    "document_prepend": Annotated[
        str | None,
        typer.Option("--document-prepend", help="The same before the text of a document."),
    ],
    "max_tokens": Annotated[
        int | None,
        typer.Option("--max-tokens", help="Tokens of a text, or of a pair, special ones too."),
    ],
}
"""Fact that dense models or cross-encoders alone have → the flag that states it."""

takes_push_options = takes_flags("push", PUSH_FLAGS)
"""Decorates a verb with the flags of a push; it gets those given as ``push``."""

takes_kind_options = takes_flags("facts", KIND_FLAGS)
"""Decorates a verb with the flags of facts that some kinds of models alone have; it gets those
given as ``facts``."""

takes_export_options = takes_flags("asked", FLAGS)
"""Decorates a verb with these flags; it gets those given as ``asked``."""


def export_options(said: Recipe, asked: Given | None) -> ExportOptions:
    """Return how to export: the recipe's keys, with the given flags over them."""
    return replace(said.export_options, **(asked or {}))
