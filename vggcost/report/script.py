"""The pages' script: small modules of ours, put together in the order in which they need one another."""

from __future__ import annotations

import re

from vggcost.report.templates import text

__all__ = ["bundle"]

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_COMMENT = re.compile(r"^\s*(//.*|/\*\*.*\*/)\n", re.MULTILINE)


def bundle(name: str) -> str:
    """Put a module and all that it imports into one script, without comments of whole lines.

    Args:
        name: of a file in `templates/js`, without its ending.

    Example:
        `bundle("table")` holds numbers.js, state.js, dom.js and costs.js before table.js, and no import.
    """
    found: dict[str, str] = {}
    _collect(name, found)
    lines = "".join(found.values())
    return f'"use strict";(()=>{{\n{lines}}})();\n'


def _collect(name: str, found: dict[str, str]) -> None:
    """Add a module after those that it imports."""
    source = text(f"js/{name}.js")
    for other in _IMPORT.findall(source):
        if other not in found:
            _collect(other, found)
    plain = _COMMENT.sub("", _IMPORT.sub("", source))
    found[name] = re.sub(r"^(?:export )?\s*", "", plain, flags=re.MULTILINE)
