from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.embedder.tiny_embedder import SPEC, VOCABULARY
from vespa_colbert.embedder import LocalEmbedder, Role
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.tensor import TensorType
from vespa_colbert.tensor.cells import cells_of
from vespa_colbert.vespa_java import EmbedderFiles, JavaEmbedding, VespaJava

pytestmark = pytest.mark.java

DESTINATIONS: dict[Role, str] = {"query": "query(qt)", "document": "doc.colbert"}
ERROR = 2 * float(np.finfo(np.float32).eps)
"""Of a component below 1: two releases of ONNX Runtime may add in another order."""

MakeFolder = Callable[..., ModelFolder]


def random_texts(count: int) -> list[str]:
    """Return texts of words, punctuation and characters of every assigned kind."""
    chooser = random.Random(3)  # noqa: S311 - test texts, no secret
    kinds = ["red", "fox", "foxes", "!", ", ", ". ", " ", "狐", "🦊", "x1", "Red", "\t", "…", "é"]
    made = []
    for _ in range(count):
        parts = chooser.choices(kinds, k=chooser.randrange(1, 12))
        for _ in range(chooser.randrange(3)):
            character = chr(chooser.choice([chooser.randrange(0x3000), chooser.randrange(0x20000)]))
            if unicodedata.category(character) not in {"Cs", "Cn"}:
                parts.insert(chooser.randrange(len(parts)), character)
        made.append("".join(parts))
    return made


TEXTS = [
    *(
        "",
        " ",
        "\n\t ",
        "red fox",
        "Red, foxes!",
        "RED RED RED RED RED RED RED RED RED RED RED RED RED",
    ),
    *(
        "!",
        "...",
        "!?,.;:",
        "'",
        '"',
        "\\",
        "`~^|",
        "red.fox",
        "red...",
        "(red) [fox] {red}",
        "-_-",
    ),
    *("🦊", "red 🦊 fox", "👩‍👩‍👧‍👦", "🇫🇮🇳🇴", "❤️", "é", "e\u0301", "café", "naïve", "ÜBER", "über"),
    *(
        "狐狸",
        "日本語",
        "日本 語",
        "אבג שלום",
        "مرحبا",
        "ب" * 30,
        "\u202bred\u202c fox",
        "re\u00add",
    ),
    *(
        "\x00",
        "red\x00fox",
        "\x01\x02\x1b",
        "red\x7ffox",
        "\ufeffred",
        "red\u200bfox",
        "\u00a0red\u00a0",
    ),
    *(
        "\ufffd",
        "\ufffe",
        "\U0010ffff",
        "\U000e0041",
        "\u2028red\u2029",
        "a\u0300" * 20,
        "ﬁ",
        "İstanbul",
    ),
    *(
        "red " * 2500,
        "x" * 10_000,
        "!" * 10_000,
        "🦊" * 2500,
        "狐" * 10_000,
        " " * 10_000,
        "red!" * 2500,
    ),
    *(
        "[CLS]",
        "red[SEP]fox",
        "[MASK] [PAD]",
        "[ MASK ]",
        "[Q]",
        "[unk]",
        "##es",
        "red##es",
        "1234567890",
    ),
    *(
        "http://red.fox/es?a=1&b=2",
        "$5.00",
        "C++",
        "a@b.c",
        "<b>red</b>",
        "{{red}}",
        "%s %d",
        "\\n",
    ),
    *random_texts(40),
]


def assert_same(
    theirs: JavaEmbedding, mine: LocalEmbedder, text: str, role: Role, target: TensorType
) -> None:
    given = mine.transformer_input(text, role)
    assert theirs.token_ids.tolist() == list(given.ids)
    assert theirs.attention_mask.tolist() == list(given.attention)
    vectors = mine.embed(text, role)
    found = theirs.tensor.subspaces()
    assert list(found) == [(str(row),) for row in range(given.emitted)]
    rows, cells = np.array(list(found.values())), cells_of(vectors, target)
    if target.cell_type == "int8":
        assert np.array_equal(rows, cells)
    else:
        assert np.abs(rows - cells).max() <= ERROR


def compare(
    folder: ModelFolder, judge: VespaJava, role: Role, kind: str, texts: list[str] = TEXTS
) -> None:
    target = TensorType.parse(kind)
    mine = LocalEmbedder(folder, threads=1)
    made = judge.embed_many(EmbedderFiles.of(folder), texts, DESTINATIONS[role], target)
    for text, theirs in zip(texts, made, strict=True):
        try:
            assert_same(theirs, mine, text, role, target)
        except AssertionError as error:
            error.add_note(f"{role} {text[:100]!r}")
            raise


class TestTexts:
    def test_there_are_enough_and_they_reach_what_they_should(self, folder: ModelFolder) -> None:
        mine = LocalEmbedder(folder, threads=1)
        lengths = {len(mine.token_ids(text)) for text in TEXTS}
        assert len(TEXTS) >= 100
        assert {0, 1, SPEC.max_tokens} <= lengths

    @pytest.mark.parametrize("role", ["query", "document"])
    @pytest.mark.parametrize("kind", ["tensor<float>(dt{},x[16])", "tensor<float>(dt{},x[5])"])
    def test_ids_attention_and_rows_are_those_of_vespas_embedder(
        self, role: Role, kind: str, folder: ModelFolder, judge: VespaJava
    ) -> None:
        compare(folder, judge, role, kind)

    @pytest.mark.parametrize("kind", ["tensor<int8>(dt{},x[2])", "tensor<int8>(dt{},x[1])"])
    def test_bits_are_those_of_vespas_embedder(
        self, kind: str, folder: ModelFolder, judge: VespaJava
    ) -> None:
        compare(folder, judge, "document", kind)

    @pytest.mark.parametrize("role", ["query", "document"])
    def test_bfloat16_cells_are_cut_off_as_vespa_writes_them(
        self, role: Role, folder: ModelFolder, judge: VespaJava
    ) -> None:
        source, kind = EmbedderFiles.of(folder), TensorType.parse("tensor<bfloat16>(dt{},x[16])")
        mine = LocalEmbedder(folder, threads=1)
        for text in ("red fox", "!", "狐狸 🦊"):
            theirs = judge.embed(source, text, DESTINATIONS[role], kind)
            cells = cells_of(theirs.contextual[: len(theirs.tensor.values)], kind)
            assert np.array_equal(theirs.tensor.values, cells)
            assert np.array_equal(theirs.contextual[: len(cells)], mine.embed(text, role))


SHORT = ["red fox", "", "!", "red, fox!", "red " * 30, "ж red", "! " * 12 + "red fox " * 9]


LONG = [*SHORT, "red fox " * 20, "red fox " * 1000]


class TestFacts:
    @pytest.mark.parametrize("role", ["query", "document"])
    @pytest.mark.parametrize(
        "facts",
        [
            {"expansion_emitted": False},
            {"max_tokens": 9},
            {"max_query_tokens": 40, "max_document_tokens": 40},
            {"max_query_tokens": 3, "max_document_tokens": 3},
            {"query_marker_id": 7, "document_marker_id": 8, "mask_id": 0},
        ],
    )
    def test_facts_mean_what_they_mean_to_vespa(
        self, facts: dict[str, Any], role: Role, make_folder: MakeFolder, judge: VespaJava
    ) -> None:
        compare(make_folder(**facts), judge, role, "tensor<float>(dt{},x[16])", SHORT)

    def test_unknown_punctuation_takes_unknown_words_with_it(
        self, make_folder: MakeFolder, judge: VespaJava
    ) -> None:
        poorer = tuple(word for word in VOCABULARY if word != "~")
        made = make_folder(vocabulary=poorer)
        compare(made, judge, "document", "tensor<float>(dt{},x[16])", SHORT)

    @pytest.mark.parametrize(
        "truncation",
        [
            {"max_length": 6},
            {"max_length": 6, "stride": 2},
            {"max_length": 6, "direction": "left"},
            {"max_length": 6, "strategy": "only_first"},
            {"max_length": 6, "strategy": "only_second"},
            {"max_length": 6, "strategy": "only_first", "direction": "left"},
            {"max_length": 900},
            {"max_length": 900, "strategy": "only_first"},
        ],
    )
    def test_a_truncation_in_the_tokenizer_file_counts_as_it_does_to_vespa(
        self, truncation: dict[str, Any], make_folder: MakeFolder, judge: VespaJava
    ) -> None:
        limits = {"max_query_tokens": 800, "max_document_tokens": 800, "max_tokens": 800}
        made = make_folder(truncation=truncation, **limits)
        for role in DESTINATIONS:
            compare(made, judge, role, "tensor<float>(dt{},x[16])", LONG)

    @pytest.mark.parametrize("truncation", [None, {"max_length": 6}, {"max_length": 20}])
    @pytest.mark.parametrize("padding", [{"length": 9}, {"length": 99}, {}])
    def test_padding_in_the_tokenizer_file_counts_as_it_does_to_vespa(
        self,
        padding: dict[str, Any],
        truncation: dict[str, Any] | None,
        make_folder: MakeFolder,
        judge: VespaJava,
    ) -> None:
        made = make_folder(truncation=truncation, padding=padding)
        for role in DESTINATIONS:
            compare(made, judge, role, "tensor<float>(dt{},x[16])", LONG)
