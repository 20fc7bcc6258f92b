"""Prompts with the kinds of tokenizer that treat the text behind an added token differently."""

from __future__ import annotations

import string

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from vespa_colbert.checkpoint.prompt_marker import moves_white_space, prompt_marker
from vespa_colbert.checkpoint.tokenizer_facts import Marker, TokenizerFacts
from vespa_colbert.errors import CheckpointError

SPECIALS = {"<s>": 0, "</s>": 1, "<unk>": 2}


def byte_level(*, prefix_space: bool) -> Tokenizer:
    vocabulary = dict(SPECIALS)
    for character in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(character, len(vocabulary))
    vocabulary["\u0120r"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, [("\u0120", "r")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    return tokenizer


def pieces(scheme: str) -> Tokenizer:
    characters = "\u2581" + string.ascii_letters
    scores = [*SPECIALS, *characters, "\u2581rose"]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in scores], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    return tokenizer


def facts(tokenizer: Tokenizer, token: str) -> TokenizerFacts:
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    tokenizer.add_special_tokens([AddedToken(token, special=True)])
    return TokenizerFacts(
        text=tokenizer.to_str(),
        vocabulary=tokenizer.get_vocab(),
        unknown_id=2,
        start_id=0,
        end_id=1,
        lower_cases=False,
        special_tokens={},
        provenance={},
    )


TOKENIZERS = {
    "byte level": lambda: byte_level(prefix_space=False),
    "byte level with prefix space": lambda: byte_level(prefix_space=True),
    "pieces": lambda: pieces("always"),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("prompt", ["[Q]", "[Q] "])
def test_an_added_token_is_a_marker(kind: str, prompt: str) -> None:
    known = facts(TOKENIZERS[kind](), prompt)
    marker = prompt_marker(known, prompt, "query")
    assert marker == Marker(text=prompt, id=known.vocabulary[prompt])
    assert not moves_white_space(known, marker)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_space_behind_it_is_a_token_of_its_own(kind: str) -> None:
    with pytest.raises(CheckpointError, match=r"'\[Q\] ': expected exactly one token .* got 2"):
        prompt_marker(facts(TOKENIZERS[kind](), "[Q]"), "[Q] ", "query")


def test_a_first_word_that_is_cut_otherwise_alone_is_refused() -> None:
    known = facts(pieces("first"), "[Q]")
    with pytest.raises(CheckpointError, match="keep its tokens"):
        prompt_marker(known, "[Q]", "query")


def test_a_file_that_the_library_refuses_is_refused() -> None:
    known = facts(pieces("always"), "[Q]")
    damaged = TokenizerFacts(
        text=known.text.replace('"Unigram"', '"Other"'),
        vocabulary=known.vocabulary,
        unknown_id=2,
        start_id=0,
        end_id=1,
        lower_cases=False,
        special_tokens={},
        provenance={},
    )
    with pytest.raises(CheckpointError, match="tokenizers library refuses"):
        prompt_marker(damaged, "[Q]", "query")
