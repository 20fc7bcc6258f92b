"""``vespa-colbert head``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe, needed, numbers
from vespa_colbert.cli.read_options import StatedOptions, read_options, takes_read_options
from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from vespa_colbert.pipeline import DistilOptions, HeadWritten
    from vespa_colbert.recipe.head_table import HeadTable
    from vespa_colbert.train.surgery import HeadOptions


FLAGS: dict[str, Any] = {
    "texts": Annotated[
        Path | None,
        typer.Option("--texts", help="JSONL corpus, or a file with a text on each line."),
    ],
    "output": Annotated[
        Path | None, typer.Option("-o", "--output", help="The checkpoint with the new head.")
    ],
    "layout": Annotated[
        Literal["same", "stand-alone", "pylate"] | None,
        typer.Option("--layout", help="In which it is written; same else."),
    ],
    "method": Annotated[
        Literal["pca", "itq"] | None,
        typer.Option("--method", help="pca: best to cut; itq: best to pack. itq else."),
    ],
    "head_start": Annotated[
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
    "center": Annotated[
        bool | None,
        typer.Option("--center/--no-center", help="Subtract the mean; changes float scores."),
    ],
    "whiten": Annotated[
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
"""Key of the recipe's table → the flag that sets it."""

DISTILLATION: dict[str, Any] = {
    "distil": Annotated[
        Path | None,
        typer.Option(
            "--distil", help="Training rows on which the new head learns the old one's scores."
        ),
    ],
    "queries": Annotated[
        Path | None, typer.Option("--queries", help="JSONL of queries, for rows with ids.")
    ],
    "corpus": Annotated[
        Path | None, typer.Option("--corpus", help="JSONL of documents for them; --texts else.")
    ],
    "epochs": Annotated[
        int | None, typer.Option("--epochs", min=1, help="How often every row is seen; 2 else.")
    ],
    "batch": Annotated[
        int | None, typer.Option("--batch", min=1, help="Queries a batch; 16 else.")
    ],
    "learning_rate": Annotated[
        float | None, typer.Option("--learning-rate", help="Of the distillation; 0.001 else.")
    ],
    "temperature": Annotated[
        float | None, typer.Option("--temperature", help="Of both heads' scores.")
    ],
}
"""The same for the short training."""


@takes_flags("distillation", DISTILLATION)
@takes_flags("chosen", FLAGS)
@takes_read_options
def command(
    checkpoint: Annotated[Path | None, typer.Argument(help="What gets another head.")] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
    stated: StatedOptions | None = None,
    chosen: Given | None = None,
    distillation: Given | None = None,
) -> None:
    """Give a checkpoint another head without labels: fewer components, better bits, good cuts.

    The head is made of the token vectors of texts such as those that will be stored. With --distil
    it then learns, on the texts of training rows, the scores that the head before it gave.

    Example: vespa-colbert head my-checkpoint -o output/rotated --texts corpus.jsonl --dims 64
    """
    from vespa_colbert.pipeline import HeadRequest, make_head

    said, given = load_recipe(recipe), {**(chosen or {}), **(distillation or {})}
    if "cuts" in given:
        given["cuts"] = numbers(given["cuts"], "--cuts", int)
    table = said.head.stated(given)
    texts = needed(table.texts, "the file of texts", "head.texts")
    _check_distillation(table, distillation or {})
    request = HeadRequest(
        checkpoint=needed(checkpoint or said.checkpoint.path, "the checkpoint", "checkpoint.path"),
        read=read_options(said, stated),
        texts=texts,
        output=table.output,
        layout=table.layout,
        distil=_distillation(table, texts),
    )
    made = make_head(request, _options(table), reporter=Console())
    if as_json:
        print_json(_document(made))
        return
    for line in _lines(made):
        print_line(line)


def _check_distillation(table: HeadTable, given: Given) -> None:
    """Return nothing unless flags are about a distillation that is not asked for.

    Raises:
        SpecError: If they are.
    """
    if table.distil is None and given:
        raise SpecError(f"--{next(iter(given)).replace('_', '-')} goes with --distil ROWS")


def _distillation(table: HeadTable, texts: Path) -> DistilOptions | None:
    """Return on what the new head learns, None for not at all."""
    from vespa_colbert.pipeline import DistilOptions

    if table.distil is None:
        return None
    corpus = table.corpus or (texts if texts.suffix == ".jsonl" else None)
    return DistilOptions(
        rows=table.distil,
        queries=table.queries,
        corpus=corpus,
        epochs=table.epochs,
        batch=table.batch,
        learning_rate=table.learning_rate,
        temperature=table.temperature,
    )


def _options(table: HeadTable) -> HeadOptions:
    """Return how the head is made."""
    from vespa_colbert.train import HeadStart
    from vespa_colbert.train.settings import Device
    from vespa_colbert.train.surgery import HeadMethod, HeadOptions

    return HeadOptions(
        method=HeadMethod(table.method),
        start=HeadStart(table.head_start),
        dims=table.dims,
        cuts=table.cuts,
        centered=table.center,
        whitening=table.whiten,
        seed=table.seed,
        most_texts=table.most_texts,
        device=Device(table.device),
    )


def _document(made: HeadWritten) -> dict[str, Any]:
    head = asdict(made.head)
    del head["checkpoint"]
    named = {name.replace("_", "-"): value for name, value in head.items()}
    learned = None
    if (distilled := made.distilled) is not None:
        learned = {
            "rows": distilled.rows,
            "steps": distilled.steps,
            "loss-before": distilled.loss_before,
            "loss": distilled.loss,
        }
    return {
        "output": made.path,
        "layout": made.layout,
        "dim": made.dim,
        **named,
        "distilled": learned,
    }


def _lines(made: HeadWritten) -> list[str]:
    """Return what there is to say of a head."""
    head = made.head
    shares = ", ".join(f"{width}: {share:.1%}" for width, share in head.shares.items())
    before = "" if head.sign_error_before is None else f"{head.sign_error_before:.4f} before, now "
    scores = (
        "float scores stay: the head is rotated"
        if head.rotated_only and made.distilled is None
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
        *_distilled_lines(made),
        f"  {scores}",
    ]


def _distilled_lines(made: HeadWritten) -> list[str]:
    """Return what there is to say of the short training."""
    if (distilled := made.distilled) is None:
        return []
    learned = f"  distilled in {distilled.steps} steps on {distilled.rows} rows"
    if distilled.loss is None or distilled.loss_before is None:
        return [f"{learned}; too few to measure it on others"]
    return [
        f"{learned}: loss on others {distilled.loss_before:.4g} before, now {distilled.loss:.4g}"
    ]
