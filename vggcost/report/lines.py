"""Figures that grow evenly with the batch: p + q·N, found from two runs and checked by others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

__all__ = ["Fit", "Line", "at", "constant", "fitted", "highest", "holds"]

Line = tuple[int, int]
"""p and q."""

Values = Sequence[int | None]
"""Figures of one run, in an order that is the same for all runs; None: what this run does not tell."""


class Fit(NamedTuple):
    """A line for each figure, and whether batch 1 is another matter, as where a reshape of one item copies nothing."""

    lines: tuple[Line | None, ...]
    apart: bool = False


def at(line: Line, batch: int) -> int:
    """Return p + q·N.

    Example:
        >>> at((1, 2), 10)
        21
    """
    return line[0] + line[1] * batch


def constant(values: Values) -> Fit:
    """Take the figures of the only batch that is known."""
    return Fit(tuple(None if value is None else (value, 0) for value in values))


def fitted(run: Callable[[int], Values | None], checked: Iterable[int]) -> Fit | None:
    """Find the lines on which figures lie, from batches 1 and 2, or 2 and 3 if batch 1 is another matter.

    Args:
        run: gives the figures of a batch; None: it does not run.
        checked: other batches that must lie on the lines.

    Example:
        >>> fitted(lambda n: [3 * n, 5], [64])
        Fit(lines=((0, 3), (5, 0)), apart=False)
        >>> fitted(lambda n: [2 * n + 8 if n > 1 else 0], [64])
        Fit(lines=((8, 2),), apart=True)
        >>> fitted(lambda n: [n * n], [64]) is None
        True
    """
    checked = sorted(checked)
    for first in (1, 2):
        lines = _through(first, run(first), run(first + 1))
        if lines and all(holds(lines, batch, run(batch)) for batch in checked if batch >= first):
            return Fit(lines, first == 2)
    return None


def _through(batch: int, here: Values | None, after: Values | None) -> tuple[Line | None, ...]:
    """The lines through two batches that follow one another; none where they tell different things."""
    if here is None or after is None or len(here) != len(after):
        return ()
    lines: list[Line | None] = []
    for a, b in zip(here, after, strict=True):
        if (a is None) != (b is None):
            return ()
        lines.append(None if a is None or b is None else (a - (b - a) * batch, b - a))
    return tuple(lines)


def holds(lines: Sequence[Line | None], batch: int, values: Values | None) -> bool:
    """Whether all figures of a batch lie on their lines."""
    if values is None or len(values) != len(lines):
        return False
    return all(
        value is None if line is None else value == at(line, batch) for line, value in zip(lines, values, strict=True)
    )


def highest(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return those lines that are the highest for some N of 1 or more.

    From the line that is highest at 1, go on to the one that is crossed first.

    Example:
        >>> highest([(9, 1), (0, 2), (5, 1), (1, 0)])
        ((9, 1), (0, 2))
    """
    known = sorted(set(lines))
    now = max(known, key=lambda line: (at(line, 1), line[1]))
    found = [now]
    while steeper := [line for line in known if line[1] > now[1]]:
        start, slope = now
        now = min(steeper, key=lambda line: (Fraction(start - line[0], line[1] - slope), -line[1]))
        found.append(now)
    return tuple(found)
