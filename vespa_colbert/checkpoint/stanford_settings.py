"""What ``artifact.metadata`` says of a ColBERT model, and what its library does without being told.

Source: ColBERTConfig, BaseConfig.from_path, QueryTokenizer, DocTokenizer and ColBERT,
colbert-ai 0.2.22.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.checkpoint.folder import JsonObject, read_object
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.stated_facts import REQUIRED, STATED_ORIGIN, stated_lengths
from vespa_colbert.errors import CheckpointError

__all__ = ["METADATA_FILE", "StanfordSettings", "read_metadata", "read_settings"]

METADATA_FILE = "artifact.metadata"
NESTED = "config"
DEFAULT_ORIGIN = "default of colbert-ai 0.2.22"
ALWAYS = "colbert-ai 0.2.22 fills up every query"
PUNCTUATION = tuple(string.punctuation)

# Our name of a fact → the key of the metadata.
FACT_KEYS = {
    "query_marker": "query_token_id",
    "document_marker": "doc_token_id",
    "max_query_tokens": "query_maxlen",
    "max_document_tokens": "doc_maxlen",
    "expansion_attended": "attend_to_mask_tokens",
    "skip_words": "mask_punctuation",
}
# Key → the value that means MaxSim of dot products; l2 and flipr mean other scores.
SCORE_KEYS = {"similarity": "cosine", "interaction": "colbert"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StanfordSettings:
    """Facts beside the weights.

    Attributes:
        query_marker: Token after the start token of a query.
        document_marker: The same for documents.
        max_query_tokens: Tokens of a query, start, marker and end included.
        max_document_tokens: Tokens of a document, counted alike.
        expansion_attended: Whether a query's own tokens attend to its mask tokens.
        skip_words: Words whose first token is left out of documents.
        dim: Width of a token vector in components, None where nothing says it.
        provenance: Name of a fact → where it comes from.
        warnings: What a reader should know.
    """

    query_marker: str
    document_marker: str
    max_query_tokens: int
    max_document_tokens: int
    expansion_attended: bool
    skip_words: tuple[str, ...]
    dim: int | None
    provenance: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def read_metadata(folder: Path) -> JsonObject | None:
    """Return what ``artifact.metadata`` holds, None if there is none.

    Raises:
        CheckpointError: If it is no JSON object, or what it nests is none.
    """
    if not is_present(folder / METADATA_FILE):
        return None
    metadata = read_object(folder, METADATA_FILE)
    nested = metadata.values.get(NESTED)
    if nested is None:
        return metadata
    if not isinstance(nested, dict):
        raise CheckpointError(
            f"{METADATA_FILE}: {NESTED}: expected an object, got {type(nested).__name__}"
        )
    return JsonObject(name=f"{METADATA_FILE}: {NESTED}", values=nested)


def read_settings(metadata: JsonObject | None, options: ReadOptions) -> StanfordSettings:
    """Return the facts, from the metadata or, where there is none, as the user states them.

    A length counts every token of a text: the library lets the tokenizer cut at length - 1 with
    start and end token included and then inserts the marker. So the metadata's lengths are ours.

    Raises:
        CheckpointError: For a value of another type, a score that is no MaxSim of dot products, or
            facts that are neither in the metadata nor stated.
    """
    return _stated(options) if metadata is None else _said(metadata)


def _said(metadata: JsonObject) -> StanfordSettings:
    """Return what the metadata says, with the library's defaults.

    Raises:
        CheckpointError: For a value of another type, or another score.
    """
    _check_score(metadata)
    punctuation = metadata.flag("mask_punctuation", default=True)
    return StanfordSettings(
        query_marker=metadata.text("query_token_id", "[unused0]"),
        document_marker=metadata.text("doc_token_id", "[unused1]"),
        max_query_tokens=metadata.integer("query_maxlen", 32),
        max_document_tokens=metadata.integer("doc_maxlen", 220),
        expansion_attended=metadata.flag("attend_to_mask_tokens", default=False),
        skip_words=PUNCTUATION if punctuation else (),
        dim=metadata.integer("dim") if "dim" in metadata else None,
        provenance={
            **{fact: metadata.origin(key, DEFAULT_ORIGIN) for fact, key in FACT_KEYS.items()},
            "query_expansion": ALWAYS,
        },
        warnings=tuple(_warnings(metadata)),
    )


def _stated(options: ReadOptions) -> StanfordSettings:
    """Return what the user states, with the library's defaults for what may be left out.

    Raises:
        CheckpointError: If a marker or a length is not stated.
    """
    lengths = stated_lengths(options, silent=f"{METADATA_FILE}, which is missing, would say")
    stated = [fact for fact in FACT_KEYS if getattr(options, fact) is not None]
    return StanfordSettings(
        query_marker=options.query_marker or "",
        document_marker=options.document_marker or "",
        **lengths,
        expansion_attended=options.expansion_attended is True,
        skip_words=PUNCTUATION if options.skip_words is None else options.skip_words,
        dim=None,
        provenance={
            **dict.fromkeys(FACT_KEYS, DEFAULT_ORIGIN),
            **dict.fromkeys((*REQUIRED, *stated), STATED_ORIGIN),
            "query_expansion": ALWAYS,
        },
        warnings=(f"without {METADATA_FILE} nothing says that the similarity is cosine",),
    )


def _check_score(metadata: JsonObject) -> None:
    """Return nothing if the score is the sum of maxima of dot products.

    Raises:
        CheckpointError: With what it is.
    """
    for key, expected in SCORE_KEYS.items():
        if (value := metadata.text(key, expected)) != expected:
            raise CheckpointError(
                f"{metadata.name}: {key}: expected {expected!r}, got {value!r}, another score than "
                "the MaxSim of dot products, which is the one that is computed here"
            )


def _warnings(metadata: JsonObject) -> Iterator[str]:
    factor = metadata.values.get("pool_factor")
    if factor is not None and factor != 1:
        yield (
            f"{metadata.name}: pool_factor {factor}: the library's index merges rows of documents; "
            "here all of them are kept"
        )
