from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checkpoint.layout_folders import BGE_M3, LAYOUTS, MULTI, PYLATE, STANFORD, LayoutFiles
from tests.tiny_checkpoint import DIM, HIDDEN
from vespa_colbert.arrays import pack_bits
from vespa_colbert.checkpoint import (
    Checkpoint,
    ProjectionLayer,
    PyLateSettings,
    read_checkpoint,
    write_pylate_checkpoint,
)
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import ArrayError, SpecError
from vespa_colbert.export import export_checkpoint
from vespa_colbert.train import HeadStart
from vespa_colbert.train.fold import fold
from vespa_colbert.train.layouts import write_trained, written_form
from vespa_colbert.train.surgery import HeadMethod, HeadOptions, NewHead, change_head

SAME_SCORE = 1e-5
"""MaxSim of a dozen unit rows in float32, whose components differ by a few units in the last place
after a rotation."""
EXPORTED = 2e-5
"""ONNX Runtime beside torch: components of unit vectors within 1e-5, summed over a dozen rows."""
SAME_ROW = 2e-5
"""Components of rows of a length of about 5, computed in another order."""
TEXTS = tuple(
    f"{word} is a {other} {place} times {word} {other}"
    for place in range(3)
    for word in ("rose", "ivy", "hello", "x y z", "abc")
    for other in ("lily", "a b c", "rose is", "tree", "q r")
)
QUERIES = ("what is a rose", "ivy tree x", "hello abc")


def rows_of(layers: Sequence[ProjectionLayer], hidden: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the model's own layers make of rows, before they are normalised."""
    import torch

    from vespa_colbert.model.contextual import ContextualEncoder

    module = ContextualEncoder(torch.nn.Identity(), tuple(layers))
    with torch.no_grad():
        found: NDArray[np.float32] = module.projection(torch.from_numpy(hidden)).numpy()
    return found


def random_layer(width: int, dim: int, **changes: Any) -> ProjectionLayer:
    weight = np.random.default_rng(width + dim).standard_normal((dim, width)).astype(np.float32)
    return ProjectionLayer(weight=weight, **changes)


BIAS = np.linspace(-1, 1, DIM).astype(np.float32)
SQUARE = random_layer(DIM, DIM)
PROJECTIONS = {
    "plain": (random_layer(HIDDEN, DIM),),
    "bias": (random_layer(HIDDEN, DIM, bias=BIAS),),
    "residual": (replace(SQUARE, residual=True),),
    "residual-weight": (
        random_layer(HIDDEN, DIM, residual=True, residual_weight=random_layer(HIDDEN, DIM).weight),
    ),
    "two": (random_layer(HIDDEN, 12, activation="gelu"), random_layer(12, DIM, bias=BIAS)),
    "activation": (random_layer(HIDDEN, DIM, bias=BIAS, activation="tanh"),),
    "activation-residual": (replace(SQUARE, residual=True, activation="relu"),),
}


@pytest.mark.parametrize("name", PROJECTIONS)
@pytest.mark.parametrize("centered", [False, True])
def test_a_folded_map_gives_what_the_map_gives_behind_the_layers(name: str, centered: bool) -> None:
    layers, random = PROJECTIONS[name], np.random.default_rng(0)
    hidden = random.standard_normal((40, layers[0].in_features)).astype(np.float32)
    matrix, center = random.standard_normal((5, DIM)), random.standard_normal(DIM)
    before = rows_of(layers, hidden).astype(np.float64)
    wanted = (before - center if centered else before) @ matrix.T
    folded = fold(layers, matrix, center if centered else None)
    assert np.abs(rows_of(folded, hidden) - wanted).max() <= SAME_ROW * 5
    assert len(folded) == len(layers) + name.startswith("activation")
    assert not folded[-1].residual


def options(**changes: Any) -> HeadOptions:
    return HeadOptions(**{"device": "cpu", **changes})


def vectors_of(
    checkpoint: Checkpoint, texts: Sequence[str], *, query: bool
) -> list[NDArray[np.float32]]:
    """Return the token vectors that score, as the training library has them."""
    from tests.train.tiny_training import options as training_options
    from vespa_colbert.train.measure import TextVectors
    from vespa_colbert.train.model import trainable_module
    from vespa_colbert.train.windows import open_treatment

    module = trainable_module(checkpoint, "cpu", with_encoder=False)
    vectors = TextVectors(module, open_treatment(checkpoint), training_options(), "cpu")
    return vectors.queries(texts) if query else vectors.documents(texts)


def hidden_of(checkpoint: Checkpoint) -> NDArray[np.float32]:
    """Return the encoder's rows of all texts that score, in any order."""
    from vespa_colbert.train.encode import encoded_rows
    from vespa_colbert.train.model import trainable_module
    from vespa_colbert.train.windows import open_treatment, window_table

    module = trainable_module(checkpoint, "cpu", with_encoder=False)
    windows = window_table(TEXTS, open_treatment(checkpoint).document_window, checkpoint.pad_id)
    return np.concatenate([rows for _places, rows in encoded_rows(module, windows, "cpu")])


def scores_of(checkpoint: Checkpoint, width: int | None = None) -> NDArray[np.float64]:
    """Return the library's scores: (query, document)."""
    queries = vectors_of(checkpoint, QUERIES, query=True)
    documents = vectors_of(checkpoint, TEXTS[:9], query=False)

    def score(query: NDArray[np.float32], document: NDArray[np.float32]) -> float:
        left, right = query[:, :width].astype(np.float64), document[:, :width].astype(np.float64)
        best = (left @ right.T).max(axis=1)
        return float(best.mean() if checkpoint.mean_score else best.sum())

    return np.array([[score(query, document) for document in documents] for query in queries])


@pytest.fixture(name="source", scope="module")
def source_fixture(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return read_checkpoint(PYLATE.build(tmp_path_factory.mktemp("head") / "source"))


@pytest.mark.parametrize("method", HeadMethod)
def test_a_rotated_head_scores_as_before_and_packs_otherwise(
    source: Checkpoint, method: HeadMethod
) -> None:
    made = change_head(source, TEXTS, options(method=method))
    assert made.rotated_only
    assert made.checkpoint.dim == DIM
    assert np.abs(scores_of(made.checkpoint) - scores_of(source)).max() <= SAME_SCORE
    before, after = (
        np.concatenate(vectors_of(each, TEXTS, query=False)) for each in (source, made.checkpoint)
    )
    assert (pack_bits(before) != pack_bits(after)).any()
    if method is HeadMethod.ITQ:
        assert made.sign_error_before is not None
        assert made.sign_error < made.sign_error_before


def test_the_first_components_hold_what_the_rest_leaves(source: Checkpoint) -> None:
    """Measured on the vectors themselves: what the head says of a cut is what the cut has."""
    made = change_head(source, TEXTS, options(method=HeadMethod.PCA, cuts=(2, 5)))
    vectors = np.concatenate(vectors_of(made.checkpoint, TEXTS, query=False)).astype(np.float64)
    held = np.square(vectors).mean(axis=0)
    assert (np.diff(held) <= 1e-6).all()
    assert made.shares == pytest.approx({2: held[:2].sum(), 5: held[:5].sum(), DIM: 1.0}, abs=1e-6)
    assert made.rows == len(vectors)


def test_between_cuts_the_float_scores_of_a_cut_are_those_of_pca(source: Checkpoint) -> None:
    principal = change_head(source, TEXTS, options(method=HeadMethod.PCA)).checkpoint
    rotated = change_head(source, TEXTS, options(cuts=(3, 6))).checkpoint
    for width in (3, 6, None):
        difference = scores_of(principal, width) - scores_of(rotated, width)
        assert np.abs(difference).max() <= SAME_SCORE
    assert np.abs(scores_of(principal, 4) - scores_of(rotated, 4)).max() > SAME_SCORE * 100


def test_a_narrower_head_is_the_part_of_the_wide_one_that_holds_most(source: Checkpoint) -> None:
    wide = change_head(source, TEXTS, options(method=HeadMethod.PCA)).checkpoint
    narrow = change_head(source, TEXTS, options(method=HeadMethod.PCA, dims=4))
    assert not narrow.rotated_only
    assert np.array_equal(narrow.checkpoint.projection[0].weight, wide.projection[0].weight[:4])


@pytest.mark.parametrize("method", HeadMethod)
def test_a_new_head_of_all_the_encoders_width_keeps_its_cosines(
    source: Checkpoint, method: HeadMethod
) -> None:
    same = replace(source, projection=(ProjectionLayer(weight=np.eye(HIDDEN, dtype=np.float32)),))
    made = change_head(source, TEXTS, options(method=method, start=HeadStart.NEW, dims=HIDDEN))
    assert np.abs(scores_of(made.checkpoint) - scores_of(same)).max() <= SAME_SCORE
    assert made.sign_error_before is None
    assert not made.rotated_only


def test_a_centered_head_subtracts_the_mean_in_the_length_of_each_row(source: Checkpoint) -> None:
    made = change_head(source, TEXTS, options(method=HeadMethod.PCA, centered=True))
    (layer,) = made.checkpoint.projection
    assert layer.bias is not None
    plain = np.linalg.solve(
        layer.weight.astype(np.float64)
        @ np.linalg.pinv(source.projection[0].weight.astype(np.float64)),
        -layer.bias.astype(np.float64),
    )
    rows = rows_of(source.projection, hidden_of(source)).astype(np.float64)
    weights = 1 / np.square(rows).sum(axis=1)
    assert np.abs(plain - weights @ rows / weights.sum()).max() <= SAME_ROW
    assert np.abs(scores_of(made.checkpoint) - scores_of(source)).max() > SAME_SCORE * 100


@pytest.mark.parametrize("method", HeadMethod)
@pytest.mark.parametrize("whitening", [0.5, 1.0])
def test_whitened_components_hold_equally_much_or_half_as_unequally(
    source: Checkpoint, method: HeadMethod, whitening: float
) -> None:
    """In the length that each row had before; the eigenvalues do not depend on the rotation."""
    made = change_head(source, TEXTS, options(method=method, whitening=whitening))
    hidden = hidden_of(source)
    before, after = (
        rows_of(each.projection, hidden).astype(np.float64) for each in (source, made.checkpoint)
    )
    lengths = np.linalg.norm(before, axis=1, keepdims=True)
    values, whitened = (
        np.linalg.eigvalsh((rows / lengths).T @ (rows / lengths))[::-1] for rows in (before, after)
    )
    wanted = (values / values[0]) ** (1 - whitening)
    assert np.abs(whitened / whitened[0] - wanted).max() <= SAME_ROW
    assert not made.rotated_only


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.layout)
def test_every_layout_takes_its_new_head(tmp_path: Path, layout: LayoutFiles) -> None:
    source = read_checkpoint(layout.build(tmp_path / "source"))
    for place, asked in enumerate((
        options(dims=5),
        options(start=HeadStart.NEW, dims=12, method=HeadMethod.PCA),
    )):
        made = change_head(written_form(source, "same"), TEXTS, asked).checkpoint
        read = read_checkpoint(write_trained(tmp_path / str(place), source, made))
        assert (read.layout, read.dim) == (layout.layout, asked.dims)
        assert np.array_equal(read.projection[0].weight, made.projection[0].weight)


@pytest.mark.parametrize("layout", [PYLATE, MULTI, BGE_M3], ids=lambda layout: layout.layout)
def test_layouts_with_a_bias_can_be_centered(tmp_path: Path, layout: LayoutFiles) -> None:
    source = read_checkpoint(layout.build(tmp_path / "source"))
    made = change_head(source, TEXTS, options(centered=True)).checkpoint
    (read,) = read_checkpoint(write_trained(tmp_path / "out", source, made)).projection
    assert read.bias is not None
    assert made.projection[0].bias is not None
    assert np.array_equal(read.bias, made.projection[0].bias)


def test_a_layout_without_a_bias_says_so_and_pylate_takes_it(tmp_path: Path) -> None:
    source = read_checkpoint(STANFORD.build(tmp_path / "source"))
    with pytest.raises(SpecError, match=r"stanford .* no bias.*--layout pylate"):
        change_head(source, TEXTS, options(centered=True))
    made = change_head(written_form(source, "pylate"), TEXTS, options(centered=True)).checkpoint
    output = write_trained(tmp_path / "out", source, made, layout="pylate")
    assert read_checkpoint(output).projection[0].bias is not None


@pytest.mark.parametrize("layout", [PYLATE, MULTI], ids=lambda layout: layout.layout)
def test_behind_an_activation_a_layer_is_added(tmp_path: Path, layout: LayoutFiles) -> None:
    folder = layout.build(tmp_path / "source")
    from tests.tiny_checkpoint import edit_json

    edit_json(
        folder / "1_Dense" / "config.json", activation_function="torch.nn.modules.activation.Tanh"
    )
    source = read_checkpoint(folder)
    made = change_head(source, TEXTS, options(dims=6)).checkpoint
    read = read_checkpoint(write_trained(tmp_path / "out", source, made))
    assert [layer.activation for layer in read.projection] == ["tanh", "identity"]
    assert read.dim == 6
    whole = change_head(source, TEXTS, options()).checkpoint
    assert np.abs(scores_of(whole) - scores_of(source)).max() <= SAME_SCORE


def build_two_layers(folder: Path) -> Path:
    plain = PYLATE.build(folder.with_name("plain"))
    layers = (random_layer(HIDDEN, 12, activation="gelu"), random_layer(12, DIM, bias=BIAS))
    settings = PyLateSettings(
        query_prefix="[unused0]", document_prefix="[unused1]", query_length=10, document_length=20
    )
    return write_pylate_checkpoint(folder, encoder=plain, projection=layers, settings=settings)


@pytest.mark.parametrize(
    "build",
    [
        PYLATE.build,
        *(
            pytest.param(build, marks=pytest.mark.slow)
            for build in (STANFORD.build, MULTI.build, BGE_M3.build, build_two_layers)
        ),
    ],
    ids=["pylate", "stanford", "multi-vector", "bge-m3", "two-layers"],
)
def test_the_new_checkpoint_exports_without_a_flag_and_scores_as_the_old_one(
    tmp_path: Path, build: Callable[[Path], Path]
) -> None:
    source = read_checkpoint(build(tmp_path / "source"))
    made = change_head(source, TEXTS, options())
    output = write_trained(tmp_path / "out", source, made.checkpoint)
    embedder = LocalEmbedder(
        export_checkpoint(read_checkpoint(output), tmp_path / "model"), threads=1
    )
    # Without punctuation, which native files have Vespa drop before the encoder and not after it.
    documents = [embedder.embed(text, "document").astype(np.float64) for text in TEXTS[:9]]
    found = [
        [(embedder.embed(query, "query") @ rows.T).max(axis=1).sum() for rows in documents]
        for query in QUERIES
    ]
    assert np.abs(np.array(found) - scores_of(source)).max() <= EXPORTED


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"dims": DIM + 1}, "at most the head's own 8, got 9"),
        ({"dims": HIDDEN + 1, "start": HeadStart.NEW}, "at most the encoder's 16, got 17"),
        ({"dims": 4, "cuts": (4,)}, "below the head's 4, got 4"),
    ],
)
def test_widths_that_cannot_be_are_refused(
    source: Checkpoint, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(SpecError, match=told):
        change_head(source, TEXTS, options(**wrong))


def test_all_faults_of_the_options_are_told_together() -> None:
    with pytest.raises(SpecError) as caught:
        options(dims=0, seed=-1, most_texts=-2, cuts=(0,), whitening=1.5)
    assert len(caught.value.faults) == 5


def test_no_texts_make_no_head(source: Checkpoint) -> None:
    with pytest.raises(ArrayError, match="give more texts"):
        change_head(source, (), options())


def test_the_seed_draws_the_texts_and_turns_the_head(source: Checkpoint) -> None:
    def made(**changes: Any) -> NewHead:
        return change_head(source, TEXTS, options(most_texts=20, **changes))

    one, again, other = made(seed=1), made(seed=1), made(seed=2)
    weights = [each.checkpoint.projection[0].weight for each in (one, again, other)]
    assert one.texts == 20
    assert np.array_equal(weights[0], weights[1])
    assert not np.allclose(weights[0], weights[2])
