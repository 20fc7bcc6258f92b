from __future__ import annotations

import math

import numpy as np

from vespa_colbert.index.lexical import LexicalField, bigram_tokens, plain_tokens

TEXTS = ["red red fox", "blue fox", "", "grey whale swims far away"]


def test_tokens_are_folded_and_split_at_what_is_no_letter() -> None:
    assert plain_tokens("Red-FOX, ﬁne ²") == ["red", "fox", "fine", "2"]


def test_bm25_is_vespas_formula_worked_out_by_hand() -> None:
    field = LexicalField(TEXTS)
    average = (3 + 2 + 0 + 5) / 4
    rarity = math.log(1 + (4 - 1 + 0.5) / (1 + 0.5))
    wanted = rarity * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / average))

    scores = field.scores(["red"])

    assert math.isclose(scores[0], wanted, rel_tol=1e-12)
    assert scores[1:].tolist() == [0.0, 0.0, 0.0]


def test_a_document_without_the_field_does_not_count_in_the_average() -> None:
    field = LexicalField([*TEXTS, None])

    average = (3 + 2 + 0 + 5) / 4
    assert np.array_equal(field.scores(["red"]), field.scores(["red"], average=average))
    assert field.scores(["red"])[0] != LexicalField([*TEXTS, ""]).scores(["red"])[0]


def test_settings_of_bm25_change_it_as_the_formula_says() -> None:
    field = LexicalField(TEXTS)
    rarity = math.log(1 + (4 - 1 + 0.5) / (1 + 0.5))

    scores = field.scores(["red"], k1=2.0, b=0.5, average=6.0)

    wanted = rarity * 2 * 3 / (2 + 2 * (0.5 + 0.5 * 3 / 6))
    assert math.isclose(scores[0], wanted, rel_tol=1e-12)


def test_terms_are_whatever_makes_them() -> None:
    field = LexicalField(TEXTS, lambda text: [word[0] for word in text.split()])

    assert field.matches(["f"]).tolist() == [True, True, False, True]


def test_words_add_up_and_a_repeated_word_counts_again() -> None:
    field = LexicalField(TEXTS)

    both = field.scores(["red", "fox"])

    assert np.allclose(both, field.scores(["red"]) + field.scores(["fox"]), rtol=1e-12)
    assert np.allclose(field.scores(["fox", "fox"]), 2 * field.scores(["fox"]), rtol=1e-12)
    assert field.scores(["unknown"]).tolist() == [0.0] * 4


def test_matching_is_by_any_word() -> None:
    field = LexicalField(TEXTS)

    assert field.matches(["fox", "whale"]).tolist() == [True, True, False, True]
    assert not field.matches([]).any()


def test_bigrams_are_made_of_characters_that_no_space_parts() -> None:
    found = bigram_tokens("Das 日本語 ist東 かな2 言語")

    assert found == ["das", "日本", "本語", "ist", "東", "かな", "2", "言語"]
