"""Native or exact: which of the two carries a model into Vespa, and what is lost on the way.

``native`` is the plain graph. ``exact`` puts the training library's semantics into the graph and
into ``tokenizer.json``, so that Vespa's embedder, unchanged, gives the library's scores.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export.describe import Difference, native_differences
from vespa_colbert.export.options import Packaging, PackagingRequest
from vespa_colbert.export.tokenizer_file import (
    check_tokenizer,
    lone_punctuation_ids,
    open_tokenizer,
)

__all__ = ["PackagingChoice", "choose_packaging", "exact_differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagingChoice:
    """How a model is packaged.

    Attributes:
        requested: What was asked for.
        packaging: What it came to.
        reason: Why, in a few words.
        differences: Where Vespa's embedder then differs from the library.
    """

    requested: PackagingRequest
    packaging: Packaging
    reason: str
    differences: tuple[Difference, ...]

    @property
    def drift(self) -> tuple[Difference, ...]:
        """The differences that change scores."""
        return tuple(each for each in self.differences if not each.faithful)


def choose_packaging(
    checkpoint: Checkpoint, requested: PackagingRequest, *, accept_drift: bool = False
) -> PackagingChoice:
    """Return the packaging for a request.

    Args:
        checkpoint: What is to be exported.
        requested: ``auto`` is native where that is faithful, else exact.
        accept_drift: Whether a packaging may be taken whose scores are not the library's.

    Raises:
        CheckpointError: If the tokenizer cannot be used.
        ExportError: If scores would change and that is not accepted, or no packaging can be made.
        MissingExtraError: If tokenizers is not installed.
    """
    tokenizer = open_tokenizer(checkpoint.tokenizer.text, checkpoint)
    check_tokenizer(tokenizer, checkpoint)
    _check_markers(checkpoint)
    native = (*native_differences(checkpoint), *_tokenizer_differences(checkpoint, tokenizer))
    lost = [each.point for each in native if not each.faithful]
    packaging: Packaging
    if requested == "auto":
        packaging = "exact" if lost else "native"
        reason = f"native would change scores: {', '.join(lost)}" if lost else _harmless(native)
    else:
        packaging, reason = requested, "asked for"
    choice = PackagingChoice(
        requested=requested,
        packaging=packaging,
        reason=reason,
        differences=native if packaging == "native" else exact_differences(),
    )
    if choice.drift and not accept_drift:
        raise ExportError(_refusal(checkpoint, choice))
    return choice


def exact_differences() -> tuple[Difference, ...]:
    """Return where Vespa's embedder, given exact files, still differs from the library."""
    return (
        Difference(
            point="a text that is one ASCII punctuation character",
            library="encoded like any other",
            vespa="encoded like an empty text",
            faithful=True,
        ),
    )


def _harmless(differences: tuple[Difference, ...]) -> str:
    """Return why native packaging is faithful."""
    points = ", ".join(each.point for each in differences)
    return f"only the context of punctuation differs ({points})" if points else "nothing differs"


def _check_markers(checkpoint: Checkpoint) -> None:
    """Return nothing if queries and documents both have a marker, or neither has.

    Raises:
        ExportError: If only one side has: its texts have other positions than Vespa's.
    """
    markers = {"query": checkpoint.query_marker, "document": checkpoint.document_marker}
    absent = [role for role, marker in markers.items() if marker is None]
    if len(absent) == 1:
        raise ExportError(
            f"{checkpoint.path}: expected a query and a document marker or neither, got none for "
            f"the {absent[0]}: no packaging can give Vespa's embedder such a model, which always "
            "inserts a marker on both sides"
        )


def _tokenizer_differences(checkpoint: Checkpoint, tokenizer: Any) -> Iterator[Difference]:
    """Yield what shows only when the tokenizer runs.

    Source: the constructor of ColBertEmbedder, Vespa 8.700.24.
    """
    if sorted(checkpoint.skip_words) != sorted(string.punctuation):
        return  # Already a difference, whatever the ids.
    dropped, skipped = lone_punctuation_ids(tokenizer), set(checkpoint.skip_ids)
    if dropped != skipped:
        names = {place: token for token, place in checkpoint.tokenizer.vocabulary.items()}
        listed = " ".join(names.get(each, str(each)) for each in sorted(dropped - skipped))
        kept = " ".join(names.get(each, str(each)) for each in sorted(skipped - dropped))
        yield Difference(
            point="tokens of punctuation",
            library=f"left out of documents, and {kept} too" if kept else "left out of documents",
            vespa=f"left out of documents, and {listed} too" if listed else "left out of documents",
            faithful=False,
        )


def _refusal(checkpoint: Checkpoint, choice: PackagingChoice) -> str:
    listed = "".join(
        f"\n  {each.point}: library: {each.library}; Vespa: {each.vespa}" for each in choice.drift
    )
    return (
        f"{checkpoint.path}: expected a model that Vespa's embedder reproduces from "
        f"{choice.packaging} files, got one whose scores would change:{listed}\n  export with "
        "packaging exact, or accept the drift"
    )
