"""The modules of a sentence-transformers model of one vector a text, and their configs.

Nothing that a config names is imported: module types are looked up in a table.
Source: Pooling, Dense, Normalize and SentenceTransformer, sentence-transformers 6.2.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vespa_colbert.checkpoint.dense import POOLED_VECTOR
from vespa_colbert.checkpoint.dense_facts import POOLINGS, Pooling
from vespa_colbert.checkpoint.folder import JsonObject, module_folder, read_object
from vespa_colbert.checkpoint.module_list import (
    DENSE_TYPES,
    MODULES_FILE,
    TRANSFORMER_TYPES,
    module_roles,
    read_modules,
)
from vespa_colbert.checkpoint.multi_vector import NORMALIZE_TYPES
from vespa_colbert.errors import CheckpointError

__all__ = ["POOLING_TYPES", "DenseModules", "PoolingFacts", "read_dense_modules", "read_pooling"]

POOLING_TYPES = frozenset({
    "sentence_transformers.models.Pooling",
    "sentence_transformers.models.Pooling.Pooling",
    "sentence_transformers.sentence_transformer.modules.Pooling",
    "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
})
ROLES = {
    kind: role
    for role, kinds in (
        ("Transformer", TRANSFORMER_TYPES),
        ("Pooling", POOLING_TYPES),
        ("Dense", DENSE_TYPES),
        ("Normalize", NORMALIZE_TYPES),
    )
    for kind in kinds
}
ORDER = ("Transformer", "Pooling", "Dense", "Normalize")

FLAGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Key of an older config → the pooling that it switches on, in the order of concatenation."""

WIDTH_KEYS = ("embedding_dimension", "word_embedding_dimension")
DEFAULT_POOLING: Pooling = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseModules:
    """Where the modules lie.

    Attributes:
        root: Folder of the Transformer.
        pooling: Folder of the Pooling.
        heads: Folders of the Dense layers, in order.
        normalize: Whether a Normalize comes last.
    """

    root: Path
    pooling: Path
    heads: tuple[Path, ...]
    normalize: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolingFacts:
    """What the config of a Pooling says.

    Attributes:
        modes: How rows become one vector; several are put one behind the other.
        width: Components of a row.
        include_prompt: Whether the instruction's own rows count.
        where: File and key.
    """

    modes: tuple[Pooling, ...]
    width: int
    include_prompt: bool
    where: str


def read_dense_modules(folder: Path) -> DenseModules:
    """Return where the modules lie, the order of which must be one that can be exported.

    Raises:
        CheckpointError: For a module type that is not in the table, or another order.
    """
    modules = read_modules(folder)
    roles = module_roles(folder, modules, ROLES)
    _check_order(folder, roles)
    paths: dict[str, list[str]] = {role: [] for role in ORDER}
    for role, module in zip(roles, modules, strict=True):
        paths[role].append(module["path"])
    for path in paths["Normalize"]:
        _check_normalize(folder, path)
    return DenseModules(
        root=module_folder(folder, paths["Transformer"][0], where=MODULES_FILE),
        pooling=module_folder(folder, paths["Pooling"][0], where=MODULES_FILE),
        heads=tuple(module_folder(folder, path, where=MODULES_FILE) for path in paths["Dense"]),
        normalize=bool(paths["Normalize"]),
    )


def read_pooling(folder: Path, pooling: Path) -> PoolingFacts:
    """Return what the config of a Pooling says.

    Raises:
        CheckpointError: For a key or pooling that is not known, or no width.
    """
    config = read_object(folder, f"{pooling.relative_to(folder).as_posix()}/config.json")
    known = {*FLAGS, *WIDTH_KEYS, "pooling_mode", "include_prompt"}
    if unknown := config.values.keys() - known:
        raise CheckpointError(
            f"{config.name}: expected only {', '.join(sorted(known))}, got "
            f"{', '.join(sorted(unknown))}"
        )
    modes, key = _modes(config)
    width_key = next((key for key in WIDTH_KEYS if key in config), WIDTH_KEYS[0])
    return PoolingFacts(
        modes=modes,
        width=config.integer(width_key),
        include_prompt=config.flag("include_prompt", default=True),
        where=f"{config.name}: {key}",
    )


def _modes(config: JsonObject) -> tuple[tuple[Pooling, ...], str]:
    """Return the poolings and the key that says them.

    Raises:
        CheckpointError: If one is not known.
    """
    if "pooling_mode" not in config:
        keys = [key for key in FLAGS if config.flag(key, default=False)]
        return tuple(FLAGS[key] for key in keys) or (DEFAULT_POOLING,), ", ".join(keys) or "none"
    value = config.values["pooling_mode"]
    stated = value if isinstance(value, list) else [value]
    found = tuple(mode for mode in POOLINGS for each in stated if mode == each)
    if not stated or len(found) != len(stated):
        raise CheckpointError(
            f"{config.name}: pooling_mode: expected one or several of {', '.join(POOLINGS)}, got "
            f"{value!r}"
        )
    return tuple(mode for each in stated for mode in POOLINGS if mode == each), "pooling_mode"


def _check_order(folder: Path, roles: list[str]) -> None:
    """Return nothing if the modules are those that can be exported, in that order.

    Raises:
        CheckpointError: If not.
    """
    once = all(roles.count(role) == 1 for role in ("Transformer", "Pooling"))
    if not once or roles.count("Normalize") > 1 or roles != sorted(roles, key=ORDER.index):
        raise CheckpointError(
            f"{folder / MODULES_FILE}: expected one Transformer, one Pooling, Dense layers and at "
            f"most one Normalize in this order, got {', '.join(roles)}"
        )


def _check_normalize(folder: Path, relative: str) -> None:
    """Return nothing if the module works on the pooled vector.

    It has no files of its own in what releases before 6 wrote, and git keeps no empty folder.

    Raises:
        CheckpointError: If it works on something else, or lies outside the checkpoint.
    """
    parts = PurePosixPath(relative)
    if parts.is_absolute() or ".." in parts.parts:
        module_folder(folder, relative, where=MODULES_FILE)
    config = read_object(folder, f"{relative}/config.json", optional=True)
    for key in ("module_input_name", "module_output_name"):
        if config.text(key, POOLED_VECTOR) != POOLED_VECTOR:
            raise CheckpointError(
                f"{config.name}: {key}: expected {POOLED_VECTOR!r}, got {config.text(key)!r}: the "
                "pooled vector would not be of length 1"
            )
