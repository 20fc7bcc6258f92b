"""``vespa-colbert templates``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vespa_colbert.cli.console import print_json, print_line
from vespa_colbert.cli.options import JsonFlag


def command(
    eject: Annotated[
        Path | None, typer.Option("--eject", help="A new folder that gets copies of your own.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the templates that print a package, or copy them into a folder to change them.

    Give that folder to `vespa-colbert generate --templates FOLDER`: templates are rendered in a
    sandbox, further ones are printed too, and files without .jinja are copied into the package.

    Example: vespa-colbert templates --eject my-templates
    """
    from vespa_colbert.app import eject_templates, template_root

    root = template_root()
    found = sorted(path for path in root.rglob("*.jinja"))
    if eject is not None:
        found = sorted(eject_templates(eject))
    if as_json:
        print_json({"folder": eject or root, "templates": found})
        return
    for path in found:
        print_line(str(path))
    if eject is not None:
        print_line(f"edit them, then: vespa-colbert generate --templates {eject}")
