"""A cost table at the end of a notebook's cell: short, in the notebook's own colours, without script."""

from __future__ import annotations

from vggcost.records import CostTable
from vggcost.report.document import context
from vggcost.report.nesting import deepest_of, deepest_that
from vggcost.report.templates import environment
from vggcost.report.view import fold

__all__ = ["note"]

_MOST_ROWS = 300


def note(table: CostTable) -> str:
    """Write the headline, the totals and the layers, these folded away, as a fragment of HTML."""
    deepest = deepest_of(table)
    depth = deepest_that(lambda depth: len(fold(table, depth)) <= _MOST_ROWS, deepest) or 1
    values = context(table, depth if depth < deepest else None)
    rows, text = values["rows"], f", folded to depth {depth}" if depth < deepest else ""
    if len(rows) > _MOST_ROWS + len(table.run.inputs):
        text += f", the first of {len(rows)}; to_frame() has all of them"
    values["rows"] = rows[: _MOST_ROWS + len(table.run.inputs)]
    return environment().get_template("notebook.html.j2").render(**values, note=text)
