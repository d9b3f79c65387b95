"""The layer table as LaTeX, for a paper's appendix (packages booktabs, longtable and siunitx)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vggcost.inert import inert
from vggcost.records import CostTable
from vggcost.report.document import context
from vggcost.report.templates import environment

__all__ = ["aligned", "entry", "escape", "latex"]

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # after the end of a row they would be arguments of it
    "×": r"$\times$", "·": r"$\cdot$", "−": r"$-$", "…": r"\ldots{}", "→": r"$\to$", "–": "--", "—": "---",
    "²": r"$^2$", "ᵀ": r"$^{\mathsf{T}}$", "≤": r"$\le$", "≥": r"$\ge$", "√": r"$\sqrt{\ }$", "Σ": r"$\Sigma$",
    "“": "``", "”": "''", "‘": "`", "’": "'",
    "\n": " ", "\r": " ", "\t": " ",
}  # fmt: skip
_KNOWN = re.compile(r"[ -~À-ÏÑ-ÖØ-Ýß-ïñ-öø-ýÿ]")  # what pdflatex prints in its default fonts
_LONGEST = 80


def escape(value: str) -> str:
    r"""Make text harmless in LaTeX; of a very long one the middle is left out, since TeX has no box so wide.

    Characters that pdflatex does not know are written by their number.

    Example:
        >>> escape("conv1_1: 3×3, 汉")
        'conv1\\_1: 3$\\times$3, {[}U+6C49{]}'
    """
    return "".join(_SPECIAL.get(c) or (c if _KNOWN.match(c) else f"{{[}}U+{ord(c):04X}{{]}}") for c in str(value))


def shortened(value: str) -> str:
    """Leave out the middle of a name that no line holds.

    Example:
        >>> len(shortened("x" * 5000))
        80
    """
    half = _LONGEST // 2
    return value if len(value) <= _LONGEST else f"{value[: half - 1]}…{value[-half:]}"


def entry(text: str) -> str:
    r"""Write a cell of a column that siunitx aligns: plain digits, anything else in braces.

    Example:
        >>> entry("86,704,128"), entry("11×7"), entry("")
        ('86704128', '{11$\\times$7}', '')
    """
    plain = text.replace(",", "")
    return plain if re.fullmatch(r"\d*(\.\d+)?", plain) else f"{{{escape(text)}}}"


def aligned(cells: Sequence[str], after: str = "") -> str:
    """Describe a column that siunitx aligns, as wide as its numbers need.

    Args:
        cells: the column's cells, as of `entry`.
        after: what may stand behind a number.

    Example:
        >>> aligned(["1792", "36928.5", ""])
        'S[table-format=5.1]'
    """
    numbers = [cell.partition(".") for cell in cells if re.fullmatch(r"\d+(\.\d+)?", cell)]
    whole = max((len(left) for left, _, _ in numbers), default=1)
    decimals = max((len(right) for _, _, right in numbers), default=0)
    room = f",table-space-text-post={{{after}}}" if after else ""
    return f"S[table-format={whole}.{decimals}{room}]"


def latex(table: CostTable, depth: int | None = None) -> str:
    """Write the layer table."""
    values = context(inert(table), depth)
    rows = [(row["name"], row["kind"], *row["cells"]) for row in values["rows"]]
    entries = [[entry(cell) for cell in row[3:]] for row in (*rows, ("", "", *values["total_cells"]))]
    columns = [aligned(column) for column in zip(*entries, strict=True)]
    lines = [(shortened(row[0]), shortened(row[1]), row[2], cells) for row, cells in zip(rows, entries, strict=False)]
    page = environment(escape).get_template("report.tex.j2")
    return page.render(
        **{**values, "title": shortened(values["title"]), "rows": lines, "total_cells": entries[-1]}, aligned=columns
    )
