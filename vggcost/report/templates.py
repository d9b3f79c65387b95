"""The jinja2 environment: strict about names, escaping wherever the output is HTML."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "text"]


def environment(escape: Callable[[str], str] | None = None) -> Environment:
    """Return an environment; HTML templates are escaped by jinja2, others through the filter `esc`."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    env = Environment(
        loader=FunctionLoader(text),
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
    """Read a file of the templates' folder: of the package, or of the checkout where that is what runs."""
    if find_spec("vggcost.templates") is not None:
        return files("vggcost.templates").joinpath(name).read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "templates" / name).read_text(encoding="utf-8")
