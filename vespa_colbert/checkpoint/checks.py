"""Contradictions between the parts of a checkpoint, looked for whatever the layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vespa_colbert.checkpoint.facts import Checkpoint, Encoder
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.tokenizer_facts import TokenizerFacts
from vespa_colbert.checkpoint.tokenizer_view import check_tokenizer_view
from vespa_colbert.errors import CheckpointError

__all__ = ["check_checkpoint", "check_stated", "check_vocabulary"]

SHORTEST_TEXT = 4
"""Tokens: start, marker, one of content, end."""
STATED_FACTS = (
    "max_query_tokens",
    "max_document_tokens",
    "query_expansion",
    "expansion_attended",
    "skip_words",
)
"""Facts of a checkpoint that go by the same name in ``ReadOptions``, markers aside."""


def check_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with its warnings, if its parts fit together.

    Raises:
        CheckpointError: If the layers do not chain, a length cannot be, or the tokenizer has ids
            that the token embedding lacks.
    """
    _check_chain(checkpoint)
    _check_lengths(checkpoint)
    check_vocabulary(checkpoint.path, checkpoint.tokenizer, checkpoint.encoder)
    check_tokenizer_view(checkpoint.tokenizer, checkpoint.query_marker, checkpoint.document_marker)
    return replace(checkpoint, warnings=(*checkpoint.warnings, *_warnings(checkpoint)))


def check_stated(checkpoint: Checkpoint, options: ReadOptions) -> None:
    """Return nothing if the checkpoint is as the user states it, wherever a layout looked.

    Raises:
        CheckpointError: With each fact that is stated otherwise than the checkpoint says it.
    """
    markers = {
        "query_marker": checkpoint.query_marker,
        "document_marker": checkpoint.document_marker,
    }
    found = {
        **{fact: getattr(checkpoint, fact) for fact in STATED_FACTS},
        **{fact: marker.text if marker else "" for fact, marker in markers.items()},
    }
    wrong = [
        f"{fact}: {getattr(options, fact)!r} stated, {value!r} in the checkpoint "
        f"({checkpoint.provenance.get(fact, checkpoint.layout)})"
        for fact, value in found.items()
        if getattr(options, fact) not in {None, value}
    ]
    if wrong:
        raise CheckpointError(
            f"{checkpoint.path}: what is stated contradicts the checkpoint; leave it out: "
            f"{'; '.join(wrong)}"
        )


def _check_chain(checkpoint: Checkpoint) -> None:
    """Return nothing if each layer takes what the one before gives.

    Raises:
        CheckpointError: With both widths.
    """
    if not checkpoint.projection:
        raise CheckpointError(f"{checkpoint.path}: expected a projection layer, got none")
    width, before = checkpoint.encoder.hidden_size, "hidden_size of config.json"
    for place, layer in enumerate(checkpoint.projection, start=1):
        if layer.out_features < 1:
            raise CheckpointError(
                f"{checkpoint.path}: projection layer {place}: expected a linear.weight with rows, "
                f"got one of shape {layer.weight.shape}"
            )
        if layer.in_features != width:
            raise CheckpointError(
                f"{checkpoint.path}: projection layer {place}: expected in_features {width} "
                f"({before}), got {layer.in_features}; the projection is of another encoder"
            )
        width, before = layer.out_features, f"out_features of projection layer {place}"


def _check_lengths(checkpoint: Checkpoint) -> None:
    """Return nothing if both lengths have room for content and the encoder has the positions.

    Raises:
        CheckpointError: With the length and its limits.
    """
    for fact in ("max_query_tokens", "max_document_tokens"):
        length, limit = getattr(checkpoint, fact), checkpoint.encoder.positions
        if not SHORTEST_TEXT <= length <= limit:
            raise CheckpointError(
                f"{checkpoint.path}: {checkpoint.provenance.get(fact, fact)}: expected "
                f"{SHORTEST_TEXT} to {limit} tokens (the encoder has {limit} positions), "
                f"got {length}"
            )


def check_vocabulary(path: Path, tokenizer: TokenizerFacts, encoder: Encoder) -> None:
    """Return nothing if every id of the tokenizer has a row in the token embedding.

    Raises:
        CheckpointError: With the largest id and the number of rows.
    """
    rows = encoder.vocabulary_size
    ends = (each for each in (tokenizer.start_id, tokenizer.end_id) if each is not None)
    largest = max((tokenizer.largest_id, *ends))
    if largest >= rows:
        raise CheckpointError(
            f"{path}: expected token ids below {rows} (rows of the token embedding), "
            f"got {largest} in tokenizer.json; the tokenizer is of another model, or grew after "
            "the weights were saved"
        )


def _warnings(checkpoint: Checkpoint) -> Iterator[str]:
    unknown = [w for w in checkpoint.skip_words if w not in checkpoint.tokenizer.vocabulary]
    # A layout that has the words encoded instead says itself what becomes of them.
    looked_up = checkpoint.skip_ids == checkpoint.tokenizer.ids(checkpoint.skip_words)
    if unknown and looked_up:
        yield (
            f"skip words that the vocabulary lacks are without effect: {' '.join(unknown)} "
            "(the library takes the unknown token for them)"
        )
    if narrow := [dtype for dtype in checkpoint.encoder.dtypes if dtype != "F32"]:
        yield (
            f"weights stored as {', '.join(narrow)} are computed with in float32 here; the library "
            "computes in the stored type unless told otherwise"
        )
    markers = (checkpoint.query_marker, checkpoint.document_marker)
    if None not in markers and markers[0] == markers[1]:
        yield "queries and documents have the same marker"
    if checkpoint.marker_second and checkpoint.start_id is None and None not in markers:
        yield (
            "the tokenizer puts no start token before a text: the marker is the second token, as "
            "PyLate has it, while sentence-transformers 6 puts it first"
        )
