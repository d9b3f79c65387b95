"""What the page of one model shows: text for those without a script, and the data that its script works on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from markupsafe import Markup

from vggcost.claims import Finding
from vggcost.cost.step import MemoryReport
from vggcost.records import CostTable, LayerCost
from vggcost.report.bars import bars
from vggcost.report.document import context
from vggcost.report.drawing import COSTS, drawing
from vggcost.report.figure import Figure, marked
from vggcost.report.growth import growth
from vggcost.report.needs import Need
from vggcost.report.scaling import COLUMNS, SAVED, SIZES, Scaling, columns_of
from vggcost.report.script import json_text, safe_number
from vggcost.report.timeline import timeline_svg
from vggcost.report.view import (
    BYTES,
    cell,
    columns,
    extent,
    fold,
    headline_parts,
    input_cells,
    layer_name,
    tokens,
    totals_lines,
    what_goes_in,
)
from vggcost.units import exact, human_bytes, human_count, shape

__all__ = ["Beside", "model_page"]

_ROWS = 600
"""Rows that a reader without a script sees; the script draws those that are looked at."""

_TITLES = {
    "macs": "MACs", "flops": "FLOPs", "backward_macs": "backward MACs", "backward_flops": "backward FLOPs",
}  # fmt: skip
_TRAINING = ("backward_macs", "backward_flops", "saved_bytes")
_SHOWN = (
    "params",
    "macs",
    "backward_macs",
    "activations",
    "activation_bytes",
    "saved_bytes",
    "receptive_field",
    "jump",
)
_KEYS = {"distinct output storages": "outputs", "saved for backward": "saved"}
"""Lines of the memory section that the four figures above are made of."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What a page shows beside the table of its model, as far as it is known.

    Attributes:
        scaling: how the figures follow the batch and the dtype.
        findings: what was published of the model, recomputed.
        step: what a training step needs; None: not known.
        sentence: where its peak is.
        needs: the most bytes alive at once: `held` and `live` of a run, `peak` of a training step, `states` of Adam.
    """

    scaling: Scaling = SAVED
    findings: tuple[Finding, ...] = ()
    step: MemoryReport | None = None
    sentence: str = ""
    needs: Mapping[str, Need] = field(default_factory=dict)


def model_page(table: CostTable, depth: int | None, beside: Beside) -> dict[str, Any]:
    """Collect what the template of the page lays out."""
    shown = columns(table)
    layers = list(fold(table, depth))
    rows = [
        {
            "at": at,
            "name": layer_name(layer),
            "kind": layer.kind,
            "cells": [cell(layer, column) for column in shown],
            "working": layer.working.split("; ") if layer.working and depth is None else [],
        }
        for at, layer in enumerate(layers[:_ROWS])
    ]
    inputs = []
    for record in table.run.inputs:
        known = input_cells(record, table.run.batch)
        inputs.append(
            {
                "name": record.name,
                "kind": record.dtype,
                "cells": [known.get(column.name, "") for column in shown],
                "figures": [(name, text) for name, text in known.items() if text and name != "output_shape"],
            }
        )
    lines = _memory(table)
    left_out = len(layers) - len(rows)
    scales = not beside.scaling.reason
    return context(table, depth) | {
        "cards": _cards(table),
        "drawing": Markup(drawing(table)),
        "costs": [(name, COSTS[name][0]) for name in COSTS if name in _figures(table)],
        "shown_total": human_count(table.totals.macs),
        "bars": Markup(bars(table, depth)),
        "headline": marked(headline_parts(table)),
        "what": what_goes_in(table),
        "written": f"batch {exact(table.run.batch)}, {_dtype(table)}",
        "totals": _totals(table),
        "needs": _needs(beside),
        "needs_fixed": scales and not all(need.terms for need in beside.needs.values()),
        "growth": Markup(growth(table)),
        "timeline": Markup(timeline_svg(beside.step, beside.sentence)) if beside.step is not None else "",
        "step": _peak(beside),
        "rows": rows,
        "inputs_rows": inputs,
        "left_out": f"{exact(left_out)} more rows are shown by the page's script." if left_out else "",
        "memory": [(line["at"], *line["cells"]) for line in lines],
        "choices": _columns(table),
        "scales": scales,
        "fixed": beside.scaling.reason,
        "dtypes": list(SIZES) if scales else [_dtype(table)],
        "claims": [
            (f.claim.quantity, f"{f.claim.value} {f.claim.unit}".strip(), f.verdict, f.computed, f.claim.source)
            for f in sorted(beside.findings, key=lambda f: f.verdict != "wrong")
        ],
        "counts": _verdicts(beside.findings),
        "data": Markup(json_text(_data(table, lines, beside, len(rows) if depth is None else 0))),
    }


def _totals(table: CostTable) -> Iterator[tuple[str, str | Figure, str | Figure, str | Figure]]:
    """All totals, as figures that follow the controls; those that are none of the script's stay as they are."""
    known = {name for name in _figures(table) if hasattr(table.totals, name)} | {"step_flops"}
    for title, count, human, meaning in totals_lines(table):
        name = title.lower().replace(" ", "_")
        if name in known:
            value = int(count.replace(",", ""))
            unit = title.split()[-1] if title.endswith(("MACs", "FLOPs")) else "count"
            form = "bytes" if title.endswith("bytes") else unit
            yield title, Figure(name, "exact", value), Figure(name, form, value), meaning
        elif name == "macs_per_token":
            positions = tokens(table.run.inputs)
            yield title, count, human, marked(["of ", Figure("tokens", "exact", positions), " token ids"])
        else:
            yield title, count, human, meaning


def _peak(beside: Beside) -> str:
    """The sentence on a training step's peak, whose unit follows."""
    if beside.step is None:
        return ""
    peak = beside.step.peak.bytes
    before, found, after = beside.sentence.partition(human_bytes(peak))
    return marked([before, Figure(str(peak), "bytes", peak), after] if found else [before])


def _needs(beside: Beside) -> Iterator[tuple[str, str]]:
    """How much memory a run and a training step need, in a sentence each."""

    def needed(name: str) -> Figure:
        return Figure(name, "bytes", beside.needs[name].bytes)

    if "live" in beside.needs:
        held, live = needed("held"), needed("live")
        whole = Figure("whole", "bytes", held.value + live.value)
        parts: list[str | Figure] = [
            "weights ",
            held,
            " + the most that is alive at once besides ",
            live,
            " = ",
            whole,
            ".",
        ]
        yield "Inference", marked(parts)
    if "peak" in beside.needs:
        adam: list[str | Figure] = [
            " without an optimizer; Adam would keep two states a parameter, ",
            needed("states"),
            " more.",
        ]
        yield "A training step", marked(["peak ", needed("peak"), *adam])


def _cards(table: CostTable) -> Iterator[dict[str, str]]:
    """The four totals, and what each means."""
    t, run = table.totals, table.run
    what = "one input" if run.batch == 1 else f"a batch of {exact(run.batch)}"
    dtype = _dtype(table)
    lines = {_KEYS.get(line.definition.partition(" (")[0], ""): line for line in table.memory}
    outputs, saved = lines.get("outputs"), lines.get("saved")
    elements = f"{exact(outputs.elements)} elements; " if outputs is not None and outputs.elements is not None else ""
    yield {
        "key": "params", "title": "Parameters", "big": human_count(t.params),
        "small": f"{exact(t.params)}; {human_bytes(t.param_bytes)} in {dtype}",
        "meaning": "numbers that training finds",
    }  # fmt: skip
    yield {
        "key": "work", "title": "Work", "big": human_count(t.macs, "MACs"),
        "small": f"{exact(t.macs)} MACs forward for {what}",
        "meaning": marked(
            [
                Figure("macs", "MACs", t.macs), " (multiply-accumulates) = ", Figure("flops", "FLOPs", t.flops),
                f" by the convention {table.convention.name}: {table.convention.sentence}",
            ]
        ),
    }  # fmt: skip
    yield {
        "key": "activations", "title": "Activations", "big": human_bytes(t.activation_bytes),
        "small": f"{elements}{what}, {dtype}",
        "meaning": "outputs of all layers, each memory once",
    }  # fmt: skip
    if saved is not None and saved.bytes is not None:
        yield {
            "key": "saved", "title": "Saved for backward", "big": human_bytes(saved.bytes),
            "small": f"{exact(saved.bytes)} bytes; {what}, {dtype}",
            "meaning": "what training keeps until the backward pass",
        }  # fmt: skip


def _dtype(table: CostTable) -> str:
    """The floating-point dtype of what goes in; float32 for token ids."""
    return next((i.dtype for i in table.run.inputs if i.dtype in SIZES), "float32")


def _memory(table: CostTable) -> list[dict[str, Any]]:
    """The definitions of memory, and those that add them to the input and to the parameters."""
    lines: list[dict[str, Any]] = [
        {
            "key": _KEYS.get(line.definition.partition(" (")[0], ""),
            "base": [line.elements, line.bytes],
            "cells": _cells(line.definition, line.elements, line.bytes, line.note),
        }
        for line in table.memory
    ]
    at = {line.definition.partition(" (")[0]: number for number, line in enumerate(table.memory)}
    held = table.totals.param_bytes
    inputs = sum(_input_bytes(table))
    outputs, saved = at.get("distinct output storages"), at.get("saved for backward")
    sums: list[tuple[str, list[str | int], int | None, str]] = []
    if outputs is not None:
        sums.append(
            ("the same and the input", [outputs, "input"], inputs, "as notes that list the image as a layer add up")
        )
    sums.append(("parameters", ["param_bytes"], held, "in their own dtype"))
    if saved is not None and lines[saved]["base"][1] is not None and table.totals.trainable == table.totals.params:
        note = "as if all lived at once; gradients come while what was saved goes, so that the peak is a little lower"
        sums.append(
            ("parameters, gradients and saved for backward", ["param_bytes", "param_bytes", saved], 2 * held, note)
        )
    found = []
    for definition, parts, total, note in sums:
        more = sum(lines[part]["base"][1] or 0 for part in parts if isinstance(part, int))
        value = (total or 0) + more
        found.append({"key": "", "parts": parts, "base": [None, value], "cells": _cells(definition, None, value, note)})
    after = outputs + 1 if outputs is not None else len(lines)
    # The script finds a line by its position: those that are added up come last in the data, and where they belong here.
    for number, line in enumerate([*lines, *found]):
        line["at"] = number
    return [*lines[:after], *found[:1], *lines[after:], *found[1:]] if outputs is not None else [*lines, *found]


def _input_bytes(table: CostTable) -> tuple[int, int]:
    """Bytes of what goes in: of floating-point tensors, which follow the dtype, and of others."""
    sizes = [(prod(record.shape) * BYTES.get(record.dtype, 1), record.dtype in SIZES) for record in table.run.inputs]
    return sum(size for size, floating in sizes if floating), sum(size for size, floating in sizes if not floating)


def _cells(definition: str, elements: int | None, nbytes: int | None, note: str) -> tuple[str, str, str, str]:
    if nbytes is None:
        return definition, "unknown", "unknown", note
    human = human_bytes(nbytes)
    size = human if nbytes < 1024 else f"{exact(nbytes)} = {human}"
    return definition, "" if elements is None else exact(elements), size, note


def _figures(table: CostTable) -> list[str]:
    return [name for name in COLUMNS if name not in _TRAINING or table.run.mode == "training"]


def _columns(table: CostTable) -> list[dict[str, Any]]:
    """The columns that the script can show."""
    found: list[dict[str, Any]] = [
        {"name": name, "title": _TITLES.get(name, name.replace("_", " ")), "follows": columns_of(name)}
        | ({"bytes": True} if name.endswith("_bytes") else {})
        for name in _figures(table)
    ]
    return [*found, {"name": "receptive_field", "title": "receptive field"}, {"name": "jump", "title": "jump"}]


def _data(table: CostTable, lines: Sequence[dict[str, Any]], beside: Beside, written: int) -> dict[str, Any]:
    """What the script works on; `written` rows have their arithmetic in the page already."""
    names = _figures(table)
    scaling = beside.scaling
    kinds: dict[str, int] = {}
    attributes: dict[str, int] = {}
    rows = [
        [
            layer.path,
            kinds.setdefault(layer.kind, len(kinds)),
            layer.call,
            layer.output_shape,
            [extent(layer.receptive_field), extent(layer.jump)],
            [safe_number(getattr(layer, name)) for name in names],
            attributes.setdefault(_attributes(layer), len(attributes)),
        ]
        for layer in table.layers
    ]
    containers = {path: kinds.setdefault(kind, len(kinds)) for path, kind in table.containers if path}
    places = {"layer": 0, "memory": 1}
    return {
        "batch": table.run.batch,
        "dtype": _dtype(table),
        "columns": [column for column in _columns(table) if column["name"] in names],
        "extents": ["receptive field", "jump"],
        "shown": [name for name in _SHOWN if name in names or name in ("receptive_field", "jump")],
        "kinds": list(kinds),
        "attributes": list(attributes),
        "containers": containers,
        "rows": rows,
        "working": {
            str(at): layer.working.split("; ")
            for at, layer in enumerate(table.layers)
            if layer.working and at >= written
        },
        "memory": [
            {"key": line["key"], "base": [None if v is None else safe_number(v) for v in line["base"]]}
            | ({"parts": line["parts"]} if "parts" in line else {})
            for line in sorted(lines, key=lambda line: line["at"])
        ],
        "inputs": [safe_number(value) for value in _input_bytes(table)],
        "goes": [] if beside.scaling.reason else _goes(table),
        "tokens": tokens(table.run.inputs),
        "needs": {
            name: {"value": safe_number(need.bytes), "terms": [[safe_number(term) for term in terms] for terms in need.terms]}
            for name, need in beside.needs.items()
        },
        "scaling": None
        if scaling.reason
        else {
            "batch": scaling.batch,
            "size": scaling.size,
            "terms": [
                [places[place], row, names.index(name) if place == "layer" else ("elements", "bytes").index(name)]
                + [safe_number(term) for term in terms]
                for (place, row, name), terms in sorted(scaling.terms.items())
                if place == "memory" or name in names
            ],
        },
    }  # fmt: skip


def _goes(table: CostTable) -> list[dict[str, Any]]:
    """What goes in, apart from the batch and the dtype."""
    batch = table.run.batch
    return [
        {
            "name": record.name,
            "item": record.is_item,
            "batched": (batched := not record.is_item and record.shape[:1] == (batch,)),
            "sizes": list(record.shape[1:] if batched else record.shape),
            "floating": record.dtype in SIZES,
            "kind": record.dtype,
        }
        for record in table.run.inputs
    ]


def _attributes(layer: LayerCost) -> str:
    """Write what a layer was made with."""
    return ", ".join(f"{name} {_value(value)}" for name, value in layer.attributes)


def _value(value: Any) -> str:
    if isinstance(value, tuple) and value and all(isinstance(item, int) for item in value):
        return shape(value)
    return str(value)


def _verdicts(findings: Sequence[Finding]) -> str:
    counts = [(v, sum(f.verdict == v for f in findings)) for v in ("exact", "rounds", "matches", "wrong")]
    return ", ".join(f"{count} {verdict}" for verdict, count in counts if count)
