"""The ``vespa-colbert`` command: verbs in the order of the data path, errors without traceback."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Annotated

import typer

from vespa_colbert import __version__
from vespa_colbert.cli.console import fail
from vespa_colbert.errors import ParityError, VespaColbertError

__all__ = ["app", "main"]

FAILED, PARITY = 1, 3

VERBS = (
    "demo",
    "init",
    "inspect",
    "check",
    "diagnose",
    "export",
    "models",
    "templates",
    "generate",
    "validate",
    "plan",
    "diff",
    "upgrade",
    "embed",
    "index",
    "feed",
    "train-codec",
    "compress",
    "search",
    "query",
    "rank",
    "rerank",
    "mine",
    "train",
    "head",
    "evaluate-expression",
    "evaluate",
    "verify",
    "deploy",
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "ColBERT on Vespa: convert a checkpoint, generate the application package, prove the "
        "scores with Vespa's own code. Results go to stdout, progress to stderr. "
        "Exit 0: fine, 1: failed, 2: wrong usage, 3: parity not met."
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log what stages do.")] = False,
) -> None:
    """Set up logging."""
    del version
    level = logging.INFO if verbose else logging.ERROR
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )


for verb in VERBS:
    module = importlib.import_module(f"vespa_colbert.cli.{verb.replace('-', '_')}")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=verb)
    else:
        app.command(verb)(module.command)


def main() -> None:
    """Run the command and end the process with its exit code."""
    try:
        app()
    except ParityError as error:
        fail(_text(error))
        sys.exit(PARITY)
    except VespaColbertError as error:
        fail(_text(error))
        sys.exit(FAILED)
    except SystemExit as ended:
        if _is_interrupt(ended):
            fail("interrupted; nothing was left half-written, run it again")
        raise
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does: nobody is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def _is_interrupt(ended: SystemExit) -> bool:
    """Return whether Ctrl-C ended the command, of which typer leaves an exit code alone."""
    return isinstance(getattr(ended.__context__, "__cause__", None), KeyboardInterrupt)


def _text(error: Exception) -> str:
    return "\n  in ".join([str(error), *getattr(error, "__notes__", [])])
