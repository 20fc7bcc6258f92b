"""Damages of tensors, and of the sizes that ``config.json`` gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.checkpoint.damage_cases import case
from tests.checkpoint.damages import (
    CONFIG,
    Damage,
    head,
    members,
    tensor,
    tensor_names,
)
from tests.checkpoint.layout_folders import (
    BGE_M3,
    MODULAR,
    STANFORD,
    WEIGHTS,
)
from tests.tiny_checkpoint import DIM, HIDDEN

EMBEDDING = "embeddings.word_embeddings.weight"


TABLE = "embeddings.position_embeddings.weight"


LAYER = "encoder.layer.1.output.dense.weight"


def spoiled(value: float) -> Callable[[Any], Any]:
    """Put a value at row 2, column 3."""

    def change(matrix: Any) -> Any:
        matrix = matrix.clone()
        matrix[2, 3] = value
        return matrix

    return change


def ones(*shape: int) -> Any:
    import torch

    return torch.ones(shape)


def added(name: str) -> Damage:
    return tensor(name, lambda _none: ones(2, 2))


VALUE_DAMAGES = (
    case("NaN in the head", head(spoiled(float("nan"))), "{head}", "{head_name}", "(2, 3)"),
    case("Inf in the head", head(spoiled(float("inf"))), "{head}", "{head_name}", "(2, 3)"),
    case("zero head", head(lambda t: t * 0), "{head}", "{head_name}", f"{DIM * HIDDEN} zeros"),
    case("-Inf in a layer", tensor(LAYER, spoiled(-float("inf"))), WEIGHTS, LAYER, "(2, 3)"),
    case("NaN in the embedding", tensor(EMBEDDING, spoiled(float("nan"))), WEIGHTS, EMBEDDING),
    case("zero layer", tensor(LAYER, lambda t: t * 0), WEIGHTS, LAYER, "512 zeros"),
    case(
        "zero scale",
        tensor("embeddings.LayerNorm.weight", lambda t: t * 0),
        *(WEIGHTS, "LayerNorm.weight", f"{HIDDEN} zeros"),
    ),
    case("head in float64", head(lambda t: t.double()), "{head}", "{head_name}", "F64"),
    case("head in int8", head(lambda t: t.char()), "{head}", "{head_name}", "I8"),
    case("head in int64", head(lambda t: t.long() + 1), "{head_name}", "int64"),
    case("layer in uint8", tensor(LAYER, lambda t: t.byte()), WEIGHTS, LAYER, "U8"),
    case("head missing", head(lambda _t: None), "{head}", "without any", layouts=MODULAR),
    case(
        "head missing",
        head(lambda _t: None),
        *("{head}", "linear.weight", "projection is missing"),
        layouts=(STANFORD,),
    ),
    case(
        "head missing",
        head(lambda _t: None),
        *("{head}", "expected the tensors weight", "got bias"),
        layouts=(BGE_M3,),
    ),
    case(
        "head of another encoder",
        head(lambda t: t[:, :7].clone()),
        "({dim}, 7)",
        "({dim}, {hidden})",
        layouts=MODULAR,
    ),
    case(
        "head of another encoder",
        head(lambda t: t[:, :7].clone()),
        "in_features {hidden}",
        "got 7",
        layouts=(STANFORD, BGE_M3),
    ),
    case("head without rows", head(lambda t: t[:0].clone()), "{head_name}", f"(0, {HIDDEN})"),
    case("head a vector", head(lambda t: t[0].clone()), "{head_name}", f"({HIDDEN},)"),
    case("head of three dimensions", head(lambda t: t[None].clone()), "{head_name}", "(1, 8, 16)"),
    case(
        "embedding cut",
        tensor(EMBEDDING, lambda t: t[:-1].clone()),
        *(EMBEDDING, "({rows}, 16)", "vocab_size"),
    ),
    case(
        "positions cut",
        tensor(TABLE, lambda t: t[:-1].clone()),
        *(TABLE, "max_position_embeddings"),
    ),
)


CONFIG_DAMAGES = (
    case("no hidden size", members(CONFIG, hidden_size=None), CONFIG, "hidden_size"),
    case("hidden size a text", members(CONFIG, hidden_size="16"), CONFIG, "an integer, got '16'"),
    case("hidden size a float", members(CONFIG, hidden_size=16.0), CONFIG, "an integer, got 16.0"),
    case("hidden size a flag", members(CONFIG, hidden_size=True), CONFIG, "an integer, got True"),
    case("hidden size negative", members(CONFIG, hidden_size=-16), "hidden_size", "-16"),
    case("hidden size another", members(CONFIG, hidden_size=24), "({rows}, 24)", "hidden_size"),
    case("vocab_size larger", members(CONFIG, vocab_size=999), "(999, 16)", "vocab_size"),
    case("no vocab_size", members(CONFIG, vocab_size=None), CONFIG, "vocab_size"),
    case("positions more", members(CONFIG, max_position_embeddings=512), TABLE, "512"),
    case("positions fewer", members(CONFIG, max_position_embeddings=12), TABLE, "12"),
    case("no positions", members(CONFIG, max_position_embeddings=None), "max_position_embeddings"),
    case("no model type", members(CONFIG, model_type=None), CONFIG, "model_type"),
    case("model type a number", members(CONFIG, model_type=3), "model_type: expected a string"),
    case("endless layers", members(CONFIG, num_hidden_layers=10**9), CONFIG, "num_hidden_layers"),
    case("no layers", members(CONFIG, num_hidden_layers=0), CONFIG, "num_hidden_layers", "got 0"),
    case("layers a text", members(CONFIG, num_hidden_layers="2"), "num_hidden_layers", "'2'"),
    case(
        "endless intermediate size",
        members(CONFIG, intermediate_size=10**12),
        *(CONFIG, "intermediate_size", "1000000000000"),
    ),
    case(
        "endless token types",
        members(CONFIG, type_vocab_size=10**10),
        *(CONFIG, "type_vocab_size", "10000000000"),
    ),
    case(
        "quantised",
        members(CONFIG, quantization_config={"quant_method": "gptq", "bits": 4}),
        *(CONFIG, "quantization_config", "gptq"),
    ),
    case("auto_map a text", members(CONFIG, auto_map="evil.Model"), CONFIG, "auto_map", "evil"),
    case("auto_map a number", members(CONFIG, auto_map=3), CONFIG, "auto_map"),
)


BUILD_CASES = (
    case("layer missing", tensor(LAYER, lambda _t: None), "1 tensor the encoder needs", LAYER),
    case(
        "layer of another shape",
        tensor(LAYER, lambda t: t[:, :-1].clone()),
        *(LAYER, "another shape", "(16, 31)"),
    ),
    case("layer of integers", tensor(LAYER, lambda t: t.long() + 1), LAYER, "int64"),
    case(
        "all tensors renamed",
        tensor_names(lambda name: f"model.{name}"),
        *("tensors the encoder needs", "went nowhere"),
    ),
    case(
        "one layer renamed",
        tensor_names(lambda name: name.replace("layer.1.", "layer.2.")),
        *("encoder.layer.1.", "encoder.layer.2."),
    ),
    case("tensor too many", added("score_scaler.weight"), "went nowhere", "score_scaler.weight"),
    case("one layer said", members(CONFIG, num_hidden_layers=1), "encoder.layer.1.", "nowhere"),
    case("three layers said", members(CONFIG, num_hidden_layers=3), "encoder.layer.2."),
    case("heads that do not divide", members(CONFIG, num_attention_heads=3), CONFIG, "3"),
    case("activation unknown", members(CONFIG, hidden_act="os.abort"), CONFIG, "os.abort"),
    case("another architecture", members(CONFIG, model_type="distilbert"), "config.json"),
    case("architecture unknown", members(CONFIG, model_type="evilbert"), CONFIG, "'evilbert'"),
    case(
        "width of the layers",
        members(CONFIG, intermediate_size=24),
        "encoder.layer.0.intermediate.dense.weight",
        "(32, 16)",
        "another shape",
    ),
)
