"""How a tokenizer puts a pair of texts together, read from ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.checkpoint.folder import JsonObject, read_object
from vespa_colbert.checkpoint.tokenizer_facts import TOKENIZER_FILE, parts_of
from vespa_colbert.errors import CheckpointError

__all__ = ["PairForm", "read_pair_form"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairForm:
    """A pair of texts as a cross-encoder was trained to read it.

    It is start, first text, separators, second text, separator.

    Attributes:
        start_id: Id put first ([CLS], <s>).
        separator_id: Id put between the texts and last ([SEP], </s>).
        separators: How many stand between the texts: 1 as in BERT, 2 as in RoBERTa.
        second_type: Token type of the second text and of what follows it: 1 as in BERT, or 0.
    """

    start_id: int
    separator_id: int
    separators: int
    second_type: int

    @property
    def special_tokens(self) -> int:
        """How many tokens a pair has beside its texts."""
        return 2 + self.separators


def read_pair_form(folder: Path) -> PairForm:
    """Return how the tokenizer in a folder puts a pair of texts together.

    Raises:
        CheckpointError: If there is no tokenizer.json, or it puts them together in another way.

    Source: BertProcessing, RobertaProcessing and TemplateProcessing, tokenizers 0.23.
    """
    document = read_object(folder, TOKENIZER_FILE)
    try:
        forms = [form for each in parts_of(document, "post_processor") if (form := _form(each))]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{_where(document)}: malformed ({error!r})") from error
    if len(forms) != 1:
        raise CheckpointError(
            f"{_where(document)}: expected one that puts pairs together as [CLS] $A [SEP] $B [SEP] "
            "or <s> $A </s> </s> $B </s>, got another form; save the tokenizer again"
        )
    return forms[0]


def _where(document: JsonObject) -> str:
    return f"{document.name}: post_processor"


def _form(processor: Mapping[str, Any]) -> PairForm | None:
    """Return the form that a post-processor gives a pair, if it is a known one."""
    kind = processor.get("type")
    if kind in {"BertProcessing", "RobertaProcessing"}:
        is_bert = kind == "BertProcessing"
        return PairForm(
            start_id=int(processor["cls"][1]),
            separator_id=int(processor["sep"][1]),
            separators=1 if is_bert else 2,
            second_type=1 if is_bert else 0,
        )
    return _template_form(processor) if kind == "TemplateProcessing" else None


def _template_form(processor: Mapping[str, Any]) -> PairForm | None:
    """Return the form of a template: its pieces have a name and a token type each."""
    pieces = [next(iter(piece.items())) for piece in processor["pair"]]
    texts = [place for place, (kind, _) in enumerate(pieces) if kind == "Sequence"]
    if len(texts) != 2 or [pieces[place][1]["id"] for place in texts] != ["A", "B"]:
        return None
    first, second = texts
    ids = [
        None if kind == "Sequence" else _one_id(processor, piece["id"]) for kind, piece in pieces
    ]
    types = [int(piece["type_id"]) for _, piece in pieces]
    between, behind = ids[first + 1 : second], ids[second + 1 :]
    if first != 1 or len(behind) != 1 or set(between) != set(behind) or len(between) > 2:
        return None
    if any(types[:second]) or len(set(types[second:])) > 1 or types[second] > 2 - len(between):
        return None
    start, separator = ids[0], behind[0]
    if start is None or separator is None:
        return None
    return PairForm(
        start_id=start,
        separator_id=separator,
        separators=len(between),
        second_type=types[second],
    )


def _one_id(processor: Mapping[str, Any], token: str) -> int:
    (found,) = processor["special_tokens"][token]["ids"]
    return int(found)
