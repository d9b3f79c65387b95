"""What the page of one model shows: text for those without a script, and the data that its script works on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from vggcost.claims import Finding
from vggcost.cost.step import MemoryReport
from vggcost.records import CostTable, LayerCost, absent, told
from vggcost.report.bars import bars
from vggcost.report.document import context
from vggcost.report.drawing import COSTS, drawing
from vggcost.report.dtypes import as_run, floating, listed, size_of
from vggcost.report.figure import Figure, marked
from vggcost.report.following import following
from vggcost.report.growth import growth
from vggcost.report.how_much import KEYS, between, memory_lines, need_sentences
from vggcost.report.needs import Need
from vggcost.report.scaling import COLUMNS, SAVED, Scaling, columns_of
from vggcost.report.script import json_text, safe_number
from vggcost.report.timeline import timeline_svg
from vggcost.report.view import (
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
from vggcost.report.volumes import volumes
from vggcost.units import exact, human_bytes, human_count, shape

__all__ = ["Beside", "model_page"]

_ROWS = 600
"""Rows that a reader without a script sees; the script draws those that are looked at."""

_TITLES = {
    "macs": "MACs", "flops": "FLOPs", "backward_macs": "backward MACs", "backward_flops": "backward FLOPs",
}  # fmt: skip
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
    lines = memory_lines(table)
    left_out = len(layers) - len(rows)
    return context(table, depth) | {
        "cards": _cards(table),
        "drawing": Markup(drawing(table)),
        "joins": any(volume.joins for volume in volumes(table)),
        "costs": [(name, COSTS[name][0]) for name in COSTS if name in _figures(table)],
        "shown_total": human_count(told(table.totals.macs)),
        "bars": Markup(bars(table, depth)),
        "headline": marked(headline_parts(table)),
        "what": what_goes_in(table),
        "written": as_run(table.run),
        "totals": _totals(table),
        "needs": list(need_sentences(beside.needs)),
        "between": marked(between(table, beside.findings)),
        "growth": Markup(growth(table)),
        "timeline": Markup(timeline_svg(beside.step, beside.sentence)) if beside.step is not None else "",
        "step": _peak(beside),
        "rows": rows,
        "inputs_rows": inputs,
        "left_out": f"{exact(left_out)} more rows are shown by the page's script." if left_out else "",
        "memory": [(line["at"], *line["cells"]) for line in lines],
        "choices": _columns(table),
        "batches": beside.scaling.most > beside.scaling.least,
        "fixed": _fixed(beside.scaling),
        "moving": any(place == "shape" for place, *_ in beside.scaling.lines),
        "dtypes": list(beside.scaling.dtypes) or [listed(table.run)],
        "claims": [
            (f.claim.quantity, f"{f.claim.value} {f.claim.unit}".strip(), f.verdict, _here(f), _titled(f.claim.source))
            for f in sorted(beside.findings, key=lambda f: f.verdict != "wrong")
        ],
        "counts": _verdicts(beside.findings),
        "data": Markup(json_text(_data(table, lines, beside, len(rows) if depth is None else 0))),
    }


_OUTPUTS = {
    "activations": (
        "all layer outputs",
        "elements, those of layers that work in place as well: the column activations",
    ),
    "activation_bytes": ("distinct outputs", "in bytes, each piece of memory once: the column activation bytes"),
}
"""Two totals that are easily taken for one another, by name and meaning."""


def _totals(table: CostTable) -> Iterator[tuple[str, str | Figure, str | Figure, str | Figure]]:
    """All totals, as figures that follow the controls; those that are none of the script's stay as they are."""
    t = table.totals
    known = {name for name in _figures(table) if hasattr(t, name)} | {"step_flops"}
    for known_as, count, human, means in totals_lines(table):
        name = known_as.lower().replace(" ", "_")
        title, meaning = _OUTPUTS.get(name, (known_as, means))
        if name in known:
            value = getattr(t, name)
            unit = title.split()[-1] if title.endswith(("MACs", "FLOPs")) else "count"
            form = "bytes" if name.endswith("bytes") else unit
            yield title, Figure(name, "exact", value), Figure(name, form, value), meaning
        elif name == "macs_per_token":
            positions = tokens(table.run.inputs)
            each = told(t.macs) // positions
            of = marked(["of ", Figure("tokens", "exact", positions), " token ids"])
            yield title, Figure(name, "exact", each), Figure(name, "MACs", each), of
        else:
            yield title, count, human, meaning


def _peak(beside: Beside) -> str:
    """The sentence on a training step's peak, whose unit follows."""
    if beside.step is None:
        return ""
    peak = beside.step.peak.bytes
    before, found, after = beside.sentence.partition(human_bytes(peak))
    return marked([before, Figure(str(peak), "bytes", peak), after] if found else [before])


def _cards(table: CostTable) -> Iterator[dict[str, str]]:
    """The four totals, and what each means."""
    t, run = table.totals, table.run
    macs, flops, distinct = told(t.macs), told(t.flops), told(t.activation_bytes)
    what = "one input" if run.batch == 1 else f"a batch of {exact(run.batch)}"
    dtype, params = (
        f"{before}{known}" if known else ""
        for before, known in ((", ", listed(run)), (" in ", listed(run, params=True)))
    )
    lines = {KEYS.get(line.definition.partition(" (")[0], ""): line for line in table.memory}
    outputs, saved = lines.get("outputs"), lines.get("saved")
    elements = (
        f"{exact(outputs.elements)} distinct outputs; " if outputs is not None and outputs.elements is not None else ""
    )
    yield {
        "key": "params", "title": "Parameters", "big": human_count(t.params),
        "small": f"{exact(t.params)}; {human_bytes(t.param_bytes)}{params}",
        "meaning": "learned weights and biases",
    }  # fmt: skip
    yield {
        "key": "work", "title": "Work", "big": human_count(macs, "MACs"),
        "small": f"{exact(macs)} MACs forward for {what}",
        "meaning": marked(
            [
                Figure("macs", "MACs", macs), " (multiply-accumulates) = ", Figure("flops", "FLOPs", flops),
                f" by the convention {table.convention.name}",
            ]
        ),
    }  # fmt: skip
    yield {
        "key": "activations", "title": "Activations", "big": human_bytes(distinct),
        "small": f"{elements}{what}{dtype}",
        "meaning": "what the layers give, each piece of memory once",
    }  # fmt: skip
    if saved is not None and saved.bytes is not None:
        yield {
            "key": "saved", "title": "Saved for backward", "big": human_bytes(saved.bytes),
            "small": f"{exact(saved.bytes)} bytes; {what}{dtype}",
            "meaning": "what training keeps until the backward pass",
        }  # fmt: skip


def _figures(table: CostTable) -> list[str]:
    return [name for name in COLUMNS if name not in absent(table.run.mode)]


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
    return {
        "batch": table.run.batch,
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
        "goes": _goes(table, beside.scaling),
        **following(table, beside.scaling, beside.needs, names),
    }  # fmt: skip


def _goes(table: CostTable, scaling: Scaling) -> list[dict[str, Any]]:
    """What goes in; a tensor whose dtype may be chosen has no size of its own."""
    return [
        {"name": record.name, "item": record.is_item, "sizes": list(record.shape), "kind": record.dtype}
        | ({} if len(scaling.dtypes) > 1 and floating([record.dtype]) else {"size": size_of(record.dtype)})
        for record in table.run.inputs
    ]


def _fixed(scaling: Scaling) -> list[str]:
    """Say what cannot be chosen, and why."""
    batch, dtype = scaling.no_batch, scaling.no_dtype
    if batch and batch == dtype:
        return [f"Batch and dtype are as they were run: {batch}."]
    some = len(scaling.dtypes) > 1
    said = [f"The batch is as it was run: {batch}."] if batch else []
    return said + (
        [f"Among the dtypes there is {dtype}." if some else f"The dtype is as it was run: {dtype}."] if dtype else []
    )


def _attributes(layer: LayerCost) -> str:
    """Write what a layer was made with."""
    return ", ".join(f"{name} {_value(value)}" for name, value in layer.attributes)


def _value(value: Any) -> str:
    if isinstance(value, tuple) and value and all(isinstance(item, int) for item in value):
        return shape(value)
    return str(value)


_SUMS = {"image": "the input and the outputs of convolutions, pools and linear layers, no softmax"}
"""What a measure of the ledger adds up, where the memory section has a line that is nearly the same."""


def _here(finding: Finding) -> str:
    """The value found here, with what must be known of it where it is not plainly the same."""
    what = _SUMS.get(finding.claim.measure.partition(" ")[0], "")
    note = finding.note if finding.verdict != "exact" else ""
    return "; ".join(part for part in (finding.computed, what, note) if part)


def _titled(source: str) -> str:
    """Name a source for people.

    Example:
        >>> _titled("004_5ee6463d84c2d8d3.txt")
        'a study note on VGG, no. 4'
    """
    found = re.fullmatch(r"(\d+)_[0-9a-f]+\.txt", source)
    return f"a study note on VGG, no. {int(found[1])}" if found else source


def _verdicts(findings: Sequence[Finding]) -> str:
    counts = [(v, sum(f.verdict == v for f in findings)) for v in ("exact", "rounds", "matches", "wrong")]
    return ", ".join(f"{count} {verdict}" for verdict, count in counts if count)
