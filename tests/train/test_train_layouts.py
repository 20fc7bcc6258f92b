from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.checkpoint.layout_folders import (
    BGE_M3,
    LAYOUTS,
    METADATA,
    MULTI,
    PYLATE,
    STANFORD,
    LayoutFiles,
)
from tests.tiny_checkpoint import DIM, HIDDEN, edit_json
from tests.train.tiny_training import options, training_data
from vespa_colbert.checkpoint import Checkpoint, ReadOptions, read_checkpoint
from vespa_colbert.errors import CheckpointError, OutputError
from vespa_colbert.export import export_checkpoint
from vespa_colbert.train import HeadStart
from vespa_colbert.train.layouts import write_trained, written_form
from vespa_colbert.train.train import train

EXPORTED = 2e-5
"""ONNX Runtime beside torch: components of unit vectors within 1e-5, summed over a dozen rows."""


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "checksums.json"
    }


def trained_like(checkpoint: Checkpoint, *, encoder: bool = False, dim: int = 0) -> Checkpoint:
    """Return a checkpoint with other weights, as training would give them."""
    generator = np.random.default_rng(4)
    layers = tuple(
        replace(
            layer,
            weight=generator.standard_normal((dim or layer.out_features, layer.in_features)).astype(
                np.float32
            ),
            bias=None if layer.bias is None else layer.bias[: dim or None] + np.float32(1),
        )
        for layer in checkpoint.projection
    )
    if not encoder:
        return replace(checkpoint, projection=layers)
    moved = {
        name: array + np.float32(0.01) if array.dtype == np.float32 else array
        for name, array in checkpoint.encoder.weights.items()
    }
    return replace(
        checkpoint, projection=layers, encoder=replace(checkpoint.encoder, weights=moved)
    )


CHANGED: dict[str, set[str]] = {
    "pylate": {"1_Dense/model.safetensors"},
    "multi-vector": {"1_Dense/model.safetensors"},
    "stanford": {"model.safetensors"},
    "bge-m3": {"colbert_linear.safetensors", "colbert_linear.pt"},
}
RESIZED = {
    "pylate": {"1_Dense/config.json"},
    "multi-vector": {"1_Dense/config.json"},
    "stanford": {METADATA},
    "bge-m3": set[str](),
}


def without_format(name: str, source: Path, output: Path) -> bool:
    """Return whether a JSON file says the same in both folders."""
    import json

    if not name.endswith((".json", METADATA)):
        return False
    return bool(json.loads((source / name).read_text()) == json.loads((output / name).read_text()))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.layout)
@pytest.mark.parametrize(("encoder", "dim"), [(False, 0), (False, 5), (True, 0)])
def test_a_trained_checkpoint_reads_back_in_its_layout(
    tmp_path: Path, layout: LayoutFiles, encoder: bool, dim: int
) -> None:
    source_folder = layout.build(tmp_path / "source")
    source = read_checkpoint(source_folder)
    wanted = trained_like(written_form(source, "same"), encoder=encoder, dim=dim)

    output = write_trained(tmp_path / "out", source, wanted)

    read = read_checkpoint(output)
    assert read.layout == layout.layout
    assert np.array_equal(read.projection[0].weight, wanted.projection[0].weight)
    for name, array in wanted.encoder.weights.items():
        assert np.array_equal(read.encoder.weights[name], array), name
    before, after = digests(source_folder), digests(output)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    changed = {
        name
        for name in changed
        if name not in before or name not in after
        or not without_format(name, source_folder, output)
    }  # fmt: skip
    allowed = CHANGED[layout.layout] | (RESIZED[layout.layout] if dim else set())
    assert changed == allowed | ({"model.safetensors"} if encoder else set())


def test_a_bge_m3_head_is_written_beside_an_encoder_of_which_no_byte_changes(
    tmp_path: Path,
) -> None:
    import torch

    folder = BGE_M3.build(tmp_path / "source")
    weights, head = folder / "model.safetensors", folder / "colbert_linear.safetensors"
    from safetensors.torch import load_file

    # As it is published: torch files throughout, and a sparse head.
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    torch.save(load_file(head), folder / "colbert_linear.pt")
    torch.save({"weight": torch.randn(1, HIDDEN)}, folder / "sparse_linear.pt")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"the model in another format")
    weights.unlink()
    head.unlink()
    allowed = ReadOptions(allow_pickle=True)
    source = read_checkpoint(folder, allowed)
    wanted = trained_like(source)

    beside = write_trained(tmp_path / "beside", source, wanted, options=allowed)
    alone = write_trained(tmp_path / "alone", source, wanted, layout="stand-alone", options=allowed)

    before, after = digests(folder), digests(beside)
    del before["onnx/model.onnx"], before["colbert_linear.pt"]
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"colbert_linear.pt", "colbert_linear.safetensors"}
    loaded = torch.load(beside / "colbert_linear.pt", weights_only=True)
    # What FlagEmbedding does with the file.
    torch.nn.Linear(HIDDEN, DIM).load_state_dict(loaded)
    assert np.array_equal(loaded["weight"].numpy(), wanted.projection[0].weight)
    # The stand-alone one needs no permission, and no sparse head.
    read = read_checkpoint(alone)
    assert np.array_equal(read.projection[0].weight, wanted.projection[0].weight)
    assert not list(alone.glob("*.bin"))
    assert not (alone / "sparse_linear.pt").exists()
    assert (alone / "colbert_linear.pt").is_file()


def test_a_trained_encoder_takes_the_sparse_head_away(tmp_path: Path) -> None:
    folder = BGE_M3.build(tmp_path / "source")
    (folder / "sparse_linear.pt").write_bytes(b"of the encoder as it was")
    source = read_checkpoint(folder)
    kept = write_trained(tmp_path / "kept", source, trained_like(source))
    assert (kept / "sparse_linear.pt").read_bytes() == b"of the encoder as it was"
    moved = write_trained(tmp_path / "moved", source, trained_like(source, encoder=True))
    assert not (moved / "sparse_linear.pt").exists()


def test_a_head_of_several_layers_gives_way_to_a_new_one(tmp_path: Path) -> None:
    from vespa_colbert.checkpoint import ProjectionLayer, PyLateSettings, write_pylate_checkpoint
    from vespa_colbert.train.heads import orthonormal_rows

    plain = PYLATE.build(tmp_path / "plain")
    first = ProjectionLayer(weight=orthonormal_rows(HIDDEN, 12, 0), activation="tanh")
    second = ProjectionLayer(weight=orthonormal_rows(12, DIM, 0))
    settings = PyLateSettings(
        query_prefix="[unused0]", document_prefix="[unused1]", query_length=10, document_length=20
    )
    folder = write_pylate_checkpoint(
        tmp_path / "two", encoder=plain, projection=(first, second), settings=settings
    )
    source = read_checkpoint(folder)
    new = ProjectionLayer(weight=orthonormal_rows(HIDDEN, 6, 1))
    output = write_trained(tmp_path / "out", source, replace(source, projection=(new,)))
    (read,) = read_checkpoint(output).projection
    assert np.array_equal(read.weight, new.weight)
    assert not (output / "2_Dense").exists()
    both = write_trained(tmp_path / "both", source, source)
    assert [layer.activation for layer in read_checkpoint(both).projection] == ["tanh", "identity"]


def plain_parts(folder: Path) -> ReadOptions:
    """Return options for the tiny encoder with its head in a file of its own."""
    PYLATE.build(folder)
    head = folder.parent / "head.safetensors"
    shutil.move(folder / "1_Dense" / "model.safetensors", head)
    for name in ("modules.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    return ReadOptions(
        head=head,
        query_marker="[unused0]",
        document_marker="[unused1]",
        max_query_tokens=10,
        max_document_tokens=20,
    )


def test_a_plain_encoder_with_a_head_becomes_a_pylate_checkpoint(tmp_path: Path) -> None:
    stated = plain_parts(tmp_path / "plain")
    source = read_checkpoint(tmp_path / "plain", stated)
    form = written_form(source, "same")
    assert (form.layout, form.strip, form.marker_second) == ("pylate", True, True)
    output = write_trained(tmp_path / "out", source, trained_like(form), options=stated)
    read = read_checkpoint(output)
    assert (read.layout, read.max_query_tokens, read.skip_ids) == ("pylate", 10, source.skip_ids)


@pytest.mark.parametrize(
    ("layout", "refused"),
    [(STANFORD, ""), (MULTI, ""), (BGE_M3, "start_row_dropped, mean_score")],
    ids=lambda value: getattr(value, "layout", ""),
)
def test_other_layouts_become_pylate_where_it_can_say_what_they_do(
    tmp_path: Path, layout: LayoutFiles, refused: str
) -> None:
    source = read_checkpoint(layout.build(tmp_path / "source"))
    if refused:
        with pytest.raises(CheckpointError, match=refused):
            written_form(source, "pylate")
        return
    wanted = trained_like(written_form(source, "pylate"), encoder=True)
    output = write_trained(tmp_path / "out", source, wanted, layout="pylate")
    read = read_checkpoint(output)
    assert read.layout == "pylate"
    assert read.max_document_tokens == source.max_document_tokens


def test_a_checkpoint_that_would_read_back_otherwise_is_not_written(tmp_path: Path) -> None:
    source = read_checkpoint(PYLATE.build(tmp_path / "source"))
    for wrong in (
        replace(trained_like(source), max_query_tokens=9),
        replace(source, encoder=replace(source.encoder, weights={})),
    ):
        with pytest.raises(CheckpointError) as caught:
            write_trained(tmp_path / "out", source, wrong)
        assert ".part" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_elses_files_is_left_alone(tmp_path: Path) -> None:
    source = read_checkpoint(PYLATE.build(tmp_path / "source"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="left alone"):
        write_trained(tmp_path / "out", source, trained_like(source))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def build_contextual(folder: Path) -> Path:
    """Return a PyLate checkpoint whose semantics need an exact graph."""
    PYLATE.build(folder)
    edit_json(folder / "config_sentence_transformers.json", attend_to_expansion_tokens=True)
    return folder


@pytest.mark.parametrize(
    "build",
    [
        PYLATE.build,
        *(
            pytest.param(build, marks=pytest.mark.slow)
            for build in (STANFORD.build, MULTI.build, BGE_M3.build, build_contextual)
        ),
    ],
    ids=["pylate", "stanford", "multi-vector", "bge-m3", "pylate-exact"],
)
def test_what_is_trained_exports_without_a_flag_and_scores_as_in_training(
    tmp_path: Path, build: Callable[[Path], Path]
) -> None:
    from vespa_colbert.embedder import LocalEmbedder
    from vespa_colbert.train.measure import Measure, TextVectors

    source = read_checkpoint(build(tmp_path / "source"))
    data = training_data(tmp_path)
    # Without punctuation, which native files have Vespa drop before the encoder and not after it.
    queries, documents = ("rose is", "a b c"), ("a rose", "hello b c d", "ivy is a x y z rose")
    seen: list[Any] = []

    def scores(vectors: TextVectors) -> float:
        sides = vectors.queries(queries), vectors.documents(documents)
        seen[:] = [[max_sim(q, d, mean=source.mean_score) for d in sides[1]] for q in sides[0]]
        return 0.0

    asked = options(head=HeadStart.NEW, dims=6, with_encoder=True)
    # Asked once, at the end of the one epoch: of the weights that are written.
    measure = Measure(name="none", value=scores)
    trained = train(source, data, tmp_path / "run", asked, measure=measure)
    output = write_trained(tmp_path / "trained", source, trained.checkpoint)

    model = export_checkpoint(read_checkpoint(output), tmp_path / "model")
    embedder = LocalEmbedder(model, threads=1)
    found = [
        [max_sim(embedder.embed(q, "query"), embedder.embed(d, "document")) for d in documents]
        for q in queries
    ]
    assert np.abs(np.array(found) - np.array(seen)).max() <= EXPORTED


def max_sim(query: Any, document: Any, *, mean: bool = False) -> float:
    best = (np.asarray(query, np.float64) @ np.asarray(document, np.float64).T).max(axis=1)
    return float(best.mean() if mean else best.sum())
