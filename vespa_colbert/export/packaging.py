"""Native or exact: which of the two carries a model into Vespa, and what is lost on the way.

``native`` is the plain graph. ``exact`` puts the training library's semantics into the graph and
into ``tokenizer.json``, so that Vespa's embedder, unchanged, gives the library's scores.
"""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import CheckpointError, ExportError, MissingExtraError
from vespa_colbert.export.differences import Difference, Subject, points_of
from vespa_colbert.export.options import Packaging, PackagingRequest
from vespa_colbert.export.tokenizer_file import (
    check_tokenizer,
    exact_tokenizer_text,
    open_tokenizer,
)

__all__ = ["PackagingChoice", "PackagingOutlook", "choose_packaging", "compare_packagings"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagingOutlook:
    """What each packaging of a checkpoint would be, before anything is exported.

    Attributes:
        auto: What ``auto`` takes; None where that cannot be said, or nothing can be made.
        reason: Why.
        native: Where Vespa's embedder, given the plain graph, differs from the library.
        exact: The same with exact files.
    """

    auto: Packaging | None
    reason: str
    native: tuple[Difference, ...]
    exact: tuple[Difference, ...]


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
    subject = _opened(checkpoint)
    _check_markers(checkpoint)
    native = _differences(subject, "native")
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
        differences=_differences(subject, packaging),
    )
    if choice.drift and not accept_drift:
        raise ExportError(_refusal(checkpoint, choice))
    return choice


def compare_packagings(checkpoint: Checkpoint) -> PackagingOutlook:
    """Return both packagings of a checkpoint and which of them ``auto`` takes; makes no files."""
    subject = Subject(checkpoint=checkpoint)
    auto: Packaging | None = None
    try:
        subject = _opened(checkpoint)
        choice = choose_packaging(checkpoint, "auto")
        if choice.packaging == "exact":
            # What cannot be made is not taken.
            exact_tokenizer_text(checkpoint)
        auto, reason = choice.packaging, choice.reason
    except (CheckpointError, ExportError, MissingExtraError) as error:
        reason = str(error)
    return PackagingOutlook(
        auto=auto,
        reason=reason,
        native=_differences(subject, "native"),
        exact=_differences(subject, "exact"),
    )


def _opened(checkpoint: Checkpoint) -> Subject:
    """Return the checkpoint with its tokenizer, which agrees with what was read of its file.

    Raises:
        CheckpointError: If it does not.
        MissingExtraError: If tokenizers is not installed.
    """
    tokenizer = open_tokenizer(checkpoint.tokenizer.text, checkpoint)
    check_tokenizer(tokenizer, checkpoint)
    return Subject(checkpoint=checkpoint, tokenizer=tokenizer)


def _differences(subject: Subject, packaging: Packaging) -> tuple[Difference, ...]:
    return tuple(point.difference(subject) for point in points_of(subject, packaging))


def _harmless(differences: tuple[Difference, ...]) -> str:
    """Return why native packaging is faithful."""
    points = " and ".join(each.point for each in differences)
    return f"only {points} differ" if points else "nothing differs"


def _check_markers(checkpoint: Checkpoint) -> None:
    """Return nothing if queries and documents both have a marker, or neither has.

    Raises:
        ExportError: If only one side has: its texts have other positions than Vespa's. Also if
            nothing at all is put around a text.
    """
    markers = {"query": checkpoint.query_marker, "document": checkpoint.document_marker}
    absent = [role for role, marker in markers.items() if marker is None]
    if len(absent) == 1:
        raise ExportError(
            f"{checkpoint.path}: expected a query and a document marker or neither, got none for "
            f"the {absent[0]}: no packaging can give Vespa's embedder such a model, which always "
            "inserts a marker on both sides"
        )
    if {checkpoint.query_marker, checkpoint.start_id, checkpoint.end_id} == {None}:
        raise ExportError(
            f"{checkpoint.path}: expected a model with a marker or with a token before or after a "
            "text, got none of them: an empty text would have no token, and no rows"
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
