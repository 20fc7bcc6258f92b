"""``vespa-colbert deploy``."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe

if TYPE_CHECKING:
    from vespa_colbert.cluster import Deployment, Step, VespaCli


ApplicationArgument: TypeAlias = Annotated[
    Path | None, typer.Argument(help="The application package.")
]
TargetOption: TypeAlias = Annotated[
    str, typer.Option("-t", "--target", help="local, cloud or a config server's URL.")
]
WaitOption: TypeAlias = Annotated[
    int, typer.Option("-w", "--wait", min=0, help="Seconds to wait for services; 0: don't.")
]
DeadlineOption: TypeAlias = Annotated[
    int,
    typer.Option("--deadline", min=0, help="Give up then; 0: both waits and 10 minutes."),
]
ThroughOption: TypeAlias = Annotated[
    Literal["vespa", "pyvespa"],
    typer.Option("--with", help="The vespa CLI, or pyvespa (Docker, Vespa Cloud)."),
]
ApplicationIdOption: TypeAlias = Annotated[
    str, typer.Option("--application-id", help="tenant.application, as Vespa Cloud needs it.")
]
ZoneOption: TypeAlias = Annotated[str, typer.Option("-z", "--zone", help="A zone of Vespa Cloud.")]
PrepareFlag: TypeAlias = Annotated[
    bool, typer.Option("--prepare", help="Let the server judge the package, no more.")
]
ProductionFlag: TypeAlias = Annotated[
    bool, typer.Option("--production", help="Submit to Vespa Cloud's production zones.")
]
ArchiveOption: TypeAlias = Annotated[
    Path | None, typer.Option("--archive", help="Write the zip that is uploaded here too.")
]
VespaCliOption: TypeAlias = Annotated[
    Path | None, typer.Option("--vespa-cli", help="The vespa CLI to use.")
]
DryRunFlag: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be uploaded, and how; send nothing.")
]


def command(
    application: ApplicationArgument = None,
    target: TargetOption = "",
    wait: WaitOption = 0,
    deadline: DeadlineOption = 0,
    through: ThroughOption = "vespa",
    application_id: ApplicationIdOption = "",
    zone: ZoneOption = "",
    prepare: PrepareFlag = False,
    production: ProductionFlag = False,
    archive: ArchiveOption = None,
    vespa_cli: VespaCliOption = None,
    dry_run: DryRunFlag = False,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Deploy a package; exit 1 if Vespa does not take it.

    Example: vespa-colbert deploy output/app -t local -w 300
    """
    from vespa_colbert.cluster import Deployment, find_vespa_cli, package_root, write_archive

    if prepare and production:
        raise typer.BadParameter("expected one of --prepare and --production")
    folder = application or load_recipe(recipe).app.output
    deployment = Deployment(
        target=target,
        step=_step(prepare, production),
        wait_seconds=wait,
        deadline_seconds=deadline,
        application_id=application_id,
        zone=zone,
    )
    root = package_root(folder)
    _warn(root)
    client = find_vespa_cli(vespa_cli) if through == "vespa" else None
    if archive is not None:
        write_archive(root, archive)
    if dry_run:
        _show(folder, root, _command(client, deployment, folder), as_json=as_json)
    else:
        _deploy(folder, deployment, client, as_json=as_json)


def _warn(root: Path) -> None:
    """Say on stderr how a package of ours differs from what was generated."""
    from vespa_colbert.cluster import changes_by_hand

    if changes := changes_by_hand(root):
        Console().say(f"warning: {changes}")


def _deploy(
    folder: Path, deployment: Deployment, client: VespaCli | None, *, as_json: bool
) -> None:
    """Deploy a package and print where it is, if that is known."""
    from vespa_colbert.cluster import deploy_package, deploy_through_pyvespa

    endpoint = ""
    with _termination_as_interrupt():
        if client is not None:
            deploy_package(folder, deployment, client, output=sys.stderr if as_json else None)
        else:
            endpoint = deploy_through_pyvespa(folder, deployment)
    if as_json:
        print_json({"application": folder, "step": deployment.step, "endpoint": endpoint})
    elif endpoint:
        print_line(f"{folder}: deployed, {endpoint}")


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Have a request to end stop what runs below us too, as an interrupt does."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _step(prepare: bool, production: bool) -> Step:
    return "prepare" if prepare else "production" if production else "deploy"


def _command(client: VespaCli | None, deployment: Deployment, folder: Path) -> str:
    if client is None:
        return f"pyvespa, target {deployment.target or 'local'}"
    return " ".join([str(client.path), *deployment.arguments(folder)])


def _show(folder: Path, root: Path, command: str, *, as_json: bool) -> None:
    """Print what would be uploaded, and by which command."""
    from vespa_colbert.cluster import package_files

    sizes = {name: file.stat().st_size for name, file in package_files(root).items()}
    if as_json:
        print_json({"application": folder, "files": sizes, "command": command})
        return
    print_line(f"{folder}: {len(sizes)} files, {sum(sizes.values())} bytes would be uploaded")
    for name, size in sizes.items():
        print_line(f"  {name}  {size} bytes")
    print_line(f"by: {command}")
