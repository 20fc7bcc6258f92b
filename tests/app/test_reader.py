from __future__ import annotations

import time
from pathlib import Path

import pytest

from vespa_colbert.app import (
    Constant,
    DocumentSummary,
    Field,
    FieldSet,
    Function,
    ImportedField,
    Input,
    OnnxModel,
    RankProfile,
    Rerank,
    Schema,
    Struct,
    read_application,
    read_schema,
)
from vespa_colbert.errors import SchemaSyntaxError, SpecError
from vespa_colbert.tensor import TensorType

USUAL = """
# A schema with what one meets, # and } in a comment.
search doc {
    document doc
    {
        struct person { field name type string { match { exact } } }
        field title type string {   # the title
            indexing: summary | index
            index: enable-bm25
            stemming: best
            match { gram
                    gram-size: 3 exact-terminator: "@ }" }
            bolding: on
            summary: dynamic
            summary short type string { dynamic source: title }
        }
        field tags type array < string > { indexing { input tags | for_each { lowercase } |
            # a comment
            index; "a } ; b" | echo } normalizing: none }
        field vector type tensor<float>( x[4], d{} ) {
            indexing: attribute |
                index
            attribute { distance-metric: angular paged sorting { ascending } alias: v }
            index { hnsw { max-links-per-node: 16 neighbors-to-explore-at-insert: 200 } }
        }
    }
    import field ref.price as price {}
    fieldset default { fields: title, tags
        query-command: "exact }" }
    field text_of type string { indexing: (input title || "") . "#" | index }
    constant weights { file: constants/weights.json
        type: tensor(x[2]) }
    onnx-model m { file: models/m.onnx
        input "in": q
    }
    document-summary short inherits other { summary title { source: title } from-disk }
    document-summary other { summary id type string {} }
    rank-profile a-b inherits default, base {
        inputs {
            query(q) tensor<float>(x[4])
            w double: 0.5
            query(m) tensor(a{},x[2]): { x: [1.0, 2],
                'y z': [3, 4] }
            query(v) tensor(x[2]):[ 1,
                2 ]
        }
        constants { c: -3  constant(t) tensor(x[2]): [1, 2]
            f tensor(x[2]): file: constants/f.json }
        num-threads-per-search: 2
        function inline plus(x, y) { expression: x + y }
        macro both() {
            expression {
                if (query(w) > 0,   # a comment
                    sum(query(q) * attribute(vector), x),
                    map(attribute(vector), f(x)(x * 2)){d:a})
            }
        }
        first-phase { expression: plus(bm25(title), 1)
            keep-rank-count: 5 }
        second-phase { rerank-count: 10 expression { both } }
        global-phase {
            expression: both * 2
            rerank-count: 20
        }
        match-features inherits base, default {
            bm25(title)   fieldMatch(title).completeness
        }
        summary-features: bm25(title)
        rank-features { foo bar }
        ignore-default-rank-features
    }
    model base { match-features: both() plus(1, 2) }
}
"""
PAIR = TensorType.parse("tensor(x[2])")
EXPECTED = Schema(
    name="doc",
    fields=(
        Field(
            name="title",
            type="string",
            indexing=("summary | index",),
            index=("enable-bm25",),
            match=("gram", "gram-size: 3", 'exact-terminator: "@ }"'),
            stemming="best",
        ),
        Field(
            name="tags",
            type="array<string>",
            indexing=("input tags | for_each { lowercase } | index", '"a } ; b" | echo'),
            normalizing="none",
        ),
        Field(
            name="vector",
            type="tensor<float>(d{},x[4])",
            indexing=("attribute | index",),
            index=("hnsw { max-links-per-node: 16 neighbors-to-explore-at-insert: 200 }",),
            attribute=("distance-metric: angular", "paged"),
        ),
        Field(
            name="text_of",
            type="string",
            indexing=('(input title || "") . "#" | index',),
            in_document=False,
        ),
    ),
    fieldsets=(FieldSet(name="default", fields=("title", "tags")),),
    summaries=(
        DocumentSummary(name="short", fields=("title",), inherits=("other",), from_disk=True),
        DocumentSummary(name="other", fields=("id",)),
    ),
    constants=(Constant(name="weights", type=PAIR, file="constants/weights.json"),),
    structs=(Struct(name="person", fields=(("name", "string"),)),),
    imported_fields=(ImportedField(name="price", reference="ref", field="price"),),
    onnx_models=(OnnxModel(name="m", file="models/m.onnx", inputs=(("in", "q"),)),),
    rank_profiles=(
        RankProfile(
            name="a-b",
            inherits=("default", "base"),
            inputs=(
                Input(name="q", type=TensorType.parse("tensor<float>(x[4])")),
                Input(name="w", type=TensorType.parse("double"), default="0.5"),
                Input(
                    name="m",
                    type=TensorType.parse("tensor(a{},x[2])"),
                    default="{ x: [1.0, 2], 'y z': [3, 4] }",
                ),
                Input(name="v", type=PAIR, default="[ 1, 2 ]"),
            ),
            constants=(
                Constant(name="c", type=TensorType.parse("double"), value="-3"),
                Constant(name="t", type=PAIR, value="[1, 2]"),
                Constant(name="f", type=PAIR, file="constants/f.json"),
            ),
            functions=(
                Function(name="plus", arguments=("x", "y"), expression="x + y", is_inline=True),
                Function(
                    name="both",
                    expression="if (query(w) > 0, sum(query(q) * attribute(vector), x), "
                    "map(attribute(vector), f(x)(x * 2)){d:a})",
                ),
            ),
            first_phase="plus(bm25(title), 1)",
            second_phase=Rerank(expression="both", rerank_count=10),
            global_phase=Rerank(expression="both * 2", rerank_count=20),
            match_features=("bm25(title)", "fieldMatch(title).completeness"),
            match_features_inherit=("base", "default"),
            summary_features=("bm25(title)",),
            rank_features=("foo", "bar"),
            settings=(
                ("first-phase.keep-rank-count", "5"),
                ("ignore-default-rank-features", "true"),
                ("num-threads-per-search", "2"),
            ),
        ),
        RankProfile(name="base", match_features=("both()", "plus(1,2)")),
    ),
)


def write(tmp_path: Path, text: str, name: str = "doc") -> Path:
    path = tmp_path / "schemas" / f"{name}.sd"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def profile(body: str) -> str:
    return f"schema doc {{\n  rank-profile p {{\n    {body}\n  }}\n}}\n"


def field(body: str) -> str:
    return f"schema doc {{\n  document doc {{\n    field f type string {{ {body} }}\n  }}\n}}\n"


def test_the_usual_constructs_are_read(tmp_path: Path) -> None:
    assert read_schema(write(tmp_path, USUAL)) == EXPECTED


def test_line_ends_of_windows_change_nothing(tmp_path: Path) -> None:
    assert read_schema(write(tmp_path, USUAL.replace("\n", "\r\n"))) == EXPECTED


def test_profiles_in_files_of_their_own_belong_to_the_schema(tmp_path: Path) -> None:
    path = write(tmp_path, "schema doc { rank-profile a inherits b {} }")
    folder = path.with_suffix("") / "more"
    folder.mkdir(parents=True)
    (folder / "b.profile").write_text("# why\nrank-profile b { first-phase { expression: 1 } }")
    assert read_schema(path).profile("a").first_phase == "1"


@pytest.mark.parametrize(
    ("text", "line", "column", "why"),
    [
        ("schema doc {\n  field {", 2, 9, "expected name, got '{'"),
        ("schema doc {\n  document doc {", 2, 17, "got the end of the file"),
        ("schema doc {\n}\n}", 3, 1, "expected nothing more, got '}'"),
        ("", 1, 1, "'schema'"),
        ("schema doc {\n  nonsense: 1\n}", 2, 3, "nonsense in schema"),
        ("schema doc inherits base {}", 1, 21, "expected a schema among doc, got 'base'"),
        ("schema doc inherits doc {}", 1, 21, "schema doc inherits itself: doc → doc"),
        ("schema doc inherits a, b {}", 1, 24, "one schema, not several"),
        ("schema doc { document doc inherits base {} }", 1, 36, "expected a document among doc"),
        ("schema doc { document { index: x } }", 1, 25, "index in document is not known"),
        ("schema doc { import field a as b {} }", 1, 27, "a reference field, a dot and a field"),
        ("schema doc { import field a.b.c as b {} }", 1, 27, "a dot and a field"),
        ("schema doc { from-disk }", 1, 14, "from-disk in schema is not known"),
        ("schema doc { index: prefix }", 1, 14, "expected the name of the index"),
        ("schema doc { onnx-model m { gpu-device: a } }", 1, 41, "expected a whole number"),
        ("schema doc { onnx-model m { input a: # }\n} }", 1, 29, "expected a name or feature"),
        ("schema doc { document other {} }", 1, 23, "named doc"),
        ("schema doc { field f type tensor<half>(x[2]) {} }", 1, 27, "half"),
        ("schema doc { field f type tensor(x[]) {} }", 1, 27, "dimension"),
        ("schema doc { constant c { type: tensor(x[2]) } }", 1, 23, "one file"),
        (profile("nonsense: 1"), 3, 5, "nonsense in rank-profile is not known"),
        (profile("mutate { on-match { a *= 1 } }"), 3, 27, "expected operation, got '*= 1 } }'"),
        (profile("mutate { on-hit { a += 1 } }"), 3, 14, "expected '}', mutate phase, got 'on'"),
        (profile("rank-properties { bm25(title).k1 }"), 3, 23, "got '"),
        (profile("match-phase { attribute: a }"), 3, 5, "an attribute and max-hits"),
        (profile("match-phase { max-hits: 1.5 }"), 3, 29, "a whole number, got '1.5'"),
        (profile("match-phase { order: down }"), 3, 26, "ascending or descending"),
        (profile("diversity { attribute: a min-groups: 0 }"), 3, 5, "min-groups of 1 or more"),
        (profile("filter-threshold: 1"), 3, 23, "a number with a decimal point, got '1'"),
        (profile("weight title: 99999999999"), 3, 19, "expected integer"),
        (profile("num-threads-per-search: 99999999999"), 3, 29, "a whole number"),
        (profile("match-features: a { b"), None, None, "expected a rank feature"),
        (profile("strict: perhaps"), 3, 13, "true or false, got 'perhaps'"),
        (profile("weakand { nonsense: 1 }"), 3, 15, "nonsense in weakand is not known"),
        (profile("weight title: 2.5"), 3, 19, "expected integer, got '2.5"),
        (profile("rank title: normal"), 3, 17, "expected filter, got 'normal'"),
        (profile("rank title { element-gap: near }"), 3, 31, "a whole number or infinity"),
        (profile("rank-profile inner { }"), 3, 18, "has to inherit it"),
        (profile("first-phase { rank-score-drop-limit: 1 }"), 3, 42, "decimal point, got '1'"),
        (profile("second-phase { rerank-count: x }"), 3, 34, "not negative, got 'x'"),
        (profile("second-phase { rerank-count: -1 }"), 3, 34, "not negative, got '-1'"),
        (profile("first-phase { rerank-count: 5 }"), 3, 19, "rerank-count in first-phase"),
        (profile("first-phase { expression: file:../a }"), 3, 19, "the name of a file"),
        (profile("first-phase { expression: file:a }"), 3, 19, "no file a.expression"),
        (profile("constants { c { value: 1 } }"), 3, 17, "one type and one value"),
        (profile("from-disk"), 3, 5, "from-disk in rank-profile is not known"),
        (profile("function f() { expression: (1 }"), 3, 20, "not closed"),
        (profile("function f() { expression: {{{{1}}}} }"), 3, 32, "got '{{{{1}}}}'"),
        (profile("function f() { expression { a"), 5, 2, "end of the file"),
        (field("rank: none"), 3, 33, "expected one of filter, literal, normal, got 'none'"),
        (field("weight: high"), 3, 35, "expected integer"),
        (field("linguistics { side: x }"), 3, 41, "expected 'profile'"),
        (field("struct-field a { weight: 3 }"), 3, 44, "weight in struct-field"),
        (field("nonsense: 1"), 3, 27, "nonsense in field is not known"),
        (field("attribute: fast-search-foo"), 3, 38, "fast-search-foo"),
        (field("match { fuzzy }"), 3, 35, "expected one of cased"),
        ("schema doc { fieldset default { fields: a } }", None, None, "no field 'a'"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_place(
    tmp_path: Path, text: str, line: int | None, column: int | None, why: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SchemaSyntaxError) as caught:
        read_schema(path)
    place = "" if line is None else f":{line}:{column}"
    assert str(caught.value).startswith(f"{path}{place}:")
    assert why in str(caught.value)


def test_an_error_shows_the_line_and_points_into_it(tmp_path: Path) -> None:
    path = write(tmp_path, profile("mutated { }"))
    with pytest.raises(SchemaSyntaxError) as caught:
        read_schema(path)
    assert str(caught.value).split("\n")[1:] == ["      mutated { }", "      ^"]


def test_parents_are_checked_when_a_schema_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "schema doc { rank-profile a inherits b {} rank-profile a {} }")
    with pytest.raises(SchemaSyntaxError) as caught:
        read_schema(path)
    assert "rank-profile 'a': there are 2" in str(caught.value)


def test_the_file_has_the_name_of_its_schema(tmp_path: Path) -> None:
    with pytest.raises(SchemaSyntaxError, match=r"other\.sd: expected a schema named other"):
        read_schema(write(tmp_path, "schema doc {}", "other"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "doc.sd"
    with pytest.raises(SchemaSyntaxError, match=r"cannot be read \(No such file"):
        read_schema(path)
    path.write_bytes(b"schema doc { # \xff\n}")
    with pytest.raises(SchemaSyntaxError, match="byte 15 is not"):
        read_schema(path)


def test_an_application_has_all_its_schemas(tmp_path: Path) -> None:
    write(tmp_path, "schema b {}", "b")
    write(tmp_path, "schema a {}", "a")
    write(tmp_path, "not a schema", ".hidden")
    application = read_application(tmp_path)
    assert [schema.name for schema in application.schemas] == ["a", "b"]
    assert application.schema("b").name == "b"
    with pytest.raises(SpecError, match="a schema among a, b, got ''"):
        application.schema()
    with pytest.raises(SpecError, match="got none"):
        read_application(tmp_path / "schemas")


def test_a_block_that_never_ends_is_refused_at_once(tmp_path: Path) -> None:
    comments = "# a comment with words and } braces {\n" * 2000
    texts = [
        "schema doc { struct a {\n" + comments,
        "schema doc { rank-profile p { function f() { expression {\n" + "{a} " * 4000,
        "schema doc { field f type string { indexing {\n" + '"a" | b; ' * 4000 + comments,
    ]
    started = time.perf_counter()
    for text in texts:
        with pytest.raises(SchemaSyntaxError):
            read_schema(write(tmp_path, text))
    assert time.perf_counter() - started < SECONDS_FOR_BROKEN_TEXTS


SECONDS_FOR_BROKEN_TEXTS = 5.0
"""Far above what one pass takes, far below what trying all splits of the comments would."""
