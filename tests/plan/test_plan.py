"""Totals of a package, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.plan.coded_packages import CODED, write_coded_package
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.errors import SpecError
from vespa_colbert.index import LocalIndex
from vespa_colbert.index.collection import Document
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.plan import Lengths, choices, measured_lengths, plan_application, poolings
from vespa_colbert.tensor import TensorType

SCHEMA = """schema doc {
    document doc {
        field text type string {
            indexing: index | summary
        }
        field dense type tensor<float>(x[8]) {
            indexing: attribute | index
            index {
                hnsw {
                    max-links-per-node: 8
                }
            }
        }
    }
    field bits type tensor<int8>(dt{},x[16]) {
        indexing: input text | embed colbert | attribute
        attribute: paged
    }
    rank-profile rerank {
        inputs {
            query(qt) tensor<float>(qt{},x[128])
        }
        first-phase {
            expression: bm25(text)
        }
        second-phase {
            expression: sum(reduce(sum(query(qt) * unpack_bits(attribute(bits)), x), max, dt), qt)
            rerank-count: 50
        }
    }
}
"""
SERVICES = """<services version="1.0"><content id="c" version="1.0">
<min-redundancy>2</min-redundancy>
<documents><document type="doc" mode="{mode}"/></documents>
<nodes count="4" groups="2"/></content></services>
"""

BITS = 64
"""Of three vectors of 16 bytes: 4 + 12, 48."""
BITS_SAVED = 69
DENSE = 32
GRAPH = 4 + 4 * 8 / 7 + 4 * (16 + 8 / 7)
DENSE_SAVED = 33
ROUNDING = 1e-9
THREE = Lengths(document=3, query=32)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "doc.sd").write_text(SCHEMA)
    (tmp_path / "services.xml").write_text(SERVICES.format(mode="index"))
    return tmp_path


def test_memory_and_disk_are_bytes_times_documents_times_copies(package: Path) -> None:
    (schema,) = plan_application(package, 1000, THREE).schemas
    assert {each.name: each.settings for each in schema.fields} == {
        "dense": ("hnsw",),
        "bits": ("paged",),
    }
    # Two groups of one searchable copy each: two copies.
    assert schema.memory == pytest.approx(1000 * 2 * (4 + DENSE + GRAPH + 4), rel=ROUNDING)
    assert schema.reserved == pytest.approx(schema.memory * 1.2, rel=ROUNDING)
    assert schema.paged == 1000 * 2 * BITS
    assert schema.saved == 1000 * 2 * (BITS_SAVED + DENSE_SAVED)
    assert schema.document_store == 1000 * 2 * (BITS_SAVED + DENSE_SAVED)
    assert schema.disk == schema.paged + schema.saved + schema.document_store


def test_weights_of_tokens_are_at_most_as_many_as_tokens(package: Path) -> None:
    path = package / "schemas" / "doc.sd"
    weights = "field words type tensor<bfloat16>(t{}) { indexing: attribute }"
    path.write_text(SCHEMA.replace("    document doc {", f"    document doc {{ {weights}"))
    (schema,) = plan_application(package, 1000, THREE).schemas
    (words,) = (each for each in schema.fields if each.name == "words")
    assert {each.name for each in schema.fields if each.is_at_most} == {"words"}
    assert (words.vectors, words.vector_bytes) == (3, 2)
    # Where the tensor lies; the count and three labels of 4 bytes, and three cells of 2, in fours.
    assert words.bytes_a_document == 4 + (4 + 3 * 4) + 8
    # Two numbers, the dimension's name, how many there are, three labels of 1 + 6, three cells.
    assert words.stored.saved == 4 + 4 + 2 + 1 + 3 * 7 + 3 * 2


def test_a_node_ranks_its_share_of_what_matches_and_its_own_window(package: Path) -> None:
    (schema,) = plan_application(package, 1000, THREE).schemas
    (profile,) = schema.profiles
    (phase,) = profile.phases
    assert phase.operations == 3 * 32 * 128 * 2
    # Two nodes a group share 1000 documents; each ranks 50 again, or what there is.
    assert schema.ranked(phase, None) == 50
    assert schema.ranked(phase, 60) == 30


def test_streaming_keeps_no_attribute(package: Path) -> None:
    (package / "services.xml").write_text(SERVICES.format(mode="streaming"))
    (schema,) = plan_application(package, 1000, THREE).schemas
    assert (schema.memory, schema.paged, schema.saved) == (0, 0, 0)
    assert schema.document_store == 1000 * 2 * (BITS_SAVED + DENSE_SAVED)


def test_an_index_is_counted_length_by_length(package: Path) -> None:
    kind = TensorType.parse("tensor<int8>(dt{},x[16])")
    rows = DocumentRows(
        type=kind,
        offsets=np.array([0, 1, 4, 8], np.int64),
        values=np.zeros((8, 16), np.int8),
    )
    index = LocalIndex(
        path=package,
        documents=tuple(Document(id=str(i), fields={"text": "ab\u00e9"}) for i in range(3)),
        tensors={"bits": rows},
        origin={},
    )
    lengths = measured_lengths(index, query=32)
    assert lengths.counted == {"bits": {1: 1, 3: 1, 4: 1}}
    assert lengths.text_bytes == 4
    (schema,) = plan_application(package, 3, lengths).schemas
    found = {each.name: each for each in schema.fields}["bits"]
    # 8 + 16, 16 + 48 and 32 + 64 bytes of 1, 3 and 4 vectors.
    assert found.stored.paged == pytest.approx((24 + 64 + 96) / 3, rel=ROUNDING)
    assert found.vectors == pytest.approx(8 / 3, rel=ROUNDING)
    assert schema.profiles[0].phases[0].operations == pytest.approx(8 / 3 * 32 * 256, rel=ROUNDING)


def test_choices_are_cell_types_at_the_models_dims_and_below(package: Path) -> None:
    plan = plan_application(package, 1000, THREE)
    assert plan.dims == 128
    found = {str(each.type): each for each in choices(plan.dims, THREE)}
    assert found["tensor<int8>(dt{},x[16])"].document_bytes == 4 + BITS
    assert found["tensor<float>(dt{},x[96])"].work.operations == 3 * 32 * 96 * 2
    applies = {name: each.work.verdict.applies for name, each in found.items()}
    assert applies["tensor<float>(dt{},x[128])"]
    assert applies["tensor<int8>(dt{},x[8])"]
    assert not applies["tensor<bfloat16>(dt{},x[128])"]
    assert max(each.dims for each in found.values()) == 128


def test_dims_that_do_not_fill_bytes_have_no_choice_of_bits() -> None:
    found = [str(each.type) for each in choices(20, THREE) if each.type.cell_type.value == "int8"]
    assert found == ["tensor<int8>(c{},dt{},x[10])", "tensor<int8>(c{},dt{},x[5])"]


def test_a_package_without_tensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "doc.sd").write_text("schema doc { document doc { } }")
    with pytest.raises(SpecError, match="tensor field"):
        plan_application(tmp_path, 1, THREE)


def test_centroids_and_the_rebuilding_of_vectors_are_counted(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "doc.sd").write_text(CODED)
    lengths = Lengths(document=10, query=4)
    (schema,) = plan_application(tmp_path, 100, lengths).schemas
    (constant,) = schema.constants
    assert (constant.name, constant.cell_bytes) == ("centroids", 0)
    assert "cannot be read" in constant.fault  # a file that is not there is not free of charge
    (tmp_path / "files").mkdir()
    blocks = {str(label): [0.5] * 16 for label in range(3)}
    (tmp_path / "files" / "centroids.json").write_text(json.dumps({"blocks": blocks}))
    (schema,) = plan_application(tmp_path, 100, lengths).schemas
    assert schema.constant_bytes == 3 * 16 * 4
    ((phase,),) = (each.phases for each in schema.profiles)
    # 4 query tokens of 16 products and sums; 32 bits, and weight, sum, square, its sum, quotient.
    assert phase.operations == 10 * (4 * 16 * 2 + 32 + 16 * 5)


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    return write_coded_package(tmp_path)


def coded_phases(package: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Return profile → phase → operations for a document, and once for all of them."""
    (schema,) = plan_application(package, 100, Lengths(document=10, query=4)).schemas
    return {
        profile.name: {
            each.phase: (each.operations, each.operations_once) for each in profile.phases
        }
        for profile in schema.profiles
    }


def test_products_with_centroids_are_made_once_and_looked_up_for_each_token(coded: Path) -> None:
    found = coded_phases(coded)
    # 4 query tokens by 3 centroids of 16 products and sums.
    once = 4 * 3 * 16 * 2
    # A lookup and a maximum for each query token, and 4 bytes that say that the token is there.
    coarse = 10 * (4 * 2 + 4)
    exact = 10 * (4 * 16 * 2 + 32 + 16 * 5)
    assert found["coarse"] == {
        "first-phase": (coarse, once),
        "second-phase": (exact, 0),
        "match-features": (coarse, once),
    }
    # A lookup and a sum beside the products; 32 bits and weights, no centroid in each component.
    assert found["unscaled"]["first-phase"] == (10 * (4 * (16 * 2 + 2) + 32 + 16), once)
    # What is written into the expression itself is computed for each document.
    assert found["again"]["first-phase"] == (coarse + once, 0)
    # So is everything in the container.
    assert found["late"]["global-phase"] == (coarse + once, 0)


def test_a_phase_that_looks_products_up_has_no_kernel_and_no_dims(coded: Path) -> None:
    plan = plan_application(coded, 100, Lengths(document=10, query=4))
    (profile,) = (each for each in plan.schemas[0].profiles if each.name == "coarse")
    (found,) = profile.phases[0].max_sims
    assert not found.verdict.applies
    assert "looked up" in found.verdict.reason
    assert (found.width, plan.dims) == (0, 16)


def test_products_that_cannot_be_counted_are_not_free_of_charge(coded: Path) -> None:
    (schema,) = plan_application(coded, 100, Lengths(document=10, query=4)).schemas
    faults = {each.name: each.fault for each in schema.profiles if each.fault}
    assert faults.keys() == {"odd"}
    assert "its work is not counted" in faults["odd"]
    (coded / "files" / "centroids.json").unlink()
    (schema,) = plan_application(coded, 100, Lengths(document=10, query=4)).schemas
    faults = {each.name: each.fault for each in schema.profiles if each.fault}
    assert faults.keys() == {"coarse", "again", "unscaled", "late", "odd"}
    assert "how many vectors it has is not known" in faults["coarse"]


FED = SCHEMA.replace(
    """    field bits type tensor<int8>(dt{},x[16]) {
        indexing: input text | embed colbert | attribute
        attribute: paged
    }
""",
    "",
).replace(
    "        field dense",
    """        field bits type tensor<int8>(dt{},x[16]) {
            indexing: attribute
        }
        field weights type tensor<float>(word{}) {
            indexing: attribute
        }
        field dense""",
)


@pytest.fixture
def fed(package: Path) -> Path:
    (package / "schemas" / "doc.sd").write_text(FED)
    return package


def test_pooled_vectors_are_counted_and_weights_and_dense_vectors_are_not(fed: Path) -> None:
    # Of 9 vectors one is protected; of 8 others half are left.
    pooled = Lengths(document=9, query=32, pooling=TokenPooling(factor=2))
    (schema,) = plan_application(fed, 1000, pooled).schemas
    assert {each.name: each.vectors for each in schema.fields} == {
        "bits": 5, "weights": 9, "dense": 1,
    }  # fmt: skip
    (profile,) = [each for each in schema.profiles if each.phases]
    assert profile.phases[0].operations == 5 * 32 * 128 * 2
    (same,) = plan_application(fed, 1000, Lengths(document=5, query=32)).schemas
    stored = {each.name: each.stored for each in schema.fields}
    assert stored["bits"] == {each.name: each.stored for each in same.fields}["bits"]


def test_pooling_is_worked_out_for_each_length_that_was_counted(fed: Path) -> None:
    counted = {"bits": {1: 1, 9: 2, 12: 1}}
    lengths = Lengths(document=9, query=32, counted=counted, pooling=TokenPooling(factor=2))
    # 1 stays, 1 + 8 / 2 = 5, 1 + floor(11 / 2) = 6.
    assert lengths.of("bits") == {1: 1, 5: 2, 6: 1}
    assert lengths.tokens.of_field == {"bits": (1 + 2 * 5 + 6) / 4}


@pytest.mark.parametrize("count", range(12))
@pytest.mark.parametrize("protected", [0, 1, 3])
@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0, 40.0])
def test_as_many_vectors_are_planned_as_pooling_leaves(
    count: int, protected: int, factor: float
) -> None:
    pooling = TokenPooling(factor=factor, protected=protected)
    vectors = np.random.default_rng(count).standard_normal((count, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert pooling.left(count) == len(pooling.pool(vectors))


def test_factors_stand_beside_each_other_where_the_client_embeds(fed: Path) -> None:
    lengths = Lengths(document=9, query=32, pooling=TokenPooling(factor=4))
    found = poolings(fed, 1000, lengths)
    assert [(each.pooling.factor, each.vectors) for each in found] == [
        (1, 9), (2, 5), (3, 3), (4, 3),
    ]  # fmt: skip
    assert [each.operations for each in found] == [n * 32 * 128 * 2 for n in (9, 5, 3, 3)]
    (plain,) = plan_application(fed, 1000, Lengths(document=9, query=32)).schemas
    assert found[0].memory == plain.memory
    assert found[0].document_bytes == sum(each.bytes_a_document for each in plain.fields)


def test_what_vespa_embeds_is_not_planned_as_pooled(package: Path) -> None:
    with pytest.raises(SpecError, match="own embedder fills bits and cannot pool"):
        plan_application(package, 1, Lengths(document=3, query=32, pooling=TokenPooling(factor=2)))
    assert poolings(package, 1, THREE) == ()


def test_an_index_without_documents_has_no_lengths() -> None:
    index = LocalIndex(path=Path("index"), documents=(), tensors={"bits": rows_of()}, origin={})
    with pytest.raises(SpecError, match=r"index: expected documents to count .*, got none"):
        measured_lengths(index, query=32)


def test_a_pooled_index_is_not_pooled_again(fed: Path) -> None:
    index = LocalIndex(
        path=Path("index"),
        documents=(Document(id="a", fields={}),),
        tensors={"bits": rows_of(5)},
        origin={"pooling": str(TokenPooling(factor=2))},
    )
    lengths = measured_lengths(index, query=32)
    assert lengths.stored_pooling == TokenPooling(factor=2)
    (schema,) = plan_application(fed, 1, lengths).schemas
    assert {each.name: each.vectors for each in schema.fields}["bits"] == 5
    assert poolings(fed, 1, lengths) == ()
    with pytest.raises(SpecError, match="not pooled yet"):
        Lengths(
            document=5,
            query=32,
            counted_after=TokenPooling(factor=2),
            pooling=TokenPooling(factor=2),
        )


def rows_of(*counts: int) -> DocumentRows:
    kind, offsets = TensorType.parse("tensor<int8>(dt{},x[16])"), np.cumsum([0, *counts])
    return DocumentRows(type=kind, offsets=offsets, values=np.zeros((offsets[-1], 16), np.int8))
