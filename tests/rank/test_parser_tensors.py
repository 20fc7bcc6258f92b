from __future__ import annotations

import pytest

from vespa_colbert.errors import ExpressionSyntaxError
from vespa_colbert.rank.language.nodes import (
    Call,
    Case,
    Coordinate,
    Dimensions,
    Embraced,
    Generated,
    Lambda,
    LiteralCell,
    Negative,
    Node,
    Not,
    Number,
    Operation,
    Pattern,
    Slice,
    String,
    Switch,
    TensorLiteral,
    children,
)
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import TensorType

A, B, C, T, X = (Call(name) for name in "abctx")
ONE, TWO, THREE = (Number(text, float(text)) for text in "123")


def kind(text: str) -> TensorType:
    return TensorType.parse(text)


def cell(value: Node, *labels: str) -> LiteralCell:
    return LiteralCell(labels, value)


class TestSlices:
    @pytest.mark.parametrize(
        ("source", "tree"),
        [
            ("t{a}", Slice(T, (Coordinate(None, "a"),))),
            ("t{'a b'}", Slice(T, (Coordinate(None, "a b"),))),
            ('t{"it\\u0027s"}', Slice(T, (Coordinate(None, "it's"),))),
            ("t{1}", Slice(T, (Coordinate(None, index=ONE),))),
            ("t[1]", Slice(T, (Coordinate(None, index=ONE),))),
            ("t[a]", Slice(T, (Coordinate(None, index=A),))),
            ("t{true}", Slice(T, (Coordinate(None, index=Number("true", 1.0)),))),
            ("t{a()}", Slice(T, (Coordinate(None, index=Call("a", ())),))),
            ("t{x:a}", Slice(T, (Coordinate("x", "a"),))),
            ("t{x:(a)}", Slice(T, (Coordinate("x", index=Embraced(A)),))),
            ("t{x:1, max:'l'}", Slice(T, (Coordinate("x", index=ONE), Coordinate("max", "l")))),
            ("t{x:1 y:2}", Slice(T, (Coordinate("x", index=ONE), Coordinate("y", index=TWO)))),
            ("-t[1]", Slice(Negative(T), (Coordinate(None, index=ONE),))),
            ("!t[1]", Not(Slice(T, (Coordinate(None, index=ONE),)))),
            ("3{x}", Slice(THREE, (Coordinate(None, "x"),))),
            ("t(a).b{x}", Slice(Call("t", (A,), "b"), (Coordinate(None, "x"),))),
        ],
    )
    def test_a_text_and_its_tree(self, source: str, tree: Node) -> None:
        assert parse_expression(source) == tree

    def test_a_slice_knows_where_it_stands(self) -> None:
        tree = parse_expression("a + t {x}")
        assert isinstance(tree, Operation)
        assert isinstance(tree.right, Slice)
        assert tree.right.position == 6


class TestTensors:
    @pytest.mark.parametrize(
        ("source", "tree"),
        [
            (
                "tensor<float>(x[3])(x*2)",
                Generated(kind("tensor<float>(x[3])"), Operation(X, "*", TWO)),
            ),
            ("tensor(y[1],x[2])(1)", Generated(kind("tensor(x[2],y[1])"), ONE)),
            ("tensor()(1)", Generated(kind("double"), ONE)),
            ("range(x[3])", Pattern("range", kind("tensor(x[3])"))),
            ("diag<int8>(x[2],y[2])", Pattern("diag", kind("tensor<int8>(x[2],y[2])"))),
            ("random<float>(,x[010])", Pattern("random", kind("tensor<float>(x[10])"))),
            ("tensor(x{}):{}", TensorLiteral(kind("tensor(x{})"), ())),
            (
                "tensor(x[2]):[a,1]",
                TensorLiteral(kind("tensor(x[2])"), (cell(A, "0"), cell(ONE, "1"))),
            ),
            (
                "tensor(x{}):{a:1,'b c':2,-3:3,'d\\e':a}",
                TensorLiteral(
                    kind("tensor(x{})"),
                    (cell(ONE, "a"), cell(TWO, "b c"), cell(THREE, "-3"), cell(A, "d\\e")),
                ),
            ),
            (
                "tensor(y{},x{}):{a:{b:1,c:2}}",
                TensorLiteral(kind("tensor(x{},y{})"), (cell(ONE, "b", "a"), cell(TWO, "c", "a"))),
            ),
            (
                "tensor(x{},y[2]):{a:[1,2]}",
                TensorLiteral(kind("tensor(x{},y[2])"), (cell(ONE, "a", "0"), cell(TWO, "a", "1"))),
            ),
            (
                "tensor(y[2],x[2]):[[1,2],[3,a]]",
                TensorLiteral(
                    kind("tensor(x[2],y[2])"),
                    (
                        cell(ONE, "0", "0"),
                        cell(THREE, "0", "1"),
                        cell(TWO, "1", "0"),
                        cell(A, "1", "1"),
                    ),
                ),
            ),
            (
                "tensor(x{},y{}):{{y:b,x:a}:1, {x:c y:d}:2}",
                TensorLiteral(kind("tensor(x{},y{})"), (cell(ONE, "a", "b"), cell(TWO, "c", "d"))),
            ),
            ("tensor(x[3]):{{x:1}:a}", TensorLiteral(kind("tensor(x[3])"), (cell(A, "1"),))),
            ("tensor():{{}:a}", TensorLiteral(kind("double"), (cell(A),))),
            (
                "tensor(x{}):{a:1,b:2,a:3}",
                TensorLiteral(kind("tensor(x{})"), (cell(THREE, "a"), cell(TWO, "b"))),
            ),
        ],
    )
    def test_a_text_and_its_tree(self, source: str, tree: Node) -> None:
        assert parse_expression(source) == tree


class TestFunctions:
    @pytest.mark.parametrize(
        ("source", "tree"),
        [
            ("rename(t,a,b)", Call("rename", (T, Dimensions(("a",)), Dimensions(("b",))))),
            (
                "rename(t,(a,b),(c,x))",
                Call("rename", (T, Dimensions(("a", "b")), Dimensions(("c", "x")))),
            ),
            ("concat(a,b,x)", Call("concat", (A, B, X))),
            ("reduce(a,sum,x,-1)", Call("reduce", (A, Call("sum"), X, Call("-1")))),
            ("cell_order(t,max)", Call("cell_order", (T, Call("max")))),
            ("unpack_bits(t,float,big)", Call("unpack_bits", (T, Call("float"), Call("big")))),
            ("map_subspaces(t,f(x)(x))", Call("map_subspaces", (T, Lambda(("x",), X)))),
            ("merge(a,b,f(x,c)(c))", Call("merge", (A, B, Lambda(("x", "c"), C)))),
            ("$a", Call("query", (A,))),
            ("if(a,b,c,.5)".replace(".5", "0.5"), Call("if", (A, B, C, Number("0.5", 0.5)))),
            ("log(a,b)", Call("log", (A, B))),
            ("reduce(a)", Call("reduce", (A,))),
            ("sum()", Call("sum", ())),
            ("tensor(x).y", Call("tensor", (X,), "y")),
            (
                "a.tensor<b>c",
                Operation(Operation(Call("a", None, "tensor"), "<", B), ">", C),
            ),
            (
                "switch(a){case 1:b,case 'x':c,default:2}",
                Switch(A, (Case(ONE, B), Case(String("'x'"), C)), TWO),
            ),
            ("default", Call("default")),
        ],
    )
    def test_a_text_and_its_tree(self, source: str, tree: Node) -> None:
        assert parse_expression(source, strict_grouping=False) == tree

    @pytest.mark.parametrize(
        "source",
        [
            "map(t,f(x)(x * attribute(y){z:0}))",
            "map(t,f(x)(y))",
            "map(t,f(x)(x(1)))",
            "map(t,f(x)(tensor(y[2])(tensor(z[2])(y){z:1}){y:0}))",
            "join(a,b,f(x)(x*x))",
            "join(a,b,f(x,y,z)(x))",
            "map(t,f(x,y)(x))",
            "map_subspaces(t,f()(1))",
        ],
    )
    def test_a_lambda_sees_its_parameters_alone(self, source: str) -> None:
        with pytest.raises(ExpressionSyntaxError, match="expected a (parameter|function) of"):
            parse_expression(source)

    @pytest.mark.parametrize(
        "source",
        ["map(t,f(x)(x{y:(z)}))", "map(t,f(x)(tensor(y[2])(y+x){y:0}))", "join(a,b,f(x)(x+1))"],
    )
    def test_vespa_does_not_look_into_indexes(self, source: str) -> None:
        parse_expression(source)


class TestChildren:
    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("t{x:(a), y:l}", (T, Embraced(A))),
            ("tensor(x[2]):[a,b]", (A, B)),
            ("tensor(x[2])(x)", (X,)),
            ("switch(t){case a:b,default:c}", (T, A, B, C)),
            ("range(x[2])", ()),
        ],
    )
    def test_they_are_the_expressions_right_below(
        self, source: str, wanted: tuple[Node, ...]
    ) -> None:
        assert children(parse_expression(source)) == wanted


class TestFaults:
    @pytest.mark.parametrize(
        ("source", "column", "message"),
        [
            ("tensor(x[2]):[1,2,3]", 1, "expected 2 values to fill a block of tensor(x[2]), got 3"),
            ("tensor(x{}):[1]", 1, "expected labels for the mapped dimensions"),
            ("tensor(x{}):{a:[1]}", 1, "a: expected a single value"),
            ("tensor(x{},y[1]):{a:1}", 1, "a: expected a block in brackets"),
            ("tensor(x{},y{}):{a:1}", 1, "expected a label for dimension 'y' too"),
            ("tensor(x{}):{a:{b:1}}", 1, "expected 1 labels, one for each mapped dimension"),
            ("tensor(x{},y{}):{{x:a}:1}", 1, "expected a label for each dimension, got none for"),
            ("tensor(x{}):{{y:a}:1}", 1, "expected a dimension of tensor(x{}), got 'y'"),
            ("tensor(x{},x[2]):{}", 8, "expected each dimension once, got 'x' twice"),
            ("tensor(x[0]):{}", 8, "x: expected a size of 1 or more, got 0"),
            ("tensor(x[-1]):{}", 8, "x: expected a size of 1 or more, got -1"),
            ("tensor(x[0x2]):{}", 8, "x: expected a size of 1 or more, got 0x2"),
            ("tensor(x[9999999999]):{}", 8, "expected a size of at most"),
            ("tensor(x[]):{}", 8, "expected a size, as in x[3]"),
            ("tensor<foo>(x{}):{}", 8, "expected a cell type among double, float"),
            (
                "tensor(x{})(1)",
                1,
                "tensor: expected indexed dimensions, which have a size, got x{}",
            ),
            ("range(x{})", 1, "range: expected indexed dimensions"),
            ("tensor(x{}):{'a\\':1}", 14, "expected a label that does not end in a backslash"),
            ("tensor(x{}):{1.5:1}", 14, "got '1.5'"),
            ("rename(t,(),())", 1, "rename: expected as many new names as old ones, got 0 and 0"),
            ("cell_cast(t,foo)", 1, "cell_cast: expected a cell type among"),
            ("unpack_bits(t,int8,up)", 1, "unpack_bits: expected big or little, got up"),
            ("cell_order(t,sum)", 1, "cell_order: expected max or min, got sum"),
            ("if(a,b,c,2)", 10, "expected a probability between 0 and 1, got 2"),
            ("if(a,b,c,1L)", 10, "expected a probability between 0 and 1, got 1L"),
            ("if(a,b)", 7, "expected"),
            ("reduce(t,x)", 10, "expected an aggregator such as sum, got 'x'"),
            ("map(t,x)", 7, "expected a function such as f(x)(x + 1), got 'x'"),
            ("switch(a){default:1}", 11, "expected 'case', got 'default'"),
            ("a(b:c)", 4, "got ':'"),
            ("a{x:1,y}", 8, "expected ':', got '}'"),
            ("a{x}{y}", 5, "got '{'"),
            ("log(a+b,c)", 8, "got ','"),
            ("max(a)", 6, "got ')'"),
            ("tensor<a>b", 10, "expected '(', got 'b'"),
            ("unpack_bits", 12, "expected '(', got the end"),
            ('"a\\\\"b"', 1, "to have a backslash before"),
            ("'\\u12x4'", 1, "expected four hexadecimal digits after"),
            ("99999999999999999999", 1, "expected a number of digits that a 64-bit integer holds"),
        ],
    )
    def test_it_says_where_and_what_was_expected(
        self, source: str, column: int, message: str
    ) -> None:
        with pytest.raises(ExpressionSyntaxError) as caught:
            parse_expression(source)
        assert message in str(caught.value)
        assert f"at line 1, column {column}\n" in str(caught.value)


class TestNumbers:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("-9223372036854775808", -(2.0**63)),
            ("--3", 3.0),
            ("1.5f", 1.5),
            ("1e3D", 1000.0),
            ("08", 8.0),
            ("1e400", float("inf")),
        ],
    )
    def test_it_has_the_value_that_java_reads(self, source: str, value: float) -> None:
        tree = parse_expression(source)
        assert isinstance(tree, Number)
        assert tree.value == value


class TestStrings:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("'a\\'b'", "a'b"),
            ('"\\t\\n\\\\"', "\t\n\\"),
            ('"\\u00e9\\ud83d\\ude00"', "é😀"),
            ('"\\z"', "z"),
            ('"a\\u12"', "a"),
            ("'a\nb'", "a\nb"),
        ],
    )
    def test_it_stands_for_the_text_that_java_reads(self, source: str, value: str) -> None:
        tree = parse_expression(source)
        assert isinstance(tree, String)
        assert tree.value == value
