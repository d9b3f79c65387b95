"""Which definition gives this number?"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from vggcost.claims.definitions import Definition, definitions
from vggcost.claims.measures import Analyze
from vggcost.claims.numbers import Printed, agrees, readings

__all__ = ["Explanation", "Match", "explain"]

_NEAR = 4
_CONVENTIONS = ("torch", "fvcore", "convnet-burden", "full")
# Which kinds of figure a unit can mean; people print FLOPs and mean MACs.
_KINDS = {
    "bytes": ("bytes",),
    "macs": ("macs", "flops"),
    "flops": ("flops", "macs"),
    "params": ("params",),
    "weights": ("params",),
    "elements": ("elements",),
    "": ("macs", "flops", "params", "elements"),
}


@dataclass(frozen=True, slots=True)
class Match:
    """A definition that gives the number; `unit` is said where MB must be read as MiB."""

    definition: str
    value: int
    kind: str
    unit: str
    cost: int
    off: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """All definitions that give a number, simplest first; where none does, those that come nearest.

    `readings` are the values that the number can stand for, each with its unit, if it has one.
    """

    model: str
    number: str
    matches: tuple[Match, ...]
    near: tuple[Match, ...]
    readings: tuple[tuple[int, str], ...] = ()

    @property
    def nearest(self) -> Match | None:
        """The definition that comes nearest, where none gives the number."""
        return self.near[0] if self.near else None


def explain(model: str, number: str, analyze: Analyze) -> Explanation:
    """Find the definitions of a model's figures that reproduce a number to its printed precision.

    Args:
        model: a model's name.
        number: as printed: `15.3G`, `15.5 GFLOPs`, `51.68MB`, `138.3M`; of what can be read in two ways (`8B`)
            both are tried.
        analyze: runs a model by name, as `vggcost.analyze` does.

    Raises:
        InputError: the number cannot be read.
    """
    printed = readings(number)
    tables = {name: analyze(model, convention=name) for name in _CONVENTIONS}
    step = analyze(model, mode="training")
    tried = [
        _tried(definition, reading, scale, unit, _kinds(reading))
        for definition in definitions(tables, step)
        for reading in printed
        if definition.kind in _kinds(reading)
        for scale, unit in reading.scales()
    ]
    # The same words may be reached twice; the same value under other words is another definition.
    found = {match.definition + match.unit: match for match, fits in tried if fits}
    matches = sorted(found.values(), key=lambda match: (match.cost, match.off, match.definition))
    ranked = sorted((match for match, _ in tried), key=lambda match: (match.off, match.cost))
    near = {match.value: match for match in reversed(ranked[: 10 * _NEAR])}  # the simplest definition of each value
    closest = sorted(near.values(), key=lambda match: (match.off, match.cost))[:_NEAR]
    meant = tuple((int(reading.value * reading.scale), reading.unit) for reading in printed)
    return Explanation(model, printed[0].text, tuple(matches), () if matches else tuple(closest), meant)


def _kinds(printed: Printed) -> tuple[str, ...]:
    return _KINDS.get(printed.unit, _KINDS[""])


def _tried(
    definition: Definition, printed: Printed, scale: int, unit: str, kinds: tuple[str, ...]
) -> tuple[Match, bool]:
    target = printed.value * scale
    off = float(abs(Decimal(definition.value) - target) / target) if target else float("inf")
    # A unit that must be read as another one costs a departure: FLOPs that are MACs.
    other = definition.kind != kinds[0] and printed.unit in ("flops", "macs")
    cost = definition.cost + (1 if other else 0)
    return Match(definition.words, definition.value, definition.kind, unit, cost, off), agrees(
        definition.value, printed, scale
    )
