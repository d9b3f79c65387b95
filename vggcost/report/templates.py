"""The jinja2 environment: strict about names, escaping wherever the output is HTML."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["environment", "text"]


def environment(escape: Callable[[str], str] | None = None) -> Environment:
    """Return an environment; HTML templates are escaped by jinja2, others through the filter `esc`."""
    env = Environment(
        loader=PackageLoader("vggcost.templates", "."),
        # select_autoescape() would not recognise report.html.j2
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    identity: Callable[[Any], str] = str
    env.filters["esc"] = escape or identity
    return env


def text(name: str) -> str:
    """Read a file of the templates' folder."""
    return files("vggcost.templates").joinpath(name).read_text(encoding="utf-8")
