"""The vocabulary of ``tokenizer.json``: token → id, each id one that a tensor row can have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from vespa_colbert.checkpoint.folder import JsonObject
from vespa_colbert.errors import CheckpointError

__all__ = ["read_unknown_id", "read_vocabulary"]

ADDED = "added_tokens"


def read_vocabulary(document: JsonObject) -> dict[str, int]:
    """Return token → id, added tokens included; Unigram models list pieces, the id is the place.

    Raises:
        CheckpointError: If there is no vocabulary, it is empty, an entry is malformed, two tokens
            have one id, or an added token has another id than the vocabulary gives it.
    """
    try:
        vocabulary = dict(_pieces(document, _model(document)["vocab"]))
        added = dict(_added(document))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{document.name}: expected model.vocab and {ADDED}, got something else "
            f"({type(error).__name__}: {error})"
        ) from error
    if not vocabulary:
        raise CheckpointError(f"{document.name}: expected a vocabulary, got an empty one")
    _check_distinct(document, vocabulary)
    for token, token_id in added.items():
        if vocabulary.get(token, token_id) != token_id:
            raise CheckpointError(
                f"{document.name}: {ADDED}: expected {token!r} to have the id "
                f"{vocabulary[token]} of model.vocab, got {token_id}; save the tokenizer again"
            )
    return {**vocabulary, **added}


def read_unknown_id(document: JsonObject, vocabulary: Mapping[str, int]) -> int | None:
    """Return the id of the unknown token, None where the tokenizer has none.

    Raises:
        CheckpointError: If it names one that the vocabulary lacks.
    """
    model = _model(document)
    place, token = model.get("unk_id"), model.get("unk_token")
    if place is None and token is None:
        return None
    known = vocabulary.get(token) if isinstance(token, str) else place
    if type(known) is not int or not 0 <= known <= max(vocabulary.values()):
        raise CheckpointError(
            f"{document.name}: expected the unknown token to be one of the vocabulary, got "
            f"{(place if token is None else token)!r}"
        )
    return known


def _model(document: JsonObject) -> Mapping[str, Any]:
    """Return the member ``model``.

    Raises:
        TypeError: If it is no object.
    """
    model = document.values["model"]
    if not isinstance(model, dict):
        raise TypeError(f"model is {type(model).__name__}")
    return model


def _pieces(document: JsonObject, entries: Any) -> Iterator[tuple[str, int]]:
    """Yield token and id.

    Raises:
        CheckpointError: For an id that is no number from 0.
    """
    if isinstance(entries, list):
        yield from ((str(piece), place) for place, (piece, _score) in enumerate(entries))
        return
    for token, token_id in entries.items():
        yield token, _id(document, "model.vocab", token, token_id)


def _added(document: JsonObject) -> Iterator[tuple[str, int]]:
    """Yield text and id of the added tokens.

    Raises:
        CheckpointError: For an id that is no number from 0.
    """
    for entry in document.values.get(ADDED) or ():
        yield str(entry["content"]), _id(document, ADDED, entry["content"], entry["id"])


def _id(document: JsonObject, where: str, token: object, token_id: object) -> int:
    """Return an id.

    Raises:
        CheckpointError: If it is no whole number from 0.
    """
    if type(token_id) is not int or token_id < 0:
        raise CheckpointError(
            f"{document.name}: {where}: expected a whole number from 0 for {token!r}, got "
            f"{token_id!r}"
        )
    return token_id


def _check_distinct(document: JsonObject, vocabulary: Mapping[str, int]) -> None:
    """Return nothing if no two tokens have the same id.

    Raises:
        CheckpointError: With the first two that have.
    """
    counts = Counter(vocabulary.values())
    if len(counts) == len(vocabulary):
        return
    token_id = next(token_id for token_id, count in counts.items() if count > 1)
    tokens = [token for token, each in vocabulary.items() if each == token_id]
    raise CheckpointError(
        f"{document.name}: model.vocab: expected an id for each token, got the same id {token_id} "
        f"for {tokens[0]!r} and {tokens[1]!r}"
    )
