"""Each check of the table: a package that has what it looks for; the good package has nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.validate.conftest import Check
from tests.validate.packages import (
    COMPONENT,
    SCHEMA,
    SERVICES,
    TOKENIZER,
    write_model,
    write_tokenizer,
)
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.validate import Severity
from vespa_colbert.validate.table import CHECKS

FIRST = "bm25(text) + attribute(number)"
NEW_FIELD = "    rank-profile base {"
MAX_SIM = "sum(query(qt) * attribute(rows), x)"
QUERY_PROFILE = """<query-profile id="default">
    <field name="ranking.features.query(qt)">embed({embedder}@query)</field>
</query-profile>
"""


def query_profile(embedder: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "search" / "query-profiles" / "default.xml"
        path.parent.mkdir(parents=True)
        path.write_text(QUERY_PROFILE.format(embedder=embedder))

    return change


def model(**facts: Any) -> Callable[[Path], None]:
    return lambda folder: write_model(folder / "files" / "model.onnx", **facts)


def tokenizer(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: write_tokenizer(folder / "files" / "tokenizer.json", **changes)


def first(expression: str) -> dict[str, Any]:
    return {"schema": ((FIRST, expression),)}


def line_of(text: str, schema: str = SCHEMA) -> int:
    return next(n for n, line in enumerate(schema.split("\n"), 1) if text in line)


def at(text: str) -> int:
    return line_of(text, SERVICES.replace("{components}", COMPONENT))


SCHEMA_FILE, SERVICES_FILE = "schemas/doc.sd", "services.xml"
FIRST_LINE = line_of(FIRST)
MAX_SIM_LINE = line_of(MAX_SIM)
PAIRS_TOKENIZER = """<component id="pairs" type="hugging-face-tokenizer">
            <model path="files/tokenizer.json"/>
        </component>
        <component id="colbert" """

OTHER_PROFILE = """    rank-profile other {
        first-phase {
            expression: query(qt)
        }
    }
"""
LONGEST = "LongestFirst"
ONE_NODE = '<node hostalias="node1" distribution-key="0"/>'

CASES: tuple[tuple[str, dict[str, Any], str, int, str], ...] = (
    ("unknown-feature", first("foo(1)"), SCHEMA_FILE, FIRST_LINE, "foo(1)"),
    ("unknown-feature", first("nope"), SCHEMA_FILE, FIRST_LINE, "nope"),
    ("unknown-feature", first("if(1 > 0, max(2, foo(1)), 3)"), SCHEMA_FILE, FIRST_LINE, "foo"),
    ("unknown-field", first("fieldMatch(nosuch)"), SCHEMA_FILE, FIRST_LINE, "nosuch"),
    ("bm25-of-no-index", first("bm25(nosuch)"), SCHEMA_FILE, FIRST_LINE, "nosuch"),
    ("bm25-of-no-index", first("bm25(number)"), SCHEMA_FILE, FIRST_LINE, "number"),
    ("bm25-not-enabled", first("bm25(plain)"), SCHEMA_FILE, FIRST_LINE, "plain"),
    ("distance-of-no-vectors", first("closeness(field,text)"), SCHEMA_FILE, FIRST_LINE, "text"),
    ("container-only-feature", first("relevanceScore"), SCHEMA_FILE, FIRST_LINE, "relevanceScore"),
    ("input-not-declared", first("query(nope)"), SCHEMA_FILE, FIRST_LINE, "query(nope)"),
    (
        "tensor-input-not-declared",
        {
            "schema": (
                (
                    "    rank-profile base {",
                    OTHER_PROFILE + "    rank-profile base {",
                ),
            )
        },
        SCHEMA_FILE,
        line_of("rank-profile base {") + 2,
        "tensor<float>(qt{},x[16])",
    ),
    (
        "unused-input",
        {"schema": (("query(weight) double: 0.5", "query(weight) double: 0.5\nquery(b) double"),)},
        SCHEMA_FILE,
        line_of("query(weight) double") + 1,
        "query(b)",
    ),
    (
        "types-do-not-fit",
        {"schema": (("query(qt) tensor<float>(qt{},x[16])", "query(qt) tensor(qt{},x[17])"),)},
        SCHEMA_FILE,
        MAX_SIM_LINE,
        "x[17]",
    ),
    ("phase-not-a-number", first("attribute(vector)"), SCHEMA_FILE, FIRST_LINE, "x[16]"),
    (
        "max-sim-dimensions",
        {
            "schema": (
                ("query(qt) tensor<float>(qt{},x[16])", "query(qt) tensor<float>(qt{},y[16])"),
            )
        },
        SCHEMA_FILE,
        MAX_SIM_LINE,
        "compares over x",
    ),
    (
        "slow-max-sim",
        {"schema": (("attribute(rows), x)", "attribute(half), x)"),)},
        SCHEMA_FILE,
        MAX_SIM_LINE,
        "bfloat16",
    ),
    (
        "slow-max-sim",
        first("reduce(sum(reduce(sum(query(qt) * attribute(long), x), max, dt), qt), max, part)"),
        SCHEMA_FILE,
        FIRST_LINE,
        "more dimensions",
    ),
    ("ambiguous-operators", first("2 * query(weight) % 4"), SCHEMA_FILE, FIRST_LINE, "container"),
    ("expression-not-read", first("1 + + 2"), SCHEMA_FILE, FIRST_LINE, "first-phase"),
    (
        "unfilled-field",
        {"schema": (("indexing: input text | embed colbert | attribute", "indexing: attribute"),)},
        SCHEMA_FILE,
        line_of("field made"),
        "nothing fills it",
    ),
    (
        "embedder-not-there",
        {"schema": (("embed colbert", "embed other"),)},
        SCHEMA_FILE,
        line_of("field made"),
        "embed other",
    ),
    (
        "embedder-not-there",
        {"change": query_profile("other, ")},
        "search/query-profiles/default.xml",
        2,
        "embed other",
    ),
    (
        "vectors-too-narrow",
        {"schema": (("tensor<int8>(dt{},x[2])", "tensor<int8>(dt{},x[3])"),)},
        SCHEMA_FILE,
        line_of("field made"),
        "24 components",
    ),
    (
        "vectors-cut",
        {"change": model(width=20)},
        SCHEMA_FILE,
        line_of("field made"),
        "first 16 of 20",
    ),
    (
        "pooled-by-nobody",
        {"pooling": TokenPooling(factor=2)},
        SCHEMA_FILE,
        line_of("field made"),
        "embedder colbert fills it inside Vespa, which does not pool",
    ),
    (
        "int8-query",
        {
            "schema": (
                ("query(qt) tensor<float>(qt{},x[16])", "query(qt) tensor<int8>(qt{},x[16])"),
            ),
            "change": query_profile(""),
        },
        "search/query-profiles/default.xml",
        2,
        "refuses int8",
    ),
    (
        "hnsw-in-streaming",
        {"services": (('mode="index"', 'mode="streaming"'),)},
        SCHEMA_FILE,
        line_of("field vector"),
        "streaming",
    ),
    (
        "paged-hnsw",
        {"schema": (("attribute | index\n", "attribute | index\nattribute: paged\n"),)},
        SCHEMA_FILE,
        line_of("field vector"),
        "paged",
    ),
    (
        "file-damaged",
        {"change": lambda folder: (folder / "files" / "model.onnx").write_bytes(b"\0\1\2")},
        "files/model.onnx",
        0,
        "not ONNX",
    ),
    (
        "file-damaged",
        {"change": lambda folder: (folder / "files" / "tokenizer.json").write_text("{")},
        "files/tokenizer.json",
        0,
        "JSON",
    ),
    (
        "model-names",
        {"change": model(output="last")},
        SERVICES_FILE,
        at("<component id"),
        "no output contextual",
    ),
    (
        "model-names",
        {"change": model(inputs=("ids", "attention_mask"))},
        SERVICES_FILE,
        at("<component id"),
        "no input input_ids",
    ),
    (
        "model-input-not-given",
        {"change": model(inputs=("input_ids", "attention_mask", "token_type_ids"))},
        SERVICES_FILE,
        at("transformer-model"),
        "token_type_ids",
    ),
    (
        "model-outside-weights",
        {"change": model(is_external=True)},
        SERVICES_FILE,
        at("transformer-model"),
        "table",
    ),
    (
        "model-not-finite",
        {"change": model(weight=float("nan"))},
        SERVICES_FILE,
        at("transformer-model"),
        "table",
    ),
    (
        "model-not-finite",
        {"change": model(weight=float("inf"))},
        SERVICES_FILE,
        at("transformer-model"),
        "table",
    ),
    (
        "model-too-new",
        {"change": model(opset=99)},
        SERVICES_FILE,
        at("transformer-model"),
        "operator set 99",
    ),
    (
        "model-needs-newer-vespa",
        {"change": model(opset=26)},
        SERVICES_FILE,
        at("transformer-model"),
        "operator set 26",
    ),
    (
        "positions-exceeded",
        {"change": model(positions=64)},
        SERVICES_FILE,
        at("max-document-tokens"),
        "64 positions",
    ),
    (
        "tokenizer-cuts",
        {"change": tokenizer(truncation={"max_length": 31, "strategy": "LongestFirst"})},
        SERVICES_FILE,
        at("tokenizer-model"),
        "31 tokens",
    ),
    (
        "wrong-token-id",
        {"component": ((">5</query-token-id>", ">1</query-token-id>"),)},
        SERVICES_FILE,
        at("query-token-id"),
        "the unknown token",
    ),
    (
        "wrong-token-id",
        {
            "component": (
                ("<transformer-mask-token>4</transformer-mask-token>", "<!-- Vespa's 103 -->"),
            )
        },
        SERVICES_FILE,
        at("<component id"),
        "103, Vespa's default, is no token",
    ),
    (
        "wrong-token-id",
        {"component": ((">2</transformer-start", ">7</transformer-start"),)},
        SERVICES_FILE,
        at("start-sequence"),
        "'[CLS]', 2",
    ),
    (
        "element-needs-newer-vespa",
        {
            "services": (("8.700.24", "8.600.1"),),
            "component": (
                (
                    "</component>",
                    "<attend-to-expansion-tokens>false</attend-to-expansion-tokens></component>",
                ),
            ),
        },
        SERVICES_FILE,
        at("document-token-id") + 1,
        "8.691.19",
    ),
    (
        "rerank-count-per-node",
        {
            "services": (
                (
                    ONE_NODE,
                    ONE_NODE + ONE_NODE.replace('"0"', '"1"'),
                ),
            ),
            "schema": (("total-rerank-count: 50", "rerank-count: 50"),),
        },
        SCHEMA_FILE,
        line_of("total-rerank-count"),
        "100 hits",
    ),
    (
        "one-separator",
        {
            **first("sum(customTokenInputIds(2, 3, 16, query(qt), attribute(rows)))"),
            "component": (('<component id="colbert" ', PAIRS_TOKENIZER),),
            "change": tokenizer(
                post_processor={
                    "type": "RobertaProcessing",
                    "sep": ["[SEP]", 3],
                    "cls": ["[CLS]", 2],
                }
            ),
        },
        SCHEMA_FILE,
        FIRST_LINE,
        "2 separators",
    ),
    (
        "not-read",
        {"schema": (("    rank-profile base {", "    wonder: 7\n    rank-profile base {"),)},
        SCHEMA_FILE,
        line_of("rank-profile base {"),
        "wonder",
    ),
)


def test_every_check_has_a_case() -> None:
    assert {case[0] for case in CASES} == {check.code for check in CHECKS}


def test_nothing_is_found_in_a_good_package(findings: Check) -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("code", "parts", "file", "line", "reason"), CASES, ids=[f"{c[0]}-{c[4]}" for c in CASES]
)
def test_a_check_finds_what_it_looks_for_at_its_place(
    findings: Check, code: str, parts: dict[str, Any], file: str, line: int, reason: str
) -> None:
    severity = next(check.severity for check in CHECKS if check.code == code)

    found = findings(**parts)

    fault = next(each.fault for each in found if each.code == code)
    assert (fault.place.file, fault.place.line) == (file, line)
    assert reason in fault.reason
    assert fault.remedy or severity is Severity.NOT_CHECKED
    worst = [each for each in found if each.severity is Severity.ERROR]
    assert {each.code for each in worst} <= {code} or severity is Severity.ERROR


@pytest.mark.parametrize(
    "expression",
    [
        "closeness(label,nearest)",
        "map_subspaces(attribute(rows), f(t)(tensor<float>(y[2])(t{x:(y)})))",
        "max(attribute(vector), x)",
        "scaled(3)",
        "attribute(vector){x:3}",
        "tensor<float>(z[3])(z * 2)",
        "join(attribute(vector), attribute(vector), f(a,b)(a * b))",
        "elementwise(bm25(text),x,float)",
        "tensorFromLabels(attribute(number),d)",
        "rankingExpression(max_sim)",
        "term(0).significance",
        'xgboost("trees.json")',
    ],
)
def test_names_that_an_expression_binds_are_no_features(findings: Check, expression: str) -> None:
    found = findings(schema=((FIRST, f"sum({expression})"),))

    assert [each.code for each in found if each.severity is Severity.ERROR] == []


def test_what_a_mask_holds_is_no_damage(findings: Check) -> None:
    assert findings(change=model(weight=0.0)) == []


def test_an_input_that_only_a_query_profile_gives_is_declared(findings: Check) -> None:
    def change(folder: Path) -> None:
        query_profile("colbert, ")(folder)

    found = findings(
        schema=(("            query(qt) tensor<float>(qt{},x[16])\n", ""),), change=change
    )

    assert "input-not-declared" not in {each.code for each in found}


def test_a_constant_may_be_named_by_itself(findings: Check) -> None:
    constants = "        constants {\n            limit double: 3\n        }\n        inputs {"
    found = findings(schema=(("        inputs {", constants), (FIRST, "limit + constant(limit)")))

    assert found == []


def test_a_fault_of_an_inherited_function_is_reported_once(findings: Check) -> None:
    found = findings(schema=(("value * query(weight)", "value * foo(2)"),))

    places = [each.fault.place.line for each in found if each.code == "unknown-feature"]
    assert set(places) == {line_of("value * query(weight)")}


def test_a_fault_of_an_inherited_function_names_the_profile_that_stands_there(
    findings: Check,
) -> None:
    found = findings(schema=(("attribute(rows), x)", "attribute(half), x)"),))

    (fault,) = (each.fault for each in found if each.code == "slow-max-sim")
    assert fault.place.line == MAX_SIM_LINE
    assert "function max_sim of profile base of schema doc" in fault.reason


def test_the_line_inside_of_an_expression_of_several_lines_is_found(findings: Check) -> None:
    block = "expression {\n bm25(text)\n # a remark\n + foo(1)\n }"
    found = findings(schema=((f"expression: {FIRST}", block),))

    (fault,) = (each.fault for each in found if each.code == "unknown-feature")
    assert fault.place.line == FIRST_LINE + 3


def test_an_expression_in_a_file_of_its_own_is_reported_there(findings: Check) -> None:
    def change(folder: Path) -> None:
        (folder / "schemas" / "first.expression").write_text("1 +\nfoo(1)\n")

    found = findings(schema=((FIRST, "file:first"),), change=change)

    (fault,) = (each.fault for each in found if each.code == "unknown-feature")
    assert (fault.place.file, fault.place.line) == ("schemas/first.expression", 2)


def test_the_tokenizer_of_a_case_is_what_the_component_says() -> None:
    vocabulary = TOKENIZER["model"]["vocab"]
    assert (vocabulary["[CLS]"], vocabulary["[SEP]"], vocabulary["[Q]"]) == (2, 3, 5)


HUGGING_FACE = (("colbert-embedder", "hugging-face-embedder"),)


@pytest.mark.parametrize(
    ("strategy", "length", "most", "said"),
    [
        # A truncation that takes the longest text first counts instead of max-tokens.
        ("LongestFirst", 31, 128, "cuts every text to 31 tokens, whatever max-tokens (128)"),
        ("LongestFirst", 128, 128, ""),
        ("LongestFirst", 400, 128, "lets 400 tokens of a text through, whatever max-tokens (128)"),
        # Then the tokenizer library has its own limit of 512.
        ("LongestFirst", 8192, 512, ""),
        ("LongestFirst", 8192, 600, "cuts every text to 512 tokens, whatever max-tokens (600)"),
        ("OnlyFirst", 31, 128, "cuts every text to 31 tokens"),
        ("OnlyFirst", 400, 128, ""),
    ],
)
def test_a_truncation_of_the_tokenizer_is_told_apart_from_max_tokens(
    findings: Check, strategy: str, length: int, most: int, said: str
) -> None:
    found = findings(
        component=(*HUGGING_FACE, (">512</max-tokens>", f">{most}</max-tokens>")),
        change=tokenizer(truncation={"max_length": length, "strategy": strategy}),
    )

    reasons = [each.fault.reason for each in found if each.code == "tokenizer-cuts"]
    assert len(reasons) == bool(said)
    assert all(said in reason for reason in reasons)


@pytest.mark.parametrize(("length", "said"), [(400, 0), (124, 1), (125, 0)])
def test_a_colbert_embedder_cuts_again_what_its_tokenizer_lets_through(
    findings: Check, length: int, said: int
) -> None:
    found = findings(change=tokenizer(truncation={"max_length": length, "strategy": LONGEST}))

    # Documents have 128 tokens, three of them are no text.
    assert [each.code for each in found] == ["tokenizer-cuts"] * said


def test_positions_are_those_of_the_texts_that_come_through(findings: Check) -> None:
    def change(folder: Path) -> None:
        tokenizer(truncation={"max_length": 400, "strategy": LONGEST})(folder)
        model(positions=256)(folder)

    edits = (*HUGGING_FACE, (">512</max-tokens>", ">128</max-tokens>"))
    (fault,) = (
        each.fault
        for each in findings(component=edits, change=change)
        if each.code == "positions-exceeded"
    )
    assert "texts have 400 tokens" in fault.reason


def test_an_input_of_several_profiles_is_cut_once(findings: Check) -> None:
    def change(folder: Path) -> None:
        model(width=20)(folder)
        query_profile("colbert, ")(folder)
        path = folder / "search" / "query-profiles" / "default.xml"
        text = path.read_text(encoding="utf-8")
        (path.parent / "again.xml").write_text(text.replace('"default"', '"again"'))

    more = "    rank-profile another inherits base { }\n" + NEW_FIELD

    found = findings(schema=((NEW_FIELD, more),), change=change)

    reasons = [each.fault.reason for each in found if each.code == "vectors-cut"]
    assert [reason.split(":")[0] for reason in sorted(reasons)] == [
        "field made",
        "query(qt) of profile another of schema doc",
    ]
