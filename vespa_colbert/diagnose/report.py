"""A diagnosis as lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.diagnose.result import Cause, Diagnosis, Evidence

__all__ = ["report_lines"]

SHOWN = 40
"""Characters of a setting that are said twice."""

KINDS = "A can be given as a checkpoint or model folder, whose settings can be tried"


def report_lines(found: Diagnosis) -> Iterator[str]:
    """Yield the lines of a diagnosis."""
    yield f"A: {found.a}"
    yield f"B: {found.b}"
    yield f"{found.texts} texts, role {found.role}; {_verdict(found)}"
    for place, cause in enumerate(found.causes, start=1):
        yield ""
        yield from _of_cause(place, cause, found)
    yield from _rest(found)


def _verdict(found: Diagnosis) -> str:
    allowed = f"{found.tolerance:.2g} allowed: {found.reason}"
    if found.agree:
        return f"the vectors agree: largest difference {found.before:.2g} ({allowed})"
    size = "other widths or cells"
    if found.before != float("inf"):
        size = f"largest difference {found.before:.2g}"
    if found.explained:
        count = f"{len(found.causes)} cause{'s' if len(found.causes) > 1 else ''}"
        return (
            f"the vectors differ: {size}; explained by {count}, {found.after:.2g} is left with all "
            f"closed ({allowed})"
        )
    return f"the vectors differ: {size} ({allowed}); not explained"


def _of_cause(place: int, cause: Cause, found: Diagnosis) -> Iterator[str]:
    first = " (first stage that differs)" if place == 1 else ""
    yield f"{place}. {cause.setting}, stage: {cause.stage}{first}"
    yield f"   A: {cause.a}{_origin(cause.a_origin)}"
    yield f"   B: {cause.b}{_origin(cause.b_origin)}"
    yield from (f"   {each}" for each in _of_evidence(cause.evidence, found.texts))
    same = f" ({cause.b})" if len(cause.b) <= SHOWN else ""
    earlier = ", and those before it" if place > 1 else ""
    yield (
        f"   proof: with the {cause.setting} of B on both sides{same}{earlier}: {cause.left:.2g} "
        f"is left; with all closed but this one: {cause.without:.2g}"
    )


def _of_evidence(evidence: Evidence, texts: int) -> Iterator[str]:
    if evidence.text:
        largest = "" if evidence.largest is None else f", largest difference {evidence.largest:.2g}"
        yield (
            f"{evidence.texts} of {texts} texts differ; text {evidence.text}, {evidence.place}: "
            f"A {evidence.a}, B {evidence.b}{largest}"
        )
    yield from evidence.notes


def _origin(origin: str) -> str:
    return f"  ({origin})" if origin else ""


def _rest(found: Diagnosis) -> Iterator[str]:
    """Yield what else is known."""
    if found.also:
        yield ""
        yield "on these texts this closes a difference as well; other texts may tell them apart:"
        yield from (f"  {each}" for each in found.also)
    if found.nearest:
        yield ""
        yield f"nearest, and not enough ({found.after:.2g} is left): {'; '.join(found.nearest)}"
    if found.likely:
        yield ""
        yield from (f"likely, not proved: {each}" for each in found.likely)
    if not found.agree and not found.explained and not found.tried:
        yield f"no settings could be tried: {KINDS}"
    if found.tried:
        yield f"{found.tried} combinations of settings were tried"
    if found.without_effect:
        yield ""
        yield "settings that differ and change no vector of these texts:"
        for each in found.without_effect:
            yield (
                f"  {each.name}: A {each.a}{_origin(each.a_origin)}, "
                f"B {each.b}{_origin(each.b_origin)}"
            )
    if found.signs:
        yield ""
        yield "what the vectors show"
        yield from (f"  {each}" for each in found.signs)
