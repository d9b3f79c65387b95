"""An architecture drawn to scale: a volume for each layer or block, its cost as its colour.

A volume is as high as its map, and as wide as the root of its number of channels, each to one scale over the whole
drawing: channels grow eightfold and more while maps shrink, and their root keeps both ends of a net legible. Layers that
keep the shape and cost nothing (ReLU, dropout) belong to the volume before. A block whose branches join in it, such as a
residual one, is one volume with an arc over it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any
from urllib.parse import quote

from vggcost.errors import OptionError
from vggcost.inert import inert
from vggcost.records import CostTable, told
from vggcost.report.volumes import Volume, cost_of, source_of, volumes
from vggcost.units import did_you_mean, exact, human_bytes, human_count, percent, shape

__all__ = ["COSTS", "PICTURES", "drawing", "picture", "shade"]

COSTS = {
    "params": ("parameters", human_count, ("#deebf7", "#9ecae1", "#6baed6", "#3182bd", "#08519c")),
    "macs": ("MACs", human_count, ("#feedde", "#fdbe85", "#fd8d3c", "#e6550d", "#a63603")),
    "activation_bytes": ("activation bytes", human_bytes, ("#e5f5e0", "#a1d99b", "#74c476", "#31a354", "#006d2c")),
    "saved_bytes": ("saved bytes", human_bytes, ("#f2f0f7", "#cbc9e2", "#9e9ac8", "#756bb1", "#54278f")),
}
"""What may be shown by colour, and its five shades, light to dark: Brewer's sequential schemes (colorbrewer2.org)."""

_NOTHING = "#f4f4f2"
_HIGH, _WIDE, _GAP, _SLANT = 150.0, 940.0, 11.0, 0.14
_TOP, _LEFT = 34.0, 14.0
_LEAST = 6.0
_TURN = 58
_LINE = 11.0


def shade(value: int, most: int) -> int:
    """Return which of the five shades a share of the largest has; 0: none of it.

    Example:
        >>> [shade(value, 100) for value in (0, 1, 50, 100)]
        [0, 1, 3, 5]
    """
    return 0 if not value or not most else min(5, 1 + 5 * value // most)


@dataclass(frozen=True, slots=True)
class _Box:
    """A volume on the canvas: its front face, how far it goes back, and what is written on it."""

    x: float
    y: float
    wide: float
    high: float
    deep: float
    level: int
    label: str
    text: str
    share: str = ""
    rows: tuple[int, ...] = ()
    name: str = ""
    joins: bool = False
    up: float = 0.0

    @property
    def outline(self) -> list[tuple[float, float]]:
        """The corners of what is seen of it."""
        x, y, w, h, d = self.x, self.y, self.wide, self.high, self.deep
        return [(x, y), (x, y + h), (x + w, y + h), (x + w + d, y + h - d), (x + w + d, y - d), (x + d, y - d)]

    @property
    def above(self) -> tuple[float, float]:
        """Where its share is written."""
        return self.x + (self.wide + self.deep) / 2, self.y - self.deep - 7 - self.up

    @property
    def below(self) -> tuple[float, float]:
        """Where its name is written."""
        return self.x + self.wide / 2 - 3, self.y + self.high + 12

    @property
    def arc(self) -> list[tuple[float, float]]:
        """A curve over it, with its two control points in between."""
        end, top = self.x + self.wide + self.deep, self.y - self.deep
        return [(self.x - 4, top + 6), (self.x, top - 12), (end, top - 12), (end, top)]


@dataclass(frozen=True, slots=True)
class _Canvas:
    """All boxes, from the input to the output, and what a reader must know."""

    width: float
    height: float
    title: str
    note: str
    whole: str
    shades: tuple[str, ...]
    boxes: tuple[_Box, ...]


def _canvas(table: CostTable, cost: str) -> _Canvas:
    """Put the volumes of a net side by side."""
    known = [name for name in COSTS if name != "saved_bytes" or table.run.mode == "training"]
    if cost not in known:
        raise OptionError(f"unknown cost {cost!r}{did_you_mean(cost, known)}; choose one of: {', '.join(known)}")
    told(table.totals.macs)
    found = volumes(table)
    heading, human, shades = COSTS[cost]
    values = [cost_of(table, volume, cost) for volume in found]
    total, most = sum(values), max(values, default=0)
    sizes = source_of(table)
    start = Volume("input", "", (), *sizes)
    scale = _HIGH / max(volume.height for volume in (start, *found))
    roots = sum(volume.channels**0.5 for volume in (start, *found))
    thick = min(2.2, max(_WIDE - _GAP * (len(found) + 1), 240.0) / roots)
    middle = _TOP + _HIGH / 2 + _SLANT * _HIGH / 2
    boxes: list[_Box] = []
    x = _LEFT
    for volume, value in zip((start, *found), (0, *values), strict=True):
        wide, high = max(_LEAST, volume.channels**0.5 * thick), max(3.0, volume.height * scale)
        text = f"{volume.name or '(model)'}{f' ({volume.kind})' if volume.kind else ''}: {_sizes(volume)}"
        if volume.rows:
            text += f"; {human(value)} {'of ' if human is human_bytes else ''}{heading}"
        box = _Box(
            x, middle - high / 2, wide, high, max(2.0, volume.width * scale) * _SLANT, shade(value, most),
            _label(volume.name), text, percent(value, total) if total and value * 20 >= total else "", volume.rows,
            volume.name, volume.joins,
        )  # fmt: skip
        boxes.append(box)
        x += wide + _GAP
    boxes = _labelled(boxes)
    lowest = max(box.below[1] + 10 + 5.2 * len(box.label) for box in boxes)
    note = (
        f"A volume is as high as its map (the highest {exact(max(v.height for v in (start, *found)))}) and as wide as the "
        f"root of its channels; the stronger the colour, the more {heading}"
    )
    right = x + 0.5 * _SLANT * _HIGH + 30
    return _Canvas(right, lowest, f"{table.run.title}, drawn to scale", note, human(total), shades, tuple(boxes))


def _labelled(boxes: Sequence[_Box]) -> list[_Box]:
    """Give the shares places where they do not meet: as they are, or a line or two up; of equal shares all or none."""
    found: list[_Box] = []
    places: list[tuple[float, float]] = []
    missing: set[str] = set()
    for box in boxes:
        tries = [replace(box, up=up) for up in (0.0, _LINE, 2 * _LINE)] if box.share else []
        free = [
            each
            for each in tries
            if each.above[1] > _LINE
            and all(abs(each.above[0] - x) > 38 or abs(each.above[1] - y) >= _LINE for x, y in places)
        ]
        if free:
            places.append(free[0].above)
        elif box.share:
            missing.add(box.share)
        found.append(free[0] if free else box)
    return [replace(box, share="") if box.share in missing else box for box in found]


def drawing(table: CostTable, cost: str = "macs", *, links: bool = True) -> str:
    """Draw a net as SVG.

    Args:
        table: its costs.
        cost: which of `COSTS` is shown by colour.
        links: whether volumes are links to their layers in a page.

    Returns:
        An `<svg>` element without reference to any host; the same text every run.

    Raises:
        OptionError: there is no such cost, or the table does not have it.
    """
    canvas = _canvas(table, cost)
    size = (
        f'viewBox="0 0 {canvas.width:.0f} {canvas.height:.0f}" width="{canvas.width:.0f}" height="{canvas.height:.0f}"'
    )
    lines = [
        f'<svg class="drawing" xmlns="http://www.w3.org/2000/svg" {size} role="{"group" if links else "img"}" '
        f'aria-label="{escape(canvas.title)}" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{escape(canvas.title)}</title>",
        f"<desc>{escape(canvas.note)}{'' if links else f'. Percentages are shares of {canvas.whole}'}.</desc>",
    ]
    for box in canvas.boxes:
        lines += _svg(box, canvas.shades, links and bool(box.rows))
    return "\n".join([*lines, "</svg>"])


def _svg(box: _Box, shades: tuple[str, ...], link: bool) -> Iterator[str]:
    """The faces of a volume, its name below and its share above."""
    x, y, w, h, d = box.x, box.y, box.wide, box.high, box.deep
    colour = shades[box.level - 1] if box.level else _NOTHING
    where = (
        f'class="volume" href="#layer={escape(quote(box.name or "(model)", safe=""))}" data-rows="{_ranges(box.rows)}"'
    )
    yield f"<a {where}>" if link else "<g>"
    yield f"<title>{escape(box.text)}</title>"
    yield (
        f'<path class="q{box.level}" fill="{colour}" stroke="#555" stroke-width=".6" '
        f'd="M{x:.1f} {y:.1f}v{h:.1f}h{w:.1f}l{d:.1f} {-d:.1f}v{-h:.1f}h{-w:.1f}z"/>'
    )
    yield (
        f'<path fill="none" stroke="#555" stroke-width=".6" '
        f'd="M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}m0 {-h:.1f}l{d:.1f} {-d:.1f}"/>'
    )
    if box.joins:
        (a, b), *curve = box.arc
        points = " ".join(f"{p:.1f} {q:.1f}" for p, q in curve)
        yield (f'<path class="axis" fill="none" stroke="#777" stroke-dasharray="3 2" d="M{a:.1f} {b:.1f}C{points}"/>')
    a, b = box.below
    yield (
        f'<text class="ink" fill="#444" transform="translate({a:.1f} {b:.1f}) rotate({_TURN})">{escape(box.label)}</text>'
    )
    if box.rows:
        a, b = box.above
        up = f' dy="{-box.up:.0f}"' if box.up else ""
        yield (
            f'<text class="ink share" fill="#222" font-size="11" font-weight="600" x="{a:.1f}" y="{b + box.up:.1f}"{up} '
            f'text-anchor="middle">{box.share}</text>'
        )
    yield "</a>" if link else "</g>"


PICTURES = ("svg", "png", "pdf")


def picture(table: CostTable, form: str = "svg", cost: str = "macs") -> bytes:
    """Draw a net as a file.

    Args:
        table: its costs.
        form: `svg`, `png` (200 dots an inch) or `pdf`.
        cost: as for `drawing`.

    Returns:
        The bytes of the file; the same every run.
    """
    table = inert(table)
    if form == "svg":
        return (drawing(table, cost, links=False) + "\n").encode()
    import matplotlib
    from matplotlib.figure import Figure

    canvas = _canvas(table, cost)
    figure = Figure(figsize=(canvas.width / 72, canvas.height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, canvas.width), ylim=(canvas.height, 0))
    axes.axis("off")
    for box in canvas.boxes:
        _paint(axes, box, canvas.shades)
    out = io.BytesIO()
    dated = {"CreationDate": None, "ModDate": None} if form == "pdf" else {}
    with matplotlib.rc_context({"pdf.fonttype": 42, "font.family": "sans-serif"}):
        figure.savefig(out, format=form, dpi=200, metadata={"Title": canvas.title, **dated})
    return out.getvalue()


def _paint(axes: Any, box: _Box, shades: tuple[str, ...]) -> None:
    """The same as `_svg`, by matplotlib."""
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    x, y, w, h, d = box.x, box.y, box.wide, box.high, box.deep
    line: dict[str, Any] = {"edgecolor": "#555555", "linewidth": 0.5}
    axes.add_patch(Polygon(box.outline, facecolor=shades[box.level - 1] if box.level else _NOTHING, zorder=2, **line))
    edges = Path([(x, y), (x + w, y), (x + w, y + h), (x + w, y), (x + w + d, y - d)], [1, 2, 2, 1, 2])
    axes.add_patch(PathPatch(edges, facecolor="none", zorder=2, **line))
    if box.joins:
        arc = Path(box.arc, [1, 4, 4, 4])
        axes.add_patch(
            PathPatch(arc, facecolor="none", edgecolor="#777777", linewidth=0.7, linestyle=(0, (3, 2)), zorder=2)
        )
    plain = {"parse_math": False, "zorder": 3}  # a name may hold a $
    turned = {"rotation": -_TURN, "rotation_mode": "anchor", "ha": "left", "va": "baseline"}
    axes.text(*box.below, box.label, fontsize=8, color="#444444", **turned, **plain)
    axes.text(*box.above, box.share, fontsize=7.5, color="#222222", weight="bold", ha="center", va="bottom", **plain)


def _sizes(volume: Volume) -> str:
    flat = volume.height == volume.width == 1
    return shape((volume.channels,) if flat else (volume.channels, volume.height, volume.width))


def _label(name: str) -> str:
    """Shorten a path to its last part, or two where that is a number.

    Example:
        >>> _label("features.0.conv"), _label("transformer.h.11"), _label("")
        ('conv', 'h.11', '(model)')
    """
    parts = name.split(".")
    last = ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]
    return "(model)" if not last else last if len(last) <= 18 else "…" + last[-17:]


def _ranges(rows: Iterable[int]) -> str:
    """Write positions in short.

    Example:
        >>> _ranges((0, 1, 2, 5))
        '0-2 5'
    """
    found: list[list[int]] = []
    for row in rows:
        if found and row == found[-1][1] + 1:
            found[-1][1] = row
        else:
            found.append([row, row])
    return " ".join(f"{a}-{b}" if a < b else str(a) for a, b in found)
