"""The pages' script: small modules of ours, put together in the order in which they need one another."""

from __future__ import annotations

import json
import re
from typing import Any

from vggcost.report.templates import text

__all__ = ["bundle", "json_text", "safe_number"]

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_SAFE = 2**53
"""From here on a number in JSON may lose digits in a browser; it is written as text."""
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


def json_text(data: Any) -> str:
    """Write data for a page so that nothing in it can end the element that holds it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def safe_number(value: int) -> int | str:
    """Write a whole number so that a browser reads every digit.

    Example:
        >>> safe_number(9), safe_number(2**60)
        (9, '1152921504606846976')
    """
    return value if abs(value) < _SAFE else str(value)
