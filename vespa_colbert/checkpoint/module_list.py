"""``modules.json``: the modules of a sentence-transformers model, in order, each in a folder.

Nothing that the file names is imported: types are looked up in tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vespa_colbert.checkpoint.folder import read_json
from vespa_colbert.errors import CheckpointError

__all__ = [
    "CONFIG_FILE",
    "DENSE_TYPES",
    "MODULES_FILE",
    "SENTENCE_CONFIG_FILES",
    "TRANSFORMER_TYPES",
    "module_roles",
    "module_types",
    "read_modules",
]

MODULES_FILE = "modules.json"
CONFIG_FILE = "config_sentence_transformers.json"
SENTENCE_CONFIG_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Which of these a model has depends on the release that saved it; the library takes the first."""

TRANSFORMER_TYPES = frozenset({
    "sentence_transformers.models.Transformer",
    "sentence_transformers.models.Transformer.Transformer",
    "sentence_transformers.base.modules.transformer.Transformer",
})
DENSE_TYPES = frozenset({
    "pylate.models.Dense",
    "pylate.models.Dense.Dense",
    "sentence_transformers.models.Dense",
    "sentence_transformers.models.Dense.Dense",
    "sentence_transformers.base.modules.dense.Dense",
})


def read_modules(folder: Path) -> list[Mapping[str, Any]]:
    """Return the entries of ``modules.json``.

    Raises:
        CheckpointError: If it is not a list of objects with type and path.
    """
    modules = read_json(folder, MODULES_FILE)
    if not isinstance(modules, list) or not modules:
        raise CheckpointError(f"{folder / MODULES_FILE}: expected a list of modules, got another")
    for module in modules:
        if not isinstance(module, dict) or not all(
            isinstance(module.get(key), str) for key in ("type", "path")
        ):
            raise CheckpointError(
                f"{folder / MODULES_FILE}: expected type and path of each module, got {module!r}"
            )
    _check_order(folder, modules)
    return modules


def _check_order(folder: Path, modules: list[Mapping[str, Any]]) -> None:
    """Return nothing if the modules stand in the order of their numbers, each by a name of its own.

    The library keeps one module of a name, the last, at the place of the first.

    Raises:
        CheckpointError: If not.
    """
    for place, module in enumerate(modules):
        if module.get("idx", place) != place:
            raise CheckpointError(
                f"{folder / MODULES_FILE}: module {place}: expected idx {place}, got "
                f"{module['idx']!r}"
            )
        if any(module.get("name", place) == each.get("name") for each in modules[:place]):
            raise CheckpointError(
                f"{folder / MODULES_FILE}: module {place}: expected a name of its own, got "
                f"{module['name']!r} again"
            )


def module_types(folder: Path) -> list[str]:
    """Return the dotted names of the modules, in order."""
    return [module["type"] for module in read_modules(folder)]


def module_roles(
    folder: Path, modules: Sequence[Mapping[str, Any]], roles: Mapping[str, str]
) -> list[str]:
    """Return what each module does.

    Args:
        folder: Has ``modules.json``.
        modules: Its entries.
        roles: Dotted name → what such a module does.

    Raises:
        CheckpointError: For a type that is not among them.
    """
    for place, module in enumerate(modules):
        if module["type"] not in roles:
            raise CheckpointError(
                f"{folder / MODULES_FILE}: module {place}: expected one of "
                f"{', '.join(sorted(roles))}, got {module['type']!r}; nothing that a config names "
                "is imported"
            )
    return [roles[module["type"]] for module in modules]
