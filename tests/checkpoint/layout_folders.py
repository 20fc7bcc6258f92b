"""One tiny checkpoint in four layouts, and the names under which each keeps its parts."""

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tiny_checkpoint import (
    DENSE,
    DIM,
    HIDDEN,
    IDS,
    LETTERS,
    POSITIONS,
    build_tiny_checkpoint,
    edit_json,
    write_json,
)

WEIGHTS = "model.safetensors"
MODULES_FILE = "modules.json"

# sentence-transformers 6: the files that the library itself saves.
BASE = "sentence_transformers.base.modules"
MULTI_VECTOR = "sentence_transformers.multi_vector_encoder.modules"
TYPES = {
    "": f"{BASE}.transformer.Transformer",
    "1_Dense": f"{BASE}.dense.Dense",
    "2_MultiVectorMask": f"{MULTI_VECTOR}.multi_vector_mask.MultiVectorMask",
    "3_Normalize": f"{BASE}.normalize.Normalize",
}
ROWS = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
HEAD = {key: value for key, value in DENSE.items() if key != "use_residual"} | ROWS
MASK = {
    "skiplist_words": list(string.punctuation),
    "skiplist_tasks": ["document"],
    "keep_only_token_ids": None,
}
PROMPTS = {"query": "[unused0]", "document": "[unused1]"}
MODEL = {
    "model_type": "MultiVectorEncoder",
    "prompts": PROMPTS,
    "default_prompt_name": None,
    "similarity_fn_name": None,
}
EXPANSION = {"strategy": "fixed", "attend": False, "token": None, "length": 10}
TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
SENTENCE = {
    "transformer_task": "feature-extraction",
    "modality_config": TEXT,
    "module_output_name": "token_embeddings",
    "document_length": 20,
    "query_expansion": EXPANSION,
}
MODEL_FILE = "config_sentence_transformers.json"
SENTENCE_FILE = "sentence_bert_config.json"
MASK_FILE = "2_MultiVectorMask/config.json"
NORMALIZE_FILE = "3_Normalize/config.json"
TOKENIZER_FILE = "tokenizer_config.json"

# Stanford's: what colbert-ai writes, less the keys of training and search.
METADATA = "artifact.metadata"
VALUES: dict[str, Any] = {
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
    "query_token": "[Q]",
    "doc_token": "[D]",
    "checkpoint": "somewhere/else",
    "model_name": None,
    "dim": DIM,
    "doc_maxlen": 20,
    "mask_punctuation": True,
    "query_maxlen": 10,
    "attend_to_mask_tokens": False,
    "interaction": "colbert",
    "similarity": "cosine",
    "pool_factor": 1,
    "nbits": 2,
    "meta": {"version": "colbert-v0.4"},
}

# BGE-M3: pieces of a Metaspace tokenizer.
M3_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
M3_PIECES = (
    *M3_SPECIALS,
    *("▁", "."),
    *LETTERS,
    *(f"▁{letter}" for letter in LETTERS),
    "<mask>",
)
M3_HEAD = "colbert_linear.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutFiles:
    """Where a layout keeps what can be damaged.

    Attributes:
        layout: Its name.
        build: Makes a folder.
        head: File with the projection.
        head_name: Name of the projection's weight in it.
        prefix: What stands before the encoder's tensor names.
        start: The start token.
        start_id: Its id.
        unknown: The unknown token.
        words: A token of the vocabulary that is no special one.
        rows: Rows of the token embedding.
    """

    layout: str
    build: Callable[[Path], Path]
    head: str
    head_name: str = "linear.weight"
    prefix: str = ""
    start: str = "[CLS]"
    unknown: str = "[UNK]"
    word: str = "rose"
    rows: int = len(IDS)
    start_id: int = IDS["[CLS]"]

    def names(self) -> Mapping[str, Any]:
        """Return what the expected words of a message may name between braces."""
        return {
            **{key: getattr(self, key) for key in ("layout", "head", "head_name", "prefix")},
            **{key: getattr(self, key) for key in ("start", "unknown", "word", "start_id")},
            "rows": self.rows,
            "last": self.rows - 1,
            "hidden": HIDDEN,
            "dim": DIM,
            "positions": POSITIONS,
        }


def module_entries(types: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"idx": place, "name": str(place), "path": path, "type": kind}
        for place, (path, kind) in enumerate(types.items())
    ]


def as_multi_vector(folder: Path) -> Path:
    """Turn the tiny PyLate checkpoint into one of sentence-transformers 6."""
    for name in ("2_MultiVectorMask", "3_Normalize"):
        (folder / name).mkdir()
    for name, document in (
        (MODULES_FILE, module_entries(TYPES)),
        (MODEL_FILE, MODEL),
        (SENTENCE_FILE, SENTENCE),
        ("1_Dense/config.json", HEAD),
        (MASK_FILE, MASK),
        (NORMALIZE_FILE, ROWS),
    ):
        write_json(folder / name, document)
    edit_json(
        folder / TOKENIZER_FILE,
        model_max_length=POSITIONS,
        padding_side="right",
        truncation_side="right",
    )
    return folder


def build_multi_vector(folder: Path) -> Path:
    return as_multi_vector(build_tiny_checkpoint(folder))


def build_stanford(folder: Path) -> Path:
    """Return ``folder`` with the tiny checkpoint as colbert-ai saves it."""
    from safetensors.torch import load_file, save_file

    build_tiny_checkpoint(folder)
    tensors = {f"bert.{name}": each for name, each in load_file(folder / WEIGHTS).items()}
    save_file({**tensors, **load_file(folder / "1_Dense" / WEIGHTS)}, folder / WEIGHTS)
    edit_json(folder / "config.json", architectures=["HF_ColBERT"])
    shutil.rmtree(folder / "1_Dense")
    for name in (MODULES_FILE, MODEL_FILE, SENTENCE_FILE):
        (folder / name).unlink()
    write_json(folder / METADATA, VALUES)
    return folder


def build_bge_m3(folder: Path) -> Path:
    """Return ``folder`` with an XLM-R of two layers and a biased head, none of it in a pickle."""
    import torch
    from safetensors.torch import save_file

    m3_encoder(M3_PIECES, POSITIONS).save_pretrained(folder)
    write_m3_tokenizer(folder, M3_PIECES)
    save_file({"weight": torch.randn(DIM, HIDDEN), "bias": torch.randn(DIM)}, folder / M3_HEAD)
    return folder


def m3_encoder(pieces: Sequence[str], positions: int) -> Any:
    """Return an XLM-R of two layers, always the same random weights."""
    import torch
    import transformers

    torch.manual_seed(11)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(pieces),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        # XLM-R counts positions from pad_token_id + 1.
        max_position_embeddings=positions + 2,
        type_vocab_size=1,
        pad_token_id=1,
    )
    return transformers.XLMRobertaModel(config)


def write_m3_tokenizer(folder: Path, pieces: Sequence[str]) -> None:
    """Write the files of a Metaspace tokenizer; the pieces begin with ``M3_SPECIALS``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([*M3_SPECIALS, "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    write_json(folder / TOKENIZER_FILE, roles)


PYLATE = LayoutFiles(layout="pylate", build=build_tiny_checkpoint, head="1_Dense/model.safetensors")
STANFORD = LayoutFiles(layout="stanford", build=build_stanford, head=WEIGHTS, prefix="bert.")
MULTI = LayoutFiles(
    layout="multi-vector", build=build_multi_vector, head="1_Dense/model.safetensors"
)
BGE_M3 = LayoutFiles(
    layout="bge-m3",
    build=build_bge_m3,
    head=M3_HEAD,
    head_name="weight",
    start="<s>",
    unknown="<unk>",
    word="▁r",
    rows=len(M3_PIECES),
    start_id=0,
)
LAYOUTS = (PYLATE, STANFORD, MULTI, BGE_M3)
MODULAR = (PYLATE, MULTI)
"""Those with a list of modules."""


def read_document(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
