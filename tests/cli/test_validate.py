from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cli.conftest import Run
from tests.validate.packages import SCHEMA, write_package


def test_our_own_checks_alone_exit_1_on_an_error(run: Run, tmp_path: Path) -> None:
    schema = SCHEMA.replace("bm25(text) + attribute(number)", "foo(1)")
    bad, good = tmp_path / "bad", tmp_path / "good"
    write_package(bad, schema=schema)
    write_package(good)

    refused, passed = run("validate", bad, "--no-java"), run("validate", good, "--no-java")

    assert (refused.code, passed.code) == (1, 0)
    assert "error: schemas/doc.sd:46: foo(1) is neither" in refused.out
    assert "[unknown-feature]\n    correct the name" in refused.out
    assert "Vespa was not asked; error: 0, warning: 0, not checked: 1" in passed.out


def test_json_has_the_findings_by_severity(run: Run, tmp_path: Path) -> None:
    schema = SCHEMA.replace("bm25(text) + attribute(number)", "foo(1)")

    report: Any = run(
        "validate", write_package(tmp_path / "app", schema=schema), "--no-java", "--json"
    ).json

    assert list(report) == [
        "application", "vespa", "accepted", "passed", "errors", "warnings", "not-checked",
        "profiles",
    ]  # fmt: skip
    assert (report["vespa"], report["accepted"], report["passed"]) == (None, None, False)
    (error,) = report["errors"]
    assert list(error) == ["code", "severity", "file", "line", "reason", "remedy"]
    assert (error["code"], error["file"], error["line"]) == (
        "unknown-feature",
        "schemas/doc.sd",
        46,
    )
    assert report["profiles"]["doc"] == ["base", "default", "more", "unranked"]


def test_a_recipe_that_pools_what_vespa_embeds_is_an_error(run: Run, tmp_path: Path) -> None:
    app, recipe = write_package(tmp_path / "app"), tmp_path / "recipe.toml"
    recipe.write_text('[app]\noutput = "app"\n[index]\npool-factor = 2\n')

    of_recipe: Any = run("validate", "-r", recipe, "--no-java", "--json")
    alone: Any = run("validate", app, "--no-java", "--json")
    fed = write_package(
        tmp_path / "fed", schema=SCHEMA.replace("input text | embed colbert | attribute", "guard")
    )
    client: Any = run("validate", fed, "-r", recipe, "--no-java", "--json")

    assert [each["code"] for each in of_recipe.json["errors"]] == ["pooled-by-nobody"]
    assert (of_recipe.code, alone.code) == (1, 0)
    assert "pooled-by-nobody" not in {each["code"] for each in client.json["errors"]}
