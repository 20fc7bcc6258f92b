"""The single file of the first ColBERT models, ``*.dnn``: tensors and training arguments.

Source: save_checkpoint, torch_load_dnn and HF_ColBERT.from_pretrained, colbert-ai 0.2.22.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.checkpoint.folder import JsonObject
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.safetensors_file import SHARD_INDEX_FILE, WEIGHTS_FILE
from vespa_colbert.checkpoint.torch_file import (
    TORCH_INDEX_FILE,
    TORCH_WEIGHTS_FILE,
    load_tensors,
    read_torch_document,
    require_pickle_allowed,
)
from vespa_colbert.checkpoint.torch_pickle import StoredTensor
from vespa_colbert.checkpoint.weight_files import WeightFiles
from vespa_colbert.errors import CheckpointError

__all__ = ["SUFFIX", "LegacyFile", "legacy_folder", "legacy_path", "read_legacy_file"]

SUFFIX = ".dnn"
TENSORS, ARGUMENTS = "model_state_dict", "arguments"
DEFAULT_BASE = "bert-base-uncased"


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyFile:
    """What such a file holds that is needed here; the optimizer's state is not read.

    Attributes:
        weights: The tensors.
        arguments: Those of the training run, None where there are none.
        base: Name of the encoder that the training began with.
    """

    weights: WeightFiles
    arguments: JsonObject | None
    base: str


def legacy_path(folder: Path) -> Path | None:
    """Return the file that the weights of a folder are in, None if they are in a newer one.

    Raises:
        CheckpointError: If there are several.
    """
    newer = (WEIGHTS_FILE, SHARD_INDEX_FILE, TORCH_WEIGHTS_FILE, TORCH_INDEX_FILE)
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if not found or any(is_present(folder / name) for name in newer):
        return None
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(f"{folder}: expected one {SUFFIX} file, got {names}")
    return found[0]


def legacy_folder(path: Path) -> Path:
    """Return the folder of a file of this kind, and any other path as it is.

    Raises:
        CheckpointError: If the folder's weights are in another file.
    """
    if path.suffix != SUFFIX or not path.is_file():
        return path
    if legacy_path(path.parent) != path:
        raise CheckpointError(
            f"{path}: expected the only weights of their folder, got newer ones beside it; put the "
            "file into a folder of its own, with config.json and the tokenizer"
        )
    return path.parent


def read_legacy_file(path: Path, options: ReadOptions) -> LegacyFile:
    """Return tensors and arguments of a file.

    Raises:
        CheckpointError: If torch files may not be opened, or it is damaged or of another kind.
    """
    require_pickle_allowed(path, options)
    document = read_torch_document(path)
    tensors, values = document.get(TENSORS), document.get(ARGUMENTS)
    if not isinstance(tensors, dict) or not tensors:
        raise CheckpointError(f"{path}: expected tensors in {TENSORS}, got none")
    if other := [name for name, value in tensors.items() if not isinstance(value, StoredTensor)]:
        raise CheckpointError(f"{path}: {TENSORS}: expected tensors, got another {other[0]!r}")
    arguments = None
    if isinstance(values, dict):
        arguments = JsonObject(name=f"{path.name}: {ARGUMENTS}", values=values)
    return LegacyFile(
        weights=load_tensors(path, tensors),
        arguments=arguments,
        base=arguments.text("model", DEFAULT_BASE) if arguments else DEFAULT_BASE,
    )
