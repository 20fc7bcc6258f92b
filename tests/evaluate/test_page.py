from __future__ import annotations

import math
import re
from dataclasses import replace

import lxml.etree
import lxml.html
import pytest

from tests.evaluate.conftest import stored
from vespa_colbert.evaluate import (
    EvaluationOptions,
    JudgedCollection,
    System,
    compare_systems,
    evaluation_page,
)
from vespa_colbert.evaluate.picture import bytes_text, frontier, trade_off_svg

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = 0.06
"""Places are written with one digit."""


def test_the_front_worked_out_by_hand() -> None:
    points = [(10.0, 0.5), (20.0, 0.4), (20.0, 0.7), (40.0, 0.7), (5.0, 0.1)]

    # 20 bytes for 0.4 loses to 10 for 0.5, and 40 bytes buy nothing that 20 do not have.
    assert frontier(points) == [4, 0, 2]


def test_bytes_are_written_with_three_digits() -> None:
    sizes = (0, 512, 999.6, 1_000, 16_340, 130_400, 1_560_000, 2e9)

    assert list(map(bytes_text, sizes)) == [
        "0 B",
        "512 B",
        "1000 B",
        "1 kB",
        "16.3 kB",
        "130 kB",
        "1.56 MB",
        "2 GB",
    ]


def test_points_lie_where_their_figures_say(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    middle = replace(systems[0], name="middle", fields=stored("bfloat16", math.sqrt(32e6)))
    found = compare_systems(collection, [*systems, middle], options)

    picture = lxml.etree.fromstring(trade_off_svg(found))
    circles = {
        group.find(f"{SVG}title").text.partition(":")[0]: group.find(f"{SVG}circle")
        for group in picture.iter(f"{SVG}g")
    }

    assert set(circles) == {"small", "large", "middle"}
    x = {name: float(circle.get("cx")) for name, circle in circles.items()}
    y = {name: float(circle.get("cy")) for name, circle in circles.items()}
    # 5657 is half way from 1000 to 32000 on a logarithmic scale.
    assert math.isclose(x["middle"], (x["small"] + x["large"]) / 2, abs_tol=DRAWN)
    # A higher measure stands higher, which is a smaller y; equal ones on one height.
    assert y["large"] < y["small"] == y["middle"]
    assert len({circle.get("fill") for circle in circles.values()}) == 3
    names = [each.text for each in picture.iter(f"{SVG}text")]
    # What stores nothing, or does not say, is a line across.
    assert "words 0.000" in names
    assert "theirs 0.250" in names


def test_names_of_points_do_not_meet(collection: JudgedCollection) -> None:
    run = {query: [f"d{query[1:]}"] for query in collection.queries}
    systems = [
        System(name=f"max_sim_float_{number}", run=run, profile="p", fields=stored("float", size))
        for number, size in enumerate((1000, 1000, 1010, 1020, 2000, 2010))
    ]
    found = compare_systems(collection, systems, EvaluationOptions(measures=("R@1",)))

    picture = lxml.etree.fromstring(trade_off_svg(found))
    boxes = []
    for group in picture.iter(f"{SVG}g"):
        text = group.find(f"{SVG}text")
        width, is_left = 6 * len(text.text), text.get("text-anchor") == "end"
        boxes.append((float(text.get("x")) - is_left * width, float(text.get("y")), width))

    for place, (x, y, width) in enumerate(boxes):
        assert x >= 0
        assert x + width <= float(picture.get("width"))
        for other, above, length in boxes[:place]:
            assert x + width <= other or other + length <= x or abs(y - above) >= 11


def test_the_page_needs_no_network_and_runs_nothing(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    hostile = '<script>alert("x")</script>&'
    queries = {**collection.queries, "q1": hostile}
    named = [replace(systems[0], name=hostile), *systems[1:]]
    found = compare_systems(replace(collection, queries=queries), named, options, {"p": hostile})

    text = evaluation_page(found)
    page = lxml.html.fromstring(text)

    assert not page.xpath("//script | //link | //img | //iframe | //@src | //@href")
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    shown = " ".join(page.itertext())
    assert shown.count(hostile) >= 3


def test_the_page_has_table_and_losers(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    page = lxml.html.fromstring(evaluation_page(compare_systems(collection, systems, options)))

    rows = [[cell.text for cell in row] for row in page.xpath("(//table)[1]/tbody/tr")]
    assert rows[0] == [
        "small",
        "1 kB",
        "0.7500",
        "0.5000",
        "-0.2500",
        *rows[0][5:6],
        "0.5000",
        "0.5000",
        "0 / 2",
    ]
    assert [row[0] for row in rows] == ["small", "large", "words", "theirs"]
    details = {each.find("summary").text: each for each in page.iter("details")}
    assert "question 3?" in details["small"].text_content()
    assert "large" not in details


def test_a_picture_without_points_is_drawn(
    collection: JudgedCollection, systems: list[System]
) -> None:
    options = EvaluationOptions(measures=("R@1",))

    picture = lxml.etree.fromstring(
        trade_off_svg(compare_systems(collection, systems[2:], options))
    )

    assert len(list(picture.iter(f"{SVG}circle"))) == 0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_picture_of_one_value_is_drawn(collection: JudgedCollection, value: float) -> None:
    run = {query: [f"d{query[1:]}"] if value else [] for query in collection.queries}
    systems = [System(name="one", run=run, profile="p", fields=stored("int8", 64))]
    found = compare_systems(collection, systems, EvaluationOptions(measures=("R@1",)))

    picture = lxml.etree.fromstring(trade_off_svg(found))

    (circle,) = (group.find(f"{SVG}circle") for group in picture.iter(f"{SVG}g"))
    assert 0 < float(circle.get("cy")) < float(picture.get("height"))
