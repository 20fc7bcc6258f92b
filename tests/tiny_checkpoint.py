"""A tiny late-interaction checkpoint in the PyLate layout, its files written by hand."""

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HIDDEN, DIM, POSITIONS = 16, 8, 64
LETTERS = tuple(string.ascii_lowercase)
SPECIALS = ("[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = (*SPECIALS, *string.punctuation, *LETTERS, *(f"##{c}" for c in LETTERS), "rose", "is")
IDS = {token: place for place, token in enumerate(VOCABULARY)}

SETTINGS: dict[str, Any] = {
    "model_type": "ColBERT",
    "query_prefix": "[unused0]",
    "document_prefix": "[unused1]",
    "query_length": 10,
    "document_length": 20,
    "do_query_expansion": True,
    "attend_to_expansion_tokens": False,
    "skiplist_words": list(string.punctuation),
}
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
]
DENSE = {
    "in_features": HIDDEN,
    "out_features": DIM,
    "bias": False,
    "activation_function": "torch.nn.modules.linear.Identity",
    "use_residual": False,
}


def build_tiny_checkpoint(folder: Path) -> Path:
    """Return ``folder`` with a 2-layer BERT of random weights and a projection to 8 components."""
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=POSITIONS,
        pad_token_id=0,
    )
    model = transformers.BertModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # No bias stays 0 and no scale stays 1: a forgotten one would show.
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    _write_tokenizer(folder)
    dense = folder / "1_Dense"
    dense.mkdir()
    save_file({"linear.weight": torch.randn(DIM, HIDDEN)}, dense / "model.safetensors")
    write_json(dense / "config.json", DENSE)
    write_json(folder / "modules.json", MODULES)
    write_json(folder / "config_sentence_transformers.json", SETTINGS)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 31, "do_lower_case": False})
    return folder


@pytest.fixture(scope="session", name="tiny_checkpoint")
def tiny_checkpoint_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid checkpoint folder; not to be changed."""
    return build_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(name="copy")
def copy_fixture(tiny_checkpoint: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy that a test may change."""
    return lambda: Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def edit_json(path: Path, **changes: Any) -> None:
    """Set members of a JSON object; None removes one."""
    values = json.loads(path.read_text()) | changes
    write_json(path, {key: value for key, value in values.items() if value is not None})


def edit_tensors(path: Path, **changes: Any) -> None:
    """Replace or add tensors of a file, names with ``__`` for dots; None removes one."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    for name, tensor in changes.items():
        tensors.pop(name.replace("__", "."), None)
        if tensor is not None:
            tensors[name.replace("__", ".")] = tensor
    save_file(tensors, path)


def write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document))


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(IDS, unk_token=VOCABULARY[3]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", IDS["[CLS]"]), ("[SEP]", IDS["[SEP]"])],
    )
    # What PyLate leaves behind in a saved tokenizer.
    tokenizer.enable_truncation(31)
    tokenizer.enable_padding(length=31, pad_id=IDS["[MASK]"], pad_token=SPECIALS[-1])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
        },
    )
