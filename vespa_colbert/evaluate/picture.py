"""The trade-off as one SVG: a measure, with its interval, against the bytes of a document.

What stores nothing of a document, or does not say, is a line across. Points that nothing beats in
both respects are joined.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vespa_colbert.evaluate.evaluation import Evaluation, Row
from vespa_colbert.tensor import TensorType

__all__ = ["bytes_text", "frontier", "trade_off_svg"]

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 24, 56
LETTER, LINE = 7.0, 13.0
"""Width of a letter and height of a line of a label, about."""

COLOURS = {"float": "#0072b2", "bfloat16": "#009e73", "int8": "#d55e00"}
"""Cell type → colour; all can be told apart without red and green."""

OTHER_COLOUR = "#7a4fa3"

STYLE = """
.trade-off text { font: 12px system-ui, sans-serif; fill: #222; }
.trade-off .axis { stroke: #444; } .trade-off .grid { stroke: #e4e4e4; }
.trade-off .front { fill: none; stroke: #999; stroke-width: 1.5; }
.trade-off .across { stroke: #666; stroke-dasharray: 6 4; }
.trade-off .leader { stroke: #bbb; }
.trade-off .name { paint-order: stroke; stroke: #fff; stroke-width: 4px; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Values → places on the paper.

    Attributes:
        least: The value at the start.
        most: The value at the end.
        start: Place of the least.
        end: Place of the most.
    """

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.least) / (self.most - self.least)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """A rectangle on the paper."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: _Box) -> bool:
        """Return whether they share a place."""
        beside = self.x >= other.x + other.width or other.x >= self.x + self.width
        above = self.y >= other.y + other.height or other.y >= self.y + self.height
        return not (beside or above)

    @property
    def fits(self) -> bool:
        """Whether it is on the paper, inside of the axes."""
        inside = self.x >= LEFT + 2 and self.x + self.width <= WIDTH - 4
        return inside and self.y >= TOP and self.y + self.height <= HEIGHT - BOTTOM


def trade_off_svg(evaluation: Evaluation) -> str:
    """Return the picture of an evaluation, by its one measure, as the text of an SVG element."""
    measure = evaluation.options.measure
    points = [row for row in evaluation.rows if row.system.bytes]
    across = [row for row in evaluation.rows if not row.system.bytes]
    x, y = _scales(points, evaluation.rows, measure)
    title = f"{measure} against bytes a document"
    body = [
        *_grid(x, y, measure),
        *_across(across, y, measure),
        *_front(points, x, y, measure),
        *_points(points, x, y, measure),
        *_legend(points),
    ]
    return (
        f'<svg class="trade-off" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(body)}</svg>'
    )


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of points that no other beats, by rising bytes.

    Args:
        points: Bytes and value; fewer bytes and a higher value are better.
    """
    found: list[int] = []
    best = -math.inf
    for place in sorted(range(len(points)), key=lambda each: (points[each][0], -points[each][1])):
        if points[place][1] > best:
            best = points[place][1]
            found.append(place)
    return found


def bytes_text(value: float) -> str:
    """Return a number of bytes as people write it, with three digits."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if value >= 1000**power:
            return f"{_three_digits(value / 1000**power)} {unit}"
    return f"{_three_digits(value)} B"


def _three_digits(value: float) -> str:
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e" in text else text


def _scales(points: Sequence[Row], rows: Sequence[Row], measure: str) -> tuple[_Scale, _Scale]:
    """Return the scale of the logarithm of bytes, and that of the measure."""
    logs = [math.log10(row.system.bytes or 1) for row in points] or [0.0, 1.0]
    ends = [end for row in rows for end in (*row.intervals[measure], row.means[measure])]
    margin = max(0.05 * (max(ends) - min(ends)), 1e-3)
    x = _Scale(least=min(logs) - 0.12, most=max(logs) + 0.12, start=LEFT, end=WIDTH - RIGHT)
    y = _Scale(least=min(ends) - margin, most=max(ends) + margin, start=HEIGHT - BOTTOM, end=TOP)
    return x, y


def _grid(x: _Scale, y: _Scale, measure: str) -> Iterator[str]:
    """Yield axes, their marks and what they are."""
    bottom, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in _marks(y.least, y.most):
        place = y(value)
        yield _line("grid", LEFT, place, end, place)
        yield _text(LEFT - 8, place + 4, f"{value:.3g}", anchor="end")
    for value in _powers(x.least, x.most):
        place = x(math.log10(value))
        yield _line("grid", place, TOP, place, bottom)
        yield _text(place, bottom + 18, bytes_text(value), anchor="middle")
    yield _line("axis", LEFT, bottom, end, bottom)
    yield _line("axis", LEFT, TOP, LEFT, bottom)
    yield _text((LEFT + end) / 2, HEIGHT - 14, "bytes a document (logarithmic)", anchor="middle")
    yield (
        f'<text transform="rotate(-90)" x="{-(TOP + bottom) / 2:.1f}" y="18" '
        f'text-anchor="middle">{html.escape(measure)}</text>'
    )


def _marks(least: float, most: float) -> Iterator[float]:
    """Yield round numbers between two, about six of them."""
    rough = (most - least) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
    for number in range(math.ceil(least / step), math.floor(most / step) + 1):
        yield number * step


def _powers(least: float, most: float) -> list[float]:
    """Return 1, 2, 5, 10 and so on between two logarithms; fewer where they would stand close."""
    every = [
        base * 10.0**power
        for power in range(math.floor(least), math.ceil(most) + 1)
        for base in (1, 2, 5)
    ]
    inside = [each for each in every if least <= math.log10(each) <= most]
    tens = [each for each in inside if math.log10(each).is_integer()]
    return tens if len(inside) > 10 and tens else inside


def _across(rows: Sequence[Row], y: _Scale, measure: str) -> Iterator[str]:
    """Yield a line and a name for each system without bytes; names that would meet move down."""
    end, last = WIDTH - RIGHT, -math.inf
    for row in sorted(rows, key=lambda each: -each.means[measure]):
        place = y(row.means[measure])
        last = max(place, last + LINE)
        yield _line("across", LEFT, place, end, place)
        yield _text(end + 6, last + 4, f"{row.system.name} {row.means[measure]:.3f}")


def _front(points: Sequence[Row], x: _Scale, y: _Scale, measure: str) -> Iterator[str]:
    """Yield the line through the points that no other beats."""
    values = [(row.system.bytes or 1.0, row.means[measure]) for row in points]
    best = [values[place] for place in frontier(values)]
    if len(best) > 1:
        places = (f"{x(math.log10(size)):.1f},{y(value):.1f}" for size, value in best)
        yield f'<polyline class="front" points="{" ".join(places)}"/>'


def _points(points: Sequence[Row], x: _Scale, y: _Scale, measure: str) -> Iterator[str]:
    """Yield interval, point and name of each system; names stand where there is room."""
    places = [(x(math.log10(row.system.bytes or 1)), y(row.means[measure])) for row in points]
    taken = [_Box(x=left - 5, y=top - 5, width=10, height=10) for left, top in places]
    for row, (left, top) in zip(points, places, strict=True):
        low, high = (y(end) for end in row.intervals[measure])
        colour = _colour(row)
        box = _room(left, top, row.system.name, taken)
        taken.append(box)
        yield (
            f"<g><title>{html.escape(_described(row, measure))}</title>"
            f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{low:.1f}" y2="{high:.1f}" '
            f'stroke="{colour}" opacity="0.35" stroke-width="2"/>'
            f"{_leader(box, left, top)}"
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4.5" fill="{colour}"/>'
            f"{_name(box, left, row.system.name)}</g>"
        )


def _room(left: float, top: float, name: str, taken: Sequence[_Box]) -> _Box:
    """Return where a name stands: the nearest place that meets nothing, else beside the point."""
    width = LETTER * len(name)
    starts, height = (left + 9, left - 9 - width), top - LINE / 2
    nearest_first = (
        _Box(x=start, y=height + sign * step * LINE * 0.6, width=width, height=LINE)
        for step, sign, start in itertools.product(range(24), (-1, 1), starts)
    )
    free = (box for box in nearest_first if box.fits and not any(box.meets(each) for each in taken))
    return next(free, _Box(x=left + 9, y=height, width=width, height=LINE))


def _name(box: _Box, left: float, name: str) -> str:
    """Return a name in its box, at the side of its point."""
    is_right = box.x > left
    place, anchor = (box.x, "start") if is_right else (box.x + box.width, "end")
    return _text(place, box.y + LINE - 3, name, anchor=anchor, kind="name")


def _leader(box: _Box, left: float, top: float) -> str:
    """Return a line from a point to a name that stands away from it."""
    middle = box.y + LINE / 2
    if abs(middle - top) < LINE:
        return ""
    end = box.x - 2 if box.x > left else box.x + box.width + 2
    return _line("leader", left, top, end, middle)


def _legend(points: Sequence[Row]) -> Iterator[str]:
    """Yield the colours of the cell types that there are."""
    found = dict.fromkeys((_cells(row), _colour(row)) for row in points)
    start = WIDTH - RIGHT + 16
    for number, (cells, colour) in enumerate(found):
        place = HEIGHT - BOTTOM - 16 * (len(found) - number)
        yield f'<circle cx="{start}" cy="{place}" r="4.5" fill="{colour}"/>'
        yield _text(start + 10, place + 4, cells)


def _cells(row: Row) -> str:
    """Return the cell types that a system stores."""
    types = (TensorType.parse(each.type) for each in row.system.fields)
    return " and ".join(dict.fromkeys(each.cell_type.value for each in types))


def _colour(row: Row) -> str:
    return COLOURS.get(_cells(row), OTHER_COLOUR)


def _described(row: Row, measure: str) -> str:
    low, high = row.intervals[measure]
    return (
        f"{row.system.name}: {measure} {row.means[measure]:.4f} ({low:.4f} to {high:.4f}), "
        f"{bytes_text(row.system.bytes or 0)} a document"
    )


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "mark") -> str:
    place = f'class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}>{html.escape(text)}</text>"
