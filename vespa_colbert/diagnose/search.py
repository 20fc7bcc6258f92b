"""The fewest changes of known settings under which the vectors are those of the other side.

First what is after the encoder, then one change before it, then two, each with every pooling. What
is found on a few texts counts only after it has been shown on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.diagnose.candidates import (
    MOST_LENGTHS,
    before_pooling,
    length_changes,
    padding_changes,
    poolings,
    projections,
)
from vespa_colbert.diagnose.closeness import (
    UNIT,
    Closeness,
    closeness,
    direction_gaps,
    likely_cells,
)
from vespa_colbert.diagnose.settings import ASPECTS, Change, Lengths, changed
from vespa_colbert.diagnose.sides import BlackBox, WhiteBox
from vespa_colbert.diagnose.walk import Misfit, Walk

__all__ = ["Found", "Search", "minimal"]

SCREEN = 12
"""Texts that every combination is tried on first."""

PREFIX = 128
"""Texts that a way to fill up batches is tried on first."""

MOST_PAIRS = 600
"""Pairs of changes before the encoder that are tried."""

NEAR = 1e-2
"""Directions further apart than this are not looked at with other lengths."""

Changes = tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found.

    Attributes:
        changes: Under which the vectors are those of the other side; empty if none were found.
        others: Single changes that do the same on these texts.
        nearest: The changes that came nearest.
        gap: Largest difference under these.
        tried: Combinations that were tried.
    """

    changes: Changes = ()
    others: tuple[Change, ...] = ()
    nearest: Changes = ()
    gap: float = float("inf")
    tried: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trial:
    """One combination and how near it came."""

    changes: Changes
    gap: float
    agrees: bool


@dataclass(slots=True, kw_only=True, eq=False)
class Search:
    """A search for the settings of a black box.

    Attributes:
        white: The side whose settings are known.
        black: The other one.
        walk: The texts.
        base: Changes that are made in any case.
        together: Whether the other side's vectors may depend on their batch.
        tolerance: Of floats.
        thorough: Whether several settings together are tried too.
        tried: Combinations that were tried.
        best: What came nearest.
    """

    white: WhiteBox
    black: BlackBox
    walk: Walk
    base: Changes = ()
    together: bool = True
    tolerance: float
    thorough: bool = True
    tried: int = 0
    best: _Trial | None = None
    _endings: list[Changes] = field(default_factory=list)
    _screen: list[int] = field(default_factory=list)
    _probe: list[int] = field(default_factory=list)

    def run(self) -> Found:
        """Return the fewest changes that explain the other side's vectors."""
        self._endings = list(self._possible_endings())
        gaps = self._gaps((), list(range(len(self.walk.texts))))
        self._screen = self._chosen(gaps)
        self._probe = sorted({int(gaps.argmax()), int(gaps.argmin())})
        levels = (
            ("after the encoder", self._after),
            ("one setting before the encoder", self._usual),
            ("every length that is possible", self._lengths_alone),
            ("padding without a mask", self._padding_alone),
            ("one before the encoder, another pooling", self._one_and_pooling),
            ("two before the encoder", self._two),
        )
        for name, combinations_of in levels if self.thorough else levels[:4]:
            self.walk.tell(f"trying {name}")
            agreeing = [each for each in self._tried(combinations_of()) if each.agrees]
            proved = [each for each in agreeing if self._holds(each.changes)]
            if proved:
                return self._found(proved)
        nearest = self.best or _Trial(changes=(), gap=float("inf"), agrees=False)
        return Found(nearest=nearest.changes, gap=nearest.gap, tried=self.tried)

    def _found(self, proved: list[_Trial]) -> Found:
        fewest = min(proved, key=lambda each: len(each.changes))
        own = {(each.aspect, each.shown) for each in fewest.changes}
        others = tuple(
            change
            for trial in proved
            if len(trial.changes) == len(fewest.changes)
            for change in trial.changes
            if (change.aspect, change.shown) not in own
        )
        return Found(changes=fewest.changes, others=others, gap=fewest.gap, tried=self.tried)

    def _holds(self, changes: Changes) -> bool:
        """Return whether changes explain all texts."""
        return self._judged(changes, list(range(len(self.walk.texts)))).agrees

    def _tried(self, combos: Iterable[Changes]) -> Iterator[_Trial]:
        """Yield how near each combination comes, on a few texts."""
        for changes in combos:
            yield self._best_ending(changes)

    def _best_ending(self, changes: Changes) -> _Trial:
        """Return how near changes come under the best lengths and cells."""
        self.tried += 1
        places = self._places(changes)
        is_float = self.black.vectors.dtype.kind == "f"
        if is_float and places is self._screen and self._gap(changes, self._probe) > NEAR:
            return _Trial(changes=changes, gap=float("inf"), agrees=False)
        plain = self._gap(changes, places)
        best = _Trial(changes=changes, gap=plain, agrees=False)
        if plain <= NEAR or not is_float:
            for ending in self._endings:
                near = self._judged((*changes, *ending), places)
                if near.agrees:
                    return _Trial(changes=(*changes, *ending), gap=near.largest, agrees=True)
                if near.largest < best.gap:
                    best = _Trial(changes=(*changes, *ending), gap=near.largest, agrees=False)
        if self.best is None or best.gap < self.best.gap:
            self.best = best
        return best

    def _gap(self, changes: Changes, places: list[int]) -> float:
        return float(self._gaps(changes, places).max())

    def _gaps(self, changes: Changes, places: list[int]) -> NDArray[np.float64]:
        """Return how far directions are apart: (text,) float64."""
        ending = self._endings[0]
        theirs = self.black.vectors[places]
        vectors = self._vectors((*changes, *ending), places)
        if vectors is None:
            return np.full(len(places), np.inf)
        return direction_gaps(vectors, theirs)

    def _judged(self, changes: Changes, places: list[int]) -> Closeness:
        """Return how near vectors come under changes."""
        cells = changed(self.white.settings, (*self.base, *changes)).cells
        vectors = self._vectors(changes, places)
        if vectors is None:
            return Closeness(gaps=(float("inf"),), agrees=False)
        return closeness(vectors, self.black.vectors[places], cells, self.tolerance)

    def _vectors(self, changes: Changes, places: list[int]) -> NDArray[Any] | None:
        """Return vectors under changes, None where the settings do not fit together."""
        try:
            return self.walk.vectors(changed(self.white.settings, (*self.base, *changes)), places)
        except Misfit:
            return None

    def _places(self, changes: Changes) -> list[int]:
        """Return the texts that changes are tried on: whole batches, where those matter."""
        padding = next((each.value for each in changes if each.aspect == "padding"), None)
        if padding is None:
            return self._screen
        count = len(self.walk.texts)
        if padding.by_length or padding.batch > PREFIX:
            return list(range(count))
        return list(range(min(count, PREFIX)))

    def _chosen(self, gaps: NDArray[np.float64]) -> list[int]:
        """Return a few texts: those furthest apart, the longest, the shortest, the nearest."""
        lengths = np.array([len(text) for text in self.walk.texts])
        worst, near = np.argsort(-gaps, kind="stable"), np.argsort(gaps, kind="stable")
        order = np.argsort(-lengths, kind="stable")
        wanted = [*worst[: SCREEN // 2], *order[:2], *order[-2:], *near[:2]]
        return sorted({int(place) for place in wanted})

    def _possible_endings(self) -> Iterator[Changes]:
        """Yield lengths, width and cells that the other side's numbers leave possible."""
        theirs = self.black.vectors
        settings = changed(self.white.settings, self.base)
        width = self.walk.pooled(settings, [0]).shape[1]
        options = likely_cells(theirs, width)
        wanted = theirs.shape[1] * (8 if options[0].startswith("bits") else 1)
        cut: Changes = ()
        if wanted < width and wanted != settings.dims:
            shown = f"the first {wanted} of {width} components"
            cut = (Change(aspect="dims", value=wanted, shown=shown),)
        for cells, lengths in product(options, self._lengths(theirs, is_cut=wanted < width)):
            ending = cut
            if lengths != settings.lengths:
                shown = "not brought to 1" if lengths == "as they are" else f"brought to {lengths}"
                ending += (Change(aspect="lengths", value=lengths, shown=shown),)
            if cells != settings.cells:
                ending += (Change(aspect="cells", value=cells, shown=cells),)
            yield ending

    def _lengths(self, theirs: NDArray[Any], *, is_cut: bool) -> list[Lengths]:
        """Return what the other side's lengths leave possible."""
        found: list[Lengths] = ["1", "as they are", "1, then cut"] if is_cut else ["1"]
        if not is_cut:
            found.append("as they are")
        if theirs.dtype.kind == "f":
            lengths = np.linalg.norm(theirs.astype(np.float64), axis=1)
            is_unit = bool((np.abs(lengths - 1) <= UNIT).all())
            found = [each for each in found if is_unit or each != "1"]
        own = changed(self.white.settings, self.base).lengths
        return sorted(found, key=lambda each: each != own)

    def _after(self) -> Iterator[Changes]:
        settings = changed(self.white.settings, self.base)
        yield ()
        chosen: list[Changes] = [(each,) for each in poolings(settings)]
        yield from chosen
        for layer in projections(settings):
            yield (layer,)
            yield from ((each, layer) for (each,) in chosen)

    def _before(self) -> list[Change]:
        """Return changes before the pooling that change something on the screen."""
        longest = max(self._tokens(place) for place in self._screen)
        white = self._based()
        kept, seen = list[Change](), {self._signature(())}
        for change in before_pooling(white, longest):
            if change.aspect in {"layer", "compute", "token_types"}:
                kept.append(change)
                continue
            signature = self._signature((change,))
            if signature not in seen and signature is not None:
                seen.add(signature)
                kept.append(change)
        return kept

    def _usual(self) -> Iterator[Changes]:
        yield from ((change,) for change in self._before())

    def _lengths_alone(self) -> Iterator[Changes]:
        yield from ((change,) for change in self._exact_lengths())

    def _padding_alone(self) -> Iterator[Changes]:
        count = len(self.walk.texts)
        changes = padding_changes(self._based(), count, together=self.together)
        yield from ((change,) for change in changes)

    def _one(self) -> Iterator[Changes]:
        yield from self._usual()
        yield from self._lengths_alone()
        yield from self._padding_alone()

    def _one_and_pooling(self) -> Iterator[Changes]:
        modes = list(poolings(changed(self.white.settings, self.base)))
        yield from product([change for (change,) in self._one()], modes)

    def _two(self) -> Iterator[Changes]:
        modes: list[Changes] = [()]
        modes += [(each,) for each in poolings(changed(self.white.settings, self.base))]
        order = list(ASPECTS)
        singles = [each for (each,) in self._one() if each.aspect != "layer"]
        count = 0
        for pair in combinations(singles, 2):
            one, other = sorted(pair, key=lambda each: order.index(each.aspect))
            if one.aspect == other.aspect or count >= MOST_PAIRS:
                continue
            count += 1
            yield from ((one, other, *mode) for mode in modes)

    def _exact_lengths(self) -> Iterator[Change]:
        """Yield every length that agreeing and disagreeing texts leave possible.

        Texts that are not longer than a length are not cut at it, so that they agree.
        """
        counts = [self._tokens(place) for place in range(len(self.walk.texts))]
        agreeing = self._most_agreeing()
        if not agreeing.any() or agreeing.all():
            return
        low = max(count for count, same in zip(counts, agreeing, strict=True) if same)
        high = min(count for count, same in zip(counts, agreeing, strict=True) if not same)
        own = self._based().settings.max_tokens or 0
        shorter = range(max(low, 3), min(high, own))[:MOST_LENGTHS]
        longer = range(own + 1, max(counts) + 1)[:MOST_LENGTHS]
        yield from length_changes(self._based(), [*shorter, *longer])

    def _most_agreeing(self) -> NDArray[np.bool_]:
        """Return which texts agree in direction, under the pooling with most of them."""
        settings = changed(self.white.settings, self.base)
        modes: list[Changes] = [(), *((each,) for each in poolings(settings))]
        places = list(range(len(self.walk.texts)))
        found = [self._gaps(mode, places) <= self.tolerance for mode in modes]
        return max(found, key=lambda each: int(each.sum()))

    def _based(self) -> WhiteBox:
        return replace(self.white, settings=changed(self.white.settings, self.base))

    def _tokens(self, place: int) -> int:
        """Return how many tokens a text has that is not cut."""
        whole = Change(aspect="max_tokens", value=None, shown="")
        return len(self.walk.ids(changed(self.white.settings, (*self.base, whole)), place))

    def _signature(self, changes: Changes) -> tuple[tuple[int, ...], ...] | None:
        """Return the ids of the texts on the screen, None where the settings make none."""
        settings = changed(self.white.settings, (*self.base, *changes))
        try:
            return tuple(self.walk.ids(settings, place) for place in self._screen)
        except Misfit:
            return None


def minimal(changes: Changes, agrees: Callable[[Changes], bool]) -> Changes:
    """Return the changes that are left when all that are not needed are taken away.

    The last stage goes first, so that of two that do the same the earlier one stays.
    """
    kept = sorted(changes, key=lambda each: list(ASPECTS).index(each.aspect))
    for change in reversed(list(kept)):
        fewer = tuple(each for each in kept if each is not change)
        if agrees(fewer):
            kept = list(fewer)
    return tuple(kept)
