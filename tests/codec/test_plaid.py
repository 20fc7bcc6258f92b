"""PLAID's files: made by torch from their definition and read here, written here and read there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.codec.codec_cases import trained, unit_vectors
from vespa_colbert.codec import PlaidChunk, ResidualCodes, read_plaid, write_plaid
from vespa_colbert.errors import IndexFolderError, OutputError, SpecError

LENGTHS = ([3, 0, 5], [2])
CENTROIDS = torch.tensor([[0.5, -0.25] * 8, [-0.5, 1.0] * 8])


def write_by_hand(folder: Path, *, config: dict[str, Any] | None = None) -> torch.Tensor:
    """Write an index as colbert-ai does; return all its residuals."""
    folder.mkdir()
    torch.save(CENTROIDS.half(), folder / "centroids.pt")
    both = torch.tensor([-0.5, 0.0, 0.5]), torch.tensor([-0.75, -0.25, 0.25, 0.75])
    torch.save(both, folder / "buckets.pt")
    torch.save(torch.tensor(0.125), folder / "avg_residual.pt")
    residuals = torch.arange(40, dtype=torch.uint8).reshape(10, 4)
    start = 0
    for number, lengths in enumerate(LENGTHS):
        end = start + sum(lengths)
        codes = (torch.arange(start, end) % 2).to(torch.int32)
        torch.save(codes, folder / f"{number}.codes.pt")
        # A part of a larger storage, as colbert-ai's slices are.
        torch.save(residuals[start:end], folder / f"{number}.residuals.pt")
        (folder / f"doclens.{number}.json").write_text(json.dumps(lengths))
        start = end
    said = {
        "config": config or {"dim": 16, "nbits": 2, "checkpoint": "colbertv2.0"},
        "num_chunks": 2,
        "num_partitions": 2,
        "num_embeddings": 10,
        "avg_doclen": 2.5,
    }
    (folder / "metadata.json").write_text(json.dumps(said))
    return residuals


def test_an_index_of_torch_s_files_is_read_as_it_is(tmp_path: Path) -> None:
    residuals = write_by_hand(tmp_path / "plaid")
    index = read_plaid(tmp_path / "plaid")
    assert index.codec.centroids.tolist() == CENTROIDS.tolist()
    assert index.codec.cutoffs.tolist() == [-0.5, 0.0, 0.5]
    assert index.codec.weights.tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert (index.codec.bits, index.codec.average_residual) == (2, 0.125)
    assert (index.tokens, index.config["checkpoint"]) == (10, "colbertv2.0")
    documents = list(index.documents())
    assert [len(each) for each in documents] == [3, 0, 5, 2]
    stored = np.concatenate([each.residuals for each in documents])
    assert stored.tolist() == residuals.tolist()
    assert documents[2].centroids.tolist() == [1, 0, 1, 0, 1]


def test_the_average_may_be_a_list_of_one_as_older_releases_wrote_it(tmp_path: Path) -> None:
    write_by_hand(tmp_path / "plaid")
    torch.save(torch.tensor([0.25]), tmp_path / "plaid" / "avg_residual.pt")
    assert read_plaid(tmp_path / "plaid").codec.average_residual == 0.25


@pytest.mark.parametrize(("bits", "dim"), [(1, 8), (2, 128), (4, 64)])
def test_what_is_written_is_read_again_and_by_torch(tmp_path: Path, bits: int, dim: int) -> None:
    codec = trained(bits, dim)
    codes = codec.encode(unit_vectors(30, dim, seed=4, topics=6))
    chunks = [
        PlaidChunk(lengths=np.array([7, 0, 13]), codes=codes[:20]),
        PlaidChunk(lengths=np.array([10]), codes=codes[20:]),
    ]
    folder = tmp_path / "plaid"
    write_plaid(folder, codec, chunks, config={"checkpoint": "my/model"})
    index = read_plaid(folder)
    assert index.codec.centroids.tobytes() == codec.centroids.tobytes()
    assert index.codec.weights.tobytes() == codec.weights.tobytes()
    assert index.config == {"checkpoint": "my/model", "dim": dim, "nbits": bits}
    found = list(index.documents())
    assert [len(each) for each in found] == [7, 0, 13, 10]
    assert b"".join(each.residuals.tobytes() for each in found) == codes.residuals.tobytes()

    def loaded(name: str) -> Any:
        return torch.load(folder / name, weights_only=True)

    assert loaded("centroids.pt").dtype == torch.float16
    assert loaded("centroids.pt").float().numpy().tolist() == codec.centroids.tolist()
    cutoffs, weights = loaded("buckets.pt")
    assert (cutoffs.numpy() == codec.cutoffs).all()
    assert (weights.numpy() == codec.weights).all()
    assert loaded("avg_residual.pt").dim() == 0
    assert loaded("1.codes.pt").tolist() == codes.centroids[20:].tolist()
    assert loaded("0.codes.pt").dtype == torch.int32
    assert loaded("0.residuals.pt").shape == (20, codec.width)
    assert json.loads((folder / "1.metadata.json").read_text()) == {
        "passage_offset": 3,
        "num_passages": 1,
        "num_embeddings": 10,
        "embedding_offset": 20,
    }
    said = json.loads((folder / "metadata.json").read_text())
    assert (said["num_chunks"], said["num_embeddings"], said["avg_doclen"]) == (2, 30, 7.5)
    assert json.loads((folder / "plan.json").read_text())["num_embeddings_est"] == 30


def test_the_lists_name_each_document_of_a_centroid_once_and_are_padded(tmp_path: Path) -> None:
    codec = trained(2, 16, centroids=3)
    # Documents 0, 1, 2 have the tokens 2 0 2, 0 and 1 0 2.
    codes = ResidualCodes(
        centroids=np.array([2, 0, 2, 0, 1, 0, 2], np.int32), residuals=np.zeros((7, 4), np.uint8)
    )
    write_plaid(tmp_path / "plaid", codec, [PlaidChunk(lengths=np.array([3, 1, 3]), codes=codes)])
    lists, lengths = torch.load(tmp_path / "plaid" / "ivf.pid.pt", weights_only=True)
    assert lengths.tolist() == [3, 1, 2]
    # The last list begins at 4 and a stride of 3 would read past the end: 3 zeros are added.
    assert lists.tolist() == [0, 1, 2, 2, 0, 2, 0, 0, 0]
    assert (lists.dtype, lengths.dtype) == (torch.int32, torch.int64)


def _cut(folder: Path) -> None:
    path = folder / "0.residuals.pt"
    path.write_bytes(path.read_bytes()[:-40])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no metadata": (lambda f: (f / "metadata.json").unlink(), "metadata.json"),
    "no codes": (lambda f: (f / "1.codes.pt").unlink(), "1.codes.pt"),
    "lengths": (lambda f: (f / "doclens.0.json").write_text("[3, 0, 6]"), "expected shape"),
    "no lengths": (lambda f: (f / "doclens.0.json").write_text("[3.5]"), "list of numbers"),
    "cut": (_cut, "damaged"),
    "another width": (
        lambda f: torch.save(torch.zeros(8, 8, dtype=torch.uint8), f / "0.residuals.pt"),
        "expected shape",
    ),
    "floats": (lambda f: torch.save(torch.zeros(8), f / "0.codes.pt"), "float32"),
    "no such centroid": (
        lambda f: torch.save(torch.full((8,), 2, dtype=torch.int32), f / "0.codes.pt"),
        "from 0 to 1, got 2 to 2",
    ),
    "one bucket tensor": (
        lambda f: torch.save(torch.zeros(3), f / "buckets.pt"),
        "expected 2 tensors, got 1",
    ),
    "a dict": (
        lambda f: torch.save({"a": torch.zeros(3)}, f / "centroids.pt"),
        "expected tensors, got",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    write_by_hand(tmp_path / "plaid")
    damage, fault = DAMAGES[name]
    damage(tmp_path / "plaid")
    with pytest.raises(IndexFolderError, match=fault):
        list(read_plaid(tmp_path / "plaid").documents())


def test_a_chunk_that_is_not_counted_is_found(tmp_path: Path) -> None:
    write_by_hand(tmp_path / "plaid")
    path = tmp_path / "plaid" / "metadata.json"
    path.write_text(path.read_text().replace('"num_chunks": 2', '"num_chunks": 1'))
    with pytest.raises(IndexFolderError, match="expected 10 token vectors .* got 8"):
        list(read_plaid(tmp_path / "plaid").documents())


def test_metadata_of_other_bits_is_refused(tmp_path: Path) -> None:
    write_by_hand(tmp_path / "plaid", config={"dim": 16, "nbits": 4})
    with pytest.raises(IndexFolderError, match="16 components of 4 bits .* got 16 of 2"):
        read_plaid(tmp_path / "plaid")


def test_code_in_a_torch_file_is_not_run(tmp_path: Path) -> None:
    write_by_hand(tmp_path / "plaid")
    torch.save(Path("x"), tmp_path / "plaid" / "avg_residual.pt")
    with pytest.raises(IndexFolderError, match="plain tensors"):
        read_plaid(tmp_path / "plaid")


def test_what_colbert_ai_could_not_open_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="2 bits of a dim divisible by 16, got 8"):
        write_plaid(tmp_path / "plaid", trained(2, 8), [])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="left alone"):
        write_plaid(tmp_path / "mine", trained(2, 16), [])
