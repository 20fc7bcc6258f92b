"""Checkpoint and rows → trained checkpoint: the one function that everything else here serves.

Imports torch; nothing imports it eagerly.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch  # noqa: TID253 - trains; `train` imports it when it runs

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import MissingExtraError, SpecError, TrainingError
from vespa_colbert.train.encode import cache_name
from vespa_colbert.train.heads import first_head
from vespa_colbert.train.log import draw_curves, read_log
from vespa_colbert.train.loop import STATE_FOLDER, Run, Trained, step_count
from vespa_colbert.train.losses import LossKind
from vespa_colbert.train.measure import HELD_OUT_LOSS, Measure, TextVectors, held_out_loss
from vespa_colbert.train.model import device_of, trainable_module
from vespa_colbert.train.rows import TrainingData
from vespa_colbert.train.settings import Control, StoppedError, Track, TrainingOptions
from vespa_colbert.train.sources import Preparation, digest, head_digest, weights_digest
from vespa_colbert.train.step import Stepper
from vespa_colbert.train.windows import open_treatment

__all__ = ["CURVES_FILE", "Taught", "train"]

CURVES_FILE = "curves.svg"
UNFINGERPRINTED = frozenset({"device", "save_every", "memory_bytes", "disk_bytes"})
"""Options that another run of the same steps may have otherwise."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """Rows whose texts another model scores, for the loss ``distillation``.

    Attributes:
        data: The rows; what they say of documents decides which texts meet in a batch.
        teacher: What scores every query and document of a batch; its encoder may be another one.
    """

    data: TrainingData
    teacher: Checkpoint


def train(
    checkpoint: Checkpoint,
    data: TrainingData | Taught,
    folder: Path,
    options: TrainingOptions,
    *,
    measure: Measure | TrainingData | None = None,
    control: Control | None = None,
) -> Trained:
    """Return the checkpoint with trained weights, and how it went.

    State, log and curves are in ``folder``, which serves one run at a time.

    Args:
        checkpoint: What to begin with, as it will be written: see ``written_form``.
        data: The rows, perhaps with a teacher.
        folder: Of the run.
        options: The choices.
        measure: What the run is judged by and stopped early on: a number of the caller's, or the
            loss on held-out rows.
        control: How the run is followed and held; by default from its beginning, in silence.

    Raises:
        SpecError: If the rows lack what the loss needs, or an option does not fit the checkpoint.
        TrainingError: If there is a state and it is not resumed, or of another run, or a loss is
            not finite; ``StoppedError`` if the run was asked to stop.
        CheckpointError: If the checkpoint cannot be built, or its tokenizer not used.
        OutputError: If a file of the run cannot be written.
        MissingExtraError: If torch, transformers or tokenizers is not installed.
    """
    control = control or Control()
    held_out = measure if isinstance(measure, TrainingData) else None
    data, teacher = (data.data, data.teacher) if isinstance(data, Taught) else (data, None)
    options = _fitted(options, checkpoint)
    for rows in (data, *([held_out] if held_out else [])):
        _check_rows(rows, options, taught=teacher is not None)
    _check_state(folder, resume=control.resume)
    seed = options.batch.seed
    head = first_head(checkpoint, options.head, options.dims, seed)
    begun = replace(checkpoint, projection=head)
    _check_cuts(begun, options)
    texts = Preparation(
        data=data, options=options, folder=folder, track=_stoppable(control), teacher=teacher
    )
    with _seeded(seed):
        run = _prepared(begun, texts)
        run.measure = _held_out_measure(run, held_out, texts) if held_out else _given(measure)
        run.fingerprint = _fingerprint(run, checkpoint, held_out, teacher)
        if control.resume:
            run.resume()
        trained = run.finish(control)
    _draw(trained.log, folder / CURVES_FILE)
    return trained


def _stoppable(control: Control) -> Track:
    """Return what hears of the progress, and ends a run before its first step."""

    @contextmanager
    def tracked(label: str, total: int) -> Iterator[Callable[[int], None]]:
        with control.track(label, total) as progress:

            def advance(done: int) -> None:
                if control.should_stop():
                    raise StoppedError(
                        "stopped while texts were prepared, before a step was taken; a state that "
                        "was there before is left as it was"
                    )
                progress(done)

            yield advance

    return tracked


def _given(measure: Measure | TrainingData | None) -> Measure | None:
    return measure if isinstance(measure, Measure) else None


def _fitted(options: TrainingOptions, checkpoint: Checkpoint) -> TrainingOptions:
    """Return options whose loss has the checkpoint's own score."""
    mean = checkpoint.mean_score or options.loss.mean
    return replace(options, loss=replace(options.loss, mean=mean))


def _check_rows(data: TrainingData, options: TrainingOptions, *, taught: bool) -> None:
    """Return nothing if the rows have what the loss needs.

    Raises:
        SpecError: With what they lack.
    """
    kind = options.loss.kind
    if taught:
        if kind is not LossKind.DISTILLATION:
            raise SpecError(f"a teacher: expected the loss {LossKind.DISTILLATION}, got {kind}")
        return
    if kind.needs_teacher and not data.is_scored:
        raise SpecError(f"{kind}: expected rows with a teacher's scores, got rows without")
    if kind is LossKind.SOFTMAX:
        return
    bare = [row.line for row in data.rows if not row.negatives]
    if bare:
        raise SpecError(
            f"{kind}: expected negatives in every row, got none on line {bare[0]} and {len(bare)} "
            "lines in all; mine some, or take the softmax"
        )
    if not options.batch.negatives:
        raise SpecError(f"{kind}: expected a negative an example at least, got 0 (negatives)")


def _check_cuts(begun: Checkpoint, options: TrainingOptions) -> None:
    """Return nothing if all cuts are narrower than the head.

    Raises:
        SpecError: If one is not.
    """
    if wrong := [cut for cut in options.loss.cuts if cut >= begun.dim]:
        raise SpecError(f"cuts: expected widths below the head's {begun.dim}, got {wrong[0]}")


def _check_state(folder: Path, *, resume: bool) -> None:
    """Return nothing if a run may begin in a folder.

    Raises:
        TrainingError: If one stands there that is not to be resumed.
    """
    if not resume and (folder / STATE_FOLDER).is_dir():
        raise TrainingError(
            f"{folder / STATE_FOLDER}: expected no state, got that of another run: resume it, or "
            "remove it to begin anew"
        )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's generators, and put them back in the end."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _prepared(begun: Checkpoint, texts: Preparation) -> Run:
    """Return a run at its beginning, without a measure."""
    options, folder = texts.options, texts.folder
    device = device_of(options.device)
    module = trainable_module(begun, device, with_encoder=options.with_encoder)
    treatment = open_treatment(begun)
    weights = weights_digest(begun)
    return Run(
        checkpoint=begun,
        data=texts.data,
        options=options,
        folder=folder,
        stepper=Stepper(module, options, device, step_count(texts.data, options)),
        sides=texts.sides(module, treatment),
        vectors=TextVectors(
            module, treatment, options, device, lambda rows: folder / cache_name(rows, weights)
        ),
    )


def _held_out_measure(run: Run, data: TrainingData, texts: Preparation) -> Measure:
    """Return the loss on held-out rows as a measure."""
    module, options = run.stepper.module, run.options
    sides = replace(texts, data=data).sides(module, run.vectors.treatment)

    def value(_vectors: TextVectors) -> float:
        return held_out_loss(module, sides, data, options, run.stepper.device)

    # What a teacher's pupil gained is known only beside what it was before.
    return Measure(
        name=HELD_OUT_LOSS,
        value=value,
        higher_is_better=False,
        at_start=texts.teacher is not None,
    )


def _fingerprint(
    run: Run, checkpoint: Checkpoint, held_out: TrainingData | None, teacher: Checkpoint | None
) -> Mapping[str, str]:
    """Return what a run is made of → its digest."""
    chosen = {
        name: value for name, value in asdict(run.options).items() if name not in UNFINGERPRINTED
    }
    measure = [run.measure.name, run.measure.digest] if run.measure else []
    taught = (
        {}
        if teacher is None
        else {
            "teacher": digest([weights_digest(teacher), head_digest(teacher)]),
            "head": head_digest(run.checkpoint),
        }
    )
    return {
        "checkpoint": weights_digest(checkpoint),
        "training data": digest(_parts(run.data)),
        "held-out data": digest(_parts(held_out)),
        "measure": digest([each for each in measure if each] or [""]),
        "options": digest([json.dumps(chosen, sort_keys=True, default=str)]),
        **taught,
    }


def _parts(data: TrainingData | None) -> Iterator[str]:
    """Yield all that training data says."""
    if data is not None:
        for each in (data.queries, data.documents, data.rows):
            yield from (repr(item) for item in each)


def _draw(log: Path, path: Path) -> None:
    """Draw the curves of a run, if that can be done; older ones do not stay."""
    path.unlink(missing_ok=True)
    try:
        draw_curves(read_log(log), path)
    except MissingExtraError as error:
        logger.warning("no curves are drawn: %s", error)
