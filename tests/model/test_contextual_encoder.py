from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from tests.tiny_checkpoint import (
    DIM,
    HIDDEN,
    IDS,
    POSITIONS,
    VOCABULARY,
    edit_json,
    edit_tensors,
)
from vespa_colbert.checkpoint import Checkpoint, ProjectionLayer, read_checkpoint
from vespa_colbert.errors import CheckpointError, MissingExtraError, MissingWeightError
from vespa_colbert.model import build_encoder

Copy = Callable[[], Path]

ROUNDING = 2e-6
"""float32 rounding through two layers and a projection, in components of unit vectors."""


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, len(VOCABULARY), (3, 9), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = IDS["[CLS]"]
    attention = torch.ones(3, 9, dtype=torch.int64)
    attention[1, 5:] = 0
    attention[2, 2:] = 0
    return ids, attention


def hidden_rows(folder: Path) -> NDArray[np.float64]:
    """What transformers itself computes from the folder, with its own loader and attention."""
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    ids, attention = inputs()
    with torch.no_grad():
        rows = model(input_ids=ids, attention_mask=attention).last_hidden_state
    return np.asarray(rows.numpy(), dtype=np.float64)


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def contextual(checkpoint: Checkpoint) -> NDArray[np.float32]:
    with torch.no_grad():
        rows = build_encoder(checkpoint)(*inputs())
    assert rows.dtype == torch.float32
    return np.asarray(rows.numpy())


def test_rows_are_transformers_rows_projected_and_normalised(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    weight = checkpoint.projection[0].weight.astype(np.float64)
    wanted = unit(hidden_rows(tiny_checkpoint) @ weight.T)
    got = contextual(checkpoint)
    assert got.shape == (3, 9, DIM)
    np.testing.assert_allclose(got, wanted, atol=ROUNDING, rtol=0)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(torch.tensor(x / np.sqrt(2))).numpy()),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_two_layers_with_bias_activation_and_residual(
    tiny_checkpoint: Path, activation: str
) -> None:
    generator = np.random.default_rng(2)

    def array(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape).astype(np.float32)

    first = ProjectionLayer(
        weight=array(DIM, HIDDEN),
        bias=array(DIM),
        activation=activation,
        residual=True,
        residual_weight=array(DIM, HIDDEN),
    )
    second = ProjectionLayer(weight=array(DIM, DIM), activation="tanh", residual=True)
    checkpoint = replace(read_checkpoint(tiny_checkpoint), projection=(first, second))
    rows = hidden_rows(tiny_checkpoint)
    assert first.bias is not None
    assert first.residual_weight is not None
    middle = ACTIVATIONS[activation](rows @ first.weight.T + first.bias)
    middle = middle + rows @ first.residual_weight.T
    wanted = unit(np.tanh(middle @ second.weight.T) + middle)
    np.testing.assert_allclose(contextual(checkpoint), wanted, atol=ROUNDING, rtol=0)


def test_nothing_is_random(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    torch.manual_seed(1)
    one = build_encoder(checkpoint).state_dict()
    torch.manual_seed(2)
    two = build_encoder(checkpoint).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any("pooler" in name for name in one)


def test_it_is_in_evaluation_mode_without_gradients(tiny_checkpoint: Path) -> None:
    module = build_encoder(read_checkpoint(tiny_checkpoint))
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_names_of_a_model_with_a_head_are_understood(copy: Copy) -> None:
    folder = copy()
    wanted = contextual(read_checkpoint(folder))
    plain = read_checkpoint(folder)
    renamed = {f"bert.{name}": array for name, array in plain.encoder.weights.items()}
    renamed["cls.predictions.bias"] = np.ones(3, dtype=np.float32)
    renamed["bert.embeddings.LayerNorm.gamma"] = renamed.pop("bert.embeddings.LayerNorm.weight")
    encoder = replace(plain.encoder, weights=renamed)
    assert np.array_equal(contextual(replace(plain, encoder=encoder)), wanted)


def test_narrow_weights_compute_in_float32(copy: Copy) -> None:
    folder = copy()
    wanted = contextual(read_checkpoint(folder))
    edit_json(folder / "config.json", dtype="bfloat16")
    assert np.array_equal(contextual(read_checkpoint(folder)), wanted)


def test_a_missing_layer_is_named(copy: Copy) -> None:
    folder = copy()
    edit_tensors(folder / "model.safetensors", encoder__layer__1__output__dense__weight=None)
    with pytest.raises(MissingWeightError) as caught:
        build_encoder(read_checkpoint(folder))
    message = str(caught.value)
    assert "1 tensor the encoder needs" in message
    assert "encoder.layer.1.output.dense.weight" in message
    assert str(folder) in message


def test_a_tensor_that_goes_nowhere_is_named(copy: Copy) -> None:
    folder = copy()
    edit_tensors(folder / "model.safetensors", adapter__weight=torch.ones(2, 2))
    with pytest.raises(MissingWeightError, match=r"went nowhere: adapter\.weight"):
        build_encoder(read_checkpoint(folder))


def test_weights_of_another_architecture_are_named(copy: Copy) -> None:
    folder = copy()
    other = transformers.DistilBertModel(
        transformers.DistilBertConfig(
            vocab_size=len(VOCABULARY),
            max_position_embeddings=POSITIONS,
            dim=HIDDEN,
            n_layers=2,
            n_heads=2,
            hidden_dim=32,
        )
    )
    (folder / "model.safetensors").unlink()
    config = (folder / "config.json").read_text()
    other.save_pretrained(folder)
    (folder / "config.json").write_text(config)
    with pytest.raises(MissingWeightError) as caught:
        build_encoder(read_checkpoint(folder))
    message = str(caught.value)
    assert "33 tensors the encoder needs and the checkpoint lacks: " in message
    assert "encoder.layer.0.attention" in message
    assert "32 tensors of the checkpoint went nowhere: " in message
    assert "transformer.layer.0.attention" in message


def test_a_deeper_checkpoint_than_its_config_is_refused(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / "config.json", num_hidden_layers=1)
    with pytest.raises(MissingWeightError, match=r"16 tensors of the checkpoint.*layer\.1\."):
        build_encoder(read_checkpoint(folder))


def test_a_tensor_of_another_shape_is_named_with_both(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / "config.json", intermediate_size=48)
    with pytest.raises(MissingWeightError, match=r"expected \(48,\), got \(32,\)"):
        build_encoder(read_checkpoint(folder))


def test_integers_in_place_of_weights_are_refused(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    name = "embeddings.LayerNorm.bias"
    weights = {**checkpoint.encoder.weights, name: np.ones(HIDDEN, dtype=np.int64)}
    spoiled = replace(checkpoint, encoder=replace(checkpoint.encoder, weights=weights))
    with pytest.raises(CheckpointError, match=r"LayerNorm\.bias.*int64"):
        build_encoder(spoiled)


@pytest.mark.parametrize(
    "change", [{"model_type": "no-such-model"}, {"num_attention_heads": 3}, {"hidden_act": "nope"}]
)
def test_a_config_that_transformers_refuses_is_a_checkpoint_error(
    copy: Copy, change: dict[str, Any]
) -> None:
    folder = copy()
    edit_json(folder / "config.json", **change)
    with pytest.raises(CheckpointError, match=r"config\.json") as caught:
        build_encoder(read_checkpoint(folder))
    assert str(folder) in str(caught.value)


def test_without_torch_the_extra_is_named(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vespa_colbert.model.contextual", None)
    with pytest.raises(MissingExtraError, match=r"vespa-colbert\[export\]"):
        build_encoder(read_checkpoint(tiny_checkpoint))
