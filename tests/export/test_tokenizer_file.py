from __future__ import annotations

import json
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.errors import CheckpointError, ExportError
from vespa_colbert.export.tokenizer_file import (
    SPACES,
    exact_tokenizer_text,
    keeps_outer_space,
    lone_punctuation_ids,
    open_tokenizer,
)

PRINTABLE = [chr(point) for point in range(33, 127)]
TEXTS = (
    *("", " ", "rose", "a rose. b", "..", "?!", " .", ". ", "\n.", ".\n.", "a\n!\nb", "'tis", "a"),
    *(
        "(rose)",
        "C++",
        "$5.00",
        "日本。",
        "狐",
        "🦊.",
        "👩‍👩‍👧‍👦",
        "é",
        "e\u0301",
        "\u200b",
        "！",
        "–",
        "\u202bx\u202c",
    ),
    *(
        "\x00",
        "\ufeffx",
        "  hi  ",
        "x" * 300,
        ". " * 200,
        "rose\u00a0is",
        "<b>{{x}}</b>",
        "\\.",
    ),
    *("a[Q] b", "[Q] a", "a  b   c"),
)


def word_piece() -> Tokenizer:
    vocabulary = ["[UNK]", *PRINTABLE, *(f"##{each}" for each in PRINTABLE), "rose", "日"]
    ids = {token: place for place, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=vocabulary[0]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def byte_level(*, prefix_space: bool) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "."), (".", "."), ("r", "o"), ("Ġ", "ro")]
    tokens = [*alphabet, *("".join(pair) for pair in merges)]
    ids = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    # As in ModernBERT: runs of spaces are tokens that stand in normalized text.
    tokenizer.add_tokens([AddedToken("  ", normalized=True), AddedToken("[Q] ", normalized=True)])
    return tokenizer


def metaspace(normalizer: Any = None) -> Tokenizer:
    pieces = [
        ("<unk>", 0.0),
        ("▁", -2.0),
        ("▁rose", -1.0),
        ("▁!", -1.5),
        ("..", -1.0),
        ("日", -3.0),
    ]
    pieces += [(each, -3.0) for each in PRINTABLE]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "WordPiece": word_piece,
    "byte-level BPE": lambda: byte_level(prefix_space=False),
    "byte-level BPE with prefix space": lambda: byte_level(prefix_space=True),
    "Metaspace Unigram": metaspace,
    "Metaspace Unigram, normalizers": lambda: metaspace(
        normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    ),
    "Metaspace Unigram, prepended": lambda: metaspace(normalizers.Prepend("▁")),
}


@pytest.fixture(name="of")
def of_fixture(tiny_checkpoint: Path) -> Callable[..., Checkpoint]:
    """A checkpoint with another tokenizer and other facts."""
    checkpoint = read_checkpoint(tiny_checkpoint)

    def make(tokenizer: Tokenizer, **facts: Any) -> Checkpoint:
        inside = replace(checkpoint.tokenizer, text=tokenizer.to_str(), lower_cases=False)
        return replace(checkpoint, tokenizer=inside, **{"strip": False, **facts})

    return make


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_vespa_finds_nothing_to_skip_and_texts_keep_their_ids(
    of: Callable[..., Checkpoint], kind: str
) -> None:
    before = TOKENIZERS[kind]()
    after = Tokenizer.from_str(exact_tokenizer_text(of(before)))
    assert [each for each in string.punctuation if ids(after, each)] == []
    assert {text: ids(after, text) for text in TEXTS} == {text: ids(before, text) for text in TEXTS}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_plain_tokenizer_has_ids_for_punctuation(
    of: Callable[..., Checkpoint], kind: str
) -> None:
    checkpoint = of(TOKENIZERS[kind]())
    tokenizer = open_tokenizer(checkpoint.tokenizer.text, checkpoint)
    wanted = {token for each in string.punctuation for token in ids(tokenizer, each)}
    assert lone_punctuation_ids(tokenizer) == wanted
    assert wanted


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_stripping_librarys_ids_are_those_of_the_stripped_text(
    of: Callable[..., Checkpoint], kind: str
) -> None:
    before = TOKENIZERS[kind]()
    after = Tokenizer.from_str(exact_tokenizer_text(of(before, strip=True)))
    for text in TEXTS:
        for padded in (text, *(f"{space}{text}{space}\n" for space in SPACES)):
            if padded not in string.punctuation:
                assert ids(after, padded) == ids(before, padded.strip()), repr(padded)


def test_stripping_is_added_only_where_the_tokenizer_keeps_space(
    of: Callable[..., Checkpoint],
) -> None:
    for kind, make in TOKENIZERS.items():
        checkpoint = of(make(), strip=True)
        tokenizer = open_tokenizer(checkpoint.tokenizer.text, checkpoint)
        changed = any(
            ids(tokenizer, f"{space}rose{space}") != ids(tokenizer, "rose") for space in SPACES
        )
        assert keeps_outer_space(tokenizer) == changed, kind
        removals = exact_tokenizer_text(checkpoint).count('"Replace"')
        plain = exact_tokenizer_text(of(make())).count('"Replace"')
        assert removals - plain == changed


def test_a_lower_casing_librarys_ids_are_those_of_the_lower_cased_text(
    of: Callable[..., Checkpoint],
) -> None:
    before = byte_level(prefix_space=False)
    after = Tokenizer.from_str(exact_tokenizer_text(of(before, lower_case=True)))
    for text in ("Rose", "ROSE is É", "İ", "ẞtraße"):
        assert ids(after, text) == ids(before, text.lower())
        assert ids(before, text) != ids(before, text.lower())


def test_the_rest_of_the_file_is_unchanged_but_for_truncation_and_padding(
    of: Callable[..., Checkpoint],
) -> None:
    tokenizer = TOKENIZERS["Metaspace Unigram, normalizers"]()
    source = json.loads(tokenizer.to_str())
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding(length=7)
    written = json.loads(exact_tokenizer_text(of(tokenizer)))
    assert written["normalizer"]["normalizers"][1:] == source["normalizer"]["normalizers"]
    assert written | {"normalizer": None} == source | {"normalizer": None}
    assert list(written) == list(source)


def test_stripping_a_long_run_of_spaces_takes_no_quadratic_time(
    of: Callable[..., Checkpoint],
) -> None:
    after = Tokenizer.from_str(exact_tokenizer_text(of(byte_level(prefix_space=False), strip=True)))
    # A pattern that tries every start of the run would take minutes.
    text = "a" + "\t" * 200_000 + "b"
    assert ids(after, text)[-1] == ids(after, "b")[0]


def test_a_tokenizer_that_keeps_ids_for_nothing_is_refused(of: Callable[..., Checkpoint]) -> None:
    tokenizer = word_piece()
    # A token that stands in the text before normalization is out of any normalizer's reach.
    tokenizer.add_tokens([AddedToken("!", normalized=False)])
    with pytest.raises(ExportError, match=r"tokenizer\.json: .*lone punctuation no tokens.*native"):
        exact_tokenizer_text(of(tokenizer))


def test_a_tokenizer_that_changes_behind_a_normalizer_is_refused(
    of: Callable[..., Checkpoint],
) -> None:
    tokenizer = byte_level(prefix_space=False)
    tokenizer.add_special_tokens(["Paris"])
    tokenizer.add_tokens([AddedToken("bees", normalized=False)])
    # Stripping works between added tokens, and " live?" loses its space behind "bees".
    with pytest.raises(ExportError, match="other ids for .*bees"):
        exact_tokenizer_text(of(tokenizer, strip=True))


def test_a_file_that_the_library_refuses_is_a_checkpoint_error(
    of: Callable[..., Checkpoint],
) -> None:
    checkpoint = of(word_piece())
    with pytest.raises(CheckpointError, match="tokenizers library refuses"):
        open_tokenizer(checkpoint.tokenizer.text[:-20], checkpoint)
