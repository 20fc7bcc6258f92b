from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_checkpoint import write_json
from vespa_colbert.checkpoint.tokenizer_facts import read_tokenizer
from vespa_colbert.errors import CheckpointError

TEMPLATE: dict[str, Any] = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ],
    "special_tokens": {
        "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
        "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
    },
}
UNIGRAM = {
    "model": {
        "type": "Unigram",
        "unk_id": 3,
        "vocab": [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁rose", -3.5]],
    },
    "added_tokens": [{"id": 5, "content": "<mask>"}, {"id": 6, "content": "[Q] "}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]},
    "post_processor": TEMPLATE,
}


def write(folder: Path, **changes: Any) -> Path:
    write_json(folder / "tokenizer.json", UNIGRAM | changes)
    return folder


def test_the_place_of_a_unigram_piece_is_its_id(tmp_path: Path) -> None:
    facts = read_tokenizer(write(tmp_path))
    assert facts.vocabulary["▁rose"] == 4
    assert facts.unknown_id == 3
    assert facts.largest_id == 6
    assert facts.marker("[Q] ", "query").id == 6
    with pytest.raises(CheckpointError, match="one token"):
        facts.marker("<unk>", "query")


def test_a_sequence_of_normalizers_is_searched_for_lower_casing(tmp_path: Path) -> None:
    assert read_tokenizer(write(tmp_path)).lower_cases
    assert not read_tokenizer(write(tmp_path, normalizer={"type": "NFKC"})).lower_cases
    assert not read_tokenizer(write(tmp_path, normalizer=None)).lower_cases


@pytest.mark.parametrize(
    "processor",
    [
        TEMPLATE,
        {"type": "Sequence", "processors": [{"type": "ByteLevel"}, TEMPLATE]},
        {"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]},
        {"type": "BertProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]},
    ],
    ids=["template", "sequence", "roberta", "bert"],
)
def test_first_and_last_token_are_those_of_the_post_processor(
    tmp_path: Path, processor: dict[str, Any]
) -> None:
    facts = read_tokenizer(write(tmp_path, post_processor=processor))
    assert (facts.start_id, facts.end_id) == (0, 2)


@pytest.mark.parametrize(
    ("processor", "ends"),
    [
        ({**TEMPLATE, "single": TEMPLATE["single"][:2]}, (0, None)),
        ({**TEMPLATE, "single": TEMPLATE["single"][1:]}, (None, 2)),
        ({**TEMPLATE, "single": TEMPLATE["single"][1:2]}, (None, None)),
        ({"type": "ByteLevel"}, (None, None)),
        (None, (None, None)),
    ],
    ids=["no end", "no start", "neither", "byte level", "none"],
)
def test_a_decoder_has_no_token_on_a_side(
    tmp_path: Path, processor: dict[str, Any] | None, ends: tuple[int | None, int | None]
) -> None:
    facts = read_tokenizer(write(tmp_path, post_processor=processor))
    assert (facts.start_id, facts.end_id) == ends
    with pytest.raises(CheckpointError, match="which this layout always has"):
        facts.check_both_ends()


@pytest.mark.parametrize("role", ["cls_token", "sep_token"])
def test_a_named_token_that_is_put_nowhere_is_refused(tmp_path: Path, role: str) -> None:
    write(tmp_path, post_processor=None)
    write_json(tmp_path / "special_tokens_map.json", {role: "</s>"})
    with pytest.raises(CheckpointError, match=f"post_processor .* special_tokens_map.json: {role}"):
        read_tokenizer(tmp_path)


START, TEXT, END = TEMPLATE["single"]


@pytest.mark.parametrize(
    ("processor", "fragment"),
    [
        ({**TEMPLATE, "single": [START, START, TEXT]}, "at most one token before"),
        ({**TEMPLATE, "single": [START, END]}, "at most one token before"),
        ({"type": "Sequence", "processors": [TEMPLATE, TEMPLATE]}, "one that adds tokens, got 2"),
        ({"type": "Newest"}, "'Newest' is not known"),
        ({**TEMPLATE, "special_tokens": {}}, "one id for '<s>'"),
        ({"type": "RobertaProcessing", "cls": "<s>"}, "post_processor"),
    ],
    ids=["two before", "no text", "two templates", "unknown", "no id", "malformed"],
)
def test_another_form_of_post_processor_is_refused(
    tmp_path: Path, processor: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(CheckpointError, match=fragment):
        read_tokenizer(write(tmp_path, post_processor=processor))


def test_roles_fall_back_in_order(tmp_path: Path) -> None:
    write(tmp_path)
    write_json(tmp_path / "special_tokens_map.json", {"eos_token": {"content": "</s>"}})
    facts = read_tokenizer(tmp_path)
    assert facts.first_special("mask_token", "eos_token") == (
        2,
        "special_tokens_map.json: eos_token",
    )
    with pytest.raises(CheckpointError, match="expected one of mask_token, pad_token"):
        facts.first_special("mask_token", "pad_token")
