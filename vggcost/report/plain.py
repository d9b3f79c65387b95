"""Formats for machines: CSV, JSON and JSON Lines, raw integers."""

from __future__ import annotations

import csv
import io
import json

from vggcost.records import CostTable
from vggcost.report.view import fold, layer_name
from vggcost.saved import to_data

__all__ = ["csv_text", "json_lines", "json_text", "safe"]

_FIELDS = (
    "kind call output_shape params weights biases trainable param_bytes macs flops backward_macs backward_flops "
    "activations activation_bytes conv_activations saved_bytes receptive_field jump working"
).split()

_LINE_ENDS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}  # which JSON leaves as they are


def json_text(table: CostTable, depth: int | None = None) -> str:
    """Write the table as JSON, every layer of it: folding is for people."""
    return table.to_json()


def json_lines(table: CostTable, depth: int | None = None) -> str:
    """Write one line a layer, with the columns of the CSV; before them one for everything else of the table.

    The first has `record` header, the others `record` layer.
    """
    header = {key: value for key, value in to_data(table).items() if key != "layers"}
    lines = [{"record": "header", **header}]
    for layer in fold(table, depth):
        fields = {name: getattr(layer, name) for name in _FIELDS}
        lines.append({"record": "layer", "path": layer.path or layer_name(layer), **fields})
    text = "\n".join(json.dumps(line, ensure_ascii=False).translate(_LINE_ENDS) for line in lines)
    return f"{text}\n"


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
