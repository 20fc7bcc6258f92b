from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.rank.expression_trees import TREES, meaning
from vespa_colbert.rank.language.nodes import (
    Call,
    Coordinate,
    Embraced,
    LiteralCell,
    Membership,
    Negative,
    Node,
    Not,
    Number,
    Operation,
    Slice,
    String,
    TensorLiteral,
)
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import TensorType

A, B, C = (Call(name) for name in "abc")
ONE = Number("1", 1.0)
LABELS = TensorType.parse("tensor(x{})")


class TestPrinting:
    @settings(max_examples=200, deadline=None)
    @given(TREES)
    def test_what_was_printed_means_the_same_and_prints_the_same(self, tree: Node) -> None:
        parsed = parse_expression(str(tree))
        assert meaning(parsed) == meaning(tree)
        assert str(parsed) == str(tree)

    @pytest.mark.parametrize(
        ("source", "printed"),
        [
            ("a+b*-c", "a + b * -c"),
            ("max( a,b )", "max(a, b)"),
            ("((a))", "((a))"),
            ("map(t,f( x )( x+1 ))", "map(t, f(x)(x + 1))"),
            ("a   in[1,2]", "a in [1, 2]"),
            ("!( a )", "!(a)"),
            ("a( b ).c", "a(b).c"),
            ("a # comment", "a"),
            ("$a", "query(a)"),
            ("a . b . c", "a.b.c"),
            ("a.1 .b", "a.1 .b"),
            ("t{ x : a , y:(b) }", "t{x:a, y:(b)}"),
            ("t{x:1 y:2}", "t{x:1, y:2}"),
            ("t{ 'a b' }", 't{"a b"}'),
            ("t{'true'}", 't{"true"}'),
            ("t{3}", "t[3]"),
            ("t[ a+1 ]", "t[a + 1]"),
            ("-t[0]", "-t[0]"),
            ("!t{a}", "!t{a}"),
            ("tensor( x [ 3 ] )( x*2 )", "tensor(x[3])(x * 2)"),
            ("tensor<double>(y{},x{}):{a:{b:1}}", "tensor(x{},y{}):{{x:b,y:a}:1}"),
            ("tensor(x[2]):[a,b+c]", "tensor(x[2]):{{x:0}:a, {x:1}:b + c}"),
            ("tensor(x{}):{'a b':1,\"it's\":2}", "tensor(x{}):{{x:'a b'}:1, {x:\"it's\"}:2}"),
            ("tensor():[1]", "tensor():{{}:1}"),
            ("range( x[3] )", "range(x[3])"),
            ("diag<float>(x[2],y[2])", "diag<float>(x[2],y[2])"),
            ("rename(t,a,(b))", "rename(t, (a), (b))"),
            ("reduce(t,sum,x,-1)", "reduce(t, sum, x, -1)"),
            ("switch(a){case 1:2,default:3}", "switch(a) { case 1: 2, default: 3 }"),
            ("if(a,b,c,0.5)", "if(a, b, c, 0.5)"),
        ],
    )
    def test_canonical_form(self, source: str, printed: str) -> None:
        assert str(parse_expression(source)) == printed

    @pytest.mark.parametrize(
        ("tree", "printed"),
        [
            (Operation(A, "-", Operation(B, "-", C)), "a - (b - c)"),
            (Operation(Operation(A, "-", B), "-", C), "a - b - c"),
            (Operation(Operation(A, "^", B), "^", C), "(a ^ b) ^ c"),
            (Operation(A, "^", Operation(B, "^", C)), "a ^ b ^ c"),
            (Operation(A, "*", Operation(B, "%", C)), "a * (b % c)"),
            (Operation(Operation(A, "<", B), "==", C), "(a < b) == c"),
            (Operation(A, "*", Operation(B, "+", C)), "a * (b + c)"),
            (Operation(Membership(A, (B,)), "&&", C), "(a in [b]) && c"),
            (Negative(Operation(A, "+", B)), "-(a + b)"),
            (Negative(Negative(A)), "-(-a)"),
            (Negative(Not(A)), "-(!a)"),
            (Negative(ONE), "-(1)"),
            (Not(Not(A)), "!(!a)"),
            (Not(Operation(A, "+", B)), "!(a + b)"),
            (Membership(Membership(A, (B,)), (C,)), "(a in [b]) in [c]"),
            (Membership(Operation(A, "&&", B), (C,)), "(a && b) in [c]"),
            (Slice(Operation(A, "+", B), (Coordinate(None, "l"),)), "(a + b){l}"),
            (Slice(Not(A), (Coordinate(None, index=ONE),)), "(!a)[1]"),
            (Negative(Slice(A, (Coordinate("x", "l"),))), "-(a{x:l})"),
            (Slice(A, (Coordinate("x", index=B),)), "a{x:(b)}"),
            (Slice(A, (Coordinate("x", index=String("'b'")),)), "a{x:('b')}"),
            (Slice(A, (Coordinate("x", 'q"\\'),)), 'a{x:"q\\"\\u005c"}'),
            (TensorLiteral(LABELS, (LiteralCell(("a b",), ONE),)), "tensor(x{}):{{x:'a b'}:1}"),
            (Embraced(A), "(a)"),
            (Call("a", None, "1.b"), "a.1 .b"),
        ],
    )
    def test_a_tree_made_by_hand_gets_the_parentheses_it_needs(
        self, tree: Node, printed: str
    ) -> None:
        assert str(tree) == printed
