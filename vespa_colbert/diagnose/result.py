"""What a comparison of two vectorisers found."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cause", "Diagnosis", "Evidence", "Setting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of both sides.

    Attributes:
        name: What it is called.
        a: What A has.
        a_origin: File and key.
        b: What B has.
        b_origin: File and key.
        same: Whether both have the same.
    """

    name: str
    a: str
    a_origin: str
    b: str
    b_origin: str
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where the two sides of a stage part, all other causes being closed.

    Attributes:
        stage: The stage.
        text: Number of the first text, from 1; 0 where none is shown.
        place: Which token, component or character of it.
        a: The value without the setting closed.
        b: The value with it closed.
        texts: Texts that differ at this stage.
        largest: Largest difference of a number, None for ids and texts.
        notes: What else is known, such as which tensors differ.
    """

    stage: str
    text: int
    place: str
    a: str
    b: str
    texts: int
    largest: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A setting that is shown to make the two differ.

    Attributes:
        setting: What it is called.
        stage: The first stage that it bears on.
        a: What A has.
        a_origin: File and key, or what was tried.
        b: What B has.
        b_origin: The same.
        left: Largest difference of the vectors once this and all causes before it are closed.
        without: Largest difference once all causes but this one are closed.
        evidence: Where the stage differs.
    """

    setting: str
    stage: str
    a: str
    a_origin: str
    b: str
    b_origin: str
    left: float
    without: float
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Why two vectorisers disagree, if they do.

    Differences are those of a component of vectors of length 1, unless the vectors are bits.

    Attributes:
        a: One side.
        b: The other one.
        role: Whose instruction was put before the texts.
        texts: How many.
        tolerance: What counts as equal.
        reason: Why that much.
        agree: Whether the vectors agree.
        explained: Whether they agree or the causes, all closed, make them agree.
        before: Largest difference as the two are.
        after: Largest difference with all causes closed; of the nearest settings where there
            are none.
        causes: In the order of the stages.
        without_effect: Settings that differ and change no vector of these texts.
        also: Single settings that would close the difference on these texts as well.
        nearest: Where nothing explains it, the settings that came nearest.
        likely: What the difference looks like and was not shown by closing it.
        signs: What the vectors show by themselves.
        settings: Both sides' settings, as far as they are known.
        tried: Combinations of settings that were tried.
    """

    a: str
    b: str
    role: str
    texts: int
    tolerance: float
    reason: str
    agree: bool
    explained: bool
    before: float
    after: float
    causes: tuple[Cause, ...] = ()
    without_effect: tuple[Setting, ...] = ()
    also: tuple[str, ...] = ()
    nearest: tuple[str, ...] = ()
    likely: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    tried: int = 0
