"""A checkpoint with another head: made of the token vectors of texts, without training.

The encoder runs once over the texts; what is kept of its rows are their moments and a sample.
Imports torch when it runs; nothing imports it eagerly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, unit_rows
from vespa_colbert.checkpoint import Checkpoint, ProjectionLayer, stanford
from vespa_colbert.errors import SpecError
from vespa_colbert.train.fold import fold, linear_layer
from vespa_colbert.train.heads import BIASED_LAYOUT
from vespa_colbert.train.principal import Axes, Moments, principal_axes
from vespa_colbert.train.rotation import learn_rotation, sign_error
from vespa_colbert.train.settings import Device, HeadStart, Track, silent

__all__ = ["HeadMethod", "HeadOptions", "NewHead", "change_head"]

MOST_ROWS, ROW_BYTES = 131_072, 1 << 28
"""Token vectors that a rotation is learned on, and the memory that they may take. With a quarter as
many, of 128 components, a quarter of what it gains is gained on those vectors alone."""
HELD_OUT = 8
"""Of so many, one is not learned on: the sign error is measured on those."""


LEAST_SHARE = 1e-6
"""Of the largest: along an axis that holds less, nothing is made larger than there."""


class HeadMethod(StrEnum):
    """How a head is made; the values are what the command line says.

    ``pca`` orders the components, the one that holds most first: the best head to cut. ``itq``
    rotates those that are kept so that their signs say most.
    """

    PCA = "pca"
    ITQ = "itq"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadOptions:
    """How a head is made.

    Attributes:
        method: Which axes.
        start: Whether it is made of the outputs of the checkpoint's own head, and put into it, or
            of the encoder's rows, in its place.
        dims: Components of a token vector; None for as many as the own head has.
        cuts: Widths at which the vectors are to be cut: ``itq`` rotates between them only, so that
            the first components stay those of ``pca``.
        centered: Whether the mean is subtracted, which is a bias of the head. It moves queries and
            documents alike, so that float scores change too.
        whitening: From 0 to 1, how far the components that hold little are made larger: 1 makes all
            equal on the average. More than 0 is no rotation: float scores change, and a direction
            that all texts share says less in them.
        seed: Of the texts and the rows that are drawn, and of the rotation's beginning.
        most_texts: Texts that are taken, drawn at random where there are more; 0 for all.
        device: Where the encoder runs.
    """

    method: HeadMethod = HeadMethod.ITQ
    start: HeadStart = HeadStart.OWN
    dims: int | None = None
    cuts: tuple[int, ...] = ()
    centered: bool = False
    whitening: float = 0.0
    seed: int = 0
    most_texts: int = 2000
    device: Device = Device.AUTO

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SpecError: With every one that cannot be.
        """
        faults = [
            f"{name}: expected {least} at least, got {value}"
            for name, value, least in (
                ("dims", self.dims, 1),
                ("seed", self.seed, 0),
                ("most_texts", self.most_texts, 0),
                *(("cuts", cut, 1) for cut in self.cuts),
            )
            if value is not None and value < least
        ]
        if not 0 <= self.whitening <= 1:
            faults.append(f"whitening: expected 0 to 1, got {self.whitening}")
        if faults:
            raise SpecError("the head cannot be made", tuple(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHead:
    """A checkpoint with another head, and what can be said of it.

    Attributes:
        checkpoint: The source with the new projection.
        texts: Texts that were encoded.
        rows: Token vectors that were seen.
        shares: Width → share of the squared length of the vectors that so many first components
            hold: that of a cut, and of the whole head.
        sign_error_before: Share of the squared length that signs leave out with the own head, at
            the new width, of vectors that the rotation is not learned on; None for a head in its
            place.
        sign_error: The same with the new head.
        rotated_only: Whether float scores are those of the source, up to rounding.
    """

    checkpoint: Checkpoint
    texts: int
    rows: int
    shares: dict[int, float]
    sign_error_before: float | None
    sign_error: float
    rotated_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is kept of the encoder's rows.

    Attributes:
        moments: Of all of them.
        sample: (row, width) float32, some of them.
    """

    moments: Moments
    sample: TokenVectors


def change_head(
    checkpoint: Checkpoint, texts: Sequence[str], options: HeadOptions, track: Track = silent
) -> NewHead:
    """Return the checkpoint with a head made of the token vectors of texts.

    Args:
        checkpoint: As it will be written: see ``written_form``.
        texts: Documents. Only documents are packed, so that queries have no part in it.
        options: How the head is made.
        track: Hears of the progress.

    Raises:
        SpecError: If a width cannot be, or the layout has no place for what is asked for.
        ArrayError: If there are no rows, or one is not finite.
        CheckpointError: If the checkpoint cannot be built, or its tokenizer not used.
        TrainingError: If a GPU is asked for and there is none.
        MissingExtraError: If torch, transformers or tokenizers is not installed.
    """
    dims = _checked(checkpoint, options)
    random = np.random.default_rng(options.seed)
    chosen = _chosen(texts, options.most_texts, random)
    seen = _seen(checkpoint, chosen, options, random, track)
    axes = principal_axes(seen.moments, centered=options.centered)
    matrix, vectors = _matrix(axes, seen.sample, dims, options)
    own = options.start is HeadStart.OWN
    widths = sorted({*options.cuts, dims})
    return NewHead(
        checkpoint=replace(
            checkpoint, projection=_projection(checkpoint, matrix, axes.center, options)
        ),
        texts=len(chosen),
        rows=seen.moments.count,
        shares={width: float(axes.shares[:width].sum()) for width in widths},
        sign_error_before=sign_error(unit_rows(seen.sample[::HELD_OUT, :dims])) if own else None,
        sign_error=sign_error(vectors),
        rotated_only=(
            own and dims == seen.moments.dim and not options.centered and options.whitening == 0
        ),
    )


def _checked(checkpoint: Checkpoint, options: HeadOptions) -> int:
    """Return the width of the new head.

    Raises:
        SpecError: If it cannot be made, or not be written in the layout.
    """
    own = options.start is HeadStart.OWN
    widest = checkpoint.dim if own else checkpoint.encoder.hidden_size
    dims = options.dims or min(checkpoint.dim, widest)
    if dims > widest:
        what = "the head's own" if own else "the encoder's"
        raise SpecError(f"dims: expected at most {what} {widest}, got {dims}")
    if wrong := [cut for cut in options.cuts if cut >= dims]:
        raise SpecError(f"cuts: expected widths below the head's {dims}, got {wrong[0]}")
    if options.centered and checkpoint.layout == stanford.NAME:
        raise SpecError(
            f"{checkpoint.path}: a {stanford.NAME} checkpoint has no bias, which centring needs; "
            "write a PyLate one (--layout pylate), or do not centre"
        )
    return dims


def _chosen(texts: Sequence[str], most: int, random: np.random.Generator) -> Sequence[str]:
    if not most or len(texts) <= most:
        return texts
    return [texts[place] for place in np.sort(random.choice(len(texts), most, replace=False))]


def _seen(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    options: HeadOptions,
    random: np.random.Generator,
    track: Track,
) -> _Seen:
    """Return moments and a sample of the rows that documents have before they are normalised."""
    import torch

    from vespa_colbert.train.encode import encoded_rows
    from vespa_colbert.train.model import device_of, trainable_module
    from vespa_colbert.train.windows import open_treatment, window_table

    device = device_of(options.device)
    module = trainable_module(checkpoint, device, with_encoder=False)
    treatment = open_treatment(checkpoint)
    with track("tokens", len(texts)) as progress:
        windows = window_table(texts, treatment.document_window, checkpoint.pad_id, progress)

    def rows() -> Iterator[TokenVectors]:
        done = 0
        with track("rows", len(texts)) as progress:
            for places, hidden in encoded_rows(module, windows, device):
                yield hidden
                done += len(places)
                progress(done)

    def projected(hidden: TokenVectors) -> TokenVectors:
        if options.start is HeadStart.NEW:
            return hidden
        with torch.no_grad():
            given = torch.from_numpy(hidden).to(device)
            found: TokenVectors = module.projection(given).cpu().numpy()
        return found

    return _gathered(map(projected, rows()), int(windows.scored_counts.sum()), random)


def _gathered(parts: Iterator[TokenVectors], count: int, random: np.random.Generator) -> _Seen:
    """Return the moments of parts, and as many of their rows as are kept, each as likely.

    Raises:
        ArrayError: If a row is not finite.
    """
    kept = np.empty(0, np.int64)
    moments: Moments | None = None
    sample: list[TokenVectors] = []
    start = 0
    for part in parts:
        if moments is None:
            moments = Moments(dim=part.shape[1])
            most = min(count, MOST_ROWS, ROW_BYTES // (4 * moments.dim))
            kept = np.sort(random.choice(count, most, replace=False))
        moments.add(part)
        inside = kept[np.searchsorted(kept, start) : np.searchsorted(kept, start + len(part))]
        sample.append(part[inside - start])
        start += len(part)
    if moments is None:
        return _Seen(moments=Moments(dim=0), sample=np.empty((0, 0), np.float32))
    return _Seen(moments=moments, sample=np.concatenate(sample))


def _matrix(
    axes: Axes, sample: TokenVectors, dims: int, options: HeadOptions
) -> tuple[NDArray[np.float64], TokenVectors]:
    """Return what rows are multiplied with, (dims, width), and token vectors not learned on."""
    matrix = axes.rows[:dims] * _scales(axes, dims, options.whitening)[:, None]
    vectors = unit_rows((sample - axes.center).astype(np.float32) @ matrix.T.astype(np.float32))
    if options.method is HeadMethod.PCA:
        return matrix, vectors[::HELD_OUT]
    learned_on = np.delete(vectors, np.s_[::HELD_OUT], axis=0)
    rotation = learn_rotation(learned_on, seed=options.seed, cuts=options.cuts)
    return rotation @ matrix, vectors[::HELD_OUT] @ rotation.T.astype(np.float32)


def _scales(axes: Axes, dims: int, whitening: float) -> NDArray[np.float64]:
    """Return what components are multiplied with, (dims,); the first with 1."""
    shares = axes.shares[:dims] / axes.shares[0]
    scales: NDArray[np.float64] = np.maximum(shares, LEAST_SHARE) ** (-whitening / 2)
    return scales


def _projection(
    checkpoint: Checkpoint,
    matrix: NDArray[np.float64],
    center: NDArray[np.float64],
    options: HeadOptions,
) -> tuple[ProjectionLayer, ...]:
    subtracted = center if options.centered else None
    if options.start is HeadStart.OWN:
        return fold(checkpoint.projection, matrix, subtracted)
    layer = linear_layer(matrix, subtracted)
    if layer.bias is None and checkpoint.layout == BIASED_LAYOUT:
        layer = replace(layer, bias=np.zeros(len(matrix), np.float32))
    return (layer,)
