"""The transformer of a checkpoint: ``config.json`` and its weights, sizes checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vespa_colbert.checkpoint.encoder_config import check_config, check_sizes
from vespa_colbert.checkpoint.facts import Encoder
from vespa_colbert.checkpoint.folder import JsonObject, read_object
from vespa_colbert.checkpoint.options import DEFAULT_OPTIONS, ReadOptions
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.torch_file import read_any_weights
from vespa_colbert.checkpoint.weight_files import WeightFiles
from vespa_colbert.errors import CheckpointError

__all__ = ["read_encoder"]

# The token embedding of ELECTRA and DeBERTa may be narrower or wider than the layers.
EMBEDDING_SIZE_KEY = "embedding_size"
HIDDEN_SIZE_KEYS = ("hidden_size", "dim", "d_model", "n_embd")
POSITION_KEYS = ("max_position_embeddings", "n_positions")

ADAPTER_FILE = "adapter_config.json"

# These architectures number positions from pad_token_id + 1, which takes that many rows away.
POSITIONS_START_AFTER_PAD = frozenset({
    "camembert",
    "data2vec-text",
    "longformer",
    "mpnet",
    "roberta",
    "xlm-roberta",
    "xmod",
})
DEFAULT_PAD_ID = 1

POSITION_EMBEDDINGS = "embeddings.position_embeddings.weight"
MATRIX_DIMENSIONS = 2

# What the token embedding is called, by the end of its name.
TOKEN_EMBEDDINGS = (
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "embed_tokens.weight",
    "wte.weight",
)


def read_encoder(
    folder: Path, options: ReadOptions = DEFAULT_OPTIONS, files: WeightFiles | None = None
) -> tuple[Encoder, tuple[Path, ...]]:
    """Return the encoder in ``folder`` and its weight files.

    Args:
        folder: Where ``config.json`` and the weights are.
        options: Says whether the weights may be a torch file.
        files: The weights, where they are in a file of another kind.

    Raises:
        CheckpointError: If config or weights are missing, damaged, contradict one another, or the
            config wants code of its own to be run.
    """
    config = read_object(folder, "config.json")
    check_config(config)
    _refuse_adapter(folder)
    files = files or read_any_weights(folder, options)
    hidden_size = _first_of(config, HIDDEN_SIZE_KEYS)
    encoder = Encoder(
        model_type=config.text("model_type"),
        config=config.values,
        weights=files.tensors,
        dtypes=files.dtypes,
        hidden_size=hidden_size,
        vocabulary_size=_vocabulary_size(config, files, hidden_size),
        positions=_positions(config, files),
    )
    check_sizes(config, files.tensors)
    return encoder, files.paths


def _refuse_adapter(folder: Path) -> None:
    """Return nothing if the weights are all of the encoder.

    Raises:
        CheckpointError: If an adapter lies beside them, which the libraries would load too.
    """
    if is_present(folder / ADAPTER_FILE):
        raise CheckpointError(
            f"{folder}: expected an encoder by itself, got {ADAPTER_FILE} beside it, whose "
            "weights the libraries add; merge the adapter into the model and save it again"
        )


def _first_of(config: JsonObject, keys: tuple[str, ...]) -> int:
    """Return the first of the integer keys that the config has.

    Raises:
        CheckpointError: If it has none.
    """
    for key in keys:
        if key in config:
            return config.integer(key)
    raise CheckpointError(f"{config.name}: expected {' or '.join(keys)}, got neither")


def _positions(config: JsonObject, files: WeightFiles) -> int:
    """Return the most tokens of a text; a few architectures lose the first rows to padding.

    Raises:
        CheckpointError: If the table of position vectors has another number of rows.
    """
    rows = _first_of(config, POSITION_KEYS)
    tables = [
        (name, array)
        for name, array in files.tensors.items()
        if name.endswith(POSITION_EMBEDDINGS) and array.ndim == MATRIX_DIMENSIONS
    ]
    for name, array in tables if len(tables) == 1 else ():
        if len(array) != rows:
            raise CheckpointError(
                f"{files.paths[0]}: {name}: expected {rows} rows as max_position_embeddings of "
                f"{config.name} says, got {len(array)}; config and weights are of different models"
            )
    if config.text("model_type") in POSITIONS_START_AFTER_PAD:
        return rows - config.integer("pad_token_id", DEFAULT_PAD_ID) - 1
    return rows


def _vocabulary_size(config: JsonObject, files: WeightFiles, hidden_size: int) -> int:
    """Return the rows of the token embedding, or the config's size if it goes by another name.

    Raises:
        CheckpointError: If the embedding has another width or height than the config says.
    """
    declared = config.integer("vocab_size")
    embedding = _token_embedding(files.tensors)
    if embedding is None:
        return declared
    name, array = embedding
    width = config.integer(EMBEDDING_SIZE_KEY, hidden_size)
    if array.shape != (declared, width):
        raise CheckpointError(
            f"{name}: expected shape ({declared}, {width}) as vocab_size and "
            f"{EMBEDDING_SIZE_KEY if EMBEDDING_SIZE_KEY in config else 'hidden_size'} of "
            f"{config.name} say, got {array.shape}; config and weights are of different models"
        )
    return declared


def _token_embedding(tensors: Mapping[str, NDArray[Any]]) -> tuple[str, NDArray[Any]] | None:
    found = [(name, array) for name, array in tensors.items() if name.endswith(TOKEN_EMBEDDINGS)]
    return found[0] if len(found) == 1 else None
