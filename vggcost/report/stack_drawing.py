"""How a stack of 3×3 sees as far as one k×k, drawn as SVG."""

from __future__ import annotations

from html import escape

from vggcost.cost.stack import stack_form

__all__ = ["drawing"]

_WIDE, _LEFT, _GAP, _MOST = 900, 8, 66, 7


def drawing(kernel: int) -> str:
    """Draw what one position of the output sees in each map before it: 3, 5, 7, … positions a side.

    Args:
        kernel: k, odd; of more than seven layers the last seven are drawn.

    Returns:
        An `<svg>` element without reference to any host; the same text every run.
    """
    form = stack_form(kernel)
    shown = min(form.layers, _MOST)
    sides = [2 * left + 1 for left in range(shown, -1, -1)]
    cell = min(17.0, (_WIDE - _LEFT - _GAP * shown) / sum(sides))
    tall = sides[0] * cell
    title = f"What one position of the output sees: through {form.layers} × 3×3, and through one {kernel}×{kernel}"
    seen = ", ".join(f"{side}×{side}" for side in reversed(sides))
    about = (
        f"From the output back through the stack: {seen} positions. The single layer sees {kernel}×{kernel} at once."
    )
    last = f", of which the last {shown} are drawn" if shown < form.layers else ""
    plural = "y" if form.layers == 1 else "ies"
    heads = (
        f"{form.layers} × 3×3: {form.stack}C² weights, {form.layers} non-linearit{plural}{last}",
        f"one {kernel}×{kernel}: {form.single}C² weights, 1 non-linearity",
    )
    parts, x, top = [], float(_LEFT), 24.0
    for layer, side in enumerate(sides):
        done = form.layers - shown + layer
        name = "input" if done == 0 else "output" if layer == shown else f"after {done}"
        parts += _map(
            x, top + (tall - side * cell) / 2, side, cell, 3 if layer < shown else 1, f"{name}: {side}×{side}"
        )
        if layer < shown:
            window = x + (side + 3) * cell / 2
            following = x + side * cell + _GAP + (side - 2) * cell / 2 - cell / 2
            parts += _reach(window, following, top + tall / 2, 3 * cell, cell)
        x += side * cell + _GAP
    width = x - _GAP + 60
    small = min(cell, 240 / kernel)
    high = kernel * small
    beside = width + 60 + high + _GAP + 80 <= _WIDE
    at, below = (width + 60, 0.0) if beside else (float(_LEFT), top + tall + 44)
    parts += _map(at, below + top, kernel, small, kernel, f"input: {kernel}×{kernel}")
    output = at + high + _GAP
    parts += _reach(at + high, output, below + top + high / 2, high, small)
    parts += _map(output, below + top + (high - small) / 2, 1, small, 1, "output: 1×1")
    height = max(top + tall, below + top + high) + 24
    width = max(width, output + 80, at + 280, 420)
    return "\n".join(
        [
            f'<svg class="stack" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(title)}" '
            'font-family="system-ui, sans-serif" font-size="11">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(about)}</desc>",
            f'<text class="ink" fill="#222" x="{_LEFT}" y="12" font-weight="600">{heads[0]}</text>',
            f'<text class="ink" fill="#222" x="{at:.0f}" y="{below + 12:.0f}" font-weight="600">{heads[1]}</text>',
            *parts,
            "</svg>",
        ]
    )


def _map(x: float, y: float, side: int, cell: float, window: int, name: str) -> list[str]:
    """The positions that are seen, with those that one position of the next map sees marked."""
    size, inner = side * cell, window * cell
    at = (size - inner) / 2
    lines = "".join(
        f"M{x + i * cell:.1f} {y:.1f}v{size:.1f}M{x:.1f} {y + i * cell:.1f}h{size:.1f}" for i in range(side + 1)
    )
    if cell < 3:  # no room for lines
        lines = f"M{x:.1f} {y:.1f}h{size:.1f}v{size:.1f}h{-size:.1f}z"
    middle = x + size / 2
    anchor, place = ("start", x) if size < 40 else ("middle", middle)
    return [
        f'<rect class="seen" x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{size:.1f}" fill="#cfe3f1"/>',
        f'<rect class="window" x="{x + at:.1f}" y="{y + at:.1f}" width="{inner:.1f}" height="{inner:.1f}" fill="#0072b2"/>',
        f'<path class="axis" d="{lines}" stroke="#777" stroke-width=".6" fill="none"/>',
        f'<text class="ink" fill="#444" x="{place:.1f}" y="{y + size + 14:.1f}" text-anchor="{anchor}">{name}</text>',
    ]


def _reach(start: float, end: float, middle: float, before: float, after: float) -> list[str]:
    """Lines from the positions that are seen to the one that sees them."""
    a, b = before / 2, after / 2
    return [
        f'<path class="axis" d="M{start:.1f} {middle - a:.1f}L{end:.1f} {middle - b:.1f}M{start:.1f} {middle + a:.1f}'
        f'L{end:.1f} {middle + b:.1f}" stroke="#777" stroke-width=".8" stroke-dasharray="3 2" fill="none"/>'
    ]
