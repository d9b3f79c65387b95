"""The comparison as a page: summary, blocks side by side, charts."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from vggcost.records import CostTable
from vggcost.report.blocks import grid, shares
from vggcost.report.charts import Bubble, Stack, bubbles, stacked
from vggcost.report.compare_text import cell, headers
from vggcost.report.comparison import Comparison, Row, label
from vggcost.report.html import page
from vggcost.zoo.facts import FACTS, ONE_NET, title_of

__all__ = ["compare_html"]


def compare_html(comparison: Comparison) -> str:
    """Write the page."""
    tables = comparison.tables
    first = tables[0]
    figures = [
        ("Where the parameters and the work sit", _by_block(tables), _BLOCKS),
        ("Error against MACs", _error_against_macs(comparison.rows), _AREA),
        ("Error against depth", _error_against_depth(), _DEPTH),
        ("MACs against measured speed", _speed_against_macs(comparison.rows), _SPEED),
    ]
    return page(
        "compare.html.j2",
        title=f"{len(comparison.rows)} architectures side by side",
        headline=", ".join(row.title for row in comparison.rows)
        + f": {first.run.mode}, convention {first.convention.name}.",
        headers=headers(comparison),
        rows=[(row.title, [cell(row, name) for name in comparison.columns]) for row in comparison.rows],
        baseline=comparison.baseline,
        notes=comparison.notes,
        footnotes=comparison.footnotes,
        nets=[label(table) for table in tables],
        blocks=grid(tables),
        figures=[(title, Markup(svg), text) for title, svg, text in figures if svg],
        convention=first.convention,
        versions=", ".join(f"{name} {version}" for name, version in first.run.versions),
    )


_BLOCKS = (
    "A block is the layers that work at one stride, that is, between two poolings; fc are the fully connected layers. "
    "In the VGG nets these hold most parameters and do almost no work."
)
_AREA = (
    "The area of a disc is the number of parameters. Errors are published figures; the footnotes of the table say how "
    "each was measured, and figures with different footnotes were measured differently."
)
_DEPTH = (
    f"Top-5 error on the ILSVRC-2012 validation set, {ONE_NET}; depth in layers with weights. The protocols differ in "
    "crops and scales: the trend is the message, not the second digit."
)
_SPEED = (
    "Images per second as MatConvNet measured them on one Titan X with cuDNN 5.1. If MACs predicted speed the points "
    "would fall on one falling line; nets with few MACs in large kernels, LRN or thin layers stay below it."
)


def _by_block(tables: Sequence[CostTable]) -> str:
    panels = []
    for what, title, unit, factor in (("params", "parameters", "M", 1e6), ("macs", "MACs", "G", 1e9)):
        names, values = shares(tables, what)
        bars = [Stack(label(t), tuple(value / factor for value in row)) for t, row in zip(tables, values, strict=True)]
        panels.append((title, unit, bars))
    return stacked(panels, names, "Parameters and MACs by block", "stride of the map")


def _points(rows: Sequence[Row], y: str) -> list[Bubble]:
    points = []
    for row in rows:
        macs, value, params = row.values["macs"], row.values[y], row.values["params"]
        if isinstance(macs, int) and isinstance(value, float) and isinstance(params, int):
            points.append(Bubble(row.title, macs / 1e9, value, params / 1e6))
    return points


def _error_against_macs(rows: Sequence[Row]) -> str:
    points = _points(rows, "top5_error")
    return bubbles(points, "Top-5 error against MACs", "GMACs, one image", "top-5 error, %") if points else ""


def _error_against_depth() -> str:
    depth = {fact.model: float(fact.value) for fact in FACTS if fact.quantity == "weight layers"}
    error = {f.model: float(f.value) for f in FACTS if f.quantity == "top-5 error" and f.protocol == ONE_NET}
    points = [Bubble(title_of(model), depth[model], error[model]) for model in depth if model in error]
    return bubbles(points, "Top-5 error against depth", "layers with weights", "top-5 error, %", log="x")


def _speed_against_macs(rows: Sequence[Row]) -> str:
    points = [Bubble(p.name, p.x, p.y) for p in _points(rows, "images_per_s")]
    return bubbles(points, "Images per second against MACs", "GMACs, one image", "images/s", "xy") if points else ""
