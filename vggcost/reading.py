"""Files that are read: what they may be, how much of them, and JSON that is only JSON. Standard library only."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vggcost.errors import FileError
from vggcost.units import human_bytes

__all__ = ["CONFIG", "MOST", "loads", "not_deep", "read_file", "read_stdin", "resolved"]

MOST = 2**28
"""Bytes that a document may have: the saved table of a model of 400,000 layers."""
CONFIG = 2**20
"""Bytes that a configuration may have, which a person has written."""

_OPEN = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")  # what a shell has opened: <(…)


def read_file(path: str | Path, most: int = MOST) -> bytes:
    """Read a file as a whole.

    Args:
        path: of a file, or of what a shell has opened, such as `/dev/fd/63`.
        most: bytes it may have.

    Raises:
        FileError: it cannot be read, is too large, or is no file: a device has no end, and a pipe may never have one.
    """
    try:
        handle = _opened(path)
        try:
            found = os.fstat(handle)
            mode = found.st_mode
            if stat.S_ISDIR(mode):
                raise FileError(f"cannot read {path}: Is a directory")
            if not stat.S_ISREG(mode) and not str(path).startswith(_OPEN):
                raise FileError(f"cannot read {path}: it is a pipe or a device, not a file; pass it on standard input")
            if stat.S_ISREG(mode) and found.st_size > most:
                raise _too_much(most, str(path))
            if hasattr(os, "set_blocking"):
                os.set_blocking(handle, True)
            with os.fdopen(os.dup(handle), "rb") as file:
                return _limited(file.read(most + 1), most, str(path))
        finally:
            os.close(handle)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, UnicodeError) as error:  # NUL
        raise FileError(f"cannot read {path}: {error}") from None


def _opened(path: str | Path) -> int:
    return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def read_stdin(most: int = MOST) -> bytes:
    """Read standard input as a whole.

    Raises:
        FileError: it is closed, cannot be read, or there is too much.
    """
    if sys.stdin is None:
        raise FileError("cannot read standard input: it is closed")
    try:
        return _limited(sys.stdin.buffer.read(most + 1), most, "standard input")
    except OSError as error:
        raise FileError(f"cannot read standard input: {error.strerror or error}") from None


def _limited(data: bytes, most: int, what: str) -> bytes:
    if len(data) > most:
        raise _too_much(most, what)
    return data


def _too_much(most: int, what: str) -> FileError:
    return FileError(f"cannot read {what}: more than {human_bytes(most)}, and nothing that is read here is as large")


def resolved(path: str | Path) -> Path:
    """Follow the links of a path, as far as there is anything.

    Raises:
        FileError: its name cannot be one.
    """
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise FileError(f"cannot find {path}: {error}") from None


def loads(text: str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None, *, finite: bool = True) -> Any:
    """Read JSON.

    Args:
        text: the JSON.
        pairs: makes an object of its names and values.
        finite: whether NaN and infinities are refused, which Python would read.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or a number in it cannot be one.

    Example:
        >>> loads('[1e999]')
        Traceback (most recent call last):
        ...
        ValueError: 1e999 is no number of JSON
    """

    def refused(word: str) -> Any:
        raise ValueError(f"{word:.40} is no number of JSON")

    def number(word: str) -> float:
        found = float(word)
        return found if found - found == 0 else refused(word)

    extra: dict[str, Any] = {"parse_constant": refused, "parse_float": number} if finite else {}
    try:
        data = json.loads(text, object_pairs_hook=pairs, **extra)
    except RecursionError:
        raise ValueError(_DEEP) from None
    not_deep(data)
    return data


_DEEPEST = 100
_DEEP = f"it is nested too deeply, more than {_DEEPEST} deep"


def not_deep(data: Any) -> None:
    """Refuse what is nested so deeply that nothing reads it.

    Raises:
        ValueError: it is.
    """
    level = [data]
    for _ in range(_DEEPEST):
        level = [
            part
            for item in level
            for part in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
            if isinstance(part, (dict, list))
        ]
        if not level:
            return
    raise ValueError(_DEEP)
