"""Document tokens that choose among a query's products: what goes to the kernel, and its value."""

from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank import centroids
from vespa_colbert.rank.documents import field_tensors
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.kernels.blocked import max_sim_of_chosen
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType

ERROR = 1e-5
"""Of sums of up to 40 products of 8 floats of about 1/3."""

KIND = TensorType.parse("tensor<int8>(c{},dt{},x[2])")
PRODUCTS = "sum(query(qt) * constant(c), x)"
PRESENT = "reduce(attribute(d), max, x)"


def cheap(products: str = PRODUCTS, present: str = PRESENT, over: str = "dt, c") -> str:
    return f"sum(reduce(join({products}, {present}, f(p,cell)(p)), max, {over}), qt)"


SERVED = {
    "as packages have it": cheap(),
    "the other side": f"sum(reduce(join({PRESENT}, {PRODUCTS}, f(cell,p)(p)), max, c, dt), qt)",
    "all that is left is summed": cheap().replace(", qt)", ")"),
    "presence by another word": cheap(present="sum(attribute(d), x)"),
    "negated products": cheap(products=f"map({PRODUCTS}, f(v)(-v))"),
}
OTHERS = {
    "the cell is taken": cheap().replace("(p)), max", "(cell)), max"),
    "both are taken": cheap().replace("(p)), max", "(p * cell)), max"),
    "the worst": cheap().replace(", max, dt", ", min, dt"),
    "one label is left": "sum(" + cheap(over="dt").replace(", qt)", ", c)") + ", qt)",
    "cells are left": cheap(present="attribute(d)").replace(", qt)", ")"),
    "products of each document": cheap(products=f"({PRODUCTS} * reduce({PRESENT}, max, dt))"),
}


def features(lengths: list[int], *, tokens: int, seed: int) -> dict[str, Tensor]:
    """Return a query, centroids 0 to 6, and documents with centroids 0 to 7."""
    generator = np.random.default_rng(seed)
    stored = []
    for length in lengths:
        labels = generator.integers(0, 8, length).tolist()
        subspaces: dict[tuple[str, ...], np.ndarray] = {
            (str(c), str(at)): generator.integers(-128, 128, 2).astype(np.int8)
            for at, c in enumerate(labels)
        }
        stored.append(Tensor.from_subspaces(KIND, subspaces))
    held = field_tensors(KIND, stored)
    assert not isinstance(held, DocumentRows)
    vectors = generator.normal(size=(7, 8)).astype(np.float32) / 3
    asked = generator.normal(size=(tokens, 8)).astype(np.float32) / 3
    return {
        "query(qt)": Tensor.rows(TensorType.parse("tensor<float>(qt{},x[8])"), asked),
        "constant(c)": Tensor.rows(TensorType.parse("tensor<float>(c{},x[8])"), vectors),
        "attribute(d)": held.batch(),
    }


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of rows that went to the kernel."""
    counted: list[int] = []

    def spy(lines: np.ndarray, chosen: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        counted.append(len(chosen))
        return max_sim_of_chosen(lines, chosen, offsets)

    monkeypatch.setattr(centroids, "max_sim_of_chosen", spy)
    return counted


def scores(text: str, given: dict[str, Tensor], count: int, *, uses_kernels: bool) -> np.ndarray:
    run = Evaluation(given.get, documents=count, uses_kernels=uses_kernels)
    return run.scores(parse_expression(text))


@pytest.mark.parametrize("name", SERVED)
@pytest.mark.parametrize("tokens", [1, 5, 40])
@pytest.mark.parametrize("seed", range(4))
def test_a_shape_that_is_served_has_the_value_of_the_algebra(
    served: list[int], name: str, tokens: int, seed: int
) -> None:
    lengths = [*np.random.default_rng(seed).integers(0, 9, 10).tolist(), 0, 1]
    given = features(lengths, tokens=tokens, seed=seed)
    found = scores(SERVED[name], given, len(lengths), uses_kernels=True)
    assert len(served) == 1
    assert 0 < served[0] < sum(lengths)  # a token whose centroid is unknown is no token
    wanted = scores(SERVED[name], given, len(lengths), uses_kernels=False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR)
    assert found[-2] == 0.0


@pytest.mark.parametrize("name", OTHERS)
def test_what_means_something_else_is_left_to_the_algebra(served: list[int], name: str) -> None:
    given = features([3, 0, 5], tokens=4, seed=9)
    try:
        wanted = scores(OTHERS[name], given, 3, uses_kernels=False)
    except Exception as error:  # noqa: BLE001 - whatever the algebra refuses
        with pytest.raises(type(error)):
            scores(OTHERS[name], given, 3, uses_kernels=True)
    else:
        found = scores(OTHERS[name], given, 3, uses_kernels=True)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR)
    assert served == []


def test_a_query_without_tokens_and_no_document_with_a_token(served: list[int]) -> None:
    given = features([2, 3], tokens=3, seed=1)
    empty = Tensor.rows(given["query(qt)"].type, np.zeros((0, 8), np.float32))
    assert scores(cheap(), {**given, "query(qt)": empty}, 2, uses_kernels=True).tolist() == [0, 0]
    given = features([0, 0], tokens=3, seed=1)
    assert scores(cheap(), given, 2, uses_kernels=True).tolist() == [0, 0]


def test_products_that_some_query_tokens_lack_are_left_to_the_algebra(served: list[int]) -> None:
    given = features([4, 6], tokens=3, seed=2)
    given["products"] = Tensor.from_subspaces(
        TensorType.parse("tensor<float>(c{},qt{})"),
        {("0", "0"): np.float32(1), ("1", "0"): np.float32(2), ("1", "1"): np.float32(3)},
    )
    found, wanted = (scores(cheap("products"), given, 2, uses_kernels=u) for u in (True, False))
    assert served == []
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR)


def test_another_query_other_centroids_and_another_batch_are_told_apart() -> None:
    before = features([3, 7, 0], tokens=3, seed=3)
    scores(cheap(), before, 3, uses_kernels=True)
    for changed in ("query(qt)", "constant(c)", "attribute(d)"):
        given = {**before, changed: features([3, 7, 0], tokens=3, seed=4)[changed]}
        found, wanted = (scores(cheap(), given, 3, uses_kernels=each) for each in (True, False))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=ERROR)
