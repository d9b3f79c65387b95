"""The values that the page, the Markdown and the LaTeX share."""

from __future__ import annotations

from typing import Any

from vggcost.records import CostTable
from vggcost.report.view import (
    cell,
    columns,
    coverage_lines,
    findings,
    fold,
    headline,
    input_cells,
    layer_name,
    memory_cells,
    published_facts,
    total,
    totals_lines,
)

__all__ = ["context"]


def context(table: CostTable, depth: int | None) -> dict[str, Any]:
    """Collect what a document shows, as text; the templates only lay it out."""
    shown = columns(table)
    rows = [
        {
            "name": layer_name(layer),
            "kind": layer.kind,
            "cells": [cell(layer, column) for column in shown],
            "working": layer.working.split("; ") if layer.working else [],
        }
        for layer in fold(table, depth)
    ]
    inputs = []
    for record in table.run.inputs:
        known = input_cells(record, table.run.batch)
        cells = [known.get(column.name, "") for column in shown]
        inputs.append({"name": record.name, "kind": record.dtype, "cells": cells, "working": []})
    totals = [total(table, c.name) for c in shown]
    return {
        "title": table.run.title,
        "headline": headline(table),
        "findings": findings(table),
        "columns": [column.title for column in shown],
        "rows": inputs + rows,
        "total_cells": totals,
        "totals": totals_lines(table),
        "memory": [memory_cells(line) for line in table.memory],
        "convention": table.convention,
        "coverage": coverage_lines(table),
        "facts": [(f.quantity, f"{f.value} {f.unit}", f.protocol, f.source) for f in published_facts(table)],
        "run": table.run,
        "inputs": ", ".join(f"{i.name} {'×'.join(map(str, i.shape))} {i.dtype}" for i in table.run.inputs),
        "versions": ", ".join(f"{name} {version}" for name, version in table.run.versions),
    }
