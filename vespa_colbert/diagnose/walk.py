"""The stages from a text to its vector under any settings, each kept for the next look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.diagnose.closeness import unit
from vespa_colbert.diagnose.settings import IN_GRAPH, Padding, Settings
from vespa_colbert.diagnose.tokenization import Tokenization
from vespa_colbert.errors import (
    CollectionError,
    ExportError,
    MissingExtraError,
    VespaColbertError,
)

__all__ = ["Misfit", "Walk"]

Rows = NDArray[np.float32]
Vectors = NDArray[np.float32]

TEXTS_AT_ONCE = 32
MOST_KEPT = 1 << 29
"""Bytes of rows that are kept."""


class Misfit(VespaColbertError, ValueError):  # noqa: N818 - no fault: settings that do not combine
    """Settings of two models that make no vectoriser together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Batch:
    """Texts of one array.

    Attributes:
        places: Of the texts.
        ids: (text, token) int64.
        attention: What the encoder gets.
        pooled: Which rows are pooled.
    """

    places: tuple[int, ...]
    ids: NDArray[np.int64]
    attention: NDArray[np.int64]
    pooled: NDArray[np.int64]


class Walk:
    """What texts become, stage by stage."""

    def __init__(self, texts: Sequence[str], tell: Callable[[str], None]) -> None:
        """Take the texts.

        Args:
            texts: What every side is asked for.
            tell: Told what is being tried.
        """
        self.texts, self.tell = tuple(texts), tell
        self._tokenization = Tokenization()
        self._ids: dict[tuple[Any, ...], tuple[int, ...]] = {}
        self._rows: dict[tuple[Any, ...], Rows] = {}
        self._kept = 0

    def prepared(self, settings: Settings, place: int) -> str:
        """Return a text with its instruction."""
        text = self.texts[place]
        text = text.strip() if settings.strip else text
        return settings.instruction + (text.lower() if settings.lower_text else text)

    def ids(self, settings: Settings, place: int) -> tuple[int, ...]:
        """Return the ids of a text.

        Raises:
            CollectionError: If it holds half of a surrogate pair.
            Misfit: If the settings make no tokenizer.
        """
        text, parts = self.prepared(settings, place), _parts(settings)
        limit = settings.max_tokens, settings.truncation_side
        key = (text, parts, limit)
        try:
            if key not in self._ids:
                self._ids[key] = self._tokenization.ids(text, parts, *limit)
            return self._ids[key]
        except CollectionError:
            raise
        except (ExportError, OverflowError, ValueError) as error:
            raise Misfit(str(error)) from error

    def token(self, settings: Settings, token_id: int) -> str:
        """Return the token behind an id."""
        return self._tokenization.token(token_id, _parts(settings))

    def rows(self, settings: Settings, place: int) -> Rows:
        """Return the rows of a text by itself: (token, width) float32.

        Raises:
            Misfit: If the settings do not fit together.
        """
        (batch,) = self._batches(settings, [place], Padding())
        rows: Rows = self._encoded(settings, batch)[0]
        return rows

    def pooled(self, settings: Settings, places: Sequence[int]) -> Vectors:
        """Return vectors before anything is cut off or brought to length 1: (text, width)."""
        plain = replace(settings, dims=None, lengths="as they are")
        return self.vectors(plain, places)

    def vectors(self, settings: Settings, places: Sequence[int]) -> Vectors:
        """Return the vectors of texts, cells not yet narrowed: (text, dim) float32.

        Raises:
            Misfit: If the settings do not fit together.
        """
        found: dict[int, Vectors] = {}
        for batch in self._batches(settings, places, settings.padding):
            rows = self._encoded(settings, batch)
            made = _finished(settings, rows, batch.pooled)
            found.update(zip(batch.places, made, strict=True))
        return np.stack([found[place] for place in places])

    def _batches(
        self, settings: Settings, places: Sequence[int], padding: Padding
    ) -> Iterator[_Batch]:
        """Yield the arrays that texts become.

        Raises:
            Misfit: If a text has no tokens, or the settings make no tokenizer.
        """
        ids = {place: self.ids(settings, place) for place in places}
        if not all(ids.values()):
            texts = [self.texts[place] for place, each in ids.items() if not each]
            raise Misfit(f"expected texts that have tokens, got none of {texts[0]!r:.80}")
        for chosen in _grouped(ids, padding):
            given = [ids[place] for place in chosen]
            width = max(padding.width or 0, *(len(each) for each in given))
            array = np.full((len(given), width), padding.pad_id, np.int64)
            real = np.zeros_like(array)
            for row, each in enumerate(given):
                start = width - len(each) if padding.side == "left" else 0
                array[row, start : start + len(each)] = each
                real[row, start : start + len(each)] = 1
            full = np.ones_like(real)
            yield _Batch(
                places=tuple(chosen),
                ids=array,
                attention=full if padding.seen_by_encoder else real,
                pooled=full if padding.pooled else real,
            )

    def _encoded(self, settings: Settings, batch: _Batch) -> Rows:
        """Return the rows of an array: (text, token, width), or (text, dim) of a pooled graph.

        Raises:
            Misfit: If the encoder has no such ids, positions or layer.
        """
        kept = settings.encoder, settings.layer, settings.token_types, settings.compute
        key = (*kept, batch.ids.shape, batch.ids.tobytes(), batch.attention.tobytes())
        if key not in self._rows:
            if self._kept > MOST_KEPT:
                self._rows.clear()
                self._kept = 0
            rows = _guarded(
                lambda: settings.encoder.rows(
                    batch.ids,
                    batch.attention,
                    layer=settings.layer,
                    token_types=settings.token_types,
                    compute=settings.compute,
                )
            )
            self._rows[key] = rows
            self._kept += rows.nbytes
        return self._rows[key]


def _parts(settings: Settings) -> tuple[str, str, str]:
    return settings.normalizer, settings.vocabulary, settings.specials


def _guarded(ask: Callable[[], Rows]) -> Rows:
    """Return the answer of a library.

    Raises:
        Misfit: If it fails: ids, positions or widths of two models that do not fit.
        MissingExtraError: If it is not installed.
    """
    try:
        return ask()
    except MissingExtraError:
        raise
    except Exception as error:  # torch and ONNX Runtime raise what they like
        raise Misfit(f"{type(error).__name__}: {error}") from error


def _grouped(ids: dict[int, tuple[int, ...]], padding: Padding) -> Iterator[list[int]]:
    """Yield places of texts that share an array."""
    if padding.batch == 0:
        by_length: dict[int, list[int]] = {}
        for place, each in ids.items():
            by_length.setdefault(len(each), []).append(place)
        for places in by_length.values():
            for start in range(0, len(places), TEXTS_AT_ONCE):
                yield places[start : start + TEXTS_AT_ONCE]
        return
    order = list(ids)
    if padding.by_length:
        order.sort(key=lambda place: -len(ids[place]))
    for start in range(0, len(order), padding.batch):
        yield order[start : start + padding.batch]


def _finished(settings: Settings, rows: Rows, pooled: NDArray[np.int64]) -> Vectors:
    """Return vectors of rows: (text, dim) float32.

    Raises:
        Misfit: If rows and settings do not fit together.
    """
    if (rows.ndim == 2) != (settings.pooling == IN_GRAPH):
        raise Misfit("a graph that pools has no rows")
    if rows.ndim == 2:
        return _cut_and_scaled(settings, rows)
    return _guarded(lambda: _through_torch(settings, rows, pooled))


def _through_torch(settings: Settings, rows: Rows, pooled: NDArray[np.int64]) -> Vectors:
    """Return vectors as the library's modules make them, in the floats of the settings."""
    import torch

    from vespa_colbert.model.dense import PooledVectors

    dtype = getattr(torch, settings.compute)
    given = torch.tensor(rows).to(dtype)
    module = PooledVectors(
        lambda input_ids, attention_mask: (given,),  # noqa: ARG005 - the encoder's signature
        settings.pooling,  # type: ignore[arg-type]
        settings.projection,
        normalize=settings.lengths != "as they are",
        dims=None if settings.lengths == "1, then cut" else settings.dims,
    ).to(dtype)
    with torch.no_grad():
        vectors: Vectors = module(None, torch.tensor(pooled)).to(torch.float32).numpy()
    return vectors[:, : settings.dims]


def _cut_and_scaled(settings: Settings, vectors: Vectors) -> Vectors:
    """Return vectors that a graph gave, as the settings finish them."""
    if settings.lengths == "1, then cut":
        return _unit(vectors)[:, : settings.dims]
    cut = vectors[:, : settings.dims]
    return _unit(cut) if settings.lengths == "1" else cut


def _unit(vectors: Vectors) -> Vectors:
    return unit(vectors).astype(np.float32)
