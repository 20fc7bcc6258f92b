"""Documents through Vespa's own indexing statements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.vespa_java.tiny_package import embedding_table, write_embedder_package, write_package
from vespa_colbert.errors import VespaJavaError
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.vespa_java import EmbedderFiles, VespaJava

pytestmark = pytest.mark.java

SCHEMA = """
schema doc {
    document doc {
        field texts type array<string> { indexing: index }
        field given type tensor<float>(d{},x[2]) { indexing: attribute }
    }
    field joined type string { indexing: input texts | join "-" | summary }
    field rows type tensor<float>(t{},token{},x[16]) {
        indexing: input texts | embed colbert t | attribute
    }
}
"""


def test_statements_are_run_as_a_container_runs_them(
    java: VespaJava, tmp_path: Path, embedder_files: EmbedderFiles
) -> None:
    app = write_embedder_package(tmp_path / "app", embedder_files, "path")
    (app / "schemas" / "doc.sd").write_text(SCHEMA, encoding="utf-8")
    fields = {"texts": ["red", "", "green"], "given": {"blocks": {"a": [1, 2.5]}}}

    (found,) = java.index_documents(app, [{"put": "id:content:doc::1", "fields": fields}])

    assert found["texts"] == ["red", "", "green"]
    assert found["joined"] == "red--green"
    kind = TensorType.parse("tensor<float>(d{},x[2])")
    assert found["given"] == Tensor.rows(kind, np.array([[1, 2.5]], np.float32), ["a"])
    rows = found["rows"]
    assert list(rows.addresses()) == [(text, str(token)) for text in "02" for token in range(4)]
    # [CLS] 2, [D] 6, red 7, [SEP] 3; rows are doubled where they are attended to.
    assert rows.values[:4].tolist() == (2 * embedding_table()[[2, 6, 7, 3]]).tolist()


def test_a_field_that_is_not_there_and_another_operation_are_refused(
    java: VespaJava, tmp_path: Path
) -> None:
    app = write_package(tmp_path / "app")

    with pytest.raises(VespaJavaError, match="nosuch"):
        java.index_documents(app, [{"put": "id:c:doc::1", "fields": {"nosuch": "x"}}])
    with pytest.raises(VespaJavaError, match="expected a put operation"):
        java.index_documents(app, [{"remove": "id:c:doc::1"}])
