"""Tiny models that stand beside a ColBERT one: dense embedders and cross-encoders, in numpy too."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.tiny_encoders import FAMILIES
from tests.vespa_java.tiny_package import SPEC, write_embedder
from vespa_colbert.export.cross_encoder_spec import CrossEncoderSpec
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.model_folder import (
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
)
from vespa_colbert.files import digest_file

__all__ = [
    "DENSE_DIM",
    "cross_logit",
    "dense_vector",
    "pair_processor",
    "write_colbert",
    "write_cross_encoder",
    "write_dense",
]

DENSE_DIM = 16
MOST_PLACES = 1024
"""Tokens of the longest text, and one."""

PAIRS = {"bert": "[CLS] $A [SEP] $B:1 [SEP]:1", "xlm-roberta": "<s> $A </s> </s> $B </s>"}


def write_colbert(path: Path, spec: EmbedderSpec = SPEC) -> ModelFolder:
    path.mkdir(parents=True, exist_ok=True)
    write_embedder(path)
    return ModelFolder(
        path=path,
        embedder=spec,
        packaging="native",
        checkpoint={},
        versions={},
        graph={},
        verification={},
        files={name: digest_file(path / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )


def write_dense(path: Path, spec: DenseSpec, family: str = "bert") -> Path:
    """Return a model folder: a row for each token that depends on its place, pooled if asked."""
    from onnx import TensorProto, helper, numpy_helper

    tokenizer = FAMILIES[family].tokenizer()
    shape = ["batch", "token"]
    is_pooled = spec.pooling == "none"
    inputs = [name for name in (spec.input_ids, spec.attention_mask, spec.token_type_ids) if name]
    nodes = [
        helper.make_node("Gather", ["table", spec.input_ids], ["rows"]),
        *_places(spec.input_ids),
        helper.make_node("Unsqueeze", ["numbered", "last"], ["column"]),
        # Looked up: a sine's last bit depends on what stands beside it in the batch.
        helper.make_node("Gather", ["sines", "column"], ["waves"]),
        helper.make_node("Add", ["rows", "waves"], ["summed" if is_pooled else spec.output]),
    ]
    if is_pooled:
        nodes.append(helper.make_node("ReduceSum", ["summed", "middle"], [spec.output], keepdims=0))
    row = ["batch", DENSE_DIM] if is_pooled else [*shape, DENSE_DIM]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in inputs],
        [helper.make_tensor_value_info(spec.output, TensorProto.FLOAT, row)],
        [
            numpy_helper.from_array(_table(DENSE_DIM), "table"),
            numpy_helper.from_array(np.sin(np.arange(MOST_PLACES)).astype(np.float32), "sines"),
            numpy_helper.from_array(np.array([2], np.int64), "last"),
            numpy_helper.from_array(np.array([1], np.int64), "middle"),
            numpy_helper.from_array(np.int64(1), "axis"),
        ],
    )
    return _folder(path, graph, tokenizer, {"dense": asdict(spec)})


def dense_vector(
    path: Path, spec: DenseSpec, text: str, tokens: int | None = None
) -> NDArray[np.float64]:
    """Return the vector of a text whose prepended words are in it already, cut to some tokens."""
    tokenizer = _tokenizer(path)
    tokenizer.no_truncation()
    if tokens is not None:
        tokenizer.enable_truncation(tokens)
    ids = np.array(tokenizer.encode(text).ids)
    rows = _table(DENSE_DIM)[ids].astype(np.float64)
    rows += np.sin(np.arange(1, len(ids) + 1, dtype=np.float64))[:, None]
    pooled = {"cls": rows[0], "mean": rows.mean(axis=0), "none": rows.sum(axis=0)}[spec.pooling]
    length = np.linalg.norm(pooled) if spec.normalize else 1.0
    return np.asarray(pooled / length, np.float64)


def write_cross_encoder(path: Path, spec: CrossEncoderSpec, family: str) -> Path:
    """Return a model folder: tanh of what tokens weigh, each times a wave over its place."""
    from onnx import TensorProto, helper, numpy_helper

    tokenizer = FAMILIES[family].tokenizer()
    tokenizer.post_processor = pair_processor(tokenizer, family)
    names = [spec.input_ids, spec.attention_mask]
    mask = helper.make_node("Cast", [spec.attention_mask], ["mask"], to=TensorProto.FLOAT)
    nodes = [
        helper.make_node("Gather", ["table", spec.input_ids], ["weights"]),
        mask,
        *_places(spec.attention_mask),
        helper.make_node("Sin", ["places"], ["waves"]),
        helper.make_node("Mul", ["weights", "waves"], ["waved"]),
    ]
    summed = "waved"
    if spec.token_type_ids:
        names.append(spec.token_type_ids)
        cast = helper.make_node("Cast", [spec.token_type_ids], ["kinds"], to=TensorProto.FLOAT)
        nodes += [cast, helper.make_node("Add", ["waved", "kinds"], ["typed"])]
        summed = "typed"
    nodes += [
        helper.make_node("Mul", [summed, "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "scale"], ["scaled"]),
        helper.make_node("Tanh", ["scaled"], [spec.output]),
    ]
    graph = helper.make_graph(
        nodes,
        "cross_encoder",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "token"]) for n in names],
        [helper.make_tensor_value_info(spec.output, TensorProto.FLOAT, ["batch", 1])],
        [
            numpy_helper.from_array(_table(1)[:, 0], "table"),
            numpy_helper.from_array(np.array([1], np.int64), "middle"),
            numpy_helper.from_array(np.float32(0.05), "scale"),
            numpy_helper.from_array(np.int64(1), "axis"),
        ],
    )
    return _folder(path, graph, tokenizer, {"cross_encoder": asdict(spec)})


def pair_processor(tokenizer: Any, family: str) -> Any:
    """Return the post-processor of a family's tokenizer, which knows pairs too."""
    from tokenizers import processors

    start, end = ("[CLS]", "[SEP]") if family == "bert" else ("<s>", "</s>")
    return processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=PAIRS[family],
        special_tokens=[(word, tokenizer.token_to_id(word)) for word in (start, end)],
    )


def cross_logit(path: Path, spec: CrossEncoderSpec, query: str, document: str) -> float:
    """Return the logit of a pair, put together and cut by the tokenizers library."""
    tokenizer = _tokenizer(path)
    tokenizer.enable_truncation(spec.max_tokens, strategy="only_second")
    pair = tokenizer.encode(query, document)
    waves = np.sin(np.arange(1, len(pair.ids) + 1, dtype=np.float64))
    parts = _table(1)[pair.ids, 0] * waves
    if spec.token_type_ids:
        parts += np.array(pair.type_ids)
    return float(np.tanh(0.05 * parts.sum()))


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path / TOKENIZER_FILE))


def _table(dim: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=(400, dim)).astype(np.float32)


def _places(counted: str) -> list[Any]:
    """Return nodes that number the tokens from 1: (batch, token) float."""
    from onnx import TensorProto, helper

    return [
        helper.make_node("Mul", [counted, "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "axis"], ["ones"]),
        helper.make_node("CumSum", ["ones", "axis"], ["numbered"]),
        helper.make_node("Cast", ["numbered"], ["places"], to=TensorProto.FLOAT),
    ]


def _folder(path: Path, graph: Any, tokenizer: Any, facts: dict[str, Any]) -> Path:
    from onnx import checker, helper, numpy_helper, save

    path.mkdir(parents=True)
    graph.initializer.append(numpy_helper.from_array(np.int64(0), "nothing"))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, str(path / MODEL_FILE))
    tokenizer.save(str(path / TOKENIZER_FILE))
    (path / "embedder.json").write_text(json.dumps(facts), encoding="utf-8")
    return path
