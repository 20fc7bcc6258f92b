from __future__ import annotations

import itertools
from urllib.parse import quote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vespa_colbert.errors import CollectionError
from vespa_colbert.index import document_id
from vespa_colbert.index.document_ids import refused_character

HARD = st.text(st.sampled_from("a+ %2BE5.:"), min_size=1, max_size=8)
GO_LEAVES = "$&+:=@-_.~"
"""What Go's url.PathEscape writes as it is, beside letters and digits."""


def through_the_client(identifier: str) -> str:
    """Return the key as Vespa reads it from the path that the vespa CLI asks for."""
    key = identifier.split(":", 4)[4]
    return unquote_plus(quote(key, safe=GO_LEAVES))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("plain", "plain"),
        ("a:b::c", "a:b::c"),
        ("a/b?c#d", "a/b?c#d"),
        ("100%", "100%"),
        ("a%20b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a%2Bb", "a%252Bb"),
        ("a%25b", "a%2525b"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("%2E", "%252E"),
        ("日本語", "日本語"),
    ],
)
def test_a_key_is_escaped_only_where_a_client_would_change_it(key: str, expected: str) -> None:
    assert document_id(key, namespace="ns", document_type="t") == f"id:ns:t::{expected}"


@given(HARD)
def test_a_key_survives_the_client(key: str) -> None:
    whole = document_id(key, namespace="ns", document_type="t")

    assert through_the_client(whole) == whole.split(":", 4)[4]


@given(HARD, HARD)
def test_different_keys_have_different_ids(one: str, other: str) -> None:
    ids = [document_id(key, namespace="ns", document_type="t") for key in (one, other)]

    assert (ids[0] == ids[1]) is (one == other)


def test_all_short_keys_of_the_hard_signs_stay_apart() -> None:
    keys = [
        "".join(each) for size in (1, 2, 3, 4) for each in itertools.product("%+2B", repeat=size)
    ]
    ids = {document_id(key, namespace="n", document_type="t") for key in keys}

    assert len(ids) == len(keys) == 4 + 16 + 64 + 256


def test_a_plus_sign_would_be_lost_unescaped() -> None:
    assert through_the_client("id:ns:t::a+b") == "a b"


def test_a_group_stands_before_the_key() -> None:
    made = document_id("k:1", namespace="ns", document_type="t", group="me@x.org=1")

    assert made == "id:ns:t:g=me@x.org=1:k:1"


@pytest.mark.parametrize("group", ["a:b", "a,b", "a+b", ".", ".."])
def test_a_group_that_cannot_be_written_as_it_is_is_refused(group: str) -> None:
    with pytest.raises(CollectionError, match="expected a group without"):
        document_id("k", namespace="ns", document_type="t", group=group)


@pytest.mark.parametrize("namespace", ["", "a:b", "a+b", "."])
def test_a_namespace_that_cannot_be_written_is_refused(namespace: str) -> None:
    with pytest.raises(CollectionError, match="expected a namespace without"):
        document_id("k", namespace=namespace, document_type="t")


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(CollectionError, match="empty id"):
        document_id("", namespace="ns", document_type="t")


@pytest.mark.parametrize("character", ["\x00", "\x1f", "\ufdd0", "\uffff", "\U0001fffe", "\ud800"])
def test_a_character_that_vespa_refuses_is_an_error_with_its_place(character: str) -> None:
    with pytest.raises(CollectionError, match=f"U\\+{ord(character):04X} at character 11"):
        document_id(f"ab{character}", namespace="ns", document_type="t")


def test_of_all_characters_those_are_refused_that_vespa_refuses() -> None:
    # Text.isTextCharacter, Vespa 8.700.24: controls but tab and line ends, halves of surrogate
    # pairs, and what Unicode says is no character.
    surrogates, none_at_all = range(0xD800, 0xE000), range(0xFDD0, 0xFDE0)
    wanted = {*range(0x20), *surrogates, *none_at_all} - {0x09, 0x0A, 0x0D}
    wanted |= {plane * 0x10000 + end for plane in range(17) for end in (0xFFFE, 0xFFFF)}

    refused = {code for code in range(0x110000) if refused_character(f"a{chr(code)}") is not None}

    assert refused == wanted


def test_an_id_as_long_as_vespa_takes_is_made_and_no_longer_one() -> None:
    room = 0x10000 - len("id:ns:t::")

    assert len(document_id("k" * room, namespace="ns", document_type="t")) == 0x10000
    with pytest.raises(CollectionError, match="at most 65536"):
        document_id("k" * (room + 1), namespace="ns", document_type="t")
    with pytest.raises(CollectionError, match="at most 65536"):
        document_id("\U0001f600" * (room // 2 + 1), namespace="ns", document_type="t")
