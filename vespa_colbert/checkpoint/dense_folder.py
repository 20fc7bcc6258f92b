"""A folder → a model that turns a text into one vector.

Two layouts: what sentence-transformers writes (BGE, E5, GTE, MiniLM and most others), and a plain
encoder of which the user states the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vespa_colbert.checkpoint import bge_m3, multi_vector, stanford
from vespa_colbert.checkpoint.checks import check_vocabulary
from vespa_colbert.checkpoint.dense import POOLED_VECTOR, read_dense
from vespa_colbert.checkpoint.dense_facts import POOLINGS, DenseCheckpoint, StatedFacts
from vespa_colbert.checkpoint.dense_modules import (
    POOLING_TYPES,
    PoolingFacts,
    read_dense_modules,
    read_pooling,
)
from vespa_colbert.checkpoint.dense_prompts import Prompts, read_prompts, read_similarity
from vespa_colbert.checkpoint.encoder_files import read_encoder
from vespa_colbert.checkpoint.folder import (
    config_files,
    digests,
    read_object,
    require_folder,
)
from vespa_colbert.checkpoint.hub import locate_checkpoint
from vespa_colbert.checkpoint.module_list import CONFIG_FILE, MODULES_FILE, module_types
from vespa_colbert.checkpoint.options import DEFAULT_OPTIONS, ReadOptions
from vespa_colbert.checkpoint.pylate import SETTINGS_KEYS
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.stated_facts import STATED_ORIGIN
from vespa_colbert.checkpoint.text_windows import TextWindows, read_text_windows
from vespa_colbert.checkpoint.tokenizer_facts import read_tokenizer
from vespa_colbert.checkpoint.tokenizer_view import check_tokenizer_view
from vespa_colbert.errors import CheckpointError

__all__ = ["PLAIN", "SENTENCE_TRANSFORMERS", "dense_signs", "read_dense_checkpoint"]

SENTENCE_TRANSFORMERS, PLAIN = "sentence-transformers", "plain-dense"

TOKEN_LAYOUTS = (multi_vector, stanford, bge_m3)
"""Layouts with a projection of every token, which may stand beside a list with Pooling."""

REQUIRED = ("pooling", "normalize", "query_prepend", "document_prepend")
"""What no file of a plain encoder says and no reader may assume."""

SHORTEST_TEXT = 3
"""Tokens: start, one of content, end."""


def dense_signs(folder: Path, options: ReadOptions) -> str:
    """Return what says that a folder holds a dense model, empty if nothing does.

    A folder that has a projection for token vectors too is taken for late interaction.

    Raises:
        CheckpointError: If a file that would tell is damaged.
    """
    if options.head is not None or not is_present(folder / MODULES_FILE):
        return ""
    if not POOLING_TYPES.intersection(module_types(folder)) or _has_token_rows(folder, options):
        return ""
    return f"{MODULES_FILE} lists Pooling"


def read_dense_checkpoint(
    path: Path,
    options: ReadOptions = DEFAULT_OPTIONS,
    stated: StatedFacts | None = None,
) -> DenseCheckpoint:
    """Return the dense checkpoint in a folder; a path that exists is never looked up in a network.

    Args:
        path: The folder, or the name of a model on the Hub.
        options: What the user allows.
        stated: What the user states; all of ``REQUIRED`` for a plain encoder.

    Raises:
        CheckpointError: If there is no such folder, it is damaged, contradicts itself or what is
            stated, names code, or does what can be neither put into a graph nor done by Vespa.
        MissingExtraError: If the name is one of the Hub and huggingface-hub is not installed.
    """
    source = locate_checkpoint(path, revision=options.revision or "")
    require_folder(source.folder)
    try:
        checkpoint = _read(source.folder, options, stated or StatedFacts())
    except OSError as error:
        raise CheckpointError(f"{source.folder}: cannot be read: {error}") from error
    except CheckpointError as error:
        if str(source.folder) in str(error):
            raise
        raise type(error)(f"{source.folder}: {error}") from error
    if source.origin:
        provenance = {**checkpoint.provenance, "checkpoint": source.origin}
        checkpoint = replace(checkpoint, provenance=provenance)
    return checkpoint


def _read(folder: Path, options: ReadOptions, stated: StatedFacts) -> DenseCheckpoint:
    """Return the checkpoint of either layout, its parts looked at together."""
    read = _read_modules if is_present(folder / MODULES_FILE) else _read_plain
    checkpoint = read(folder, options, stated)
    _check(checkpoint)
    return checkpoint


def _has_token_rows(folder: Path, options: ReadOptions) -> bool:
    config = read_object(folder, CONFIG_FILE, optional=True)
    declared = config.values.get("model_type") == "ColBERT"
    is_pylate = declared or any(key in config for key in SETTINGS_KEYS)
    return is_pylate or any(not layout.misfits(folder, options) for layout in TOKEN_LAYOUTS)


def _read_modules(folder: Path, options: ReadOptions, stated: StatedFacts) -> DenseCheckpoint:
    """Return the checkpoint that sentence-transformers wrote.

    Raises:
        CheckpointError: If a part is missing or damaged, or contradicts what is stated.
    """
    modules = read_dense_modules(folder)
    config = read_object(folder, CONFIG_FILE, optional=True)
    pooling, prompts = read_pooling(folder, modules.pooling), read_prompts(config, stated)
    tokenizer = read_tokenizer(modules.root)
    layers = [read_dense(head, options, fed_by=POOLED_VECTOR) for head in modules.heads]
    encoder, weight_files = read_encoder(modules.root, options)
    windows = read_text_windows(modules.root, tokenizer, encoder.positions)
    _check_windows(windows)
    _check_pooling(pooling, prompts, encoder.hidden_size)
    max_tokens, length_origin = _length(windows, stated)
    pad_id, pad_origin = tokenizer.first_special("pad_token", "mask_token", "eos_token")
    paths = [*weight_files, *(path for _layer, path in layers)]
    paths += config_files({folder, modules.root, modules.pooling, *modules.heads})
    checkpoint = DenseCheckpoint(
        path=folder,
        layout=SENTENCE_TRANSFORMERS,
        encoder=encoder,
        tokenizer=tokenizer,
        pooling=pooling.modes,
        projection=tuple(layer for layer, _path in layers),
        normalize=modules.normalize,
        max_tokens=max_tokens,
        query_prepend=prompts.query,
        document_prepend=prompts.document,
        dims=config.integer("truncate_dim") if "truncate_dim" in config else None,
        similarity=read_similarity(config, is_unit=modules.normalize),
        pad_id=pad_id,
        provenance={
            **prompts.provenance,
            "pooling": pooling.where,
            "normalize": MODULES_FILE,
            "max_tokens": length_origin,
            "dims": config.origin("truncate_dim", "all components"),
            "pad_id": pad_origin,
        },
        files=digests(folder, paths),
        warnings=(*prompts.warnings, *_warnings(folder, encoder.dtypes)),
    )
    _check_stated(checkpoint, stated)
    return checkpoint


def _read_plain(folder: Path, options: ReadOptions, stated: StatedFacts) -> DenseCheckpoint:
    """Return the checkpoint that a plain encoder and the stated facts make.

    Raises:
        CheckpointError: If a fact is not stated, or a part is missing or damaged.
    """
    missing = [f"--{name.replace('_', '-')}" for name in REQUIRED if getattr(stated, name) is None]
    if missing or stated.pooling is None:
        raise CheckpointError(
            f"{folder}: expected {MODULES_FILE}, or the facts that no file of a plain encoder says "
            f"(an instruction may be empty for none), got none for {', '.join(missing)}"
        )
    tokenizer = read_tokenizer(folder)
    encoder, weight_files = read_encoder(folder, options)
    windows = read_text_windows(folder, tokenizer, encoder.positions)
    max_tokens, length_origin = _length(windows, stated)
    pad_id, pad_origin = tokenizer.first_special("pad_token", "mask_token", "eos_token")
    return DenseCheckpoint(
        path=folder,
        layout=PLAIN,
        encoder=encoder,
        tokenizer=tokenizer,
        pooling=(stated.pooling,),
        projection=(),
        normalize=stated.normalize is True,
        max_tokens=max_tokens,
        query_prepend=stated.query_prepend or "",
        document_prepend=stated.document_prepend or "",
        dims=None,
        similarity="cosine",
        pad_id=pad_id,
        provenance={
            **dict.fromkeys(REQUIRED, STATED_ORIGIN),
            "max_tokens": length_origin,
            "dims": "all components",
            "pad_id": pad_origin,
        },
        files=digests(folder, (*weight_files, *config_files({folder}))),
        warnings=tuple(_warnings(folder, encoder.dtypes)),
    )


def _length(windows: TextWindows, stated: StatedFacts) -> tuple[int, str]:
    """Return the tokens of a text and where the number comes from."""
    if stated.max_tokens is not None:
        return stated.max_tokens, STATED_ORIGIN
    return windows.max_document_tokens, windows.provenance["max_document_tokens"]


def _check_windows(windows: TextWindows) -> None:
    """Return nothing if queries and documents are cut alike and not filled up.

    Raises:
        CheckpointError: If not.
    """
    if windows.query_expansion:
        raise CheckpointError(
            f"{windows.provenance['query_expansion']}: expected none, got a query expansion: Vespa "
            "adds no tokens to a text that becomes one vector"
        )
    if windows.max_query_tokens != windows.max_document_tokens:
        raise CheckpointError(
            f"{windows.provenance['max_query_tokens']}: expected queries to be cut as documents "
            f"are, at {windows.max_document_tokens} tokens, got {windows.max_query_tokens}: "
            "Vespa's embedder has one limit for both; state it by --max-tokens after taking the "
            "key out"
        )


def _check_pooling(pooling: PoolingFacts, prompts: Prompts, hidden_size: int) -> None:
    """Return nothing if the pooling takes the encoder's rows, and all of them.

    Raises:
        CheckpointError: If it is of another encoder, or leaves out the instruction's rows.
    """
    if pooling.width != hidden_size:
        raise CheckpointError(
            f"{pooling.where}: expected rows of {hidden_size} components (hidden_size of "
            f"config.json), got {pooling.width}; the pooling is of another encoder"
        )
    if not pooling.include_prompt and (prompts.query or prompts.document):
        raise CheckpointError(
            f"{pooling.where}: include_prompt: expected true, got false: the rows of an "
            "instruction are left out of the vector (INSTRUCTOR), and neither Vespa nor a graph "
            "of ids can tell them from those of the text"
        )


def _check_stated(checkpoint: DenseCheckpoint, stated: StatedFacts) -> None:
    """Return nothing if a checkpoint that says all of itself is as the user states it.

    Raises:
        CheckpointError: With each fact that is stated otherwise.
    """
    found = {
        "pooling": (stated.pooling, " + ".join(checkpoint.pooling)),
        "normalize": (stated.normalize, checkpoint.normalize),
    }
    wrong = [
        f"{fact}: {wanted!r} stated, {value!r} in the checkpoint ({checkpoint.provenance[fact]})"
        for fact, (wanted, value) in found.items()
        if wanted not in {None, value}
    ]
    if wrong:
        raise CheckpointError(
            f"{checkpoint.path}: what is stated contradicts the checkpoint; leave it out: "
            f"{'; '.join(wrong)}"
        )


def _check(checkpoint: DenseCheckpoint) -> None:
    """Return nothing if the parts fit together.

    Raises:
        CheckpointError: If the layers do not chain, a number cannot be, or the tokenizer has ids
            that the token embedding lacks.
    """
    where, limit = checkpoint.path, checkpoint.encoder.positions
    if unknown := set(checkpoint.pooling) - set(POOLINGS):
        raise CheckpointError(f"pooling: expected {', '.join(POOLINGS)}, got {unknown.pop()!r}")
    if not SHORTEST_TEXT <= checkpoint.max_tokens <= limit:
        raise CheckpointError(
            f"{checkpoint.provenance['max_tokens']}: expected {SHORTEST_TEXT} to {limit} tokens "
            f"(the encoder has {limit} positions), got {checkpoint.max_tokens}"
        )
    width = checkpoint.encoder.hidden_size * len(checkpoint.pooling)
    for place, layer in enumerate(checkpoint.projection, start=1):
        if layer.in_features != width:
            raise CheckpointError(
                f"Dense {place}: expected in_features {width}, got {layer.in_features}; the layer "
                "is of another model"
            )
        width = layer.out_features
    if not 1 <= checkpoint.dim <= width:
        raise CheckpointError(
            f"{checkpoint.provenance['dims']}: expected 1 to {width} components, got "
            f"{checkpoint.dim}"
        )
    check_vocabulary(where, checkpoint.tokenizer, checkpoint.encoder)
    check_tokenizer_view(checkpoint.tokenizer)


def _warnings(folder: Path, dtypes: tuple[str, ...]) -> Iterator[str]:
    heads = [*bge_m3.HEAD_FILES, bge_m3.SPARSE_FILE]
    if found := [name for name in heads if is_present(folder / name)]:
        yield f"{' and '.join(found)}: no part of the one vector of a text"
    if narrow := [dtype for dtype in dtypes if dtype != "F32"]:
        yield (
            f"weights stored as {', '.join(narrow)} are computed with in float32 here; the library "
            "computes in the stored type unless told otherwise"
        )
