"""A comparison as LaTeX (packages booktabs and siunitx): one unit a column, aligned at the decimal point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log10

from vggcost.report.compare_text import error, lines
from vggcost.report.comparison import COLUMNS, Comparison, Row, Value
from vggcost.report.latex import aligned, entry, escape, shortened
from vggcost.report.templates import environment
from vggcost.units import UNITS, human_bytes, human_count

__all__ = ["compare_latex"]

_ERRORS = ("top1_error", "top5_error")


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cells: tuple[str, ...]
    after: str = ""


def compare_latex(comparison: Comparison) -> str:
    """Write a comparison as a table of LaTeX, with its notes under it."""
    columns = [column for name in comparison.columns for column in _columns(comparison, name)]
    cells = zip(*(column.cells for column in columns), strict=True) if columns else ((),) * len(comparison.rows)
    notes = [("", ", ".join(lines(comparison))), *comparison.footnotes]
    return (
        environment(escape)
        .get_template("compare.tex.j2")
        .render(
            titles=[column.title for column in columns],
            aligned=[aligned([cell.partition("{")[0] for cell in column.cells], column.after) for column in columns],
            rows=[(shortened(row.title), found) for row, found in zip(comparison.rows, cells, strict=True)],
            notes=notes,
        )
    )


def _columns(comparison: Comparison, name: str) -> list[_Column]:
    """A column, and that of its ratios to the baseline where there are any."""
    column = COLUMNS[name]
    if name in _ERRORS:
        marked = any(row.mark for row in comparison.rows)
        return [
            _Column(column.title, tuple(_error(row, name) for row in comparison.rows), _mark("a") if marked else "")
        ]
    values = [row.values[name] for row in comparison.rows]
    unit, digits = _unit([value for value in values if isinstance(value, int)], column.write)
    cells = [
        f"{value / UNITS.get(unit, 1):.{digits}f}" if unit and isinstance(value, int) else _text(value)
        for value in values
    ]
    found = [_Column(f"{column.title} ({unit})" if unit else column.title, tuple(cells))]
    if any(name in row.ratios for row in comparison.rows):
        ratios = (f"{row.ratios[name]:.2f}" if name in row.ratios else "" for row in comparison.rows)
        found.append(_Column("ratio", tuple(ratios)))
    return found


def _unit(values: Sequence[int], write: Callable[[int], str]) -> tuple[str, int]:
    """Choose the unit of a column, that of its largest figure, and the digits that leave two of its smallest."""
    if write not in (human_count, human_bytes) or not any(values):
        return "", 0
    units = [unit for unit in UNITS if unit.endswith("iB") == (write is human_bytes)]
    unit = next((unit for unit in units if UNITS[unit] <= max(values)), "")
    smallest = min(value for value in values if value) / UNITS.get(unit, 1)
    return unit, max(2, ceil(-log10(smallest)) + 1)


def _text(value: Value) -> str:
    return "{--}" if value is None else entry(f"{value:g}" if isinstance(value, float) else str(value))


def _error(row: Row, name: str) -> str:
    value = row.values[name]
    if not isinstance(value, int | float):
        return "{--}"
    return error(value) + (f"{{{_mark(row.mark)}}}" if row.mark else "")


def _mark(letter: str) -> str:
    return rf"\textsuperscript{{{letter}}}"
