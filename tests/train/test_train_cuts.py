"""Matryoshka: the loss of narrower widths beside that of the whole one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.checkpoint.layout_folders import LAYOUTS, LayoutFiles
from tests.tiny_checkpoint import DIM
from tests.train.tiny_training import SCORED, TRIPLES, options, training_data
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.errors import SpecError
from vespa_colbert.export.describe import describe_checkpoint
from vespa_colbert.train import HeadStart
from vespa_colbert.train.batches import epoch_batches
from vespa_colbert.train.encode import EncodedTexts
from vespa_colbert.train.heads import first_head
from vespa_colbert.train.layouts import write_trained, written_form
from vespa_colbert.train.losses import LossKind, LossOptions
from vespa_colbert.train.max_sim import PaddedVectors, cut_vectors
from vespa_colbert.train.model import trainable_module
from vespa_colbert.train.step import Sides, loss_of
from vespa_colbert.train.train import train
from vespa_colbert.train.windows import open_treatment, window_table

CUT = 5
SAME_LOSS = 1e-6
"""float32 sums of a dozen products of unit vectors."""


@pytest.fixture(scope="session", name="checkpoint")
def checkpoint_fixture(tiny_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(tiny_checkpoint)


def loss_at(
    checkpoint: Checkpoint, folder: Path, loss: LossOptions, rows: Any = TRIPLES
) -> torch.Tensor:
    """Return the loss of the first batch, with a gradient."""
    data, treatment = training_data(folder, rows), open_treatment(checkpoint)
    module = trainable_module(checkpoint, "cpu", with_encoder=False)
    tables = (
        window_table(data.queries, treatment.query_window, checkpoint.pad_id),
        window_table(data.documents, treatment.document_window, checkpoint.pad_id),
    )
    queries, documents = (EncodedTexts(module, table, "cpu", 0) for table in tables)
    batch = next(epoch_batches(data, options().batch, 0))
    return loss_of(Sides(queries=queries, documents=documents), batch, loss)


def narrow(checkpoint: Checkpoint, width: int) -> Checkpoint:
    return replace(checkpoint, projection=first_head(checkpoint, HeadStart.OWN, width, seed=0))


@pytest.mark.parametrize("kind", list(LossKind))
def test_a_normalised_cuts_loss_is_the_plain_loss_of_a_truncated_head(
    checkpoint: Checkpoint, tmp_path: Path, kind: LossKind
) -> None:
    rows = SCORED if kind.needs_teacher else TRIPLES
    plain = LossOptions(kind=kind, temperature=1.0)
    both = replace(plain, cuts=(CUT, 2), cut_weights=(0.5, 3.0), cut_normalized=True)

    whole, of_cut, of_two = (
        float(loss_at(narrow(checkpoint, width), tmp_path, plain, rows).detach())
        for width in (DIM, CUT, 2)
    )

    found = float(loss_at(checkpoint, tmp_path, both, rows).detach())
    assert found == pytest.approx(whole + 0.5 * of_cut + 3 * of_two, rel=SAME_LOSS)
    assert min(of_cut, of_two) > 0


def test_a_cut_is_otherwise_what_a_narrower_field_of_vespa_holds() -> None:
    # 3-4-5: the first component of (0.6, 0.8) stays 0.6, where it would become 1 in its length.
    rows = torch.tensor([[[0.6, 0.8], [-0.8, 0.6]]])
    vectors = PaddedVectors(vectors=rows, mask=torch.ones(1, 2, dtype=torch.bool))

    served = cut_vectors(vectors, 1).vectors.flatten().tolist()
    assert served == pytest.approx([0.6, -0.8])
    again = cut_vectors(vectors, 1, normalized=True).vectors.flatten().tolist()
    assert again == pytest.approx([1.0, -1.0])


def test_a_cuts_loss_moves_no_component_behind_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Of a head whose rows have unit length by themselves, normalised after the cut."""
    data, treatment = training_data(tmp_path), open_treatment(checkpoint)
    module = trainable_module(checkpoint, "cpu", with_encoder=False)
    windows = window_table(data.documents, treatment.document_window, checkpoint.pad_id)
    vectors = EncodedTexts(module, windows, "cpu", 0)(np.arange(3))
    cut = cut_vectors(vectors, CUT, normalized=True)
    (cut.vectors * torch.arange(CUT)).sum().backward()
    gradient = module.projection[0].linear.weight.grad
    scale = float(gradient[:CUT].abs().max())
    assert scale > 0.01
    assert float(gradient[CUT:].abs().max()) <= SAME_LOSS * scale * 10


def test_training_at_a_width_lowers_the_loss_there(checkpoint: Checkpoint, tmp_path: Path) -> None:
    data, plain = training_data(tmp_path), LossOptions(temperature=1.0)
    at_two = replace(plain, cuts=(2,))
    after = {}
    for name, loss in (("whole", plain), ("both", at_two)):
        asked = replace(options(epochs=4, learning_rate=0.02), loss=loss)
        trained = train(checkpoint, data, tmp_path / name, asked).checkpoint
        both, whole = (float(loss_at(trained, tmp_path, each).detach()) for each in (at_two, plain))
        after[name] = both - whole
    assert after["both"] < after["whole"]


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"cuts": (DIM,)}, "below the head's 8, got 8"),
        ({"cuts": (4, 4)}, "each once"),
        ({"cuts": (0,)}, "of 1 at least"),
        ({"cuts": (4,), "cut_weights": (1.0, 2.0)}, "one for each of 1 cuts, got 2"),
        ({"cuts": (4,), "cut_weights": (-1.0,)}, "positive numbers"),
    ],
)
def test_widths_that_cannot_be_are_refused(
    checkpoint: Checkpoint, tmp_path: Path, changes: dict[str, Any], fragment: str
) -> None:
    data = training_data(tmp_path)

    def asked() -> None:
        loss = replace(options().loss, **changes)
        train(checkpoint, data, tmp_path / "run", replace(options(), loss=loss))

    with pytest.raises(SpecError) as caught:
        asked()
    assert fragment in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.layout)
def test_a_checkpoint_of_any_layout_states_its_cuts(tmp_path: Path, layout: LayoutFiles) -> None:
    source = read_checkpoint(layout.build(tmp_path / "source"))
    form = written_form(source, "same")
    output = write_trained(tmp_path / "out", source, form, origin={"cuts": [4, 2, DIM]})

    read = read_checkpoint(output)

    # The whole width is no cut.
    assert read.cuts == (4, 2)
    assert describe_checkpoint(read).facts["cuts"] == [4, 2]
    assert source.cuts == ()
    assert "cuts" not in describe_checkpoint(source).facts
    # Trained once more without cuts, it states none.
    again = write_trained(tmp_path / "again", read, replace(form, cuts=read.cuts))
    assert read_checkpoint(again).cuts == ()


@pytest.mark.parametrize("said", ["{", "[]", '{"origin": 3}', '{"origin": {"cuts": ["a", true]}}'])
def test_a_statement_that_is_not_understood_is_none(
    tiny_checkpoint: Path, tmp_path: Path, said: str
) -> None:
    from vespa_colbert.checkpoint.folder import stated_cuts

    (tmp_path / "checksums.json").write_text(said)
    assert stated_cuts(tmp_path, DIM) == ()
