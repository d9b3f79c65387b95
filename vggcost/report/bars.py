"""Three aligned columns of bars as SVG: parameters, MACs and activation bytes of each layer.

Plain shapes with their own colours, so that the picture stands alone in Markdown; a page's style
may recolour it through its classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vggcost.records import CostTable, LayerCost, Totals
from vggcost.report.nesting import deepest_of, deepest_that
from vggcost.report.view import fold, layer_name
from vggcost.units import human_bytes, human_count, percent

__all__ = ["bars"]

_ROW, _TOP, _LABEL, _PANEL, _GAP, _VALUE = 17, 34, 132, 226, 24, 46
_MOST_ROWS = 64
_PANELS = (
    ("params", "parameters", "#0072b2", human_count),
    ("macs", "MACs", "#d55e00", human_count),
    ("activation_bytes", "activation bytes", "#009e73", human_bytes),
)  # colours: Okabe & Ito 2008, told apart with any colour vision


def bars(table: CostTable, depth: int | None = None) -> str:
    """Draw the picture; layers that cost nothing in any of the three are left out.

    Returns:
        An `<svg>` element without reference to any host; the same text every run.
    """
    layers, note, level = _chosen(table, depth)
    step = _PANEL + _VALUE + _GAP
    width, height = _LABEL + 3 * step - _GAP, _TOP + _ROW * len(layers) + 4
    title = f"Parameters, MACs and activation bytes of each layer of {table.run.title}{note}"
    parts = [
        f'<svg class="bars" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" data-depth="{level}" role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif"'
        ' font-size="11">',
        f"<title>{escape(title)}</title>",
    ]
    places = [_LABEL + number * step for number in range(len(_PANELS))]
    for x, (name, heading, _, human) in zip(places, _PANELS, strict=True):
        parts.append(
            f'<text class="ink" x="{x}" y="16" fill="#444"><tspan font-weight="600">{heading}</tspan>'
            f" {human(getattr(table.totals, name))}</text>"
        )
        parts.append(f'<path class="axis" d="M{x}.5 {_TOP - 6}V{height - 2}" stroke="#bbb" fill="none"/>')
    most = {name: max((getattr(layer, name) for layer in layers), default=0) for name, *_ in _PANELS}
    for row, layer in enumerate(layers):
        y = _TOP + row * _ROW
        name = layer_name(layer)
        parts.append(
            f'<g data-path="{escape(_path(layer))}"><title>{escape(name)}</title>'
            f'<text class="ink" x="{_LABEL - 8}" y="{y + 12}" text-anchor="end" fill="#444">{escape(_shortened(name))}</text>'
        )
        for x, (what, _, colour, _) in zip(places, _PANELS, strict=True):
            value = getattr(layer, what)
            if not value:
                continue
            length = max(1.0, _PANEL * value / most[what])
            parts.append(
                f'<rect class="{what}" x="{x + 1}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 4}" fill="{colour}"/>'
                f'<text class="ink" x="{x + length + 6:.1f}" y="{y + 12}" fill="#444">'
                f"{escape(percent(value, getattr(table.totals, what)))}</text>"
            )
        parts.append("</g>")
    parts.append("</svg>")
    return "\n".join(parts)


def _chosen(table: CostTable, depth: int | None) -> tuple[Sequence[LayerCost], str, int]:
    """The layers worth a bar: all, or folded, or the largest, so that the picture stays readable; and the depth."""
    deepest = deepest_of(table)

    def at(level: int) -> list[LayerCost]:
        return [layer for layer in fold(table, level) if _costs(layer)]

    level = deepest_that(lambda level: len(at(level)) <= _MOST_ROWS, min(depth or deepest, deepest))
    found = at(level or 1)
    if level:
        return found, "" if level == deepest else f", folded to depth {level}", level
    ranked = sorted(range(len(found)), key=lambda i: -_share(found[i], table.totals))
    kept = set(ranked[: _MOST_ROWS - 1])
    rest = [layer for i, layer in enumerate(found) if i not in kept]
    sums = {name: sum(getattr(layer, name) for layer in rest) for name, *_ in _PANELS}
    other = rest[0]._replace(path=f"{len(rest)} other layers", call=1, **sums)
    return [found[i] for i in sorted(kept)] + [other], f": the {_MOST_ROWS - 1} largest of {len(found)}", 1


def _costs(layer: LayerCost) -> bool:
    return any(getattr(layer, name) for name, *_ in _PANELS)


def _share(layer: LayerCost, totals: Totals) -> float:
    """The largest share that a layer has in any of the three columns."""
    shares = [getattr(layer, name) / (getattr(totals, name) or 1) for name, *_ in _PANELS]
    return float(max(shares))


def _path(layer: LayerCost) -> str:
    """Name a row as the page's script does."""
    return (layer.path or "(model)") + (f":{layer.call}" if layer.call > 1 else "")


def _shortened(name: str, limit: int = 20) -> str:
    return name if len(name) <= limit else "…" + name[1 - limit :]
