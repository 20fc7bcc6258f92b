from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vespa_colbert.app.schema import Field, Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import IndexFolderError, OutputError
from vespa_colbert.index import Document, build_index, open_index

EMBED = ('(input title || "") . " " . (input text || "") | embed colbert | attribute',)
SCHEMA = Schema(
    name="passage",
    fields=(
        Field(name="text", type="string", indexing=("index | summary",)),
        Field(name="floats", type="tensor<float>(dt{},x[8])", indexing=EMBED, in_document=False),
        Field(name="bits", type="tensor<int8>(dt{},x[1])", indexing=EMBED, in_document=False),
        Field(name="cut", type="tensor<bfloat16>(dt{},x[4])", indexing=EMBED, in_document=False),
    ),
)
DOCUMENTS = [
    Document(id="a/1", fields={"title": "t", "text": "one two"}),
    Document(id="b", fields={"text": "three"}),
]


def embed(text: str) -> TokenVectors:
    rows = [[ord(character) / 128 - 0.8 + x / 16 for x in range(8)] for character in text]
    return np.array(rows, np.float32)


def build(path: Path, **origin: str) -> None:
    build_index(DOCUMENTS, SCHEMA, embed, path, origin=origin or {"model": "m1"})


def test_an_index_gives_back_documents_and_cells(tmp_path: Path) -> None:
    build(tmp_path / "index")

    index = open_index(tmp_path / "index", origin={"model": "m1"})

    assert [document.id for document in index.documents] == ["a/1", "b"]
    vectors = embed("t one two"), embed(" three")
    floats, bits, cut = (index.tensors[name] for name in ("floats", "bits", "cut"))
    assert floats.offsets.tolist() == [0, 9, 15]
    assert np.array_equal(floats.values, np.concatenate(vectors))
    assert np.array_equal(
        np.unpackbits(bits.values.view(np.uint8), axis=1), np.concatenate(vectors) > 0
    )
    assert np.array_equal(
        cut.cells.view(np.uint32),
        floats.values[:, :4].copy().view(np.uint32) & np.uint32(0xFFFF0000),
    )
    assert index.positions == {"a/1": 0, "b": 1}


def test_equal_texts_of_a_document_are_embedded_once(tmp_path: Path) -> None:
    seen: list[str] = []

    def counted(text: str) -> TokenVectors:
        seen.append(text)
        return embed(text)

    build_index(DOCUMENTS, SCHEMA, counted, tmp_path / "index", origin={})

    assert seen == ["t one two", " three"]


def test_an_index_of_another_model_is_refused_with_both_named(tmp_path: Path) -> None:
    build(tmp_path / "index")

    with pytest.raises(IndexFolderError, match="model 'm1', expected 'm2'"):
        open_index(tmp_path / "index", origin={"model": "m2"})


@pytest.mark.parametrize("name", ["documents.jsonl", "floats.tokens.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_found(tmp_path: Path, name: str, damage: str) -> None:
    build(tmp_path / "index")
    (path,) = (tmp_path / "index").rglob(name)
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content if damage == "flip" else content[:-1])

    with pytest.raises(IndexFolderError, match=f"damaged.*\n.*{name}"):
        open_index(tmp_path / "index")


def test_no_index_and_a_broken_manifest_are_errors(tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="found none"):
        open_index(tmp_path / "nowhere")
    build(tmp_path / "index")
    (tmp_path / "index" / "manifest.json").write_text("{")
    with pytest.raises(IndexFolderError, match="not a valid manifest"):
        open_index(tmp_path / "index")


def test_a_failing_embedder_leaves_the_old_index(tmp_path: Path) -> None:
    build(tmp_path / "index")

    def fail(text: str) -> TokenVectors:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(DOCUMENTS, SCHEMA, fail, tmp_path / "index", origin={})

    assert open_index(tmp_path / "index").origin == {"model": "m1"}
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")

    with pytest.raises(OutputError, match="left alone"):
        build(tmp_path / "thesis")

    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_a_schema_that_embeds_nothing_is_an_error(tmp_path: Path) -> None:
    schema = Schema(name="plain", fields=(Field(name="text", type="string"),))

    with pytest.raises(IndexFolderError, match="no tensor field is filled by embed"):
        build_index(DOCUMENTS, schema, embed, tmp_path / "index", origin={})
