"""How a model's figures follow the batch and the dtype, found by running it for a few of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vggcost.errors import VggcostError
from vggcost.records import CostTable
from vggcost.report.dtypes import size_of
from vggcost.report.lines import Fit, Line, at, constant, fitted, highest
from vggcost.report.needs import Lives, Need
from vggcost.report.scaling import LARGEST, Place, Scaling, Variant, figures_of, ruled
from vggcost.units import exact

__all__ = ["FAR", "Sample", "scaled"]

FAR = 2**16
"""A batch beyond the sizes at which kernels, and what is held for real, become others; what holds there holds beyond."""

_NEARER = (8, 64, 4096)
"""Batches that are tried where a run does not get so far; the largest that works is the largest that is offered."""

_LOOPS = 64
"""The largest of those for a model that goes through its batch one by one, and takes that much longer."""


class Sample(NamedTuple):
    """One run of a model: its costs, how many ops there were, and the bytes alive during each."""

    table: CostTable
    ops: int
    lives: Lives


@dataclass(frozen=True)
class _Point:
    """What is kept of a sample, in the order of the first one's figures."""

    form: Mapping[str, Any]
    values: list[int | None]
    ops: int
    lives: Lives


class _Runs:
    """The runs of one model, each made once."""

    def __init__(self, run: Callable[[int, str], Sample], first: Sample, dtype: str) -> None:
        self.run, self.own, self.batch = run, dtype, first.table.run.batch
        self.places = [place for place, value in figures_of(first.table).items() if value is not None]
        self.first = self._point(first)
        self.known: dict[tuple[int, str], _Point | None] = {(self.batch, dtype): self.first}
        self.why = ""

    def _point(self, sample: Sample) -> _Point:
        figures = figures_of(sample.table)
        return _Point(_form(sample.table), [figures.get(place) for place in self.places], sample.ops, sample.lives)

    def at(self, batch: int, dtype: str) -> _Point | None:
        """Return what a run gives; None where it gives other things than the first, and `why`."""
        if (batch, dtype) not in self.known:
            where = f"for a batch of {exact(batch)}" if dtype == self.own else f"in {dtype}"
            point, self.known[batch, dtype] = None, None
            try:
                point = self._point(self.run(batch, dtype))
            except VggcostError as error:
                self.why = f"it does not run {where}: {error}"
            if point is not None and (other := self._other(point, batch, dtype)):
                self.why = f"{other} {where}"
            elif point is not None:
                self.known[batch, dtype] = point
        return self.known[batch, dtype]

    def _other(self, point: _Point, batch: int, dtype: str) -> str:
        """Say what is other than in the first run, beside figures."""
        for name, form in point.form.items():
            if form != self.first.form[name] and name != _WORKING:
                return f"{name} are others"
        like = self.known.get((batch, self.own))
        if like is not None and like.form[_WORKING] != point.form[_WORKING]:
            return f"{_WORKING} are others"
        return "some figures are not known" if batch != 1 and None in point.values else ""

    def values(self, dtype: str) -> Callable[[int], list[int | None] | None]:
        """Return what tells the figures for a batch."""

        def told(batch: int) -> list[int | None] | None:
            point = self.at(batch, dtype)
            return point.values if point is not None else None

        return told

    def alive(self, dtype: str, name: str) -> Callable[[int], list[int] | None]:
        """Return what tells the bytes alive for a batch."""

        def told(batch: int) -> list[int] | None:
            point = self.at(batch, dtype)
            return list(point.lives[name]) if point is not None and name in point.lives else None

        return told

    def uneven(self) -> str:
        """Name a figure that does not grow evenly, or say why that is not known."""
        two, three, near = (self.values(self.own)(batch) for batch in (2, 3, _NEARER[0]))
        if two is None or three is None or near is None:
            return self.why
        for (kind, row, column), *figures in zip(self.places, two, three, near, strict=True):
            a, b, c = (figure or 0 for figure in figures)
            if c != a + (b - a) * (_NEARER[0] - 2):
                return f"{column.replace('_', ' ')} of {self._named(kind, row)} do not grow evenly with it"
        return self.why or "not all figures grow evenly with it"

    def _named(self, kind: str, row: int) -> str:
        rows = {"memory": "the kinds of memory", "input": "the inputs"}.get(kind, _LAYERS)
        found = self.first.form[rows][row]
        return (found if isinstance(found, str) else found[0]) or "(model)"


_LAYERS = "the layers that run"
_WORKING = "the sums of the layers"


def _form(table: CostTable) -> dict[str, Any]:
    """What must be the same in all runs, by what it is called."""
    return {
        _LAYERS: [(row.path, row.kind, row.call, row.attributes, len(row.output_shape)) for row in table.layers],
        "the modules": table.containers,
        "receptive fields": [(row.receptive_field, row.jump) for row in table.layers],
        "the kinds of memory": [line.definition for line in table.memory],
        "the loss and the notes": (table.run.loss, table.run.note),
        "the inputs": [(record.name, len(record.shape), record.is_item) for record in table.run.inputs],
        _WORKING: [row.working for row in table.layers],
    }


def scaled(
    run: Callable[[int, str], Sample], first: Sample, dtypes: Sequence[str], fixed: str = ""
) -> tuple[Scaling, dict[str, Need]]:
    """Find how the figures of a model follow the batch and the dtype.

    Args:
        run: runs the model for a batch and a dtype.
        first: the run that is shown.
        dtypes: in which it is to be shown; the first is that of the run.
        fixed: why the batch cannot be another one.

    Returns:
        How the figures of the table follow, and what is needed at most.
    """
    runs = _Runs(run, first, dtypes[0])
    reach = None if fixed else _reach(runs)
    fixed = fixed or ("" if reach else runs.uneven())
    checked, most = (reach[0], reach[1]) if reach else (0, runs.batch)
    least = runs.batch if reach is None else 1 if runs.at(1, runs.own) is not None else 2
    groups: list[tuple[list[str], Fit]] = []
    left_out = []
    for dtype in dtypes:
        runs.why = ""
        alike = next((group for group, _ in groups if _alike(runs, group[0], dtype, bool(reach))), None)
        if alike is not None:
            alike.append(dtype)
        elif (fit := _fit(runs, dtype, checked)) is not None:
            groups.append(([dtype], fit))
        else:
            left_out.append(f"no {dtype} ({runs.why or 'its figures do not grow evenly with the batch'})")
    variants = tuple(Variant(tuple(group), size_of(group[0])) for group, _ in groups)
    fits = [fit for _, fit in groups]
    lines = _lines(runs, variants, fits, (runs.batch, runs.batch + bool(reach)))
    apart = _apart(runs, variants, fits) if least == 1 and reach else {}
    scaling = Scaling(runs.batch, variants, least, most, lines, apart, fixed, "; ".join(left_out))
    return scaling, {name: _need(runs, variants, name, checked) for name, series in first.lives.items() if series}


def _reach(runs: _Runs) -> tuple[int, int] | None:
    """Find the batch up to which all grows evenly, by which it is checked, and the largest one to offer."""
    one, two = runs.at(1, runs.own), runs.at(2, runs.own)
    three = runs.at(3, runs.own) if one is None or two is None or one.ops != two.ops else None
    loops = two is not None and three is not None and two.ops != three.ops
    far = max(FAR, runs.batch + 1)
    if not loops and _fit(runs, runs.own, far) is not None:
        return far, LARGEST
    reached = None
    for near in _NEARER:
        if near <= runs.batch or (loops and near > _LOOPS):
            continue
        if _fit(runs, runs.own, near) is None:
            break
        reached = near, near
    return reached


def _fit(runs: _Runs, dtype: str, checked: int) -> Fit | None:
    """Find the lines of a dtype's figures; a batch of 0 to check stands for the only batch there is."""
    point = runs.at(runs.batch, dtype)
    if point is None:
        return None
    return fitted(runs.values(dtype), {runs.batch, checked}) if checked else constant(point.values)


def _alike(runs: _Runs, known: str, dtype: str, moves: bool) -> bool:
    """Whether a model costs the same in two dtypes: by a run, or two of different batches."""
    if size_of(known) != size_of(dtype):
        return False
    for batch in (1, 2) if moves else (runs.batch,):
        one, other = runs.at(batch, known), runs.at(batch, dtype)
        if one is None or other is None or one.values != other.values or one.lives != other.lives:
            return False
    return True


def _lines(
    runs: _Runs, variants: Sequence[Variant], fits: Sequence[Fit], batches: tuple[int, int]
) -> dict[Place, tuple[Line, ...]]:
    """The lines of those figures that do not follow the rule of their column."""
    found = {}
    then = runs.batch, variants[0].size
    for at_, (place, base) in enumerate(zip(runs.places, runs.first.values, strict=True)):
        lines = tuple(line for fit in fits if (line := fit.lines[at_]) is not None)
        expected = [
            ruled(base or 0, place, then, (batch, variant.size)) == at(line, batch)
            for variant, line in zip(variants, lines, strict=True)
            for batch in batches
        ]
        if not all(expected):
            found[place] = lines
    return found


def _apart(runs: _Runs, variants: Sequence[Variant], fits: Sequence[Fit]) -> dict[Place, tuple[int | None, ...]]:
    """The figures of batch 1 that are not on their lines."""
    if not any(fit.apart for fit in fits):
        return {}
    found = {}
    points = [runs.at(1, variant.dtypes[0]) for variant in variants]
    for at_, place in enumerate(runs.places):
        values = tuple(point.values[at_] if point is not None else None for point in points)
        if any(
            line is None or value != at(line, 1)
            for value, line in zip(values, (f.lines[at_] for f in fits), strict=True)
        ):
            found[place] = values
    return found


def _need(runs: _Runs, variants: Sequence[Variant], name: str, checked: int) -> Need:
    """Find the most that is alive at once, for any batch and dtype."""
    most = max(runs.first.lives[name])
    lines, ones, apart = [], [], False
    for variant in variants:
        alive = runs.alive(variant.dtypes[0], name)
        series = alive(runs.batch)
        if series is None:
            return Need(most)
        fit = fitted(alive, {runs.batch, checked}) if checked else constant(series)
        if fit is None:
            return Need(most)
        lines.append(highest(line for line in fit.lines if line is not None))
        ones.append(max(alive(1) or (), default=None) if checked else None)
        apart = apart or fit.apart
    return Need(most, tuple(lines), tuple(ones) if apart else ())
