"""A codec on disk: its centroids as Vespa reads a constant, everything else in the manifest."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.codec.residual import ResidualCodec
from vespa_colbert.errors import ArrayError, SpecError, TensorTypeError
from vespa_colbert.files import FileDigest, atomic_folder, changed_files, digest_file
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType
from vespa_colbert.tensor.binary import decode_tensor, encode_tensor

__all__ = [
    "CENTROID",
    "CENTROIDS_FILE",
    "CODEC_FILE",
    "centroids_type",
    "read_centroids",
    "read_codec",
    "require_model",
    "write_codec",
]

CODEC_FILE = "codec.json"
CENTROIDS_FILE = "centroids.tbf"
FORMAT = 1
CENTROID = "c"
"""The dimension whose labels are the numbers of centroids."""


def centroids_type(dim: int) -> TensorType:
    """Return the type of the constant that holds the centroids."""
    return TensorType(CellType.FLOAT, (Dimension(CENTROID), Dimension("x", dim)))


def write_codec(codec: ResidualCodec, output: Path) -> None:
    """Write a codec to a folder, whole or not at all.

    Args:
        codec: The codec.
        output: The folder; an older codec there is replaced.

    Raises:
        OutputError: If it cannot be written, or holds something else.
    """
    with atomic_folder(output, is_ours=is_codec_folder) as folder:
        tensor = Tensor.rows(centroids_type(codec.dim), codec.centroids)
        (folder / CENTROIDS_FILE).write_bytes(encode_tensor(tensor))
        manifest = {
            "format": FORMAT,
            "dim": codec.dim,
            "bits": codec.bits,
            "centroids": len(codec.centroids),
            "cutoffs": codec.cutoffs.tolist(),
            "weights": codec.weights.tolist(),
            "average-residual": codec.average_residual,
            "model": codec.model,
            "files": {CENTROIDS_FILE: asdict(digest_file(folder / CENTROIDS_FILE))},
        }
        text = json.dumps(manifest, indent=2) + "\n"
        (folder / CODEC_FILE).write_text(text, encoding="utf-8")


def is_codec_folder(folder: Path) -> bool:
    """Return whether a folder looks like a codec that may be replaced."""
    return (folder / CODEC_FILE).is_file() and (folder / CENTROIDS_FILE).is_file()


def read_codec(folder: Path) -> ResidualCodec:
    """Return the codec of a folder after checking its file against the manifest's sha256.

    Raises:
        SpecError: If there is none, it is damaged, or contradicts itself.
    """
    path = folder / CODEC_FILE
    if not path.is_file():
        raise SpecError(
            f"{folder}: expected a residual codec with {CODEC_FILE}, found none; make one with: "
            "vespa-colbert train-codec"
        )
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        version, files = said["format"], said["files"]
        digests = {name: FileDigest(**digest) for name, digest in files.items()}
        stated = _stated(said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"{path}: not a valid manifest ({error}); train the codec again") from error
    if version != FORMAT or digests.keys() != {CENTROIDS_FILE}:
        raise SpecError(f"{path}: expected format {FORMAT}, got {version}; train the codec again")
    if faults := changed_files(folder, digests):
        raise SpecError("the codec is damaged; train it again", tuple(faults))
    codec = ResidualCodec(centroids=read_centroids(folder / CENTROIDS_FILE, said["dim"]), **stated)
    found = (codec.dim, codec.bits, len(codec.centroids))
    if found != (wanted := (said["dim"], said["bits"], said["centroids"])):
        raise SpecError(
            f"{path}: expected dim, bits and centroids {wanted} as it says, got {found}"
        )
    return codec


def _stated(said: dict[str, Any]) -> dict[str, Any]:
    return {
        "cutoffs": np.array(said["cutoffs"], np.float32),
        "weights": np.array(said["weights"], np.float32),
        "average_residual": float(said["average-residual"]),
        "model": str(said["model"]),
    }


def read_centroids(path: Path, dim: int) -> NDArray[np.float32]:
    """Return the centroids of a file, (centroid, dim) float32, in the order of their labels.

    Raises:
        SpecError: If there is no such file, or it holds another tensor.
    """
    try:
        tensor = decode_tensor(path.read_bytes())
    except (OSError, ArrayError, TensorTypeError) as error:
        raise SpecError(f"{path}: {error}") from error
    labels = [label for (label,) in tensor.addresses()] if len(tensor.labels) == 1 else []
    if tensor.type != centroids_type(dim) or labels != list(map(str, range(len(labels)))):
        raise SpecError(
            f"{path}: expected {centroids_type(dim)} with labels that count from 0, got "
            f"{tensor.type}"
        )
    return np.ascontiguousarray(tensor.values)


def require_model(codec: ResidualCodec, checksum: str, where: str) -> None:
    """Return nothing if a codec was trained on vectors of a model, or nobody knows of which.

    Args:
        codec: The codec.
        checksum: Of the model; empty where it is not known.
        where: What is to be coded, for the message.

    Raises:
        SpecError: If it was another model.
    """
    if codec.model and checksum and codec.model != checksum:
        raise SpecError(
            f"{where}: made with model {checksum:.12}…, the codec was trained on vectors of model "
            f"{codec.model:.12}…; train a codec on these vectors"
        )
