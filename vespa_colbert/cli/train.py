"""``vespa-colbert train``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vespa_colbert.cli.console import Console, fail, print_json, print_line
from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe, needed, numbers
from vespa_colbert.cli.read_options import StatedOptions, read_options, takes_read_options

if TYPE_CHECKING:
    from vespa_colbert.checkpoint import ReadOptions
    from vespa_colbert.pipeline import TrainedModel, TrainingRequest
    from vespa_colbert.recipe.train_table import TrainTable

INTERRUPTED = 130


def _flag(annotation: Any, name: str, text: str) -> Any:
    return Annotated[annotation | None, typer.Option(name, help=text)]


FLAGS: dict[str, Any] = {
    "queries": _flag(Path, "--queries", "JSONL of queries, for rows with ids."),
    "corpus": _flag(Path, "--corpus", "JSONL of documents, for rows with ids."),
    "held_out": _flag(Path, "--held-out", "Rows by whose loss the run is judged."),
    "dev": _flag(Path, "--dev", "BEIR folder, or rows: judged by measures of rankings there."),
    "dev_split": _flag(str, "--dev-split", "Its judgements; dev, or the only ones, else."),
    "dev_measures": _flag(
        list[str], "--dev-measure", "As ir_measures has it; repeatable, the first judges."
    ),
    "dev_documents": _flag(int, "--dev-documents", "Ranked for them at most; 0 for all."),
    "teacher": _flag(Path, "--teacher", "Checkpoint whose scores are followed in distillation."),
    "output": Annotated[
        Path | None, typer.Option("-o", "--output", help="The trained checkpoint.")
    ],
    "layout": _flag(
        Literal["same", "stand-alone", "pylate"], "--layout", "In which it is written; same else."
    ),
    "loss": _flag(
        Literal["softmax", "hinge", "distillation", "margin-mse"], "--loss", "What is made small."
    ),
    "temperature": _flag(float, "--temperature", "Of the softmax."),
    "cuts": _flag(str, "--cuts", "Narrower widths trained too, as 64,32 (Matryoshka)."),
    "cut_weights": _flag(str, "--cut-weights", "Weights of their losses, as 1,0.5; 1 each else."),
    "cut_normalized": Annotated[
        bool | None,
        typer.Option(
            "--cut-normalized/--cut-as-served",
            help="Whether a cut vector is normalised again, or as a field of Vespa holds it.",
        ),
    ],
    "margin": _flag(float, "--margin", "Of the hinge."),
    "with_encoder": Annotated[
        bool | None,
        typer.Option("--with-encoder/--head-only", help="Train the encoder too, or the head."),
    ],
    "head_start": _flag(Literal["own", "new"], "--head-start", "Begin with its own, or a new one."),
    "dims": _flag(int, "--dims", "Components of a token vector."),
    "epochs": _flag(int, "--epochs", "How often every example is seen."),
    "batch": _flag(int, "--batch", "Examples a batch."),
    "negatives": _flag(int, "--negatives", "Negatives of an example at most."),
    "learning_rate": _flag(float, "--learning-rate", "Of the head."),
    "encoder_learning_rate": _flag(float, "--encoder-learning-rate", "Of the encoder."),
    "accumulate": _flag(int, "--accumulate", "Batches that make one step."),
    "texts_at_once": _flag(
        int, "--texts-at-once", "Texts whose activations are held together; 0 for all."
    ),
    "precision": _flag(Literal["fp32", "bf16", "fp16"], "--precision", "Of products."),
    "device": _flag(Literal["auto", "cpu", "cuda"], "--device", "Where it is computed."),
    "save_every": _flag(int, "--save-every", "Steps from one saved state to the next."),
    "evaluate_every": _flag(int, "--evaluate-every", "Steps from one evaluation to the next."),
    "patience": _flag(int, "--patience", "Evaluations without improvement that end the run."),
    "seed": _flag(int, "--seed", "Of everything that is drawn."),
}
"""Key of the recipe's table → the flag that sets it."""


@takes_flags("chosen", FLAGS)
@takes_read_options
def command(
    rows: Annotated[Path | None, typer.Argument(help="JSONL file of training rows.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("-c", "--checkpoint", help="What is trained.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")
    ] = False,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
    stated: StatedOptions | None = None,
    chosen: Given | None = None,
) -> None:
    """Train a checkpoint's head, or head and encoder, and write it in the layout it came in.

    State, log and curves are beside the output, in OUTPUT.training; Ctrl-C saves the state, and
    --resume goes on from it to the same weights.

    Example: vespa-colbert train rows.jsonl -c my-checkpoint -o output/trained --epochs 2
    """
    said = load_recipe(recipe)
    table = said.train.stated(_listed(chosen or {}))
    request = _request(
        table,
        checkpoint=needed(checkpoint or said.checkpoint.path, "the checkpoint", "checkpoint.path"),
        read=read_options(said, stated),
        rows=needed(rows or table.rows, "the file of training rows", "train.rows"),
        resume=resume,
    )
    made = _trained(request, table)
    if as_json:
        print_json(asdict(made))
        return
    for line in _lines(made):
        print_line(line)


def _request(
    table: TrainTable, *, checkpoint: Path, read: ReadOptions, rows: Path, resume: bool
) -> TrainingRequest:
    """Return what is read and written."""
    from vespa_colbert.pipeline import JudgedOptions, TrainingRequest

    return TrainingRequest(
        checkpoint=checkpoint,
        read=read,
        rows=rows,
        output=table.output,
        queries=table.queries,
        corpus=table.corpus,
        held_out=table.held_out,
        judged=table.dev,
        split=table.dev_split,
        judged_options=JudgedOptions(
            measures=table.dev_measures, documents=table.dev_documents, seed=table.seed
        ),
        teacher=table.teacher,
        layout=table.layout,
        resume=resume,
    )


def _trained(request: TrainingRequest, table: TrainTable) -> TrainedModel:
    """Return what a run has to show; one that is stopped ends the verb.

    Raises:
        Exit: If it is stopped.
    """
    from vespa_colbert.pipeline import train_model
    from vespa_colbert.train import StoppedError

    console = Console()
    try:
        with _stop_asked(console) as should_stop:
            return train_model(
                request, table.options_for, reporter=console, should_stop=should_stop
            )
    except StoppedError as error:
        fail(str(error))
        raise typer.Exit(INTERRUPTED) from None


def _listed(chosen: Given) -> Given:
    """Return flags with the lists of numbers taken apart."""
    kinds: dict[str, Callable[[str], Any]] = {"cuts": int, "cut_weights": float}
    given = {
        name: numbers(chosen[name], f"--{name.replace('_', '-')}", kind)
        for name, kind in kinds.items()
        if name in chosen
    }
    return {**chosen, **given}


@contextmanager
def _stop_asked(console: Console) -> Iterator[Callable[[], bool]]:
    """Yield what says whether Ctrl-C was pressed, or the process asked to end; twice ends at once.

    Yields:
        The function.
    """
    asked = False

    def hear(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        console.say("stopping after this step; once more to stop at once")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, hear) for number in numbers]
    try:
        yield lambda: asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _lines(made: TrainedModel) -> list[str]:
    """Return what there is to say of a run."""
    done = (
        f"{made.path}: written; layout {made.layout}, {made.dim} wide, {made.steps} of "
        f"{made.planned_steps} steps on {made.rows} rows, last loss {made.loss:.4g}"
    )
    lines = [done]
    if made.measure is not None:
        before = f", {made.measure_before:.4g} before" if made.measure_before is not None else ""
        name = "loss on held-out rows" if made.measure_before is None else made.measure_name
        lines.append(f"  {name} {made.measure:.4g}, at step {made.best_step}{before}")
    lines += [f"  {name} {value:.4g}" for name, value in made.others.items()]
    return [*lines, f"  log and curves: {made.run}"]
