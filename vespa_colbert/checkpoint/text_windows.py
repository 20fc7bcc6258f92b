"""What the Transformer module of sentence-transformers 6 makes of a text: lengths and expansion.

Source: Transformer.preprocess and Transformer.load_config, sentence-transformers 6.2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.checkpoint.folder import JsonObject, read_object
from vespa_colbert.checkpoint.module_list import SENTENCE_CONFIG_FILES
from vespa_colbert.checkpoint.tokenizer_facts import TOKENIZER_FILE, TokenizerFacts
from vespa_colbert.errors import CheckpointError

__all__ = ["DEFAULT_ORIGIN", "TextWindows", "check_sides", "read_text_windows"]

DEFAULT_ORIGIN = "default of sentence-transformers 6.2.0"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"

# Key → the only value that leaves the plain encoder as it is.
EXPECTED: Mapping[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
}
# Arguments for loading or calling parts of transformers: any of them may change the result.
MUST_BE_EMPTY = (
    "processing_kwargs",
    "model_kwargs",
    "model_args",
    "processor_kwargs",
    "tokenizer_args",
    "config_kwargs",
    "config_args",
    "tokenizer_name_or_path",
)
UNDERSTOOD = frozenset({
    *EXPECTED,
    *MUST_BE_EMPTY,
    "unpad_inputs",
    "query_length",
    "document_length",
    "query_expansion",
    "max_seq_length",
    "do_lower_case",
})
EXPANSION_KEYS = frozenset({"strategy", "attend", "token", "length"})
STRATEGIES = ("fixed", "min")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWindows:
    """How texts become rows of ids.

    Attributes:
        max_query_tokens: Tokens of a query, start, prompt and end included.
        max_document_tokens: Tokens of a document, counted alike.
        query_expansion: Whether a query is filled up with tokens that score.
        expansion_attended: Whether its own tokens attend to those.
        mask_id: The id that fills it up.
        lower_case: Whether the library puts lower-casing before the tokenizer's normalizer.
        provenance: Name of a fact → where it comes from.
    """

    max_query_tokens: int
    max_document_tokens: int
    query_expansion: bool
    expansion_attended: bool
    mask_id: int
    lower_case: bool
    provenance: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Length:
    tokens: int
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expansion:
    strategy: str
    length: int
    attend: bool
    token: str | None


def read_text_windows(root: Path, tokenizer: TokenizerFacts, positions: int) -> TextWindows:
    """Return lengths and expansion of the Transformer module in ``root``.

    A length counts every token of a text, prompt, start and end included: the library puts the
    prompt before the text and lets the tokenizer cut the whole.

    Raises:
        CheckpointError: If the module does more than run a plain encoder, or its windows are not
            those that Vespa's embedder can make.
    """
    config = _sentence_config(root)
    _check_module(config)
    tokenizer_config = read_object(root, TOKENIZER_CONFIG_FILE, optional=True)
    expansion = _expansion(config)
    check_sides(root, tokenizer, expanded=expansion is not None)
    longest = _longest(config, tokenizer_config, positions)
    query = _query_length(config, expansion, longest)
    document = _length(config, "document_length", longest)
    mask_id, mask_origin = _mask_id(config, tokenizer, expansion)
    return TextWindows(
        max_query_tokens=query.tokens,
        max_document_tokens=document.tokens,
        query_expansion=expansion is not None,
        expansion_attended=expansion is not None and expansion.attend,
        mask_id=mask_id,
        lower_case=_lower_case(config, tokenizer),
        provenance={
            "max_query_tokens": query.origin,
            "max_document_tokens": document.origin,
            "query_expansion": config.origin("query_expansion", DEFAULT_ORIGIN),
            "expansion_attended": config.origin("query_expansion", DEFAULT_ORIGIN),
            "mask_id": mask_origin,
            "lower_case": config.origin("do_lower_case", DEFAULT_ORIGIN),
        },
    )


def _sentence_config(root: Path) -> JsonObject:
    """Return the config of the module; the library takes the first file that says anything."""
    for name in SENTENCE_CONFIG_FILES:
        config = read_object(root, name, optional=True)
        if config.values:
            return config
    return JsonObject(name=SENTENCE_CONFIG_FILES[0], values={})


def _check_module(config: JsonObject) -> None:
    """Return nothing if the module is a plain text encoder.

    Raises:
        CheckpointError: For a key or value that may change what it computes.
    """
    if unknown := config.values.keys() - UNDERSTOOD:
        raise CheckpointError(
            f"{config.name}: expected only keys of the Transformer module, got "
            f"{', '.join(sorted(unknown))}"
        )
    for key, expected in EXPECTED.items():
        if key in config and config.values[key] != expected:
            raise CheckpointError(
                f"{config.name}: {key}: expected {expected!r}, got {config.values[key]!r}: only a "
                "plain text encoder can be exported (no chat template, no images)"
            )
    for key in MUST_BE_EMPTY:
        if config.values.get(key):
            raise CheckpointError(
                f"{config.name}: {key}: expected nothing, got {config.values[key]!r}, which "
                "changes how the library loads or calls the encoder and is not reproduced here"
            )


def check_sides(root: Path, tokenizer: TokenizerFacts, *, expanded: bool) -> None:
    """Return nothing if texts are cut, and queries filled up, at their ends as in Vespa.

    Args:
        root: Folder of the tokenizer, whose config comes before ``tokenizer.json``.
        tokenizer: What the latter says.
        expanded: Whether queries are filled up.

    Raises:
        CheckpointError: If either happens at the beginning.
    """
    config = read_object(root, TOKENIZER_CONFIG_FILE, optional=True)
    where, side = _side(config, tokenizer, "truncation")
    if side.lower() != "right":
        raise CheckpointError(
            f"{where}: expected 'right', got {side!r}: Vespa's embedder cuts the end off a text"
        )
    where, side = _side(config, tokenizer, "padding")
    if expanded and side.lower() != "right":
        raise CheckpointError(
            f"{where}: expected 'right', got {side!r}: the library puts the expansion tokens "
            "before the query, Vespa's embedder puts them behind it"
        )


def _side(config: JsonObject, tokenizer: TokenizerFacts, what: str) -> tuple[str, str]:
    """Return where the side is said at which something happens, and the side."""
    if (key := f"{what}_side") in config:
        return f"{config.name}: {key}", config.text(key)
    return f"{TOKENIZER_FILE}: {what}: direction", tokenizer.sides.get(what, "right")


def _expansion(config: JsonObject) -> _Expansion | None:
    """Return the query expansion, None where there is none.

    Raises:
        CheckpointError: If it is malformed, as the library judges it.
    """
    values = config.values.get("query_expansion")
    if values is None:
        return None
    where = f"{config.name}: query_expansion"
    if not isinstance(values, dict) or values.keys() - EXPANSION_KEYS:
        raise CheckpointError(
            f"{where}: expected an object of {', '.join(sorted(EXPANSION_KEYS))}, got {values!r}"
        )
    part = JsonObject(name=where, values=values)
    expansion = _Expansion(
        strategy=part.text("strategy"),
        length=part.integer("length"),
        attend=part.flag("attend", default=False),
        token=part.text("token") if "token" in part else None,
    )
    if expansion.strategy not in STRATEGIES:
        raise CheckpointError(
            f"{where}: strategy: expected one of {', '.join(STRATEGIES)}, got "
            f"{expansion.strategy!r}"
        )
    return expansion


def _longest(config: JsonObject, tokenizer_config: JsonObject, positions: int) -> _Length:
    """Return where a text is cut that has no length of its own."""
    key = "max_seq_length"
    if key in config:
        return _Length(tokens=config.integer(key), origin=config.origin(key, ""))
    key = "model_max_length"
    tokens = tokenizer_config.integer(key, positions)
    if tokens < positions:
        return _Length(tokens=tokens, origin=tokenizer_config.origin(key, ""))
    return _Length(tokens=positions, origin="config.json: positions of the encoder")


def _length(config: JsonObject, key: str, otherwise: _Length) -> _Length:
    if key not in config:
        return otherwise
    return _Length(tokens=config.integer(key), origin=config.origin(key, ""))


def _query_length(config: JsonObject, expansion: _Expansion | None, longest: _Length) -> _Length:
    """Return the tokens of a query, expansion included.

    Raises:
        CheckpointError: If ``query_length`` and the expansion contradict one another, or queries
            longer than the expansion are kept.
    """
    query = _length(config, "query_length", longest)
    if expansion is None:
        return query
    where = f"{config.name}: query_expansion"
    if "query_length" in config and query.tokens < expansion.length:
        raise CheckpointError(
            f"{where}: length: expected at most query_length {query.tokens}, got "
            f"{expansion.length}; the library refuses the two together"
        )
    if expansion.strategy == "min" and query.tokens != expansion.length:
        raise CheckpointError(
            f"{where}: strategy: expected 'fixed', got 'min': queries of more than "
            f"{expansion.length} tokens are kept up to {query.tokens} ({query.origin}), while "
            "Vespa's embedder makes every query equally long; set strategy to fixed if that is "
            "acceptable"
        )
    return _Length(tokens=expansion.length, origin=f"{where}.length")


def _mask_id(
    config: JsonObject, tokenizer: TokenizerFacts, expansion: _Expansion | None
) -> tuple[int, str]:
    """Return the id that fills up queries, and its provenance.

    Raises:
        CheckpointError: If the token is not in the vocabulary, as the library judges it.
    """
    if expansion is None:
        return tokenizer.first_special("mask_token", "eos_token", "pad_token")
    if expansion.token is None:
        return tokenizer.first_special("mask_token", "eos_token")
    where = f"{config.name}: query_expansion.token"
    token_id = tokenizer.vocabulary.get(expansion.token)
    unknown = tokenizer.special_tokens.get("unk_token")
    if token_id is None or (token_id == tokenizer.unknown_id and expansion.token != unknown):
        raise CheckpointError(
            f"{where}: expected a token of the vocabulary, got {expansion.token!r}"
        )
    return token_id, where


def _lower_case(config: JsonObject, tokenizer: TokenizerFacts) -> bool:
    """Return whether the library adds lower-casing to the tokenizer.

    Raises:
        CheckpointError: If that changes what the tokenizer does: a model that the library has saved
            since then has it in ``tokenizer.json``.
    """
    lower_case = config.flag("do_lower_case", default=False)
    if lower_case and not tokenizer.lower_cases:
        raise CheckpointError(
            f"{config.name}: do_lower_case: expected a tokenizer.json that lower-cases too, got "
            "one that keeps case; load the model with sentence-transformers 6 and save it again, "
            "which writes the change into tokenizer.json"
        )
    return lower_case
