from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.bare_model_folders import FACTS

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[Q]", "[D]")
WORDS = ("red", "fox", "##es", "café", "naïve", "über")
DIM = 16

SPEC = replace(FACTS, dim=DIM, max_document_tokens=12, max_tokens=16)

VOCABULARY = (
    *SPECIALS,
    *WORDS,
    *string.punctuation,
    *string.ascii_lowercase,
    *string.digits,
    *(f"##{character}" for character in string.ascii_lowercase + string.digits),
    *"狐狸日本語אבגשלוםمرحبا🦊",
)


def token(word: str) -> int:
    """Return the id of a word of the vocabulary."""
    return VOCABULARY.index(word)


def table(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return (rows, DIM) float32 embeddings: multiples of 1/64, which sums keep exact."""
    generator = np.random.default_rng(7)
    return (generator.integers(-64, 65, (rows, DIM)) / 64).astype(np.float32)


def write_tokenizer(
    path: Path,
    vocabulary: tuple[str, ...],
    *,
    truncation: dict[str, Any] | None = None,
    padding: dict[str, Any] | None = None,
) -> None:
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    numbered = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(numbered, unk_token=SPECIALS[1]))
    tokenizer.normalizer = BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in SPECIALS])
    if padding is not None:
        tokenizer.enable_padding(**padding)
    if truncation:
        tokenizer.enable_truncation(**truncation)
    tokenizer.save(str(path))


def write_model(
    path: Path,
    rows: np.ndarray[Any, np.dtype[np.float32]],
    *,
    names: tuple[str, str, str] = ("input_ids", "attention_mask", "contextual"),
) -> None:
    """Write a model: each row plus half the mean of what is attended to, normalised."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    ids, mask, output = names
    axes = ["batch", "sequence"]
    constants = {
        "table": rows,
        "last": np.array([2], np.int64),
        "middle": np.array([1], np.int64),
        "half": np.array(0.5, np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", ids], ["rows"]),
            helper.make_node("Cast", [mask], ["weights"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["weights", "last"], ["columns"]),
            helper.make_node("Mul", ["rows", "columns"], ["attended"]),
            helper.make_node("ReduceSum", ["attended", "middle"], ["sums"]),
            helper.make_node("ReduceSum", ["columns", "middle"], ["counts"]),
            helper.make_node("Div", ["sums", "counts"], ["means"]),
            helper.make_node("Mul", ["means", "half"], ["context"]),
            helper.make_node("Add", ["rows", "context"], ["mixed"]),
            helper.make_node("ReduceL2", ["mixed"], ["norms"], axes=[2]),
            helper.make_node("Div", ["mixed", "norms"], [output]),
        ],
        "rows_in_context",
        [
            helper.make_tensor_value_info(ids, TensorProto.INT64, axes),
            helper.make_tensor_value_info(mask, TensorProto.INT64, axes),
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [*axes, rows.shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, str(path))
