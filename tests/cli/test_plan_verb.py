"""What ``plan`` prints; the numbers themselves are worked out in tests/plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import PACKAGE, Run, changed_package
from tests.plan.coded_packages import write_coded_package

FLOATS, BITS = 4 + 62_960, 4 + 2_448
"""Bytes of 120 vectors of 128 floats and of 16 bytes: see tests/plan/test_memory.py."""


FED = """schema fed {
    document fed {
        field rows type tensor<float>(dt{},x[16]) {
            indexing: attribute
        }
    }
    rank-profile max_sim {
        inputs {
            query(qt) tensor<float>(qt{},x[16])
        }
        first-phase {
            expression: sum(reduce(sum(query(qt) * attribute(rows), x), max, dt), qt)
        }
    }
}
"""


def test_plan_shows_memory_work_and_choices(run: Run) -> None:
    ran = run("plan", PACKAGE, "--documents", "10M", "--tokens", 120)
    assert ran.code == 0
    assert f"{FLOATS:,}" in ran.out
    assert f"{BITS:,}" in ran.out
    assert "10,000,000 documents" in ran.out
    assert "ASSUMED, not measured" in ran.out
    assert "none: the document's cells are bfloat16" in ran.out


def test_plan_in_json_has_the_numbers_and_what_was_assumed(run: Run) -> None:
    ran = run("plan", PACKAGE, "-n", "2k", "-t", 120, "--gflops", 2, "--json")
    said: Any = ran.json
    (schema,) = said["packages"][0]["schemas"]
    assert said["documents"] == 2000
    assert said["gflops"] == {"value": 2.0, "assumed": False}
    assert schema["memory-bytes"] == 2000 * (FLOATS + BITS)
    phases = {each["profile"]: each["phases"] for each in schema["profiles"]}
    again, sent = phases["rerank_int8"]
    assert (again["phase"], sent["phase"]) == ("second-phase", "match-features")
    # 120 · 32 · 128 · 2 operations; 100 hits at 2 thousand million a second.
    assert again["operations-of-a-document"] == 983_040
    assert again["milliseconds"] == pytest.approx(49.152)
    assert again["max-sims"][0]["kernel"] == "dot product"


def test_plan_shows_what_is_computed_once_a_query_and_counts_its_time(
    run: Run, tmp_path: Path
) -> None:
    package = write_coded_package(tmp_path)
    asked = ("plan", package, "-n", 100, "-t", 10, "--query-tokens", 4, "--gflops", 0.001)
    said: Any = run(*asked, "--json").json
    profiles = said["packages"][0]["schemas"][0]["profiles"]
    (coarse,) = (each["phases"] for each in profiles if each["profile"] == "coarse")
    assert coarse[0]["operations-of-a-document"] == 120
    assert coarse[0]["operations-once-a-query"] == 384
    # 100 documents of 120 operations and 384, at a thousand a millisecond.
    assert coarse[0]["milliseconds"] == pytest.approx(12.384)

    lines = [line.split() for line in run(*asked).out.splitlines()]
    (row,) = (line for line in lines if line[:2] == ["coarse", "first-phase"])
    assert row[2:7] == ["100", "120", "384", "over", "12.4"]


def test_plan_puts_another_package_beside(run: Run, tmp_path: Path) -> None:
    paged = "| attribute\n attribute: paged"
    other = changed_package(tmp_path / "other", "| attribute", paged)
    ran = run("plan", PACKAGE, "-n", 10, "-t", 120, "--compare", other)
    assert ran.code == 0
    assert "both packages" in ran.out
    assert str(other) in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((PACKAGE,), "--tokens"),
        ((PACKAGE, "-t", 3, "-n", "many"), "10M"),
        ((PACKAGE, "-t", 3, "-n", "inf"), "10M"),
        ((PACKAGE, "-t", 3, "-i", "index"), "--tokens and --index: expected one of them, got both"),
        ((PACKAGE, "-t", 3, "--schema", "other"), "passage"),
        (("nowhere", "-t", 3), "schemas"),
    ],
)
def test_what_plan_cannot_answer_is_an_error(
    run: Run, arguments: tuple[object, ...], message: str
) -> None:
    ran = run("plan", *arguments)
    assert ran.code == 1
    assert message in ran.err


def test_plan_counts_what_pooling_leaves_where_the_client_embeds(run: Run, tmp_path: Path) -> None:
    recipe, schemas = tmp_path / "recipe.toml", tmp_path / "app" / "schemas"
    recipe.write_text('[index]\npool-factor = 2\n[app]\noutput = "app"\n')
    schemas.mkdir(parents=True)
    (schemas / "fed.sd").write_text(FED)

    pooled: Any = run("plan", "-r", recipe, "-t", 121, "--json").json
    plain: Any = run("plan", "-r", recipe, "-t", 121, "--pool-factor", 1, "--json").json
    shown = run("plan", "-r", recipe, "-t", 121)

    assert pooled["pooling"] == "ward, factor 2, 1 protected"
    fields = pooled["packages"][0]["schemas"][0]["fields"]
    assert {each["vectors"] for each in fields} == {61}
    assert [each["vectors"] for each in pooled["poolings"]] == [121, 61, 41]
    assert plain["poolings"] == pooled["poolings"]
    assert plain["pooling"] == "none"
    assert "token pooling of what is planned above: ward, factor 2, 1 protected" in shown.out


def test_plan_refuses_to_pool_what_vespa_embeds(run: Run) -> None:
    ran = run("plan", PACKAGE, "-t", 120, "--pool-factor", 2)
    assert ran.code == 1
    assert "cannot pool" in ran.err
