"""Lines with marks and their names at the end, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vggcost.report.axes import axis, number, width_of
from vggcost.report.scatter import MARKS

__all__ = ["Curve", "curves"]

Curve = tuple[str, Sequence[float], Sequence[float]]
"""A name, places on the horizontal axis, and values there."""

_WIDE, _HIGH, _LEFT, _TOP, _BELOW = 480, 230, 52, 34, 42
_COLOURS = ("#0072b2", "#c2540a", "#00755a", "#6a51a3")
_DASHES = ("", "7 4", "2 3", "9 3 2 3")


def curves(lines: Sequence[Curve], title: str, x: str, y: str, marks: Sequence[float] = ()) -> str:
    """Draw lines on two even axes.

    Args:
        lines: what to draw.
        title: of the chart.
        x: what the horizontal axis shows.
        y: what the vertical axis shows.
        marks: of the horizontal axis; none: round values.

    Returns:
        An `<svg>` element without reference to any host; the same text every run.
    """
    across = axis([value for _, places, _ in lines for value in places], _LEFT, _LEFT + _WIDE, room=0.04)
    up = axis([0.0, *(value for _, _, values in lines for value in values)], _TOP + _HIGH, _TOP, room=0.0)
    right = max(width_of(name) for name, _, _ in lines) + 14
    width, height = _LEFT + _WIDE + right, _TOP + _HIGH + _BELOW
    described = "; ".join(
        f"{name}: " + ", ".join(f"{a:g} → {b:g}" for a, b in zip(places, values, strict=True))
        for name, places, values in lines
    )
    parts = [
        f'<svg class="curves" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'height="{height}" role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(described)}</desc>",
        f'<text class="ink" fill="#222" x="0" y="14" font-weight="600">{escape(title)}</text>',
    ]
    bottom = _TOP + _HIGH
    for mark in marks or across.marks():
        at = across.place(mark)
        parts.append(
            f'<text class="ink" fill="#444" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{number(mark)}</text>'
        )
    for mark in up.marks():
        at = up.place(mark)
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}h{_WIDE}" stroke="#ddd"/>')
        parts.append(
            f'<text class="ink" fill="#444" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(mark)}</text>'
        )
    for value in lines[0][1]:
        parts.append(
            f'<path class="now" data-at="{value:g}" d="M{across.place(value):.1f} {_TOP}V{bottom}" stroke="none"/>'
        )
    for kind, (_, places, values) in enumerate(lines):
        there = [f"{across.place(a):.1f} {up.place(b):.1f}" for a, b in zip(places, values, strict=True)]
        parts.append(
            f'<path class="pareto s{kind}" d="M{"L".join(there)}" fill="none" stroke="{_COLOURS[kind]}" stroke-width="1.6" '
            f'stroke-dasharray="{_DASHES[kind]}"/>'
        )
        parts += [
            f'<path class="mark s{kind}" transform="translate({place})" d="{MARKS[kind]}" fill="{_COLOURS[kind]}"/>'
            for place in there
        ]
    parts += [
        f'<text class="ink" fill="#222" x="{_LEFT + _WIDE + 4}" y="{at:.1f}" font-weight="600">{escape(name)}</text>'
        for name, at in _ends([(name, up.place(values[-1]) + 4) for name, _, values in lines])
    ]
    parts.append(
        f'<text class="ink" fill="#222" x="{_LEFT + _WIDE}" y="{bottom + 36}" text-anchor="end" font-weight="600">{escape(x)} →</text>'
    )
    parts.append(
        f'<text class="ink" fill="#222" transform="translate(12 {_TOP + _HIGH / 2}) rotate(-90)" text-anchor="middle" '
        f'font-weight="600">{escape(y)} →</text>'
    )
    return "\n".join([*parts, "</svg>"])


def _ends(names: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Move names that would lie on one another apart."""
    found: list[tuple[str, float]] = []
    for name, at in sorted(names, key=lambda item: item[1]):
        found.append((name, max(at, found[-1][1] + 14) if found else at))
    return found
