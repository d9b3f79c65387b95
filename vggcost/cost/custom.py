"""Costs that a user states for ops of their own."""

from __future__ import annotations

from collections.abc import Callable

from vggcost.errors import OptionError
from vggcost.records import OpRecord

__all__ = ["Formula", "has_macs", "has_price", "is_stated", "register", "stated_macs", "stated_price"]

Formula = Callable[[OpRecord], int]

_macs: dict[str, Formula] = {}
_prices: dict[str, Formula] = {}


def register(name: str, macs: Formula | None, price: Formula | None) -> None:
    """Remember what an op costs; a second call for the same op replaces the first."""
    for table, formula in ((_macs, macs), (_prices, price)):
        table.pop(name, None)
        if formula is not None:
            table[name] = formula


def is_stated() -> bool:
    """Whether the user states what any op costs."""
    return bool(_macs or _prices)


def has_macs(name: str) -> bool:
    """Whether the user states the MACs of an op."""
    return name in _macs


def has_price(name: str) -> bool:
    """Whether the user states what an op costs besides its MACs."""
    return name in _prices


def stated_macs(op: OpRecord) -> int:
    """Return the MACs that the user states for an op; 0 if they state none."""
    return _asked(_macs, op, "macs")


def stated_price(op: OpRecord) -> int:
    """Return the FLOPs that the user states for an op besides its MACs; 0 if they state none."""
    return _asked(_prices, op, "price")


def _asked(table: dict[str, Formula], op: OpRecord, word: str) -> int:
    formula = table.get(op.op)
    if formula is None:
        return 0
    where = f"register_cost: {word} of {op.op.replace('.', '::')}"
    try:
        cost = formula(op)
    except Exception as error:
        shapes = ", ".join(str(shape) for shape in op.input_shapes)
        raise OptionError(f"{where} failed on inputs of {shapes}: {type(error).__name__}: {error}") from error
    if isinstance(cost, bool) or not isinstance(cost, int) or cost < 0:
        raise OptionError(f"{where} returned {cost!r}; it must return a whole number of 0 or more")
    return cost
