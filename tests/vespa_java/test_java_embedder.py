from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.vespa_java.tiny_package import (
    ADDRESS,
    embedding_table,
    write_embedder_package,
    write_package,
)
from vespa_colbert.errors import VespaJavaError
from vespa_colbert.tensor import TensorType
from vespa_colbert.vespa_java import EmbedderComponent, EmbedderFiles, VespaJava

pytestmark = pytest.mark.java

QUERY_TYPE = TensorType.parse("tensor<float>(qt{},x[16])")
FLOAT_TYPE = TensorType.parse("tensor<float>(dt{},x[16])")
PACKED_TYPE = TensorType.parse("tensor<int8>(dt{},x[2])")

# [CLS] 2, [SEP] 3, [MASK] 4, [Q] 5, [D] 6, red 7, green 8, ##s 9, "." 10
RED_GREENS = [7, 8, 9]


def expected_rows(ids: list[int], attention: list[int]) -> np.ndarray:
    return embedding_table()[ids] * (1 + np.array(attention, np.float32)[:, np.newaxis])


def test_a_query_is_marked_and_filled_with_masks(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    answer = java.embed(embedder_files, "Red.", "query(qt)", QUERY_TYPE)
    ids, attention = [2, 5, 7, 10, 3, 4, 4], [1, 1, 1, 1, 1, 0, 0]
    assert answer.token_ids.tolist() == ids
    assert answer.attention_mask.tolist() == attention
    assert answer.contextual.tolist() == expected_rows(ids, attention).tolist()
    assert answer.tensor.type == QUERY_TYPE
    assert list(answer.tensor.addresses()) == [(str(row),) for row in range(7)]
    assert answer.tensor.values.tolist() == expected_rows(ids, attention).tolist()


def test_a_document_loses_its_punctuation_and_is_not_filled(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    answer = java.embed(embedder_files, "Red.", "doc.rows", FLOAT_TYPE)
    assert answer.token_ids.tolist() == [2, 6, 7, 3]
    assert answer.attention_mask.tolist() == [1, 1, 1, 1]
    assert answer.tensor.values.tolist() == expected_rows([2, 6, 7, 3], [1] * 4).tolist()


def test_a_document_is_cut_before_its_end_token(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    answer = java.embed(embedder_files, "red greens red red red", "doc.rows", FLOAT_TYPE)
    assert answer.token_ids.tolist() == [2, 6, *RED_GREENS, 3]


def test_emitted_expansion_is_trimmed_when_the_embedder_says_so(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    trimmed = replace(embedder_files, spec=replace(embedder_files.spec, expansion_emitted=False))
    answer = java.embed(trimmed, "red", "query(qt)", QUERY_TYPE)
    assert answer.token_ids.tolist() == [2, 5, 7, 3, 4, 4, 4]
    assert answer.contextual.shape == (7, 16)
    assert answer.tensor.values.shape == (4, 16)


def test_the_same_text_as_query_and_document_is_embedded_twice(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    query = java.embed(embedder_files, "green", "query(qt)", QUERY_TYPE)
    document = java.embed(embedder_files, "green", "doc.rows", FLOAT_TYPE)
    assert query.token_ids.tolist() != document.token_ids.tolist()


def test_packed_bits_begin_with_bit_seven(java: VespaJava, embedder_files: EmbedderFiles) -> None:
    answer = java.embed(embedder_files, "red greens", "doc.packed", PACKED_TYPE)
    # One positive component a row: 2, 6, 7; 0 and 8 for "green"; 9; 3.
    assert answer.tensor.type == PACKED_TYPE
    assert answer.tensor.values.tolist() == [
        [0b00100000, 0],
        [0b00000010, 0],
        [0b00000001, 0],
        [-128, -128],
        [0, 0b01000000],
        [0b00010000, 0],
    ]


def test_bfloat16_cells_are_cut_and_not_rounded(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    target = TensorType.parse("tensor<bfloat16>(dt{},x[16])")
    answer = java.embed(embedder_files, "green", "doc.rows", target)
    # 2 * 0.1 = 0x3E4CCCCD in float32; rounding would give 0x3E4D0000.
    assert answer.tensor.values[2, 0].view(np.uint32) == 0x3E4C0000
    assert answer.contextual[2, 0].view(np.uint32) == 0x3E4CCCCD


def test_many_texts_come_back_in_their_order(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    texts = ["red", "green", "reds", "", "🦊", "red\0 green"] * 4
    answers = java.embed_many(embedder_files, texts, "doc.rows", FLOAT_TYPE)
    ids = [answer.token_ids.tolist()[2:-1] for answer in answers]
    assert ids == [[7], [8], [7, 9], [], [11], [7, 8]] * 4


@pytest.mark.parametrize("attribute", ["path", "url"])
def test_a_component_of_services_xml_is_what_embeds(
    java: VespaJava, tmp_path: Path, embedder_files: EmbedderFiles, attribute: str
) -> None:
    folder = write_embedder_package(tmp_path / "app", embedder_files, attribute)
    models = {
        f"{ADDRESS}model.onnx": embedder_files.model,
        f"{ADDRESS}tokenizer.json": embedder_files.tokenizer,
    }
    component = EmbedderComponent(
        folder=folder, component_id="colbert", models=models if attribute == "url" else {}
    )
    answer = java.embed(component, "Red greens.", "query(qt)", QUERY_TYPE)
    assert answer.token_ids.tolist() == [2, 5, *RED_GREENS, 10, 3]
    answer = java.embed(component, "Red", "query(qt)", QUERY_TYPE)
    assert answer.token_ids.tolist() == [2, 5, 7, 3, 4, 4, 4]
    assert answer.tensor.values.tolist() == expected_rows([2, 5, 7, 3], [1] * 4).tolist()


def test_a_number_changed_in_services_xml_changes_what_is_embedded(
    java: VespaJava, tmp_path: Path, embedder_files: EmbedderFiles
) -> None:
    folder = write_embedder_package(tmp_path / "app", embedder_files, "path")
    services = folder / "services.xml"
    services.write_text(services.read_text().replace(">5</query-token-id>", ">11</query-token-id>"))
    component = EmbedderComponent(folder=folder, component_id="colbert")
    answer = java.embed(component, "red", "query(qt)", QUERY_TYPE)
    assert answer.token_ids.tolist() == [2, 11, 7, 3, 4, 4, 4]


def test_a_file_on_the_web_without_a_local_copy_is_named(
    java: VespaJava, tmp_path: Path, embedder_files: EmbedderFiles
) -> None:
    folder = write_embedder_package(tmp_path / "app", embedder_files, "url")
    component = EmbedderComponent(folder=folder, component_id="colbert")
    with pytest.raises(VespaJavaError, match=r"models\.example/model\.onnx: name its local"):
        java.embed(component, "red", "query(qt)", QUERY_TYPE)


def test_a_component_that_is_not_there_is_named(java: VespaJava, tmp_path: Path) -> None:
    component = EmbedderComponent(folder=write_package(tmp_path / "app"), component_id="colbert")
    with pytest.raises(VespaJavaError, match=r"a ColBERT embedder among \[\], got 'colbert'"):
        java.embed(component, "red", "query(qt)", QUERY_TYPE)


def test_a_file_that_is_not_there_is_named(
    java: VespaJava, tmp_path: Path, embedder_files: EmbedderFiles
) -> None:
    files = replace(embedder_files, model=tmp_path / "nosuch.onnx")
    with pytest.raises(VespaJavaError, match=r"nosuch\.onnx: there is no such file"):
        java.embed(files, "red", "query(qt)", QUERY_TYPE)


def test_a_damaged_model_is_an_error(
    java: VespaJava, tmp_path: Path, embedder_files: EmbedderFiles
) -> None:
    (tmp_path / "model.onnx").write_bytes(embedder_files.model.read_bytes()[:300])
    files = replace(embedder_files, model=tmp_path / "model.onnx")
    with pytest.raises(VespaJavaError, match="ONNX Runtime"):
        java.embed(files, "red", "query(qt)", QUERY_TYPE)


def test_vespa_refuses_a_packed_query(java: VespaJava, embedder_files: EmbedderFiles) -> None:
    with pytest.raises(VespaJavaError, match="does not accept int8"):
        java.embed(embedder_files, "red", "query(qt)", TensorType.parse("tensor<int8>(qt{},x[2])"))


def test_a_target_wider_than_the_model_is_refused(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    with pytest.raises(VespaJavaError, match="Not possible"):
        java.embed(embedder_files, "red", "doc.rows", TensorType.parse("tensor<float>(dt{},x[17])"))


def test_half_a_surrogate_pair_is_refused_before_java(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    with pytest.raises(VespaJavaError, match=r"text 1: character 2 .*U\+D800"):
        java.embed_many(embedder_files, ["ok", "ab\ud800"], "doc.rows", FLOAT_TYPE)


def test_a_destination_that_says_no_role_is_refused(
    java: VespaJava, embedder_files: EmbedderFiles
) -> None:
    with pytest.raises(VespaJavaError, match="expected a destination such as"):
        java.embed(embedder_files, "red", "qt", QUERY_TYPE)
