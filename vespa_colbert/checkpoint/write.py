"""Writing a checkpoint in the PyLate layout, complete and readable or not at all.

``checksums.json`` is written last: it lists every file with its sha256 and what the checkpoint was
made from, so that a later run can tell that nothing is to be done.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save_file

from vespa_colbert.checkpoint.dense import dense_config, dense_tensors
from vespa_colbert.checkpoint.facts import ProjectionLayer
from vespa_colbert.checkpoint.folder import CHECKSUMS_FILE
from vespa_colbert.checkpoint.pylate import (
    CONFIG_FILE,
    DENSE_TYPE,
    MODULES_FILE,
    TRANSFORMER_TYPE,
    PyLateSettings,
)
from vespa_colbert.checkpoint.read import read_checkpoint
from vespa_colbert.checkpoint.safetensors_file import WEIGHTS_FILE
from vespa_colbert.errors import CheckpointError
from vespa_colbert.files import FileDigest, atomic_folder, changed_files, digest_file

__all__ = [
    "WrittenCheckpoint",
    "read_checksums",
    "write_checksums",
    "write_json",
    "write_pylate_checkpoint",
]

SENTENCE_CONFIG_FILE = "sentence_bert_config.json"
# What a transformer folder consists of beside its weights; those that are there are copied.
ENCODER_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
METADATA = {"format": "pt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCheckpoint:
    """What ``checksums.json`` says of a checkpoint that this package wrote.

    Attributes:
        origin: What it was made from, as the writer was told.
        files: File name → sha256 and size.
    """

    origin: Mapping[str, Any]
    files: Mapping[str, FileDigest]


def write_pylate_checkpoint(
    folder: Path,
    *,
    encoder: Path,
    projection: tuple[ProjectionLayer, ...],
    settings: PyLateSettings,
    weights: Mapping[str, NDArray[Any]] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Path:
    """Return ``folder`` after writing a checkpoint there that ``read_checkpoint`` has accepted.

    The same arguments give the same bytes.

    Args:
        folder: Final name; a checkpoint of this writer that stands there is replaced.
        encoder: Folder with ``config.json``, ``tokenizer.json`` and, unless ``weights`` are given,
            ``model.safetensors``.
        projection: The layers after the encoder.
        settings: Markers, lengths, expansion, skip words.
        weights: Encoder tensors by name, where they are not those of the encoder's folder.
        origin: What the checkpoint was made from, kept in ``checksums.json``.

    Raises:
        CheckpointError: If what would be written is not a valid checkpoint.
        OutputError: If the folder cannot be written, or holds files that are not ours.
    """
    with atomic_folder(folder, is_ours=lambda there: (there / CHECKSUMS_FILE).is_file()) as part:
        _write_encoder(part, encoder, weights)
        _write_projection(part, projection)
        write_json(part / CONFIG_FILE, _config(settings))
        write_json(part / MODULES_FILE, _modules(len(projection)))
        try:
            read_checkpoint(part)
        except CheckpointError as error:
            raise type(error)(str(error).replace(str(part), str(folder))) from error
        write_checksums(part, origin or {})
    return folder


def read_checksums(folder: Path) -> WrittenCheckpoint | None:
    """Return what ``checksums.json`` says, or None unless every file is as it says."""
    try:
        document = json.loads((folder / CHECKSUMS_FILE).read_text(encoding="utf-8"))
        files = {name: FileDigest(**digest) for name, digest in document["files"].items()}
        written = WrittenCheckpoint(origin=dict(document["origin"]), files=files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None if changed_files(folder, files) else written


def _write_encoder(part: Path, encoder: Path, weights: Mapping[str, NDArray[Any]] | None) -> None:
    """Copy the encoder's files and put its weights beside them.

    Raises:
        CheckpointError: If the encoder's folder has no weights and none are given.
    """
    for name in ENCODER_FILES:
        if (encoder / name).is_file():
            shutil.copyfile(encoder / name, part / name)
    if weights is not None:
        save_file(dict(weights), part / WEIGHTS_FILE, metadata=METADATA)
    elif (encoder / WEIGHTS_FILE).is_file():
        shutil.copyfile(encoder / WEIGHTS_FILE, part / WEIGHTS_FILE)
    else:
        raise CheckpointError(f"{encoder}: expected weights in {WEIGHTS_FILE}, got none")
    write_json(part / SENTENCE_CONFIG_FILE, {"do_lower_case": False})


def _write_projection(part: Path, projection: tuple[ProjectionLayer, ...]) -> None:
    for place, layer in enumerate(projection, start=1):
        folder = part / f"{place}_Dense"
        folder.mkdir()
        save_file(dense_tensors(layer), folder / WEIGHTS_FILE, metadata=METADATA)
        write_json(folder / "config.json", dense_config(layer))


def _config(settings: PyLateSettings) -> dict[str, Any]:
    return {
        "model_type": "ColBERT",
        "similarity_fn_name": "MaxSim",
        "prompts": {},
        "default_prompt_name": None,
        **asdict(settings),
    }


def _modules(layers: int) -> list[dict[str, Any]]:
    dense = [
        {"idx": place, "name": str(place), "path": f"{place}_Dense", "type": DENSE_TYPE}
        for place in range(1, layers + 1)
    ]
    return [{"idx": 0, "name": "0", "path": "", "type": TRANSFORMER_TYPE}, *dense]


def write_checksums(part: Path, origin: Mapping[str, Any]) -> None:
    """Write ``checksums.json`` of all files that a folder holds."""
    files = {
        path.relative_to(part).as_posix(): asdict(digest_file(path))
        for path in sorted(part.rglob("*"))
        if path.is_file()
    }
    write_json(part / CHECKSUMS_FILE, {"origin": dict(origin), "files": files})


def write_json(path: Path, document: object) -> None:
    """Write a JSON file, indented, with a line feed at its end."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
