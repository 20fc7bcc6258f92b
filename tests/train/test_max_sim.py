from __future__ import annotations

from typing import Any

import pytest
import torch

from vespa_colbert.errors import ArrayError
from vespa_colbert.train.max_sim import PaddedVectors, max_sim, max_sim_of_pairs, plain_max_sim

SAME_GRADIENT = 1e-6
"""float32 sums of some hundred products of unit vectors, taken in another order."""

SAME_IN_DOUBLE = 1e-12
"""The same in float64."""

CHUNKS = (1, 700, 1 << 20)
"""Similarities held at once: one document's, a few documents', everything."""


def vectors(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return torch.nn.functional.normalize(made, dim=-1).requires_grad_()


def masks(texts: int, rows: int, seed: int) -> torch.Tensor:
    lengths = torch.randint(1, rows + 1, (texts,), generator=torch.Generator().manual_seed(seed))
    return torch.arange(rows)[None, :] < lengths[:, None]


def rows(vectors: torch.Tensor, mask: torch.Tensor) -> PaddedVectors:
    return PaddedVectors(vectors=vectors, mask=mask)


def gradients(score: Any, queries: torch.Tensor, documents: torch.Tensor) -> list[torch.Tensor]:
    scores = score(queries, documents)
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(9))
    return list(torch.autograd.grad((scores * weights.to(scores)).sum(), (queries, documents)))


def differ(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    return max(
        float((one - other).detach().abs().max()) for one, other in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("cells", CHUNKS)
@pytest.mark.parametrize(
    ("dtype", "allowed"), [(torch.float32, SAME_GRADIENT), (torch.float64, SAME_IN_DOUBLE)]
)
def test_scores_and_gradients_are_those_of_the_plain_form(
    cells: int, dtype: torch.dtype, allowed: float
) -> None:
    queries, documents = (
        vectors(5, 6, 16, seed=1, dtype=dtype),
        vectors(7, 11, 16, seed=2, dtype=dtype),
    )
    query_mask, document_mask = masks(5, 6, 3), masks(7, 11, 4)

    def bounded(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return max_sim(rows(one, query_mask), rows(other, document_mask), cells=cells)

    def plain(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return plain_max_sim(rows(one, query_mask), rows(other, document_mask))

    assert bounded(queries, documents).dtype == dtype
    assert differ([bounded(queries, documents)], [plain(queries, documents)]) <= allowed * 6
    found, wanted = gradients(bounded, queries, documents), gradients(plain, queries, documents)
    assert differ(found, wanted) <= allowed
    assert max(float(each.abs().max()) for each in wanted) > 0.1


@pytest.mark.parametrize("cells", CHUNKS)
def test_gradients_are_the_slopes_of_the_scores(cells: int) -> None:
    queries, documents = (
        vectors(2, 3, 4, seed=1, dtype=torch.float64),
        vectors(3, 4, 4, seed=2, dtype=torch.float64),
    )
    masked = masks(2, 3, 3), masks(3, 4, 4)
    pairs = torch.tensor([[0, 1, 1, 0], [2, 0, 0, 1]])

    assert torch.autograd.gradcheck(
        lambda one, other: max_sim(
            rows(one, masked[0]), rows(other, masked[1]), mean=True, cells=cells
        ),
        (queries, documents),
    )
    assert torch.autograd.gradcheck(
        lambda one, other: max_sim_of_pairs(
            rows(one, masked[0]), rows(other, masked[1]), pairs, mean=True, cells=cells
        ),
        (queries, documents),
    )


@pytest.mark.parametrize("cells", CHUNKS)
def test_pairs_score_as_they_do_among_all(cells: int) -> None:
    queries, documents = vectors(5, 6, 16, seed=1), vectors(7, 11, 16, seed=2)
    masked = masks(5, 6, 3), masks(7, 11, 4)
    pairs = torch.tensor([[4, 0, 2, 2, 2, 1], [6, 3, 0, 1, 0, 5]])

    def paired(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return max_sim_of_pairs(rows(one, masked[0]), rows(other, masked[1]), pairs, cells=cells)

    def among_all(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return plain_max_sim(rows(one, masked[0]), rows(other, masked[1]))[pairs[0], pairs[1]]

    found, wanted = (
        gradients(paired, queries, documents),
        gradients(among_all, queries, documents),
    )
    assert differ([paired(queries, documents)], [among_all(queries, documents)]) <= 6e-6
    assert differ(found, wanted) <= SAME_GRADIENT


def test_a_score_worked_out_by_hand() -> None:
    query = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    document = torch.tensor([[[0.6, 0.8], [0.8, -0.6], [9.0, 9.0]]])
    masked = torch.tensor([[True, True, False]])

    assert max_sim(rows(query, masked), rows(document, masked)).item() == pytest.approx(0.8 + 0.8)
    assert max_sim(rows(query, masked), rows(document, masked), mean=True).item() == pytest.approx(
        0.8
    )


def test_a_padding_row_never_wins_even_where_all_products_are_negative() -> None:
    query = torch.tensor([[[1.0, 0.0]]])
    document = torch.tensor([[[-1.0, 0.0], [0.0, 0.0], [torch.nan, 7.0]]])
    mask = torch.tensor([[True, False, False]])

    assert max_sim(rows(query, torch.tensor([[True]])), rows(document, mask)).item() == -1.0


@pytest.mark.parametrize("count", [0, 2])
def test_a_side_without_rows_scores_0_and_moves_nothing(count: int) -> None:
    queries = vectors(2, 3, 4, seed=1)
    documents = vectors(2, count, 4, seed=2)
    query_mask = torch.tensor([[True] * 3, [False] * 3])
    document_mask = torch.zeros((2, count), dtype=torch.bool)
    document_mask[1:, :] = True
    pairs = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]])

    sides = rows(queries, query_mask), rows(documents, document_mask)

    scores = max_sim(*sides, mean=True)
    same = max_sim_of_pairs(*sides, pairs, mean=True)
    of_queries, of_documents = torch.autograd.grad(scores.sum() + same.sum(), (queries, documents))

    assert torch.equal(scores.flatten(), same)
    assert (scores[0, 0].item(), *scores[1].tolist()) == (0.0, 0.0, 0.0)
    assert (scores[0, 1].item() != 0.0) == (count > 0)
    assert not of_queries[1].any()
    assert not of_documents[:1].any()
    assert of_queries[0].any() == (count > 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_of_rows_that_tie_the_first_gets_the_gradient_as_in_the_plain_form(
    dtype: torch.dtype,
) -> None:
    """Small whole numbers are exact in every type, and tie often."""
    generator = torch.Generator().manual_seed(5)
    queries = torch.randint(-2, 3, (4, 5, 8), generator=generator).to(dtype).requires_grad_()
    documents = torch.randint(-2, 3, (6, 9, 8), generator=generator).to(dtype).requires_grad_()
    masked = masks(4, 5, 6), masks(6, 9, 7)
    products = torch.einsum("qsx,dtx->qdst", queries, documents)
    assert ((products == products.amax(-1, keepdim=True)).sum(-1) > 1).any()

    def score(form: Any) -> list[torch.Tensor]:
        found = form(rows(queries, masked[0]), rows(documents, masked[1]))
        return [found, *torch.autograd.grad(found.sum(), (queries, documents))]

    for found, wanted in zip(score(max_sim), score(plain_max_sim), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_products_are_short_and_sums_are_float32(dtype: torch.dtype) -> None:
    """1,000 rows of 1 + 1/128: a bfloat16 sum would stop at 256."""
    query = torch.ones((1, 1000, 1), requires_grad=True)
    document = torch.full((1, 1, 1), 1 + 2**-7, requires_grad=True)
    every = torch.ones((1, 1000), dtype=torch.bool)
    queries, documents = rows(query, every), rows(document, every[:, :1])
    nearly = rows(document + 2**-10, every[:, :1])

    with torch.autocast("cpu", dtype=dtype):
        scores = max_sim(queries, documents)
        paired = max_sim_of_pairs(queries, documents, torch.tensor([[0], [0]]))
        narrow = max_sim(queries, nearly)
    of_rows, of_document = torch.autograd.grad(scores.sum(), (query, document))

    assert scores.dtype == of_rows.dtype == of_document.dtype == torch.float32
    assert scores.item() == paired.item() == 1000 * (1 + 2**-7)
    assert (narrow.item() == scores.item()) == (dtype == torch.bfloat16)
    assert of_document.item() == 1000.0
    assert torch.equal(of_rows, torch.full_like(of_rows, 1 + 2**-7))


def test_shapes_that_do_not_fit_are_refused() -> None:
    every = torch.ones(2, 3, dtype=torch.bool)
    narrow, wide = rows(torch.zeros(2, 3, 4), every), rows(torch.zeros(2, 3, 5), every)

    with pytest.raises(ArrayError, match="one width, got 4 and 5"):
        max_sim(narrow, wide)
    with pytest.raises(ArrayError, match="shape \\(2, pair\\)"):
        max_sim_of_pairs(narrow, narrow, torch.zeros(3, 1))
    for vectors, mask, said in (
        (torch.zeros(2, 3), every, "expected vectors"),
        (torch.zeros(2, 4, 3), every, "and a mask"),
        (torch.zeros(2, 3, 4), every.long(), "a mask of bool"),
    ):
        with pytest.raises(ArrayError, match=said):
            rows(vectors, mask)
