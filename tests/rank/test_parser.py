from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vespa_colbert.errors import ExpressionSyntaxError
from vespa_colbert.rank.language.nodes import (
    Call,
    Embraced,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Number,
    Operation,
    String,
)
from vespa_colbert.rank.language.parser import (
    MAX_CHARACTERS,
    MAX_NESTING,
    MAX_OPERANDS,
    parse_expression,
)

A, B, C, D = (Call(name) for name in "abcd")


def number(text: str) -> Number:
    return Number(text, float(text))


def grouped(node: Node) -> str:
    """Return a tree with parentheses around every operation, and none that were written."""
    if isinstance(node, Embraced):
        return grouped(node.inner)
    if isinstance(node, Operation):
        return f"({grouped(node.left)}{node.operator}{grouped(node.right)})"
    if isinstance(node, Negative):
        return f"-{grouped(node.inner)}"
    if isinstance(node, Not):
        return f"!{grouped(node.inner)}"
    return str(node)


class TestGrouping:
    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            # the same operator twice: to the left, but powers to the right
            ("a-b-c", "((a-b)-c)"),
            ("a/b/c", "((a/b)/c)"),
            ("a%b%c", "((a%b)%c)"),
            ("a<b<c", "((a<b)<c)"),
            ("a==b==c", "((a==b)==c)"),
            ("2^3^2", "(2^(3^2))"),
            ("a^b^c^d", "(a^(b^(c^d)))"),
            # every operator has a level of its own: minus before plus, division before product
            ("10-3+2", "((10-3)+2)"),
            ("10+3-2", "(10+(3-2))"),
            ("a-b+c-d", "((a-b)+(c-d))"),
            ("a*b/c", "(a*(b/c))"),
            ("a/b*c", "((a/b)*c)"),
            ("a%b*c", "((a%b)*c)"),
            ("a%b/c", "((a%b)/c)"),
            ("a==b<c", "((a==b)<c)"),
            ("a>b>=c", "((a>b)>=c)"),
            ("a!=b<=c", "((a!=b)<=c)"),
            # levels that all know
            ("a+b*c", "(a+(b*c))"),
            ("a*b+c", "((a*b)+c)"),
            ("a*b^c", "(a*(b^c))"),
            ("a^b*c", "((a^b)*c)"),
            ("a+b<c*d", "((a+b)<(c*d))"),
            ("a<b&&c>d||a", "(((a<b)&&(c>d))||a)"),
            ("a||b&&c", "(a||(b&&c))"),
            ("a&&b||c", "((a&&b)||c)"),
            ("(a+b)*c", "((a+b)*c)"),
            ("a-(b-c)", "(a-(b-c))"),
            # signs and negations belong to their operand alone
            ("-2^2", "(-2^2)"),
            ("-a^b", "(-a^b)"),
            ("-(a^b)", "-(a^b)"),
            ("a--b", "(a--b)"),
            ("a - -2", "(a--2)"),
            ("!a && b", "(!a&&b)"),
            ("!a == b", "(!a==b)"),
            ("!-a*b", "(!-a*b)"),
            ("!(a && b)", "!(a&&b)"),
        ],
    )
    def test_operators_are_grouped_as_vespa_does(self, source: str, wanted: str) -> None:
        assert grouped(parse_expression(source)) == wanted

    @pytest.mark.parametrize(
        ("source", "column", "pair"),
        [
            ("a*b%c", 4, "* and %"),
            ("a/b%c", 4, "/ and %"),
            ("a<b==c", 4, "< and =="),
            ("a>=b>c", 5, ">= and >"),
            ("a + b <= c - d != d", 16, "<= and !="),
            ("a && b in [1]", 8, "&& and in"),
            ("a || b in [1]", 8, "|| and in"),
        ],
    )
    def test_a_chain_that_container_and_content_node_read_differently_is_refused(
        self, source: str, column: int, pair: str
    ) -> None:
        with pytest.raises(ExpressionSyntaxError) as caught:
            parse_expression(source)
        assert str(caught.value).startswith(f"{pair} in a row mean one thing")
        assert f"at line 1, column {column}\n" in str(caught.value)

    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("a*b%c", "(a*(b%c))"),
            ("a<b==c", "(a<(b==c))"),
            ("a + b <= c - d != d", "((a+b)<=((c-d)!=d))"),
        ],
    )
    def test_without_strict_grouping_it_is_read_as_the_container_does(
        self, source: str, wanted: str
    ) -> None:
        assert grouped(parse_expression(source, strict_grouping=False)) == wanted

    @pytest.mark.parametrize("source", ["a*(b%c)", "(a<b)==c", "a<(b==c)", "(a && b) in [1]"])
    def test_parentheses_make_it_clear(self, source: str) -> None:
        parse_expression(source)


class TestTrees:
    @pytest.mark.parametrize(
        ("source", "tree"),
        [
            ("1", number("1")),
            ("1.", number("1.")),
            ("0.25", number("0.25")),
            ("1e-3", number("1e-3")),
            ("2.5E+2", number("2.5E+2")),
            ("007", number("007")),
            ("-3", number("-3")),
            ("--3", number("3")),
            ("true", Number("true", 1.0)),
            ("false", Number("false", 0.0)),
            ("-true", Number("-true", -1.0)),
            ("a", A),
            ("truea", Call("truea")),
            ("3a", Call("3a")),
            ("@a$b", Call("@a$b")),
            ("f", Call("f")),
            ("f + 1", Operation(Call("f"), "+", number("1"))),
            ("f(a)", Call("f", (A,))),
            ("in", Call("in")),
            ("if", Call("if")),
            ("inner", Call("inner")),
            ("a()", Call("a", ())),
            ("a(b).c", Call("a", (B,), "c")),
            ("a(b).c.1", Call("a", (B,), "c.1")),
            ("a.b", Call("a", None, "b")),
            ("attribute(a.b)", Call("attribute", (Call("a", None, "b"),))),
            ("a('x y', \"z\")", Call("a", (String("'x y'"), String('"z"')))),
            ("(a)", Embraced(A)),
            ("((a))", Embraced(Embraced(A))),
            ("-(1)", Negative(Embraced(number("1")))),
            ("a in [1]", Membership(A, (number("1"),))),
            ("a in[-1,b , c(d)]", Membership(A, (number("-1"), B, Call("c", (D,))))),
            ("a + b in [1]", Membership(Operation(A, "+", B), (number("1"),))),
            ("map(a,f(x)(x))", Call("map", (A, Lambda(("x",), Call("x"))))),
            (
                "join(a,b,f (x , y) (x*y))",
                Call("join", (A, B, Lambda(("x", "y"), parse_expression("x*y")))),
            ),
            ("map(a,f()(1))", Call("map", (A, Lambda((), number("1"))))),
            ("a(f(x))", Call("a", (Call("f", (Call("x"),)),))),
            ("a # b\n + c", Operation(A, "+", C)),
            ("# first\r\na#last", A),
            (" \t\n a \r ", A),
        ],
    )
    def test_a_text_and_its_tree(self, source: str, tree: Node) -> None:
        assert parse_expression(source) == tree

    def test_calls_know_where_they_stand(self) -> None:
        tree = parse_expression("a +\n  b(c)")
        assert isinstance(tree, Operation)
        assert isinstance(tree.right, Call)
        assert tree.right.arguments is not None
        assert isinstance(tree.right.arguments[0], Call)
        assert (tree.right.position, tree.right.arguments[0].position) == (6, 8)

    @pytest.mark.parametrize(
        ("source", "name"),
        [
            ("query(qt)", "query(qt)"),
            ("fieldMatch( title ).completeness", "fieldMatch(title).completeness"),
            ("a( b ,c( d, 1.5 ) )", "a(b,c(d, 1.5))"),
            ("a()", "a()"),
            ("a", "a"),
        ],
    )
    def test_a_feature_name_has_no_blank_after_its_commas(self, source: str, name: str) -> None:
        tree = parse_expression(source)
        assert isinstance(tree, Call)
        assert tree.feature_name == name


class TestFaults:
    @pytest.mark.parametrize(
        ("source", "line", "column", "expected", "got"),
        [
            ("", 1, 1, "a name, a number or a string", "the end"),
            ("a +", 1, 4, "a name", "the end"),
            ("a b", 1, 3, "an operator or the end", "'b'"),
            ("(a", 1, 3, "')'", "the end"),
            ("a)", 1, 2, "the end", "')'"),
            ("a(b,)", 1, 5, "a name", "')'"),
            ("a,b", 1, 2, "the end", "','"),
            ("a +\n\n  * b", 3, 3, "a name", "'*'"),
            ("a & b", 1, 3, "an operator", "'&'"),
            ("a = b", 1, 3, "an operator", "'='"),
            (".5", 1, 1, "a number", "'.'"),
            ("1.5x", 1, 4, "an operator", "'x'"),
            ("a in b", 1, 6, "'['", "'b'"),
            ("a in []", 1, 7, "a name", "']'"),
            ("a in [1] && b", 1, 10, "the end", "'&&'"),
            ("--a", 1, 3, "a number", "'a'"),
            ("!!a", 1, 2, "a name", "'!'"),
            ("-!a", 1, 2, "a name", "'!'"),
            ("'a", 1, 1, "a string", '"\'"'),
            ("0x10", 1, 1, "a number", "'0x10'"),
            ("5L", 1, 1, "a number", "'5L'"),
            ("2f", 1, 1, "a number", "'2f'"),
            ("$", 1, 2, "a name", "the end"),
            ("$a(b)", 1, 3, "an operator", "'('"),
            ("f(x)(x)", 1, 5, "an operator", "'('"),
            ("a\u00a0", 1, 2, "an operator", "'\\xa0'"),
        ],
    )
    def test_it_says_where_and_what_was_expected(
        self, source: str, line: int, column: int, expected: str, got: str
    ) -> None:
        with pytest.raises(ExpressionSyntaxError) as caught:
            parse_expression(source)
        message, shown, caret = str(caught.value).split("\n")
        assert message.endswith(f"got {got} at line {line}, column {column}")
        assert expected in message
        assert shown == "  " + source.split("\n")[line - 1]
        assert caret == "  " + " " * (column - 1) + "^"

    def test_a_long_line_is_shown_around_the_fault(self) -> None:
        source = "+".join(["abc"] * 100) + " ) + " + "+".join(["def"] * 100)
        with pytest.raises(ExpressionSyntaxError) as caught:
            parse_expression(source)
        _, shown, caret = str(caught.value).split("\n")
        assert len(shown) <= 102
        assert shown[caret.index("^")] == ")"

    @pytest.mark.parametrize("source", ["a b\x00", "\ud800", "a" * 10_000 + "!", "é", "a\x0cb"])
    def test_odd_characters_are_syntax_errors_too(self, source: str) -> None:
        with pytest.raises(ExpressionSyntaxError):
            parse_expression(source)

    @given(st.text(alphabet="ab1.()[],+-*/%^<>=!&|'\"f in#\n", max_size=30))
    def test_any_text_is_a_tree_or_a_syntax_error(self, source: str) -> None:
        try:
            tree = parse_expression(source)
        except ExpressionSyntaxError:
            return
        assert parse_expression(str(tree)) == tree


class TestLimits:
    DEEP = (
        ("(", "a", ")"),
        ("abs(", "a", ")"),
        ("if(a,b,", "a", ")"),
        ("a in [", "a", "]"),
        ("-(", "a", ")"),
        ("!(", "a", ")"),
        ("map(x,f(x)(", "x", "))"),
        ("a||b&&c>d+(", "a", ")"),
        ("tensor(x[1])(", "a", ")"),
        ("tensor(x{}):{a:", "1", "}"),
        ("tensor(x[1]):[", "1", "]"),
        ("tensor(x[1]):{{x:0}:", "1", "}"),
        ("switch(a){case 1:2,default:", "a", "}"),
        ("switch(", "a", "){case 1:2,default:3}"),
        ("a{x:", "1", "}"),
        ("a[", "0", "]"),
        ("a{x:1,y:b(", "c", ")}"),
        ("sum(", "a", ",x)"),
    )

    @pytest.mark.parametrize(("before", "middle", "after"), DEEP)
    @pytest.mark.parametrize("depth", [MAX_NESTING + 1, 20 * MAX_NESTING])
    def test_nesting_has_an_end(self, before: str, middle: str, after: str, depth: int) -> None:
        with pytest.raises(ExpressionSyntaxError, match=f"at most {MAX_NESTING} expressions"):
            parse_expression(before * depth + middle + after * depth)

    def test_brackets_of_a_literal_do_not_nest(self) -> None:
        deep = "tensor(x[1]):" + "[" * 50 * MAX_NESTING + "a" + "]" * 50 * MAX_NESTING
        assert str(parse_expression(deep)) == "tensor(x[1]):{{x:0}:a}"

    def test_labels_of_a_literal_have_an_end(self) -> None:
        deep = "tensor(x{}):" + "{a:" * 50 * MAX_NESTING + "1" + "}" * 50 * MAX_NESTING
        with pytest.raises(ExpressionSyntaxError, match="one for each mapped dimension"):
            parse_expression(deep)

    def test_text_has_an_end(self) -> None:
        longest = "a" * MAX_CHARACTERS
        assert str(parse_expression(longest)) == longest
        with pytest.raises(ExpressionSyntaxError, match=f"at most {MAX_CHARACTERS} characters"):
            parse_expression(longest + "a")

    def test_powers_nest_to_the_right(self) -> None:
        parse_expression("^".join(["a"] * MAX_NESTING))
        with pytest.raises(ExpressionSyntaxError, match=f"at most {MAX_NESTING} expressions"):
            parse_expression("^".join(["a"] * (MAX_NESTING + 2)))

    @pytest.mark.parametrize("operator", ["+", "-", "*", "&&", "=="])
    def test_chains_have_an_end(self, operator: str) -> None:
        longest = operator.join(["a"] * MAX_OPERANDS)
        assert parse_expression(str(parse_expression(longest))) == parse_expression(longest)
        with pytest.raises(ExpressionSyntaxError) as caught:
            parse_expression(longest + operator + "a")
        assert caught.value.position == len(longest)

    def test_a_chain_in_a_chain_is_no_recursion_error(self) -> None:
        chain = "+".join(["a"] * MAX_OPERANDS)
        for _ in range(5):
            chain = f"({chain})" + "+a" * (MAX_OPERANDS - 1)
        assert len(str(parse_expression(chain))) > 5 * MAX_OPERANDS

    def test_parentheses_in_strings_and_comments_do_not_nest(self) -> None:
        many = "(" * (MAX_NESTING + 1)
        parse_expression(f"a('{many}') # {many}")

    def test_the_deepest_allowed_expression_leaves_room_on_the_stack(self) -> None:
        deepest = "abs(" * (MAX_NESTING - 1) + "a" + ")" * (MAX_NESTING - 1)
        tree = parse_expression(deepest)
        limit = sys.getrecursionlimit()
        assert len(str(tree)) == len(deepest)
        assert hash(tree) == hash(parse_expression(deepest))
        assert sys.getrecursionlimit() == limit
