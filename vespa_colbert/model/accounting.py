"""Where each tensor of a checkpoint goes: none may be left over, none of the model's left out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from vespa_colbert.errors import MissingWeightError

__all__ = ["CLASSIFIER_IGNORABLE", "IGNORABLE", "Assignment", "assign_weights", "match_weights"]

SHOWN = 5

# Tensors of a file that no logit depends on where the architecture has no such part, and why.
CLASSIFIER_IGNORABLE = {
    r"(^|\.)pooler\.": "a pooled vector is not a token vector",
    r"(^|\.)(position_ids|token_type_ids)$": "a constant that the module makes itself",
    r"^(cls|lm_head|mlm_head|vocab_transform|vocab_layer_norm|vocab_projector|predictions)\.": (
        "a head of pre-training"
    ),
}
# Tensors of a file that no token vector depends on, by name, and why.
IGNORABLE = {
    **CLASSIFIER_IGNORABLE,
    r"^(classifier|discriminator_predictions|generator_predictions)\.": "a head of another task",
}
# Names that older libraries wrote.
RENAMED = {"gamma": "weight", "beta": "bias"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What goes where.

    Attributes:
        sources: Name in the model → name in the checkpoint.
        ignored: Names in the checkpoint that nothing depends on.
        missing: Names in the model that have no source.
        unused: Names in the checkpoint that go nowhere and may not be ignored.
        reshaped: Names in the model whose source has another shape, with both shapes.
    """

    sources: Mapping[str, str]
    ignored: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, a line for each kind; empty if all fits."""
        lines = (
            _listed("the encoder needs and the checkpoint lacks", self.missing),
            _listed("of the checkpoint went nowhere", self.unused),
            _listed("with another shape than the config says", self.reshaped),
        )
        return tuple(line for line in lines if line)


def assign_weights(
    stored: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    prefix: str,
    ignorable: Mapping[str, str] = IGNORABLE,
) -> Assignment:
    """Return which tensor of a checkpoint each tensor of a model takes.

    Args:
        stored: Name in the checkpoint → shape.
        wanted: Name in the model → shape.
        prefix: What a model with a head puts before its encoder's names, such as ``bert``.
        ignorable: Pattern of names that may go nowhere → why.

    Raises:
        MissingWeightError: If a tensor of the model has no source, one of the checkpoint goes
            nowhere, or shapes differ. Names the first few of each and how many there are.
    """
    found = match_weights(stored, wanted, prefix, ignorable)
    if found.faults:
        raise MissingWeightError(
            "expected the checkpoint's tensors to be exactly those of its architecture, got others"
            + "".join(f"\n  {fault}" for fault in found.faults)
            + "\n  config.json and weights are of different models, or the file is incomplete"
        )
    return found


def match_weights(
    stored: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    prefix: str,
    ignorable: Mapping[str, str] = IGNORABLE,
) -> Assignment:
    """Return which tensor of a model takes which of a checkpoint, and all that does not fit.

    Args:
        stored: Name in the checkpoint → shape.
        wanted: Name in the model → shape.
        prefix: What a model with a head puts before its encoder's names, such as ``bert``.
        ignorable: Pattern of names that may go nowhere → why.
    """
    sources: dict[str, str] = {}
    unused: list[str] = []
    for name in stored:
        target = _target(name, prefix, wanted)
        if target is None or target in sources:
            unused.append(name)
        else:
            sources[target] = name
    ignored = tuple(name for name in unused if _is_ignorable(name, prefix, ignorable))
    reshaped = [
        f"{name} (expected {wanted[name]}, got {stored[source]})"
        for name, source in sources.items()
        if wanted[name] != stored[source]
    ]
    return Assignment(
        sources=sources,
        ignored=ignored,
        missing=tuple(sorted(wanted.keys() - sources.keys())),
        unused=tuple(sorted(set(unused) - set(ignored))),
        reshaped=tuple(sorted(reshaped)),
    )


def _target(name: str, prefix: str, wanted: Collection[str]) -> str | None:
    """Return the model's name of a checkpoint's tensor, or None if it has none."""
    bare = name.removeprefix(f"{prefix}.") if prefix else name
    stem, _, last = bare.rpartition(".")
    candidates = (name, bare, f"{stem}.{RENAMED.get(last, last)}")
    return next((candidate for candidate in candidates if candidate in wanted), None)


def _is_ignorable(name: str, prefix: str, ignorable: Mapping[str, str]) -> bool:
    bare = name.removeprefix(f"{prefix}.") if prefix else name
    return any(re.search(pattern, bare) for pattern in ignorable)


def _listed(what: str, names: Iterable[str]) -> str:
    """Return "3 tensors …: a, b, c", or nothing for no names."""
    found = sorted(names)
    if not found:
        return ""
    more = ", …" if len(found) > SHOWN else ""
    count = f"{len(found)} tensor{'s' * (len(found) > 1)}"
    return f"{count} {what}: {', '.join(found[:SHOWN])}{more}"
