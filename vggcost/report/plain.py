"""Formats for machines: CSV, JSON and JSON Lines, raw integers."""

from __future__ import annotations

from vggcost.inert import csv_lines, json_line
from vggcost.records import CostTable
from vggcost.report.view import fold, layer_name
from vggcost.saved import to_data

__all__ = ["csv_text", "json_lines", "json_text"]

_FIELDS = (
    "kind call output_shape params weights biases trainable param_bytes macs flops backward_macs backward_flops "
    "activations activation_bytes conv_activations saved_bytes receptive_field jump working"
).split()


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
    return "".join(f"{json_line(line)}\n" for line in lines)


def csv_text(table: CostTable, depth: int | None = None) -> str:
    """Write one line a layer. A cell that a spreadsheet would run as a formula gets a leading apostrophe."""
    layers = fold(table, depth)
    rows = [[layer.path or layer_name(layer), *(getattr(layer, name) for name in _FIELDS)] for layer in layers]
    return csv_lines([["path", *_FIELDS], *rows])
