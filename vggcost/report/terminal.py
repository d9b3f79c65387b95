"""The table for a terminal."""

from __future__ import annotations

import shutil

from vggcost.inert import inert
from vggcost.records import CostTable
from vggcost.report.aligned import aligned
from vggcost.report.document import context

__all__ = ["terminal"]

_LEFT = ("layer", "kind", "output")


def terminal(table: CostTable, depth: int | None = None) -> str:
    """Write the report as plain text, as wide as its figures need; only names are shortened for a narrow terminal."""
    values = context(inert(table), depth)
    titles = ("layer", "kind", *values["columns"])
    rows = [(row["name"], row["kind"], *row["cells"]) for row in values["rows"]]
    totals = ("total", "", *values["total_cells"])
    left = {place for place, title in enumerate(titles) if title in _LEFT}
    width = max(shutil.get_terminal_size((160, 24)).columns, 100)
    lines = [
        f"{values['title']}: {values['headline']}",
        *aligned(titles, rows, totals, left, width),
        *(f"{name:>17}  {count:>18}  {human:<15} {meaning}" for name, count, human, meaning in values["totals"]),
        *(["\nmemory, by definition"] if values["memory"] else []),
        *(f"  {what:<55} {elements:>12}  {size:<26} {note}" for what, elements, size, note in values["memory"]),
        f"\nconvention {table.convention.name}: {table.convention.sentence}",
        *(f"  {status}: {ops}" for status, ops in values["coverage"]),
        f"{'input ' if values['inputs'] else ''}{values['inputs']}{', ' if values['inputs'] else ''}{table.run.mode}; {values['versions']}",
    ]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()) + "\n"
