"""Batches of random unit vectors, for tests of losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vespa_colbert.train import Batch
from vespa_colbert.train.max_sim import PaddedVectors

__all__ = ["RandomBatch", "random_batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomBatch:
    """Examples of one length, no document shared: what every library can express."""

    queries: PaddedVectors
    documents: PaddedVectors
    batch: Batch
    ways: int

    def columns(self) -> list[PaddedVectors]:
        """Return the documents by candidate: first all positives, then all first negatives, …"""
        return [
            PaddedVectors(
                vectors=self.documents.vectors[place :: self.ways],
                mask=self.documents.mask[place :: self.ways],
            )
            for place in range(self.ways)
        ]


def padded(texts: int, rows: int, seed: int) -> PaddedVectors:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(texts, rows, 16, generator=generator)
    lengths = torch.randint(1, rows + 1, (texts,), generator=generator)
    mask = torch.arange(rows)[None, :] < lengths[:, None]
    vectors = torch.nn.functional.normalize(vectors, dim=-1)
    return PaddedVectors(vectors=vectors.requires_grad_(), mask=mask)


def random_batch(examples: int = 6, ways: int = 4) -> RandomBatch:
    places = np.arange(examples * ways).reshape(examples, ways)
    known = np.zeros((examples, examples * ways), np.bool_)
    known[np.arange(examples), places[:, 0]] = True
    teacher = np.random.default_rng(3).normal(size=(examples, ways)).astype(np.float32)
    return RandomBatch(
        queries=padded(examples, 5, seed=1),
        documents=padded(examples * ways, 9, seed=2),
        ways=ways,
        batch=Batch(
            queries=np.arange(examples),
            documents=np.arange(examples * ways),
            candidates=places,
            known_positives=known,
            teacher=teacher,
        ),
    )
