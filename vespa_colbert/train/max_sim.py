"""MaxSim for training in bounded memory. Imports torch; nothing imports it eagerly.

The similarities of all token pairs are never held at once: they are made for a few documents at a
time, and what is kept of them is which document row won, one integer a query row and document. The
gradient needs no more than that, so that nothing is computed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - this module defines torch functions; `train` imports it when it runs

from vespa_colbert.errors import ArrayError

__all__ = [
    "CELLS",
    "PaddedVectors",
    "cut_vectors",
    "max_sim",
    "max_sim_of_pairs",
    "plain_max_sim",
]

CELLS = 1 << 20
"""Similarities that are held at once by default: 4 MiB of float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaddedVectors:
    """Token vectors of several texts, padded to one length.

    Attributes:
        vectors: (text, row, dim) float.
        mask: (text, row) bool, true where a row counts.
    """

    vectors: torch.Tensor
    mask: torch.Tensor

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ArrayError: If vectors and mask do not fit together.
        """
        if self.vectors.ndim != 3 or self.mask.shape != self.vectors.shape[:2]:
            raise ArrayError(
                "token vectors: expected vectors (text, row, dim) and a mask (text, row), "
                f"got {tuple(self.vectors.shape)} and {tuple(self.mask.shape)}"
            )
        if self.mask.dtype != torch.bool:
            raise ArrayError(f"token vectors: expected a mask of bool, got {self.mask.dtype}")


def cut_vectors(vectors: PaddedVectors, width: int, *, normalized: bool = False) -> PaddedVectors:
    """Return the first components of token vectors: as a narrower field of Vespa holds them.

    Args:
        vectors: Wider ones.
        width: How many components.
        normalized: Whether they are given unit length again.

    Source: ColBertEmbedder.toFloatTensor, Vespa 8.700.24, which takes the first components of what
    the model gives as they are.
    """
    cut = vectors.vectors[..., :width]
    if normalized:
        cut = torch.nn.functional.normalize(cut, dim=-1)
    return PaddedVectors(vectors=cut, mask=vectors.mask)


def max_sim(
    queries: PaddedVectors, documents: PaddedVectors, *, mean: bool = False, cells: int = CELLS
) -> torch.Tensor:
    """Return the score of every query and document: (query, document).

    The score is float32, or float64 for float64 vectors. Under autocast the products of rows have
    the type that autocast gives them; they are summed in float32 all the same, in the gradient too.

    A row that is masked out never wins and adds nothing. A document or a query without rows scores
    0, as in Vespa, and gets no gradient. Of several document rows with the same largest product the
    first one wins and gets all of the gradient, which is what ``max(dim)`` of torch does.

    Args:
        queries: Their token vectors.
        documents: Theirs.
        mean: Whether the sum is divided by the query's rows that count.
        cells: Similarities that may be held at once, but for one document's at least.

    Raises:
        ArrayError: If the vectors are not of one width.

    Source: equation 3 of Khattab and Zaharia, ColBERT, 2020; SumMaxDotProductFunction of Vespa
    8.700.24 for a side without rows.
    Differs: a document without rows scores -1e9 in sentence-transformers 6; in PyLate 1.6 a row
    that is masked out still takes part with 0.
    """
    masks = queries.mask, documents.mask
    sums: torch.Tensor = _Crossed.apply(*_computed(queries, documents), masks, cells)
    return sums / _row_counts(queries.mask, sums)[:, None] if mean else sums


def max_sim_of_pairs(
    queries: PaddedVectors,
    documents: PaddedVectors,
    pairs: torch.Tensor,
    *,
    mean: bool = False,
    cells: int = CELLS,
) -> torch.Tensor:
    """Return the scores of the pairs asked for: (pair,); see ``max_sim`` for everything else.

    Args:
        queries: Their token vectors.
        documents: Theirs.
        pairs: (2, pair) int64: places of the queries, places of the documents.
        mean: Whether the sum is divided by the query's rows that count.
        cells: Similarities that may be held at once, but for one pair's at least.

    Raises:
        ArrayError: If the vectors are not of one width, or the pairs of another shape.
    """
    if pairs.ndim != 2 or pairs.shape[0] != 2:
        raise ArrayError(f"pairs: expected shape (2, pair), got {tuple(pairs.shape)}")
    masks = queries.mask, documents.mask
    sums: torch.Tensor = _Paired.apply(*_computed(queries, documents), masks, pairs, cells)
    return sums / _row_counts(queries.mask, sums)[pairs[0]] if mean else sums


def plain_max_sim(queries: PaddedVectors, documents: PaddedVectors) -> torch.Tensor:
    """Return the same scores with all similarities held at once: what ``max_sim`` is judged by.

    Args:
        queries: Their token vectors.
        documents: Theirs, one row at least.
    """
    products = torch.einsum("qsx,dtx->qdst", queries.vectors, documents.vectors)
    products = products.masked_fill(~documents.mask[None, :, None, :], -torch.inf)
    best = products.max(dim=-1).values
    counted = queries.mask[:, None, :] & documents.mask.any(dim=1)[None, :, None]
    return best.masked_fill(~counted, 0.0).to(_sum_type(queries.vectors)).sum(dim=-1)


def _computed(
    queries: PaddedVectors, documents: PaddedVectors
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vectors in the type in which autocast would multiply them.

    Raises:
        ArrayError: If they are not of one width.
    """
    one, other = queries.vectors, documents.vectors
    if one.shape[2] != other.shape[2]:
        raise ArrayError(
            f"expected query and document vectors of one width, got {one.shape[2]} "
            f"and {other.shape[2]}"
        )
    kind = torch.promote_types(one.dtype, other.dtype)
    device = one.device.type
    if kind == torch.float32 and torch.is_autocast_enabled(device):
        kind = torch.get_autocast_dtype(device)
    return one.to(kind), other.to(kind)


def _sum_type(vectors: torch.Tensor) -> torch.dtype:
    return torch.float64 if vectors.dtype == torch.float64 else torch.float32


def _row_counts(mask: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Return how many rows of each query count, 1 where none does."""
    return mask.sum(dim=1).clamp(min=1).to(sums.dtype)


def _spans(count: int, cost: int, cells: int) -> Iterator[slice]:
    """Yield slices of so many items that each costs at most ``cells``, or is one item."""
    step = max(1, cells // max(cost, 1))
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


class _Crossed(torch.autograd.Function):  # type: ignore[misc]
    """Every query with every document, some documents at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: torch.Tensor,
        documents: torch.Tensor,
        masks: tuple[torch.Tensor, torch.Tensor],
        cells: int,
    ) -> torch.Tensor:
        """Return the sums: (query, document)."""
        query_mask, document_mask = masks
        count, width, dim = queries.shape
        sums = queries.new_zeros((count, len(documents)), dtype=_sum_type(queries))
        # int32 is half of what max() returns, and no text has two billion rows.
        winners = queries.new_zeros((count * width, len(documents)), dtype=torch.int32)
        length = documents.shape[1]
        rows = queries.reshape(-1, dim)
        spans = _spans(len(documents), len(rows) * length, cells) if length else ()
        with torch.autocast(queries.device.type, enabled=False):
            for span in spans:
                part, mask = documents[span], document_mask[span]
                products = (rows @ part.reshape(-1, dim).T).view(len(rows), -1, length)
                best, won = products.masked_fill_(~mask, -torch.inf).max(dim=-1)
                winners[:, span] = won
                counted = query_mask[:, :, None] & mask.any(dim=1)
                best = best.view(count, width, -1).masked_fill_(~counted, 0.0)
                sums[:, span] = best.sum(dim=1, dtype=sums.dtype)
        ctx.save_for_backward(queries, documents, query_mask, document_mask, winners)
        ctx.cells = cells
        return sums

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of queries and documents: each product's winner gets it all."""
        queries, documents, query_mask, document_mask, winners = ctx.saved_tensors
        kind = gradient.dtype
        count, width, dim = queries.shape
        length = documents.shape[1]
        rows = queries.reshape(-1, dim).to(kind)
        of_rows = torch.zeros_like(rows)
        of_documents = documents.new_zeros(documents.shape, dtype=kind)
        spans = _spans(len(documents), len(rows) * 2 * dim, ctx.cells) if length else ()
        with torch.autocast(queries.device.type, enabled=False):
            for span in spans:
                part, mask = documents[span], document_mask[span]
                counted = query_mask[:, :, None] & mask.any(dim=1)
                weights = gradient[:, None, span].expand(count, width, -1).masked_fill(~counted, 0)
                weights = weights.reshape(len(rows), -1, 1)
                starts = torch.arange(len(part), device=winners.device) * length
                places = (winners[:, span] + starts).reshape(-1)
                won = part.reshape(-1, dim).to(kind).index_select(0, places)
                of_rows += (won.view(len(rows), -1, dim).mul_(weights)).sum(dim=1)
                shares = (weights * rows[:, None, :]).view(-1, dim)
                of_documents[span].view(-1, dim).index_add_(0, places, shares)
        return (
            of_rows.view(queries.shape).to(queries.dtype),
            of_documents.to(documents.dtype),
            None,
            None,
        )


class _Paired(torch.autograd.Function):  # type: ignore[misc]
    """Some pairs of a query and a document, a few at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: torch.Tensor,
        documents: torch.Tensor,
        masks: tuple[torch.Tensor, torch.Tensor],
        pairs: torch.Tensor,
        cells: int,
    ) -> torch.Tensor:
        """Return the sums: (pair,)."""
        query_mask, document_mask = masks
        width, (length, dim) = queries.shape[1], documents.shape[1:]
        sums = queries.new_zeros(pairs.shape[1], dtype=_sum_type(queries))
        winners = queries.new_zeros((pairs.shape[1], width), dtype=torch.int64)
        cost = width * length + (width + length) * dim
        with torch.autocast(queries.device.type, enabled=False):
            for span in _spans(len(sums), cost, cells) if length else ():
                query, document = pairs[:, span]
                mask = document_mask[document]
                products = torch.bmm(queries[query], documents[document].transpose(1, 2))
                best, won = products.masked_fill_(~mask[:, None, :], -torch.inf).max(dim=-1)
                winners[span] = won + document[:, None] * length
                counted = query_mask[query] & mask.any(dim=1, keepdim=True)
                sums[span] = best.masked_fill_(~counted, 0.0).sum(dim=1, dtype=sums.dtype)
        ctx.save_for_backward(queries, documents, query_mask, document_mask, pairs, winners)
        ctx.cells = cells
        return sums

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of queries and documents: each product's winner gets it all."""
        queries, documents, query_mask, document_mask, pairs, winners = ctx.saved_tensors
        kind, dim = gradient.dtype, queries.shape[2]
        of_queries = queries.new_zeros(queries.shape, dtype=kind)
        of_documents = documents.new_zeros(documents.shape, dtype=kind)
        cost = 2 * queries.shape[1] * dim
        has_rows = document_mask.any(dim=1)
        with torch.autocast(queries.device.type, enabled=False):
            for span in _spans(len(gradient), cost, ctx.cells) if documents.shape[1] else ():
                query, document = pairs[:, span]
                counted = query_mask[query] & has_rows[document][:, None]
                weights = (gradient[span, None] * counted)[:, :, None]
                places = winners[span].reshape(-1)
                won = documents.reshape(-1, dim).index_select(0, places).to(kind)
                of_queries.index_add_(0, query, won.view(*counted.shape, dim).mul_(weights))
                shares = (weights * queries[query].to(kind)).view(-1, dim)
                of_documents.view(-1, dim).index_add_(0, places, shares)
        return (
            of_queries.to(queries.dtype),
            of_documents.to(documents.dtype),
            *(None, None, None),
        )
