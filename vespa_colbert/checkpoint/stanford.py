"""The layout of Stanford's ColBERT and of RAGatouille: one encoder with a ``linear`` layer on it.

Encoder and projection share the weights; ``artifact.metadata`` says how texts are cut and marked.
Source: HF_ColBERT, QueryTokenizer, DocTokenizer and ColBERT, colbert-ai 0.2.22.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from vespa_colbert.checkpoint.checks import check_checkpoint
from vespa_colbert.checkpoint.encoder_files import read_encoder
from vespa_colbert.checkpoint.facts import Checkpoint, Encoder, ProjectionLayer
from vespa_colbert.checkpoint.first_ids import read_first_ids
from vespa_colbert.checkpoint.folder import config_files, digests, read_object
from vespa_colbert.checkpoint.head_file import check_matrix
from vespa_colbert.checkpoint.legacy_file import (
    SUFFIX,
    LegacyFile,
    legacy_path,
    read_legacy_file,
)
from vespa_colbert.checkpoint.module_list import MODULES_FILE
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.safetensors_file import stored_names
from vespa_colbert.checkpoint.stanford_settings import (
    METADATA_FILE,
    StanfordSettings,
    read_metadata,
    read_settings,
)
from vespa_colbert.checkpoint.text_windows import check_sides
from vespa_colbert.checkpoint.tokenizer_facts import TOKENIZER_FILE, read_tokenizer
from vespa_colbert.checkpoint.torch_file import (
    TORCH_INDEX_FILE,
    TORCH_WEIGHTS_FILE,
    torch_names,
)
from vespa_colbert.errors import CheckpointError, MissingWeightError

__all__ = ["NAME", "misfits", "read"]

NAME = "stanford"
ARCHITECTURE = "HF_ColBERT"
HEAD, HEAD_BIAS = "linear.weight", "linear.bias"
SHOWN = 3


def misfits(folder: Path, options: ReadOptions) -> tuple[str, ...]:
    """Return what keeps a folder from being of this layout; nothing if it is.

    Names of tensors are looked for in a torch file only where such files may be opened.
    """
    if is_present(folder / METADATA_FILE) or _names_architecture(folder):
        return ()
    if legacy_path(folder) is not None:
        return ()
    if not is_present(folder / MODULES_FILE) and HEAD in _names(folder, options):
        return ()
    return (
        f"no {METADATA_FILE}",
        f"config.json names no {ARCHITECTURE}",
        f"no {HEAD} beside an encoder{_unopened(folder, options)}",
        f"no *{SUFFIX} file",
    )


def read(folder: Path, options: ReadOptions) -> Checkpoint:
    """Return the checkpoint in ``folder``.

    Queries are always filled up with mask tokens. Texts go to the tokenizer as they are.

    Raises:
        CheckpointError: If a file is missing, damaged, contradicts another, names code, or may not
            be opened, or facts are neither in a file nor stated.
    """
    path = legacy_path(folder)
    legacy = read_legacy_file(path, options) if path else None
    settings = read_settings(legacy.arguments if legacy else read_metadata(folder), options)
    tokenizer = read_tokenizer(folder)
    tokenizer.check_both_ends()
    check_sides(folder, tokenizer, expanded=True)
    whole, weight_files = read_encoder(folder, options, legacy.weights if legacy else None)
    encoder, layer = _split(whole, weight_files[0])
    _check_dim(settings, layer)
    mask_id, mask_origin = tokenizer.first_special("mask_token")
    pad_id, pad_origin = tokenizer.first_special("pad_token")
    skip = read_first_ids(tokenizer, settings.skip_words)
    return check_checkpoint(
        Checkpoint(
            path=folder,
            layout=NAME,
            encoder=encoder,
            projection=(layer,),
            tokenizer=tokenizer,
            query_marker=tokenizer.marker(settings.query_marker, "query"),
            document_marker=tokenizer.marker(settings.document_marker, "document"),
            start_id=tokenizer.start_id,
            end_id=tokenizer.end_id,
            mask_id=mask_id,
            pad_id=pad_id,
            max_query_tokens=settings.max_query_tokens,
            max_document_tokens=settings.max_document_tokens,
            query_expansion=True,
            expansion_attended=settings.expansion_attended,
            skip_words=settings.skip_words,
            skip_ids=skip.ids,
            lower_case=False,
            provenance=_provenance(settings, mask_origin, pad_origin),
            files=digests(folder, (*weight_files, *_facts_files(folder))),
            warnings=(*settings.warnings, *skip.warnings, *_legacy_warnings(legacy)),
        )
    )


def _provenance(settings: StanfordSettings, mask_origin: str, pad_origin: str) -> Mapping[str, str]:
    return {
        **settings.provenance,
        "start_id": f"{TOKENIZER_FILE}: post_processor",
        "end_id": f"{TOKENIZER_FILE}: post_processor",
        "mask_id": mask_origin,
        "pad_id": pad_origin,
    }


def _names_architecture(folder: Path) -> bool:
    """Return whether ``config.json`` names the library's class, or one made of it."""
    named = read_object(folder, "config.json", optional=True).values.get("architectures")
    return isinstance(named, list) and any(ARCHITECTURE in str(name) for name in named)


def _names(folder: Path, options: ReadOptions) -> frozenset[str]:
    return stored_names(folder) or (
        torch_names(folder) if options.allow_pickle else frozenset[str]()
    )


def _unopened(folder: Path, options: ReadOptions) -> str:
    """Return a hint where the projection may be in a file that was not opened."""
    pickled = any(is_present(folder / name) for name in (TORCH_WEIGHTS_FILE, TORCH_INDEX_FILE))
    if not pickled or options.allow_pickle:
        return ""
    return f" ({TORCH_WEIGHTS_FILE} is looked into only with --allow-pickle)"


def _split(whole: Encoder, path: Path) -> tuple[Encoder, ProjectionLayer]:
    """Return the encoder without the projection, and the projection.

    Raises:
        CheckpointError: If the projection is no float matrix.
        MissingWeightError: If it is not there, or has a bias, which the library drops in silence.
    """
    if HEAD not in whole.weights:
        names = ", ".join(sorted(whole.weights)[:SHOWN])
        raise MissingWeightError(
            f"{path}: expected {HEAD} beside the encoder, got {len(whole.weights)} tensors without "
            f"it ({names}, …): the projection is missing, and a library would make up a random one"
        )
    if HEAD_BIAS in whole.weights:
        raise MissingWeightError(
            f"{path}: expected a projection without a bias, got {HEAD_BIAS}, which the library "
            "does not have"
        )
    check_matrix(whole.weights[HEAD], f"{path}: {HEAD}")
    rest = {name: array for name, array in whole.weights.items() if name != HEAD}
    return replace(whole, weights=rest), ProjectionLayer(weight=whole.weights[HEAD])


def _check_dim(settings: StanfordSettings, layer: ProjectionLayer) -> None:
    """Return nothing if the projection is as wide as the metadata says.

    Raises:
        CheckpointError: With both widths.
    """
    if settings.dim not in {None, layer.out_features}:
        raise CheckpointError(
            f"{HEAD}: expected {settings.dim} rows as dim of {METADATA_FILE} says, got "
            f"{layer.out_features}; the two are of different models"
        )


def _facts_files(folder: Path) -> list[Path]:
    metadata = folder / METADATA_FILE
    return [*config_files({folder}), *([metadata] if metadata.exists() else [])]


def _legacy_warnings(legacy: LegacyFile | None) -> Iterator[str]:
    if legacy is not None:
        yield (
            f"config.json and tokenizer beside {legacy.weights.paths[0].name} are taken for those "
            f"of {legacy.base}, which the training began with"
        )
