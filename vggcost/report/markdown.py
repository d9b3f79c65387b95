"""The report as Markdown, with the bars as inline SVG."""

from __future__ import annotations

import re

from vggcost.records import CostTable
from vggcost.report.bars import bars
from vggcost.report.document import context
from vggcost.report.templates import environment

__all__ = ["escape", "markdown"]


def escape(value: str) -> str:
    r"""Make text harmless in a Markdown table cell.

    Example:
        >>> escape("a|b_<c>")
        'a\\|b\\_&lt;c&gt;'
    """
    plain = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~$])", r"\\\1", plain).replace("\n", " ").replace("\r", " ")


def markdown(table: CostTable, depth: int | None = None) -> str:
    """Write the report as Markdown."""
    page = environment(escape).get_template("report.md.j2")
    return page.render(**context(table, depth), bars=bars(table, depth))
