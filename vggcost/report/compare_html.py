"""The comparison as a page: summary, charts, blocks and layers side by side, and the argument of 3×3 against 7×7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from vggcost.errors import InputError
from vggcost.records import NOT_RUN, CostTable, told
from vggcost.report.blocks import blocks_of, grid, heading, shares
from vggcost.report.compare_data import data_of, mode_of, pair_of, pair_rows, titles
from vggcost.report.compare_text import cell, error, headers
from vggcost.report.comparison import COLUMNS, Comparison, Row
from vggcost.report.html import page
from vggcost.report.scatter import MARKS, Point, scatter
from vggcost.report.script import json_text
from vggcost.report.stack import on_paper, stack_values
from vggcost.report.stacked import stacked
from vggcost.units import exact, human_count
from vggcost.zoo.facts import FACTS, ONE_NET, title_of

__all__ = ["compare_html"]


def compare_html(comparison: Comparison) -> str:
    """Write the page."""
    rows = comparison.rows
    tables = [comparison.tables[row.at] for row in rows]
    names = titles([row.title for row in rows])
    for name, table in zip(names, tables, strict=True):
        if table.totals.macs is None:
            raise InputError(f"{name}: {NOT_RUN}, or compare the parameters with --format table")
    first = tables[0]
    left, right = pair_of(comparison)
    alike = len(tables) > 1
    stack = stack_values(on_paper())
    data = data_of(comparison, tables, names) | {"pair": [left, right], "stack": stack.pop("start")}
    return page(
        "compare.html.j2",
        modules=("theme", "compare"),
        styles=("report.css", "compare.css"),
        title=names[0] if len(names) == 1 else f"{len(names)} architectures side by side",
        headline=_headline(tables, names),
        headers=headers(comparison),
        rows=[(name, [cell(row, column) for column in comparison.columns]) for name, row in zip(names, rows, strict=True)],
        choices=[(name, column.title) for name, column in COLUMNS.items()],
        baseline=comparison.baseline,
        notes=comparison.notes,
        footnotes=comparison.footnotes,
        nets=names,
        identities=[model["id"] for model in data["models"]],
        blocks=grid(tables),
        shares=Markup(_by_block(tables, names)),
        apart=any(sum(b.params for b in blocks_of(t).values()) != t.totals.params for t in tables),
        figures=list(_figures(comparison, names)),
        pair=(names[left], names[right]) if alike else (),
        pair_rows=pair_rows(tables[left], tables[right]) if alike else (),
        pair_totals=[(exact(t.totals.params), exact(told(t.totals.macs))) for t in (tables[left], tables[right])],
        convention=first.convention,
        run=mode_of(tables),
        command=comparison.command,
        versions=", ".join(f"{name} {version}" for name, version in first.run.versions),
        data=Markup(json_text(data)),
        **stack,
    )  # fmt: skip


def _headline(tables: Sequence[CostTable], names: Sequence[str]) -> str:
    """Say between what the models lie."""
    parts = []
    for name, unit in (("params", "parameters"), ("macs", "MACs")):
        values = [getattr(table.totals, name) for table in tables]
        low, high = min(values), max(values)
        if low == high:
            parts.append(f"{human_count(high, '')} {unit}" if unit != "MACs" else human_count(high, unit))
            continue
        ends = [f"{human_count(value)} ({names[values.index(value)]})" for value in (low, high)]
        times = f", ×{high / low:.1f}" if low else ""
        parts.append(f"from {ends[0]} to {ends[1]} {unit}{times}")
    sentences = ["; ".join(parts), mode_of(tables)]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in sentences if text)


_ERRORS = (
    "Errors are published figures; each mark stands for one way of measuring, and only nets that were measured alike can be "
    "compared."
)
_DEPTH = (
    f"Depth in layers with weights. Beside the nets of this page stand the winners of ILSVRC and VGG, {ONE_NET}: the trend "
    "is the message, not the second digit."
)
_SPEED = (
    "Images per second as MatConvNet measured them on one Titan X with cuDNN 5.1. If MACs predicted speed the points "
    "would fall on one falling line; nets with few MACs in large kernels, LRN or thin layers stay below it."
)
_BEST = (
    " A line joins the nets of one way of measuring than which none has fewer MACs and a smaller error; their marks are "
    "filled. The area of a disc is the number of parameters."
)


def _by_block(tables: Sequence[CostTable], names: Sequence[str]) -> str:
    panels = []
    parts: list[str] = []
    for what, title in (("params", "parameters"), ("macs", "MACs")):
        parts, values = shares(tables, what)
        panels.append((title, values))
    long = [(part, heading(part)) for part in parts]
    about = "For each model its parameters and its MACs by the stride of the map; the table of blocks has the figures."
    return stacked(names, long, panels, "Parameters and MACs by block", about)


def _figures(comparison: Comparison, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The charts of points, each with its table."""
    rows, protocols = comparison.rows, [text for _, text in comparison.footnotes]
    marks = [mark for mark, _ in comparison.footnotes]
    x = "MACs, one input" if all(table.run.batch == 1 for table in comparison.tables) else "MACs"
    series = {mark: at for at, mark in enumerate(marks)}
    points = list(_points(rows, names, "macs", "top5_error", series))
    if points:
        yield _figure("Top-5 error against MACs", points, x, "top-5 error, %", _ERRORS + _BEST, protocols, best=True)
    deep = list(_points(rows, names, "weight_layers", "top5_error", series))
    known = {(point.name, point.y) for point in deep}
    winners = [p for p in _winners(len(protocols)) if (p.name, p.y) not in known]
    if deep:
        yield _figure(
            "Top-5 error against depth", [*deep, *winners], "layers with weights", "top-5 error, %", f"{_ERRORS} {_DEPTH}",
            [*protocols, f"{ONE_NET}; as the VGG paper and He et al. quote them"],
        )  # fmt: skip
    fast = list(_points(rows, names, "macs", "images_per_s", {}))
    if fast:
        yield _figure("Images per second against MACs", fast, x, "images/s", _SPEED, [""], log_y=True)


def _points(rows: Sequence[Row], names: Sequence[str], x: str, y: str, series: dict[str, int]) -> Iterator[Point]:
    for at, (row, name) in enumerate(zip(rows, names, strict=True)):
        across, up, params = row.values[x], row.values[y], row.values["params"]
        if isinstance(across, int) and isinstance(up, float) and isinstance(params, int) and across:
            area = float(params) if (x, y) == ("macs", "top5_error") else 0.0
            yield Point(name, across, up, series.get(row.mark, 0), area, at)


def _winners(series: int) -> Iterator[Point]:
    depth = {fact.model: int(fact.value) for fact in FACTS if fact.quantity == "weight layers"}
    for fact in FACTS:
        if fact.quantity == "top-5 error" and fact.protocol == ONE_NET and fact.model in depth:
            yield Point(title_of(fact.model), depth[fact.model], float(fact.value), series)


def _figure(
    title: str, points: Sequence[Point], x: str, y: str, text: str, series: Sequence[str], *, best: bool = False,
    log_y: bool = False,
) -> dict[str, Any]:  # fmt: skip
    svg = scatter(points, title, x, y, series=series, best=best, log_x=True, log_y=log_y)
    listed = sorted(points, key=lambda point: (point.x, point.name))
    figures = [(p.name, exact(int(p.x)), error(p.y), series[p.series]) for p in listed]
    return {
        "title": title, "svg": Markup(svg), "text": text, "rows": figures, "headers": ("model", x, y),
        "measured": any(series), "marks": len(MARKS),
    }  # fmt: skip
