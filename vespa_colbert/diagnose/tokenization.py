"""``tokenizer.json`` taken apart into what can be exchanged, and put together again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from vespa_colbert.checkpoint.folder import JsonObject
from vespa_colbert.checkpoint.vocabulary import read_vocabulary
from vespa_colbert.embedder.tokenizer import encoded
from vespa_colbert.errors import CheckpointError, ExportError
from vespa_colbert.export.tokenizer_file import open_any_tokenizer

__all__ = [
    "Tokenization",
    "canonical",
    "lower_cases",
    "special_parts",
    "vocabulary_part",
    "with_lower_case",
    "with_specials",
    "without_specials",
]

TEMPLATE = "TemplateProcessing"
ENDS = frozenset({"BertProcessing", "RobertaProcessing"})
MODEL_PARTS = ("model", "pre_tokenizer", "added_tokens")


def canonical(value: Any) -> str:
    """Return JSON that is the same object for equal values: vocabularies are large."""
    return sys.intern(json.dumps(value, ensure_ascii=False, sort_keys=True))


def vocabulary_part(document: dict[str, Any]) -> str:
    """Return what turns normalised text into ids, as JSON."""
    return canonical({key: document.get(key) for key in MODEL_PARTS})


def special_parts(document: dict[str, Any]) -> str:
    """Return the post-processor as JSON, tokens named by their texts alone."""
    return canonical(_without_ids(document.get("post_processor")))


def without_specials(specials: str) -> str:
    """Return a post-processor that adds no token."""
    part = json.loads(specials)
    if part is None or part["type"] in ENDS or part["type"] == TEMPLATE:
        return "null"
    if part["type"] == "Sequence":
        kept = [each for each in part["processors"] if each["type"] not in {*ENDS, TEMPLATE}]
        return canonical({**part, "processors": kept} if kept else None)
    return specials


def with_specials(start: str, end: str) -> str:
    """Return a post-processor that puts a token before and one after a text."""
    pieces = [{"SpecialToken": {"id": each, "type_id": 0}} for each in (start, end)]
    single = [pieces[0], {"Sequence": {"id": "A", "type_id": 0}}, pieces[1]]
    tokens = {each: {"id": each, "tokens": [each]} for each in (start, end)}
    part = {"type": TEMPLATE, "single": single, "pair": single, "special_tokens": tokens}
    return canonical(part)


def with_lower_case(normalizer: str, *, wanted: bool, accents: bool = True) -> str:
    """Return a normalizer that lower-cases, or does not.

    Args:
        normalizer: As JSON.
        wanted: Whether it is to.
        accents: Whether accents that were taken off still are, where it is not to.
    """
    part = json.loads(normalizer)
    if not wanted:
        return canonical(_keeping_case(part, accents=accents))
    if part is not None and part["type"] == "BertNormalizer":
        return canonical({**part, "lowercase": True})
    rest = [] if part is None else part["normalizers"] if part["type"] == "Sequence" else [part]
    return canonical({"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *rest]})


class Tokenization:
    """Tokenizers put together of parts, each made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, str], Any] = {}

    def ids(
        self, text: str, parts: tuple[str, str, str], max_tokens: int | None, side: str
    ) -> tuple[int, ...]:
        """Return the ids of a text.

        Args:
            text: With its instruction.
            parts: Normalizer, vocabulary and specials.
            max_tokens: Where it is cut, None for nowhere.
            side: Which end is cut off.

        Raises:
            CollectionError: If the text holds half of a surrogate pair.
            ExportError: If the parts make no tokenizer.
        """
        tokenizer = self._tokenizer(parts)
        if max_tokens is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(max_tokens, direction=side)
        return encoded(tokenizer, text, specials=True)

    def token(self, token_id: int, parts: tuple[str, str, str]) -> str:
        """Return the token behind an id."""
        return self._tokenizer(parts).id_to_token(token_id) or ""

    def _tokenizer(self, parts: tuple[str, str, str]) -> Any:
        if parts not in self._made:
            try:
                self._made[parts] = open_any_tokenizer(_together(parts), "tokenizer.json")
            except (CheckpointError, KeyError) as error:
                raise ExportError(f"the parts of two tokenizers do not fit: {error}") from error
        return self._made[parts]


def _together(parts: tuple[str, str, str]) -> str:
    """Return a tokenizer file.

    Raises:
        KeyError: If the vocabulary lacks a special token.
    """
    normalizer, vocabulary, specials = (json.loads(each) for each in parts)
    ids = read_vocabulary(JsonObject(name="tokenizer.json", values=vocabulary))
    return json.dumps({
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": vocabulary["added_tokens"] or [],
        "normalizer": normalizer,
        "pre_tokenizer": vocabulary["pre_tokenizer"],
        "post_processor": _with_ids(specials, ids),
        "decoder": None,
        "model": vocabulary["model"],
    })


def _without_ids(part: Any) -> Any:
    """Return a post-processor without the ids of its tokens."""
    if part is None:
        return None
    if part.get("type") == "Sequence":
        return {**part, "processors": [_without_ids(each) for each in part["processors"]]}
    if part.get("type") in ENDS:
        return {**part, "sep": part["sep"][0], "cls": part["cls"][0]}
    if part.get("type") == TEMPLATE:
        tokens = {
            name: {key: value for key, value in token.items() if key != "ids"}
            for name, token in part["special_tokens"].items()
        }
        return {**part, "special_tokens": tokens}
    return part


def _with_ids(part: Any, ids: dict[str, int]) -> Any:
    """Return a post-processor with the ids of a vocabulary.

    Raises:
        KeyError: If the vocabulary lacks one of its tokens.
    """
    if part is None:
        return None
    if part["type"] == "Sequence":
        return {**part, "processors": [_with_ids(each, ids) for each in part["processors"]]}
    if part["type"] in ENDS:
        return {**part, **{key: [part[key], ids[part[key]]] for key in ("sep", "cls")}}
    if part["type"] == TEMPLATE:
        tokens = {
            name: {**token, "ids": [ids[each] for each in token["tokens"]]}
            for name, token in part["special_tokens"].items()
        }
        return {**part, "special_tokens": tokens}
    return part


def _keeping_case(part: Any, *, accents: bool) -> Any:
    if part is None or part["type"] == "Lowercase":
        return None
    if part["type"] == "Sequence":
        made = [_keeping_case(each, accents=accents) for each in part["normalizers"]]
        kept = [each for each in made if each is not None]
        return {**part, "normalizers": kept} if kept else None
    if part["type"] == "BertNormalizer":
        # What strips accents where nothing says so is lower-casing.
        said = part.get("strip_accents")
        strips = (part.get("lowercase") if said is None else said) if accents else None
        return {**part, "lowercase": False, "strip_accents": strips}
    return part


def lower_cases(normalizer: str) -> bool:
    """Return whether a normalizer lower-cases."""
    return any(_flags(json.loads(normalizer)))


def _flags(part: Any) -> Iterator[bool]:
    if part is not None:
        yield part["type"] == "Lowercase" or bool(part.get("lowercase"))
        for each in part.get("normalizers", ()):
            yield from _flags(each)
