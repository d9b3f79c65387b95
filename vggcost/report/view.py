"""What every document shows: the rows, the totals and the sentences, made once from a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from vggcost.records import PARAMETERS, SUMMED, CostTable, Extent, InputRecord, LayerCost, MemoryLine, absent, told
from vggcost.report.dtypes import size_of
from vggcost.report.figure import Figure, Inputs
from vggcost.units import described, exact, human_bytes, human_count, percent, shape
from vggcost.zoo import Fact, facts_of, find

__all__ = [
    "COLUMNS",
    "Column",
    "cell",
    "extent",
    "findings",
    "fold",
    "headline",
    "headline_parts",
    "input_cells",
    "memory_cells",
    "published_facts",
    "tokens",
    "total",
    "totals_lines",
    "what_goes_in",
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the layer table; `bytes` are shown with a binary prefix too."""

    name: str
    title: str


COLUMNS = (
    Column("output_shape", "output"),
    Column("params", "params"),
    Column("macs", "MACs"),
    Column("flops", "FLOPs"),
    Column("backward_macs", "backward MACs"),
    Column("activations", "activations"),
    Column("activation_bytes", "activation bytes"),
    Column("saved_bytes", "saved bytes"),
    Column("receptive_field", "receptive field"),
    Column("jump", "jump"),
)


_OF_PARAMETERS = (
    Column("output_shape", "output"),
    Column("params", "params"),
    Column("weights", "weights"),
    Column("biases", "biases"),
    Column("trainable", "trainable"),
    Column("param_bytes", "param bytes"),
)


def columns(table: CostTable) -> tuple[Column, ...]:
    """Return the columns that mean something for this table's mode."""
    if table.run.mode == PARAMETERS:
        return _OF_PARAMETERS
    return tuple(c for c in COLUMNS if c.name not in absent(table.run.mode))


def cell(layer: LayerCost, column: Column) -> str:
    """Write one cell for a person: shapes without the batch, integers in full, nothing for nothing."""
    value = getattr(layer, column.name)
    if column.name == "output_shape":
        if layer.macs is None:  # there was no run
            return "–"
        return shape(value[1:] if len(value) > 1 else value)
    if column.name in ("receptive_field", "jump"):
        return extent(value)
    return exact(value) if value else ""


def total(table: CostTable, name: str) -> str:
    """Write the last cell of a column; nothing for what does not add up, or what the run does not tell."""
    value = getattr(table.totals, name, None)
    return "" if value is None else exact(value)


def extent(value: Extent) -> str:
    """Write a receptive field or jump."""
    if value is None:
        return ""
    return exact(value) if isinstance(value, int) else shape(value)


def layer_name(layer: LayerCost) -> str:
    """Name a row; a second call of one module says so."""
    name = layer.path or "(model)"
    return f"{name} (call {layer.call})" if layer.call > 1 else name


def input_cells(record: InputRecord, batch: int) -> dict[str, str]:
    """The first rows: what goes in."""
    elements = prod(record.shape)
    size = size_of(record.dtype)
    is_map = len(record.shape) > 2 and not record.is_item
    return {
        "output_shape": shape(record.sizes(batch) or record.shape),
        "activations": exact(elements),
        "activation_bytes": exact(elements * size),
        "receptive_field": "1" if is_map else "",
        "jump": "1" if is_map else "",
    }


def fold(table: CostTable, depth: int | None) -> tuple[LayerCost, ...]:
    """Add up the layers below `depth` into one row for each container.

    Example:
        `features.0` and `features.1` at depth 1 become `features`.
    """
    if depth is None:
        return table.layers
    kinds = dict(table.containers)
    groups: dict[tuple[str, int], list[LayerCost]] = {}
    for layer in table.layers:
        parts = layer.path.split(".", min(depth, len(layer.path)))  # which no C integer need hold
        path = ".".join(parts[:depth])
        # Calls of one layer stay apart; what is folded into a container is one row.
        key = (path, 0) if len(parts) > depth or path in kinds else (layer.path, layer.call)
        groups.setdefault(key, []).append(layer)
    return tuple(_sum(path, kinds, found) for (path, _), found in groups.items())


def _sum(path: str, kinds: dict[str, str], layers: Sequence[LayerCost]) -> LayerCost:
    if len(layers) == 1 and layers[0].path == path:
        return layers[0]
    last = layers[-1]
    sums: dict[str, Any] = {}
    for name in SUMMED:
        values = [getattr(layer, name) for layer in layers]
        sums[name] = None if None in values else sum(values)
    return last._replace(path=path, kind=kinds.get(path, ""), call=1, working="", attributes=(), **sums)


def largest(layers: Sequence[LayerCost], name: str) -> tuple[list[LayerCost], int]:
    """Return the layers with the largest value of a column, and that value."""
    most = max((getattr(layer, name) for layer in layers), default=0)
    return [layer for layer in layers if most and getattr(layer, name) == most], most


def findings(table: CostTable) -> list[str]:
    """Say where the cost sits: a sentence for parameters, MACs and activation memory, as `js/figures.js` does.

    Example:
        Of VGG-16 the first is "fc6 holds 102,764,544, 74.3% of the parameters".
    """
    sentences = []
    for name, singular, plural, what in (
        ("params", "holds", "hold", "parameters"),
        ("macs", "does", "do", "multiply-accumulates"),
        ("activation_bytes", "makes", "make", "activation bytes"),
    ):
        if name in absent(table.run.mode):
            continue
        layers, most = largest(table.layers, name)
        if not layers:
            continue
        names = [layer_name(layer) for layer in layers]
        if len(names) > _NAMED:
            names = [*names[:3], f"{len(names) - 3} more"]
        several = len(names) > 1
        listed = f"{', '.join(names[:-1])} and {names[-1]}" if several else names[0]
        share = percent(most, getattr(table.totals, name))
        words = f"of the {what}{' each' if several else ''}"
        sentences.append(f"{listed} {plural if several else singular} {exact(most)}, {share} {words}")
    return sentences


_NAMED = 8
"""Layers that tie for the most are named, if they are no more."""


def headline(table: CostTable) -> str:
    """Say in one sentence what the model costs."""
    return "".join(map(str, headline_parts(table)))


def headline_parts(table: CostTable) -> list[str | Figure]:
    """The sentence of `headline`, its figures and what goes in apart."""
    totals, run = table.totals, table.run
    step: list[str | Figure] = []
    if totals.step_flops is not None:
        step = ["; with the backward pass ", Figure("step_flops", "FLOPs", totals.step_flops), " a step"]
    note = f" {run.note[0].upper()}{run.note[1:]}." if run.note else ""
    if table.coverage.sized:
        note += " Some sizes depend on data: what was assumed is listed with the convention."
    params = Figure("params", "count", totals.params)
    if totals.macs is None or totals.flops is None:
        return [params, f" parameters.{note}"]
    return [
        params, " parameters; ", Figure("macs", "MACs", totals.macs), " = ",
        Figure("flops", "FLOPs", totals.flops), " forward for ", Inputs(what_goes_in(table)), *step, f".{note}",
    ]  # fmt: skip


def what_goes_in(table: CostTable) -> str:
    """Say what a table was made for.

    Example:
        Of VGG-16 at batch 64 it is `64 inputs of 3×224×224`.
    """
    run = table.run
    text = described(run.inputs, run.batch)
    if len(run.inputs) != 1 or run.inputs[0].is_item:
        return text
    return f"1 input of {text}" if run.batch == 1 else f"{exact(run.batch)} inputs of {text}"


def tokens(inputs: Sequence[InputRecord]) -> int:
    """How many token ids go in, if they are all that does."""
    ids = [record for record in inputs if record.dtype in ("int64", "int32") and len(record.shape) == 2]
    return prod(ids[0].shape) if len(ids) == len(inputs) == 1 else 0


def totals_lines(table: CostTable) -> list[tuple[str, str, str, str]]:
    """List the totals that the run tells: name, exact figure, figure for people, meaning."""
    t, positions = table.totals, tokens(table.run.inputs)
    each = told(t.macs) // positions if positions and t.macs is not None and t.macs % positions == 0 else None
    lines: list[tuple[str, int | None, str, str]] = [
        ("params", t.params, "", f"{exact(t.weights)} weights + {exact(t.biases)} biases"),
        ("trainable", t.trainable if t.trainable != t.params else None, "", "parameters that are not frozen"),
        ("param bytes", t.param_bytes, "bytes", "parameters in their own dtype"),
        ("MACs", t.macs, "MACs", "multiply-accumulates of the forward pass"),
        ("MACs per token", each, "MACs", f"of {exact(positions)} token ids"),
        ("FLOPs", t.flops, "FLOPs", f"forward, convention {table.convention.name}"),
        ("backward MACs", t.backward_macs, "MACs", "gradients of inputs and weights"),
        ("backward FLOPs", t.backward_flops, "FLOPs", "of the backward pass"),
        ("step FLOPs", t.step_flops, "FLOPs", "forward + backward"),
        ("activations", t.activations, "", "elements of all layers' outputs"),
        ("activation bytes", t.activation_bytes, "bytes", "distinct output storages"),
        ("conv activations", t.conv_activations, "", "elements of the convolutions' outputs"),
        ("saved bytes", t.saved_bytes, "bytes", "kept by autograd for the backward pass"),
    ]
    return [
        (name, exact(value), human_bytes(value) if unit == "bytes" else human_count(value, unit), meaning)
        for name, value, unit, meaning in lines
        if value is not None
    ]


def published_facts(table: CostTable) -> tuple[Fact, ...]:
    """Return what was published of a net of the zoo, where it is built and run as it was published."""
    variant = find(table.run.model) if table.run.source == "zoo" else None
    if variant is None or not table.run.inputs or " -k " in table.run.command:
        return ()
    return facts_of(variant.name) if set(table.run.inputs[0].shape[2:]) == {variant.image_size} else ()


def memory_cells(line: MemoryLine) -> tuple[str, str, str, str]:
    """Write one definition of memory: its name, elements, bytes (exact, and for people), note."""
    if line.bytes is None or line.elements is None:
        return line.definition, "unknown", "unknown", line.note
    human = human_bytes(line.bytes)
    size = human if line.bytes < 1024 else f"{exact(line.bytes)} = {human}"
    return line.definition, exact(line.elements), size, line.note


def coverage_lines(table: CostTable) -> list[tuple[str, str]]:
    """Say which ops were counted, which are free by rule, which are unknown, and what was assumed."""

    def listed(ops: Iterable[tuple[str, int]]) -> str:
        return ", ".join(f"{op} ×{count}" if count > 1 else op for op, count in ops) or "none"

    found = table.coverage
    if table.run.mode == PARAMETERS:
        return [
            (f"{what} in", ", ".join(dtypes) or "none")
            for what, dtypes in (("parameters", table.run.param_dtypes), ("buffers", table.run.buffer_dtypes))
        ]
    lines = [
        ("counted", listed(found.counted)),
        ("free by rule", listed(found.free)),
        ("unknown, counted as 0", listed(found.unknown)),
    ]
    if found.assumed:
        lines.append(("assumed", "; ".join(f"{listed([(a.op, a.calls)])}: {a.text}" for a in found.assumed)))
    return lines
