"""Charts by matplotlib as inline SVG: the same bytes every run, no reference to any host, text stays text.

matplotlib writes inline styles, which a page's content security policy forbids; they become
attributes here, and black becomes the colour of the page's text, so that the dark theme works.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Bubble", "Stack", "bubbles", "figure_and_axes", "inline", "lines", "stacked"]

# Okabe & Ito 2008, told apart with any colour vision
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#332288", "#882255", "#117733")


@dataclass(frozen=True, slots=True)
class Bubble:
    """A point of a scatter chart; the area of its disc stands for `area`."""

    name: str
    x: float
    y: float
    area: float = 0.0


@dataclass(frozen=True, slots=True)
class Stack:
    """A bar made of parts, in the order of the chart's groups."""

    name: str
    parts: tuple[float, ...]


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _axes(figure: Any, title: str, x: str, y: str, *position: int) -> Any:
    axes = figure.add_subplot(*position)
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def figure_and_axes(title: str, x: str, y: str, width: float = 6.2, height: float = 4.2) -> tuple[Any, Any]:
    """Return an empty figure and its axes, in the style of all charts."""
    figure = _figure(width, height)
    return figure, _axes(figure, title, x, y, 1, 1, 1)


def inline(figure: Any, title: str, description: str) -> str:
    """Turn a figure into an `<svg>` element for a page."""
    import matplotlib

    out = io.StringIO()
    salt = re.sub(r"\W+", "-", title)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' style="([^"]*)"', _attributes, text)
    text = re.sub(r'(fill|stroke)="(#000000|black)"', r'\1="currentColor"', text)
    names = sorted(set(re.findall(r'\bid="([^"]+)"', text)), key=len, reverse=True)
    for name in names:  # two charts of a page must not share an id
        text = text.replace(f'id="{name}"', f'id="{salt}-{name}"').replace(f"#{name})", f"#{salt}-{name})")
        text = text.replace(f'href="#{name}"', f'href="#{salt}-{name}"')
    text = text.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    head = (
        f'<svg class="chart" role="img" aria-label="{title}" stroke-linejoin="round" stroke-linecap="butt" '
        'fill="currentColor" '
    )
    text = text.replace("<svg ", head, 1)
    first = text.index(">") + 1
    return f"{text[:first]}<title>{title}</title><desc>{description}</desc>{text[first:]}"


def _attributes(found: re.Match[str]) -> str:
    """`style="fill: #fff; font: 8px 'Sans'"` as presentation attributes."""
    parts = []
    for rule in found[1].split(";"):
        key, _, value = (part.strip() for part in rule.partition(":"))
        if key == "font":
            size = re.search(r"([\d.]+)px", value)
            weight = ' font-weight="bold"' if "bold" in value or re.search(r"\b700\b", value) else ""
            parts.append(f'font-size="{size[1] if size else 10}" font-family="system-ui, sans-serif"{weight}')
        elif key:
            parts.append(f'{key}="{value}"'.replace("'", ""))
    return (" " + " ".join(parts)) if parts else ""


def bubbles(points: Sequence[Bubble], title: str, x: str, y: str, log: str = "") -> str:
    """Draw named points, with discs where they have an area; `log` names the logarithmic axes."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure = _figure(6.2, 4.2)
    axes = _axes(figure, title, x, y, 1, 1, 1)
    largest = max((point.area for point in points), default=0)
    for point in points:
        size = 1400 * point.area / largest if largest else 36
        axes.scatter([point.x], [point.y], s=[size], color=PALETTE[0], alpha=0.35 if largest else 0.9, linewidths=0)
        if largest:
            axes.scatter([point.x], [point.y], s=[5], color=PALETTE[0], linewidths=0)
    _label_points(axes, points)
    for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        if name in log:
            values = sorted({getattr(point, name) for point in points})
            axes.set(**{f"{name}scale": "log"})
            axis.set_major_locator(FixedLocator(_spread(values)))
            axis.set_major_formatter(
                FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 100 else f"{value:.3g}")
            )
            axis.set_minor_locator(NullLocator())
    axes.margins(0.16)
    axes.grid(alpha=0.25, linewidth=0.6)
    described = "; ".join(f"{point.name}: {point.x:g}, {point.y:g}" for point in points)
    return inline(figure, title, f"{x} and {y}. {described}")


def _spread(values: Sequence[float], ratio: float = 1.13) -> list[float]:
    """The values themselves as ticks of a logarithmic axis, without those too close to the one before."""
    ticks: list[float] = []
    for value in values:
        if not ticks or value >= ticks[-1] * ratio:
            ticks.append(value)
    return ticks


def _label_points(axes: Any, points: Sequence[Bubble]) -> None:
    """Put names beside points, moving a name up where two would overlap."""
    low, high = min(p.y for p in points), max(p.y for p in points)
    gap = (high - low or 1) * 0.055
    taken: list[tuple[float, float]] = []
    span = max(p.x for p in points) - min(p.x for p in points) or 1
    for point in sorted(points, key=lambda p: p.y):
        y = point.y
        while any(abs(y - other) < gap and abs(point.x - near) < 0.2 * span for near, other in taken):
            y += gap
        taken.append((point.x, y))
        axes.annotate(point.name, (point.x, y), (7, 4), textcoords="offset points", fontsize=8.5, va="center")


def stacked(panels: Sequence[tuple[str, str, Sequence[Stack]]], groups: Sequence[str], title: str, legend: str) -> str:
    """Draw horizontal stacked bars, one panel beside the other.

    Args:
        panels: for each its title, the unit of its axis, and its bars.
        groups: names of the parts, in order.
        title: the chart's.
        legend: the title of the legend.
    """
    count = len(panels[0][2])
    figure = _figure(9.4, 1.5 + 0.34 * count)
    for number, (name, unit, bars) in enumerate(panels, 1):
        axes = _axes(figure, name, unit, "", 1, len(panels), number)
        places = list(range(count))
        left = [0.0] * count
        for index, group in enumerate(groups):
            sizes = [bar.parts[index] for bar in bars]
            axes.barh(places, sizes, left=left, height=0.68, color=PALETTE[index % len(PALETTE)], label=group)
            left = [a + b for a, b in zip(left, sizes, strict=True)]
        axes.set_yticks(places, [bar.name for bar in bars] if number == 1 else [""] * count)
        axes.invert_yaxis()
    handles, names = figure.axes[0].get_legend_handles_labels()
    legend_at = "outside lower center"
    figure.legend(handles, names, title=legend, loc=legend_at, ncols=len(groups), fontsize=8.5, frameon=False)
    described = "; ".join(
        f"{name}, {bar.name}: "
        + ", ".join(f"{group} {part:.4g}" for group, part in zip(groups, bar.parts, strict=True))
        for name, _, bars in panels
        for bar in bars
    )
    return inline(figure, title, described)


def lines(series: Sequence[tuple[str, Sequence[float], Sequence[float]]], title: str, x: str, y: str,
          finish: Callable[[Any], None] | None = None) -> str:  # fmt: skip
    """Draw lines with markers and a legend."""
    figure = _figure(6.2, 4.0)
    axes = _axes(figure, title, x, y, 1, 1, 1)
    for number, (name, xs, ys) in enumerate(series):
        axes.plot(xs, ys, marker="osD^v"[number % 5], markersize=4, color=PALETTE[number], label=name, linewidth=1.6)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.legend(fontsize=8.5, frameon=False)
    if finish is not None:
        finish(axes)
    described = "; ".join(
        f"{name}: " + ", ".join(f"{a:g} → {b:g}" for a, b in zip(xs, ys, strict=True)) for name, xs, ys in series
    )
    return inline(figure, title, described)
