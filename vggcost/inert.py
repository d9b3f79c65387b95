r"""Text that is only shown: what names, files and messages hold is written so that it can do nothing where it is read.

Signs that a reader does not see, but that a terminal, a browser or a log obeys, are written as JSON writes them:
`\u001b`. So the same text is inert in every output, and JSON that holds it loses nothing. Whatever is rendered for people
goes through `inert` as a whole before a renderer sees it; what a form has signs of its own for (cells, markup) is escaped
by the renderer besides. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

__all__ = ["as_json", "csv_lines", "csv_text_of", "inert", "inert_lines", "json_line", "one_line_of"]

Shown = TypeVar("Shown")

# C0, DEL, C1; soft hyphen; zero width and other signs without a width; directions of writing; ends of lines and
# paragraphs; halves of pairs that no encoding holds; tags.
_UNSEEN = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
# A runner of jobs takes a line that begins with :: for a command, and ##[ anywhere.
_ACTS = re.compile(rf"[{_UNSEEN}\ufe00-\ufe0f]|(?:^|(?<=\s))::|(?<=#)#(?=\[)")
_RAW = re.compile(rf"[{_UNSEEN}]".replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
_ACTS_IN_LINES = re.compile(rf"{_RAW.pattern}|^[^\S\n]*::|(?<=#)#(?=\[)", re.MULTILINE)


def _written(found: re.Match[str]) -> str:
    text = found[0]
    return f"{_escaped(text[:-2])}{_escaped(':')}:" if text.endswith("::") else _escaped(text)


def _escaped(text: str) -> str:
    return "".join(c if c == " " else f"\\u{ord(c):04x}" if ord(c) < 2**16 else json.dumps(c)[1:-1] for c in text)


_KNOWN: dict[type, tuple[str, ...]] = {}


def _given(kind: Any) -> tuple[str, ...]:
    """Name what a dataclass is made with, once."""
    if kind not in _KNOWN:
        _KNOWN[kind] = tuple(item.name for item in fields(kind) if item.init)
    return _KNOWN[kind]


def inert(value: Shown) -> Shown:
    r"""Make all text in a record inert: in dataclasses, tuples, lists and dicts; what needs no change is the same object.

    Example:
        >>> inert("conv\x1b[31m"), inert(("a\nb", 3)), inert("::error::no")
        ('conv\\u001b[31m', ('a\\u000ab', 3), '\\u003a:error::no')
    """
    return _inert(value)  # type: ignore[no-any-return]


def _inert(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isalnum() and value.isascii() else _ACTS.sub(_written, value)
    if kind is int or kind is float or kind is bool or value is None:
        return value
    if isinstance(value, (tuple, list)):
        found = [_inert(item) for item in value]
        if all(new is old for new, old in zip(found, value, strict=True)):
            return value
        return kind(*found) if hasattr(value, "_fields") else kind(found)
    if isinstance(value, dict):
        pairs = [(_inert(key), _inert(item)) for key, item in value.items()]
        same = all(new is key and now is item for (new, now), (key, item) in zip(pairs, value.items(), strict=True))
        return value if same else kind(pairs)
    if is_dataclass(value) and not isinstance(value, type):
        names = _given(kind)
        old = [getattr(value, name) for name in names]
        new = [_inert(item) for item in old]
        same = all(a is b for a, b in zip(new, old, strict=True))
        return value if same else kind(**dict(zip(names, new, strict=True)))
    return value


def inert_lines(text: str) -> str:
    r"""Make text of several lines inert, whose newlines and tabs are its layout.

    Example:
        >>> inert_lines("a\x9b\n ::error::b")
        'a\\u009b\n \\u003a:error::b'
    """
    found = "::" in text or "##[" in text or _RAW.search(text)  # most text has none of them, which is found fast
    return _ACTS_IN_LINES.sub(_written, text) if found else text


def one_line_of(text: str) -> str:
    r"""Write a message as one line.

    Example:
        >>> one_line_of("no such file:\n a\x07b")
        'no such file: a\\u0007b'
    """
    return inert(" ".join(text.split()))


def as_json(data: Any, indent: int | None = 1, sort_keys: bool = True) -> str:
    r"""Write JSON, with a newline at its end: inert, and nothing is lost.

    Example:
        >>> as_json({"path": "a\x7f\u202e"}, indent=None)
        '{"path": "a\\u007f\\u202e"}\n'
    """
    return json_line(data, indent=indent, sort_keys=sort_keys) + "\n"


def json_line(data: Any, **how: Any) -> str:
    """Write JSON as `as_json` does, with the options of `json.dumps`."""
    return inert_lines(json.dumps(data, ensure_ascii=False, **how))


_FORMULA = r"(?=\s*[=+\-@＝＋－＠]|\\u0009|\\u000d)"
_BEGINS, _BEGAN = re.compile(rf"(^|[;|]){_FORMULA}"), re.compile(rf"(^|[;|])'{_FORMULA}")
_QUOTED = re.compile(r"""[,;"|]|^\s|\s$""")


def csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    r"""Write rows as CSV whose cells no spreadsheet runs or splits, whatever it takes for a separator.

    What it would run as a formula gets an apostrophe before it; a tuple of sizes becomes `3x3`.

    Example:
        >>> csv_lines([["=1+1", "a;b", "a\r=2", -3, (3, 3), None]])
        '\'=1+1,"a;b",a\\u000d=2,-3,3x3,\n'
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if not isinstance(value, str):
        return str(value)
    text = _BEGINS.sub(r"\1'", inert(value))
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def csv_text_of(cell: str) -> str:
    r"""Read a cell's text back.

    Example:
        >>> csv_text_of("'=a\\u000d")
        '=a\r'
    """
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), _BEGAN.sub(r"\1", cell))
