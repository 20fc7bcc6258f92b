"""Facts of ``tokenizer.json`` read as data: vocabulary, special ids, first and last token.

The file is what Vespa loads, so ids are looked up here and in no other vocabulary file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.checkpoint.folder import JsonObject, read_object
from vespa_colbert.errors import CheckpointError

__all__ = ["CONFIG_FILE", "TOKENIZER_FILE", "Marker", "TokenizerFacts", "read_tokenizer"]

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"

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
        start_id: Id put first by the post-processor.
        end_id: Id put last by it.
        lower_cases: Whether the normalizer lower-cases.
        special_tokens: Role such as ``mask_token`` → token text.
        provenance: Role → file and key.
    """

    text: str
    vocabulary: Mapping[str, int]
    unknown_id: int | None
    start_id: int
    end_id: int
    lower_cases: bool
    special_tokens: Mapping[str, str]
    provenance: Mapping[str, str]

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
                return self.vocabulary[token], self.provenance[role]
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
    if not path.exists():
        raise CheckpointError(
            f"{folder}: expected {TOKENIZER_FILE} (a fast tokenizer, the only kind that Vespa "
            "loads), got none; load the tokenizer with transformers and save_pretrained it again"
        )
    document = read_object(folder, TOKENIZER_FILE)
    vocabulary = _vocabulary(document)
    try:
        start_id, end_id = _first_and_last(document)
    except CheckpointError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path}: post_processor is malformed ({error!r})") from error
    special_tokens, provenance = _special_tokens(folder)
    lower_cases = any(_lower_cases(normalizer) for normalizer in _chain(document, "normalizer"))
    _check_lower_case(folder, document, lower_cases=lower_cases)
    return TokenizerFacts(
        text=path.read_text(encoding="utf-8"),
        vocabulary=vocabulary,
        unknown_id=_unknown_id(document, vocabulary),
        start_id=start_id,
        end_id=end_id,
        lower_cases=lower_cases,
        special_tokens=special_tokens,
        provenance=provenance,
    )


def _vocabulary(document: JsonObject) -> dict[str, int]:
    """Return token → id; Unigram models list their pieces, the id is the place.

    Raises:
        CheckpointError: If there is no vocabulary, it is empty, or an entry is malformed.
    """
    try:
        entries = document.values["model"]["vocab"]
        if isinstance(entries, list):
            vocabulary = {str(piece): place for place, (piece, _score) in enumerate(entries)}
        else:
            vocabulary = {str(token): int(place) for token, place in entries.items()}
        added = document.values.get("added_tokens") or ()
        tokens = {str(token["content"]): int(token["id"]) for token in added}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{document.name}: expected model.vocab and added_tokens, got something else "
            f"({type(error).__name__}: {error})"
        ) from error
    if not vocabulary:
        raise CheckpointError(f"{document.name}: expected a vocabulary, got an empty one")
    return {**vocabulary, **tokens}


def _unknown_id(document: JsonObject, vocabulary: Mapping[str, int]) -> int | None:
    model = document.values["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    token = model.get("unk_token")
    return vocabulary.get(token) if isinstance(token, str) else None


def _first_and_last(document: JsonObject) -> tuple[int, int]:
    """Return the ids that the post-processor puts before and after one text.

    Raises:
        CheckpointError: If it does not put exactly one token on each side.
    """
    for processor in _chain(document, "post_processor"):
        kind = processor.get("type")
        if kind in {"BertProcessing", "RobertaProcessing"}:
            return int(processor["cls"][1]), int(processor["sep"][1])
        if kind == "TemplateProcessing":
            pieces = [
                next(iter(piece.values()))["id"] if "SpecialToken" in piece else None
                for piece in processor.get("single", ())
            ]
            if len(pieces) == 3 and pieces[1] is None and None not in {pieces[0], pieces[2]}:
                return _template_id(processor, pieces[0]), _template_id(processor, pieces[2])
    raise CheckpointError(
        f"{document.name}: expected a post_processor that puts one token before and one after "
        "a text, as Vespa's embedder does, got another form"
    )


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


def _chain(document: JsonObject, key: str) -> Iterator[Mapping[str, Any]]:
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
    kinds = {normalizer.get("type") for normalizer in _chain(document, "normalizer")}
    if "BertNormalizer" not in kinds or "do_lower_case" not in config:
        return
    if config.flag("do_lower_case") != lower_cases:
        raise CheckpointError(
            f"{folder}: {CONFIG_FILE} says do_lower_case {config.flag('do_lower_case')}, the "
            f"normalizer of {TOKENIZER_FILE} says {lower_cases}; save the tokenizer again"
        )


def _special_tokens(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return role → token and role → provenance from the two companion files.

    Raises:
        CheckpointError: If they name different tokens for one role.
    """
    tokens: dict[str, str] = {}
    provenance: dict[str, str] = {}
    for name in (CONFIG_FILE, SPECIAL_TOKENS_FILE):
        for role, value in read_object(folder, name, optional=True).values.items():
            text = value.get("content") if isinstance(value, dict) else value
            if not role.endswith("_token") or not isinstance(text, str):
                continue
            if tokens.get(role, text) != text:
                raise CheckpointError(
                    f"{folder}: {provenance[role]} says {tokens[role]!r}, {name} says {text!r}; "
                    "save the tokenizer again"
                )
            tokens.setdefault(role, text)
            provenance.setdefault(role, f"{name}: {role}")
    return tokens, provenance
