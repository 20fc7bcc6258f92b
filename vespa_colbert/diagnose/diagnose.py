"""Why two vectorisers disagree: the settings that make one of the other, each shown to be needed.

A setting is called a cause only where the vectors agree with it and the other causes closed, and
do not agree with only the others closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.diagnose.closeness import FLOAT32, HALF, Closeness, closeness
from vespa_colbert.diagnose.compare import (
    changes_between,
    encoder_notes,
    setting_rows,
    shown_value,
    with_encoder,
)
from vespa_colbert.diagnose.evidence import evidence_of
from vespa_colbert.diagnose.result import Cause, Diagnosis, Evidence
from vespa_colbert.diagnose.search import Found, Search, minimal
from vespa_colbert.diagnose.settings import ASPECTS, IN_GRAPH, Change, Settings, changed
from vespa_colbert.diagnose.sides import BlackBox, Side, WhiteBox
from vespa_colbert.diagnose.signs import alone_gap, depends_on_batch, is_like_half, signs_of
from vespa_colbert.diagnose.walk import Misfit, Walk
from vespa_colbert.embedder import Role
from vespa_colbert.errors import CollectionError

__all__ = ["diagnose"]

Changes = tuple[Change, ...]

NEARER = 0.1
"""Part of the difference that settings must leave at most to be worth a mention, unexplained."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """What is compared, the side with settings first."""

    white: WhiteBox
    theirs: NDArray[Any]
    walk: Walk
    tolerance: float

    def settings(self, changes: Changes) -> Settings:
        return changed(self.white.settings, changes)

    def near(self, changes: Changes) -> Closeness:
        """Return how near the other side's vectors come under changes."""
        settings = self.settings(changes)
        try:
            ours = self.walk.vectors(settings, range(len(self.walk.texts)))
        except Misfit:
            return Closeness(gaps=(float("inf"),), agrees=False)
        return closeness(ours, self.theirs, settings.cells, self.tolerance)


def diagnose(
    a: Side,
    b: Side,
    texts: Sequence[str],
    *,
    role: Role = "document",
    tolerance: float = FLOAT32,
    progress: Callable[[str], None] | None = None,
) -> Diagnosis:
    """Return whether two vectorisers agree on texts, and if not, why.

    Args:
        a: One side, made with the same role and texts.
        b: The other one.
        texts: At least one; more, of several lengths and with capitals, tell causes apart.
        role: Whose instruction is put before the texts.
        tolerance: Largest difference of a component, of a vector of length 1, that is none.
        progress: Told what is being tried.

    Raises:
        CollectionError: If there is no text, or one holds half of a surrogate pair.
        Misfit: If a side's own settings cannot make vectors of the texts.
    """
    if not texts:
        raise CollectionError("texts: expected at least one, got none")
    walk = Walk(texts, progress or (lambda _what: None))
    return replace(_compared(a, b, walk, tolerance), role=role)


def _compared(a: Side, b: Side, walk: Walk, tolerance: float) -> Diagnosis:
    """Return what is found of either pair of kinds."""
    ours, theirs = _vectors(a, walk), _vectors(b, walk)
    plain = Diagnosis(
        a=a.name,
        b=b.name,
        role="",
        texts=len(walk.texts),
        tolerance=tolerance,
        reason="float32 sums in another order" if tolerance == FLOAT32 else "as asked for",
        agree=False,
        explained=False,
        before=float("inf"),
        after=float("inf"),
        signs=tuple(signs_of(ours, theirs, walk.texts, _lengths(a, b, walk))),
    )
    if ours.shape == theirs.shape:
        near = closeness(ours, theirs, "float32", tolerance)
        agree = near.agrees
        plain = replace(plain, before=near.largest, after=near.largest, agree=agree)
    if isinstance(a, WhiteBox) and isinstance(b, WhiteBox):
        return _white(a, b, theirs, walk, plain)
    if plain.agree:
        return replace(plain, explained=True)
    if isinstance(a, WhiteBox) and isinstance(b, BlackBox):
        return _black(a, b, walk, plain)
    if isinstance(a, BlackBox) and isinstance(b, WhiteBox):
        return _turned(_black(b, a, walk, plain))
    return plain


def _white(
    a: WhiteBox,
    b: WhiteBox,
    theirs: NDArray[Any],
    walk: Walk,
    plain: Diagnosis,
) -> Diagnosis:
    """Return what is found of two sides whose settings are known."""
    walk.tell("comparing settings")
    differing = tuple(changes_between(a, b, walk))
    plain = replace(plain, settings=tuple(setting_rows(a, b, differing)))
    if plain.agree:
        return replace(plain, explained=True, without_effect=_without_effect(plain, ()))
    case = _Case(white=a, theirs=theirs, walk=walk, tolerance=plain.tolerance)
    pooled = (a.settings.pooling == IN_GRAPH) != (b.settings.pooling == IN_GRAPH)
    if not pooled and not case.near(differing).agrees:
        # The encoders give the same rows of the texts that were probed, and not of all.
        differing = tuple(with_encoder(differing, b))
    if not case.near(differing).agrees:
        return _inside_a_graph(a, b, walk, plain, differing)
    causes = minimal(differing, lambda changes: case.near(changes).agrees)
    return _explained(case, causes, plain, b)


def _inside_a_graph(
    a: WhiteBox,
    b: WhiteBox,
    walk: Walk,
    plain: Diagnosis,
    differing: Changes,
) -> Diagnosis:
    """Return what is found where one side's graph pools, so that its inside is not known."""
    if a.settings.pooling == IN_GRAPH and b.settings.pooling != IN_GRAPH:
        swapped = tuple(changes_between(b, a, walk))
        turned = replace(plain, settings=())
        found = _inside_a_graph(b, a, walk, turned, swapped)
        return replace(_turned(found), settings=plain.settings)
    black = BlackBox(name=b.name, vectors=_vectors(b, walk))
    return _black(a, black, walk, plain, base=differing, known=b)


def _black(
    white: WhiteBox,
    black: BlackBox,
    walk: Walk,
    plain: Diagnosis,
    *,
    base: Changes = (),
    known: WhiteBox | None = None,
) -> Diagnosis:
    """Return what is found of a side of which only vectors are known."""
    gap = None if known else alone_gap(black)
    if gap is not None and depends_on_batch(gap):
        told = f"{black.name}: a text by itself moves by {gap:.2g}: its batch matters"
        plain = replace(plain, signs=(*plain.signs, told))
    search = Search(
        white=white,
        black=black,
        walk=walk,
        base=base,
        together=known is None and depends_on_batch(gap),
        tolerance=plain.tolerance,
        thorough=not is_like_half(black.vectors, plain.before),
    )
    found = search.run()
    plain = replace(plain, tried=found.tried)
    case = _Case(white=white, theirs=black.vectors, walk=walk, tolerance=plain.tolerance)
    both = _overlaid(base, found.changes)
    if not found.changes or not case.near(both).agrees:
        return _not_explained(case, plain, found)
    causes = minimal(both, lambda changes: case.near(changes).agrees)
    explained = _explained(case, causes, plain, known)
    also = tuple(f"{each.name}: {each.shown}" for each in found.others)
    return replace(explained, also=tuple(dict.fromkeys(also)))


def _overlaid(base: Changes, others: Changes) -> Changes:
    """Return changes of which the later ones of one setting count."""
    later = {each.aspect for each in others}
    return (*(each for each in base if each.aspect not in later), *others)


def _not_explained(case: _Case, plain: Diagnosis, found: Found) -> Diagnosis:
    """Return that nothing was shown, what came nearest, and what the rest looks like."""
    is_near = found.gap <= NEARER * plain.before
    nearest = tuple(f"{each.name}: {each.shown}" for each in found.nearest) if is_near else ()
    after = found.gap if nearest else plain.before
    likely: tuple[str, ...] = ()
    if is_like_half(case.theirs, after):
        told = (
            f"dtype: all numbers are values of float16 and what is left, {after:.2g}, is of the "
            f"size that computing in it makes (up to {HALF:g}). It is not proved: two kernels "
            "round differently. Compute that side in float32 to see"
        )
        likely = (told,)
    return replace(plain, likely=likely, nearest=nearest, after=after)


def _explained(case: _Case, causes: Changes, plain: Diagnosis, known: WhiteBox | None) -> Diagnosis:
    """Return the causes, each with what it leaves and what is left without it."""
    after = case.near(causes).largest
    told = tuple(_causes(case, causes, known))
    return replace(
        plain,
        explained=True,
        after=after,
        causes=told,
        without_effect=_without_effect(plain, causes),
    )


def _causes(case: _Case, causes: Changes, known: WhiteBox | None) -> Iterator[Cause]:
    """Yield causes in the order of the stages."""
    closed = case.settings(causes)
    for place, change in enumerate(causes):
        others = tuple(each for each in causes if each is not change)
        without = case.settings(others)
        notes: tuple[str, ...] = ()
        if change.aspect == "encoder":
            notes = encoder_notes(without, closed, case.walk)
        other = known.settings if known else None
        yield Cause(
            setting=change.name,
            stage=ASPECTS[change.aspect].stage,
            a=shown_value(change.aspect, case.white.settings, other),
            a_origin=case.white.origins.get(change.aspect, ""),
            b=change.shown,
            b_origin=change.origin,
            left=case.near(causes[: place + 1]).largest,
            without=case.near(others).largest,
            evidence=evidence_of(change, without, closed, case.walk, notes),
        )


def _without_effect(plain: Diagnosis, causes: Changes) -> tuple[Any, ...]:
    """Return settings that differ and are no cause."""
    names = {each.name for each in causes}
    by_encoder = {"hidden states"} if any(name.startswith("dtype") for name in names) else set()
    return tuple(
        each for each in plain.settings if not each.same and each.name not in names | by_encoder
    )


def _turned(found: Diagnosis) -> Diagnosis:
    """Return the same with the sides of its causes exchanged."""
    causes = tuple(
        replace(
            each,
            a=each.b,
            a_origin=each.b_origin,
            b=each.a,
            b_origin=each.a_origin,
            evidence=_turned_evidence(each.evidence),
        )
        for each in found.causes
    )
    return replace(found, causes=causes)


def _turned_evidence(evidence: Evidence) -> Evidence:
    return replace(evidence, a=evidence.b, b=evidence.a)


def _vectors(side: Side, walk: Walk) -> NDArray[Any]:
    if isinstance(side, BlackBox):
        return side.vectors
    return walk.vectors(side.settings, range(len(walk.texts)))


def _lengths(a: Side, b: Side, walk: Walk) -> list[int]:
    """Return tokens of each text that is not cut, none where no side has a tokenizer."""
    white = next((each for each in (a, b) if isinstance(each, WhiteBox)), None)
    if white is None:
        return []
    whole = replace(white.settings, max_tokens=None)
    return [len(walk.ids(whole, place)) for place in np.arange(len(walk.texts)).tolist()]
