"""Damages of ``tokenizer.json`` and its companions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.checkpoint.damage_cases import case
from tests.checkpoint.damages import (
    CONFIG,
    LFS_POINTER,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Damage,
    as_folder,
    bytes_changed,
    content,
    document,
    in_order,
    members,
    removed,
    tensor,
)
from tests.checkpoint.damages_of_values import EMBEDDING
from tests.checkpoint.layout_folders import (
    BGE_M3,
    MULTI,
    PYLATE,
    STANFORD,
    LayoutFiles,
)
from tests.tiny_checkpoint import write_json


def vocabulary(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the vocabulary of a WordPiece tokenizer."""
    return document(TOKENIZER, lambda parsed: change(parsed["model"]["vocab"]))


def template(change: Callable[[dict[str, Any]], object]) -> Damage:
    return document(TOKENIZER, lambda parsed: change(parsed["post_processor"]))


def first_added(**changes: Any) -> Damage:
    return document(TOKENIZER, lambda parsed: parsed["added_tokens"][0].update(changes))


def start_ids(ids: list[object]) -> Damage:
    def damage(folder: Path, files: LayoutFiles) -> None:
        template(lambda t: t["special_tokens"][files.start].update(ids=ids))(folder, files)

    return damage


def without_start(folder: Path, files: LayoutFiles) -> None:
    template(lambda t: t["special_tokens"].pop(files.start))(folder, files)


def unknown_is_absent(folder: Path, files: LayoutFiles) -> None:
    def change(parsed: dict[str, Any]) -> None:
        if "unk_id" in parsed["model"]:
            parsed["model"]["unk_id"] = 10**6
        else:
            parsed["model"]["unk_token"] = "[GONE]"

    document(TOKENIZER, change)(folder, files)


def slow_tokenizer(folder: Path, _files: LayoutFiles) -> None:
    (folder / TOKENIZER).unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n")


TOKENIZER_DAMAGES = (
    case("no tokenizer", removed(TOKENIZER), TOKENIZER, "fast tokenizer"),
    case("slow tokenizer alone", slow_tokenizer, TOKENIZER, "fast tokenizer", "save_pretrained"),
    case("tokenizer empty", content(TOKENIZER, b""), TOKENIZER, "empty file"),
    case("tokenizer cut", bytes_changed(TOKENIZER, lambda b: b[:200]), TOKENIZER, "JSON"),
    case("tokenizer a pointer", content(TOKENIZER, LFS_POINTER), TOKENIZER, "git lfs pull"),
    case("tokenizer a folder", as_folder(TOKENIZER), TOKENIZER, "a folder"),
    case("no model", document(TOKENIZER, lambda d: d.pop("model")), TOKENIZER, "model.vocab"),
    case("model a text", document(TOKENIZER, lambda d: d.update(model="a")), TOKENIZER, "model"),
    case(
        "vocabulary a number",
        document(TOKENIZER, lambda d: d["model"].update(vocab=3)),
        *(TOKENIZER, "model.vocab"),
    ),
    case(
        "vocabulary empty",
        document(TOKENIZER, lambda d: d["model"].update(vocab={})),
        *(TOKENIZER, "vocabulary"),
    ),
    case(
        "vocabulary larger than the embedding",
        in_order(
            tensor(EMBEDDING, lambda t: t[:40].clone()),
            members(CONFIG, vocab_size=40),
        ),
        *("below 40", "got {last}", TOKENIZER),
    ),
    case(
        "id negative",
        vocabulary(lambda v: v.update(rose=-1)),
        *(TOKENIZER, "'rose'", "-1"),
        layouts=(PYLATE, STANFORD, MULTI),
    ),
    case(
        "id a fraction",
        vocabulary(lambda v: v.update(rose=7.5)),
        *(TOKENIZER, "'rose'", "7.5"),
        layouts=(PYLATE, STANFORD, MULTI),
    ),
    case(
        "id a text",
        vocabulary(lambda v: v.update(rose="7")),
        *(TOKENIZER, "'rose'", "'7'"),
        layouts=(PYLATE, STANFORD, MULTI),
    ),
    case(
        "id given twice",
        vocabulary(lambda v: v.update(rose=v["is"])),
        *(TOKENIZER, "rose", "is", "the same id"),
        layouts=(PYLATE, STANFORD, MULTI),
    ),
    case("added token of another id", first_added(id=20), TOKENIZER, "added_tokens", "20"),
    case(
        "added token without id",
        document(TOKENIZER, lambda d: d["added_tokens"][0].pop("id")),
        TOKENIZER,
        "added_tokens",
    ),
    case("added token of a text id", first_added(id="0"), TOKENIZER, "'0'"),
    case("start token of another id", start_ids([9]), TOKENIZER, "post_processor", "9"),
    case("start token of no id", start_ids([]), TOKENIZER, "post_processor", "one id"),
    case("start token of a text id", start_ids(["4"]), TOKENIZER, "post_processor"),
    case("start token undefined", without_start, TOKENIZER, "post_processor"),
    case(
        "template no list",
        template(lambda t: t.update(single=3)),
        *(TOKENIZER, "post_processor"),
    ),
    case(
        "post-processor none",
        document(TOKENIZER, lambda d: d.update(post_processor=None)),
        *(TOKENIZER, "post_processor"),
    ),
    case(
        "post-processor unknown",
        document(TOKENIZER, lambda d: d.update(post_processor={"type": "Evil"})),
        *(TOKENIZER, "post_processor", "Evil"),
    ),
    case("unknown token absent", unknown_is_absent, TOKENIZER, "unknown token"),
    case(
        "normalizer unknown",
        document(TOKENIZER, lambda d: d.update(normalizer={"type": "Evil"})),
        *(TOKENIZER, "refuses it"),
    ),
    case(
        "normalizers no list",
        document(TOKENIZER, lambda d: d.update(normalizer={"type": "Sequence", "normalizers": 3})),
        TOKENIZER,
    ),
    case(
        "pre-tokenizer a text",
        document(TOKENIZER, lambda d: d.update(pre_tokenizer="BertPreTokenizer")),
        TOKENIZER,
    ),
    case(
        "model unknown",
        document(TOKENIZER, lambda d: d["model"].update(type="Evil")),
        *(TOKENIZER, "refuses it"),
    ),
    case("mask token a number", members(TOKENIZER_CONFIG, mask_token=6), "mask_token", "got 6"),
    case(
        "mask token not in the vocabulary",
        members(TOKENIZER_CONFIG, mask_token="[GONE]"),  # noqa: S106 - a token of text
        *("mask_token", "'[GONE]'"),
    ),
    case(
        "mask token unknown",
        lambda f, n: members(TOKENIZER_CONFIG, mask_token=n.unknown)(f, n),
        *("mask_token", "{unknown}"),
    ),
    case(
        "special token without content",
        members(TOKENIZER_CONFIG, pad_token={"lstrip": True}),
        *(TOKENIZER_CONFIG, "pad_token"),
    ),
    case(
        "no pad token",
        members(TOKENIZER_CONFIG, pad_token=None, mask_token=None, eos_token=None),
        *(TOKENIZER_CONFIG, "mask_token", "got none"),
    ),
    case(
        "special tokens contradict",
        lambda f, n: write_json(f / "special_tokens_map.json", {"pad_token": n.word}),
        *("pad_token", "{word}", "special_tokens_map.json"),
    ),
    case(
        "cut at the beginning",
        members(TOKENIZER_CONFIG, truncation_side="left"),
        *(TOKENIZER_CONFIG, "truncation_side", "'left'"),
    ),
    case(
        "filled at the beginning",
        members(TOKENIZER_CONFIG, padding_side="left"),
        *(TOKENIZER_CONFIG, "padding_side", "'left'"),
    ),
    case("side a number", members(TOKENIZER_CONFIG, truncation_side=1), "truncation_side", "1"),
    case("side unknown", members(TOKENIZER_CONFIG, truncation_side="up"), "'up'"),
    case(
        "tokenizer cuts at the beginning",
        document(
            TOKENIZER,
            lambda d: d.update(
                truncation={
                    "direction": "Left",
                    "max_length": 31,
                    "strategy": "LongestFirst",
                    "stride": 0,
                }
            ),
        ),
        *(TOKENIZER, "truncation", "Left"),
        layouts=(PYLATE, STANFORD, BGE_M3),
    ),
    case(
        "tokenizer fills at the beginning",
        document(TOKENIZER, lambda d: d["padding"].update(direction="Left")),
        *(TOKENIZER, "padding", "Left"),
        layouts=(PYLATE, STANFORD),
    ),
    case(
        "lower-casing contradicts",
        members(TOKENIZER_CONFIG, do_lower_case=False),
        *("do_lower_case", "normalizer"),
        layouts=(PYLATE, STANFORD, MULTI),
    ),
    case(
        "lower-casing a text",
        members(TOKENIZER_CONFIG, do_lower_case="yes"),
        "do_lower_case",
        layouts=(PYLATE, STANFORD, MULTI),
    ),
    case(
        "tokenizer code of its own",
        members(TOKENIZER_CONFIG, auto_map={"AutoTokenizer": ["tok.Evil", None]}),
        *(TOKENIZER_CONFIG, "tok.Evil", "not run"),
    ),
)
