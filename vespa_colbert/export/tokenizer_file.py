"""``tokenizer.json`` as Vespa is to read it."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.checkpoint.tokenizer_library import load_tokenizer_text
from vespa_colbert.errors import CheckpointError, ExportError
from vespa_colbert.export.samples import SAMPLE_PASSAGES, SAMPLE_QUERIES

__all__ = [
    "check_tokenizer",
    "exact_tokenizer_text",
    "keeps_outer_space",
    "lone_punctuation_ids",
    "open_any_tokenizer",
    "open_tokenizer",
    "tokenizer_text",
]

SAMPLE = "One sample text, to see that the tokenizer works."
# What str.strip takes off. The tokenizers library's own Strip leaves U+001C to U+001F standing.
SPACES = "".join(chr(point) for point in range(0x3001) if chr(point).isspace())


def tokenizer_text(text: str) -> str:
    """Return the tokenizer file with truncation and padding set to null.

    A truncation left in the file caps the documents of Vespa's embedder below its own limits.
    Source: the constructor of ColBertEmbedder, Vespa 8.700.24.
    """
    return _written(json.loads(text))


def exact_tokenizer_text(checkpoint: Checkpoint) -> str:
    """Return the tokenizer file with normalizers put first that bring the library's semantics.

    1. A text that is one ASCII punctuation character becomes nothing. Vespa's embedder asks for
       the ids of each such text to learn which tokens to drop from documents, and learns of none.
    2. White space is stripped, where the library strips it and the tokenizer keeps it.
    3. Letters are lower-cased, where the library does so and the tokenizer keeps case.

    A normalizer sees what stands between two added tokens, so that a text in which one is spelled
    out (such as ``[MASK]``) is stripped around it too. White space that is itself an added token is
    not stripped where it is the whole text.

    Raises:
        CheckpointError: If the tokenizers library refuses the file.
        ExportError: If Vespa would drop a token all the same, or the ids of a sample text changed.
        MissingExtraError: If tokenizers is not installed.

    Source: the constructor of ColBertEmbedder, Vespa 8.700.24.
    """
    document = json.loads(checkpoint.tokenizer.text)
    library = open_tokenizer(checkpoint.tokenizer.text, checkpoint)
    first = [_removal(rf"\A[{_escaped(string.punctuation)}]\z")]
    if checkpoint.strip and keeps_outer_space(library):
        first.append(_removal(_outer_space(document.get("added_tokens") or ())))
    if checkpoint.lower_case and not checkpoint.tokenizer.lower_cases:
        first.append({"type": "Lowercase"})
    present = document.get("normalizer")
    if present is not None:
        first += present["normalizers"] if present["type"] == "Sequence" else [present]
    document["normalizer"] = {"type": "Sequence", "normalizers": first}
    text = _written(document)
    _check_exact(open_tokenizer(text, checkpoint), library, checkpoint)
    return text


def open_tokenizer(text: str, checkpoint: Checkpoint) -> Any:
    """Return the tokenizer of a file's text, without truncation and padding."""
    return open_any_tokenizer(text, str(checkpoint.path))


def open_any_tokenizer(text: str, title: str) -> Any:
    """Return the tokenizer of the file of a model of any kind, without truncation and padding.

    Args:
        text: Of the file.
        title: What errors call the model.

    Raises:
        CheckpointError: If the tokenizers library refuses it.
        MissingExtraError: If tokenizers is not installed.
    """
    try:
        return load_tokenizer_text(text)
    except CheckpointError as error:
        raise CheckpointError(f"{title}: {error}") from error


def lone_punctuation_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids that Vespa's embedder drops from documents.

    Source: the constructor of ColBertEmbedder, Vespa 8.700.24.
    """
    return frozenset(token for each in string.punctuation for token in _ids(tokenizer, each))


def keeps_outer_space(tokenizer: Any) -> bool:
    """Return whether white space around a text changes its ids."""
    wanted = _ids(tokenizer, SAMPLE)
    return any(_ids(tokenizer, f"{each}{SAMPLE}{each}") != wanted for each in SPACES)


def check_tokenizer(tokenizer: Any, checkpoint: Checkpoint) -> None:
    """Return nothing if the tokenizer agrees with what was read of its file.

    Raises:
        CheckpointError: If it fails, or puts other tokens around a text.
    """
    where = f"{checkpoint.path}: tokenizer.json"
    try:
        ids = tokenizer.encode(SAMPLE).ids
    except Exception as error:  # the library raises Exception itself
        raise CheckpointError(f"{where}: the tokenizers library refuses it: {error}") from error
    around = (checkpoint.start_id, checkpoint.end_id)
    start, end = ([] if each is None else [each] for each in around)
    text = _ids(tokenizer, SAMPLE)
    if not text or ids != [*start, *text, *end]:
        raise CheckpointError(
            f"{where}: expected texts to begin and end with the ids {around}, got {ids[:1]} and "
            f"{ids[-1:]}"
        )


def _check_exact(made: Any, library: Any, checkpoint: Checkpoint) -> None:
    """Return nothing if Vespa drops no token and texts have the ids that the library gives them.

    Raises:
        ExportError: If a punctuation character keeps an id, or the ids of a sample text changed.
    """
    where = f"{checkpoint.path}: tokenizer.json"
    if ids := lone_punctuation_ids(made):
        raise ExportError(
            f"{where}: expected a tokenizer that can be made to give lone punctuation no tokens, "
            f"got one that gives the ids {sorted(ids)}; export with packaging native"
        )
    for sample in _samples():
        if _ids(made, sample) != _ids(library, _prepared(sample, checkpoint)):
            raise ExportError(
                f"{where}: expected a tokenizer whose ids stay as they are behind the normalizers "
                f"of exact packaging, got other ids for {sample!r}; export with packaging native"
            )


def _samples() -> Iterator[str]:
    for text in ("", *SAMPLE_QUERIES, *SAMPLE_PASSAGES):
        yield from (text, f" \n{text}\t ", f"({text})")
    yield from (" .", ". ", "..", "?!", "a", "a.", "\x1fa\x85", "日", "🦊")


def _prepared(text: str, checkpoint: Checkpoint) -> str:
    """Return what the library gives to the tokenizer."""
    stripped = text.strip() if checkpoint.strip else text
    return stripped.lower() if checkpoint.lower_case else stripped


def _written(document: dict[str, Any]) -> str:
    document |= {"truncation": None, "padding": None}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _outer_space(added_tokens: Sequence[Mapping[str, Any]]) -> str:
    """Return a pattern that matches white space at both ends of a text.

    Normalizers change added tokens too, when the file is loaded, and one that became empty would be
    found everywhere (ModernBERT has tokens for runs of spaces). A text that is such a token is left
    as it is.
    """
    spaces = _escaped(SPACES)
    tokens = [str(each["content"]) for each in added_tokens if each.get("normalized")]
    heads = {token: token.rstrip(SPACES) for token in tokens}
    at_start = "".join(rf"(?!{_escaped(each)}\z)" for each in tokens if each[:1] in SPACES)
    at_end = "".join(
        rf"(?<!\A{_escaped(head)})" for token, head in heads.items() if head not in {"", token}
    )
    return rf"\A{at_start}[{spaces}]+|{at_end}(?<=[^{spaces}])[{spaces}]+\z"


def _removal(pattern: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": ""}


def _escaped(characters: str) -> str:
    r"""Return the characters as a regular expression writes them in brackets, as ``\x{2e}``."""
    return "".join(rf"\x{{{ord(each):x}}}" for each in characters)


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
