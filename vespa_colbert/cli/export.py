"""``vespa-colbert export``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vespa_colbert.cli.console import Console, print_json, print_line, table
from vespa_colbert.cli.effects import effect_lines
from vespa_colbert.cli.export_options import (
    export_options,
    takes_export_options,
    takes_kind_options,
    takes_push_options,
)
from vespa_colbert.cli.flags import Given
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe, needed
from vespa_colbert.cli.read_options import StatedOptions, read_options, takes_read_options
from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from vespa_colbert.export import ModelFolder
    from vespa_colbert.pipeline.export_kinds import WrittenModel


@takes_push_options
@takes_export_options
@takes_kind_options
@takes_read_options
def command(
    checkpoint: Annotated[Path | None, typer.Argument(help="The checkpoint folder.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The model folder.")] = None,
    recipe: RecipeOption = None,
    kind: Annotated[
        Literal["auto", "late-interaction", "dense", "cross-encoder"],
        typer.Option("--kind", help="What the checkpoint is; auto goes by what the folder holds."),
    ] = "auto",
    as_json: JsonFlag = False,
    stated: StatedOptions | None = None,
    facts: Given | None = None,
    asked: Given | None = None,
    push: Given | None = None,
) -> None:
    """Convert a checkpoint to a model folder, compared with torch before it gets its name.

    Example: vespa-colbert export my-checkpoint -o output/model
    """
    from vespa_colbert.pipeline import ExportRequest, export_any

    _check_push(push or {})
    said = load_recipe(recipe)
    request = ExportRequest(
        checkpoint=needed(checkpoint or said.checkpoint.path, "the checkpoint", "checkpoint.path"),
        output=output or said.export.output,
        export=export_options(said, asked),
        options=read_options(said, stated),
        stated=facts or {},
    )
    made = export_any(request, kind=kind, reporter=Console())
    if not as_json:
        _print(_lines(made.value, reused=made.reused))
    sent = _push(made.value, **push) if push else {}
    if as_json:
        facts = json.loads(made.value.manifest())
        print_json({"reused": made.reused, "path": made.value.path, **facts, **sent})
    elif sent:
        _print(_upload_lines(sent["upload"]))


def _check_push(push: Given) -> None:
    """Return nothing if a push can be tried; asked before the work that comes first."""
    from vespa_colbert.export.publish import check_repository

    if "push_to_hub" in push:
        check_repository(push["push_to_hub"])
    elif push:
        raise SpecError("--dry-run and --private go with --push-to-hub")


def _print(lines: list[str]) -> None:
    for line in lines:
        print_line(line)


def _lines(folder: ModelFolder | WrittenModel, *, reused: bool) -> list[str]:
    """Return what there is to say of a model folder."""
    from vespa_colbert.export import ModelFolder

    state = "still valid, reused" if reused else "written"
    if not isinstance(folder, ModelFolder):
        return [f"{folder.path}: {state}; {folder.summary}"]
    graph = folder.graph
    summary = (
        f"{folder.path}: {state}; packaging {folder.packaging} ({folder.reason}); contextual "
        f"{folder.embedder.dim} wide, opset {graph['opset']}, {graph['dtype']}, for Vespa "
        f"{graph['target']['vespa']} or newer; {folder.comparison}"
    )
    lines = [summary]
    if fused := graph["fused"]:
        listed = ", ".join(f"{count} {operator}" for operator, count in fused.items())
        lines.append(f"  fused: {listed}")
    return [*lines, *_loss_lines(folder), *effect_lines(folder)]


def _loss_lines(folder: ModelFolder) -> list[str]:
    """Return what a narrow dtype lost, with what is allowed."""
    from vespa_colbert.export.loss import loss_lines

    loss = folder.verification.get("loss")
    if loss is None:
        return []
    verdict = ": more is lost than is allowed" if loss["faults"] else ""
    texts = f"{loss['queries']} queries and {loss['documents']} documents"
    lines = [f"  {loss['dtype']} beside fp32, on {texts}{verdict}"]
    lines += [f"    {line}" for line in loss_lines(loss["dtype"], loss)]
    if cases := loss.get("cases"):
        worst = max(case["worst"] for case in cases)
        lines.append(f"    largest difference to torch {worst:.1e} on {len(cases)} shapes")
    return lines


def _push(
    folder: ModelFolder | WrittenModel,
    push_to_hub: str,
    private: bool = False,
    dry_run: bool = False,
) -> dict[str, dict[str, Any]]:
    """Return what was or would be sent; ``commit`` is its address, None if nothing was sent.

    Raises:
        SpecError: If it is no late-interaction model: the card speaks of token vectors.
    """
    from vespa_colbert.export import ModelFolder
    from vespa_colbert.export.publish import plan_upload, push_model

    if not isinstance(folder, ModelFolder):
        raise SpecError(
            f"{folder.path}: --push-to-hub: expected a late-interaction model, got another kind; "
            "only those of late interaction have a card"
        )
    upload = plan_upload(folder, push_to_hub)
    commit = None if dry_run else push_model(folder, push_to_hub, private=private)
    return {"upload": {**asdict(upload), "commit": commit}}


def _upload_lines(upload: dict[str, Any]) -> list[str]:
    sent = "sent" if upload["commit"] else "would be sent"
    lines = [f"{upload['repository']}: {sent}"]
    lines += table([(name, f"{size} bytes") for name, size in upload["files"].items()])
    if upload["commit"]:
        return [*lines, f"  {upload['commit']}"]
    return [*lines, "", *upload["card"].splitlines()]
