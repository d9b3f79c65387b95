"""Baseline against fresh figures: verdicts, and the layers responsible. Arithmetic on records, without torch."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from vggcost.guard.baseline import Entry, kept
from vggcost.guard.limits import TRAINING, Limit, limits_of
from vggcost.records import NOT_RUN, OF_RUN, PARAMETERS, CostTable, LayerCost
from vggcost.report.difference import Change, changed_attributes, difference
from vggcost.report.view import layer_name
from vggcost.units import shape

__all__ = ["OUTCOMES", "Cause", "Checked", "Verdict", "accept_command", "broken", "check_model", "status_of", "unlike"]

OUTCOMES = ("error", "fail", "not comparable", "improved", "pass")
"""The worst first."""

_STATUS = {"error": 2, "fail": 1, "not comparable": 1}


@dataclass(frozen=True, slots=True)
class Cause:
    """A layer that changes a figure, or without a baseline one that has a share of it.

    Attributes:
        path: its name.
        change: by how much.
        how: `added`, `removed`, `changed` or `has`.
        what: what differs of it: `out_channels 512 → 528`.
    """

    path: str
    change: int
    how: str
    what: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a limit says of one model's figure.

    Attributes:
        model: its name.
        metric: of `METRICS`.
        layers: the pattern of layers that are meant; empty: the whole model.
        limit: as it is written.
        before: the figure of the baseline, None: there is none.
        after: the present figure, None: it could not be had.
        most: the largest figure that is allowed; None: not known.
        outcome: of `OUTCOMES`, except `error`.
        reason: why it is not comparable.
        lockable: whether a new baseline settles it, where it did not pass.
        causes: the layers responsible, the largest first.
    """

    model: str
    metric: str
    layers: str
    limit: str
    before: int | None
    after: int | None
    most: int | None
    outcome: str
    reason: str = ""
    lockable: bool = False
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """All that is to be said of one model; `error` where it could not be built or run."""

    model: str
    verdicts: tuple[Verdict, ...]
    accept: str
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def outcome(self) -> str:
        """The worst of its verdicts."""
        found = {verdict.outcome for verdict in self.verdicts} | ({"error"} if self.error else set())
        return next((outcome for outcome in OUTCOMES if outcome in found), "pass")


def status_of(checked: Iterable[Checked]) -> int:
    """Return the exit status: 0 all pass, 1 a check failed, 2 a model could not be checked."""
    return max((_STATUS.get(model.outcome, 0) for model in checked), default=0)


def check_model(before: Entry | None, after: Entry, limits: Iterable[Limit] | None, accept: str = "") -> Checked:
    """Compare a model with its baseline.

    Args:
        before: what the baseline holds; None: nothing of this model.
        after: what it costs now.
        limits: all there are; None: no count may grow.
        accept: the command that takes the present figures for the baseline; empty: that of `accept_command`.

    Raises:
        OptionError: a limit makes no sense for its metric.
    """
    name = after.spec.name
    accept = accept or accept_command(name, after.spec.source)
    chosen = limits_of(name, after.table.run.mode, limits)
    changes = difference(before.table, after.table).changes if before is not None else ()
    verdicts = tuple(_verdict(before, after, limit, accept, changes) for limit in chosen)
    found = Checked(name, verdicts, accept)
    return replace(found, notes=tuple(_notes(found, before, after)))


def broken(name: str, source: str, error: str) -> Checked:
    """Say that a model could not be built or run."""
    return Checked(name, (), accept_command(name, source), error=error)


def accept_command(name: str, source: str, options: str = "") -> str:
    """Return the command that takes the present figures for the baseline; without a source, a test does.

    Args:
        name: the model's.
        source: as `Spec.source`.
        options: what `vggcost lock` needs beside the name, such as `--baseline other.json`.

    Example:
        >>> accept_command("mine", "./net.py:make")
        'vggcost lock mine'
    """
    if not source:
        return "pytest --vggcost-lock"
    return " ".join(["vggcost lock", shlex.quote(name), *([options] if options else [])])


def _notes(found: Checked, before: Entry | None, after: Entry) -> Iterable[str]:
    if found.outcome == "improved":
        yield f"better than the baseline: '{found.accept}' keeps it so"
    drifted = before is not None and kept(before).table.layers != kept(after).table.layers
    if found.outcome == "pass" and drifted:
        yield f"within the limits, but the layers are not those of the baseline: '{found.accept}' takes them over"
    unknown = after.table.coverage.unknown
    if unknown:
        ops = ", ".join(op for op, _ in unknown)
        yield f"{len(unknown)} unknown to convention {after.table.convention.name}, counted as 0: {ops}"


def _verdict(before: Entry | None, after: Entry, limit: Limit, accept: str, changes: Sequence[Change]) -> Verdict:
    name, metric, tolerance = after.spec.name, limit.metric, limit.tolerance
    layers = limit.layers(name) or ""
    old = figure(before, metric, layers) if before is not None else None
    new = figure(after, metric, layers)
    verdict = Verdict(name, metric, layers, limit.text, old, new, None, "not comparable")
    ceiling = tolerance.kind == "ceiling"
    if reason := _unknown(before, after, limit, new):
        return replace(verdict, reason=reason)
    if not ceiling and (reason := _incomparable(before, after, limit, accept)):
        return replace(verdict, reason=reason, lockable=True)
    assert new is not None
    most = tolerance.most(old or 0)
    comparable = before is not None and old is not None and not unlike(before, after)
    outcome = "fail" if new > most else "improved" if not ceiling and new < (old or 0) else "pass"
    # Who is responsible: what changed, or where nothing did, what a ceiling is too low for.
    found = _causes(changes, metric, layers) if comparable and new != old else []
    if outcome == "fail" and not found:
        found = _shares(after.table, metric, layers)
    return replace(verdict, most=most, outcome=outcome, lockable=not ceiling, causes=tuple(found))


def figure(entry: Entry, metric: str, layers: str = "") -> int | None:
    """Return a figure of a model, or of those of its layers that match a pattern; None: there is none."""
    if not layers:
        return entry.get(metric)
    found = [getattr(layer, metric) for layer in entry.table.layers if _within(layer, layers)]
    return None if None in found else sum(found)


def _within(layer: LayerCost | None, pattern: str) -> bool:
    """Whether a layer, or what it lies in, matches a pattern."""
    if layer is None:
        return False
    return not pattern or fnmatchcase(layer.path, pattern) or fnmatchcase(layer.path, f"{pattern}.*")


def _unknown(before: Entry | None, after: Entry, limit: Limit, new: int | None) -> str:
    """Say why the present figure is not known."""
    name, layers = after.spec.name, limit.layers(after.spec.name) or ""
    if limit.metric in TRAINING and after.table.run.mode != "training":
        return (
            f"{limit.metric} is of a training step, and {name} is run in inference; "
            f'give it mode = "training", or limit the others by name, as MODEL={limit.metric}:0'
        )
    if after.table.run.mode == PARAMETERS and limit.metric in OF_RUN:
        return f"{name}: {NOT_RUN}"
    if new is None:
        return f"a saved table does not tell {limit.metric}; check the model itself"
    rows = (*after.table.layers, *(before.table.layers if before is not None else ()))
    if not any(_within(layer, layers) for layer in rows):
        return f"no layer of {name} matches {layers!r}"
    return ""


def _incomparable(before: Entry | None, after: Entry, limit: Limit, accept: str) -> str:
    """Say why there is nothing to compare with."""
    if before is None:
        return f"not in the baseline; '{accept}' adds it"
    if text := unlike(before, after):
        return f"{text}; '{accept}' takes it over"
    if before.get(limit.metric) is None:
        return f"the baseline does not tell {limit.metric}; '{accept}' adds it"
    return ""


def _priced(table: CostTable) -> Any:
    """What a convention counts, whatever its sentence."""
    return replace(table.convention, sentence="")


# What must be the same for figures to be compared: how it is found, and how it is written.
_CIRCUMSTANCES: dict[str, tuple[Callable[[CostTable], Any], Callable[[CostTable], str]]] = {
    "schema": (lambda t: t.schema, lambda t: str(t.schema)),
    "mode": (lambda t: t.run.mode, lambda t: t.run.mode),
    "convention": (_priced, lambda t: t.convention.name),
    "input": (
        lambda t: [(i.name, i.shape) for i in t.run.inputs],
        lambda t: ", ".join(f"{i.name} {shape(i.shape)}" for i in t.run.inputs),
    ),
    "dtype": (lambda t: [i.dtype for i in t.run.inputs], lambda t: ", ".join(i.dtype for i in t.run.inputs)),
}


def unlike(before: Entry, after: Entry) -> str:
    """Say in what two entries cannot be compared; empty if they can."""
    found = []
    for name, (value, text) in _CIRCUMSTANCES.items():
        if value(before.table) != value(after.table):
            old, new = text(before.table), text(after.table)
            found.append(
                f"another {name}: {old} → {new}" if old != new else f"another {name}: {old} counts differently now"
            )
    return "; ".join(found)


def _causes(changes: Iterable[Change], metric: str, layers: str) -> list[Cause]:
    if metric == "peak_bytes":  # the moment of the peak is of the whole step
        return []
    found = [
        Cause(change.path, grows, _how(change), tuple(_what(change)))
        for change in changes
        if (grows := change.change(metric)) and (_within(change.before, layers) or _within(change.after, layers))
    ]
    return sorted(found, key=lambda cause: -abs(cause.change))


def _how(change: Change) -> str:
    return "added" if change.before is None else "removed" if change.after is None else "changed"


def _what(change: Change) -> Iterable[str]:
    if change.before is None or change.after is None:
        layer = change.after or change.before
        assert layer is not None
        yield layer.kind
        return
    named = [f"{name} {old} → {new}".lstrip() for name, old, new in changed_attributes(change.before, change.after)]
    yield from named
    if not named and change.before.output_shape != change.after.output_shape:
        yield f"output {shape(change.before.output_shape)} → {shape(change.after.output_shape)}"


def _shares(table: CostTable, metric: str, layers: str) -> list[Cause]:
    """The layers that a figure is made of, where there is nothing to compare with."""
    if metric == "peak_bytes":
        return []
    found = [
        Cause(layer_name(layer), getattr(layer, metric), "has", (layer.kind,))
        for layer in table.layers
        if getattr(layer, metric) and _within(layer, layers)
    ]
    return sorted(found, key=lambda cause: -cause.change)
