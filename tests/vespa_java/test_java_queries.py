from __future__ import annotations

from pathlib import Path

import pytest

from tests.vespa_java.tiny_package import SCHEMA, write_embedder_package
from vespa_colbert.errors import VespaJavaError
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.vespa_java import EmbedderComponent, EmbedderFiles, VespaJava

pytestmark = pytest.mark.java

TEXT = 'red "green" & reds?'
FIVE = TensorType.parse("tensor<float>(qt{},x[16])")
PROFILE = """<query-profile id="ask">
  <field name="yql">select * from doc where userInput(@text)</field>
  <field name="ranking.profile">packed_max_sim</field>
  <field name="ranking.features.query(qt)">embed(colbert, @text)</field>
</query-profile>
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, embedder_files: EmbedderFiles) -> Path:
    folder = tmp_path_factory.mktemp("asked") / "app"
    write_embedder_package(folder, embedder_files, "path")
    (folder / "models").rename(folder / "files")
    services = folder / "services.xml"
    services.write_text(services.read_text().replace("models/", "files/"))
    (folder / "search" / "query-profiles").mkdir(parents=True)
    (folder / "search" / "query-profiles" / "ask.xml").write_text(PROFILE)
    assert "query(qt) tensor<float>(qt{},x[16])" in SCHEMA
    return folder


@pytest.fixture(scope="module")
def embedded(java: VespaJava, asked: Path) -> Tensor:
    source = EmbedderComponent(folder=asked, component_id="colbert")
    return java.embed(source, TEXT, "query(qt)", FIVE).tensor


def test_a_query_profile_gives_the_statement_the_rank_profile_and_the_embedded_text(
    java: VespaJava, asked: Path, embedded: Tensor
) -> None:
    query = java.read_query(asked, {"queryProfile": "ask", "text": TEXT})
    assert query.profile == "packed_max_sim"
    for word in ("red", "green", "reds"):
        assert f'contains "{word}"' in query.yql
    assert query.inputs == {"query(qt)": embedded}


def test_parameters_of_the_request_do_the_same(
    java: VespaJava, asked: Path, embedded: Tensor
) -> None:
    request = {
        "yql": "select * from doc where userInput(@text)",
        "text": TEXT,
        "ranking": "packed_max_sim",
        "input.query(qt)": "embed(colbert, @text)",
    }
    query = java.read_query(asked, request)
    assert (query.profile, query.inputs) == ("packed_max_sim", {"query(qt)": embedded})


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"queryProfile": "none"}, "no query profile 'none'"),
        ({"yql": "select nonsense"}, "nonsense"),
        ({"ranking": "packed_max_sim", "input.query(qt)": "embed(other, @text)"}, "other"),
        ({"ranking": "packed_max_sim", "input.query(qt)": "[1, 2"}, "qt"),
    ],
)
def test_what_vespa_refuses_is_said(
    java: VespaJava, asked: Path, parameters: dict[str, str], why: str
) -> None:
    with pytest.raises(VespaJavaError, match=why):
        java.read_query(asked, {"text": TEXT, **parameters})
