from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vespa_colbert.app import RankProfile
from vespa_colbert.app.schema import Field, Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import (
    ArrayError,
    CollectionError,
    IndexFolderError,
    UnsupportedFunctionError,
)
from vespa_colbert.index import ContextRows, Document, DocumentRows, build_index, open_index
from vespa_colbert.index.rows import text_tensor
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.tensor import Tensor, TensorType

INNER = TensorType.parse("tensor<int8>(token{},x[1])")
KIND = TensorType.parse("tensor<int8>(context{},token{},x[1])")
VALUES = np.array([[1], [2], [3], [4], [5]], np.int8)
ROWS = DocumentRows(type=INNER, offsets=np.array([0, 3, 3, 5], np.int64), values=VALUES)


def context_rows(
    contexts: list[int], kind: TensorType = KIND, outer: str = "context"
) -> ContextRows:
    return ContextRows(type=kind, outer=outer, rows=ROWS, numbers=np.array(contexts, np.int64))


def test_a_row_is_labelled_by_its_text_and_its_token() -> None:
    rows = context_rows([0, 0, 4, 4, 4])

    wanted: dict[tuple[str, ...], list[int]] = {("0", "0"): [1], ("0", "1"): [2], ("4", "0"): [3]}
    assert rows.document(0) == Tensor.from_subspaces(KIND, wanted)
    assert rows.document(1) == Tensor.empty(KIND)
    assert rows.document(2) == Tensor.from_subspaces(KIND, {("4", "0"): [4], ("4", "1"): [5]})
    assert text_tensor(rows, 0, 0) == Tensor.rows(INNER, VALUES[:2])
    assert text_tensor(rows, 2, 4) == Tensor.rows(INNER, VALUES[3:])
    assert text_tensor(rows, 2, 0) == Tensor.empty(INNER)


def test_labels_stand_in_the_order_of_the_type() -> None:
    kind = TensorType.parse("tensor<int8>(token{},words{},x[1])")
    rows = context_rows([1, 1, 2, 0, 0], kind, "words")

    assert list(rows.document(0).addresses()) == [("0", "1"), ("1", "1"), ("0", "2")]


@pytest.mark.parametrize(
    ("contexts", "kind", "outer"),
    [
        ([0, 0, 1, 1], KIND, "context"),
        ([0, 0, -1, 1, 1], KIND, "context"),
        ([0, 0, 1, 1, 1], KIND, "token"),
        ([0, 0, 1, 1, 1], INNER, "context"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    contexts: list[int], kind: TensorType, outer: str
) -> None:
    with pytest.raises(ArrayError, match="expected"):
        context_rows(contexts, kind, outer)


SCHEMA = Schema(
    name="long",
    fields=(
        Field(name="contexts", type="array<string>", indexing=("index",)),
        Field(name="text", type="string", indexing=("index",)),
        Field(
            name="vectors",
            type="tensor<float>(context{},token{},x[8])",
            indexing=("input contexts | embed colbert context | attribute",),
            in_document=False,
        ),
        Field(
            name="dense",
            type="tensor<float>(x[8])",
            indexing=("input text | embed dense | attribute",),
            in_document=False,
        ),
        Field(
            name="pieces",
            type="array<string>",
            indexing=("input text | chunk sentence | summary",),
            in_document=False,
        ),
    ),
)


def embed(text: str) -> TokenVectors:
    return np.array([[ord(character)] * 8 for character in text], np.float32)


def test_an_index_of_several_texts_a_document_is_read_back(tmp_path: Path) -> None:
    documents = [
        Document(id="a", fields={"contexts": ("xy", " ", "z"), "text": "One. Two."}, group="ada"),
        Document(id="b", fields={"text": "Three"}),
    ]

    build_index(documents, SCHEMA, embed, tmp_path / "index", origin={"model": "m"})
    index = open_index(tmp_path / "index", origin={"model": "m"})

    assert list(index.tensors) == ["vectors"]
    rows = index.tensors["vectors"]
    assert list(rows.document(0).addresses()) == [("0", "0"), ("0", "1"), ("2", "0")]
    assert rows.document(0).values[:, 0].tolist() == [ord("x"), ord("y"), ord("z")]
    assert len(rows.document(1).values) == 0
    assert [each["pieces"] for each in index.derived] == [["One.", " Two."], ["Three"]]
    assert [each.group for each in index.documents] == ["ada", ""]
    assert index.documents[0].text("contexts") == "xy\n \nz"


def test_a_text_where_a_list_is_embedded_is_named_with_its_document(tmp_path: Path) -> None:
    documents = [Document(id="odd", fields={"contexts": "one text"})]

    with pytest.raises(CollectionError, match="expected a list of texts") as caught:
        build_index(documents, SCHEMA, embed, tmp_path / "index", origin={})

    assert "document 'odd'" in caught.value.__notes__
    assert not (tmp_path / "index").exists()


def test_a_field_that_no_document_fills_is_an_error(tmp_path: Path) -> None:
    documents = [Document(id="a", fields={"text": "One."})]

    with pytest.raises(IndexFolderError, match=r"field vectors: .*got none among 1.* are text"):
        build_index(documents, SCHEMA, embed, tmp_path / "index", origin={})


def test_words_that_indexing_derives_are_ranked_or_refused(tmp_path: Path) -> None:
    def ranked(indexing: str) -> list[str]:
        words = Field(
            name="words",
            type="array<string>",
            indexing=(indexing,),
            index=("enable-bm25",),
            in_document=False,
        )
        schema = replace(
            SCHEMA,
            fields=(*SCHEMA.fields, words),
            rank_profiles=(RankProfile(name="bm25", first_phase="bm25(words)"),),
        )
        documents = [
            Document(id="a", fields={"contexts": ("x",), "text": "One. Two."}),
            Document(id="b", fields={"contexts": ("x",), "text": "Three."}),
        ]
        index = build_index(documents, schema, embed, tmp_path / "index", origin={})
        ranker = Ranker(schema, "bm25", index)
        return [hit.id for hit in ranker.rank(RankQuery(text="three"))]

    assert ranked("input text | chunk sentence | index") == ["b"]
    with pytest.raises(UnsupportedFunctionError, match=r"bm25\(words\): .*not reproduced for the"):
        ranked("input text | lowercase | to_array | index")
