"""Formats for machines: CSV and JSON, raw integers."""

from __future__ import annotations

import csv
import io

from vggcost.records import CostTable
from vggcost.report.view import fold, layer_name

__all__ = ["csv_text", "json_text", "safe"]

_FIELDS = (
    "kind call output_shape params weights biases trainable param_bytes macs flops backward_macs backward_flops "
    "activations activation_bytes conv_activations saved_bytes receptive_field jump working"
).split()


def json_text(table: CostTable, depth: int | None = None) -> str:
    """Write the table as JSON, every layer of it: folding is for people."""
    return table.to_json()


def csv_text(table: CostTable, depth: int | None = None) -> str:
    """Write one line a layer. A cell that a spreadsheet would run as a formula gets a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", *_FIELDS])
    for layer in fold(table, depth):
        writer.writerow([safe(layer.path or layer_name(layer)), *(safe(getattr(layer, name)) for name in _FIELDS)])
    return out.getvalue()


def safe(value: object) -> object:
    """Make a CSV cell that no spreadsheet runs as a formula."""
    if isinstance(value, tuple):
        return "x".join(str(item) for item in value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value
