"""``onnx(model).output`` with a real graph: ONNX Runtime here, Vespa's Java beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vespa_colbert.errors import ExpressionError
from vespa_colbert.pipeline.onnx_models import open_onnx
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.tensor.literal import parse_literal
from vespa_colbert.vespa_java import VespaJava

SERVICES = """<services version="1.0">
  <container id="default" version="1.0"><search/><document-api/></container>
  <content id="doc" version="1.0"><redundancy>1</redundancy>
    <documents><document type="doc" mode="index"/></documents></content>
</services>
"""
SCHEMA = """
schema doc {
    document doc {
        field tokens type tensor<float>(d0[3]) { indexing: attribute }
    }
    rank-profile p {
        inputs {
            query(t) tensor<float>(d0[2])
        }
        onnx-model scorer {
            file: files/scorer.onnx
            input input_ids: ids
            input weight: query(t)
            output "logit.s": logits
        }
        function ids() { expression: tokenInputIds(8, query(t), attribute(tokens)) }
        function score() { expression: sum(onnx(scorer).logits) }
        first-phase { expression: score }
        match-features { score onnx(scorer).logits }
    }
}
"""


def write_graph(path: Path) -> None:
    """Writes a graph of int64 ids (1, 8) and float weights (2): logits (1, 8) = ids · w0 + w1."""
    import onnx
    from onnx import TensorProto, helper

    def vector(name: str, place: int) -> list[onnx.NodeProto]:
        index = helper.make_tensor(f"{name}_at", TensorProto.INT64, [1], [place])
        return [
            helper.make_node("Constant", [], [f"{name}_at"], value=index),
            helper.make_node("Gather", ["weight", f"{name}_at"], [name]),
        ]

    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=TensorProto.FLOAT),
        *vector("slope", 0),
        *vector("shift", 1),
        helper.make_node("Mul", ["numbers", "slope"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["logit.s"]),
    ]
    graph = helper.make_graph(
        nodes,
        "scorer",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, 8]),
            helper.make_tensor_value_info("weight", TensorProto.FLOAT, [2]),
        ],
        [helper.make_tensor_value_info("logit.s", TensorProto.FLOAT, [1, 8])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (folder / "schemas").mkdir()
    (folder / "services.xml").write_text(SERVICES)
    (folder / "schemas" / "doc.sd").write_text(SCHEMA)
    write_graph(folder / "files" / "scorer.onnx")
    lines = [{"id": "a", "tokens": [7, 8, 0]}, {"id": "b", "tokens": [9, 0, 0]}]
    text = "".join(json.dumps(each) + "\n" for each in lines)
    (folder / "documents.jsonl").write_text(text)
    return folder


WEIGHTS = parse_literal("tensor<float>(d0[2]):[2,1]")


def test_a_model_of_the_package_scores_each_document(package: Path) -> None:
    ranker = Ranker.from_application(package, "p", package / "documents.jsonl", open_onnx=open_onnx)

    hits = ranker.rank(RankQuery(tensors={"t": WEIGHTS}))

    # ids of a: 101 2 1 102 7 8 102 0; of b: 101 2 1 102 9 102 0 0; each doubled, and 1 more.
    assert [(hit.id, hit.relevance) for hit in hits] == [("a", 2 * 323 + 8), ("b", 2 * 317 + 8)]
    assert hits[1].match_features["onnx(scorer).logits"] == parse_literal(
        "tensor<float>(d0[1],d1[8]):[[203,5,3,205,19,205,1,1]]"
    )


@pytest.mark.java
def test_vespas_java_computes_the_same(package: Path) -> None:
    ranker = Ranker.from_application(package, "p", package / "documents.jsonl", open_onnx=open_onnx)
    hits = ranker.rank(RankQuery(tensors={"t": WEIGHTS}))

    with VespaJava(timeout_seconds=60.0) as judge:
        for hit, tokens in zip(hits, ("[7,8,0]", "[9,0,0]"), strict=True):
            bindings = {
                "query(t)": WEIGHTS,
                "attribute(tokens)": parse_literal(f"tensor<float>(d0[3]):{tokens}"),
            }
            found = judge.evaluate(package, "doc", "p", "score", bindings)
            assert found.as_number() == hit.relevance


def test_what_cannot_be_run_is_named(package: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nonsense")
    graph = open_onnx(package / "files" / "scorer.onnx")

    with pytest.raises(ExpressionError, match="found none"):
        open_onnx(tmp_path / "absent.onnx")
    with pytest.raises(ExpressionError, match=r"broken\.onnx: ONNX Runtime cannot open the model"):
        open_onnx(tmp_path / "broken.onnx")
    with pytest.raises(ExpressionError, match=r"with input_ids \(3,\), weight \(2,\)"):
        graph.run({"input_ids": np.zeros(3), "weight": np.zeros(2)})
