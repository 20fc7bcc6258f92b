"""Checkpoint and rows → trained checkpoint: the one function that everything else here serves.

Imports torch; nothing imports it eagerly.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch  # noqa: TID253 - trains; `train` imports it when it runs

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import MissingExtraError, SpecError, TrainingError
from vespa_colbert.export.treatment import Treatment
from vespa_colbert.model.contextual import ContextualEncoder
from vespa_colbert.train.encode import EncodedTexts, HiddenRows, cache_name, hidden_rows
from vespa_colbert.train.heads import first_head
from vespa_colbert.train.log import draw_curves, read_log
from vespa_colbert.train.loop import STATE_FOLDER, Run, Trained, step_count
from vespa_colbert.train.losses import LossKind
from vespa_colbert.train.measure import HELD_OUT_LOSS, Measure, TextVectors, held_out_loss
from vespa_colbert.train.model import device_of, trainable_module
from vespa_colbert.train.rows import TrainingData
from vespa_colbert.train.settings import Control, StoppedError, Track, TrainingOptions
from vespa_colbert.train.step import Sides, Stepper
from vespa_colbert.train.windows import open_treatment, window_table

__all__ = ["CURVES_FILE", "train"]

CURVES_FILE = "curves.svg"
UNFINGERPRINTED = frozenset({"device", "save_every", "memory_bytes", "disk_bytes"})
"""Options that another run of the same steps may have otherwise."""

logger = logging.getLogger(__name__)


def train(
    checkpoint: Checkpoint,
    data: TrainingData,
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
        data: The rows.
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
    options = _fitted(options, checkpoint)
    for rows in (data, *([held_out] if held_out else [])):
        _check_rows(rows, options)
    _check_state(folder, resume=control.resume)
    seed = options.batch.seed
    head = first_head(checkpoint, options.head, options.dims, seed)
    begun = replace(checkpoint, projection=head)
    with _seeded(seed):
        heard = _stoppable(control)
        run = _prepared(begun, data, folder, options, heard)
        run.measure = _held_out_measure(run, held_out, heard) if held_out else _given(measure)
        run.fingerprint = _fingerprint(run, checkpoint, held_out)
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
                    raise StoppedError("stopped before the first step; there is no state yet")
                progress(done)

            yield advance

    return tracked


def _given(measure: Measure | TrainingData | None) -> Measure | None:
    return measure if isinstance(measure, Measure) else None


def _fitted(options: TrainingOptions, checkpoint: Checkpoint) -> TrainingOptions:
    """Return options whose loss has the checkpoint's own score."""
    mean = checkpoint.mean_score or options.loss.mean
    return replace(options, loss=replace(options.loss, mean=mean))


def _check_rows(data: TrainingData, options: TrainingOptions) -> None:
    """Return nothing if the rows have what the loss needs.

    Raises:
        SpecError: With what they lack.
    """
    kind = options.loss.kind
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


def _prepared(
    checkpoint: Checkpoint,
    data: TrainingData,
    folder: Path,
    options: TrainingOptions,
    track: Track,
) -> Run:
    """Return a run at its beginning, without a measure."""
    device = device_of(options.device)
    module = trainable_module(checkpoint, device, with_encoder=options.with_encoder)
    treatment = open_treatment(checkpoint)
    sides = _sides(module, treatment, data, options, folder, track)
    return Run(
        checkpoint=checkpoint,
        data=data,
        options=options,
        folder=folder,
        stepper=Stepper(module, options, device, step_count(data, options)),
        sides=sides,
        vectors=TextVectors(module, treatment, options, device),
    )


def _sides(
    module: ContextualEncoder,
    treatment: Treatment,
    data: TrainingData,
    options: TrainingOptions,
    folder: Path,
    track: Track,
) -> Sides:
    """Return where the vectors of the rows' texts come from: rows of a frozen encoder are made."""
    made: list[EncodedTexts | HiddenRows] = []
    for what, texts, window in (
        ("queries", data.queries, treatment.query_window),
        ("documents", data.documents, treatment.document_window),
    ):
        with track(f"tokens of {what}", len(texts)) as progress:
            windows = window_table(texts, window, treatment.checkpoint.pad_id, progress)
        if options.with_encoder:
            device = str(next(module.parameters()).device)
            made.append(EncodedTexts(module, windows, device, options.texts_at_once))
            continue
        cache = folder / cache_name(windows, _weights_digest(treatment.checkpoint))
        with track(f"rows of {what}", len(texts)) as progress:
            made.append(hidden_rows(module, windows, options, cache, progress))
    return Sides(queries=made[0], documents=made[1])


def _held_out_measure(run: Run, data: TrainingData, track: Track) -> Measure:
    """Return the loss on held-out rows as a measure."""
    module, options = run.stepper.module, run.options
    sides = _sides(module, run.vectors.treatment, data, options, run.folder, track)

    def value(_vectors: TextVectors) -> float:
        return held_out_loss(module, sides, data, options, run.stepper.device)

    return Measure(name=HELD_OUT_LOSS, value=value, higher_is_better=False)


def _fingerprint(
    run: Run, checkpoint: Checkpoint, held_out: TrainingData | None
) -> Mapping[str, str]:
    """Return what a run is made of → its digest."""
    chosen = {
        name: value for name, value in asdict(run.options).items() if name not in UNFINGERPRINTED
    }
    measure = run.measure.name if run.measure else ""
    return {
        "checkpoint": _weights_digest(checkpoint),
        "training data": _digest(_parts(run.data)),
        "held-out data": _digest(_parts(held_out)),
        "measure": _digest([measure]),
        "options": _digest([json.dumps(chosen, sort_keys=True, default=str)]),
    }


def _weights_digest(checkpoint: Checkpoint) -> str:
    """Return what stands for a checkpoint's files and for what is made of texts."""
    facts = {
        each.name: getattr(checkpoint, each.name)
        for each in fields(Checkpoint)
        if each.name not in {"path", "encoder", "projection", "tokenizer", "provenance", "warnings"}
    }
    return _digest([repr(sorted(facts.items()))])


def _parts(data: TrainingData | None) -> Iterator[str]:
    """Yield all that training data says."""
    if data is not None:
        for each in (data.queries, data.documents, data.rows):
            yield from (repr(item) for item in each)


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _draw(log: Path, path: Path) -> None:
    """Draw the curves of a run, if that can be done; older ones do not stay."""
    path.unlink(missing_ok=True)
    try:
        draw_curves(read_log(log), path)
    except MissingExtraError as error:
        logger.warning("no curves are drawn: %s", error)
