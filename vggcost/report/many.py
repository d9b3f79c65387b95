"""Thousands of models: what a sweep found, as a table, and as a page with the models that nothing beats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vggcost.errors import OptionError
from vggcost.inert import as_json, csv_lines, inert
from vggcost.report.grid import Grid, markdown
from vggcost.report.scatter import Point, pareto, scatter, span
from vggcost.report.script import json_text, safe_number
from vggcost.units import did_you_mean, exact, human_bytes, human_count

__all__ = ["FIGURES", "MANY_FORMATS", "Many", "many", "render_many"]

FIGURES = {
    "params": "params",
    "macs": "MACs",
    "flops": "FLOPs",
    "activations": "activations",
    "activation_bytes": "activation bytes",
    "param_bytes": "param bytes",
    "backward_macs": "backward MACs",
    "saved_bytes": "saved bytes",
    "weight_layers": "weight layers",
    "error": "error %",
}
"""What a table of models may show, and what an axis may be."""
_SHOWN = ("params", "macs", "flops", "activations", "activation_bytes")
_APART = ("batch", "shapes", "mode", "convention", "dtype", "options")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Many:
    """Rows that ran, in order, with the columns shown.

    Attributes:
        rows: those of the sweep, each with its `error` where one is known.
        names: one for each row, no two alike unless rows are.
        columns: names of `FIGURES`.
        x: the figure of the horizontal axis.
        y: that of the vertical one.
        front: positions of the rows that nothing beats: no other row is as small in both and smaller in one.
        failed: why the other rows did not run, and the names of their models.
    """

    rows: tuple[Row, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...]
    x: str
    y: str
    front: tuple[int, ...]
    failed: tuple[tuple[str, tuple[str, ...]], ...]


def many(
    rows: Sequence[Row],
    failed: Mapping[str, Sequence[str]],
    *,
    columns: Sequence[str] = (),
    sort: str | None = None,
    x: str = "macs",
    y: str = "",
    errors: Mapping[str, float] | None = None,
) -> Many:
    """Lay out the rows of a sweep that ran.

    Args:
        rows: of a sweep.
        failed: models that did not run, by the reason.
        columns: names of `FIGURES`; none: the usual ones.
        sort: a column, with a leading `-` the largest first.
        x: the first figure of the front.
        y: the second; empty: the error where errors are given, activation bytes otherwise.
        errors: published errors by model, in percent.

    Raises:
        OptionError: there is no such figure, or nothing to lay out.
    """
    up = y or ("error" if errors else "activation_bytes")
    for name in (*columns, x, up, *([sort.lstrip("-")] if sort else [])):
        if name not in FIGURES:
            raise OptionError(f"no column {name!r}{did_you_mean(name, FIGURES)}; columns: {', '.join(FIGURES)}")
    found = [{**row, "error": (errors or {}).get(row["model"])} for row in rows if row["status"] == "ok"]
    if sort:
        key, order = sort.lstrip("-"), -1 if sort.startswith("-") else 1
        known = sorted((row for row in found if row[key] is not None), key=lambda row: order * row[key])
        found = known + [row for row in found if row[key] is None]
    if not found:
        raise OptionError("no model of this sweep ran; its rows say why")
    shown = tuple(columns) or (*_SHOWN, *(["error"] if errors else []))
    points = _points(found, x, up)
    front = tuple(point.series for point in pareto(points))
    reasons = tuple((reason, tuple(dict.fromkeys(names))) for reason, names in failed.items())
    return Many(tuple(found), tuple(_names(found)), shown, x, up, front, reasons)


def _points(rows: Sequence[Row], x: str, y: str) -> list[Point]:
    """Make the points of rows that have both figures; an axis by powers of ten has no place for 0."""
    return [Point("", float(row[x]), float(row[y]), at) for at, row in enumerate(rows) if row[x] and row[y]]


def _names(rows: Sequence[Row]) -> list[str]:
    """Name each row by its model, and by what tells rows of one model apart."""
    by_model: dict[str, list[Row]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    found = []
    for row in rows:
        alike = by_model[row["model"]]
        apart = [name for name in _APART if len({other[name] for other in alike}) > 1]
        found.append(
            " · ".join([row["model"], *(f"{row[name]}" if name != "batch" else f"N={row[name]}" for name in apart)])
        )
    return found


def _form(name: str) -> str:
    return "bytes" if name.endswith("_bytes") else "plain" if name in ("error", "weight_layers") else "count"


_WRITE: dict[str, Callable[[Any], str]] = {
    "bytes": human_bytes,
    "plain": lambda value: f"{value:g}",
    "count": human_count,
}


def _cell(row: Row, name: str) -> str:
    return "–" if row[name] is None else _WRITE[_form(name)](row[name])


_PLURAL = {"mode": "modes", "convention": "conventions", "batch": "batches", "versions": "versions"}


def _lines(found: Many) -> list[str]:
    """Say what a reader must know: how many there are, what the marks mean, how they were run, what failed."""
    front = f"◆ none is at least as small in both {FIGURES[found.x]} and {FIGURES[found.y]}, and smaller in one"
    alike, differ = [], []
    for name in ("mode", "convention", "batch", "versions"):
        values = list(dict.fromkeys(str(row[name]) for row in found.rows))
        if len(values) > 1:
            differ.append(f"{_PLURAL[name]} differ: {_listed(values)}")
        else:
            alike.append(values[0] if name in ("mode", "versions") else f"{name} {values[0]}")
    lines = [f"{exact(len(found.rows))} rows; {front}", ", ".join(filter(None, alike)), *differ]
    lines += [f"{exact(len(names))} did not run: {reason} ({_listed(names)})" for reason, names in found.failed]
    return list(filter(None, lines))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {exact(len(names) - 5)} more" if len(names) > 5 else "")


def _grid(found: Many, chosen: Sequence[int]) -> Grid:
    titles = ("", "model", *(FIGURES[name] for name in found.columns))
    front = set(found.front)
    rows = [
        ("◆" if at in front else "", found.names[at], *(_cell(found.rows[at], name) for name in found.columns))
        for at in chosen
    ]
    return Grid(titles, tuple(rows), tuple(_lines(found)), left=(0, 1))


def _table(found: Many) -> str:
    grid = _grid(found, range(len(found.rows)))
    widths = [max(map(len, column)) for column in zip(grid.titles, *grid.rows, strict=True)]
    lines = [
        "  ".join(
            text.ljust(wide) if at in grid.left else text.rjust(wide)
            for at, (text, wide) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (grid.titles, *grid.rows)
    ]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:], "", *grid.notes]) + "\n"


def _csv(found: Many) -> str:
    front = set(found.front)
    rows = [
        [row["model"], *(str(row[name]) for name in _APART), *(row[name] for name in found.columns), int(at in front)]
        for at, row in enumerate(found.rows)
    ]
    return csv_lines([["model", *_APART, *found.columns, "front"], *rows])


def _json(found: Many) -> str:
    front = set(found.front)
    rows = [
        {"model": row["model"], **{name: row[name] for name in (*_APART, *found.columns)}, "front": at in front}
        for at, row in enumerate(found.rows)
    ]
    data = {"schema": 1, "x": found.x, "y": found.y, "rows": rows, "failed": dict(found.failed)}
    return as_json(data)


def _html(found: Many) -> str:
    from markupsafe import Markup

    from vggcost.report.html import page

    points = _points(found.rows, found.x, found.y)
    front = [Point(found.names[p.series], p.x, p.y) for p in pareto(points)]
    chosen = set(found.front)
    crowd = [point for point in points if point.series not in chosen]
    x, y = FIGURES[found.x], FIGURES[found.y]
    drawn: dict[str, Any] = {"log_x": True, "log_y": found.y != "error"}
    across, up = span(points, **drawn) if points else (None, None)
    places = {p.series: [round(across.place(p.x)), round(up.place(p.y))] for p in points} if across and up else {}
    data = {
        "columns": [{"name": name, "title": FIGURES[name], "form": _form(name)} for name in found.columns],
        "front": list(found.front),
        "rows": [
            [name, *([safe_number(v) if isinstance(v, int) else v for v in (row[c] for c in found.columns)]), *places.get(at, ())]
            for at, (name, row) in enumerate(zip(found.names, found.rows, strict=True))
        ],
    }  # fmt: skip
    grid = _grid(found, found.front)
    return page(
        "many.html.j2",
        modules=("theme", "many"),
        styles=("report.css", "compare.css"),
        title=f"{exact(len(found.rows))} runs of {exact(len({row['model'] for row in found.rows}))} models",
        lines=_lines(found),
        x=x,
        y=y,
        error=found.y == "error",
        chart=Markup(scatter(front, f"{y} against {x}", x, y, best=True, crowd=crowd, **drawn)),
        headers=grid.titles[1:],
        rows=[row[1:] for row in grid.rows],
        failed=[(reason, len(names), ", ".join(names)) for reason, names in found.failed],
        data=Markup(json_text(data)),
    )


_RENDERERS: dict[str, Callable[[Many], str]] = {
    "table": _table,
    "markdown": lambda found: markdown(_grid(found, range(len(found.rows)))),
    "csv": _csv,
    "json": _json,
    "html": _html,
}
MANY_FORMATS = tuple(_RENDERERS)


def render_many(found: Many, format: str) -> str:
    """Write the rows of a sweep in one of `MANY_FORMATS`."""
    return _RENDERERS[format](found if format == "json" else inert(found))
