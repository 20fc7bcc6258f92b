"""Writing a trained checkpoint in the layout that it came in, read back and compared at the end.

What is not trained stays as it is: files are copied, and only those with trained weights, or that
state their sizes, are written anew. BGE-M3's ``colbert_linear.pt`` needs torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from vespa_colbert.checkpoint import (
    Checkpoint,
    ProjectionLayer,
    PyLateSettings,
    ReadOptions,
    bge_m3,
    multi_vector,
    plain,
    pylate,
    read_checkpoint,
    stanford,
    write_checksums,
    write_json,
    write_pylate_checkpoint,
)
from vespa_colbert.checkpoint.dense import dense_config, dense_tensors
from vespa_colbert.checkpoint.folder import CHECKSUMS_FILE, read_object
from vespa_colbert.checkpoint.module_list import (
    DENSE_TYPES,
    MODULES_FILE,
    TRANSFORMER_TYPES,
    read_modules,
)
from vespa_colbert.checkpoint.safetensors_file import SHARD_INDEX_FILE, WEIGHTS_FILE
from vespa_colbert.checkpoint.stanford_settings import METADATA_FILE, NESTED, PUNCTUATION
from vespa_colbert.errors import CheckpointError
from vespa_colbert.files import atomic_folder
from vespa_colbert.train.settings import OutputLayout

__all__ = ["write_trained", "written_form"]

METADATA = {"format": "pt"}
WEIGHT_PATTERNS = ("model*.safetensors", SHARD_INDEX_FILE, "pytorch_model*.bin*")
COPIES_OF_MODEL = frozenset({
    *(".onnx", ".onnx_data", ".h5", ".msgpack", ".ot", ".dnn", ".gguf", ".tflite")
})
"""Suffixes of the model in other formats, which training does not change."""
FOLDERS_OF_COPIES = frozenset({"onnx", "openvino", "coreml"})

NOT_COMPARED = frozenset({"path", "provenance", "files", "warnings", "cuts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What is written where.

    Attributes:
        part: The folder to fill.
        source: The checkpoint as it was read.
        trained: What it has become.
        new_weights: Whether the encoder's weights are written, not copied.
        stand_alone: Whether only what this head needs is kept.
    """

    part: Path
    source: Checkpoint
    trained: Checkpoint
    new_weights: bool
    stand_alone: bool


def written_form(checkpoint: Checkpoint, layout: OutputLayout) -> Checkpoint:
    """Return the checkpoint as a reader will find it once it is written: train it as this one.

    Args:
        checkpoint: What is to be trained.
        layout: Where it is to go; what nothing but flags described becomes a PyLate checkpoint.

    Raises:
        CheckpointError: If that layout cannot say what the checkpoint does.
    """
    if checkpoint.layout == pylate.NAME or not _becomes_pylate(checkpoint, layout):
        return checkpoint
    tokenizer = checkpoint.tokenizer
    unsaid = {
        "start_row_dropped": checkpoint.start_row_dropped,
        "mean_score": checkpoint.mean_score,
        "skip_queries": checkpoint.skip_queries,
        "lower_case": checkpoint.lower_case,
        "skip_ids": checkpoint.skip_ids != tokenizer.ids(checkpoint.skip_words),
    }
    if faults := [fact for fact, differs in unsaid.items() if differs]:
        raise CheckpointError(
            f"{checkpoint.path}: a PyLate checkpoint cannot say {', '.join(faults)} of a "
            f"{checkpoint.layout} one; write it in its own layout"
        )
    mask_id, _origin = tokenizer.first_special("mask_token", "eos_token", "pad_token")
    pad_id, _origin = tokenizer.first_special("pad_token", "mask_token", "eos_token")
    return replace(
        checkpoint,
        layout=pylate.NAME,
        strip=True,
        marker_second=True,
        mask_id=mask_id,
        pad_id=pad_id,
    )


def write_trained(
    folder: Path,
    source: Checkpoint,
    trained: Checkpoint,
    *,
    layout: OutputLayout = "same",
    options: ReadOptions | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Path:
    """Return ``folder`` after writing a checkpoint there that reads back equal to ``trained``.

    Args:
        folder: Final name; a checkpoint of this package that stands there is replaced.
        source: The checkpoint as it was read.
        trained: Its ``written_form`` with other weights.
        layout: Where it goes.
        options: With which the source was read.
        origin: What the checkpoint was made from, kept in ``checksums.json``.

    Raises:
        CheckpointError: If what would be written does not read back equal.
        OutputError: If the folder cannot be written, or holds files that are not ours.
    """
    # A stated length stays stated where files say none; a head named before is in the folder now.
    stated = replace(options or ReadOptions(), head=None)
    if _becomes_pylate(source, layout) and source.layout != pylate.NAME:
        _write_pylate(folder, source, trained, origin or {})
        _compare(read_checkpoint(folder, stated), trained)
        return folder
    with atomic_folder(folder, is_ours=lambda there: (there / CHECKSUMS_FILE).is_file()) as part:
        pickled = not any(
            (_encoder_folder(source) / name).is_file() for name in (WEIGHTS_FILE, SHARD_INDEX_FILE)
        )
        converts = pickled and source.layout != bge_m3.NAME
        job = _Job(
            part=part,
            source=source,
            trained=trained,
            new_weights=(
                trained.encoder is not source.encoder or layout == "stand-alone" or converts
            ),
            stand_alone=layout == "stand-alone",
        )
        WRITERS[source.layout](job)
        try:
            _compare(read_checkpoint(part, stated), trained)
        except CheckpointError as error:
            raise type(error)(str(error).replace(str(part), str(folder))) from error
        write_checksums(part, origin or {})
    return folder


def _becomes_pylate(checkpoint: Checkpoint, layout: OutputLayout) -> bool:
    return layout == "pylate" or checkpoint.layout == plain.NAME


def _write_pylate(
    folder: Path, source: Checkpoint, trained: Checkpoint, origin: Mapping[str, Any]
) -> None:
    """Write a PyLate checkpoint of one in another layout."""
    query, document = trained.query_marker, trained.document_marker
    settings = PyLateSettings(
        query_prefix=query.text if query else "",
        document_prefix=document.text if document else "",
        query_length=trained.max_query_tokens,
        document_length=trained.max_document_tokens,
        do_query_expansion=trained.query_expansion,
        attend_to_expansion_tokens=trained.expansion_attended,
        skiplist_words=trained.skip_words,
    )
    write_pylate_checkpoint(
        folder,
        encoder=_encoder_folder(source),
        projection=trained.projection,
        settings=settings,
        weights=trained.encoder.weights,
        origin=origin,
    )


def _write_modules(job: _Job) -> None:
    """Write a folder with a list of modules: the Dense layers anew, some left out or added."""
    source, part = job.source.path, job.part
    modules = read_modules(source)
    dense = [module for module in modules if module["type"] in DENSE_TYPES]
    root = _encoder_folder(job.source).relative_to(source)
    _copy_files(source, part, skip={*_weights(source, root, job)})
    for module in dense:
        shutil.rmtree(part / module["path"])
    wanted = _listed(dense, len(job.trained.projection))
    for place, (module, layer) in enumerate(zip(wanted, job.trained.projection, strict=True)):
        before = source / dense[min(place, len(dense) - 1)]["path"]
        _write_dense(before, part / module["path"], layer)
    if len(wanted) != len(dense):
        first = modules.index(dense[0])
        others = [module for module in modules if module not in dense]
        left = [*others[:first], *wanted, *others[first:]]
        write_json(part / MODULES_FILE, [{**each, "idx": place} for place, each in enumerate(left)])
    if job.new_weights:
        _save(dict(job.trained.encoder.weights), part / root / WEIGHTS_FILE)


def _listed(dense: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Return the entries of so many Dense layers: those that are there, then ones like the last."""
    added = [f"added_{place}_Dense" for place in range(1, count - len(dense) + 1)]
    return [*dense[:count], *({**dense[-1], "name": name, "path": name} for name in added)]


def _write_dense(source: Path, folder: Path, layer: ProjectionLayer) -> None:
    """Write a Dense layer: what it says beside its sizes stays."""
    folder.mkdir(parents=True)
    before = dict(read_object(source, "config.json").values)
    config = dense_config(layer)
    if not layer.residual and "use_residual" not in before:
        del config["use_residual"]
    write_json(folder / "config.json", {**before, **config})
    _save(dense_tensors(layer), folder / WEIGHTS_FILE)


def _write_stanford(job: _Job) -> None:
    """Write encoder and projection in one file, with the width in ``artifact.metadata``."""
    source, part = job.source.path, job.part
    named = {METADATA_FILE}
    for pattern in WEIGHT_PATTERNS:
        named |= {path.relative_to(source).as_posix() for path in source.glob(pattern)}
    _copy_files(source, part, skip=named)
    layer = job.trained.projection[0]
    _save({**job.trained.encoder.weights, stanford.HEAD: layer.weight}, part / WEIGHTS_FILE)
    write_json(part / METADATA_FILE, _metadata(job.source, layer.out_features))


def _metadata(source: Checkpoint, dim: int) -> Mapping[str, Any]:
    """Return ``artifact.metadata`` of a width; made of the facts where the source has none.

    Raises:
        CheckpointError: If the skip words are others than the library has.
    """
    if (source.path / METADATA_FILE).is_file():
        said = dict(read_object(source.path, METADATA_FILE).values)
        if isinstance(nested := said.get(NESTED), dict):
            return {**said, NESTED: {**nested, "dim": dim}}
        return {**said, "dim": dim}
    if source.skip_words not in {(), PUNCTUATION}:
        raise CheckpointError(
            f"{source.path}: {METADATA_FILE} can say that punctuation is skipped or nothing, got "
            f"{' '.join(source.skip_words)}; write a PyLate checkpoint"
        )
    query, document = source.query_marker, source.document_marker
    return {
        "query_token_id": query.text if query else "",
        "doc_token_id": document.text if document else "",
        "query_maxlen": source.max_query_tokens,
        "doc_maxlen": source.max_document_tokens,
        "attend_to_mask_tokens": source.expansion_attended,
        "mask_punctuation": bool(source.skip_words),
        "similarity": "cosine",
        "interaction": "colbert",
        "dim": dim,
    }


def _write_bge_m3(job: _Job) -> None:
    """Write the head beside the encoder: for our reader, and for FlagEmbedding.

    The sparse head is left out where it no longer fits its encoder.
    """
    import torch

    from vespa_colbert.train.state import save_tensors

    source, part = job.source.path, job.part
    skip = {*bge_m3.HEAD_FILES, *_weights(source, Path(), job)}
    if job.stand_alone or job.trained.encoder is not job.source.encoder:
        skip.add(bge_m3.SPARSE_FILE)
    _copy_files(source, part, skip=skip)
    if job.new_weights:
        _save(dict(job.trained.encoder.weights), part / WEIGHTS_FILE)
    layer = job.trained.projection[0]
    tensors = {"weight": layer.weight, "bias": layer.bias}
    safe, pickled = bge_m3.HEAD_FILES
    _save({name: array for name, array in tensors.items() if array is not None}, part / safe)
    save_tensors({name: torch.tensor(array) for name, array in tensors.items()}, part / pickled)


WRITERS = {
    pylate.NAME: _write_modules,
    multi_vector.NAME: _write_modules,
    stanford.NAME: _write_stanford,
    bge_m3.NAME: _write_bge_m3,
}
"""Name of a layout → what fills a folder with it."""


def _encoder_folder(checkpoint: Checkpoint) -> Path:
    """Return the folder of the encoder's config and weights."""
    if checkpoint.layout in {pylate.NAME, multi_vector.NAME}:
        for module in read_modules(checkpoint.path):
            if module["type"] in TRANSFORMER_TYPES:
                return checkpoint.path / str(module["path"])
    return checkpoint.path


def _weights(source: Path, root: Path, job: _Job) -> Iterator[str]:
    """Yield the names of the encoder's weight files, if they are written anew."""
    if not job.new_weights:
        return
    for pattern in WEIGHT_PATTERNS:
        for path in (source / root).glob(pattern):
            yield path.relative_to(source).as_posix()


def _copy_files(source: Path, part: Path, skip: set[str]) -> None:
    """Copy the files of a checkpoint, hidden ones and the model in other formats left out."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        hidden = any(each.startswith(".") for each in name.parts)
        stale = path.suffix in COPIES_OF_MODEL or name.parts[0] in FOLDERS_OF_COPIES
        if not path.is_file() or hidden or stale or name.as_posix() in {*skip, CHECKSUMS_FILE}:
            continue
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part / name)


def _save(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    save_file(whole, path, metadata=METADATA)


def _compare(read: Checkpoint, wanted: Checkpoint) -> None:
    """Return nothing if a checkpoint was read back as it was to be written.

    Raises:
        CheckpointError: With what differs.
    """
    faults = [
        each.name
        for each in fields(Checkpoint)
        if each.name not in NOT_COMPARED | {"encoder", "projection", "tokenizer"}
        and getattr(read, each.name) != getattr(wanted, each.name)
    ]
    if read.tokenizer.text != wanted.tokenizer.text:
        faults.append("tokenizer")
    if not _same_arrays(read.encoder.weights, wanted.encoder.weights):
        faults.append("encoder")
    layers = [dense_tensors(layer) for layer in read.projection]
    others = [dense_tensors(layer) for layer in wanted.projection]
    if len(layers) != len(others) or not all(map(_same_arrays, layers, others)):
        faults.append("projection")
    if faults:
        raise CheckpointError(
            f"{read.path}: expected the trained checkpoint to read back as it was written, got "
            f"other {', '.join(faults)}"
        )


def _same_arrays(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(array, other[name]) for name, array in one.items()
    )
