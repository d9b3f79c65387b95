"""Named points on two axes, as SVG: discs by size, marks by how a figure was measured, and the line of the best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from vggcost.report.axes import Axis, axis, number, width_of

__all__ = ["MARKS", "Point", "pareto", "scatter", "span"]

_WIDE, _HIGH, _LEFT, _TOP, _BELOW, _RIGHT = 920, 400, 58, 14, 44, 12
_LABELLED = 24
"""Of more points than this those on the lines of the best are named for sure, others if there is room beside them."""

MARKS = (
    "M0-5a5 5 0 1 0 .01 0z",
    "M-4.5-4.5h9v9h-9z",
    "M0-5.8L5.5 4.2h-11z",
    "M0-6L6 0 0 6-6 0z",
    "M0 5.8L5.5-4.2h-11z",
    "M-1.8-5.5h3.6v3.7h3.7v3.6h-3.7v3.7h-3.6v-3.7h-3.7v-3.6h3.7z",
)
"""Paths of the marks around their middle: disc, square, triangle, diamond, triangle downwards, cross."""

_COLOURS = ("#0072b2", "#c2540a", "#00755a", "#6a51a3", "#585858", "#882255")
_DASHES = ("", "7 4", "2 3", "9 3 2 3")


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a chart.

    Attributes:
        name: what it is called.
        x: its value on the horizontal axis.
        y: on the vertical one.
        series: how its figures were measured; points of one series share a mark.
        area: what the area of its disc stands for.
        model: position of its model in the page; None: it is not one of them.
    """

    name: str
    x: float
    y: float
    series: int = 0
    area: float = 0.0
    model: int | None = None


def pareto(points: Sequence[Point]) -> list[Point]:
    """List the points than which no other is as good on both axes and better on one; small is good.

    Example:
        Of (1, 9), (2, 5), (3, 7) and (4, 4) these are (1, 9), (2, 5) and (4, 4): (3, 7) costs more than (2, 5) and errs more.
    """
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, p.y)):
        if not best or point.y < best[-1].y or (point.x, point.y) == (best[-1].x, best[-1].y):
            best.append(point)
    return best


def scatter(
    points: Sequence[Point],
    title: str,
    x: str,
    y: str,
    *,
    series: Sequence[str] = ("",),
    best: bool = False,
    log_x: bool = False,
    log_y: bool = False,
    crowd: Sequence[Point] = (),
) -> str:
    """Draw points with their names, none of which lies on another.

    Args:
        points: what to draw.
        title: of the chart.
        x: what the horizontal axis shows.
        y: what the vertical axis shows.
        series: the names of the series, in order.
        best: whether the line of the best of each series is drawn.
        log_x: whether the horizontal axis is logarithmic.
        log_y: the same of the vertical one.
        crowd: points behind them that are dots without names.

    Returns:
        An `<svg>` element without reference to any host; the same text every run. Empty without points.
    """
    if not points:
        return ""
    shown = [at for at in range(len(series)) if any(p.series == at for p in points)]
    legend = 20 * len(shown) if len(shown) > 1 or series[shown[0]] else 0
    top = _TOP + legend
    across, up = span([*points, *crowd], top, log_x=log_x, log_y=log_y)
    lines = {at: pareto([p for p in points if p.series == at]) for at in shown} if best else {}
    chosen = {id(point) for line in lines.values() if len(line) > 1 for point in line}
    ordered = sorted(points, key=lambda p: (p.x, p.y, p.name))
    labels = _labels(ordered, chosen, across, up, top, lines.values())
    largest = max(point.area for point in points)
    width, height = _LEFT + _WIDE + _RIGHT, top + _HIGH + _BELOW
    parts = [
        f'<svg class="scatter" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="group" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(_described(lines, x, y, series))}</desc>",
        *_frame(across, up, top, x, y),
        *_legend(shown, series, lines),
        *_dots(crowd, across, up),
        *(_disc(point, across, up, largest) for point in sorted(ordered, key=lambda p: -p.area) if point.area),
    ]
    for at, line in lines.items():
        if len(line) > 1:
            first, *rest = line
            steps = "".join(f"H{across.place(p.x):.1f}V{up.place(p.y):.1f}" for p in rest)
            parts.append(
                f'<path class="pareto s{at % len(MARKS)}" d="M{across.place(first.x):.1f} {up.place(first.y):.1f}{steps}" fill="none" '
                f'stroke="{_COLOURS[at % len(MARKS)]}" stroke-width="1.6" stroke-dasharray="{_DASHES[at % len(_DASHES)]}"/>'
            )
    for point, label in zip(ordered, labels, strict=True):
        parts.append(_point(point, label, across, up, id(point) in chosen or not best, x, y))
    return "\n".join([*parts, "</svg>"])


def span(points: Sequence[Point], top: float = _TOP, *, log_x: bool = False, log_y: bool = False) -> tuple[Axis, Axis]:
    """Return the two axes on which all points have a place, in a chart without a legend unless `top` says otherwise."""
    across = axis([p.x for p in points], _LEFT, _LEFT + _WIDE, log=log_x)
    return across, axis([p.y for p in points], top + _HIGH, top, log=log_y, room=0.09)


def _dots(crowd: Sequence[Point], across: Axis, up: Axis) -> Iterable[str]:
    """Draw a crowd as one path of round caps."""
    if crowd:
        steps = "".join(f"M{across.place(p.x):.0f} {up.place(p.y):.0f}h0" for p in crowd)
        yield f'<path class="crowd" d="{steps}" fill="none" stroke="#777" stroke-width="5" stroke-linecap="round" stroke-opacity=".45"/>'


def _described(lines: dict[int, list[Point]], x: str, y: str, series: Sequence[str]) -> str:
    text = f"{x} to the right, {y} upwards; the table below the chart has the figures."
    for at, line in lines.items():
        if len(line) > 1:
            of = f" of those measured as {series[at]}" if series[at] else ""
            text += f" Best{of}: {', '.join(point.name for point in line)}."
    return text


def _frame(across: Axis, up: Axis, top: float, x: str, y: str) -> Iterable[str]:
    bottom = top + _HIGH
    for mark in across.marks():
        at = across.place(mark)
        yield f'<path class="grid" d="M{at:.1f} {top}V{bottom}" stroke="#ddd"/>'
        yield f'<text class="ink" fill="#444" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{number(mark)}</text>'
    for mark in up.marks():
        at = up.place(mark)
        yield f'<path class="grid" d="M{_LEFT} {at:.1f}h{_WIDE}" stroke="#ddd"/>'
        yield f'<text class="ink" fill="#444" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(mark)}</text>'
    yield f'<path class="axis" d="M{_LEFT} {top}V{bottom}H{_LEFT + _WIDE}" fill="none" stroke="#777"/>'
    yield f'<text class="ink" fill="#222" x="{_LEFT + _WIDE}" y="{bottom + 36}" text-anchor="end" font-weight="600">{escape(x)} →</text>'
    middle = top + _HIGH / 2
    yield (
        f'<text class="ink" fill="#222" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle" '
        f'font-weight="600">{escape(y)} →</text>'
    )


def _legend(shown: Sequence[int], series: Sequence[str], lines: dict[int, list[Point]]) -> Iterable[str]:
    if len(shown) == 1 and not series[shown[0]]:
        return
    for row, at in enumerate(shown):
        kind, height = at % len(MARKS), _TOP - 4 + 20 * row
        line = f'<path class="pareto s{kind}" d="M{_LEFT} {height}h34" stroke="{_COLOURS[kind]}" stroke-width="1.6" stroke-dasharray="{_DASHES[at % len(_DASHES)]}"/>'
        yield line if len(lines.get(at, ())) > 1 else ""
        yield f'<path class="mark s{kind}" transform="translate({_LEFT + 17} {height})" d="{MARKS[kind]}" fill="{_COLOURS[kind]}"/>'
        yield f'<text class="ink" fill="#444" x="{_LEFT + 42}" y="{height + 4}">{escape(series[at])}</text>'


def _disc(point: Point, across: Axis, up: Axis, largest: float) -> str:
    radius = 30 * (point.area / largest) ** 0.5
    model = "" if point.model is None else f' data-model="{point.model}"'
    kind = point.series % len(MARKS)
    return (
        f'<circle class="area s{kind}"{model} cx="{across.place(point.x):.1f}" cy="{up.place(point.y):.1f}" '
        f'r="{max(radius, 1):.1f}" fill="{_COLOURS[kind]}" fill-opacity=".13"/>'
    )


@dataclass(frozen=True, slots=True)
class _Label:
    """Where a name stands from its point, and whether only while the point is looked at."""

    dx: float
    dy: float
    anchor: str
    quiet: bool = False


def _point(point: Point, label: _Label, across: Axis, up: Axis, full: bool, x: str, y: str) -> str:
    kind = point.series % len(MARKS)
    text = f"{point.name}: {number(point.x)} {x}, {point.y:g} {y}"
    fill = _COLOURS[kind] if full else "#fff"
    far = abs(label.dx) > 16 or abs(label.dy) > 16
    # The line ends at the side of the name that is nearer to the point.
    leader = f'<path class="axis" d="M0 0L{label.dx:.0f} {label.dy - 4 if label.dy < 0 or abs(label.dx) > 16 else label.dy - 9:.0f}" stroke="#777" stroke-width=".7"/>'
    inside = (
        f"<title>{escape(text)}</title>"
        f"{leader if far else ''}"
        f'<path class="mark s{kind}{"" if full else " open"}" d="{MARKS[kind]}" fill="{fill}" stroke="{_COLOURS[kind]}" stroke-width="1.6"/>'
        f'<text class="ink{" quiet" if label.quiet else ""}" fill="#222" x="{label.dx:.0f}" y="{label.dy:.0f}" '
        f'text-anchor="{label.anchor}">{escape(point.name)}</text>'
    )
    place = f'transform="translate({across.place(point.x):.1f} {up.place(point.y):.1f})"'
    if point.model is None:
        return f'<g class="point" {place}>{inside}</g>'
    return f'<a class="point" href="#m{point.model}" data-model="{point.model}" {place}>{inside}</a>'


_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
_FAR = (9, 18, 30, 44, 60, 80, 104)


def _labels(
    points: Sequence[Point], chosen: set[int], across: Axis, up: Axis, top: float, lines: Iterable[Sequence[Point]]
) -> list[_Label]:
    """Find a place for each name where it covers no mark, no line and no other name, near its point."""
    places = [(across.place(p.x), up.place(p.y)) for p in points]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    for line in lines:
        for a, b in pairwise(line):
            taken.append((across.place(a.x), up.place(a.y) - 1, across.place(b.x), up.place(a.y) + 1))
            taken.append((across.place(b.x) - 1, up.place(a.y), across.place(b.x) + 1, up.place(b.y)))
    crowded = len(points) > _LABELLED
    order = sorted(range(len(points)), key=lambda i: (id(points[i]) not in chosen, places[i][1], places[i][0]))
    found: dict[int, _Label] = {}
    for i in order:
        wide = width_of(points[i].name)
        beyond = places[i][0] + 9 + wide > _LEFT + _WIDE
        found[i] = _Label(-9 if beyond else 9, 4, "end" if beyond else "start", quiet=True)
        near_only = crowded and id(points[i]) not in chosen and points[i].model is not None
        for far in _FAR[:1] if near_only else _FAR:
            label = next(
                (label for label, box in _around(places[i], wide, far) if _inside(box, top) and not _hits(box, taken)),
                None,
            )
            if label is not None:
                found[i] = label
                taken.append(_box(places[i], label, wide))
                break
    return [found[i] for i in range(len(points))]


Box = tuple[float, float, float, float]


def _around(place: tuple[float, float], wide: float, far: float) -> Iterable[tuple[_Label, Box]]:
    for right, down in _SIDES:
        dx = right * far if not down else right * far * 0.75
        dy = 4 + down * (far if not right else far * 0.75) + (2 if down > 0 else 0)
        label = _Label(dx, dy, {1: "start", -1: "end", 0: "middle"}[right])
        yield label, _box(place, label, wide)


def _box(place: tuple[float, float], label: _Label, wide: float) -> Box:
    x, y = place[0] + label.dx, place[1] + label.dy
    left = {"start": x, "end": x - wide, "middle": x - wide / 2}[label.anchor]
    return left, y - 10, left + wide, y + 3


def _inside(box: Box, top: float) -> bool:
    return box[0] > _LEFT + 2 and box[2] < _LEFT + _WIDE and box[1] > top and box[3] < top + _HIGH


def _hits(box: Box, others: Iterable[Box]) -> bool:
    return any(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in others)
