"""What is read of schemas that lean on each other, and of what stands beside expressions."""

from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.app import (
    Diversity,
    Field,
    FieldRank,
    MatchPhase,
    Mutation,
    NamedSettings,
    OnnxModel,
    Rerank,
    Schema,
    StructField,
    read_application,
    read_schema,
)
from vespa_colbert.app.passed_over import PASSED_OVER
from vespa_colbert.errors import SchemaSyntaxError, SpecError
from vespa_colbert.tensor import TensorType

VARIANTS = Path(__file__).with_name("variants")


def variant(name: str) -> Schema:
    return read_schema(VARIANTS / "schemas" / f"{name}.sd")


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.sd").write_text(text, encoding="utf-8")
    return folder


def test_a_package_of_schemas_that_need_each_other_is_read_in_any_order() -> None:
    names = [schema.name for schema in read_application(VARIANTS).schemas]
    assert names == sorted(names)
    assert {"base", "derived_document", "derived_schema"} <= set(names)


def test_a_schema_has_the_fields_and_profiles_of_the_one_it_inherits() -> None:
    schema = variant("derived_schema")
    assert [field.name for field in schema.fields] == ["year"]
    assert {"title", "rows", "shout", "year"} <= {field.name for field in schema.all_fields}
    assert schema.field("rows").type == "tensor<float>(x[2])"
    assert schema.attribute_types == {"rows": TensorType.parse("tensor<float>(x[2])")}
    assert set(schema.profile_names) == {"default", "unranked", "shared", "plain", "newer"}
    assert schema.profile("plain").first_phase == "bm25(shout)"


def test_a_profile_that_names_itself_inherits_the_one_of_the_schema_above() -> None:
    profile = variant("derived_schema").profile("shared")
    assert profile.first_phase == "bm25(title)"
    assert profile.second_phase == Rerank(expression="close + attribute(year)", rerank_count=100)
    assert [function.name for function in profile.functions] == ["close"]


def test_profiles_of_an_inherited_document_can_be_parents_and_are_no_own_ones() -> None:
    schema = variant("derived_document")
    assert [function.name for function in schema.profile("mine").functions] == ["close", "far"]
    assert "shared" not in schema.profile_names
    with pytest.raises(SpecError, match="expected a profile among default, unranked, mine"):
        schema.profile("shared")


def test_an_imported_field_has_the_type_that_it_has_where_it_comes_from() -> None:
    schema = variant("child_document")
    row = TensorType.parse("tensor<float>(x[3])")
    assert schema.attribute_types == {"own": row, "campaign_vector": row}


def test_a_profile_in_a_profile_is_named_after_it() -> None:
    schema = variant("nested")
    assert set(schema.profile_names) == {
        "default", "unranked", "outer", "outer.inner", "outer.inner.innermost", "user",
    }  # fmt: skip
    assert schema.profile("outer.inner.innermost").first_phase == "f * 3"
    assert schema.profile("user").first_phase == "f * 2"


def test_an_expression_in_a_file_is_read_out_of_it() -> None:
    profile = variant("separate").profile("from_file")
    assert profile.first_phase == "attribute(a) + 2 * attribute(a)"
    assert profile.functions[0].expression == profile.first_phase


def test_phases_keep_each_number_that_a_child_does_not_state() -> None:
    profile = variant("phases").profile("expression_only")
    assert profile.first_phase == "1 - attribute(score)"
    assert profile.first_phase_drop_limit == -0.5
    assert profile.second_phase == Rerank(
        expression="attribute(score) * 2", rerank_count=5, drop_limit=0.25
    )
    assert profile.global_phase == Rerank(
        expression="normalize_linear(attribute(score)) + 1", rerank_count=0, drop_limit=0.125
    )
    assert profile.setting("first-phase.keep-rank-count") == "200"


def test_lists_of_features_replace_add_to_or_hide_those_of_the_parent() -> None:
    schema = variant("features")
    base = ("attribute(year)", "nativeRank(title,body)", "none")
    assert schema.profile("base").match_features == base
    assert schema.profile("base").summary_features == (
        "fieldMatch(title).completeness", "own(2)", "fieldMatch(body).proximity",
    )  # fmt: skip
    assert schema.profile("replaced").match_features == ("fieldLength(title)",)
    assert schema.profile("replaced").rank_features == ("term(0).weight",)
    assert schema.profile("grandchild").match_features == (*base, "fieldLength(body)")
    assert len(schema.profile("added").summary_features) == 3
    assert schema.profile("hidden").match_features == ()
    assert schema.profile("hidden").summary_features == ()
    assert schema.profile("twice").match_features == ("attribute(year)", "matches(title)")


def test_properties_are_pairs_and_a_child_replaces_all_values_of_a_name() -> None:
    base = variant("properties").profile("base").properties
    assert ("bm25(title).k1", "1.5") in base
    assert ("quoted, name", 'quoted "value"') in base
    assert ("$variable", "a:b") in base
    child = variant("properties").profile("child").properties
    assert [value for name, value in child if name == "several"] == ["3"]
    assert dict(child)["bm25(title).k1"] == "0.25"
    assert dict(child)["bm25(title).b"] == "0.5"


def test_settings_are_inherited_one_by_one() -> None:
    profile = variant("settings").profile("tuned_again")
    assert profile.setting("num-threads-per-search") == "1"
    assert profile.setting("min-hits-per-thread") == "40"
    assert profile.settings_of("weakand") == (
        ("adjust-target", "0.25"), ("allow-drop-all", "on"), ("stopword-limit", "0.5"),
    )  # fmt: skip
    assert profile.setting("nonsense", "absent") == "absent"


def test_match_phase_diversity_and_changes_of_attributes_are_read() -> None:
    profile = variant("match_phase").profile("inherited")
    assert profile.match_phase == MatchPhase(
        attribute="popularity",
        is_ascending=True,
        max_hits=1000,
        max_filter_coverage=0.25,
        evaluation_point=0.5,
        pre_post_filter_tipping_point=0.75,
    )
    assert profile.diversity == Diversity(
        attribute="shop", min_groups=10, cutoff_factor=2.5, is_strict=True
    )
    assert variant("mutate").profile("child").mutations == (
        Mutation(phase="on-match", attribute="seen", operation="+=1"),
        Mutation(phase="on-second-phase", attribute="seen", operation="=7"),
        Mutation(phase="on-summary", attribute="seen", operation="-=2"),
    )


def test_what_fields_and_profiles_say_of_ranking_a_field_is_read() -> None:
    schema = variant("field_ranks")
    assert schema.field("title").weight == 150
    assert schema.field("title").rank_types == (("", "identity"),)
    assert [field.name for field in schema.fields if field.is_filter] == ["body", "code"]
    assert schema.profile("child").field_ranks == (
        FieldRank(field="title", weight=300, is_filter=True, element_gap="infinity"),
        FieldRank(field="tags", rank_type="tags", element_gap="7"),
    )


def test_models_and_fields_of_other_names_are_read(tmp_path: Path) -> None:
    text = """schema doc {
        document doc {
            field f type map<string, int> {
                indexing: attribute
                attribute g: fast-search
                index h { prefix }
                struct-field key {
                    indexing: attribute
                    rank: filter
                }
            }
        }
        onnx-model m {
            uri: https://example.com/m.onnx
            input "a b": query(q)
            output out : result
            gpu-device: 1
        }
        rank-profile p { onnx-model n { file: n.onnx } }
    }"""
    schema = read_schema(write(tmp_path, doc=text) / "doc.sd")
    assert schema.fields == (
        Field(
            name="f",
            type="map<string,int>",
            indexing=("attribute",),
            other_attributes=(NamedSettings(name="g", settings=("fast-search",)),),
            other_indexes=(NamedSettings(name="h", settings=("prefix",)),),
            struct_fields=(StructField(name="key", indexing=("attribute",), rank=("filter",)),),
        ),
    )
    model = OnnxModel(
        name="m",
        uri="https://example.com/m.onnx",
        inputs=(("a b", "query(q)"),),
        outputs=(("out", "result"),),
        settings=("gpu-device: 1",),
    )
    assert schema.onnx_models == (model,)
    assert schema.profile("p").onnx_models == (model, OnnxModel(name="n", file="n.onnx"))


def test_a_document_without_a_schema_can_be_inherited(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        alone="document alone { field v type tensor<float>(x[2]) { indexing: attribute } }",
        doc="schema doc { document doc inherits alone { } }",
    )
    assert read_schema(folder / "alone.sd").is_document
    assert list(read_schema(folder / "doc.sd").attribute_types) == ["v"]


def test_schemas_that_inherit_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, a="schema a inherits b {}", b="schema b inherits a {}")
    with pytest.raises(SchemaSyntaxError, match=r"b\.sd:1:19: schema a inherits itself: a → b → a"):
        read_schema(folder / "a.sd")


def test_old_and_new_folders_of_schemas_are_read_together(tmp_path: Path) -> None:
    write(tmp_path / "searchdefinitions", a="search a { }")
    write(tmp_path / "schemas", b="schema b { }")
    (tmp_path / "searchdefinitions" / "b").mkdir()
    (tmp_path / "searchdefinitions" / "b" / "p.profile").write_text("rank-profile p { }")
    application = read_application(tmp_path)
    assert [schema.name for schema in application.schemas] == ["a", "b"]
    assert "p" in application.schema("b").profile_names


def test_all_that_is_passed_over_has_a_reason() -> None:
    reasons = [reason for block in PASSED_OVER.values() for reason in block.values()]
    assert len(reasons) > 10
    assert all(len(reason.split()) > 1 for reason in reasons)
