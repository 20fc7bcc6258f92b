from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.vespa_java.tiny_package import SCHEMA, write_package
from vespa_colbert.errors import VespaJavaError
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

QUERY = Tensor.rows(TensorType.parse("tensor<float>(qt{},x[3])"), np.array([[1, 0, 2], [0, -1, 1]]))
ROWS = Tensor.rows(
    TensorType.parse("tensor<float>(dt{},x[3])"), np.array([[1, 2, 3], [4, 5, 1], [0, -6, 0]])
)
# q0: 1+6=7, 4+2=6, 0 → 7;  q1: -2+3=1, -5+1=-4, 6 → 6.
MAX_SIM = 13.0


def test_max_sim_is_the_one_computed_by_hand(java: VespaJava, package: Path) -> None:
    bindings = {"query(qt)": QUERY, "attribute(rows)": ROWS}
    for function in ("max_sim", "second-phase"):
        value = java.evaluate(package, "doc", "max_sim", function, bindings)
        assert value.as_number() == MAX_SIM


def test_a_function_that_is_a_match_feature_is_computed_and_not_asked_for(
    java: VespaJava, package: Path
) -> None:
    assert "match-features: max_sim" in SCHEMA
    needed = java.function_arguments(package, "doc", "max_sim", "second-phase")
    assert needed == {"query(qt)": QUERY.type, "attribute(rows)": ROWS.type}


def test_a_phase_that_is_a_feature_is_the_value_bound_to_it(java: VespaJava, package: Path) -> None:
    bindings = {"bm25(text)": Tensor.number(2.75)}
    assert java.evaluate(package, "doc", "bm25", "first-phase", bindings).as_number() == 2.75


def test_unpack_bits_begins_with_bit_seven(java: VespaJava, package: Path) -> None:
    # 6 = 00000110, -128 = 10000000
    packed = Tensor.rows(TensorType.parse("tensor<int8>(dt{},x[2])"), np.array([[6, -128]]))
    value = java.evaluate(
        package, "doc", "packed_max_sim", "unpacked", {"attribute(packed)": packed}
    )
    assert str(value.type) == "tensor<float>(dt{},x[16])"
    assert value.values.tolist() == [[0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0]]


def test_packed_max_sim_is_the_one_computed_by_hand(java: VespaJava, package: Path) -> None:
    query = np.zeros((2, 16))
    query[0, [5, 8]] = [0.5, 4.0]
    query[1, 15] = -3.0
    packed = np.array([[6, -128], [4, 1]])  # bits {5, 6, 8} and {5, 15}
    bindings = {
        "query(qt)": Tensor.rows(TensorType.parse("tensor<float>(qt{},x[16])"), query),
        "attribute(packed)": Tensor.rows(TensorType.parse("tensor<int8>(dt{},x[2])"), packed),
    }
    value = java.evaluate(package, "doc", "packed_max_sim", "second-phase", bindings)
    assert value.as_number() == 1 + (0.5 + 4.0) + 0.0


def test_many_cases_come_back_in_their_order(java: VespaJava, package: Path) -> None:
    cases = [{"bm25(text)": Tensor.number(float(case))} for case in range(21)]
    values = java.evaluate_many(package, "doc", "bm25", "first-phase", cases)
    assert [value.as_number() for value in values] == [float(case) for case in range(21)]
    assert java.evaluate_many(package, "doc", "bm25", "first-phase", []) == []


def test_a_default_of_the_profile_is_used_unless_bound(java: VespaJava, package: Path) -> None:
    bindings = {"query(qt)": QUERY, "attribute(rows)": ROWS}
    value = java.evaluate(package, "doc", "max_sim", "weighted", bindings)
    assert value.as_number() == MAX_SIM * 0.5
    bindings["query(weight)"] = Tensor.number(3.0)
    value = java.evaluate(package, "doc", "max_sim", "weighted", bindings)
    assert value.as_number() == MAX_SIM * 3


def test_a_constant_of_the_profile_is_used(java: VespaJava, package: Path) -> None:
    value = java.evaluate(package, "doc", "max_sim", "biased", {"attribute(rows)": ROWS})
    assert value.cells() == {("0",): 14.0, ("1",): 17.0, ("2",): -12.0}


def test_a_constant_file_of_the_package_is_used(java: VespaJava, tmp_path: Path) -> None:
    schema = SCHEMA.replace(
        "tensor<float>(x[3]): [1.0, 2.0, 3.0]", "tensor<float>(x[3]): file: constants/bias.json"
    )
    folder = write_package(tmp_path / "app", schema=schema)
    (folder / "constants").mkdir()
    (folder / "constants" / "bias.json").write_text('{"values": [0.0, 0.0, 8.0]}')
    value = java.evaluate(folder, "doc", "max_sim", "biased", {"attribute(rows)": ROWS})
    assert value.cells() == {("0",): 24.0, ("1",): 8.0, ("2",): 0.0}


def test_an_expression_too_long_for_the_configuration_is_evaluated(
    java: VespaJava, tmp_path: Path
) -> None:
    sum_of_many = " + ".join(f"{term}.5 * query(unset)" for term in range(2000))
    folder = write_package(tmp_path / "app", schema=SCHEMA.replace("query(unset) + 1", sum_of_many))
    bindings = {"query(unset)": Tensor.number(2.0)}
    value = java.evaluate(folder, "doc", "max_sim", "needs_unset", bindings)
    assert value.as_number() == 2.0 * (1999 * 2000 / 2 + 1000)


def test_a_changed_package_is_evaluated_as_changed(java: VespaJava, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "app")
    bindings = {"query(unset)": Tensor.number(1.0)}
    first = java.evaluate(folder, "doc", "max_sim", "needs_unset", bindings)
    changed = SCHEMA.replace("query(unset) + 1", "query(unset) + 2")
    (folder / "schemas" / "doc.sd").write_text(changed)
    second = java.evaluate(folder, "doc", "max_sim", "needs_unset", bindings)
    assert (first.as_number(), second.as_number()) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("profile", "function", "bindings", "message"),
    [
        ("max_sim", "needs_unset", {}, r"no value is bound to query\(unset\)"),
        ("max_sim", "max_sim", {"query(qt)": QUERY}, r"no value is bound to attribute\(rows\)"),
        ("max_sim", "nosuch", {}, "expected a function among .*needs_unset.* got nosuch"),
        ("nosuch", "first-phase", {}, "expected a rank profile among .* got 'nosuch'"),
        ("bm25", "second-phase", {}, "expected a function among .* got secondphase"),
        (
            "bm25",
            "first-phase",
            {"bm25(text)": QUERY},
            r"bm25\(text\): expected tensor\(\), got tensor<float>\(qt{},x\[3\]\)",
        ),
        (
            "bm25",
            "first-phase",
            {"bm25(text)": Tensor.number(1), "query(qt)": QUERY},
            r"does not use query\(qt\)",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    java: VespaJava,
    package: Path,
    profile: str,
    function: str,
    bindings: dict[str, Tensor],
    message: str,
) -> None:
    with pytest.raises(VespaJavaError, match=message):
        java.evaluate(package, "doc", profile, function, bindings)


def test_another_schema_is_named(java: VespaJava, package: Path) -> None:
    with pytest.raises(VespaJavaError, match=r"expected a schema among \['doc'\], got 'nosuch'"):
        java.evaluate(package, "nosuch", "bm25", "first-phase", {})


def test_cells_of_another_type_than_declared_are_refused(java: VespaJava, package: Path) -> None:
    rows = Tensor.rows(TensorType.parse("tensor<bfloat16>(dt{},x[3])"), np.ones((1, 3)))
    with pytest.raises(VespaJavaError, match=r"attribute\(rows\): expected tensor<float>"):
        java.evaluate(package, "doc", "max_sim", "biased", {"attribute(rows)": rows})


def test_a_refused_package_is_not_evaluated(java: VespaJava, tmp_path: Path) -> None:
    schema = SCHEMA.replace("attribute(rows)", "attribute(gone)")
    folder = write_package(tmp_path / "app", schema=schema)
    with pytest.raises(VespaJavaError, match=r"refuses this application package: .*gone"):
        java.evaluate(folder, "doc", "bm25", "first-phase", {})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 / query(a)", np.inf),
        ("-1 / query(a)", -np.inf),
        ("query(a) / query(a)", np.nan),
        ("isNan(query(a) / query(a))", 1.0),
        ("if (query(a) < 1, 2, 3)", 2.0),
        ("0.1 + 0.2", 0.1 + 0.2),
    ],
)
def test_numbers_come_back_as_they_are(java: VespaJava, expression: str, value: float) -> None:
    bindings = {"query(a)": Tensor.number(0.0)} if "query(a)" in expression else {}
    answer = java.evaluate_expression(expression, bindings)
    assert answer == Tensor.number(value)


def test_a_value_has_vespas_type(java: VespaJava) -> None:
    value = java.evaluate_expression("reduce(query(a), max, x)", {"query(a)": QUERY})
    assert str(value.type) == "tensor<float>(qt{})"
    assert value.cells() == {("0",): 2.0, ("1",): 1.0}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 +", "Could not parse '1 \\+'"),
        ("query(nosuch) + 1", r"Unknown feature 'query\(nosuch\)'"),
        ("reduce(query(a), sum, nosuch)", "nosuch"),
        ("1 + '\ud800'", "half a surrogate pair"),
        ("(" * 20000 + "1" + ")" * 20000, "nested too deeply"),
    ],
)
def test_an_expression_that_vespa_refuses_is_an_error(
    java: VespaJava, expression: str, message: str
) -> None:
    bindings = {"query(a)": QUERY} if "query(a)" in expression else {}
    with pytest.raises(VespaJavaError, match=message):
        java.evaluate_expression(expression, bindings)
    assert java.evaluate_expression("1 + 1", {}).as_number() == 2.0
