"""What the differences between Vespa's embedder and the training library do to scores.

Measured with the torch module on sample texts: the library's scores, those with one point as in
Vespa and nothing else, and those of Vespa as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.export.convert import Module
from vespa_colbert.export.differences import Point, Subject, points_of
from vespa_colbert.export.options import Packaging
from vespa_colbert.export.samples import SAMPLE_PASSAGES, SAMPLE_QUERIES
from vespa_colbert.export.tokenizer_file import open_tokenizer
from vespa_colbert.export.treatment import Treatment, Window, score_pairs

if TYPE_CHECKING:
    from vespa_colbert.model.contextual import ContextualEncoder

__all__ = ["Effect", "measure_effects", "sample_texts"]

ROUNDING = 1e-6
"""A relative difference of scores that is none: both sides come from the same float32 rows, whose
sums are taken in float64; rows that another padding or batch could move are computed once."""

SMALLEST = 1e-3
"""Scores below count as this one in relative differences: near 0 they would say nothing."""


BATCH = 8
"""Windows of similar lengths that go through the encoder together."""

_Key: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Ids and attention of a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What Vespa's side of one or all points does to the library's scores of sample pairs.

    Attributes:
        queries: Sample queries.
        documents: Sample documents; each is scored with each query.
        touched: Pairs whose score changes.
        largest: Largest change of a score, relative to the library's.
        mean: Mean change over all pairs, relative likewise.
        best_changed: Share of the queries whose best document is another.
        ordinary_pairs: Pairs of ordinary samples among them; the others have a text on which the
            point shows.
        ordinary_touched: Those of them whose score changes.
    """

    queries: int
    documents: int
    touched: int
    largest: float
    mean: float
    best_changed: float
    ordinary_pairs: int
    ordinary_touched: int


class _Encoder:
    """The plain encoder, which keeps the rows of every window that it has seen."""

    def __init__(self, module: ContextualEncoder, pad_id: int) -> None:
        self._module, self._pad_id = module, pad_id
        self._rows = dict[_Key, TokenVectors]()

    def __call__(self, windows: Sequence[Window]) -> list[TokenVectors]:
        """Return (token, dim) float32 for each window."""
        keys: list[_Key] = [(each.ids, each.attention) for each in windows]
        unseen = sorted({key for key in keys if key not in self._rows}, key=lambda key: len(key[0]))
        # No row depends on who shares its batch but by rounding, and none is computed twice.
        for start in range(0, len(unseen), BATCH):
            self._encode(unseen[start : start + BATCH])
        return [self._rows[key] for key in keys]

    def _encode(self, keys: list[_Key]) -> None:
        import torch

        longest = max(len(ids) for ids, _attention in keys)
        if not longest:
            # A text without tokens, in a model that puts none around it.
            self._rows |= dict.fromkeys(keys, np.empty((0, self._module.dim), np.float32))
            return
        ids = torch.full((len(keys), longest), self._pad_id, dtype=torch.int64)
        attention = torch.zeros_like(ids)
        for place, key in enumerate(keys):
            ids[place, : len(key[0])] = torch.tensor(key[0], dtype=torch.int64)
            attention[place, : len(key[1])] = torch.tensor(key[1], dtype=torch.int64)
        with torch.no_grad():
            rows = self._module(ids, attention).numpy()
        for place, key in enumerate(keys):
            self._rows[key] = rows[place, : len(key[0])]


def measure_effects(
    checkpoint: Checkpoint, packaging: Packaging, module: Module, tokenizer_text: str
) -> dict[str, Any]:
    """Return the effect of every point that applies, and of all together, as plain data.

    Args:
        checkpoint: The model.
        packaging: Whose differences are measured.
        module: The checkpoint in torch, float32, on the CPU; of an exact module the plain encoder
            inside it is run.
        tokenizer_text: The tokenizer file that Vespa is to read.

    Returns:
        ``points``: a list in the order of the points that apply, and ``total``. Each of them has
        ``effect``, the members of ``Effect`` or None, and ``not_measured``, why it is None.

    Raises:
        CheckpointError: If a tokenizer cannot be used.
        MissingExtraError: If tokenizers is not installed.
    """
    subject = Subject(
        checkpoint=checkpoint,
        tokenizer=open_tokenizer(checkpoint.tokenizer.text, checkpoint),
        written_tokenizer=open_tokenizer(tokenizer_text, checkpoint),
    )
    points, encode = points_of(subject, packaging), _Encoder(_plain(module), checkpoint.pad_id)
    return {
        "points": [
            _measured(subject, point.alone(subject), sample_texts(subject, (point,)), encode)
            for point in points
        ],
        "total": _measured(
            subject, subject.in_vespa(packaging), sample_texts(subject, points), encode
        ),
    }


def _plain(module: Module) -> ContextualEncoder:
    """Return the encoder without the library's semantics around it."""
    from vespa_colbert.model.exact import ExactEncoder

    return module.inner if isinstance(module, ExactEncoder) else module


def sample_texts(subject: Subject, points: tuple[Point, ...]) -> tuple[str, ...]:
    """Return the texts on which points show; they are queries and documents beside the samples."""
    return tuple(dict.fromkeys(text for point in points for text in point.texts(subject)))


def _measured(
    subject: Subject, changed: Treatment | str, texts: tuple[str, ...], encode: _Encoder
) -> dict[str, Any]:
    """Return the effect of a changed treatment, or why there is none."""
    if isinstance(changed, str):
        return {"effect": None, "not_measured": changed}
    positions, scores = subject.checkpoint.encoder.positions, []
    for treatment in (subject.library, changed):
        queries = [treatment.query_window(text) for text in (*SAMPLE_QUERIES, *texts)]
        documents = [treatment.document_window(text) for text in (*SAMPLE_PASSAGES, *texts)]
        longest = max(len(window.ids) for window in (*queries, *documents))
        if longest > positions:
            reason = f"alone, it gives windows of {longest} tokens to an encoder of {positions}"
            return {"effect": None, "not_measured": reason}
        scores.append(score_pairs(treatment, queries, documents, encode))
    return {"effect": asdict(_effect(*scores)), "not_measured": ""}


def _effect(library: NDArray[np.float64], vespa: NDArray[np.float64]) -> Effect:
    """Return what changes between two tables of scores, (query, document) float64 each."""
    change = np.abs(vespa - library) / np.maximum(np.abs(library), SMALLEST)
    best = vespa.max(axis=1)
    # Of two documents that score alike, neither is the only best one.
    kept = vespa[np.arange(len(vespa)), library.argmax(axis=1)]
    moved = best - kept > ROUNDING * np.maximum(np.abs(best), SMALLEST)
    touched = change > ROUNDING
    ordinary = touched[: len(SAMPLE_QUERIES), : len(SAMPLE_PASSAGES)]
    return Effect(
        queries=library.shape[0],
        documents=library.shape[1],
        touched=int(touched.sum()),
        largest=float(change.max()),
        mean=float(change.mean()),
        best_changed=float(moved.mean()),
        ordinary_pairs=ordinary.size,
        ordinary_touched=int(ordinary.sum()),
    )
