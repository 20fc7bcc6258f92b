"""A tiny application package and a tiny embedder, small enough to follow by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bare_model_folders import FACTS
from vespa_colbert.vespa_java import EmbedderFiles

SCHEMA = """
schema doc {
    document doc {
        field text type string {
            indexing: index | summary
            index: enable-bm25
        }
        field packed type tensor<int8>(dt{},x[2]) {
            indexing: attribute
        }
        field rows type tensor<float>(dt{},x[3]) {
            indexing: attribute
        }
    }
    rank-profile bm25 {
        first-phase {
            expression: bm25(text)
        }
    }
    rank-profile max_sim inherits bm25 {
        inputs {
            query(qt) tensor<float>(qt{},x[3])
            query(weight) double: 0.5
            query(unset) double
        }
        constants {
            bias tensor<float>(x[3]): [1.0, 2.0, 3.0]
        }
        function max_sim() {
            expression: sum(reduce(sum(query(qt) * attribute(rows), x), max, dt), qt)
        }
        function weighted() {
            expression: max_sim * query(weight)
        }
        function needs_unset() {
            expression: query(unset) + 1
        }
        function biased() {
            expression: sum(constant(bias) * attribute(rows), x)
        }
        second-phase {
            expression: max_sim
        }
        match-features: max_sim bm25(text)
    }
    rank-profile packed_max_sim inherits bm25 {
        inputs {
            query(qt) tensor<float>(qt{},x[16])
        }
        function unpacked() {
            expression: unpack_bits(attribute(packed))
        }
        second-phase {
            expression: 1 + sum(reduce(sum(query(qt) * unpacked, x), max, dt), qt)
        }
    }
}
"""

SERVICES = """<?xml version="1.0" encoding="utf-8" ?>
<services version="1.0" minimum-required-vespa-version="8.691.19">
  <container id="default" version="1.0">
    <search/>
    <document-api/>
    {components}
  </container>
  <content id="content" version="1.0">
    <min-redundancy>1</min-redundancy>
    <documents><document type="doc" mode="index"/></documents>
    <nodes><node hostalias="node1" distribution-key="0"/></nodes>
  </content>
</services>
"""


def write_package(folder: Path, *, schema: str = SCHEMA, components: str = "") -> Path:
    (folder / "schemas").mkdir(parents=True)
    (folder / "schemas" / "doc.sd").write_text(schema, encoding="utf-8")
    services = SERVICES.format(components=components)
    (folder / "services.xml").write_text(services, encoding="utf-8")
    return folder


SPECIAL_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[Q]", "[D]")
WORDS = (*SPECIAL_WORDS, "red", "green", "##s", ".", "🦊")
DIM = 16


def embedding_table() -> NDArray[np.float32]:
    """Return (word, 16): row w has w + 1 in component w and -1 elsewhere; "green" is not exact."""
    table = np.full((len(WORDS), DIM), -1.0, np.float32)
    for word in range(len(WORDS)):
        table[word, word] = word + 1
    table[WORDS.index("green"), 0] = np.float32(0.1)
    return table


SPEC = replace(FACTS, dim=DIM, max_query_tokens=7, max_document_tokens=6, max_tokens=12)

COMPONENT = """<component id="colbert" type="colbert-embedder">
      <transformer-model {model}/>
      <tokenizer-model {tokenizer}/>
      <max-tokens>12</max-tokens>
      <max-query-tokens>7</max-query-tokens>
      <max-document-tokens>6</max-document-tokens>
      <transformer-start-sequence-token>2</transformer-start-sequence-token>
      <transformer-end-sequence-token>3</transformer-end-sequence-token>
      <transformer-mask-token>4</transformer-mask-token>
      <transformer-pad-token>0</transformer-pad-token>
      <query-token-id>5</query-token-id>
      <document-token-id>6</document-token-id>
      <attend-to-expansion-tokens>false</attend-to-expansion-tokens>
    </component>"""
ADDRESS = "https://models.example/"


def write_embedder(folder: Path) -> EmbedderFiles:
    """Return an embedder whose rows are those of the table, doubled where it attends."""
    files = EmbedderFiles(
        model=folder / "model.onnx", tokenizer=folder / "tokenizer.json", spec=SPEC
    )
    _write_model(files.model)
    _write_tokenizer(files.tokenizer)
    return files


def component_with(attribute: str) -> str:
    """Return the embedder's component, its files given by ``path`` or by ``url``."""
    where = {"path": "models/", "url": ADDRESS}[attribute]
    return COMPONENT.format(
        model=f'{attribute}="{where}model.onnx"', tokenizer=f'{attribute}="{where}tokenizer.json"'
    )


def write_embedder_package(folder: Path, files: EmbedderFiles, attribute: str) -> Path:
    """Return a package with an embedder component; the files are in it if given by path."""
    write_package(folder, components=component_with(attribute))
    if attribute == "path":
        (folder / "models").mkdir()
        for path in (files.model, files.tokenizer):
            shutil.copy(path, folder / "models")
    return folder


def _write_model(path: Path) -> None:
    from onnx import TensorProto, checker, helper, numpy_helper, save

    axes = ["batch", "sequence"]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["mask", "one"], ["factor"]),
            helper.make_node("Unsqueeze", ["factor", "last"], ["factors"]),
            helper.make_node("Mul", ["rows", "factors"], ["contextual"]),
        ],
        "rows_of_a_table",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, axes),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, axes),
        ],
        [helper.make_tensor_value_info("contextual", TensorProto.FLOAT, [*axes, DIM])],
        [
            numpy_helper.from_array(embedding_table(), "table"),
            numpy_helper.from_array(np.float32(1.0), "one"),
            numpy_helper.from_array(np.array([2], np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, str(path))


def _write_tokenizer(path: Path) -> None:
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=WORDS[1]))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL_WORDS])
    tokenizer.save(str(path))
