"""Checkpoint and rows on disk → trained checkpoint on disk, in the layout that it came in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vespa_colbert.checkpoint import Checkpoint, ReadOptions, read_checkpoint, read_checksums
from vespa_colbert.errors import OutputError, SpecError
from vespa_colbert.pipeline.judged_measure import (
    JudgedOptions,
    JudgedTexts,
    judged_measure,
    read_judged_texts,
)
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.texts_by_id import read_texts_by_id
from vespa_colbert.train import (
    Control,
    OutputLayout,
    TrainingData,
    TrainingOptions,
    read_training_data,
)

if TYPE_CHECKING:
    from vespa_colbert.train.loop import Trained
    from vespa_colbert.train.measure import Measure

__all__ = [
    "TrainedModel",
    "TrainingRequest",
    "check_output",
    "remove_state",
    "run_folder",
    "train_model",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What is read and written.

    Attributes:
        checkpoint: The folder.
        read: What the user allows and states of it.
        rows: File of training rows.
        output: Folder of the trained checkpoint.
        queries: File of queries, for rows with ids.
        corpus: File of documents, for rows with ids.
        held_out: File of rows by whose loss the run is judged.
        judged: Folder in BEIR's form or file of rows by whose measures it is judged.
        split: Name of the folder's judgements.
        judged_options: Which measures.
        teacher: Folder of a checkpoint whose scores are followed.
        layout: In which the checkpoint is written.
        resume: Whether an unfinished run is gone on with.
    """

    checkpoint: Path
    read: ReadOptions
    rows: Path
    output: Path
    queries: Path | None = None
    corpus: Path | None = None
    held_out: Path | None = None
    judged: Path | None = None
    split: str = ""
    judged_options: JudgedOptions = field(default_factory=JudgedOptions)
    teacher: Path | None = None
    layout: OutputLayout = "same"
    resume: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """What a training run has to show.

    Attributes:
        path: The trained checkpoint.
        run: Folder with log and curves.
        layout: Of the checkpoint.
        dim: Width of a token vector.
        rows: Training rows.
        steps: Steps done.
        planned_steps: Steps that the run could have had.
        loss: Of the last step.
        measure: Best value of what the run was judged by, None where it was by nothing.
        best_step: The step that had it; 0 where no step made anything better.
        measure_name: What it is.
        measure_before: Its value before the first step, None where that was not asked.
        others: The measures beside it at the best step, by name.
    """

    path: Path
    run: Path
    layout: str
    dim: int
    rows: int
    steps: int
    planned_steps: int
    loss: float
    measure: float | None
    best_step: int | None
    measure_name: str = ""
    measure_before: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)


def run_folder(output: Path) -> Path:
    """Return the folder beside an output with the state, log and curves of its run."""
    return output.with_name(f"{output.name}.training")


def train_model(
    request: TrainingRequest,
    options: Callable[[Checkpoint], TrainingOptions],
    *,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """Return what came of training a checkpoint; it is written when the run is finished.

    Args:
        request: What is read and written.
        options: Checkpoint → how it is trained.
        reporter: Hears of the progress.
        should_stop: Asked after each step; the state is saved then.

    Raises:
        CheckpointError: If the checkpoint cannot be read, or the layout cannot hold it.
        CollectionError: If a file of rows, queries or documents has a bad line.
        SpecError: If the rows lack what the loss needs, or an option does not fit the checkpoint.
        TrainingError: If there is another run, the state is of another one, or a loss is not
            finite; ``StoppedError`` if the run was asked to stop.
        OutputError: If the output cannot be written, or is not a checkpoint of this package.
        MissingExtraError: If torch, transformers or tokenizers is not installed.
    """
    from vespa_colbert.train.layouts import write_trained, written_form
    from vespa_colbert.train.train import CURVES_FILE, Taught, train

    tell = reporter or Silent()
    source = read_checkpoint(request.checkpoint, request.read)
    check_output(request.output, source.path)
    checkpoint = written_form(source, request.layout)
    rows = _read_rows(request)
    data = rows.data
    tell.say(f"{request.rows}: {len(data.rows)} rows, {len(data.documents)} documents")
    chosen = options(checkpoint)
    measure = _measure(request, rows, chosen, tell)
    taught: TrainingData | Taught = data
    if request.teacher is not None:
        read = replace(request.read, head=None)
        taught = Taught(data=data, teacher=read_checkpoint(request.teacher, read))
    folder = run_folder(request.output)
    control = Control(resume=request.resume, track=tell.track, should_stop=should_stop)
    trained = train(checkpoint, taught, folder, chosen, measure=measure, control=control)
    if not (folder / CURVES_FILE).is_file():
        tell.say("no curves are drawn: that needs matplotlib, of the extra train")
    made = _made(request.output, checkpoint, trained, rows=len(data.rows))
    write_trained(
        request.output,
        source,
        trained.checkpoint,
        layout=request.layout,
        options=request.read,
        origin=_origin(request, chosen, made),
    )
    remove_state(folder)
    return made


def _made(output: Path, checkpoint: Checkpoint, trained: Trained, *, rows: int) -> TrainedModel:
    """Return what came of a run."""
    from vespa_colbert.train.log import read_log

    position = trained.position
    measured = {line["step"]: line for line in read_log(trained.log) if "measure" in line}
    best = measured.get(position.best_step, {}) if position.best is not None else {}
    return TrainedModel(
        path=output,
        run=run_folder(output),
        layout=checkpoint.layout,
        dim=trained.checkpoint.dim,
        rows=rows,
        steps=position.step,
        planned_steps=trained.steps,
        loss=trained.loss,
        measure=position.best,
        best_step=position.best_step if position.best is not None else None,
        measure_name=best.get("measure", ""),
        measure_before=measured[0]["value"] if 0 in measured else None,
        others=best.get("others", {}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """What was read: the rows, and those that are not trained on."""

    data: TrainingData
    held_out: TrainingData | None
    judged: JudgedTexts | None


def _read_rows(request: TrainingRequest) -> _Rows:
    """Return the rows, and what is not trained on, with the texts of their ids.

    Raises:
        CollectionError: With file and line, if a line is bad.
        SpecError: If the run is to be judged by two things.
    """
    if request.held_out is not None and request.judged is not None:
        raise SpecError(
            "expected rows by whose loss the run is judged, or judged queries by whose measures it "
            "is: name one of the two (held-out, dev)"
        )
    queries, documents = read_texts_by_id(request.queries, request.corpus)
    held_out = judged = None
    data = read_training_data(request.rows, queries=queries, documents=documents)
    if request.held_out is not None:
        held_out = read_training_data(request.held_out, queries=queries, documents=documents)
    if request.judged is not None:
        judged = read_judged_texts(
            request.judged, split=request.split, queries=queries, documents=documents
        )
    return _Rows(data=data, held_out=held_out, judged=judged)


def _measure(
    request: TrainingRequest, rows: _Rows, options: TrainingOptions, tell: Reporter
) -> Measure | TrainingData | None:
    """Return what the run is judged by."""
    if rows.judged is None:
        return rows.held_out
    shared = set(rows.data.queries) & set(rows.judged.queries.values())
    if shared:
        tell.say(
            f"warning: {len(shared)} of {len(rows.judged.queries)} judged queries are trained on: "
            "the measure will be too high"
        )
    loss = options.loss
    wanted = replace(request.judged_options, cuts=loss.cuts, cut_normalized=loss.cut_normalized)
    return judged_measure(rows.judged, wanted, tell)


def check_output(output: Path, checkpoint: Path) -> None:
    """Return nothing if the output may be written in the end, asked before the work.

    Raises:
        OutputError: If it is the checkpoint itself, a file, or a folder that is not ours.
    """
    if output.resolve() == checkpoint.resolve():
        raise OutputError(f"{output}: this is the checkpoint that is trained; name another output")
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output}: expected a folder or nothing, got a file")
    if output.is_dir() and any(output.iterdir()) and read_checksums(output) is None:
        raise OutputError(
            f"{output}: this folder holds files that were not written by this command, or were "
            "changed since; it is left alone: choose another output, or remove it yourself"
        )


def _origin(
    request: TrainingRequest, options: TrainingOptions, made: TrainedModel
) -> Mapping[str, Any]:
    return {
        "made-by": "train",
        "checkpoint": request.checkpoint.name,
        "rows": request.rows.name,
        "loss": str(options.loss.kind),
        "with-encoder": options.with_encoder,
        "seed": options.batch.seed,
        "steps": made.steps,
        "best-step": made.best_step,
        **({"teacher": request.teacher.name} if request.teacher else {}),
        **({"measure": {made.measure_name: made.measure}} if made.measure_name else {}),
        **({"cuts": list(options.loss.cuts)} if options.loss.cuts else {}),
    }


def remove_state(folder: Path) -> None:
    """Remove what only an unfinished run needs; log and curves stay."""
    from vespa_colbert.train.loop import STATE_FOLDER

    shutil.rmtree(folder / STATE_FOLDER)
    for rows in folder.glob("rows-*.f32"):
        rows.unlink()
