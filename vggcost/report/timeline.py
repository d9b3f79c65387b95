"""The bytes that are alive during a training step, by role, as SVG."""

from __future__ import annotations

from html import escape
from math import floor, log10

from vggcost.cost.memory import ROLES
from vggcost.cost.step import MemoryReport
from vggcost.units import human_bytes

__all__ = ["ticks", "timeline_svg"]

_WIDE, _HIGH, _LEFT, _TOP, _BELOW = 860, 220, 84, 30, 44
_COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8c8c8c",
    "#8172d5",
    "#882255",
    "#117733",
)
_MOMENTS = 180


_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def ticks(most: int) -> list[tuple[int, str]]:
    """List round numbers of bytes up to the largest, each with its text.

    Example:
        >>> ticks(585000000)
        [(0, '0'), (104857600, '100 MiB'), (209715200, '200 MiB'), (314572800, '300 MiB'), (419430400, '400 MiB'), (524288000, '500 MiB')]
    """
    size, prefix = next(((size, prefix) for size, prefix in _UNITS if most >= 2 * size), _UNITS[-1])
    top = most / size
    power: int = 10 ** max(0, floor(log10(top / 4)))
    step = power * next((each for each in (1, 2, 5) if top / (power * each) <= 6), 10)
    return [(value * size, f"{value} {prefix}" if value else "0") for value in range(0, int(top) + 1, step)]


def timeline_svg(found: MemoryReport, where: str) -> str:
    """Draw live bytes by role over the ops of a step, stacked from the bottom up, with the peak marked.

    Args:
        found: of which step.
        where: a sentence on the peak, for those who do not see the picture.

    Returns:
        An `<svg>` element without reference to any host; the same text every run.
    """
    total, peak = found.timeline.total, found.peak
    stretch = -(-len(total) // _MOMENTS)
    # A stretch of ops is drawn as the moment of it with most bytes, so that roles add up and no peak is lost.
    places = [
        max(range(start, min(start + stretch, len(total))), key=total.__getitem__)
        for start in range(0, len(total), stretch)
    ]
    most = max(peak.bytes, 1)

    def x(op: int) -> float:
        return _LEFT + _WIDE * op / max(1, len(total) - 1)

    def y(nbytes: int) -> float:
        return _TOP + _HIGH * (1 - nbytes / most)

    title = f"Live bytes over the ops of a training step of {found.run.title}"
    high = _TOP + _HIGH + _BELOW
    parts = [
        f'<svg class="timeline" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDE + 12} {high}" '
        f'width="{_LEFT + _WIDE + 12}" height="{high}" data-axis="{_TOP} {_HIGH} {most}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(where)}</desc>",
    ]
    for value, text in ticks(most):
        parts.append(
            f'<g class="tick" transform="translate(0 {y(value):.1f})"><path class="grid" d="M{_LEFT} 0h{_WIDE}" stroke="#ddd"/>'
            f'<text class="ink" fill="#444" x="{_LEFT - 6}" y="4" text-anchor="end">{text}</text></g>'
        )
    below = [0] * len(places)
    shown = [role for role in ROLES if max(found.timeline.bytes[role], default=0)]
    for number, role in enumerate(shown):
        series = found.timeline.bytes[role]
        above = [low + series[op] for low, op in zip(below, places, strict=True)]
        there = [f"{x(op):.0f} {y(value):.1f}" for op, value in zip(places, above, strict=True)]
        back = [f"{x(op):.0f} {y(value):.1f}" for op, value in zip(places, below, strict=True)]
        colour = _COLOURS[ROLES.index(role) % len(_COLOURS)]
        parts.append(
            f'<path d="M{"L".join(there)}L{"L".join(reversed(back))}z" fill="{colour}"><title>{role}</title></path>'
        )
        parts.append(f'<rect x="{_LEFT + 108 * number}" y="{high - 16}" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text class="ink" fill="#444" x="{_LEFT + 108 * number + 16}" y="{high - 6}">{role}</text>')
        below = above
    for name in ("backward", "optimizer"):
        if name in found.timeline.phases:
            at = x(found.timeline.phases.index(name))
            parts.append(f'<path class="axis" d="M{at:.1f} {_TOP}v{_HIGH}" stroke="#777" stroke-dasharray="2 3"/>')
            parts.append(f'<text class="ink" fill="#444" x="{at + 4:.1f}" y="{_TOP + _HIGH + 14}">{name}</text>')
    at = x(peak.op_index)
    side = "end" if at > _LEFT + _WIDE - 80 else "middle"
    parts.append(f'<path class="mark" d="M{at:.1f} {_TOP}l-5 -8h10z" fill="#222"/>')
    parts.append(
        f'<text class="ink" fill="#222" x="{at:.1f}" y="{_TOP - 13}" text-anchor="{side}" font-weight="600">'
        f'peak <tspan data-f="{peak.bytes} bytes">{human_bytes(peak.bytes)}</tspan></text>'
    )
    return "\n".join([*parts, "</svg>"])
