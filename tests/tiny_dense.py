"""Tiny models of one vector a text, in the form that sentence-transformers writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.tiny_checkpoint import HIDDEN, write_json
from tests.tiny_encoders import FAMILIES, POSITIONS, build_family

DENSE_DIM = 12
OLD = "sentence_transformers.models"
TRANSFORMER, POOLING, DENSE, NORMALIZE = (
    f"{OLD}.{name}" for name in ("Transformer", "Pooling", "Dense", "Normalize")
)


def build_tiny_dense(
    folder: Path,
    family: str = "bert",
    *,
    pooling: str | Sequence[str] = "cls",
    normalize: bool = True,
    heads: int = 0,
    config: Mapping[str, Any] | None = None,
    max_tokens: int = POSITIONS,
) -> Path:
    """Return ``folder`` with a dense checkpoint.

    Args:
        folder: Where; must not exist.
        family: Of ``FAMILIES``.
        pooling: As the config of Pooling names it, several to be put one behind the other.
        normalize: Whether a Normalize comes last.
        heads: Dense layers, each with tanh and a bias, the first from the pooled width.
        config: Of the model: prompts, similarity.
        max_tokens: Tokens of a text.
    """
    import torch

    build_family(FAMILIES[family], folder, query_prefix="", document_prefix="")
    shutil.rmtree(folder / "1_Dense")
    modes = [pooling] if isinstance(pooling, str) else list(pooling)
    types, paths = [TRANSFORMER, POOLING], ["", "1_Pooling"]
    width, generator = HIDDEN * len(modes), torch.Generator().manual_seed(11)
    (folder / "1_Pooling").mkdir()
    shown = {"word_embedding_dimension": HIDDEN, "pooling_mode": pooling}
    write_json(folder / "1_Pooling" / "config.json", shown)
    for place in range(heads):
        head = folder / f"{place + 2}_Dense"
        write_head(head, width, generator)
        types.append(DENSE)
        paths.append(head.name)
        width = DENSE_DIM
    if normalize:
        # Nothing is in its folder, so that there is none.
        types.append(NORMALIZE)
        paths.append(f"{len(paths)}_Normalize")
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": kind}
        for place, (path, kind) in enumerate(zip(paths, types, strict=True))
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / "config_sentence_transformers.json", dict(config or {}))
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False}
    )
    return folder


def write_head(head: Path, width: int, generator: Any) -> None:
    """Write a Dense layer with tanh and a bias.

    Args:
        head: Its folder; must not exist.
        width: Components that it takes.
        generator: Torch's, of its numbers.
    """
    import torch
    from safetensors.torch import save_file

    head.mkdir()
    tensors = {
        "linear.weight": torch.randn(DENSE_DIM, width, generator=generator) * 0.3,
        "linear.bias": torch.randn(DENSE_DIM, generator=generator),
    }
    save_file(tensors, head / "model.safetensors")
    config = {
        "in_features": width,
        "out_features": DENSE_DIM,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    write_json(head / "config.json", config)


def edit_modules(folder: Path, **types: str) -> None:
    """Give modules other types, by place: ``_1="…"``."""
    modules = json.loads((folder / "modules.json").read_text())
    for place, kind in types.items():
        modules[int(place[1:])]["type"] = kind
    write_json(folder / "modules.json", modules)
