"""Where the token vectors of a run's texts come from: the model's, and those of its teacher.

Imports torch; nothing imports it eagerly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.export.treatment import Treatment
from vespa_colbert.model.contextual import ContextualEncoder
from vespa_colbert.train.encode import EncodedTexts, HiddenRows, cache_name, hidden_rows
from vespa_colbert.train.model import trainable_module
from vespa_colbert.train.rows import TrainingData
from vespa_colbert.train.settings import Track, TrainingOptions
from vespa_colbert.train.step import Sides, Teacher
from vespa_colbert.train.windows import WindowTable, open_treatment, window_table

__all__ = ["Preparation", "digest", "head_digest", "weights_digest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What the rows of texts are made with.

    Attributes:
        data: The rows.
        options: Of the run.
        folder: Of the run: large rows of an encoder are kept there.
        track: Hears of the progress.
        teacher: A checkpoint whose scores are followed, None for none. Its encoder is frozen.
    """

    data: TrainingData
    options: TrainingOptions
    folder: Path
    track: Track
    teacher: Checkpoint | None = None

    def sides(self, module: ContextualEncoder, treatment: Treatment) -> Sides:
        """Return where a model's vectors come from, and what its teacher says of the same texts.

        Rows of a frozen encoder are made; where the teacher has the same one and sees texts alike,
        they serve both.
        """
        made: list[EncodedTexts | HiddenRows] = []
        for what, windows in self._windows(treatment).items():
            if self.options.with_encoder:
                device = str(next(module.parameters()).device)
                made.append(EncodedTexts(module, windows, device, self.options.texts_at_once))
                continue
            cache = self.folder / cache_name(windows, weights_digest(treatment.checkpoint))
            with self.track(f"rows of {what}", len(windows)) as progress:
                made.append(hidden_rows(module, windows, self.options, cache, progress))
        queries, documents = made
        teacher = None
        if self.teacher is not None:
            student = treatment.checkpoint
            teacher = self._taught_by(self.teacher, student, module, (queries, documents))
        return Sides(queries=queries, documents=documents, teacher=teacher)

    def _taught_by(
        self,
        checkpoint: Checkpoint,
        student: Checkpoint,
        module: ContextualEncoder,
        given: tuple[EncodedTexts | HiddenRows, EncodedTexts | HiddenRows],
    ) -> Teacher:
        """Return the teacher of these rows; nothing of it is trained."""
        device = str(next(module.parameters()).device)
        teacher = trainable_module(checkpoint, device, with_encoder=False)
        teacher.requires_grad_(requires_grad=False)
        mean = checkpoint.mean_score or self.options.loss.mean
        queries, documents = given
        if (
            isinstance(queries, HiddenRows)
            and isinstance(documents, HiddenRows)
            and _see_alike(checkpoint, student)
        ):
            sides = Sides(queries=queries.through(teacher), documents=documents.through(teacher))
            return Teacher(sides=sides, mean=mean)
        frozen = replace(self.options, with_encoder=False)
        alone = replace(self, options=frozen, teacher=None)
        return Teacher(sides=alone.sides(teacher, open_treatment(checkpoint)), mean=mean)

    def _windows(self, treatment: Treatment) -> dict[str, WindowTable]:
        """Return queries and documents as an encoder is given them."""
        found = {}
        for what, texts, window in (
            ("queries", self.data.queries, treatment.query_window),
            ("documents", self.data.documents, treatment.document_window),
        ):
            with self.track(f"tokens of {what}", len(texts)) as progress:
                pad_id = treatment.checkpoint.pad_id
                found[what] = window_table(texts, window, pad_id, progress)
        return found


def _see_alike(one: Checkpoint, other: Checkpoint) -> bool:
    """Return whether two checkpoints differ in their projection alone."""
    apart = {"path", "layout", "encoder", "projection", "tokenizer"}
    apart |= {"provenance", "files", "warnings", "mean_score", "cuts"}
    return (
        _facts(one, apart) == _facts(other, apart)
        and one.tokenizer.text == other.tokenizer.text
        and one.encoder.config == other.encoder.config
        and one.encoder.weights.keys() == other.encoder.weights.keys()
        and all(
            array is other.encoder.weights[name]
            or np.array_equal(array, other.encoder.weights[name])
            for name, array in one.encoder.weights.items()
        )
    )


def _facts(checkpoint: Checkpoint, apart: set[str]) -> dict[str, object]:
    """Return name → value of all that a checkpoint says, what is kept apart left out."""
    names = (each.name for each in fields(Checkpoint) if each.name not in apart)
    return {name: getattr(checkpoint, name) for name in names}


def weights_digest(checkpoint: Checkpoint) -> str:
    """Return what stands for a checkpoint's files and for what is made of texts."""
    apart = {"path", "encoder", "projection", "tokenizer", "provenance", "warnings", "cuts"}
    return digest([repr(sorted(_facts(checkpoint, apart).items()))])


def head_digest(checkpoint: Checkpoint) -> str:
    """Return what stands for the numbers of a projection, whatever file they came from."""
    found = hashlib.sha256()
    for layer in checkpoint.projection:
        for array in (layer.weight, layer.bias, layer.residual_weight):
            if array is not None:
                found.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def digest(parts: Iterable[str]) -> str:
    """Return one digest of several texts."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode() + b"\0")
    return found.hexdigest()
