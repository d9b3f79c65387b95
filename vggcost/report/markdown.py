"""The report as Markdown, as GitHub shows it: the layers folded away, charts as files beside it if they are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from vggcost.inert import inert
from vggcost.records import CostTable
from vggcost.report.bars import bars
from vggcost.report.document import context
from vggcost.report.templates import environment

__all__ = ["Chart", "charts", "code", "escape", "markdown"]

# An image has no page whose colours it could take.
_DARK = "<style>@media (prefers-color-scheme: dark) { .ink { fill: #ccc } .axis { stroke: #777 } }</style>"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that a document shows: what it is, for those who do not see it, the name of its file, and its text."""

    text: str
    file: str
    svg: str

    @property
    def link(self) -> str:
        """The file as an address relative to the document."""
        return quote(os.fsencode(self.file))


def charts(table: CostTable, stem: str, depth: int | None = None) -> tuple[Chart, ...]:
    """Draw the charts of a report for files beside it.

    Args:
        table: what to show.
        stem: what the files' names begin with, such as `report` for `report-bars.svg`.
        depth: fold layers nested deeper than this.
    """
    table = inert(table)
    drawn = bars(table, depth).replace("</title>", f"</title>\n{_DARK}", 1)
    text = f"Parameters, MACs and activation bytes of each layer of {table.run.title}"
    return (Chart(text, f"{stem}-bars.svg", f"{drawn}\n"),)


def escape(value: str) -> str:
    r"""Make text harmless in a Markdown table cell.

    Example:
        >>> escape("a|b_<c>")
        'a\\|b\\_&lt;c&gt;'
    """
    plain = inert(str(value)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*_{}\[\]|#~$])", r"\\\1", plain)
    return re.sub(r"^(\s*\d*)([-+=.)]+)(?=\s|$)", r"\1\\\2", plain)  # nor does it begin a list or underline a title


def code(value: str) -> str:
    """Show a command as code, or as text where it has signs that code could not hold, or that look like HTML.

    Example:
        >>> code("vggcost lock a"), code("vggcost lock '<b>'")
        ('`vggcost lock a`', "vggcost lock '&lt;b&gt;'")
    """
    return escape(value) if set("`<>&") & set(value) else f"`{inert(value)}`"


def markdown(table: CostTable, depth: int | None = None, charts: Sequence[Chart] = ()) -> str:
    """Write the report as Markdown, with links to charts that lie beside it."""
    env = environment(escape)
    env.filters["code"] = code
    page = env.get_template("report.md.j2")
    return page.render(**context(inert(table), depth), charts=charts)
