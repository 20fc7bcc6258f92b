"""Our losses against those of sentence-transformers 6, on the same tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.required import import_or_skip
from tests.train.random_batches import RandomBatch, random_batch
from vespa_colbert.train.losses import LossKind, LossOptions, batch_loss
from vespa_colbert.train.max_sim import PaddedVectors

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
"""The library takes many seconds to import."""

SAME = 1e-6
"""float32 scores of unit vectors, through one softmax; relative to losses of 0.3 to 30."""


@pytest.fixture(scope="module")
def library() -> Any:
    return import_or_skip("sentence_transformers.multi_vector_encoder.losses")


def encoder(features: dict[str, Any], **_given: Any) -> dict[str, Any]:
    """What the library takes for a model: the vectors are there already."""
    return features


def columns(made: RandomBatch) -> list[dict[str, Any]]:
    def features(each: PaddedVectors) -> dict[str, Any]:
        # input_ids is read for the number of texts alone.
        mask = each.mask.long()
        return {"token_embeddings": each.vectors, "attention_mask": mask, "input_ids": mask}

    return [features(made.queries), *map(features, made.columns())]


def losses(library: Any) -> dict[str, tuple[LossOptions, Any, bool]]:
    softmax = library.MultiVectorMultipleNegativesRankingLoss
    taught = library.MultiVectorDistillKLDivLoss
    kinds = LossKind
    return {
        "softmax": (LossOptions(temperature=1.0), softmax(encoder), False),
        "softmax at 0.02": (LossOptions(), softmax(encoder, scale=50.0), False),
        "distillation": (LossOptions(kind=kinds.DISTILLATION), taught(encoder), True),
        "distillation with temperatures": (
            LossOptions(kind=kinds.DISTILLATION, student_temperature=0.5, teacher_temperature=2.0),
            taught(encoder, student_temperature=0.5, teacher_temperature=2.0),
            True,
        ),
        "margin-MSE": (
            LossOptions(kind=kinds.MARGIN_MSE),
            library.MultiVectorMarginMSELoss(encoder),
            True,
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("softmax", "softmax at 0.02", "distillation", "distillation with temperatures"),
        "margin-MSE",
    ],
)
def test_losses_and_gradients_are_those_of_the_library(library: Any, name: str) -> None:
    made = random_batch()
    options, theirs, taught = losses(library)[name]
    sides = (made.queries.vectors, made.documents.vectors)
    labels = torch.from_numpy(made.batch.teacher) if taught else None

    wanted = theirs(columns(made), labels)
    found = batch_loss(made.queries, made.documents, made.batch, options)

    assert found.item() == pytest.approx(wanted.item(), rel=SAME)
    steepest = max(1.0, 1 / options.temperature if options.kind is LossKind.SOFTMAX else 1.0)
    for ours, other in zip(
        torch.autograd.grad(found, sides), torch.autograd.grad(wanted, sides), strict=True
    ):
        assert torch.allclose(ours, other, rtol=0, atol=SAME * steepest)


def test_the_mean_is_the_librarys_mean_of_max_sim(library: Any) -> None:
    scoring = import_or_skip("sentence_transformers.multi_vector_encoder.scoring")
    made = random_batch()
    theirs = library.MultiVectorMultipleNegativesRankingLoss(
        encoder, scale=50.0, similarity_fct=scoring.mean_colbert_scores
    )

    found = batch_loss(made.queries, made.documents, made.batch, LossOptions(mean=True))

    assert found.item() == pytest.approx(theirs(columns(made)).item(), rel=SAME)


def test_a_document_without_rows_is_where_the_library_differs(library: Any) -> None:
    """It scores -1e9 there and 0 here, as in Vespa; beside scores near 0 that moves the loss."""
    made = random_batch()
    made.documents.mask[1] = False
    options, theirs, _taught = losses(library)["softmax"]

    found = batch_loss(made.queries, made.documents, made.batch, options)

    assert found.item() > theirs(columns(made)).item()
