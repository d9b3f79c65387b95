"""How the figures of a table follow the batch and the dtype, found from a few runs and checked by another one.

For a batch N and s bytes an element a count is p + q·N + s·(r + t·N), with whole numbers p, q, r, t. Nearly always only
one of the four is not 0: a convolution's MACs are q·N, its activation bytes s·t·N.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vggcost.records import CostTable

__all__ = ["CHECKED", "RUNS", "SAVED", "SIZES", "Scaling", "Terms", "columns_of", "evaluate", "rule", "scaling",
           "terms_of"]  # fmt: skip

Terms = tuple[int, int, int, int]
"""p, q, r and t."""

SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of an element. float64 is another matter: kernels that take float32 for their statistics take float64 there."""

Place = tuple[str, int, str]
"""`layer` or `memory`, the row's position, and its column."""

_COUNTS = ("macs", "flops", "backward_macs", "backward_flops", "activations", "conv_activations")
_BYTES = ("activation_bytes", "saved_bytes")
_LINE = ("elements", "bytes")

COLUMNS = ("params", "weights", "biases", "trainable", "param_bytes", *_COUNTS, *_BYTES)


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a table's figures follow the batch and the dtype.

    Attributes:
        batch: N of the table.
        size: bytes of a floating-point element in it.
        terms: those of the figures that do not follow the rule of their column (see `columns_of`).
        reason: why they are not known; the other attributes mean nothing then.
    """

    batch: int
    size: int
    terms: Mapping[Place, Terms]
    reason: str = ""

    @classmethod
    def unknown(cls, reason: str) -> Scaling:
        """Say why it is not known."""
        return cls(0, 0, {}, reason)


SAVED = Scaling.unknown("the page was made from a saved table")
"""That of a page without a model."""

RUNS = ((0, "float32"), (1, "float32"), (0, "float16"), (1, "float16"))
"""By how much the batch is larger, and the dtype, of the runs that `scaling` takes."""

CHECKED = (4, "bfloat16")
"""Those of the run that checks it."""


def columns_of(name: str) -> int:
    """Return which of the four terms a column has as a rule: 0 none, 1 the batch, 2 the size, 3 both.

    Example:
        >>> columns_of("macs"), columns_of("param_bytes"), columns_of("saved_bytes")
        (1, 2, 3)
    """
    if name in _COUNTS or name == "elements":
        return 1
    return 2 if name == "param_bytes" else 3 if name in _BYTES or name == "bytes" else 0


def scaling(run: Callable[[int, str], CostTable], batch: int) -> Scaling:
    """Find how the figures of a model follow the batch and the dtype.

    Args:
        run: makes the table for a batch and a dtype.
        batch: N of the table that is shown, which is of float32.

    Returns:
        The terms, or why there are none: an op does not grow evenly, or not all is of one dtype.
    """
    tables = [run(batch + more, dtype) for more, dtype in RUNS]
    more, dtype = CHECKED
    last = run(batch + more, dtype)
    if any(_rows(table) != _rows(tables[0]) for table in (*tables, last)):
        return Scaling.unknown("the layers that run depend on the batch or the dtype")
    found: dict[Place, Terms] = {}
    figures = [_figures(table) for table in tables]
    checked = _figures(last)
    for place, value in figures[0].items():
        values = [each[place] for each in figures]
        terms = terms_of(values, batch)
        if terms is None or evaluate(terms, batch + more, SIZES[dtype]) != checked[place]:
            rows = tables[0].layers if place[0] == "layer" else tables[0].memory
            name = getattr(rows[place[1]], "path", "") or getattr(rows[place[1]], "definition", "(model)")
            return Scaling.unknown(f"{place[2]} of {name} do not grow evenly with the batch or the dtype")
        if terms != rule(value, place[2], batch, SIZES["float32"]):
            found[place] = terms
    return Scaling(batch, SIZES["float32"], found)


def evaluate(terms: Terms, batch: int, size: int) -> int:
    """Return p + q·N + s·(r + t·N).

    Example:
        >>> evaluate((1, 2, 3, 4), 10, 2)
        107
    """
    p, q, r, t = terms
    return p + q * batch + size * (r + t * batch)


def rule(value: int, column: str, batch: int, size: int) -> Terms | None:
    """Return the terms of a figure that follows the rule of its column; None: they would not be whole.

    Example:
        >>> rule(1280, "activation_bytes", 2, 4)
        (0, 0, 0, 160)
    """
    kind = columns_of(column)
    divisor = (1, batch, size, size * batch)[kind]
    if value % divisor:
        return None
    terms = [0, 0, 0, 0]
    terms[kind] = value // divisor
    return (terms[0], terms[1], terms[2], terms[3])


def terms_of(values: Sequence[int], batch: int) -> Terms | None:
    """Solve for the terms from the values of `RUNS`; None: they are not whole."""
    wide, narrow = (SIZES[dtype] for _, dtype in (RUNS[0], RUNS[2]))
    a, b, c, d = values
    step, halved = b - a, d - c  # q + s·t
    t, rest = divmod(step - halved, wide - narrow)
    r, rest_of_r = divmod(a - c - batch * (step - halved), wide - narrow)
    if rest or rest_of_r:
        return None
    q = step - wide * t
    return a - q * batch - wide * (r + t * batch), q, r, t


def _rows(table: CostTable) -> list[tuple[str, str, int]]:
    return [(layer.path, layer.kind, layer.call) for layer in table.layers]


def _figures(table: CostTable) -> dict[Place, int]:
    found = {
        ("layer", row, name): int(getattr(layer, name)) for row, layer in enumerate(table.layers) for name in COLUMNS
    }
    for row, line in enumerate(table.memory):
        found |= {("memory", row, name): value for name in _LINE if (value := getattr(line, name)) is not None}
    return found
