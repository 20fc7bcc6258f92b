from __future__ import annotations

import string
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.embedder.tiny_embedder import DIM, SPEC, VOCABULARY, table, token
from vespa_colbert.embedder import LocalEmbedder, Role
from vespa_colbert.errors import ArrayError, CollectionError, ExportError, MissingExtraError
from vespa_colbert.export.model_folder import ModelFolder

CLS, SEP, MASK, QUERY, DOCUMENT, UNK = (
    token(word) for word in ("[CLS]", "[SEP]", "[MASK]", "[Q]", "[D]", "[UNK]")
)
RED, FOX, ES = token("red"), token("fox"), token("##es")
ERROR = 8 * float(np.finfo(np.float32).eps)
"""Of a component below 1: a mean, a sum, a norm and a division in float32, against double."""

MakeFolder = Callable[..., ModelFolder]


@pytest.fixture(scope="module")
def embedder(folder: ModelFolder) -> LocalEmbedder:
    return LocalEmbedder(folder, threads=1)


class TestTokenIds:
    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            ("red foxes", (RED, FOX, ES)),
            ("RED, fox!", (RED, token(","), FOX, token("!"))),
            ("", ()),
            ("  \t\n ", ()),
            ("a1", (token("a"), token("##1"))),
            ("狐狸", (token("狐"), token("狸"))),
            ("ж", (UNK,)),
            ("red[SEP]fox", (RED, SEP, FOX)),
        ],
    )
    def test_ids_have_no_specials_of_their_own(
        self, embedder: LocalEmbedder, text: str, ids: tuple[int, ...]
    ) -> None:
        assert embedder.token_ids(text) == ids

    def test_ids_are_cut_at_the_encoders_positions(self, embedder: LocalEmbedder) -> None:
        assert embedder.token_ids("red " * 100) == (RED,) * SPEC.max_tokens

    @pytest.mark.parametrize(("text", "place"), [("\ud83e", 0), ("red \udd8a fox", 4)])
    def test_half_a_surrogate_pair_is_refused(
        self, embedder: LocalEmbedder, text: str, place: int
    ) -> None:
        with pytest.raises(CollectionError, match=f"lone surrogate at {place}"):
            embedder.token_ids(text)


class TestSkipIds:
    def test_they_are_the_ids_of_all_punctuation(self, embedder: LocalEmbedder) -> None:
        assert embedder.skip_ids == {token(character) for character in string.punctuation}

    def test_punctuation_that_is_not_in_the_vocabulary_takes_all_unknown_words_with_it(
        self, make_folder: MakeFolder
    ) -> None:
        """As in Vespa: every id of every punctuation character is skipped, [UNK] too."""
        poorer = tuple(word for word in VOCABULARY if word != "~")
        made = LocalEmbedder(make_folder(vocabulary=poorer), threads=1)
        assert poorer.index("[UNK]") in made.skip_ids
        assert made.transformer_input("red ж fox", "document").ids == (
            CLS,
            DOCUMENT,
            poorer.index("red"),
            poorer.index("fox"),
            SEP,
        )
        assert poorer.index("[UNK]") in made.transformer_input("red ж fox", "query").ids


class TestTransformerInput:
    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            ("red fox", (CLS, QUERY, RED, FOX, SEP, MASK, MASK, MASK)),
            ("", (CLS, QUERY, SEP, MASK, MASK, MASK, MASK, MASK)),
            ("red, fox!", (CLS, QUERY, RED, token(","), FOX, token("!"), SEP, MASK)),
            ("!?", (CLS, QUERY, token("!"), token("?"), SEP, MASK, MASK, MASK)),
            ("red red red red red", (CLS, QUERY, *[RED] * 5, SEP)),
            ("red red red red red fox fox", (CLS, QUERY, *[RED] * 5, SEP)),
        ],
    )
    def test_a_query_is_filled_up_with_mask_tokens_that_are_not_attended(
        self, embedder: LocalEmbedder, text: str, ids: tuple[int, ...]
    ) -> None:
        given = embedder.transformer_input(text, "query")
        real = ids.index(SEP) + 1
        assert given.ids == ids
        assert given.attention == (1,) * real + (0,) * (SPEC.max_query_tokens - real)
        assert given.emitted == SPEC.max_query_tokens

    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            ("red fox", (CLS, DOCUMENT, RED, FOX, SEP)),
            ("", (CLS, DOCUMENT, SEP)),
            ("!?...", (CLS, DOCUMENT, SEP)),
            ("red, (fox)!", (CLS, DOCUMENT, RED, FOX, SEP)),
            ("red " * 9, (CLS, DOCUMENT, *[RED] * 9, SEP)),
            ("red " * 10, (CLS, DOCUMENT, *[RED] * 9, SEP)),
            # cut to 16 raw tokens first, punctuation taken out after that
            ("! " * 8 + "red " * 9, (CLS, DOCUMENT, *[RED] * 8, SEP)),
            ("! " * 16 + "red", (CLS, DOCUMENT, SEP)),
        ],
    )
    def test_a_document_loses_its_punctuation_before_the_encoder_and_is_not_filled_up(
        self, embedder: LocalEmbedder, text: str, ids: tuple[int, ...]
    ) -> None:
        given = embedder.transformer_input(text, "document")
        assert given.ids == ids
        assert given.attention == (1,) * len(ids)
        assert given.emitted == len(ids)

    def test_expansion_that_is_not_emitted_is_still_given_to_the_encoder(
        self, make_folder: MakeFolder
    ) -> None:
        made = LocalEmbedder(make_folder(expansion_emitted=False), threads=1)
        given = made.transformer_input("red fox", "query")
        assert given.ids == (CLS, QUERY, RED, FOX, SEP, MASK, MASK, MASK)
        assert given.attention == (1, 1, 1, 1, 1, 0, 0, 0)
        assert given.emitted == 5
        assert made.embed("red fox", "query").shape == (5, DIM)
        assert made.transformer_input("red", "document").emitted == 4

    @pytest.mark.parametrize(
        ("facts", "query_length", "document_length"),
        [
            ({"max_query_tokens": 40}, 16, 12),
            ({"max_document_tokens": 40}, 8, 16),
            ({"max_tokens": 5}, 5, 5),
            ({"max_query_tokens": 3, "max_document_tokens": 3}, 3, 3),
        ],
    )
    def test_no_text_is_longer_than_the_encoder_has_positions(
        self,
        make_folder: MakeFolder,
        facts: dict[str, int],
        query_length: int,
        document_length: int,
    ) -> None:
        made = LocalEmbedder(make_folder(**facts), threads=1)
        assert len(made.transformer_input("red " * 99, "query").ids) == query_length
        assert len(made.transformer_input("red " * 99, "document").ids) == document_length

    @pytest.mark.parametrize("fact", ["max_query_tokens", "max_document_tokens", "max_tokens"])
    def test_a_limit_without_room_for_the_specials_is_refused(
        self, make_folder: MakeFolder, fact: str
    ) -> None:
        with pytest.raises(ExportError, match=r"expected limits of 3 tokens or more, got .*2"):
            LocalEmbedder(make_folder(**{fact: 2}), threads=1)


class TestTruncationInTheTokenizerFile:
    @pytest.mark.parametrize(
        ("truncation", "kept"),
        [
            (None, 16),
            ({"max_length": 6}, 6),
            ({"max_length": 6, "strategy": "only_first"}, 6),
            ({"max_length": 99, "strategy": "only_first"}, 16),
        ],
    )
    def test_it_counts_where_it_is_shorter(
        self, make_folder: MakeFolder, truncation: dict[str, Any] | None, kept: int
    ) -> None:
        made = LocalEmbedder(make_folder(truncation=truncation), threads=1)
        assert len(made.token_ids("red " * 200)) == kept

    @pytest.mark.parametrize(
        ("truncation", "kept"),
        [
            ({"max_length": 900}, 512),
            ({"max_length": 900, "strategy": "only_first"}, 800),
            (None, 800),
        ],
    )
    def test_vespas_library_cuts_at_512_where_nothing_else_does(
        self, make_folder: MakeFolder, truncation: dict[str, Any] | None, kept: int
    ) -> None:
        made = LocalEmbedder(make_folder(truncation=truncation, max_tokens=800), threads=1)
        assert len(made.token_ids("red " * 2000)) == kept

    @pytest.mark.parametrize(
        ("padding", "kept"),
        [({"length": 9}, 9), ({"length": 99}, 16), ({}, 16), ({"pad_to_multiple_of": 8}, 16)],
    )
    def test_fixed_padding_cuts_and_nothing_is_padded(
        self, make_folder: MakeFolder, padding: dict[str, Any], kept: int
    ) -> None:
        made = LocalEmbedder(make_folder(padding=padding), threads=1)
        assert made.token_ids("red fox") == (RED, FOX)
        assert len(made.token_ids("red " * 200)) == kept

    @pytest.mark.parametrize("strategy", ["longest_first", "only_first"])
    def test_its_direction_counts(self, make_folder: MakeFolder, strategy: str) -> None:
        truncation = {"max_length": 2, "strategy": strategy, "direction": "left"}
        made = LocalEmbedder(make_folder(truncation=truncation), threads=1)
        assert made.token_ids("red red red foxes") == (FOX, ES)


class TestEmbed:
    def expected(self, ids: tuple[int, ...], attended: int) -> Any:
        rows = table(len(VOCABULARY)).astype(np.float64)[list(ids)]
        mixed = rows + rows[:attended].mean(axis=0) / 2
        return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)

    @pytest.mark.parametrize(
        ("text", "role", "ids", "attended"),
        [
            ("red fox", "query", (CLS, QUERY, RED, FOX, SEP, MASK, MASK, MASK), 5),
            ("red, fox!", "document", (CLS, DOCUMENT, RED, FOX, SEP), 5),
            ("", "document", (CLS, DOCUMENT, SEP), 3),
            ("...", "document", (CLS, DOCUMENT, SEP), 3),
            ("", "query", (CLS, QUERY, SEP, *[MASK] * 5), 3),
        ],
    )
    def test_rows_are_what_the_model_makes_of_ids_and_attention(
        self, embedder: LocalEmbedder, text: str, role: Role, ids: tuple[int, ...], attended: int
    ) -> None:
        vectors = embedder.embed(text, role)
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(ids), DIM)
        assert np.abs(vectors - self.expected(ids, attended)).max() <= ERROR

    def test_a_text_has_the_same_rows_whatever_was_embedded_before(
        self, embedder: LocalEmbedder
    ) -> None:
        first = embedder.embed("red fox", "document").copy()
        embedder.embed("fox " * 50, "document")
        assert np.array_equal(embedder.embed("red fox", "document"), first)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_model_that_gives_no_finite_value_is_refused(
        self, make_folder: MakeFolder, value: float
    ) -> None:
        rows = table(len(VOCABULARY))
        rows[FOX, 3] = value
        made = LocalEmbedder(make_folder(rows=rows), threads=1)
        assert np.isfinite(made.embed("red", "document")).all()
        with pytest.raises(
            ArrayError, match="expected finite values, got NaN or infinity for 'fox'"
        ):
            made.embed("fox", "document")


class TestRefusals:
    def test_a_model_of_another_width_than_its_facts(self, make_folder: MakeFolder) -> None:
        with pytest.raises(
            ExportError, match=r"expected contextual \(batch, sequence, 8\), got .*16\]"
        ):
            LocalEmbedder(make_folder(dim=8), threads=1)

    @pytest.mark.parametrize(
        "names",
        [
            ("ids", "attention_mask", "contextual"),
            ("input_ids", "mask", "contextual"),
            ("input_ids", "attention_mask", "last_hidden_state"),
        ],
    )
    def test_a_model_with_other_names(
        self, make_folder: MakeFolder, names: tuple[str, str, str]
    ) -> None:
        with pytest.raises(
            ExportError, match="expected inputs input_ids and attention_mask"
        ) as caught:
            LocalEmbedder(make_folder(names=names), threads=1)
        assert all(name in str(caught.value) for name in names)

    @pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json"])
    def test_a_file_that_cannot_be_read(self, make_folder: MakeFolder, file: str) -> None:
        made = make_folder()
        (made.path / file).write_bytes(b"not what it should be")
        with pytest.raises(ExportError, match=f"{file}: "):
            LocalEmbedder(made, threads=1)

    @pytest.mark.parametrize("package", ["tokenizers", "onnxruntime"])
    def test_a_missing_package_is_named_with_its_extra(
        self, folder: ModelFolder, package: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=rf"{package} .* 'vespa-colbert\[embed\]'"):
            LocalEmbedder(folder, threads=1)
