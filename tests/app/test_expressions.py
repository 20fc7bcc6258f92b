from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vespa_colbert.app import (
    ApplicationSpec,
    Constant,
    Function,
    Input,
    OnnxModel,
    RankProfile,
    Rerank,
    eject_templates,
    read_application,
    render_app,
)
from vespa_colbert.app.expressions import with_parsed_expressions
from vespa_colbert.errors import SpecError
from vespa_colbert.rank import parse_expression
from vespa_colbert.recipe import read_recipe, recipe_application
from vespa_colbert.tensor import CellType, TensorType

REFERENCE = Path(__file__).parents[2] / "examples" / "reference" / "recipe.toml"
NUMBER = TensorType(CellType.DOUBLE)


def with_profile(spec: ApplicationSpec, profile: RankProfile) -> ApplicationSpec:
    (schema,) = spec.schemas
    return replace(
        spec,
        schemas=(replace(schema, rank_profiles=(*schema.rank_profiles, profile)),),
    )


def test_expressions_are_printed_from_their_trees(spec: ApplicationSpec, tmp_path: Path) -> None:
    mine = RankProfile(
        name="mine",
        functions=(
            Function(name="half", arguments=("a",), expression="a/ 2"),
            Function(name="cut", expression="if (half(bm25( title ))>1,1,0)"),
        ),
        first_phase="half( bm25(text) )",
        second_phase=Rerank(expression="cut+closeness(field,text)"),
        global_phase=Rerank(expression="(cut) *2"),
        match_features=("closeness(field,text)", "cut"),
        summary_features=("half(2)",),
        rank_features=("fieldMatch(title).completeness",),
    )
    render_app(with_profile(spec, mine), tmp_path / "app", parse=parse_expression)

    (schema,) = read_application(tmp_path / "app").schemas
    assert schema.rank_profiles[-1] == RankProfile(
        name="mine",
        functions=(
            Function(name="half", arguments=("a",), expression="a / 2"),
            Function(name="cut", expression="if(half(bm25(title)) > 1, 1, 0)"),
        ),
        first_phase="half(bm25(text))",
        second_phase=Rerank(expression="cut + closeness(field, text)"),
        global_phase=Rerank(expression="(cut) * 2"),
        match_features=("closeness(field,text)", "cut"),
        summary_features=("half(2)",),
        rank_features=("fieldMatch(title).completeness",),
    )


def test_everything_that_cannot_be_read_is_named_and_nothing_is_written(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    wrong = RankProfile(
        name="wrong",
        inputs=(Input(name="q", type=TensorType.parse("tensor<float>(x[2])"), default="[1]"),),
        constants=(Constant(name="c", type=NUMBER, value="[1, 2]"),),
        functions=(Function(name="open", expression="1 +"),),
        first_phase="a * b % c",
        second_phase=Rerank(expression="sum(a, b, c) garbage"),
        global_phase=Rerank(expression="if(1, 2)"),
        match_features=("log(1,)",),
        onnx_models=(OnnxModel(name="m", file="models/m.onnx", inputs=(("in", "a + b"),)),),
    )
    with pytest.raises(SpecError) as caught:
        render_app(with_profile(spec, wrong), tmp_path / "app", parse=parse_expression)

    where = "schema passage, rank-profile wrong, "
    places = [each.partition(": ")[0] for each in caught.value.faults]
    assert places == [
        where + place
        for place in (
            "input q",
            "constant c",
            "function open",
            "first-phase",
            "second-phase",
            "global-phase",
            "match-features",
            "onnx-model m, in",
        )
    ]
    assert "1 +\n     ^" in caught.value.faults[2]
    assert not (tmp_path / "app").exists()


def test_expressions_that_a_template_of_ones_own_prints_are_read_too(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    eject_templates(tmp_path / "mine")
    template = tmp_path / "mine" / "schemas" / "schema.sd.jinja"
    whole = template.read_text(encoding="utf-8")
    assert whole.rstrip().endswith("}")

    def print_with(expression: str) -> None:
        more = f"rank-profile more {{\n    first-phase {{ expression: {expression} }}\n}}\n"
        template.write_text(whole.rstrip()[:-1] + more + "}\n", encoding="utf-8")
        render_app(spec, tmp_path / "app", parse=parse_expression, templates=tmp_path / "mine")

    print_with("bm25(title)+1")
    text = (tmp_path / "app" / "schemas" / "passage.sd").read_text(encoding="utf-8")
    assert "expression: bm25(title)+1" in text
    with pytest.raises(SpecError, match=r"rank-profile more, first-phase: expected .*got 'bm25'"):
        print_with("1 bm25(title)")
    assert (tmp_path / "app" / "schemas" / "passage.sd").read_text(encoding="utf-8") == text


def test_a_schema_that_a_template_of_ones_own_breaks_is_named_where_it_would_stand(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    eject_templates(tmp_path / "mine")
    (tmp_path / "mine" / "schemas" / "schema.sd.jinja").write_text("schema {{ schema.name }} {\n")

    with pytest.raises(SpecError) as caught:
        render_app(spec, tmp_path / "app", parse=parse_expression, templates=tmp_path / "mine")
    assert str(tmp_path / "app" / "schemas" / "passage.sd") in str(caught.value)
    assert not (tmp_path / "app").exists()


def test_what_the_reference_recipe_ranks_by_is_written_as_its_trees_print_it() -> None:
    spec = recipe_application(read_recipe(REFERENCE))
    assert with_parsed_expressions(spec, parse_expression) == spec
