"""The PyLate layout: ``modules.json`` lists a Transformer and then one to several Dense layers.

Nothing that a config names is imported: module types are looked up in a table.
Source: ColBERT and ColBERT.tokenize, PyLate 1.4.0.
"""

from __future__ import annotations

import string
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
    SENTENCE_CONFIG_FILES,
    TRANSFORMER_TYPES,
    module_types,
    read_modules,
)
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.text_windows import check_sides
from vespa_colbert.checkpoint.tokenizer_facts import (
    TOKENIZER_FILE,
    Marker,
    TokenizerFacts,
    read_tokenizer,
)
from vespa_colbert.errors import CheckpointError
from vespa_colbert.files import digest_file

__all__ = [
    "CONFIG_FILE",
    "DENSE_TYPE",
    "MODULES_FILE",
    "NAME",
    "TRANSFORMER_TYPE",
    "PyLateSettings",
    "misfits",
    "read",
]

NAME = "pylate"
TRANSFORMER_TYPE = "sentence_transformers.models.Transformer"
DENSE_TYPE = "pylate.models.Dense.Dense"
SETTINGS_KEYS = ("query_prefix", "document_prefix", "query_length", "document_length")
# Our name of a fact → the key of the config.
FACT_KEYS = {
    "query_marker": "query_prefix",
    "document_marker": "document_prefix",
    "max_query_tokens": "query_length",
    "max_document_tokens": "document_length",
    "query_expansion": "do_query_expansion",
    "expansion_attended": "attend_to_expansion_tokens",
    "skip_words": "skiplist_words",
}
DEFAULT_ORIGIN = "default of PyLate 1.4.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PyLateSettings:
    """What ``config_sentence_transformers.json`` says of a PyLate model, by PyLate's names.

    Attributes:
        query_prefix: Marker text of queries; empty for no marker.
        document_prefix: The same for documents.
        query_length: Tokens of a query, all special tokens included.
        document_length: Tokens of a document, counted alike.
        do_query_expansion: Whether queries are filled up with mask tokens that score.
        attend_to_expansion_tokens: Whether real tokens attend to them.
        skiplist_words: Words whose rows are left out of documents after encoding.
    """

    query_prefix: str = "[Q] "
    document_prefix: str = "[D] "
    query_length: int = 32
    document_length: int = 180
    do_query_expansion: bool = True
    attend_to_expansion_tokens: bool = False
    skiplist_words: tuple[str, ...] = tuple(string.punctuation)


def misfits(folder: Path, _options: ReadOptions) -> tuple[str, ...]:
    """Return what keeps a folder from being of this layout; nothing if it is."""
    if not is_present(folder / MODULES_FILE):
        return (f"no {MODULES_FILE}",)
    config = read_object(folder, CONFIG_FILE, optional=True)
    declared = config.values.get("model_type") == "ColBERT"
    if declared or any(key in config for key in SETTINGS_KEYS):
        return ()
    if any(kind in DENSE_TYPES for kind in module_types(folder)):
        return ()
    return (
        f"{MODULES_FILE} lists no Dense module",
        f"{CONFIG_FILE} has none of {', '.join(SETTINGS_KEYS)}",
    )


def read(folder: Path, options: ReadOptions) -> Checkpoint:
    """Return the checkpoint in ``folder``; it says all of itself.

    A length counts all tokens of a text: PyLate lets the tokenizer cut at length - 1 with start and
    end token included and then inserts the marker; without a marker it cuts at the length itself.
    So ``query_length`` is ``max_query_tokens`` as it stands, and leaves the same room for content
    as Vespa's embedder does (length - 3).

    Raises:
        CheckpointError: If a file is missing, damaged, contradicts another, or names code.
    """
    root, *heads = _module_folders(folder)
    config = read_object(folder, CONFIG_FILE, optional=True)
    settings, tokenizer = _settings(config), read_tokenizer(root)
    check_sides(root, tokenizer, expanded=settings.do_query_expansion)
    layers = [read_dense(head) for head in heads]
    encoder, weight_files = read_encoder(root, options)
    weights = [*weight_files, *(path for _layer, path in layers)]
    paths = [*weights, *config_files({folder, root, *heads})]
    mask_id, mask_origin = tokenizer.first_special("mask_token", "eos_token", "pad_token")
    pad_id, pad_origin = tokenizer.first_special("pad_token", "mask_token", "eos_token")
    lower_case, lower_case_origin = _lower_case(root)
    checkpoint = Checkpoint(
        path=folder,
        layout=NAME,
        encoder=encoder,
        projection=tuple(layer for layer, _path in layers),
        tokenizer=tokenizer,
        query_marker=_marker(tokenizer, settings.query_prefix, "query"),
        document_marker=_marker(tokenizer, settings.document_prefix, "document"),
        start_id=tokenizer.start_id,
        end_id=tokenizer.end_id,
        mask_id=mask_id,
        pad_id=pad_id,
        max_query_tokens=settings.query_length,
        max_document_tokens=settings.document_length,
        query_expansion=settings.do_query_expansion,
        expansion_attended=settings.do_query_expansion and settings.attend_to_expansion_tokens,
        skip_words=settings.skiplist_words,
        skip_ids=tokenizer.ids(settings.skiplist_words),
        lower_case=lower_case,
        strip=True,
        marker_second=True,
        provenance=_provenance(config)
        | {"mask_id": mask_origin, "pad_id": pad_origin, "lower_case": lower_case_origin},
        files={path.relative_to(folder).as_posix(): digest_file(path) for path in paths},
    )
    return check_checkpoint(checkpoint)


def _settings(config: JsonObject) -> PyLateSettings:
    """Return the settings, with PyLate's defaults where the config says nothing.

    Raises:
        CheckpointError: For a value of another type, or a prompt put before every text.
    """
    default = PyLateSettings()
    _refuse_prompt(config)
    return PyLateSettings(
        query_prefix=config.text("query_prefix", default.query_prefix),
        document_prefix=config.text("document_prefix", default.document_prefix),
        query_length=config.integer("query_length", default.query_length),
        document_length=config.integer("document_length", default.document_length),
        do_query_expansion=config.flag("do_query_expansion", default=default.do_query_expansion),
        attend_to_expansion_tokens=config.flag(
            "attend_to_expansion_tokens", default=default.attend_to_expansion_tokens
        ),
        skiplist_words=config.texts("skiplist_words", default.skiplist_words),
    )


def _provenance(config: JsonObject) -> dict[str, str]:
    return {
        **{fact: config.origin(key, DEFAULT_ORIGIN) for fact, key in FACT_KEYS.items()},
        "start_id": f"{TOKENIZER_FILE}: post_processor",
        "end_id": f"{TOKENIZER_FILE}: post_processor",
    }


def _refuse_prompt(config: JsonObject) -> None:
    """Return nothing unless the model puts a prompt text before every query and document.

    Raises:
        CheckpointError: If ``default_prompt_name`` names a prompt that is not empty.
    """
    prompts = config.values.get("prompts") or {}
    name = config.text("default_prompt_name", "")
    if not isinstance(prompts, dict):
        raise CheckpointError(f"{CONFIG_FILE}: prompts: expected an object, got {prompts!r}")
    if prompts.get(name):
        raise CheckpointError(
            f"{CONFIG_FILE}: default_prompt_name: expected none, got {name!r} "
            f"({prompts[name]!r} before every text), which cannot be reproduced"
        )


def _marker(tokenizer: TokenizerFacts, prefix: str, role: str) -> Marker | None:
    return tokenizer.marker(prefix, role) if prefix else None


def _module_folders(folder: Path) -> list[Path]:
    """Return the folder of the Transformer and then those of the Dense layers.

    Raises:
        CheckpointError: For a module type that is not in the table, or another order.
    """
    modules = read_modules(folder)
    for place, module in enumerate(modules):
        known = DENSE_TYPES if place else TRANSFORMER_TYPES
        if module["type"] not in known:
            raise CheckpointError(
                f"{folder / MODULES_FILE}: module {place}: expected one of "
                f"{', '.join(sorted(known))}, got {module['type']!r}; nothing that a config names "
                "is imported"
            )
    if len(modules) == 1:
        raise CheckpointError(
            f"{folder / MODULES_FILE}: expected a Dense module after the Transformer, got none: "
            "the projection is missing, and a library would make up a random one"
        )
    return [module_folder(folder, module["path"], where=MODULES_FILE) for module in modules]


def _lower_case(root: Path) -> tuple[bool, str]:
    """Return whether the library lower-cases a text itself, and where that is said."""
    for name in SENTENCE_CONFIG_FILES:
        config = read_object(root, name, optional=True)
        if "do_lower_case" in config:
            return config.flag("do_lower_case"), f"{name}: do_lower_case"
    return False, DEFAULT_ORIGIN
