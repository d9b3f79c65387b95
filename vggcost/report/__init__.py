"""Cost table → documents. Renderers return text; only the command line writes files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from vggcost.inert import inert
from vggcost.records import CostTable

__all__ = ["FORMATS", "notebook", "render"]

# format: module and function; each is imported when it is used
_RENDERERS = {
    "table": ("terminal", "terminal"),
    "html": ("html", "html"),
    "markdown": ("markdown", "markdown"),
    "csv": ("plain", "csv_text"),
    "json": ("plain", "json_text"),
    "jsonl": ("plain", "json_lines"),
    "latex": ("latex", "latex"),
}
FORMATS = tuple(_RENDERERS)
_DATA = ("json", "jsonl", "csv")  # which keep every sign, or see to it themselves


def render(table: CostTable, format: str, depth: int | None = None) -> str:
    """Write a cost table as a document.

    Args:
        table: what to show.
        format: one of `FORMATS`.
        depth: fold layers whose path has more parts than this into their container; None: show all.
            JSON always holds every layer.

    Returns:
        The document's text.
    """
    module, function = _RENDERERS[format]
    renderer: Callable[[CostTable, int | None], str] = getattr(import_module(f"vggcost.report.{module}"), function)
    return renderer(table if format in _DATA else inert(table), depth)


def notebook(table: CostTable) -> str:
    """Return the report as a fragment of HTML for a notebook."""
    from vggcost.report.jupyter import note

    return note(inert(table))
