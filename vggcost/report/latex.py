"""The layer table as LaTeX, for a paper's appendix (packages booktabs and longtable)."""

from __future__ import annotations

import re

from vggcost.records import CostTable
from vggcost.report.document import context
from vggcost.report.templates import environment

__all__ = ["escape", "latex"]

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "×": r"$\times$", "·": r"$\cdot$", "−": r"$-$", "…": r"\ldots{}", "→": r"$\to$",
    "\n": " ", "\r": " ",
}  # fmt: skip


def escape(value: str) -> str:
    r"""Make text harmless in LaTeX.

    Example:
        >>> escape("conv1_1: 3×3")
        'conv1\\_1: 3$\\times$3'
    """
    return re.sub("[" + re.escape("".join(_SPECIAL)) + "]", lambda found: _SPECIAL[found[0]], str(value))


def latex(table: CostTable, depth: int | None = None) -> str:
    """Write the layer table."""
    return environment(escape).get_template("report.tex.j2").render(**context(table, depth))
