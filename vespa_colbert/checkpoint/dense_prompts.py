"""Instructions before texts, and what a dense model's vectors are compared by.

Source: SentenceTransformer.encode, encode_query and encode_document, sentence-transformers 6.2.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from vespa_colbert.checkpoint.dense_facts import StatedFacts
from vespa_colbert.checkpoint.folder import JsonObject
from vespa_colbert.checkpoint.stated_facts import STATED_ORIGIN
from vespa_colbert.checkpoint.text_windows import DEFAULT_ORIGIN
from vespa_colbert.errors import CheckpointError

__all__ = ["Prompts", "read_prompts", "read_similarity"]

QUERY_NAMES = ("query",)
DOCUMENT_NAMES = ("document", "passage", "corpus")
"""Names of a prompt for documents; the first that is not empty counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """What is put before texts.

    Attributes:
        query: Before a query, empty for nothing.
        document: Before a document.
        provenance: Name of a fact → where it comes from.
        warnings: Where the library puts something else.
    """

    query: str
    document: str
    provenance: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def read_prompts(config: JsonObject, stated: StatedFacts) -> Prompts:
    """Return the instructions of a model; what a user states must not contradict the config.

    Raises:
        CheckpointError: If a prompt is no text or contradicts what is stated, or a default prompt
            leaves open what is put before queries and documents.
    """
    texts = _texts(config)
    query, query_name = _first(texts, QUERY_NAMES)
    document, document_name = _first(texts, DOCUMENT_NAMES)
    default = config.text("default_prompt_name", "")
    is_stated = None not in {stated.query_prepend, stated.document_prepend}
    if texts.get(default) and not (query or document or is_stated):
        raise CheckpointError(
            f"{config.name}: default_prompt_name: expected prompts by the names query and document,"
            f" got {default!r} ({texts[default]!r}), which encode() of the library puts before "
            "every text and encode_query() and encode_document() before none; state what the "
            "model was trained with by --query-prepend and --document-prepend"
        )
    query, query_origin = _settled(config, query_name, query, stated.query_prepend)
    document, document_origin = _settled(config, document_name, document, stated.document_prepend)
    return Prompts(
        query=query,
        document=document,
        provenance={"query_prepend": query_origin, "document_prepend": document_origin},
        warnings=tuple(_warnings(texts, default, document_name)),
    )


def read_similarity(config: JsonObject, *, is_unit: bool) -> Literal["cosine", "dot"]:
    """Return what vectors are compared by.

    Args:
        config: Of the model.
        is_unit: Whether vectors are of length 1: every measure ranks them as the cosine does.

    Raises:
        CheckpointError: For another one than cosine and dot product of other vectors.
    """
    name = config.text("similarity_fn_name", "cosine")
    if name == "dot":
        return "dot"
    if name == "cosine" or (is_unit and name == "euclidean"):
        return "cosine"
    raise CheckpointError(
        f"{config.name}: similarity_fn_name: expected cosine or dot, got {name!r}, by which "
        "nothing here compares vectors that are not of length 1"
    )


def _texts(config: JsonObject) -> dict[str, str]:
    """Return name → text of every prompt.

    Raises:
        CheckpointError: If one is no text.
    """
    prompts = config.values.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(
        isinstance(text, str | None) for text in prompts.values()
    ):
        raise CheckpointError(
            f"{config.name}: prompts: expected an object of texts, got {prompts!r:.200}"
        )
    return {name: text or "" for name, text in prompts.items()}


def _first(texts: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Return the first prompt that is not empty, and its name."""
    name = next((name for name in names if texts.get(name)), "")
    return texts.get(name, ""), name


def _settled(config: JsonObject, name: str, found: str, stated: str | None) -> tuple[str, str]:
    """Return the instruction of a role and where it comes from.

    Raises:
        CheckpointError: If another one is stated than the config has.
    """
    if stated is not None and found and stated != found:
        raise CheckpointError(
            f"{config.name}: prompts.{name}: what is stated contradicts the checkpoint; leave it "
            f"out: {stated!r} stated, {found!r} in the checkpoint"
        )
    if stated is not None and not found:
        return stated, STATED_ORIGIN
    return found, f"{config.name}: prompts.{name}" if found else DEFAULT_ORIGIN


def _warnings(texts: Mapping[str, str], default: str, document_name: str) -> Iterator[str]:
    if document_name in DOCUMENT_NAMES[1:]:
        yield (
            f"documents get the prompt {document_name!r} as the model was trained with it; "
            "encode_document() of sentence-transformers 6.2 leaves it out, for the name document "
            "is always there"
        )
    if texts.get(default):
        yield (
            f"encode() of the library puts the default prompt {default!r} before every text; "
            "queries and documents get those of their roles here, as by encode_query() and "
            "encode_document()"
        )
    roles = {*QUERY_NAMES, *DOCUMENT_NAMES, default}
    if others := sorted(name for name, text in texts.items() if text and name not in roles):
        yield f"prompts of other tasks are not used: {', '.join(others)}"
