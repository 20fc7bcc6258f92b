"""Small packages to be validated: one that is good, and what is put into it to make it bad."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "COMPONENT",
    "SCHEMA",
    "SERVICES",
    "TOKENIZER",
    "write_model",
    "write_package",
    "write_tokenizer",
]

SCHEMA = """schema doc {
    document doc {
        field text type string {
            indexing: index | summary
            index: enable-bm25
        }
        field plain type string {
            indexing: index
        }
        field rows type tensor<float>(dt{},x[16]) {
            indexing: attribute
        }
        field half type tensor<bfloat16>(dt{},x[16]) {
            indexing: attribute
        }
        field long type tensor<float>(part{},dt{},x[16]) {
            indexing: attribute
        }
        field vector type tensor<float>(x[16]) {
            indexing: attribute | index
            index {
                hnsw {
                    max-links-per-node: 8
                }
            }
        }
        field number type int {
            indexing: attribute
        }
    }
    field made type tensor<int8>(dt{},x[2]) {
        indexing: input text | embed colbert | attribute
    }
    rank-profile base {
        inputs {
            query(qt) tensor<float>(qt{},x[16])
            query(weight) double: 0.5
        }
        function max_sim() {
            expression: sum(reduce(sum(query(qt) * attribute(rows), x), max, dt), qt)
        }
        function scaled(value) {
            expression: value * query(weight)
        }
        first-phase {
            expression: bm25(text) + attribute(number)
        }
        second-phase {
            expression: scaled(max_sim)
            total-rerank-count: 50
        }
    }
    rank-profile more inherits base {
        global-phase {
            expression: normalize_linear(max_sim) + reciprocal_rank(bm25(text), 60)
        }
        match-features: max_sim closeness(field,vector)
    }
}
"""
SERVICES = """<?xml version="1.0" encoding="utf-8"?>
<services version="1.0" minimum-required-vespa-version="8.700.24">
    <container id="default" version="1.0">
        <search/>
        <document-api/>
        {components}
        <nodes><node hostalias="node1"/></nodes>
    </container>
    <content id="content" version="1.0">
        <min-redundancy>1</min-redundancy>
        <documents>
            <document type="doc" mode="index"/>
        </documents>
        <nodes>
            <node hostalias="node1" distribution-key="0"/>
        </nodes>
    </content>
</services>
"""

COMPONENT = """<component id="colbert" type="colbert-embedder">
            <transformer-model path="files/model.onnx"/>
            <tokenizer-model path="files/tokenizer.json"/>
            <max-tokens>512</max-tokens>
            <max-query-tokens>32</max-query-tokens>
            <max-document-tokens>128</max-document-tokens>
            <transformer-start-sequence-token>2</transformer-start-sequence-token>
            <transformer-end-sequence-token>3</transformer-end-sequence-token>
            <transformer-mask-token>4</transformer-mask-token>
            <transformer-pad-token>0</transformer-pad-token>
            <query-token-id>5</query-token-id>
            <document-token-id>6</document-token-id>
        </component>"""

TOKENIZER: Mapping[str, Any] = {
    "truncation": None,
    "added_tokens": [],
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "vocab": {
            word: place
            for place, word in enumerate((
                "[PAD]",
                "[UNK]",
                "[CLS]",
                "[SEP]",
                "[MASK]",
                "[Q]",
                "[D]",
                "a",
                "b",
            ))
        },
    },
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
}


def write_model(
    path: Path,
    *,
    width: int = 16,
    inputs: tuple[str, ...] = ("input_ids", "attention_mask"),
    output: str = "contextual",
    weight: float = 1.0,
    positions: int = 512,
    opset: int = 17,
    is_external: bool = False,
) -> None:
    """Write an ONNX graph that has the names and weights wanted; it is never run."""
    from onnx import TensorProto, helper, numpy_helper, save

    axes = ["batch", "sequence"]
    table = numpy_helper.from_array(np.full((9, width), weight, np.float32), "table")
    if is_external:
        table.data_location = TensorProto.EXTERNAL
        table.ClearField("raw_data")
        table.external_data.add(key="location", value="model.onnx.data")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", inputs[0]], [output])],
        "rows_of_a_table",
        [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [*axes, width])],
        [
            table,
            numpy_helper.from_array(
                np.zeros((positions, 1), np.float32), "embeddings.position_embeddings.weight"
            ),
            numpy_helper.from_array(np.array([0.0, -np.inf], np.float32), "mask"),
        ],
    )
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8),
        str(path),
    )


def write_tokenizer(path: Path, **changes: Any) -> None:
    """Write a tokenizer file, parts of it changed."""
    path.write_text(json.dumps({**TOKENIZER, **changes}), encoding="utf-8")


def write_package(
    folder: Path, *, schema: str = SCHEMA, services: str = SERVICES, components: str = COMPONENT
) -> Path:
    """Return a package with its model and tokenizer."""
    (folder / "schemas").mkdir(parents=True)
    (folder / "schemas" / "doc.sd").write_text(schema, encoding="utf-8")
    text = services.replace("{components}", components)
    (folder / "services.xml").write_text(text, encoding="utf-8")
    (folder / "files").mkdir()
    write_model(folder / "files" / "model.onnx")
    write_tokenizer(folder / "files" / "tokenizer.json")
    return folder
