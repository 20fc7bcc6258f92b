from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.required import import_or_skip
from tests.tiny_checkpoint import DIM, HIDDEN
from tests.train.tiny_training import SCORED, TRIPLES, options, training_data
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.errors import SpecError, TrainingError
from vespa_colbert.export.treatment import score_pairs
from vespa_colbert.model.contextual import ContextualEncoder
from vespa_colbert.train import BatchOptions, Control, HeadStart, StoppedError, TrainingOptions
from vespa_colbert.train.batches import epoch_batches
from vespa_colbert.train.encode import EncodedTexts, hidden_rows
from vespa_colbert.train.heads import first_head, orthonormal_rows
from vespa_colbert.train.log import draw_curves, read_log
from vespa_colbert.train.loop import STATE_FOLDER, Trained, step_count
from vespa_colbert.train.losses import LossKind, LossOptions
from vespa_colbert.train.max_sim import max_sim
from vespa_colbert.train.measure import Measure, TextVectors
from vespa_colbert.train.model import trainable_module
from vespa_colbert.train.schedule import build_optimizer, build_schedule
from vespa_colbert.train.settings import Device, Precision
from vespa_colbert.train.step import Sides, Stepper, loss_of
from vespa_colbert.train.train import train
from vespa_colbert.train.windows import WindowTable, open_treatment, window_table

SAME_SUM = 1e-6
"""float32 sums in another order, of numbers near 1."""
SAME_GRADIENT = 1e-6
"""The requirement, relative to the largest component; computed in float64, where it is far less."""


@pytest.fixture(scope="session", name="checkpoint")
def checkpoint_fixture(tiny_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(tiny_checkpoint)


def weights_of(trained: Trained) -> dict[str, np.ndarray[Any, Any]]:
    layers = {f"head {n}": layer.weight for n, layer in enumerate(trained.checkpoint.projection)}
    return {**trained.checkpoint.encoder.weights, **layers}


def assert_same_bits(one: Trained, other: Trained) -> None:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), name


def sides_of(
    module: ContextualEncoder, checkpoint: Checkpoint, folder: Path, at_once: int = 0
) -> tuple[Any, Sides]:
    data, treatment = training_data(folder), open_treatment(checkpoint)
    tables = [
        window_table(data.queries, treatment.query_window, checkpoint.pad_id),
        window_table(data.documents, treatment.document_window, checkpoint.pad_id),
    ]
    queries, documents = (EncodedTexts(module, table, "cpu", at_once) for table in tables)
    return data, Sides(queries=queries, documents=documents)


def documents_table(checkpoint: Checkpoint, folder: Path) -> WindowTable:
    window = open_treatment(checkpoint).document_window
    return window_table(training_data(folder).documents, window, checkpoint.pad_id)


@pytest.mark.parametrize(
    ("kind", "with_encoder"),
    [
        *((kind, False) for kind in LossKind),
        (LossKind.SOFTMAX, True),
    ],
)
def test_training_lowers_the_loss_on_the_rows_it_sees(
    checkpoint: Checkpoint, tmp_path: Path, kind: LossKind, with_encoder: bool
) -> None:
    rows = SCORED if kind.needs_teacher else TRIPLES
    asked = options(
        kind, epochs=4, with_encoder=with_encoder, learning_rate=0.02, encoder_learning_rate=1e-3
    )
    trained = train(checkpoint, training_data(tmp_path, rows), tmp_path / "run", asked)

    losses = [line["loss"] for line in read_log(trained.log)]
    assert len(losses) == trained.steps == 24
    assert sum(losses[-6:]) < 0.95 * sum(losses[:6])
    before = checkpoint.encoder.weights
    moved = [name for name, array in trained.checkpoint.encoder.weights.items()
             if not np.array_equal(array, before[name])]  # fmt: skip
    assert bool(moved) == with_encoder
    assert not any("pooler" in name for name in moved)


def test_a_score_in_training_is_the_librarys_of_the_trained_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    facts = {
        "start_row_dropped": True,
        "skip_queries": True,
        "expansion_attended": True,
    }
    for made in (checkpoint, replace(checkpoint, **facts)):  # type: ignore[arg-type]
        module = trainable_module(made, "cpu", with_encoder=False)
        data, sides = sides_of(module, made, tmp_path)
        places = np.arange(5)
        queries, documents = sides.queries(places), sides.documents(places)
        with torch.no_grad():
            found = max_sim(queries, documents)
        treatment = open_treatment(made)

        def encode(windows: Any, module: Any = module) -> Any:
            # One at a time, without padding.
            given = [(torch.tensor([w.ids]), torch.tensor([w.attention])) for w in windows]
            with torch.no_grad():
                return [module(*each)[0].numpy() for each in given]

        wanted = score_pairs(
            treatment,
            [treatment.query_window(data.queries[place]) for place in places],
            [treatment.document_window(data.documents[place]) for place in places],
            encode,
        )
        assert np.abs(found.numpy() - wanted).max() <= 10 * SAME_SUM


def test_rows_of_a_frozen_encoder_give_the_vectors_that_it_gives(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    module = trainable_module(checkpoint, "cpu", with_encoder=False)
    windows = documents_table(checkpoint, tmp_path)
    kept = hidden_rows(module, windows, options())
    filed = hidden_rows(module, windows, options(memory_bytes=0), tmp_path / "rows.f32")
    again = hidden_rows(module, windows, options(memory_bytes=0), tmp_path / "rows.f32")
    places = np.array([7, 0, 30, 3])

    wanted = EncodedTexts(module, windows, "cpu", at_once=0)(places)
    for source in (kept, filed, again):
        found = source(places)
        assert found.mask.sum(dim=1).tolist() == wanted.mask.sum(dim=1).tolist()
        difference = (found.vectors[found.mask] - wanted.vectors[wanted.mask]).detach()
        assert float(difference.abs().max()) <= SAME_SUM
    assert (tmp_path / "rows.f32").stat().st_size == int(windows.scored.sum()) * HIDDEN * 4


def test_rows_beyond_the_disk_bound_are_refused_before_any_is_made(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    asked = options(memory_bytes=0, disk_bytes=1000)
    with pytest.raises(SpecError, match="GiB allowed"):
        train(checkpoint, training_data(tmp_path), tmp_path / "run", asked)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_a_gradient_computed_in_parts_is_that_of_the_whole_batch(
    checkpoint: Checkpoint, tmp_path: Path, at_once: int
) -> None:
    gradients = []
    for parts in (0, at_once):
        module = trainable_module(checkpoint, "cpu", with_encoder=True).double()
        module.eval()
        data, sides = sides_of(module, checkpoint, tmp_path, parts)
        batch = next(epoch_batches(data, BatchOptions(size=8, negatives=2), 0))
        loss = loss_of(sides, batch, LossOptions(temperature=1.0))
        loss.backward()
        gradients.append({n: p.grad for n, p in module.named_parameters() if p.grad is not None})
    whole, parted = gradients
    assert whole.keys() == parted.keys()
    assert any("encoder.layer.0" in name for name in whole)
    for name, gradient in whole.items():
        scale = float(gradient.abs().max())
        assert float((gradient - parted[name]).abs().max()) <= SAME_GRADIENT * max(scale, 1e-9), (
            name
        )


def test_dropout_is_drawn_alike_in_both_passes_of_a_part(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    module = trainable_module(checkpoint, "cpu", with_encoder=True)
    data, sides = sides_of(module, checkpoint, tmp_path, at_once=4)
    batch = next(epoch_batches(data, BatchOptions(size=4, negatives=1), 0))
    weight = module.projection[0].linear.weight
    gradients = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        module.zero_grad()
        vectors = sides.documents(batch.documents)
        # The gradient of a dot product with the head's weight is what was made of the hidden rows.
        vectors.vectors[vectors.mask].sum().backward()
        gradients.append(weight.grad.clone())
    assert torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[0], gradients[2])


def test_batches_that_make_one_step_share_it_equally(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    module = trainable_module(checkpoint, "cpu", with_encoder=False)
    data, sides = sides_of(module, checkpoint, tmp_path)
    asked = options(clip=0.0)
    batches = list(epoch_batches(data, asked.batch, 0))[:2]
    each = []
    for batch in batches:
        module.zero_grad()
        loss = loss_of(sides, batch, asked.loss)
        loss.backward()
        each.append((loss.item(), module.projection[0].linear.weight.grad.clone()))

    result = Stepper(module, asked, "cpu", 10).step(sides, batches)

    assert result.loss == pytest.approx((each[0][0] + each[1][0]) / 2, rel=SAME_SUM)
    mean = (each[0][1] + each[1][1]) / 2
    found = module.projection[0].linear.weight.grad
    assert float((found - mean).abs().max()) <= SAME_SUM * float(mean.abs().max())
    assert result.gradient == pytest.approx(float(mean.norm()), rel=1e-5)


def test_a_gradient_is_no_longer_than_allowed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    module = trainable_module(checkpoint, "cpu", with_encoder=False)
    data, sides = sides_of(module, checkpoint, tmp_path)
    asked = options(clip=0.125)
    batch = next(epoch_batches(data, asked.batch, 0))
    result = Stepper(module, asked, "cpu", 10).step(sides, [batch])
    assert result.gradient > 2 * 0.125
    assert float(module.projection[0].linear.weight.grad.norm()) == pytest.approx(0.125, rel=1e-4)


def test_rates_rise_in_a_line_and_fall_as_half_a_cosine(checkpoint: Checkpoint) -> None:
    module = trainable_module(checkpoint, "cpu", with_encoder=True)
    asked = options(warm_up=0.2, learning_rate=1.0, encoder_learning_rate=0.5, with_encoder=True)
    optimizer = build_optimizer(module, asked)
    schedule = build_schedule(optimizer, asked, steps=10)
    rates = []
    for _step in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    wanted = [0, 0.5, *((1 + math.cos(math.pi * step / 8)) / 2 for step in range(8))]
    assert rates == pytest.approx(wanted, abs=1e-12)
    groups = optimizer.param_groups
    assert {group["initial_lr"] for group in groups} == {1.0, 0.5}
    for group in groups:
        assert {p.ndim >= 2 for p in group["params"]} == {group["weight_decay"] > 0}
    trained = sum(len(group["params"]) for group in groups)
    assert trained == len(list(module.parameters()))


class Dictated:
    """A measure whose values are given, and which notes the head at each."""

    def __init__(self, *values: float, higher: bool = True) -> None:
        self.values, self.heads = list(values), list[Any]()
        self.measure = Measure(name="nDCG@10", value=self, higher_is_better=higher)

    def __call__(self, vectors: TextVectors) -> float:
        self.heads.append(vectors._module.projection[0].linear.weight.detach().clone().numpy())
        torch.rand(3)  # a measure that draws numbers does not move the run
        assert len(vectors.queries(["a rose", "b"])) == 2
        return self.values[len(self.heads) - 1]


@pytest.mark.parametrize(
    ("values", "higher"), [((0.1, 0.5, 0.4, 0.5, 0.9), True), ((9, 2, 3, 2, 1), False)]
)
def test_a_run_ends_when_its_measure_stops_improving_and_gives_the_best_weights(
    checkpoint: Checkpoint, tmp_path: Path, values: tuple[float, ...], higher: bool
) -> None:
    dictated = Dictated(*values, higher=higher)
    asked = options(epochs=9, evaluate_every=2, patience=2)
    trained = train(
        checkpoint, training_data(tmp_path), tmp_path / "run", asked, measure=dictated.measure
    )
    assert trained.position.step == 8 < trained.steps
    assert (trained.position.best, trained.position.best_step) == (values[1], 4)
    assert np.array_equal(trained.checkpoint.projection[0].weight, dictated.heads[1])
    lines = [line for line in read_log(trained.log) if "measure" in line]
    assert [(line["step"], line["value"]) for line in lines] == [
        (2, values[0]), (4, values[1]), (6, values[2]), (8, values[3]),
    ]  # fmt: skip


def test_vectors_for_a_measure_are_those_that_score(checkpoint: Checkpoint) -> None:
    module = trainable_module(checkpoint, "cpu", with_encoder=False)
    treatment = open_treatment(checkpoint)
    frozen = TextVectors(module, treatment, options(), "cpu")
    trained = TextVectors(module, treatment, options(with_encoder=True), "cpu")
    texts = ["a rose, is it?", "moss", *(f"{n} roses" for n in range(20))]
    for one, other in (
        (frozen.documents(texts), trained.documents(texts)),
        (frozen.queries(texts), trained.queries(texts)),
    ):
        assert [row.shape for row in one] == [row.shape for row in other]
        assert all(np.abs(a - b).max() <= SAME_SUM for a, b in zip(one, other, strict=True))
    # Start, marker, "a", "rose", "is", "i", "##t" and end; the comma and the question mark do not.
    assert frozen.documents(texts)[0].shape == (8, DIM)
    assert frozen.queries(texts)[1].shape == (checkpoint.max_query_tokens, DIM)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2, "evaluate_every": 3},
        {"epochs": 2, "with_encoder": True, "texts_at_once": 5, "accumulate": 2},
        {"epochs": 2, "with_encoder": True, "precision": Precision.BF16},
    ],
    ids=["head", "encoder", "bf16"],
)
def test_a_stopped_run_goes_on_to_the_same_weights_and_losses(
    checkpoint: Checkpoint, tmp_path: Path, changes: dict[str, Any]
) -> None:
    data, asked = training_data(tmp_path), options(**changes)
    held_out = data if asked.evaluate_every else None
    whole = train(checkpoint, data, tmp_path / "whole", asked, measure=held_out)
    for at in (2, 5):
        reached: list[int] = []

        def should_stop(at: int = at, reached: list[int] = reached) -> bool:
            log = read_log(tmp_path / "parts" / "log.jsonl")
            reached[:] = [line["step"] for line in log[-1:]]
            return reached[-1:] == [at]

        control = Control(resume=True, should_stop=should_stop)
        with pytest.raises(StoppedError, match=f"after step {at} of"):
            train(checkpoint, data, tmp_path / "parts", asked, measure=held_out, control=control)
    resumed = train(
        checkpoint,
        data,
        tmp_path / "parts",
        asked,
        measure=held_out,
        control=Control(resume=True),
    )
    assert_same_bits(whole, resumed)
    assert whole.log.read_text() == resumed.log.read_text()
    assert whole.position == resumed.position


def test_a_run_that_died_after_its_last_step_has_nothing_left_to_do(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    data, asked, steps = training_data(tmp_path), options(epochs=2), list[int]()
    whole = train(checkpoint, data, tmp_path / "run", asked, measure=data)
    log = whole.log.read_text()

    def track(label: str, _total: int) -> Any:
        return nullcontext(lambda done: steps.append(done) if label == "steps" else None)

    control = Control(resume=True, track=track)
    again = train(checkpoint, data, tmp_path / "run", asked, measure=data, control=control)
    assert steps == []
    assert_same_bits(whole, again)
    assert (again.position, again.loss) == (whole.position, whole.loss)
    assert again.log.read_text() == log


def test_seeds_alone_make_runs_differ(checkpoint: Checkpoint, tmp_path: Path) -> None:
    data = training_data(tmp_path)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    runs = [
        train(
            checkpoint,
            data,
            tmp_path / f"run{place}",
            options(with_encoder=True, batch=BatchOptions(size=4, negatives=1, seed=seed)),
        )
        for place, seed in enumerate((5, 5, 6))
    ]
    assert_same_bits(runs[0], runs[1])
    assert not np.array_equal(
        runs[0].checkpoint.projection[0].weight, runs[2].checkpoint.projection[0].weight
    )
    assert torch.equal(torch.get_rng_state(), state)


def half_done(checkpoint: Checkpoint, folder: Path) -> TrainingOptions:
    asked = options(epochs=2, save_every=1)
    data = training_data(folder)
    seen: list[int] = []

    def should_stop() -> bool:
        there = (folder / "run" / STATE_FOLDER).is_dir()
        seen.append(there)
        return there

    with pytest.raises(StoppedError):
        train(checkpoint, data, folder / "run", asked, control=Control(should_stop=should_stop))
    return asked


def test_a_state_is_not_overwritten_unless_it_is_resumed(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    asked = half_done(checkpoint, tmp_path)
    with pytest.raises(TrainingError, match="resume it, or remove it"):
        train(checkpoint, training_data(tmp_path), tmp_path / "run", asked)


@pytest.mark.parametrize("other", ["options", "training data", "checkpoint", "measure"])
def test_a_state_of_another_run_is_refused_by_name(
    checkpoint: Checkpoint, tmp_path: Path, other: str
) -> None:
    asked, data, source = half_done(checkpoint, tmp_path), training_data(tmp_path), checkpoint
    measure = None
    if other == "options":
        asked = replace(asked, learning_rate=0.5)
    elif other == "training data":
        data = training_data(tmp_path, TRIPLES[1:])
    elif other == "checkpoint":
        source = replace(checkpoint, max_query_tokens=9)
    else:
        measure = Dictated(1.0).measure
    with pytest.raises(TrainingError, match=f"with other {other};.*or remove"):
        train(
            source,
            data,
            tmp_path / "run",
            asked,
            measure=measure,
            control=Control(resume=True),
        )


def test_options_that_move_no_weight_may_change(checkpoint: Checkpoint, tmp_path: Path) -> None:
    asked = replace(half_done(checkpoint, tmp_path), save_every=7, device=Device.AUTO)
    train(
        checkpoint, training_data(tmp_path), tmp_path / "run", asked, control=Control(resume=True)
    )


@pytest.mark.parametrize("name", ["state.pt", "state.json"])
def test_a_damaged_state_is_refused(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    asked = half_done(checkpoint, tmp_path)
    path = tmp_path / "run" / STATE_FOLDER / name
    path.write_bytes(path.read_bytes()[:-9] + b"x")
    with pytest.raises(TrainingError, match="remove .* to begin anew"):
        train(
            checkpoint,
            training_data(tmp_path),
            tmp_path / "run",
            asked,
            control=Control(resume=True),
        )


@pytest.mark.parametrize(
    ("kind", "rows", "changes", "fragment"),
    [
        (LossKind.MARGIN_MSE, TRIPLES, {}, "teacher's scores, got rows without"),
        (LossKind.HINGE, [{"query": "a", "positive": "b"}], {}, "on line 1 and 1 lines in all"),
        (LossKind.HINGE, TRIPLES, {"batch": BatchOptions(negatives=0)}, "got 0"),
        (LossKind.SOFTMAX, TRIPLES, {"dims": DIM + 1}, "at most the head's own 8"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_begins(
    checkpoint: Checkpoint,
    tmp_path: Path,
    kind: LossKind,
    rows: Any,
    changes: dict[str, Any],
    fragment: str,
) -> None:
    with pytest.raises(SpecError, match=fragment):
        train(checkpoint, training_data(tmp_path, rows), tmp_path / "run", options(kind, **changes))
    assert not (tmp_path / "run").exists()


def test_options_that_cannot_be_are_named_together() -> None:
    with pytest.raises(SpecError) as caught:
        options(epochs=0, learning_rate=math.nan, clip=-1.0, warm_up=1.0, dims=0)
    assert len(caught.value.faults) == 5


def test_a_loss_that_is_not_finite_ends_the_run(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower learning rates"):
        train(
            checkpoint,
            training_data(tmp_path),
            tmp_path / "run",
            options(learning_rate=1e30, epochs=3, warm_up=0.0, with_encoder=True,
                    encoder_learning_rate=1e30),
        )  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected a CUDA GPU, got none"):
        train(checkpoint, training_data(tmp_path), tmp_path / "run", options(device=Device.CUDA))


def test_narrow_products_train_about_the_same(checkpoint: Checkpoint, tmp_path: Path) -> None:
    losses = {}
    for precision in Precision:
        asked = options(precision=precision, with_encoder=True, epochs=1)
        folder = tmp_path / precision
        trained = train(checkpoint, training_data(tmp_path), folder, asked)
        losses[precision] = [line["loss"] for line in read_log(trained.log)]
        assert trained.checkpoint.projection[0].weight.dtype == np.float32
    # bfloat16 has 8 bits: products are off by 0.4 %, a loss near 2 by less than 0.1.
    for narrow in (Precision.BF16, Precision.FP16):
        assert losses[narrow] == pytest.approx(losses[Precision.FP32], abs=0.1)
        assert losses[narrow] != losses[Precision.FP32]


@pytest.mark.parametrize(("width", "dim"), [(16, 8), (8, 16), (8, 8)])
def test_a_new_head_has_orthonormal_rows_or_columns(width: int, dim: int) -> None:
    rows = orthonormal_rows(width, dim, seed=1).astype(np.float64)
    assert rows.shape == (dim, width)
    product = rows @ rows.T if dim <= width else rows.T @ rows
    assert np.abs(product - np.eye(min(width, dim))).max() <= SAME_SUM
    assert not np.array_equal(rows, orthonormal_rows(width, dim, seed=2))


def test_a_head_begins_with_its_own_first_components_or_anew(checkpoint: Checkpoint) -> None:
    own = checkpoint.projection[0].weight
    (cut,) = first_head(checkpoint, HeadStart.OWN, 5, seed=0)
    assert np.array_equal(cut.weight, own[:5])
    (wide,) = first_head(checkpoint, HeadStart.NEW, 12, seed=0)
    assert wide.weight.shape == (12, HIDDEN)
    assert first_head(checkpoint, HeadStart.OWN, None, seed=0) is checkpoint.projection
    summed = replace(checkpoint.projection[0], residual=True)
    with pytest.raises(SpecError, match="cannot be cut to 5"):
        first_head(replace(checkpoint, projection=(summed,)), HeadStart.OWN, 5, seed=0)


def test_the_steps_are_those_of_all_epochs(tmp_path: Path) -> None:
    # 23 examples in batches of 4 are 6 batches; 2 of them a step are 3 steps an epoch.
    assert step_count(training_data(tmp_path), options(epochs=5, accumulate=2)) == 15


def test_curves_are_drawn_of_a_log_the_same_each_time(tmp_path: Path) -> None:
    import_or_skip("matplotlib")
    lines: list[dict[str, Any]] = [{"step": n, "loss": 1 / n} for n in range(1, 40)]
    lines += [{"step": n, "measure": "nDCG@10", "value": n / 40} for n in (10, 20, 30)]
    one = draw_curves(lines, tmp_path / "one.svg").read_text()
    assert one.startswith("<?xml")
    assert "nDCG@10" in one
    assert one == draw_curves(lines, tmp_path / "two.svg").read_text()


def test_a_log_that_was_cut_in_a_line_is_read_up_to_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "lo')
    assert read_log(path) == [{"step": 1}]
