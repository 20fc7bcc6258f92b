from __future__ import annotations

import pytest

from vespa_colbert.app.texts import (
    brace_fault,
    bracket_fault,
    expression_fault,
    feature_fault,
    field_name_fault,
    function_name_fault,
    literal_fault,
    name_fault,
    one_line,
    path_fault,
    schema_name_fault,
    split_features,
    split_statements,
    statement_fault,
    type_fault,
)

HOSTILE = [
    "",
    " ",
    "a b",
    "a-b",
    "1a",
    "ä",
    "a\n",
    "a }\nschema x {",
    "../../evil",
    "/abs",
    "a/b",
    "a\\b",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "<x>&amp;",
    '" evil="1',
    "a'b",
    "a\0b",
    "a\u202eb",
    "a" * 129,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("name", ["a", "_", "Z9_", "type", "field", "a" * 128])
def test_an_identifier_is_taken(name: str) -> None:
    assert not name_fault(name)


@pytest.mark.parametrize("name", ["Summary", "index", "documentid", "relevancy", "sddocname"])
def test_a_field_name_that_vespa_keeps_is_refused(name: str) -> None:
    assert "keeps for itself" in field_name_fault(name)


@pytest.mark.parametrize("name", ["document", "expression", "AND", "id", "position", "inherits"])
def test_a_schema_name_that_vespa_keeps_is_refused(name: str) -> None:
    assert "keeps for itself" in schema_name_fault(name)


def test_a_function_cannot_have_a_name_that_vespa_lexes_otherwise() -> None:
    assert function_name_fault("inline")
    assert function_name_fault("tensor")


def test_comments_and_spaces_go_and_strings_stay() -> None:
    text = "  a  +\n\t\"x  # y\" # a } comment\n  * '\\'  #' "
    assert one_line(text) == "a + \"x  # y\" * '\\'  #'"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        ("1\n}\nrank-properties { foo: 1", "one line"),
        ("1 } rank-properties { foo: 1", "not opened"),
        ("{ 1", "not closed"),
        ('"{"', "not closed"),
        ("{{{{ 1 }}}}", "deeper than 3"),
        ("(1", "not closed"),
        ("(1]", "not opened"),
        ('"a', "not closed"),
        ("1 # a comment", "comment"),
        ("1  + 2", "single spaces"),
        ("1\u2028+ 2", "one line"),
        ("1\0", "one line"),
    ],
)
def test_an_expression_that_could_leave_its_line_is_refused(text: str, why: str) -> None:
    assert why in expression_fault(text)


@pytest.mark.parametrize(
    "text",
    [
        "sum(reduce(sum(query(qt) * unpack_bits(attribute(colbert)), x), max, dt), qt)",
        'if (attribute(a) == "x # y", 1, 2)',
        "map_subspaces(attribute(r), f(t)(tensor(x[128])(t{x:(x / 8)})))",
        "tensor(a{},x[1]):{{a:b,x:0}:1}",
    ],
)
def test_a_rank_expression_is_taken(text: str) -> None:
    assert not expression_fault(text)


def test_braces_count_in_strings_as_in_the_lexer_of_vespa() -> None:
    assert brace_fault('"}"')
    assert not bracket_fault('"}"')


def test_statements_are_split_at_semicolons_outside_of_strings_and_brackets() -> None:
    text = 'input a | lowercase ; { input b; clear_state } ; "x;y" | index;'
    assert split_statements(text) == (
        "input a | lowercase",
        "{ input b; clear_state }",
        '"x;y" | index',
    )


@pytest.mark.parametrize(
    "text",
    ["input a; input b", "input a |\n index", "input a }", "{{{{a}}}}", 'input "a', "input a |"],
)
def test_a_text_that_is_not_one_statement_is_refused(text: str) -> None:
    assert statement_fault(text)


def test_features_are_split_at_spaces_outside_of_brackets() -> None:
    text = 'bm25(title) fieldMatch ( title ) . completeness # why\n foo("a b", c) max_sim'
    assert split_features(text) == (
        "bm25(title)",
        "fieldMatch(title).completeness",
        'foo("a b",c)',
        "max_sim",
    )


@pytest.mark.parametrize("text", ["a b", "a}", "", "a(b", "bm25(a),", "a(#)", "{a}", "a\nb"])
def test_a_text_that_is_not_one_feature_is_refused(text: str) -> None:
    assert feature_fault(text)


@pytest.mark.parametrize(
    "text", ["string {", "tensor<float>(x[2]) {", "tensor<half>(x[2])", "a b", "array<", "", "a;b"]
)
def test_a_text_that_is_no_type_is_refused(text: str) -> None:
    assert type_fault(text)


def test_a_tensor_type_is_written_in_one_way() -> None:
    assert "tensor<float>(a{},x[2])" in type_fault("tensor<float>(x[2], a{})")
    assert not type_fault("tensor<float>(a{},x[2])")
    assert not type_fault("map<string,array<int>>")


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "a/./b", "a/../b", "", "a b", "a\nb", "a/"])
def test_a_path_out_of_the_package_is_refused(path: str) -> None:
    assert path_fault(path)


@pytest.mark.parametrize("text", ["", "1 }", "[1", "{a:1}}", "x", "[1]\n", "[1] # x", "1e3"])
def test_a_text_that_is_no_tensor_literal_is_refused(text: str) -> None:
    assert literal_fault(text)
