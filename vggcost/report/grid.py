"""A table of text, laid out once, and written as Markdown or as reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vggcost.inert import inert
from vggcost.records import CostTable, LayerCost
from vggcost.report.markdown import escape
from vggcost.report.view import Column, cell, columns, fold, layer_name, total, totals_lines

__all__ = ["LAYER_COLUMNS", "Grid", "escape_rst", "layers_grid", "markdown", "rst", "totals_grid"]


@dataclass(frozen=True, slots=True)
class Grid:
    """Titles, rows of cells, and the lines under them, all plain text; `left` are the columns of words."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    left: tuple[int, ...] = (0,)


LAYER_COLUMNS = {
    name: Column(name, title)
    for name, title in (
        ("kind", "kind"),
        ("output_shape", "output"),
        ("params", "params"),
        ("weights", "weights"),
        ("biases", "biases"),
        ("trainable", "trainable"),
        ("param_bytes", "param bytes"),
        ("macs", "MACs"),
        ("flops", "FLOPs"),
        ("backward_macs", "backward MACs"),
        ("backward_flops", "backward FLOPs"),
        ("activations", "activations"),
        ("activation_bytes", "activation bytes"),
        ("conv_activations", "conv activations"),
        ("saved_bytes", "saved bytes"),
        ("receptive_field", "receptive field"),
        ("jump", "jump"),
        ("working", "arithmetic"),
    )
}
"""What a table of layers may show."""
_WORDS = ("kind", "output_shape", "working")


def layers_grid(table: CostTable, chosen: Sequence[str] = (), depth: int | None = None) -> Grid:
    """Lay the layers out, one row a layer, with their totals as the last row.

    Args:
        table: what to show.
        chosen: names of `LAYER_COLUMNS`; none: kind, and the columns of `vggcost report`.
        depth: fold layers nested deeper than this.
    """
    names = list(chosen) or ["kind", *(column.name for column in columns(table))]
    rows = [(layer_name(layer), *(_cell(layer, name) for name in names)) for layer in fold(table, depth)]
    totals = [total(table, name) for name in names]
    titles = ("layer", *(LAYER_COLUMNS[name].title for name in names))
    left = (0, *(place for place, name in enumerate(names, 1) if name in _WORDS))
    return Grid(titles, (*rows, ("total", *totals)), (_setting(table),), left)


def _cell(layer: LayerCost, name: str) -> str:
    return str(getattr(layer, name)) if name in ("kind", "working") else cell(layer, LAYER_COLUMNS[name])


def totals_grid(table: CostTable) -> Grid:
    """Lay the totals out: the exact figure, the figure for people, and what it means."""
    titles = ("quantity", "exact", "about", "meaning")
    return Grid(titles, tuple(totals_lines(table)), (_setting(table),), left=(0, 3))


def _setting(table: CostTable) -> str:
    return f"{table.run.mode}, convention {table.convention.name}"


def markdown(grid: Grid) -> str:
    r"""Write a grid as a Markdown table.

    Example:
        >>> print(markdown(Grid(("model", "MACs"), (("a|b", "3 k"),), ("inference",))), end="")
        | model | MACs |
        | :-- | --: |
        | a\|b | 3 k |
        <BLANKLINE>
        inference
    """
    grid = inert(grid)
    lines = ["| " + " | ".join(escape(title) for title in grid.titles) + " |"]
    lines.append("| " + " | ".join(":--" if place in grid.left else "--:" for place in range(len(grid.titles))) + " |")
    lines += ["| " + " | ".join(escape(text) for text in row) + " |" for row in grid.rows]
    return "\n".join([*lines, "", *(f"{escape(note)}  " for note in grid.notes)]).rstrip() + "\n"


def rst(grid: Grid) -> str:
    """Write a grid as a `list-table` of reStructuredText, with a line block under it."""
    grid = inert(grid)
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (grid.titles, *grid.rows):
        lines += [f"   {' ' if place else '*'} - {escape_rst(text)}" for place, text in enumerate(row)]
    return "\n".join([*(line.rstrip() for line in lines), "", *(f"| {escape_rst(note)}" for note in grid.notes)]) + "\n"


def escape_rst(value: str) -> str:
    r"""Make text harmless in reStructuredText.

    Example:
        >>> escape_rst("conv1_1: a*b|c`")
        'conv1\\_1: a\\*b\\|c\\`'
    """
    plain = re.sub(r"([\\`*_|])", r"\\\1", inert(" ".join(str(value).split())))
    begins_a_list = re.match(r"[^\w\\\s]|\w{1,6}[.)](\s|$)", plain)
    return f"\\{plain}" if begins_a_list else plain
