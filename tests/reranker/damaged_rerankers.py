"""Damaged folders of custom weights: what was done to each, and the diagnosis that it must get."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from safetensors.torch import load_file, save_file

from tests.tiny_checkpoint import edit_json

__all__ = ["DAMAGES", "RerankerDamage"]

Change: TypeAlias = Callable[[Path], None]
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerDamage:
    """A damage.

    Attributes:
        name: What is wrong.
        codes: Diagnoses that it gets, in any order.
        change: Does it to a folder.
        family: Of the model.
        is_read: Whether reading takes the folder: only its scores show what is wrong.
    """

    name: str
    codes: tuple[str, ...]
    change: Change
    family: str = "bert"
    is_read: bool = False


def without(*names: str) -> Change:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def edited(name: str, **values: Any) -> Change:
    return lambda folder: edit_json(folder / name, **values)


def filled(name: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def cut(name: str, share: float) -> Change:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return change


def weights(change: Callable[[dict[str, Any]], None]) -> Change:
    def rewrite(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(
            {name: each.contiguous() for name, each in tensors.items()},
            folder / WEIGHTS,
            metadata={"format": "pt"},
        )

    return rewrite


def renamed(prefix: str) -> Change:
    def change(tensors: dict[str, Any]) -> None:
        for name in list(tensors):
            tensors[prefix + name] = tensors.pop(name)

    return weights(change)


def a_nan(tensors: dict[str, Any]) -> None:
    tensors["classifier.weight"][0, 3] = float("nan")


def zeros(tensors: dict[str, Any]) -> None:
    tensors["classifier.weight"].zero_()


def without_head(tensors: dict[str, Any]) -> None:
    del tensors["classifier.weight"], tensors["classifier.bias"]


def without_a_layer(tensors: dict[str, Any]) -> None:
    for name in [name for name in tensors if ".layer.1." in name]:
        del tensors[name]


def a_third_layer(tensors: dict[str, Any]) -> None:
    for name in [name for name in tensors if ".layer.1." in name]:
        tensors[name.replace(".layer.1.", ".layer.2.")] = tensors[name].clone()


def as_doubles(tensors: dict[str, Any]) -> None:
    tensors |= {name: each.double() for name, each in tensors.items()}


def as_bytes(tensors: dict[str, Any]) -> None:
    import torch

    tensors["classifier.weight"] = tensors["classifier.weight"].to(torch.int8)


def overflowing(tensors: dict[str, Any]) -> None:
    tensors["bert.pooler.dense.bias"][:] = 3e38
    tensors["classifier.weight"][:] = 3e38


def saying_nothing(tensors: dict[str, Any]) -> None:
    tensors["classifier.weight"] *= 1e-12


def two_rows(tensors: dict[str, Any]) -> None:
    tensors["classifier.weight"] = tensors["classifier.weight"].repeat(2, 1)


def as_pickle(folder: Path) -> None:
    import torch

    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def only_a_vocabulary(folder: Path) -> None:
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    words = sorted(document["model"]["vocab"], key=document["model"]["vocab"].get)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()


def tokenizer(change: Callable[[dict[str, Any]], None]) -> Change:
    def rewrite(folder: Path) -> None:
        path = folder / "tokenizer.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        change(document)
        path.write_text(json.dumps(document), encoding="utf-8")

    return rewrite


def a_token_too_many(document: dict[str, Any]) -> None:
    largest = max(document["model"]["vocab"].values())
    document["model"]["vocab"]["late"] = largest + 1


def single_texts_only(document: dict[str, Any]) -> None:
    document["post_processor"]["pair"] = [
        {"Sequence": {"id": "A", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 1}},
    ]


def nested(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps([values]), encoding="utf-8")


def config_without(key: str) -> Change:
    def change(folder: Path) -> None:
        values: Mapping[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        kept = {name: value for name, value in values.items() if name != key}
        (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")

    return change


def a_module_behind(folder: Path) -> None:
    types = ("base.modules.transformer.Transformer", "cross_encoder.modules.logit_score.LogitScore")
    modules = [
        {"idx": at, "name": str(at), "path": "", "type": f"sentence_transformers.{each}"}
        for at, each in enumerate(types)
    ]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 438000000\n"
TOKENIZER_CONFIG = "tokenizer_config.json"
CODE = {"AutoModelForSequenceClassification": "modeling.Reranker"}

DAMAGES = (
    RerankerDamage(name="no config.json", codes=("config-missing",), change=without("config.json")),
    RerankerDamage(
        name="half a config.json", codes=("config-damaged",), change=cut("config.json", 0.5)
    ),
    RerankerDamage(name="config.json is a list", codes=("config-damaged",), change=nested),
    RerankerDamage(
        name="config.json is a git-lfs pointer",
        codes=("config-lfs-pointer",),
        change=filled("config.json", POINTER),
    ),
    RerankerDamage(
        name="architectures names the class of sentence-transformers",
        codes=("architecture",),
        change=edited("config.json", architectures=["CrossEncoder"]),
    ),
    RerankerDamage(
        name="a masked language model",
        codes=("architecture",),
        change=edited("config.json", architectures=["BertForMaskedLM"]),
    ),
    RerankerDamage(
        name="no architectures", codes=("architecture",), change=config_without("architectures")
    ),
    RerankerDamage(
        name="an architecture that transformers lacks",
        codes=("architecture-unknown",),
        change=edited("config.json", model_type="bertissimo"),
    ),
    RerankerDamage(
        name="code of its own",
        codes=("remote-code",),
        change=edited("config.json", auto_map=CODE),
    ),
    RerankerDamage(
        name="quantised weights",
        codes=("quantised",),
        change=edited("config.json", quantization_config={"load_in_8bit": True}),
    ),
    RerankerDamage(
        name="three labels",
        codes=("labels", "key-shapes"),
        change=edited("config.json", id2label={"0": "no", "1": "maybe", "2": "yes"}),
    ),
    RerankerDamage(
        name="a classifier of two rows", codes=("key-shapes",), change=weights(two_rows)
    ),
    RerankerDamage(name="a module behind the model", codes=("modules",), change=a_module_behind),
    RerankerDamage(
        name="a prompt before the texts",
        codes=("modules",),
        change=filled(
            "config_sentence_transformers.json", b'{"default_prompt_name": "query", "prompts": {}}'
        ),
    ),
    RerankerDamage(
        name="an adapter beside the weights",
        codes=("adapter",),
        change=filled("adapter_config.json", b"{}"),
    ),
    RerankerDamage(name="no weights", codes=("weights-missing",), change=without(WEIGHTS)),
    RerankerDamage(name="a torch file", codes=("weights-pickle",), change=as_pickle),
    RerankerDamage(name="empty weights", codes=("weights-empty",), change=filled(WEIGHTS, b"")),
    RerankerDamage(
        name="weights are a git-lfs pointer",
        codes=("weights-lfs-pointer",),
        change=filled(WEIGHTS, POINTER),
    ),
    RerankerDamage(name="weights cut off", codes=("weights-incomplete",), change=cut(WEIGHTS, 0.6)),
    RerankerDamage(
        name="a header cut off", codes=("weights-incomplete",), change=cut(WEIGHTS, 0.02)
    ),
    RerankerDamage(
        name="a web page for weights",
        codes=("weights-damaged",),
        change=filled(WEIGHTS, b"<!doctype html><title>Sign in to go on</title>" * 9),
    ),
    RerankerDamage(name="weights in double", codes=("weights-dtype",), change=weights(as_doubles)),
    RerankerDamage(name="a head in bytes", codes=("weights-dtype",), change=weights(as_bytes)),
    RerankerDamage(name="a NaN", codes=("weights-not-finite",), change=weights(a_nan)),
    RerankerDamage(name="a head of zeros", codes=("weights-zero",), change=weights(zeros)),
    RerankerDamage(
        name="another width",
        codes=("config-and-weights",),
        change=edited("config.json", hidden_size=32),
    ),
    RerankerDamage(
        name="another vocabulary in the config",
        codes=("config-and-weights",),
        change=edited("config.json", vocab_size=99),
    ),
    RerankerDamage(
        name="another number of positions in the config",
        codes=("config-and-weights",),
        change=edited("config.json", max_position_embeddings=40),
    ),
    RerankerDamage(name="no head", codes=("missing-keys",), change=weights(without_head)),
    RerankerDamage(
        name="a layer is missing", codes=("missing-keys",), change=weights(without_a_layer)
    ),
    RerankerDamage(
        name="a layer too many", codes=("unexpected-keys",), change=weights(a_third_layer)
    ),
    RerankerDamage(
        name="names of DataParallel", codes=("wrapped-keys",), change=renamed("module.")
    ),
    RerankerDamage(
        name="weights of another architecture",
        codes=("missing-keys", "unexpected-keys"),
        change=edited(
            "config.json", architectures=["ElectraForSequenceClassification"], model_type="electra"
        ),
    ),
    RerankerDamage(
        name="no tokenizer",
        codes=("tokenizer-missing",),
        change=without("tokenizer.json", TOKENIZER_CONFIG),
    ),
    RerankerDamage(
        name="a vocabulary alone", codes=("tokenizer-missing",), change=only_a_vocabulary
    ),
    RerankerDamage(
        name="half a tokenizer", codes=("tokenizer-damaged",), change=cut("tokenizer.json", 0.5)
    ),
    RerankerDamage(
        name="a tokenizer for single texts",
        codes=("pair-form",),
        change=tokenizer(single_texts_only),
    ),
    RerankerDamage(
        name="a token without a row", codes=("vocabulary",), change=tokenizer(a_token_too_many)
    ),
    RerankerDamage(
        name="another id of padding",
        codes=("pad-id",),
        change=edited("config.json", pad_token_id=0),
        family="xlm-roberta",
    ),
    RerankerDamage(
        name="no token of padding",
        codes=("pad-id",),
        change=edited(TOKENIZER_CONFIG, pad_token=None),
    ),
    RerankerDamage(
        name="more tokens than positions",
        codes=("positions",),
        change=edited(TOKENIZER_CONFIG, model_max_length=512),
    ),
    RerankerDamage(
        name="no room for two texts",
        codes=("positions",),
        change=edited(TOKENIZER_CONFIG, model_max_length=4),
    ),
    RerankerDamage(
        name="sums that overflow",
        codes=("scores-not-finite",),
        change=weights(overflowing),
        is_read=True,
    ),
    RerankerDamage(
        name="a head that says nothing",
        codes=("scores-constant",),
        change=weights(saying_nothing),
        is_read=True,
    ),
)
