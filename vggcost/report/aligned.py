"""Columns of text in line with one another, for a terminal; the time it takes grows as the number of cells."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.cells import cell_len

from vggcost.inert import inert

__all__ = ["aligned"]

Row = Sequence[str]

_GAP = "   "
_LEAST = 20  # cells that a name keeps where the lines are too long


def aligned(titles: Row, rows: Sequence[Row], totals: Row, left: Collection[int], width: int) -> list[str]:
    """Lay a table out: its titles, a rule, its rows and its totals, with an empty line around them.

    Where the lines would be longer than `width`, the names of the first column lose their beginnings. A figure is never
    cut.

    Args:
        titles: of the columns.
        rows: their cells, as many as there are titles.
        totals: the cells of the last row.
        left: which columns begin at one place; the others end at one.
        width: of the terminal.

    Example:
        >>> for line in aligned(("layer", "MACs"), [("conv1", "9"), ("fc", "100")], ("total", "109"), {0}, 80):
        ...     print(line)
        <BLANKLINE>
         layer   MACs
         ────────────
         conv1      9
         fc       100
        <BLANKLINE>
         total    109
        <BLANKLINE>
    """
    columns = [[inert(cell) for cell in column] for column in zip(titles, *rows, totals, strict=True)]
    sizes = [[_cells(cell) for cell in column] for column in columns]
    widths = [max(found) for found in sizes]
    spare = width - len(_GAP) * (len(widths) - 1) - sum(widths[1:]) - 1
    if widths[0] > max(spare, _LEAST):
        widths[0] = max(spare, _LEAST)
        columns[0] = [_shortened(cell, widths[0]) for cell in columns[0]]
        sizes[0] = [_cells(cell) for cell in columns[0]]
    padded = [
        _padded(column, found, widest, number in left)
        for number, (column, found, widest) in enumerate(zip(columns, sizes, widths, strict=True))
    ]
    lines = [f" {_GAP.join(cells)}".rstrip() for cells in zip(*padded, strict=True)]
    rule = " " + "─" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    return ["", lines[0], rule, *lines[1:-1], "", lines[-1], ""]


def _cells(cell: str) -> int:
    return len(cell) if cell.isascii() else cell_len(cell)


def _padded(column: Row, sizes: Sequence[int], width: int, left: bool) -> list[str]:
    if left:
        return [cell + " " * (width - size) for cell, size in zip(column, sizes, strict=True)]
    return [" " * (width - size) + cell for cell, size in zip(column, sizes, strict=True)]


def _shortened(cell: str, width: int) -> str:
    """Leave the beginning of a name out, since its end is what tells it from others."""
    if _cells(cell) <= width:
        return cell
    start = len(cell) - width + 1
    while not cell.isascii() and _cells(cell[start:]) >= width:
        start += 1
    return f"…{cell[start:]}"
