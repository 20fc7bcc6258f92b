"""The layout of sentence-transformers 6: a MultiVectorEncoder and its list of modules.

Transformer, Dense layers, MultiVectorMask, Normalize. Nothing that a config names is imported:
module types are looked up in a table.
Source: MultiVectorEncoder, MultiVectorMask and Normalize, sentence-transformers 6.2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.checkpoint.checks import check_checkpoint
from vespa_colbert.checkpoint.dense import read_dense
from vespa_colbert.checkpoint.encoder_files import read_encoder
from vespa_colbert.checkpoint.facts import Checkpoint
from vespa_colbert.checkpoint.folder import (
    JsonObject,
    config_files,
    module_folder,
    read_object,
)
from vespa_colbert.checkpoint.module_list import (
    CONFIG_FILE,
    DENSE_TYPES,
    MODULES_FILE,
    TRANSFORMER_TYPES,
    module_roles,
    module_types,
    read_modules,
)
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.prompt_marker import moves_white_space, prompt_marker
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.skip_words import SkipWords, read_skip_words
from vespa_colbert.checkpoint.text_windows import DEFAULT_ORIGIN, read_text_windows
from vespa_colbert.checkpoint.tokenizer_facts import (
    TOKENIZER_FILE,
    Marker,
    TokenizerFacts,
    read_tokenizer,
)
from vespa_colbert.errors import CheckpointError
from vespa_colbert.files import digest_file

__all__ = ["NAME", "misfits", "read"]

NAME = "multi-vector"
MODEL_TYPE = "MultiVectorEncoder"
PYLATE_MODEL_TYPE = "ColBERT"
ROWS = "token_embeddings"

MODULES = "sentence_transformers.multi_vector_encoder.modules"
MASK_TYPES = frozenset({
    f"{MODULES}.MultiVectorMask",
    f"{MODULES}.multi_vector_mask.MultiVectorMask",
})
POOLING_TYPES = frozenset({
    f"{MODULES}.HierarchicalTokenPooling",
    f"{MODULES}.token_pooling.HierarchicalTokenPooling",
})
NORMALIZE_TYPES = frozenset({
    "sentence_transformers.base.modules.Normalize",
    "sentence_transformers.base.modules.normalize.Normalize",
    "sentence_transformers.models.Normalize",
    "sentence_transformers.models.Normalize.Normalize",
})
ROLES = {
    kind: role
    for role, kinds in (
        ("Transformer", TRANSFORMER_TYPES),
        ("Dense", DENSE_TYPES),
        ("MultiVectorMask", MASK_TYPES),
        ("Normalize", NORMALIZE_TYPES),
        ("HierarchicalTokenPooling", POOLING_TYPES),
    )
    for kind in kinds
}
ORDER = ("Transformer", "Dense", "Normalize", "HierarchicalTokenPooling")
"""The MultiVectorMask may stand anywhere behind the Transformer: it only says which rows score."""

SIMILARITIES = {"maxsim": False, "meanmaxsim": True}
# What PyLate writes and the library translates when it loads; its own saves have none of them.
PYLATE_KEYS = (
    "query_prefix",
    "document_prefix",
    "query_length",
    "document_length",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "skiplist_words",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModuleFolders:
    """Where the modules lie.

    Attributes:
        root: Folder of the Transformer.
        heads: Folders of the Dense layers, in order.
        mask: Path of the MultiVectorMask within the checkpoint.
        others: Folders of the other modules.
    """

    root: Path
    heads: tuple[Path, ...]
    mask: str
    others: tuple[Path, ...]


def misfits(folder: Path, _options: ReadOptions) -> tuple[str, ...]:
    """Return what keeps a folder from being of this layout; nothing if it is."""
    if not is_present(folder / MODULES_FILE):
        return (f"no {MODULES_FILE}",)
    model_type = read_object(folder, CONFIG_FILE, optional=True).values.get("model_type")
    if model_type == MODEL_TYPE:
        return ()
    undeclared = f"{CONFIG_FILE} does not say model_type {MODEL_TYPE}"
    if model_type == PYLATE_MODEL_TYPE:
        return (undeclared,)
    if any(kind in MASK_TYPES for kind in module_types(folder)):
        return ()
    return (undeclared, f"{MODULES_FILE} lists no MultiVectorMask")


def read(folder: Path, options: ReadOptions) -> Checkpoint:
    """Return the checkpoint in ``folder``; it says all of itself.

    Raises:
        CheckpointError: If a file is missing, damaged, contradicts another, names code, or asks for
            what Vespa's embedder cannot be made to do.
    """
    modules, config = _module_folders(folder), _config(folder)
    tokenizer = read_tokenizer(modules.root)
    layers = [read_dense(head) for head in modules.heads]
    encoder, weight_files = read_encoder(modules.root, options)
    windows = read_text_windows(modules.root, tokenizer, encoder.positions)
    skip = read_skip_words(read_object(folder, f"{modules.mask}/config.json"), tokenizer)
    query_marker = _marker(config, tokenizer, "query")
    document_marker = _marker(config, tokenizer, "document")
    pad_id, pad_origin = tokenizer.first_special("pad_token", "mask_token", "eos_token")
    folders = {folder, modules.root, folder / modules.mask, *modules.heads, *modules.others}
    paths = [*weight_files, *(path for _layer, path in layers), *config_files(folders)]
    return check_checkpoint(
        Checkpoint(
            path=folder,
            layout=NAME,
            encoder=encoder,
            projection=tuple(layer for layer, _path in layers),
            tokenizer=tokenizer,
            query_marker=query_marker,
            document_marker=document_marker,
            start_id=tokenizer.start_id,
            end_id=tokenizer.end_id,
            mask_id=windows.mask_id,
            pad_id=pad_id,
            max_query_tokens=windows.max_query_tokens,
            max_document_tokens=windows.max_document_tokens,
            query_expansion=windows.query_expansion,
            expansion_attended=windows.expansion_attended,
            skip_words=skip.words,
            skip_ids=tokenizer.ids(skip.words),
            lower_case=windows.lower_case,
            skip_queries=skip.queries_too,
            mean_score=_mean_score(config),
            provenance={**_provenance(config, skip), **windows.provenance, "pad_id": pad_origin},
            files={path.relative_to(folder).as_posix(): digest_file(path) for path in paths},
            warnings=tuple(_warnings(skip, tokenizer, query_marker, document_marker)),
        )
    )


def _module_folders(folder: Path) -> _ModuleFolders:
    """Return where the modules lie, the order of which must be one that can be exported.

    Raises:
        CheckpointError: For a module type that is not in the table, or another order.
    """
    modules = read_modules(folder)
    roles = module_roles(folder, modules, ROLES)
    _check_order(folder, roles)
    found: dict[str, list[Path]] = {role: [] for role in ROLES.values()}
    for role, module in zip(roles, modules, strict=True):
        found[role].append(module_folder(folder, module["path"], where=MODULES_FILE))
    for normalize in found["Normalize"]:
        _check_normalize(_module_config(folder, normalize))
    for pooling in found["HierarchicalTokenPooling"]:
        _check_pooling(_module_config(folder, pooling))
    return _ModuleFolders(
        root=found["Transformer"][0],
        heads=tuple(found["Dense"]),
        mask=found["MultiVectorMask"][0].relative_to(folder).as_posix(),
        others=(*found["Normalize"], *found["HierarchicalTokenPooling"]),
    )


def _check_order(folder: Path, roles: list[str]) -> None:
    """Return nothing if the modules are those that can be exported, in that order.

    Raises:
        CheckpointError: If one is missing, there are two, or they stand otherwise.
    """
    where = folder / MODULES_FILE
    missing = {
        "Dense": "the projection is missing",
        "MultiVectorMask": "nothing says which rows score",
        "Normalize": "MaxSim would be of rows of any length, and the model that Vespa's embedder "
        "runs ends with rows of unit length",
    }
    for role, meaning in missing.items():
        if role not in roles:
            raise CheckpointError(f"{where}: expected a {role} module, got none: {meaning}")
    rest = [role for role in roles if role != "MultiVectorMask"]
    singles = all(roles.count(role) == 1 for role in ("Transformer", "MultiVectorMask"))
    if not singles or roles[0] != "Transformer" or rest != sorted(rest, key=ORDER.index):
        raise CheckpointError(
            f"{where}: expected {', '.join(ORDER)} in this order and one MultiVectorMask behind "
            f"the Transformer, got {', '.join(roles)}"
        )


def _module_config(folder: Path, module: Path) -> JsonObject:
    return read_object(folder, f"{module.relative_to(folder).as_posix()}/config.json")


def _check_normalize(config: JsonObject) -> None:
    """Return nothing if the module works on token rows.

    Raises:
        CheckpointError: If it works on something else; the library's default is the pooled vector.
    """
    fed_by = config.text("module_input_name", "sentence_embedding")
    put_into = config.text("module_output_name", fed_by)
    if (fed_by, put_into) != (ROWS, ROWS):
        raise CheckpointError(
            f"{config.name}: expected module_input_name and module_output_name {ROWS!r}, got "
            f"{fed_by!r} and {put_into!r}: the token rows would not be of unit length"
        )


def _check_pooling(config: JsonObject) -> None:
    """Return nothing if pooling is off.

    Raises:
        CheckpointError: If it merges rows, which no ONNX graph or embedder does here.
    """
    factor = config.values.get("pool_factor", 1.0)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or factor != 1:
        raise CheckpointError(
            f"{config.name}: pool_factor: expected 1 (off), got {factor!r}: "
            "HierarchicalTokenPooling clusters the rows of a document, which Vespa's embedder "
            "cannot do"
        )


def _config(folder: Path) -> JsonObject:
    """Return the config of the model.

    Raises:
        CheckpointError: If it is of another kind of model, or says things twice.
    """
    config = read_object(folder, CONFIG_FILE)
    if (model_type := config.values.get("model_type")) != MODEL_TYPE:
        raise CheckpointError(
            f"{CONFIG_FILE}: model_type: expected {MODEL_TYPE!r}, got {model_type!r}; the library "
            "would build other modules than the listed ones"
        )
    if found := [key for key in PYLATE_KEYS if key in config.values]:
        raise CheckpointError(
            f"{CONFIG_FILE}: expected no settings of PyLate beside model_type {MODEL_TYPE}, got "
            f"{', '.join(found)}; load the model with sentence-transformers 6 and save it again"
        )
    return config


def _marker(config: JsonObject, tokenizer: TokenizerFacts, role: str) -> Marker | None:
    """Return the token that the prompt of a role amounts to, None where there is no prompt.

    Raises:
        CheckpointError: If it is no text, or not exactly one token.
    """
    prompts = config.values.get("prompts") or {}
    prompt = prompts.get(role) or "" if isinstance(prompts, dict) else None
    if not isinstance(prompt, str):
        raise CheckpointError(
            f"{CONFIG_FILE}: prompts: expected an object with a text for {role}, got {prompts!r}"
        )
    return prompt_marker(tokenizer, prompt, role) if prompt else None


def _mean_score(config: JsonObject) -> bool:
    """Return whether the score is divided by the rows of the query.

    Raises:
        CheckpointError: For a similarity that the library does not score token rows with.
    """
    name = config.text("similarity_fn_name", "maxsim")
    if name not in SIMILARITIES:
        raise CheckpointError(
            f"{CONFIG_FILE}: similarity_fn_name: expected one of {', '.join(SIMILARITIES)}, got "
            f"{name!r}"
        )
    return SIMILARITIES[name]


def _provenance(config: JsonObject, skip: SkipWords) -> dict[str, str]:
    prompts = config.values.get("prompts") or {}
    markers = {
        f"{role}_marker": f"{CONFIG_FILE}: prompts.{role}" if prompts.get(role) else DEFAULT_ORIGIN
        for role in ("query", "document")
    }
    return {
        **markers,
        "start_id": f"{TOKENIZER_FILE}: post_processor",
        "end_id": f"{TOKENIZER_FILE}: post_processor",
        "skip_words": skip.origin,
        "skip_queries": skip.tasks_origin,
        "mean_score": config.origin("similarity_fn_name", DEFAULT_ORIGIN),
    }


def _warnings(skip: SkipWords, tokenizer: TokenizerFacts, *markers: Marker | None) -> Iterator[str]:
    if skip.dropped:
        yield (
            "skip words that the vocabulary lacks are without effect, as in the library: "
            f"{' '.join(skip.dropped)}"
        )
    for marker in markers:
        if marker is not None and moves_white_space(tokenizer, marker):
            yield (
                f"a text that begins with white space gets other tokens behind {marker.text!r} in "
                "the library than in Vespa's embedder"
            )
