"""How much memory a run and a training step need at once, for any batch and dtype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vggcost.report.lines import Line, at

__all__ = ["Lives", "Need"]

Lives = Mapping[str, Sequence[int]]
"""Bytes alive during each op, by what is meant."""


@dataclass(frozen=True, slots=True)
class Need:
    """The most bytes that are alive at once.

    What is alive during one op grows evenly with the batch; which op has most may change with it.

    Attributes:
        bytes: as it was run.
        lines: for each variant of the dtypes, those of the ops that can be the fullest; none: not known.
        first: for each variant the bytes at batch 1, where that is another matter; None: not known there.

    Example:
        >>> Need(9, (((9, 0), (0, 2)),)).value(100, 0)
        200
    """

    bytes: int
    lines: tuple[tuple[Line, ...], ...] = ()
    first: tuple[int | None, ...] = ()

    def value(self, batch: int, variant: int) -> int | None:
        """Return the bytes for a batch and a variant of the dtypes, as the page's script does; None: not known."""
        if batch == 1 and self.first:
            return self.first[variant]
        return max((at(line, batch) for line in self.lines[variant]), default=None) if self.lines else None
