"""Vectors rebuilt from residuals in a tree: what goes to the kernel, and what must not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.required import import_or_skip
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank import fused
from vespa_colbert.rank.documents import field_tensors
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.kept import KeptByTensor
from vespa_colbert.rank.kernels import queries
from vespa_colbert.rank.kernels import residual as kernels
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType

ERROR = 1e-5
"""Of sums of 5 products of 16 floats of about 1."""

KIND = TensorType.parse("tensor<int8>(c{},dt{},x[4])")
BITS = "unpack_bits(attribute(d))"
PAIR = "tensor<float>(x[16])(b{x:(x * 2)}) + 2 * tensor<float>(x[16])(b{x:(x * 2 + 1)})"
WEIGHTS = "f(k)(if(k < 2, if(k < 1, -0.5, -0.125), if(k < 3, 0.25, 0.75)))"
RESIDUALS = f"map(map_subspaces({BITS}, f(b)({PAIR})), {WEIGHTS})"
VECTORS = f"l2_normalize({RESIDUALS} + constant(c), x)"


def max_sim(vectors: str) -> str:
    return f"sum(reduce(sum(query(qt) * {vectors}, x), max, dt, c), qt)"


SERVED = {
    "normalized": max_sim(VECTORS),
    "not normalized": max_sim(f"({RESIDUALS} + constant(c))"),
    "the constant first": max_sim(f"l2_normalize(constant(c) + {RESIDUALS}, x)"),
    "two sums": (
        f"sum(reduce(sum(query(qt) * {RESIDUALS}, x) + sum(constant(c) * query(qt), x), "
        "max, c, dt), qt)"
    ),
    "the other side": f"sum(reduce(sum({VECTORS} * query(qt), x), max, c, dt))",
    "the low bit first": max_sim(
        VECTORS.replace("(attribute(d))", "(attribute(d), float, little)")
    ),
}
SERVED = {name: text.replace('"', "") for name, text in SERVED.items()}
OTHERS = {
    "bits of two bytes": RESIDUALS.replace("x * 2 + 1", "31 - x"),
    "bytes in another order": RESIDUALS.replace("x * 2 + 1", "31 - x * 2").replace(
        "(x * 2)", "(30 - x * 2)"
    ),
    "a product of bits": RESIDUALS.replace(") + 2 *", ") *"),
    "of the cell's index": RESIDUALS.replace("x * 2 + 1", "x % 16 + 16"),
}


def features(lengths: list[int], *, centroids: int = 5, seed: int = 0) -> dict[str, Tensor]:
    """Return a query, centroids 0 to 4, and documents with centroids 0 to 5."""
    generator = np.random.default_rng(seed)
    stored = []
    for length in lengths:
        rows = generator.integers(-128, 128, (length, 4)).astype(np.int8)
        labels = generator.integers(0, 6, length).tolist()
        subspaces: dict[tuple[str, ...], np.ndarray] = {
            (str(c), str(at)): rows[at] for at, c in enumerate(labels)
        }
        stored.append(Tensor.from_subspaces(KIND, subspaces))
    held = field_tensors(KIND, stored)
    assert not isinstance(held, DocumentRows)
    vectors = generator.normal(size=(centroids, 16)).astype(np.float32)
    asked = generator.normal(size=(5, 16)).astype(np.float32) / 4
    return {
        "query(qt)": Tensor.rows(TensorType.parse("tensor<float>(qt{},x[16])"), asked),
        "constant(c)": Tensor.rows(TensorType.parse("tensor<float>(c{},x[16])"), vectors),
        "attribute(d)": held.batch(),
    }


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of rows that went to the kernel."""
    counted: list[int] = []

    def spy(asked: list[np.ndarray], rows: kernels.Residuals, offsets: np.ndarray) -> np.ndarray:
        counted.append(len(rows.packed))
        return kernels.max_sim_residuals_of_queries(asked, rows, offsets)

    monkeypatch.setattr(fused, "max_sim_residuals_of_queries", spy)
    return counted


def scores(text: str, given: dict[str, Tensor], count: int, *, uses_kernels: bool) -> np.ndarray:
    run = Evaluation(given.get, documents=count, uses_kernels=uses_kernels)
    return run.scores(parse_expression(text))


LENGTHS = [3, 0, 7, 1, 12, 0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", SERVED)
def test_a_shape_that_is_served_has_the_value_of_the_algebra(
    served: list[int], monkeypatch: pytest.MonkeyPatch, name: str, compiled: bool
) -> None:
    if compiled:
        import_or_skip("numba")
    monkeypatch.setattr(queries, "WORTH_COMPILING", 0 if compiled else 2**60)
    given = features(LENGTHS)
    found = scores(SERVED[name], given, 6, uses_kernels=True)
    assert len(served) == 1
    labels = given["attribute(d)"].labels
    gone = [code for code, label in enumerate(labels[1]) if label == "5"]
    absent = int(np.isin(given["attribute(d)"].codes[:, 1], gone).sum())
    assert absent > 0
    assert served == [sum(LENGTHS) - absent]  # a token whose centroid is unknown is no token
    wanted = scores(SERVED[name], given, 6, uses_kernels=False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR)
    assert found[1] == found[5] == 0.0


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_table_of_bytes_cannot_hold_is_left_to_the_algebra(
    served: list[int], name: str
) -> None:
    text = max_sim(f"l2_normalize({OTHERS[name]} + constant(c), x)")
    given = features(LENGTHS)
    found = scores(text, given, 6, uses_kernels=True)
    assert served == []
    wanted = scores(text, given, 6, uses_kernels=False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_vector_without_length_is_never_the_best(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    if compiled:
        import_or_skip("numba")
    monkeypatch.setattr(queries, "WORTH_COMPILING", 0 if compiled else 2**60)
    given = features([2])
    zero = np.full((2, 16), 0.5, np.float32)  # bits of zeros weigh -0.5 each
    given["constant(c)"] = Tensor.rows(TensorType.parse("tensor<float>(c{},x[16])"), zero)
    rows: dict[tuple[str, ...], np.ndarray] = {
        ("0", "0"): np.zeros(4, np.int8),
        ("1", "1"): np.full(4, -1, np.int8),
    }
    given["attribute(d)"] = _batch([Tensor.from_subspaces(KIND, rows)])
    found = scores(SERVED["normalized"], given, 1, uses_kernels=True)
    assert np.isfinite(found).all()
    wanted = scores(SERVED["normalized"], given, 1, uses_kernels=False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR)


@pytest.mark.parametrize("compiled", [False, True])
def test_an_infinite_component_of_a_query_meets_the_rebuilt_vector(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    if compiled:
        import_or_skip("numba")
    monkeypatch.setattr(queries, "WORTH_COMPILING", 0 if compiled else 2**60)
    rows = kernels.Residuals(
        packed=np.array([[0], [1], [2]], np.uint8),
        centroids=np.zeros(3, np.int64),
        cells_of_byte=np.zeros((1, 256, 2), np.float32),
        vectors=np.array([[-1.0, 1.0]], np.float32),
        is_normalized=False,
    )
    rows.cells_of_byte[0, :3] = [[3.0, 0.0], [0.5, 0.0], [-3.0, 5.0]]
    asked = np.array([[np.inf, 0.5]], np.float32)
    found = kernels.max_sim_residuals(asked, rows, np.array([0, 1, 2, 3]))
    # The first components are 2, -0.5 and -4, not ∞ times each of what they are sums of.
    assert found.tolist() == [np.inf, -np.inf, -np.inf]


def test_a_query_without_tokens_and_a_query_of_more_than_a_tile() -> None:
    given = features(LENGTHS)
    kind = TensorType.parse("tensor<float>(qt{},x[16])")
    for tokens in (0, 31, 33, 70):
        asked = np.random.default_rng(tokens).normal(size=(tokens, 16)).astype(np.float32) / 4
        given["query(qt)"] = Tensor.rows(kind, asked)
        found = scores(SERVED["normalized"], given, 6, uses_kernels=True)
        wanted = scores(SERVED["normalized"], given, 6, uses_kernels=False)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR * max(tokens, 1))


def _batch(tensors: list[Tensor]) -> Tensor:
    held = field_tensors(KIND, tensors)
    assert not isinstance(held, DocumentRows)
    return held.batch()


@pytest.mark.parametrize("components", [2, 4, 8])
def test_compiled_lengths_are_those_of_the_rebuilt_vectors(components: int) -> None:
    import_or_skip("numba")
    generator = np.random.default_rng(components)
    rows = kernels.Residuals(
        packed=generator.integers(0, 256, (11, 6), np.uint8),  # two tiles and three rows
        centroids=generator.integers(0, 5, 11),
        cells_of_byte=generator.normal(size=(6, 256, components)).astype(np.float32),
        vectors=generator.normal(size=(5, 6 * components)).astype(np.float32),
        is_normalized=True,
    )
    sums = np.array([
        np.concatenate([rows.cells_of_byte[place, byte] for place, byte in enumerate(packed)])
        + rows.vectors[number]
        for packed, number in zip(rows.packed, rows.centroids, strict=True)
    ])
    np.testing.assert_allclose(rows.scales * np.linalg.norm(sums, axis=1), 1.0, atol=ERROR)


def test_lengths_are_measured_once_for_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    import_or_skip("numba")
    from vespa_colbert.rank.kernels import residual_loops

    monkeypatch.setattr(queries, "WORTH_COMPILING", 0)
    measured: list[int] = []
    measure = residual_loops.LENGTHS[4]

    def spy(packed: np.ndarray, *rest: np.ndarray) -> None:
        measured.append(len(packed))
        measure(packed, *rest)

    monkeypatch.setitem(residual_loops.LENGTHS, 4, spy)
    given = features(LENGTHS)
    first = scores(SERVED["normalized"], given, 6, uses_kernels=True)
    assert len(measured) == 1
    assert (scores(SERVED["normalized"], given, 6, uses_kernels=True) == first).all()
    halved = {**given, "query(qt)": _halved(given["query(qt)"])}
    again = scores(SERVED["normalized"], halved, 6, uses_kernels=True)
    np.testing.assert_allclose(again, first / 2, rtol=0, atol=ERROR)
    assert len(measured) == 1


def _halved(tensor: Tensor) -> Tensor:
    return Tensor(tensor.type, tensor.codes, tensor.labels, tensor.values / np.float32(2))


def test_other_centroids_or_another_batch_are_not_taken_for_the_ones_before() -> None:
    given = features(LENGTHS)
    before = scores(SERVED["normalized"], given, 6, uses_kernels=True)
    for changed in ("constant(c)", "attribute(d)"):
        other = {**given, changed: features(LENGTHS, seed=1)[changed]}
        found = scores(SERVED["normalized"], other, 6, uses_kernels=True)
        wanted = scores(SERVED["normalized"], other, 6, uses_kernels=False)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR)
        assert np.abs(found - before).max() > ERROR


def test_what_is_kept_goes_with_the_tensor_and_is_no_other_s() -> None:
    kept: KeptByTensor[list[int]] = KeptByTensor(list)
    kind = TensorType.parse("tensor<float>(x[2])")
    first, equal = (Tensor.dense(kind, np.zeros(2, np.float32)) for _ in range(2))
    kept.of(first).append(1)
    assert kept.of(first) == [1]
    assert kept.of(equal) == []
    assert len(kept) == 2
    del first
    assert len(kept) == 1
