"""``vespa-colbert head``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe, needed
from vespa_colbert.cli.read_options import StatedOptions, read_options, takes_read_options
from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from vespa_colbert.pipeline import HeadWritten


FLAGS: dict[str, Any] = {
    "method": Annotated[
        Literal["pca", "itq"] | None,
        typer.Option("--method", help="pca: best to cut; itq: best to pack. itq else."),
    ],
    "start": Annotated[
        Literal["own", "new"] | None,
        typer.Option("--head-start", help="Of its own head's outputs, or of the encoder's rows."),
    ],
    "dims": Annotated[
        int | None, typer.Option("--dims", min=1, help="Components of a token vector.")
    ],
    "cuts": Annotated[
        str | None,
        typer.Option("--cuts", help="Widths to be cut to, as 64,32: itq rotates between them."),
    ],
    "centered": Annotated[
        bool | None,
        typer.Option("--center/--no-center", help="Subtract the mean; changes float scores."),
    ],
    "whitening": Annotated[
        float | None,
        typer.Option(
            "--whiten", min=0, max=1, help="0 to 1: large components smaller; changes float scores."
        ),
    ],
    "seed": Annotated[int | None, typer.Option("--seed", min=0, help="Of all that is drawn.")],
    "most_texts": Annotated[
        int | None, typer.Option("--most-texts", min=0, help="Drawn of more; 2000 else, 0: all.")
    ],
    "device": Annotated[
        Literal["auto", "cpu", "cuda"] | None, typer.Option("--device", help="Of the encoder.")
    ],
}
"""Option of ``HeadOptions`` → the flag that sets it."""


@takes_flags("chosen", FLAGS)
@takes_read_options
def command(
    texts: Annotated[
        Path, typer.Option("--texts", help="JSONL corpus, or a file with a text on each line.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The checkpoint with the new head.")
    ],
    checkpoint: Annotated[Path | None, typer.Argument(help="What gets another head.")] = None,
    layout: Annotated[
        Literal["same", "stand-alone", "pylate"],
        typer.Option("--layout", help="In which it is written."),
    ] = "same",
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
    stated: StatedOptions | None = None,
    chosen: Given | None = None,
) -> None:
    """Give a checkpoint another head without training: fewer components, better bits, good cuts.

    The head is made of the token vectors of texts such as those that will be stored.

    Example: vespa-colbert head my-checkpoint -o output/rotated --texts corpus.jsonl --dims 64
    """
    from vespa_colbert.pipeline import HeadRequest, make_head

    said = load_recipe(recipe)
    request = HeadRequest(
        checkpoint=needed(checkpoint or said.checkpoint.path, "the checkpoint", "checkpoint.path"),
        read=read_options(said, stated),
        texts=texts,
        output=output,
        layout=layout,
    )
    made = make_head(request, _options(chosen or {}), reporter=Console())
    if as_json:
        print_json(_document(made))
        return
    for line in _lines(made):
        print_line(line)


def _options(chosen: Given) -> Any:
    """Return the options that flags set.

    Raises:
        SpecError: If a width is no number.
    """
    from vespa_colbert.train import HeadStart
    from vespa_colbert.train.settings import Device
    from vespa_colbert.train.surgery import HeadMethod, HeadOptions

    kinds: dict[str, Any] = {"method": HeadMethod, "start": HeadStart, "device": Device}
    given: dict[str, Any] = {
        name: kinds[name](value) if name in kinds else value for name, value in chosen.items()
    }
    if (cuts := given.get("cuts")) is not None:
        try:
            given["cuts"] = tuple(int(cut) for cut in str(cuts).split(",") if cut.strip())
        except ValueError:
            raise SpecError(f"--cuts: expected widths such as 64,32, got {cuts!r}") from None
    return HeadOptions(**given)


def _document(made: HeadWritten) -> dict[str, Any]:
    head = asdict(made.head)
    del head["checkpoint"]
    named = {name.replace("_", "-"): value for name, value in head.items()}
    return {"output": made.path, "layout": made.layout, "dim": made.dim, **named}


def _lines(made: HeadWritten) -> list[str]:
    """Return what there is to say of a head."""
    head = made.head
    shares = ", ".join(f"{width}: {share:.1%}" for width, share in head.shares.items())
    before = "" if head.sign_error_before is None else f"{head.sign_error_before:.4f} before, now "
    scores = (
        "float scores stay: the head is rotated"
        if head.rotated_only
        else "float scores change: measure them with evaluate"
    )
    done = (
        f"{made.path}: written; layout {made.layout}, {made.dim} wide, of {head.rows} token "
        f"vectors of {head.texts} texts"
    )
    return [
        done,
        f"  of their squared length the first components hold {shares}",
        f"  left out by signs: {before}{head.sign_error:.4f}",
        f"  {scores}",
    ]
