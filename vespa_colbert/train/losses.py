"""What training makes small: four losses over scores, and how a batch is scored for each.

Where vectors are to be cut (Matryoshka), the loss of the whole ones and that of each cut are added.

Imports torch; nothing imports it eagerly. The sources compared are PyLate 1.6 and
sentence-transformers 6 (ST6); both take sums of MaxSim, never means, unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch  # noqa: TID253 - every function here computes with it; `train` imports it when it runs
from numpy.typing import NDArray
from torch.nn import functional  # noqa: TID253

from vespa_colbert.errors import ArrayError, SpecError
from vespa_colbert.train.batches import ABSENT, Batch
from vespa_colbert.train.max_sim import (
    CELLS,
    PaddedVectors,
    cut_vectors,
    max_sim,
    max_sim_of_pairs,
)

__all__ = [
    "LossKind",
    "LossOptions",
    "batch_loss",
    "contrastive",
    "distillation",
    "imitation_loss",
    "margin_mse",
    "pairwise_hinge",
]

FLAT = 1e-8
"""Added to a range of scores that may be none: PyLate's constant."""


class LossKind(StrEnum):
    """Which loss; the values are what a recipe says."""

    HINGE = "hinge"
    SOFTMAX = "softmax"
    DISTILLATION = "distillation"
    MARGIN_MSE = "margin-mse"

    @property
    def needs_teacher(self) -> bool:
        """Whether rows must carry a teacher's scores."""
        return self in {LossKind.DISTILLATION, LossKind.MARGIN_MSE}


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOptions:
    """A loss and its constants.

    Attributes:
        kind: Which one.
        temperature: Scores are divided by it before the softmax over candidates. 0.02 is BGE-M3's,
            for means over query rows; ST6 and PyLate take 1.0, for sums.
        student_temperature: The same for the model's scores in distillation.
        teacher_temperature: The same for the teacher's.
        scale_scores: Whether distillation moves the model's scores of a query to 0…1 first.
        margin: Of the hinge.
        mean: Whether a score is the mean over the query's rows, not the sum.
        cells: Similarities that are held at once.
        cuts: Widths below the whole one at which vectors are to be cut: the loss of the first so
            many components is added, for each.
        cut_weights: What each of them is multiplied with, the whole one with 1; none for 1 each.
        cut_normalized: Whether what is left of a vector is given unit length again, as a model
            exported at that width gives it; the fields of an application hold it as it is.

    Source: the sum of Kusupati et al., Matryoshka Representation Learning, 2022.
    Differs: ST6 normalises again what it has cut, and takes the whole width only where it is
    listed; Vespa's colbert-embedder does not normalise again.
    """

    kind: LossKind = LossKind.SOFTMAX
    temperature: float = 0.02
    student_temperature: float = 1.0
    teacher_temperature: float = 1.0
    scale_scores: bool = False
    margin: float = 1.0
    mean: bool = False
    cells: int = CELLS
    cuts: tuple[int, ...] = ()
    cut_weights: tuple[float, ...] = ()
    cut_normalized: bool = False

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SpecError: If one of them is not positive and finite, a width stands twice, or there are
                not as many weights as widths.
        """
        names = ("temperature", "student_temperature", "teacher_temperature", "margin", "cells")
        faults = tuple(
            f"{name}: expected a positive number, got {getattr(self, name)}"
            for name in names
            if not 0 < getattr(self, name) < float("inf")
        )
        faults += tuple(_cut_faults(self.cuts, self.cut_weights))
        if faults:
            raise SpecError("the loss cannot be computed", faults)

    @property
    def weighted_cuts(self) -> tuple[tuple[int, float], ...]:
        """Each width below the whole one with its weight."""
        weights = self.cut_weights or (1.0,) * len(self.cuts)
        return tuple(zip(self.cuts, weights, strict=True))


def _cut_faults(cuts: tuple[int, ...], weights: tuple[float, ...]) -> Iterator[str]:
    """Yield what cannot be of widths and their weights."""
    if any(cut < 1 for cut in cuts) or len(set(cuts)) < len(cuts):
        yield f"cuts: expected widths of 1 at least, each once, got {list(cuts)}"
    if weights and len(weights) != len(cuts):
        yield f"cut_weights: expected one for each of {len(cuts)} cuts, got {len(weights)}"
    if not all(0 < weight < float("inf") for weight in weights):
        yield f"cut_weights: expected positive numbers, got {list(weights)}"


def pairwise_hinge(
    positive: torch.Tensor, negative: torch.Tensor, *, margin: float = 1.0
) -> torch.Tensor:
    """Return the mean of max(0, margin - S(q, d+) + S(q, d-)) over triples.

    Args:
        positive: (triple,) scores of the documents that answer.
        negative: (triple,) scores of those that do not.
        margin: By how much the first should be larger.

    Raises:
        ArrayError: If there is no triple, or the shapes differ.

    Source: the pairwise ranking loss on ColBERT's triples.
    Differs: neither PyLate nor ST6 has it. ColBERT's own code takes the cross entropy of the two
    scores, which is ``contrastive`` over two candidates at temperature 1.
    """
    if positive.shape != negative.shape or positive.ndim != 1 or not len(positive):
        raise ArrayError(
            "triples: expected as many positive as negative scores, at least one, "
            f"got {tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    return torch.clamp(margin - positive + negative, min=0.0).mean()


def contrastive(
    scores: torch.Tensor,
    targets: torch.Tensor,
    *,
    temperature: float = 0.02,
    excluded: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the cross entropy of each query's positive among all documents, mean over queries.

    -log(exp(S(q, d+) / t) / sum of exp(S(q, d) / t) over all d)

    Args:
        scores: (query, document) float.
        targets: (query,) int64, the place of the positive.
        temperature: t.
        excluded: (query, document) bool, true for documents that are no negative of a query, such
            as its other positives.

    Raises:
        ArrayError: If there is but one document: its loss would be 0 whatever the scores are.

    Source: equation 1 of Henderson et al., 2017, with t of the InfoNCE loss.
    Differs: ST6 multiplies by ``scale`` = 1 / t and has 1.0 by default, as PyLate has; both also
    count a document twice that stands twice in a batch, and every positive of a query but one as a
    negative. PyLate can sum over queries.
    """
    if scores.ndim != 2 or scores.shape[1] < 2 or not len(scores):
        raise ArrayError(
            "contrastive loss: expected scores (query, document) of two documents at least, "
            f"got {tuple(scores.shape)}; take larger batches, or rows with negatives"
        )
    if excluded is not None:
        others = excluded.scatter(1, targets[:, None], value=False)
        scores = scores.masked_fill(others, -torch.inf)
    return functional.cross_entropy(scores / temperature, targets)


def distillation(
    scores: torch.Tensor,
    teacher: torch.Tensor,
    *,
    temperature: float = 1.0,
    teacher_temperature: float = 1.0,
    scale_scores: bool = False,
) -> torch.Tensor:
    """Return KL(teacher || model) over each query's candidates, mean over queries, times t².

    Both sides are the softmax of scores / temperature; t is the model's temperature.

    Args:
        scores: (query, candidate) float.
        teacher: (query, candidate) float; NaN where a query has fewer candidates.
        temperature: Of the model's scores.
        teacher_temperature: Of the teacher's.
        scale_scores: Whether the model's scores of a query are first moved to 0…1.

    Raises:
        ArrayError: If the shapes differ, or there is but one candidate.

    Source: section 3.2 of Santhanam et al., ColBERTv2, 2022; t² of Hinton et al., 2015.
    Differs: ST6 is this without ``scale_scores``. PyLate scales by default, has no temperatures
    and can sum over queries; ColBERT multiplies the teacher's scores by ``distillation_alpha``.
    """
    if scores.shape != teacher.shape or scores.ndim != 2 or scores.shape[1] < 2:
        raise ArrayError(
            "distillation: expected scores and teacher scores (query, candidate) of two candidates "
            f"at least, got {tuple(scores.shape)} and {tuple(teacher.shape)}"
        )
    absent = torch.isnan(teacher)
    if scale_scores:
        low = scores.masked_fill(absent, torch.inf).amin(dim=1, keepdim=True)
        high = scores.masked_fill(absent, -torch.inf).amax(dim=1, keepdim=True)
        scores = (scores - low) / (high - low + FLAT)
    wanted = _log_softmax(teacher.detach().to(scores.dtype) / teacher_temperature, absent)
    found = _log_softmax(scores / temperature, absent)
    each = wanted.exp() * (wanted - found)
    return each.masked_fill(absent, 0.0).sum() / len(scores) * temperature**2


def _log_softmax(scores: torch.Tensor, absent: torch.Tensor) -> torch.Tensor:
    """Return log probabilities; finite and without gradient where a candidate is absent."""
    found = functional.log_softmax(scores.masked_fill(absent, -torch.inf), dim=1)
    return found.masked_fill(absent, 0.0)


def margin_mse(scores: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return the mean of ((S+ - S-) - (T+ - T-))² over all pairs of a positive and a negative.

    Args:
        scores: (query, candidate) float; the first candidate is the positive.
        teacher: (query, candidate) float; NaN where a query has fewer candidates.

    Raises:
        ArrayError: If the shapes differ, or no query has a negative.

    Source: equation 3 of Hofstätter et al., 2020.
    Differs: ST6 is the same for rows of equal length, and takes differences as labels too; PyLate
    has no such loss. Scores are sums there: a teacher of another range pulls the model to it.
    """
    if scores.shape != teacher.shape or scores.ndim != 2 or scores.shape[1] < 2:
        raise ArrayError(
            "margin-MSE: expected scores and teacher scores (query, candidate) of two candidates "
            f"at least, got {tuple(scores.shape)} and {tuple(teacher.shape)}"
        )
    present = ~torch.isnan(teacher[:, 1:])
    if not present.any():
        raise ArrayError("margin-MSE: expected a negative in a row at least, got none")
    wanted = (teacher[:, :1] - teacher[:, 1:]).detach().to(scores.dtype)
    found = scores[:, :1] - scores[:, 1:]
    return functional.mse_loss(found[present], wanted[present])


def batch_loss(
    queries: PaddedVectors, documents: PaddedVectors, batch: Batch, options: LossOptions
) -> torch.Tensor:
    """Return the loss of a batch: a number with a gradient.

    The softmax takes every document of the batch for a candidate, the others those of the row.

    Args:
        queries: A text for each of ``batch.queries``.
        documents: A text for each of ``batch.documents``.
        batch: Which documents belong to which query, and what a teacher says of them.
        options: Which loss.

    Raises:
        ArrayError: If texts are missing, rows have no negatives where the loss needs them, or no
            teacher's scores.
    """
    _check_texts(queries, documents, batch)
    return _over_widths(
        queries, documents, options, lambda one, other: _loss(one, other, batch, options)
    )


def imitation_loss(
    queries: PaddedVectors,
    documents: PaddedVectors,
    teacher: torch.Tensor,
    options: LossOptions,
) -> torch.Tensor:
    """Return the distillation of another model's scores of all queries and documents of a batch.

    Args:
        queries: Their token vectors.
        documents: Theirs.
        teacher: (query, document) float, what the other model gives.
        options: Temperatures, cuts.

    Raises:
        ArrayError: If the shapes differ, or there is but one document.
    """

    def loss(one: PaddedVectors, other: PaddedVectors) -> torch.Tensor:
        scores = max_sim(one, other, mean=options.mean, cells=options.cells)
        return _taught_loss(scores, teacher, options)

    return _over_widths(queries, documents, options, loss)


def _over_widths(
    queries: PaddedVectors,
    documents: PaddedVectors,
    options: LossOptions,
    loss: Callable[[PaddedVectors, PaddedVectors], torch.Tensor],
) -> torch.Tensor:
    """Return the loss of whole vectors, and that of each cut with its weight, together."""
    total = loss(queries, documents)
    for cut, weight in options.weighted_cuts:
        sides = (
            cut_vectors(each, cut, normalized=options.cut_normalized)
            for each in (queries, documents)
        )
        total = total + weight * loss(*sides)
    return total


def _loss(
    queries: PaddedVectors, documents: PaddedVectors, batch: Batch, options: LossOptions
) -> torch.Tensor:
    """Return the loss of a batch at one width."""
    device = queries.vectors.device
    candidates = torch.from_numpy(batch.candidates).to(device)
    if options.kind is LossKind.SOFTMAX:
        excluded = torch.from_numpy(batch.known_positives).to(device)
        scores = max_sim(queries, documents, mean=options.mean, cells=options.cells)
        targets = candidates[:, 0]
        return contrastive(scores, targets, temperature=options.temperature, excluded=excluded)
    present = candidates != ABSENT
    rows, ways = present.nonzero(as_tuple=True)
    pairs = torch.stack([rows, candidates[rows, ways]])
    found = max_sim_of_pairs(queries, documents, pairs, mean=options.mean, cells=options.cells)
    scores = found.new_zeros(candidates.shape).index_put((rows, ways), found)
    if options.kind is LossKind.HINGE:
        negatives = present[:, 1:]
        positives = scores[:, :1].expand(negatives.shape)[negatives]
        return pairwise_hinge(positives, scores[:, 1:][negatives], margin=options.margin)
    return _taught_loss(scores, _teacher(batch.teacher, options.kind).to(device), options)


def _taught_loss(scores: torch.Tensor, teacher: torch.Tensor, options: LossOptions) -> torch.Tensor:
    """Return a loss that follows a teacher."""
    if options.kind is LossKind.MARGIN_MSE:
        return margin_mse(scores, teacher)
    return distillation(
        scores,
        teacher,
        temperature=options.student_temperature,
        teacher_temperature=options.teacher_temperature,
        scale_scores=options.scale_scores,
    )


def _teacher(teacher: NDArray[np.float32] | None, kind: LossKind) -> torch.Tensor:
    """Return the teacher's scores.

    Raises:
        ArrayError: If there are none.
    """
    if teacher is None:
        raise ArrayError(
            f"{kind}: expected rows with a teacher's scores, got rows without; "
            'give every row "scores", or take the softmax or the hinge'
        )
    return torch.from_numpy(teacher)


def _check_texts(queries: PaddedVectors, documents: PaddedVectors, batch: Batch) -> None:
    """Return nothing if there are vectors for each text of a batch.

    Raises:
        ArrayError: If there are fewer or more.
    """
    for what, given, wanted in (
        ("queries", queries, batch.queries),
        ("documents", documents, batch.documents),
    ):
        if len(given.vectors) != len(wanted):
            raise ArrayError(f"{what}: expected {len(wanted)} texts, got {len(given.vectors)}")
