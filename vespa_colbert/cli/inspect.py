"""``vespa-colbert inspect``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import print_json, print_line, table
from vespa_colbert.cli.effects import outlook_lines
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe, needed
from vespa_colbert.cli.read_options import StatedOptions, read_options, takes_read_options

if TYPE_CHECKING:
    from vespa_colbert.export import Description, PackagingOutlook


@takes_read_options
def command(
    checkpoint: Annotated[Path | None, typer.Argument(help="The checkpoint folder.")] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
    stated: StatedOptions | None = None,
) -> None:
    """Show what a checkpoint says: layout, markers, lengths, where each value comes from.

    Example: vespa-colbert inspect my-checkpoint
    """
    from vespa_colbert.checkpoint import read_checkpoint
    from vespa_colbert.export import compare_packagings, describe_checkpoint

    said = load_recipe(recipe)
    path = needed(checkpoint or said.checkpoint.path, "the checkpoint", "checkpoint.path")
    read = read_checkpoint(path, read_options(said, stated))
    found, outlook = describe_checkpoint(read), compare_packagings(read)
    if as_json:
        print_json(asdict(found) | {"packaging": asdict(outlook)})
        return
    for line in _lines(found, outlook):
        print_line(line)


def _lines(found: Description, outlook: PackagingOutlook) -> list[str]:
    """Return the description as lines of text."""
    encoder = ", ".join(f"{name} {value}" for name, value in found.encoder.items())
    lines = [
        f"{found.path}: {found.layout} checkpoint, {found.dim} dims",
        f"  encoder: {encoder}",
    ]
    lines += [
        "  projection: " + ", ".join(f"{name} {value}" for name, value in layer.items())
        for layer in found.projection
    ]
    lines += ["", "facts, and where each comes from"]
    lines += table([
        (name, _shown(value), found.provenance.get(name, "")) for name, value in found.facts.items()
    ])
    if found.embedder is not None:
        lines += ["", "the colbert-embedder that it leads to"]
        lines += table([(name, str(value)) for name, value in asdict(found.embedder).items()])
    lines += ["", *outlook_lines(outlook)]
    return lines + [f"warning: {warning}" for warning in found.warnings]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return " ".join(str(each) for each in value)
    return str(value)
