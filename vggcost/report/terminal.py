"""The table for a terminal."""

from __future__ import annotations

import io
import shutil

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vggcost.records import CostTable
from vggcost.report.document import context

__all__ = ["terminal"]

_LEFT = ("output",)


def terminal(table: CostTable, depth: int | None = None) -> str:
    """Write the report as plain text, as wide as it needs to be or as the terminal allows."""
    values = context(table, depth)
    columns = [*values["columns"]]
    layers = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    layers.add_column("layer", footer="total", no_wrap=True)
    layers.add_column("kind", no_wrap=True)
    for title, total in zip(columns, values["total_cells"], strict=True):
        layers.add_column(title, footer=total, justify="left" if title in _LEFT else "right", no_wrap=True)
    for row in values["rows"]:
        layers.add_row(Text(row["name"]), Text(row["kind"]), *row["cells"])
    out = io.StringIO()
    console = Console(
        file=out, width=max(shutil.get_terminal_size((160, 24)).columns, 100), no_color=True, highlight=False
    )

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    say(f"{values['title']}: {values['headline']}")
    console.print(layers)
    for name, count, human, meaning in values["totals"]:
        say(f"{name:>17}  {count:>18}  {human:<15} {meaning}")
    say("\nmemory, by definition")
    for definition, elements, size, note in values["memory"]:
        say(f"  {definition:<55} {elements:>12}  {size:<26} {note}")
    say(f"\nconvention {table.convention.name}: {table.convention.sentence}")
    for status, ops in values["coverage"]:
        say(f"  {status}: {ops}")
    say(f"input {values['inputs']}, {table.run.mode}; {values['versions']}")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
