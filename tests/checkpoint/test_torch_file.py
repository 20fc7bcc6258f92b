from __future__ import annotations

import collections
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.torch_file import (
    read_torch_document,
    read_torch_tensors,
    read_torch_weights,
    require_pickle_allowed,
)
from vespa_colbert.checkpoint.torch_pickle import StoredTensor
from vespa_colbert.errors import CheckpointError

FLIPS = 400


def saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def rewritten(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Write the archive again with its entries changed: checksums fit, whatever is in it."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def with_pickle(path: Path, data: bytes) -> Path:
    saved(path, {"weight": torch.ones(2)})

    def change(entries: dict[str, bytes]) -> None:
        (name,) = [name for name in entries if name.endswith("/data.pkl")]
        entries[name] = data

    return rewritten(path, change)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_floats_are_widened_exactly(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 5).to(dtype)
    tensor[0, 0] = torch.finfo(dtype).tiny
    tensor[0, 1] = torch.finfo(dtype).max
    tensor[0, 2] = -0.0
    files = read_torch_weights(saved(tmp_path / "a.pt", {"weight": tensor}))
    got = files.tensors["weight"]
    assert got.dtype == np.float32
    assert got.tobytes() == tensor.float().numpy().tobytes()
    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
    assert files.dtypes == (names[dtype],)
    assert not got.flags.writeable


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool])
def test_index_buffers_stay_as_they_are(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1, 0], [1, 1, 0]]).to(dtype)
    files = read_torch_weights(saved(tmp_path / "a.pt", {"ids": tensor}))
    assert files.tensors["ids"].dtype == tensor.numpy().dtype
    assert np.array_equal(files.tensors["ids"], tensor.numpy())
    assert files.dtypes == ()


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (torch.float64, "F64"),
        (torch.int8, "I8"),
        (torch.uint8, "U8"),
        (torch.int16, "I16"),
        (torch.complex64, "ComplexFloatStorage"),
        (torch.float8_e4m3fn, "_rebuild_tensor_v3"),
    ],
)
def test_types_that_float32_does_not_hold_are_refused(
    tmp_path: Path, dtype: torch.dtype, name: str
) -> None:
    path = saved(tmp_path / "a.pt", {"weight": torch.ones(2).to(dtype)})
    with pytest.raises(CheckpointError, match=name) as caught:
        read_torch_tensors(path)
    assert str(path) in str(caught.value)


VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "transposed": lambda t: t.T,
    "row window": lambda t: t[1:3],
    "column window": lambda t: t[:, 2:4],
    "every other": lambda t: t[::2, ::3],
    "permuted": lambda t: t.reshape(2, 2, 6).permute(2, 0, 1),
    "one value": lambda t: t[2, 3],
    "one dimension more": lambda t: t[0].expand(1, -1),
    "diagonal": lambda t: t.diagonal(),
    "empty": lambda t: t[:0],
    "flat": lambda t: t.reshape(-1),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_views_have_the_values_that_torch_sees(
    tmp_path: Path, view: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype
) -> None:
    tensor = view(torch.arange(1, 25).to(dtype).reshape(4, 6))
    got = read_torch_tensors(saved(tmp_path / "a.pt", {"t": tensor}))["t"]
    assert got.shape == tuple(tensor.shape)
    assert np.array_equal(got, tensor.float().numpy())
    assert got.flags.c_contiguous


def test_tensors_that_share_values_are_read_each(tmp_path: Path) -> None:
    whole = torch.randn(6, 4)
    content = {"embedding": whole, "decoder": whole, "part": whole[2:4], "other": torch.randn(3)}
    got = read_torch_tensors(saved(tmp_path / "a.pt", content))
    assert got.keys() == content.keys()
    for name, tensor in content.items():
        assert np.array_equal(got[name], tensor.numpy())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_models_state_dict_is_read_whatever_the_pickle_protocol(
    tmp_path: Path, protocol: int
) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
    state = module.state_dict()
    assert isinstance(state, collections.OrderedDict)
    assert "_metadata" in vars(state)
    got = read_torch_tensors(saved(tmp_path / "a.pt", state, pickle_protocol=protocol))
    assert list(got) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    for name, tensor in state.items():
        assert np.array_equal(got[name], tensor.numpy())


def test_parameters_are_tensors(tmp_path: Path) -> None:
    linear = torch.nn.Linear(4, 3)
    got = read_torch_tensors(saved(tmp_path / "a.pt", dict(linear.named_parameters())))
    assert np.array_equal(got["weight"], linear.weight.detach().numpy())


def test_a_large_state_dict_is_read_whole(tmp_path: Path) -> None:
    content = {f"layer.{place}.weight": torch.full((2,), place + 1.0) for place in range(400)}
    got = read_torch_tensors(saved(tmp_path / "a.pt", content))
    assert [got[name][1] for name in content] == [place + 1.0 for place in range(400)]


def test_values_beside_tensors_are_read_as_data(tmp_path: Path) -> None:
    arguments = {
        "dim": 128,
        "rate": 3e-6,
        "mask": True,
        "names": ["a", ("b", None)],
        "big": -(2**40),
    }
    content = {"arguments": arguments, "model_state_dict": {"linear.weight": torch.ones(2, 3)}}
    path = saved(tmp_path / "colbert.dnn", content)
    document = read_torch_document(path)
    assert document["arguments"] == arguments
    tensor = document["model_state_dict"]["linear.weight"]
    assert isinstance(tensor, StoredTensor)
    assert tensor.shape == (2, 3)
    with pytest.raises(CheckpointError, match="dict for 'arguments'"):
        read_torch_tensors(path)


def test_the_reader_needs_no_torch(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"weight": torch.full((2, 2), 3.0)})
    script = (
        "import sys; from pathlib import Path;"
        "from vespa_colbert.checkpoint.torch_file import read_torch_tensors;"
        "print(read_torch_tensors(Path(sys.argv[1]))['weight'].sum(), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(path)]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout == "12.0 False\n"
    )


def test_a_torch_file_is_opened_only_where_the_user_allows_it(tmp_path: Path) -> None:
    path = tmp_path / "colbert_linear.pt"
    with pytest.raises(CheckpointError, match="--allow-pickle") as caught:
        require_pickle_allowed(path, ReadOptions())
    assert str(path) in str(caught.value)
    require_pickle_allowed(path, ReadOptions(allow_pickle=True))


# What a pickle can do to whoever loads it.


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


ATTACKS: dict[str, Callable[[Path], object]] = {
    "os.system": lambda canary: Calls(os.system, f"touch {canary}"),
    "eval": lambda canary: Calls(eval, f"open({str(canary)!r}, 'w')"),  # noqa: S307
    "exec": lambda canary: Calls(exec, f"open({str(canary)!r}, 'w')"),
    "open": lambda canary: Calls(open, str(canary), "w"),
    "subprocess": lambda canary: Calls(subprocess.check_call, ["touch", str(canary)]),
    "getattr": lambda _: Calls(getattr, Calls(__import__, "os"), "system"),
    "Path.touch": lambda canary: Calls(Path.touch, canary),
    "torch.load": lambda canary: Calls(torch.load, str(canary)),
    "a module": lambda _: torch.nn.Linear(2, 2),
    "numpy array": lambda _: np.ones(2),
    "type": lambda _: Calls(type, "Made", (), {}),
    "deep": lambda canary: {"a": [({"b": Calls(os.system, f"touch {canary}")},)]},
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_names_code_runs_nothing(
    tmp_path: Path, attack: Callable[[Path], object], protocol: int
) -> None:
    canary = tmp_path / "canary"
    content = {"weight": torch.ones(2), "trap": attack(canary)}
    path = saved(tmp_path / "a.pt", content, pickle_protocol=protocol)
    before = set(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="which is not imported") as caught:
        read_torch_tensors(path)
    assert str(path) in str(caught.value)
    assert set(tmp_path.iterdir()) == before


def test_the_canary_would_show(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = saved(tmp_path / "a.pt", {"trap": Calls(os.system, f"touch {canary}")})
    torch.load(path, weights_only=False)
    assert canary.exists()


STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
)
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n("


def tensor_pickle(shape: bytes, strides: bytes, offset: bytes = b"K\x00") -> bytes:
    """Write a dict of one tensor, its sizes given as opcodes."""
    arguments = STORAGE + offset + shape + strides + b"\x89)tR"
    return b"\x80\x02}X\x01\x00\x00\x00w" + REBUILD + arguments + b"s."


HUGE = b"\x8a\x09" + (2**64).to_bytes(9, "little")
BROKEN = {
    "no end": (b"\x80\x02}", "damaged"),
    "empty": (b"", "damaged"),
    "nothing on the stack": (b"\x80\x02.", "damaged"),
    "a mark at the end": (b"\x80\x02(.", "damaged"),
    "unknown opcode": (b"\x80\x02\xff.", "damaged"),
    "call of a text": (b"\x80\x02X\x01\x00\x00\x00a)R.", "damaged"),
    "call of a storage type": (b"\x80\x02ctorch\nFloatStorage\n)R.", "damaged"),
    "attributes of a name": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.",
        "damaged",
    ),
    "ordered dict of something": (
        b"\x80\x02ccollections\nOrderedDict\n](K\x01K\x02te\x85R.",
        "damaged",
    ),
    "object": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)\x81.", "NEWOBJ"),
    "instance": (b"(ios\nsystem\n.", "INST"),
    "extension": (b"\x80\x02\x82\x01.", "EXT1"),
    "text name": (b"cos\nsystem\n(S'true'\ntR.", "'os.system'"),
    "name inside a name": (
        b"\x80\x04\x8c\x05torch\x8c\x0bnn.Sigmoid\x93.".replace(b"\x0b", b"\x0a"),
        "nn.Sigmoid",
    ),
    "name that is no text": (b"\x80\x04K\x01K\x02\x93.", "not imported"),
    "memory never set": (b"\x80\x02h\x05.", "damaged"),
    "tuple for a key": (b"\x80\x02})K\x01s.", "damaged"),
    "items for a list": (b"\x80\x02]K\x01K\x01s.", "damaged"),
    "key without value": (b"\x80\x02}(K\x01u.", "damaged"),
    "append to a dict": (b"\x80\x02}K\x01a.", "damaged"),
    "storage of nothing": (b"\x80\x02K\x01Q.", "damaged"),
    "a list": (b"\x80\x02].", "expected a dict of tensors, got list"),
    "no tensors": (b"\x80\x02}.", "got nothing"),
    "number for a name": (b"\x80\x02}K\x01K\x01s.", "a number for a name"),
    "negative size": (tensor_pickle(b"\x8a\x01\xff\x85", b"K\x01\x85"), "damaged"),
    "text for a size": (tensor_pickle(b"X\x01\x00\x00\x002\x85", b"K\x01\x85"), "damaged"),
    "more sizes than strides": (tensor_pickle(b"K\x01K\x02\x86", b"K\x01\x85"), "damaged"),
    "beyond the storage": (tensor_pickle(b"K\x03\x85", b"K\x01\x85"), "reaches value 2"),
    "far stride": (tensor_pickle(b"K\x02\x85", HUGE + b"\x85"), f"reaches value {2**64}"),
    "far offset": (tensor_pickle(b"K\x01\x85", b"K\x01\x85", HUGE), f"reaches value {2**64}"),
    "one value shown often": (tensor_pickle(b"J\x00\x00\x00\x7f\x85", b"K\x00\x85"), "would take"),
    "endless size": (tensor_pickle(HUGE + b"\x85", b"K\x00\x85"), "would take"),
}


@pytest.mark.parametrize(("data", "fragment"), BROKEN.values(), ids=BROKEN.keys())
def test_a_pickle_that_torch_would_not_write_is_refused(
    tmp_path: Path, data: bytes, fragment: str
) -> None:
    path = with_pickle(tmp_path / "a.pt", data)
    with pytest.raises(CheckpointError) as caught:
        read_torch_tensors(path)
    assert fragment in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_hand_written_pickle_is_read_where_its_sizes_fit(tmp_path: Path) -> None:
    path = with_pickle(tmp_path / "a.pt", tensor_pickle(b"K\x02\x85", b"K\x01\x85"))
    assert read_torch_tensors(path)["w"].tolist() == [1.0, 1.0]
    path = with_pickle(tmp_path / "b.pt", tensor_pickle(b"K\x01\x85", HUGE + b"\x85"))
    assert read_torch_tensors(path)["w"].tolist() == [1.0]


def test_a_place_in_memory_far_out_takes_no_room(tmp_path: Path) -> None:
    path = with_pickle(tmp_path / "a.pt", b"\x80\x02}r\xff\xff\xff\x7f.")
    with pytest.raises(CheckpointError, match="got nothing"):
        read_torch_tensors(path)


def legacy(path: Path) -> object:
    return saved(path, {"weight": torch.ones(2)}, _use_new_zipfile_serialization=False)


def scripted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/module.py"):
            archive.writestr(f"archive/{name}", b"\x80\x02}.")


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", b"\x00" * 10_000_000)


def without(entry: str) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        saved(path, {"weight": torch.ones(2)})
        rewritten(
            path, lambda entries: [entries.pop(n) for n in list(entries) if n.endswith(entry)]
        )

    return damage


def replaced(entry: str, data: bytes) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        saved(path, {"weight": torch.ones(2)})
        rewritten(
            path, lambda entries: entries.update({n: data for n in entries if n.endswith(entry)})
        )

    return damage


def doubled(path: Path) -> None:
    saved(path, {"weight": torch.ones(2)})
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"\x80\x02}.")


def overlapping(path: Path) -> None:
    saved(path, {"weight": torch.ones(2)})
    whole = path.read_bytes()
    size = (8).to_bytes(4, "little") * 2
    assert whole.count(size) >= 1
    path.write_bytes(whole.replace(size, (8_000_000).to_bytes(4, "little") * 2))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _path: None, "got none"),
    "a folder": (lambda path: path.mkdir(), "got a folder"),
    "empty": (lambda path: path.write_bytes(b""), "empty file"),
    "git-lfs": (
        lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid 1"),
        "git lfs pull",
    ),
    "a text": (lambda path: path.write_bytes(b"<html>not found</html>"), "something else"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps({})), "safetensors"),
    "before torch 1.6": (legacy, "before 1.6"),
    "TorchScript": (scripted, "TorchScript"),
    "compressed": (compressed, "not compressed"),
    "no pickle": (without("data.pkl"), "without one data.pkl"),
    "no storage": (without("data/0"), "are missing"),
    "short storage": (replaced("data/0", b"\x00" * 4), "expected 2 values, got 1"),
    "odd storage": (replaced("data/0", b"\x00" * 7), "damaged"),
    "big-endian": (replaced("byteorder", b"big"), "little-endian"),
    "large pickle": (replaced("data.pkl", b"\x80\x02" + b"N" * 16_000_000), "data.pkl: expected"),
    "two of a name": (doubled, "two entries"),
    "overlapping": (overlapping, "overlap"),
    "NaN": (
        lambda path: saved(path, {"weight": torch.tensor([1.0, torch.nan])}),
        "weight: expected finite values, got 1",
    ),
    "zeros": (lambda path: saved(path, {"weight": torch.zeros(2, 2)}), "4 zeros"),
}


@pytest.mark.parametrize(("damage", "fragment"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_refused_with_its_cause(
    tmp_path: Path, damage: Callable[[Path], object], fragment: str
) -> None:
    path = tmp_path / "a.pt"
    damage(path)
    with pytest.raises(CheckpointError) as caught:
        read_torch_tensors(path)
    assert fragment in str(caught.value)
    assert str(path) in str(caught.value)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"weight": torch.randn(4, 4), "bias": torch.randn(4)})
    whole = path.read_bytes()
    for size in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            read_torch_tensors(path)


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    content = {"weight": torch.randn(4, 4), "bias": torch.randn(4).bfloat16()}
    path = saved(tmp_path / "a.pt", content)
    wanted = {name: array.tobytes() for name, array in read_torch_tensors(path).items()}
    whole, rng, refused = path.read_bytes(), np.random.default_rng(3), 0
    for _ in range(FLIPS):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            got = read_torch_tensors(path)
        except CheckpointError:
            refused += 1
        else:
            assert {name: array.tobytes() for name, array in got.items()} == wanted
    assert refused > 0
