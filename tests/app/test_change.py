"""Two packages compared name by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.foreign_package import write_foreign_package
from vespa_colbert.app.blocks import read_blocks
from vespa_colbert.app.change import Comparison, compare_packages


def compared(tmp_path: Path, file: str, edit: Callable[[str], str]) -> Comparison:
    old = write_foreign_package(tmp_path / "old")
    new = write_foreign_package(tmp_path / "new")
    text = (new / file).read_text()
    assert edit(text) != text
    (new / file).write_text(edit(text))
    return compare_packages(old, new)


def test_equal_packages_do_not_differ(tmp_path: Path) -> None:
    old = write_foreign_package(tmp_path / "old")
    new = write_foreign_package(tmp_path / "new")
    assert compare_packages(old, new) == Comparison(differences=())


@pytest.mark.parametrize(
    ("file", "before", "after", "found"),
    [
        (
            "schemas/page.sd",
            "v[16]) {\n        indexing: input contexts",
            "v[12]) {\n        indexing: input contexts",
            (
                "changed",
                "field",
                "page.rows",
                (
                    (
                        "type",
                        "tensor<int8>(context{},token{},v[16])",
                        "tensor<int8>(context{},token{},v[12])",
                    ),
                ),
            ),
        ),
        (
            "schemas/page.sd",
            "query(qb) tensor<int8>(qt{}, v[16])",
            "",
            (
                "removed",
                "input",
                "page.base.query(qb)",
                (("type", "tensor<int8>(qt{},v[16])", ""),),
            ),
        ),
        (
            "schemas/page.sd",
            "expression: score\n",
            "expression: score * 2\n",
            (
                "changed",
                "expression",
                "page.better.first-phase",
                (("expression", "score", "score * 2"),),
            ),
        ),
        (
            "schemas/page.sd",
            "expression: bm25(title)",
            "expression: bm25(title) + 1",
            (
                "changed",
                "expression",
                "page.base.score()",
                (("expression", "bm25(title)", "bm25(title) + 1"),),
            ),
        ),
        (
            "services.xml",
            "<onnx-intraop-threads>2<",
            "<onnx-intraop-threads>4<",
            (
                "changed",
                "embedder",
                "colbert",
                (
                    (
                        "onnx-intraop-threads",
                        "<onnx-intraop-threads>2</onnx-intraop-threads>",
                        "<onnx-intraop-threads>4</onnx-intraop-threads>",
                    ),
                ),
            ),
        ),
    ],
)
def test_a_change_has_its_name_its_place_and_both_texts(
    tmp_path: Path,
    file: str,
    before: str,
    after: str,
    found: tuple[str, str, str, tuple[tuple[str, str, str], ...]],
) -> None:
    comparison = compared(tmp_path, file, lambda text: text.replace(before, after))
    (difference,) = comparison.differences
    item = difference.item
    assert (difference.change, item.kind, item.place, difference.parts) == found


def test_what_stands_in_a_new_profile_goes_with_it(tmp_path: Path) -> None:
    new = "    rank-profile new { inputs { query(w) double } first-phase { expression: 1 } }\n}\n"
    comparison = compared(tmp_path, "schemas/page.sd", lambda text: text.rstrip()[:-1] + new)
    (difference,) = comparison.differences
    assert (difference.change, difference.item.place) == ("added", "page.new")


def test_comments_and_layout_are_no_difference(tmp_path: Path) -> None:
    comparison = compared(
        tmp_path, "services.xml", lambda text: text.replace("<!-- kept -->", "\n\n")
    )
    assert comparison.differences == ()


def test_an_embedder_that_became_another_one_leaves_stale_vectors(tmp_path: Path) -> None:
    comparison = compared(
        tmp_path, "services.xml", lambda text: text.replace("/model.onnx", "/better.onnx")
    )
    (warning,) = comparison.warnings
    assert "page.rows keeps the vectors of the old one" in warning
    assert "page.dense" not in warning


def test_a_file_is_compared_by_what_it_holds(tmp_path: Path) -> None:
    comparison = compared(
        tmp_path, "search/query-profiles/default.xml", lambda text: text.replace("best", "better")
    )
    (difference,) = comparison.differences
    assert difference.item.place == "search/query-profiles/default.xml"


def test_blocks_are_taken_out_and_put_in_and_all_else_stays(tmp_path: Path) -> None:
    path = write_foreign_package(tmp_path) / "schemas" / "page.sd"
    blocks = read_blocks(path)
    assert blocks.of("field", "dense").startswith("field dense type tensor<float>(v[128]) {")
    assert "max-links-per-node: 24   # measured" in blocks.of("field", "rows")
    gone = frozenset({("rank_profile", "better"), ("field", "title")})
    text = blocks.edited(added="    field more type int { }", removed=gone)
    path.write_text(text)
    after = read_blocks(path)
    assert after.names("field") == ("contexts", "rows", "dense", "more")
    assert after.names("rank_profile") == ("base", "plain", "best")
    assert "# nothing of the field here" in text
    for name in ("rows", "dense"):
        assert after.of("field", name) == blocks.of("field", name)


@pytest.mark.parametrize(
    ("before", "warned"),
    [("    document page {\n", 1), ("    rank-profile base ", 0)],
)
def test_a_new_field_that_is_fed_is_empty_in_stored_documents(
    tmp_path: Path, before: str, warned: int
) -> None:
    field = "field more type tensor<float>(t{}) { indexing: attribute }"
    place = before + field if warned else field + "\n" + before
    compared_packages = compared(
        tmp_path, "schemas/page.sd", lambda text: text.replace(before, place, 1)
    )

    (added,) = compared_packages.differences
    assert (added.change, added.item.kind, added.item.place) == ("added", "field", "page.more")
    assert ["page.more is new in the document" in each for each in compared_packages.warnings] == [
        True
    ] * warned
