"""Facts of ``tokenizer.json`` read as data: vocabulary, special ids, first and last token.

The file is what Vespa loads, so ids are looked up here and in no other vocabulary file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.checkpoint.folder import JsonObject, read_object
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.special_tokens import (
    CONFIG_FILE,
    read_sides,
    read_special_tokens,
)
from vespa_colbert.checkpoint.vocabulary import read_unknown_id, read_vocabulary
from vespa_colbert.errors import CheckpointError

__all__ = [
    "CONFIG_FILE",
    "TOKENIZER_FILE",
    "Marker",
    "TokenizerFacts",
    "first_and_last",
    "parts_of",
    "read_tokenizer",
]

TOKENIZER_FILE = "tokenizer.json"

SPLITS_AT_SPACE = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
"""Pre-tokenizers that drop the white space they split at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """The token that says query or document.

    Attributes:
        text: As the checkpoint writes it, such as ``[unused0]``.
        id: Its id in the vocabulary.
    """

    text: str
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """What ``tokenizer.json`` and its two companions say.

    Attributes:
        text: All of ``tokenizer.json``.
        vocabulary: Token → id, added tokens included.
        unknown_id: Id of the unknown token, None where the tokenizer has none.
        start_id: Id put first by the post-processor, None where it puts none (decoders).
        end_id: Id put last by it, None where it puts none.
        lower_cases: Whether the normalizer lower-cases.
        special_tokens: Role such as ``mask_token`` → token text.
        provenance: Role → file and key.
        sides: ``truncation`` and ``padding`` → the side that ``tokenizer.json`` itself names.
    """

    text: str
    vocabulary: Mapping[str, int]
    unknown_id: int | None
    start_id: int | None
    end_id: int | None
    lower_cases: bool
    special_tokens: Mapping[str, str]
    provenance: Mapping[str, str]
    sides: Mapping[str, str] = field(default_factory=dict)

    @property
    def ignores_outer_space(self) -> bool:
        """Whether white space around a text changes no token."""
        document = json.loads(self.text)
        pending = [document.get("normalizer"), document.get("pre_tokenizer")]
        parts = list[dict[str, Any]]()
        while pending:
            part = pending.pop(0)
            if isinstance(part, dict):
                parts.append(part)
                pending += part.get("normalizers") or part.get("pretokenizers") or []
        return any(
            part.get("type") in SPLITS_AT_SPACE
            or (part.get("type") == "Strip" and part.get("strip_left") and part.get("strip_right"))
            for part in parts
        )

    @property
    def largest_id(self) -> int:
        """The largest id of the vocabulary."""
        return max(self.vocabulary.values())

    def ids(self, words: tuple[str, ...]) -> tuple[int, ...]:
        """Return the ids of the words that are tokens; the others are left out."""
        return tuple(self.vocabulary[word] for word in words if word in self.vocabulary)

    def marker(self, text: str, role: str) -> Marker:
        """Return the marker ``text``, which must be one token of the vocabulary.

        Raises:
            CheckpointError: If the vocabulary lacks it or calls it unknown. Libraries then split
                it, use the unknown token or add a random vector, and no two do the same.
        """
        token_id = self.vocabulary.get(text)
        if token_id is None or token_id == self.unknown_id:
            raise CheckpointError(
                f"{TOKENIZER_FILE}: expected the {role} marker {text!r} to be one token, got none "
                "by that name; add it to the tokenizer and save the trained model again"
            )
        return Marker(text=text, id=token_id)

    def check_both_ends(self) -> None:
        """Return nothing if the tokenizer puts a token on both sides of a text.

        Raises:
            CheckpointError: If not.
        """
        if self.start_id is None or self.end_id is None:
            raise CheckpointError(
                f"{TOKENIZER_FILE}: post_processor: expected one token before and one after a "
                "text, which this layout always has, got another form; save the tokenizer again"
            )

    def first_special(self, *roles: str) -> tuple[int, str]:
        """Return id and provenance of the first role that the tokenizer has.

        Raises:
            CheckpointError: If it has none of them, or its vocabulary lacks the token.
        """
        for role in roles:
            if role in self.special_tokens:
                token = self.special_tokens[role]
                if token not in self.vocabulary:
                    raise CheckpointError(
                        f"{self.provenance[role]}: expected a token of {TOKENIZER_FILE}, "
                        f"got {token!r}"
                    )
                token_id = self.vocabulary[token]
                if role == "mask_token" and token_id == self.unknown_id:
                    raise CheckpointError(
                        f"{self.provenance[role]}: expected a token of its own, got {token!r}, the "
                        "unknown token"
                    )
                return token_id, self.provenance[role]
        raise CheckpointError(
            f"{CONFIG_FILE}: expected one of {', '.join(roles)}, got none; add it to the tokenizer"
        )


def read_tokenizer(folder: Path) -> TokenizerFacts:
    """Return the facts of the tokenizer in ``folder``.

    Raises:
        CheckpointError: If there is no fast tokenizer, it is empty or damaged, or its companions
            contradict it.
    """
    path = folder / TOKENIZER_FILE
    if not is_present(path):
        raise CheckpointError(
            f"{folder}: expected {TOKENIZER_FILE} (a fast tokenizer, the only kind that Vespa "
            "loads), got none; load the tokenizer with transformers and save_pretrained it again"
        )
    document = read_object(folder, TOKENIZER_FILE)
    vocabulary, special = read_vocabulary(document), read_special_tokens(folder)
    try:
        start_id, end_id = first_and_last(document)
        _check_end_ids(document, vocabulary)
        lower_cases = any(
            _lower_cases(normalizer) for normalizer in parts_of(document, "normalizer")
        )
        _check_lower_case(folder, document, lower_cases=lower_cases)
    except CheckpointError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: normalizer or post_processor is malformed ({error!r})"
        ) from error
    _check_ends(start_id, end_id, special.tokens, special.provenance)
    return TokenizerFacts(
        text=path.read_text(encoding="utf-8"),
        vocabulary=vocabulary,
        unknown_id=read_unknown_id(document, vocabulary),
        start_id=start_id,
        end_id=end_id,
        lower_cases=lower_cases,
        special_tokens=special.tokens,
        provenance=special.provenance,
        sides=read_sides(document),
    )


def first_and_last(document: JsonObject) -> tuple[int | None, int | None]:
    """Return the ids that the post-processor puts before and after one text, None for none.

    Raises:
        CheckpointError: If it puts several on a side, or is of another kind.
    """
    ends: list[tuple[int | None, int | None]] = []
    for processor in parts_of(document, "post_processor"):
        kind = processor.get("type")
        if kind in {"BertProcessing", "RobertaProcessing"}:
            ends.append((int(processor["cls"][1]), int(processor["sep"][1])))
        elif kind == "TemplateProcessing":
            ends.append(_template_ends(processor))
        elif kind not in {"ByteLevel", "Sequence"}:
            raise CheckpointError(f"{document.name}: post_processor: {kind!r} is not known here")
    if len(ends) > 1:
        raise CheckpointError(
            f"{document.name}: post_processor: expected one that adds tokens, got {len(ends)}"
        )
    return ends[0] if ends else (None, None)


def _template_ends(processor: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the ids that a template puts before and after one text, None for none.

    Raises:
        CheckpointError: If it puts several on a side, or has not one text.
    """
    pieces = [
        next(iter(piece.values()))["id"] if "SpecialToken" in piece else None
        for piece in processor.get("single", ())
    ]
    place = pieces.index(None) if pieces.count(None) == 1 else -1
    before, after = pieces[:place], pieces[place + 1 :]
    if place < 0 or len(before) > 1 or len(after) > 1:
        raise CheckpointError(
            f"{TOKENIZER_FILE}: post_processor: expected at most one token before and one after a "
            "text, as Vespa's embedder puts them, got another form"
        )
    start, end = (_template_id(processor, each[0]) if each else None for each in (before, after))
    return start, end


def _check_ends(
    start_id: int | None,
    end_id: int | None,
    special_tokens: Mapping[str, str],
    provenance: Mapping[str, str],
) -> None:
    """Return nothing unless a classification or separator token is named and not put anywhere.

    Tokenizers of decoders, which put no token before or after a text, name neither.

    Raises:
        CheckpointError: If one is.
    """
    for role, token_id in (("cls_token", start_id), ("sep_token", end_id)):
        if token_id is None and role in special_tokens:
            raise CheckpointError(
                f"{TOKENIZER_FILE}: expected a post_processor that puts one token before and one "
                f"after a text, as {provenance[role]} says, got another form; save the tokenizer "
                "again"
            )


def _check_end_ids(document: JsonObject, vocabulary: Mapping[str, int]) -> None:
    """Return nothing if the tokens put around a text have the ids of the vocabulary.

    Raises:
        CheckpointError: With the token and both ids.
    """
    for token, token_id in _end_tokens(document):
        if vocabulary.get(token) != token_id:
            raise CheckpointError(
                f"{document.name}: post_processor: expected for {token!r} the id "
                f"{vocabulary.get(token)} of the vocabulary, got {token_id!r}; save the tokenizer "
                "again"
            )


def _end_tokens(document: JsonObject) -> Iterator[tuple[str, object]]:
    for processor in parts_of(document, "post_processor"):
        if processor.get("type") in {"BertProcessing", "RobertaProcessing"}:
            yield from (tuple(processor[key]) for key in ("cls", "sep"))
        for special in (processor.get("special_tokens") or {}).values():
            yield from zip(special["tokens"], special["ids"], strict=True)


def _template_id(processor: Mapping[str, Any], token: object) -> int:
    """Return the id of a special token of a template.

    Raises:
        CheckpointError: If the template gives it no id, or several.
    """
    ids = processor.get("special_tokens", {}).get(token, {}).get("ids", ())
    if len(ids) != 1:
        raise CheckpointError(
            f"{TOKENIZER_FILE}: post_processor: expected one id for {token!r}, got {list(ids)}"
        )
    return int(ids[0])


def parts_of(document: JsonObject, key: str) -> Iterator[Mapping[str, Any]]:
    """Yield a normalizer or post-processor, or the members of a sequence of them, in order."""
    waiting = [document.values.get(key)]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, dict):
            members = part.get("normalizers") or part.get("processors") or []
            waiting = [*members, *waiting]
            yield part


def _lower_cases(normalizer: Mapping[str, Any]) -> bool:
    return normalizer.get("type") == "Lowercase" or bool(normalizer.get("lowercase"))


def _check_lower_case(folder: Path, document: JsonObject, *, lower_cases: bool) -> None:
    """Return nothing unless tokenizer_config.json contradicts a BERT normalizer.

    transformers obeys the former and Vespa the latter, so that each would give other ids.

    Raises:
        CheckpointError: If the two disagree about lower-casing.
    """
    config = read_object(folder, CONFIG_FILE, optional=True)
    kinds = {normalizer.get("type") for normalizer in parts_of(document, "normalizer")}
    if "BertNormalizer" not in kinds or "do_lower_case" not in config:
        return
    if config.flag("do_lower_case") != lower_cases:
        raise CheckpointError(
            f"{folder}: {CONFIG_FILE} says do_lower_case {config.flag('do_lower_case')}, the "
            f"normalizer of {TOKENIZER_FILE} says {lower_cases}; save the tokenizer again"
        )
