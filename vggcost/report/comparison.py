"""Several models side by side: one row a model, from their cost tables and published facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vggcost.cost.families import is_convolution, is_fully_connected, is_recurrent
from vggcost.errors import InputError, OptionError
from vggcost.records import CostTable, LayerCost
from vggcost.report.view import published_facts
from vggcost.units import did_you_mean, exact, human_bytes, human_count, shape
from vggcost.zoo import find
from vggcost.zoo.facts import ONE_CROP, ONE_NET, facts_of, title_of

__all__ = ["COLUMNS", "DEFAULT_COLUMNS", "Column", "Comparison", "Row", "block_of", "compare", "label"]

Value = int | float | str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: how its value is found, and how it is written for people."""

    title: str
    value: Callable[[CostTable], Value]
    write: Callable[[int], str] = exact
    ratio: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One model of a comparison; `mark` says which footnote its errors carry, `at` which of the tables is its own."""

    model: str
    title: str
    values: dict[str, Value]
    ratios: dict[str, float]
    mark: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows and columns, with what a reader must know to read them; `command` makes it again, where that is known."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    baseline: str | None
    notes: tuple[str, ...]
    footnotes: tuple[tuple[str, str], ...]
    tables: tuple[CostTable, ...]
    command: str = ""


def label(table: CostTable) -> str:
    """Return a short name: `VGG-16` for a net of the zoo."""
    return title_of(table.run.model) if table.run.source == "zoo" and find(table.run.model) else table.run.title


def _params(chosen: Callable[[LayerCost], bool]) -> Callable[[CostTable], int | None]:
    def params(table: CostTable) -> int | None:
        known = table.totals.macs is not None  # a run tells which they are
        return sum(layer.params for layer in table.layers if chosen(layer)) if known else None

    return params


def _field(table: CostTable) -> Value:
    """The largest receptive field of a convolution; none where a later layer sees the input through no window."""
    found: list[tuple[int, ...]] = []
    for layer in table.layers:
        field = layer.receptive_field
        if layer.macs and field is None:
            found = []
        elif is_convolution(layer):
            found.append((field,) if isinstance(field, int) else field or ())
    axes = max(map(len, found), default=0)
    largest = [max(sizes) for sizes in zip(*[size * axes if len(size) == 1 else size for size in found], strict=True)]
    return None if not largest else largest[0] if len(set(largest)) == 1 else shape(tuple(largest))


def _saved(table: CostTable) -> int | None:
    return next((line.bytes for line in table.memory if line.definition == "saved for backward"), None)


COLUMNS: dict[str, Column] = {
    "weight_layers": Column("weight layers", lambda t: t.weight_layers),
    "params": Column("params", lambda t: t.totals.params, human_count, ratio=True),
    "conv_params": Column("conv params", _params(is_convolution), human_count, ratio=True),
    "fc_params": Column("fc params", _params(is_fully_connected), human_count, ratio=True),
    "param_bytes": Column("param bytes", lambda t: t.totals.param_bytes, human_bytes, ratio=True),
    "macs": Column("MACs", lambda t: t.totals.macs, human_count, ratio=True),
    "flops": Column("FLOPs", lambda t: t.totals.flops, human_count, ratio=True),
    "activations": Column("activations", lambda t: t.totals.activations, human_count, ratio=True),
    "activation_bytes": Column("activation bytes", lambda t: t.totals.activation_bytes, human_bytes, ratio=True),
    "saved_bytes": Column("saved bytes", _saved, human_bytes, ratio=True),
    "receptive_field": Column("receptive field", _field),
    "top1_error": Column("top-1 error %", lambda t: None),
    "top5_error": Column("top-5 error %", lambda t: None),
    "images_per_s": Column("images/s", lambda t: None),
}
DEFAULT_COLUMNS = (
    "weight_layers params conv_params fc_params param_bytes macs flops activations activation_bytes saved_bytes "
    "receptive_field top1_error top5_error"
).split()
_ERRORS = {"top1_error": "top-1 error", "top5_error": "top-5 error"}
_MOST_NAMES = 6  # models that a sentence names; of more it says how many
_MARKS = "abcdefghijklmnop"


def compare(
    tables: Sequence[CostTable],
    columns: Sequence[str] = DEFAULT_COLUMNS,
    sort: str | None = None,
    baseline: str | None = None,
    allow_different_inputs: bool = False,
) -> Comparison:
    """Put models side by side.

    Args:
        tables: one a model.
        columns: names of `COLUMNS`.
        sort: a column; with a leading `-` the largest first. None keeps the order given.
        baseline: the model that ratios refer to; None: no ratios.
        allow_different_inputs: give ratios although inputs, modes or conventions differ.

    Raises:
        OptionError: a column, or the baseline, does not exist.
        InputError: ratios of models that were run on different inputs, modes or conventions.
    """
    for name in (*columns, *([sort.lstrip("-")] if sort else [])):
        if name not in COLUMNS:
            raise OptionError(f"no column {name!r}{did_you_mean(name, COLUMNS)}; columns: {', '.join(COLUMNS)}")
    notes = _differences(tables)
    base = _find(tables, baseline) if baseline else None
    if base and notes and not allow_different_inputs:
        raise InputError(f"no ratios: {'; '.join(notes)} (--allow-different-inputs gives them all the same)")
    protocol = _protocol([table.run.model for table in tables if table.run.source == "zoo"])
    rows, footnotes = [], dict[str, str]()
    for at, table in enumerate(tables):
        errors, text = _errors(table, protocol)
        wanted = any(name in columns for name in _ERRORS) and errors
        mark = _mark(text, footnotes) if wanted else ""
        values = {name: column.value(table) for name, column in COLUMNS.items()}
        values |= {name: errors.get(quantity) for name, quantity in _ERRORS.items()}
        values["images_per_s"] = next(
            (float(f.value) for f in published_facts(table) if f.quantity == "images/s"), None
        )
        rows.append(Row(table.run.model, label(table), values, _ratios(table, base), mark, at))
    if sort:
        key = sort.lstrip("-")
        order = -1 if sort.startswith("-") else 1
        known = [row for row in rows if isinstance(row.values[key], (int, float))]
        unknown = [row for row in rows if row not in known]
        rows = sorted(known, key=lambda row: order * float(row.values[key] or 0)) + unknown
    marks = tuple((mark, text) for text, mark in footnotes.items())
    return Comparison(tuple(columns), tuple(rows), label(base) if base else None, tuple(notes), marks, tuple(tables))


def _find(tables: Sequence[CostTable], name: str) -> CostTable:
    wanted = name.lower().replace("_", "-")
    for table in tables:
        names = (table.run.model, *table.run.aliases, label(table))
        if wanted in (known.lower() for known in names) or wanted.replace("-", "") in (
            known.lower().replace("-", "") for known in names
        ):
            return table
    raise OptionError(f"the baseline {name!r} is not among the models: {', '.join(t.run.model for t in tables)}")


def _differences(tables: Sequence[CostTable]) -> list[str]:
    """What keeps figures from being compared, in words."""
    notes = []
    for what, value in (
        ("inputs", lambda t: ", ".join(shape(i.shape) for i in t.run.inputs) or "none"),
        ("dtypes", lambda t: ", ".join(i.dtype for i in t.run.inputs) or "none"),
        ("modes", lambda t: t.run.mode),
        ("conventions", lambda t: t.convention.name),
    ):
        found: dict[str, list[str]] = {}
        for table in tables:
            found.setdefault(value(table), []).append(label(table))
        if len(found) > 1:
            notes.append(f"{what} differ: " + "; ".join(f"{key} for {_listed(names)}" for key, names in found.items()))
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} models"


def _ratios(table: CostTable, base: CostTable | None) -> dict[str, float]:
    if base is None:
        return {}
    ratios = {}
    for name, column in COLUMNS.items():
        mine, theirs = column.value(table), column.value(base)
        if column.ratio and isinstance(mine, int) and isinstance(theirs, int) and theirs:
            ratios[name] = mine / theirs
    return ratios


def _protocol(models: Sequence[str]) -> str | None:
    """The protocol under which most of these models have published errors, so that most can be compared."""
    counts: dict[str, int] = {}
    for model in models:
        for protocol in {f.protocol for f in facts_of(model) if f.quantity in _ERRORS.values() and f.unit == "%"}:
            counts[protocol] = counts.get(protocol, 0) + 1
    # Among equals, one crop of one net says most of the architecture itself.
    order = {ONE_CROP: 0, ONE_NET: 1}
    return min(counts, key=lambda p: (-counts[p], order.get(p, 2), p), default=None)


def _errors(table: CostTable, protocol: str | None) -> tuple[dict[str, float], str]:
    facts = [fact for fact in published_facts(table) if fact.quantity in _ERRORS.values() and fact.unit == "%"]
    protocols = list(dict.fromkeys(fact.protocol for fact in facts))
    if not protocols:
        return {}, ""
    preferred = [p for p in (protocol, ONE_CROP, ONE_NET) if p in protocols]
    chosen = (preferred or protocols)[0]
    found = [fact for fact in facts if fact.protocol == chosen]
    return {fact.quantity: float(fact.value) for fact in found}, f"{chosen}; {found[0].source}"


def _mark(text: str, footnotes: dict[str, str]) -> str:
    return footnotes.setdefault(text, _MARKS[len(footnotes) % len(_MARKS)])


def block_of(layer: LayerCost) -> str | None:
    """Name the block of a layer with weights: the stride of its map, `recurrent` or `fc`; None for others."""
    if is_convolution(layer):
        return str(layer.jump) if isinstance(layer.jump, int) else "other"
    if is_recurrent(layer):
        return "recurrent"
    return "fc" if is_fully_connected(layer) else None
