"""A comparison as a terminal table, Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable

from vggcost.inert import as_json, csv_lines, inert, inert_lines
from vggcost.report.comparison import COLUMNS, Comparison, Row, Value
from vggcost.report.grid import Grid, markdown

__all__ = ["COMPARE_FORMATS", "cell", "comparison_grid", "error", "headers", "lines", "render_comparison"]


def cell(row: Row, name: str) -> str:
    """Write one value for a person, with its ratio and the mark of its footnote."""
    value: Value = row.values[name]
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if name in ("top1_error", "top5_error"):
        return f"{error(value)}{_superscript(row.mark)}"
    text = f"{value:g}" if isinstance(value, float) else COLUMNS[name].write(value)
    return f"{text} (×{row.ratios[name]:.2f})" if name in row.ratios else text


def error(value: int | float) -> str:
    """Write an error in percent with the digits it was published with, at least one."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:g}"


_SUPERSCRIPTS = dict(zip("abcdefghijklmnop", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖ", strict=True))


def _superscript(mark: str) -> str:
    return _SUPERSCRIPTS.get(mark, "")


def headers(comparison: Comparison) -> list[str]:
    """Titles of the columns."""
    return ["model", *(COLUMNS[name].title for name in comparison.columns)]


def lines(comparison: Comparison) -> list[str]:
    """Say how the models were run: the mode and the convention, what differs, what ratios are to."""
    first = comparison.tables[0]
    size = f"{first.run.mode}, convention {first.convention.name}"
    found = [size] if not comparison.notes else []
    if comparison.baseline:
        found.append(f"ratios to {comparison.baseline}")
    return [*found, *comparison.notes]


def _lines(comparison: Comparison) -> list[str]:
    """What stands under a table: how the models were run, and the footnotes."""
    return lines(comparison) + [f"{_superscript(mark)} {text}" for mark, text in comparison.footnotes]


def _table(comparison: Comparison) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, title in enumerate(headers(comparison)):
        table.add_column(title, justify="right" if number else "left")
    for row in comparison.rows:
        table.add_row(Text(row.title), *(Text(cell(row, name)) for name in comparison.columns))
    out = io.StringIO()
    width = max(shutil.get_terminal_size((160, 24)).columns, 100)
    console = Console(file=out, width=width, no_color=True, highlight=False, emoji=False)
    console.print(table)
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip())
    return inert_lines("\n".join([text, "", *_lines(comparison)]) + "\n")  # a title may be folded anywhere


def comparison_grid(comparison: Comparison) -> Grid:
    """Lay the comparison out as text, its footnotes under it."""
    rows = [(row.title, *(cell(row, name) for name in comparison.columns)) for row in comparison.rows]
    return Grid(tuple(headers(comparison)), tuple(rows), tuple(_lines(comparison)))


def markdown_table(comparison: Comparison) -> str:
    """Write the comparison as a Markdown table with its footnotes."""
    return markdown(comparison_grid(comparison))


def _csv(comparison: Comparison) -> str:
    ratios = [name for name in comparison.columns if any(name in row.ratios for row in comparison.rows)]
    errors = [name for name in comparison.columns if name in ("top1_error", "top5_error")]
    sources = dict(comparison.footnotes)
    head = ["model", "title", *comparison.columns, *(f"{name}_ratio" for name in ratios)]
    rows = [
        [
            *(row.model, row.title),
            *(row.values[name] for name in comparison.columns),
            *(row.ratios[name] for name in ratios),
            *([sources.get(row.mark, "")] if errors else []),
        ]
        for row in comparison.rows
    ]
    return csv_lines([[*head, *(["errors_from"] if errors else [])], *rows])


def _latex(comparison: Comparison) -> str:
    from vggcost.report.compare_latex import compare_latex

    return compare_latex(comparison)


def _json(comparison: Comparison) -> str:
    sources = dict(comparison.footnotes)
    data = {
        "schema": 1,
        "columns": list(comparison.columns),
        "baseline": comparison.baseline,
        "notes": list(comparison.notes),
        "rows": [
            {
                "model": row.model,
                "title": row.title,
                "values": {name: row.values[name] for name in comparison.columns},
                "ratios": {name: row.ratios[name] for name in comparison.columns if name in row.ratios},
                "errors_from": sources.get(row.mark),
            }
            for row in comparison.rows
        ],
    }
    return as_json(data)


def _html(comparison: Comparison) -> str:
    from vggcost.report.compare_html import compare_html

    return compare_html(comparison)


_RENDERERS: dict[str, Callable[[Comparison], str]] = {
    "table": _table,
    "markdown": markdown_table,
    "csv": _csv,
    "latex": _latex,
    "json": _json,
    "html": _html,
}
COMPARE_FORMATS = tuple(_RENDERERS)


def render_comparison(comparison: Comparison, format: str) -> str:
    """Write a comparison in one of `COMPARE_FORMATS`."""
    return _RENDERERS[format](comparison if format == "json" else inert(comparison))
