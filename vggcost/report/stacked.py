"""Two columns of bars made of parts, as SVG: where the parameters and the work of each model sit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from vggcost.report.axes import Axis, marks, number, width_of
from vggcost.units import human_count, percent

__all__ = ["Panel", "ramp", "stacked"]

Panel = tuple[str, Sequence[Sequence[int]]]
"""What a column shows, and for each model its parts."""

_ROW, _LEFT, _PANEL, _VALUE, _TOP = 22, 150, 330, 62, 52
_STOPS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")  # viridis: even in lightness for any colour vision


def ramp(count: int) -> list[str]:
    """Return colours from dark to light, each well apart from the next.

    Example:
        >>> ramp(2)
        ['#440154', '#fde725']
    """
    found = []
    for index in range(count):
        at = index * (len(_STOPS) - 1) / max(count - 1, 1)
        low = min(int(at), len(_STOPS) - 2)
        pairs = zip(_channels(_STOPS[low]), _channels(_STOPS[low + 1]), strict=True)
        found.append("#" + "".join(f"{round(a + (b - a) * (at - low)):02x}" for a, b in pairs))
    return found


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _ink(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour (by the luminance of Rec. 709)."""
    red, green, blue = _channels(colour)
    return "#000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 120 else "#fff"


def stacked(
    names: Sequence[str], parts: Sequence[tuple[str, str]], panels: Sequence[Panel], title: str, about: str
) -> str:
    """Draw a row for each model; its parts stand side by side in each column.

    Args:
        names: of the models.
        parts: short and long name of each part, in order.
        panels: the columns.
        title: of the chart.
        about: what it shows, in a sentence.

    Returns:
        An `<svg>` element without reference to any host; the same text every run.
    """
    width, height = _LEFT + len(panels) * (_PANEL + _VALUE), _TOP + _ROW * len(names) + 8
    last = bool(parts) and parts[-1][0] == "fc"
    colours = [*ramp(len(parts) - last), *(["#c9c9c4"] if last else [])]
    most = [max((sum(row) for row in rows), default=0) or 1 for _, rows in panels]
    scales = [Axis(0, top, at, at + _PANEL, log=False) for top, at in zip(most, _starts(len(panels)), strict=True)]
    svg = [
        f'<svg class="stacked" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="group" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(about)}</desc>",
        *_legend(parts, colours),
    ]
    for (heading, _), scale in zip(panels, scales, strict=True):
        svg.append(f'<text class="ink" fill="#222" x="{scale.start}" y="36" font-weight="600">{escape(heading)}</text>')
        for mark in marks(0, scale.high):
            at = scale.place(mark)
            svg.append(f'<path class="grid" d="M{at:.1f} {_TOP - 2}V{height - 6}" stroke="#ddd"/>')
            if mark:
                svg.append(
                    f'<text class="ink" fill="#444" x="{at:.1f}" y="{_TOP - 5}" text-anchor="middle" font-size="10">{number(mark)}</text>'
                )
    for model, name in enumerate(names):
        svg.append(
            f'<a class="bar" href="#m{model}" data-model="{model}" transform="translate(0 {_TOP + _ROW * model})">'
        )
        svg.append(
            f'<text class="ink" fill="#222" x="{_LEFT - 8}" y="15" text-anchor="end">{escape(_short(name))}</text>'
        )
        for (heading, rows), scale in zip(panels, scales, strict=True):
            svg += _bar(name, heading, rows[model], parts, colours, scale)
        svg.append("</a>")
    return "\n".join([*svg, "</svg>"])


def _starts(count: int) -> list[float]:
    return [_LEFT + index * (_PANEL + _VALUE) for index in range(count)]


def _legend(parts: Sequence[tuple[str, str]], colours: Sequence[str]) -> Iterable[str]:
    x = float(_LEFT)
    for (_, name), colour in zip(parts, colours, strict=True):
        yield f'<rect class="part" x="{x:.0f}" y="4" width="12" height="12" fill="{colour}" stroke="#777" stroke-width=".5"/>'
        yield f'<text class="ink" fill="#444" x="{x + 16:.0f}" y="14">{escape(name)}</text>'
        x += 30 + width_of(name)


def _bar(
    name: str, heading: str, row: Sequence[int], parts: Sequence[tuple[str, str]], colours: Sequence[str], scale: Axis
) -> Iterable[str]:
    total = sum(row)
    below = 0
    for value, (short, long), colour in zip(row, parts, colours, strict=True):
        if not value:
            continue
        start, end = scale.place(below), scale.place(below + value)
        below += value
        text = f"{name}, {long}: {human_count(value)} {heading}, {percent(value, total)}"
        yield (
            f'<rect class="part" x="{start:.1f}" y="2" width="{max(end - start, 0.4):.1f}" height="{_ROW - 5}" fill="{colour}">'
            f"<title>{escape(text)}</title></rect>"
        )
        if end - start > width_of(short, 10) + 5:
            yield (
                f'<text x="{(start + end) / 2:.1f}" y="14" text-anchor="middle" font-size="10" fill="{_ink(colour)}">{escape(short)}</text>'
            )
    yield f'<text class="ink" fill="#444" x="{scale.place(below) + 5:.1f}" y="15">{human_count(total)}</text>'


def _short(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"
