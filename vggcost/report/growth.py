"""How the receptive field grows from layer to layer, as SVG."""

from __future__ import annotations

from html import escape
from math import ceil

from vggcost.records import CostTable, Extent
from vggcost.report.view import layer_name
from vggcost.units import exact

__all__ = ["growth"]

_WIDE, _HIGH, _LEFT, _TOP, _BELOW = 900, 190, 46, 14, 26


def _pixels(value: Extent) -> int:
    return value if isinstance(value, int) else max(value or (0,))


def growth(table: CostTable) -> str:
    """Draw the receptive field of each layer that has a map; empty where there are fewer than two of them.

    Returns:
        An `<svg>` element without reference to any host; the same text every run.
    """
    known = [(layer_name(layer), _pixels(layer.receptive_field)) for layer in table.layers if layer.receptive_field]
    if len(known) < 2:
        return ""
    side = max((size for record in table.run.inputs[:1] for size in record.shape[2:]), default=0)
    most = max(side, *(pixels for _, pixels in known))
    step = _WIDE / len(known)

    def y(pixels: float) -> float:
        return _TOP + _HIGH * (1 - pixels / most)

    line = f"M{_LEFT} {y(known[0][1]):.1f}" + "".join(
        f"V{y(pixels):.1f}H{_LEFT + step * (i + 1):.1f}" for i, (_, pixels) in enumerate(known)
    )
    title = f"Receptive field of the layers of {table.run.title}"
    first, last = known[0], known[-1]
    described = (
        f"From {exact(first[1])} px at {first[0]} to {exact(last[1])} px at {last[0]}; the input has {exact(side)}."
    )
    parts = [
        f'<svg class="growth" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDE + 8} {_TOP + _HIGH + _BELOW}" '
        f'width="{_LEFT + _WIDE + 8}" height="{_TOP + _HIGH + _BELOW}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(described)}</desc>",
    ]
    for value in _round(most):
        parts.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f}h{_WIDE}" stroke="#ddd"/>')
        parts.append(
            f'<text class="ink" fill="#444" x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{exact(value)}</text>'
        )
    if side:
        parts.append(f'<path class="axis" d="M{_LEFT} {y(side):.1f}h{_WIDE}" stroke="#777" stroke-dasharray="2 4"/>')
    parts.append(f'<path class="line" d="{line}" fill="none" stroke="#0072b2" stroke-width="1.8"/>')
    for i, text in _named([name for name, _ in known], step):
        parts.append(
            f'<text class="ink" fill="#444" x="{_LEFT + step * (i + 0.5):.1f}" y="{_TOP + _HIGH + 16}" '
            f'text-anchor="middle">{escape(text)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _round(most: int) -> list[int]:
    """Marks of an axis: four or five steps of 1, 2 or 5 times a power of ten."""
    size = 10 ** (len(str(most)) - 1)
    step = next(s for s in (size // 5 or 1, size // 2 or 1, size, 2 * size) if most / s <= 5)
    return list(range(0, most + 1, step))


def _named(names: list[str], step: float) -> list[tuple[int, str]]:
    """The names that there is room for, the first and others at even distances."""
    every = max(1, ceil(92 / (int(step) if step >= 1 else step or 1)))
    return [(i, name if len(name) <= 16 else "…" + name[-15:]) for i, name in enumerate(names) if i % every == 0]
