"""How much memory a run and a training step need at once, for any batch and dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from vggcost.report.scaling import CHECKED, RUNS, SIZES, Terms, evaluate, terms_of

__all__ = ["Lives", "Need", "largest", "needs_of"]

Lives = Mapping[str, Sequence[int]]
"""Bytes alive during each op, by what is meant."""


@dataclass(frozen=True, slots=True)
class Need:
    """The most bytes that are alive at once.

    Attributes:
        bytes: as it was run.
        terms: those of the ops that can be the fullest, for some batch and dtype; none: not known for others.
    """

    bytes: int
    terms: tuple[Terms, ...] = ()


def needs_of(run: Callable[[int, str], Lives], batch: int, *, scales: bool) -> dict[str, Need]:
    """Find what a model needs at most, and how that follows the batch and the dtype.

    The bytes alive during one op are p + q·N + s·(r + t·N), as a layer's are; the need is the largest of them. Which op
    that is may change with N, so that all which can be are kept.

    Args:
        run: says what is alive for a batch and a dtype.
        batch: N of the run that is shown, which is of float32 if it scales.
        scales: whether to run other batches and dtypes.

    Returns:
        A need for each name of `run`; without terms where the ops differ, or an op does not grow evenly.
    """
    first = run(batch, "float32" if scales else "")
    found = {name: Need(max(series)) for name, series in first.items()}
    if not scales:
        return found
    lives = [first, *(run(batch + more, dtype) for more, dtype in RUNS[1:])]
    more, dtype = CHECKED
    last = run(batch + more, dtype)
    return {
        name: Need(need.bytes, _terms([life[name] for life in lives], last[name], batch))
        for name, need in found.items()
    }


def _terms(series: Sequence[Sequence[int]], last: Sequence[int], batch: int) -> tuple[Terms, ...]:
    """Those of the ops that matter; none where an op does not grow evenly."""
    if len({len(each) for each in (*series, last)}) != 1:
        return ()
    more, dtype = CHECKED
    known: set[Terms] = set()
    for *values, checked in zip(*series, last, strict=True):
        terms = terms_of(values, batch)
        if terms is None or evaluate(terms, batch + more, SIZES[dtype]) != checked:
            return ()
        known.add(terms)
    return tuple(sorted({terms for size in set(SIZES.values()) for terms in largest(known, size)}))


def largest(known: Iterable[Terms], size: int) -> list[Terms]:
    """Return those terms that are the largest for some N of 1 or more, at a number of bytes an element.

    For one size each is a line over N; from the line that is highest at 1, go on to the one that is crossed first.

    Example:
        >>> largest([(9, 1, 0, 0), (0, 2, 0, 0), (5, 1, 0, 0), (1, 0, 0, 0)], 4)
        [(9, 1, 0, 0), (0, 2, 0, 0)]
    """
    lines = {(p + size * r, q + size * t): (p, q, r, t) for p, q, r, t in sorted(known)}
    at = max(lines, key=lambda line: (line[0] + line[1], line[1]))
    found = [lines[at]]
    while steeper := [line for line in lines if line[1] > at[1]]:
        start, slope = at
        at = min(steeper, key=lambda line: (Fraction(start - line[0], line[1] - slope), -line[1]))
        found.append(lines[at])
    return found
