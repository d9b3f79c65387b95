"""Files are written whole or not at all."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from vggcost.errors import FileError

__all__ = ["file_name", "write"]


def write(target: str, text: str) -> None:
    """Write text to a file and print its path; `-` is standard output.

    The text goes to a temporary file beside the target, which then takes its place: an interrupted
    or failed run leaves the file that was there.

    Raises:
        FileError: the target cannot be written.
    """
    data = text.encode("utf-8", "backslashreplace")
    if target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.is_dir():
        raise FileError(f"cannot write {target}: it is a folder; name a file with -o")
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to replace
        _plainly(path, data)
        return
    path = path.resolve()  # through a link to the file it names
    temporary = None
    try:
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(13, "the file is read-only")
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:50]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise FileError(f"cannot write {target}: {error.strerror or error}; choose another path with -o") from None
    print(target)


def _plainly(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_name(model: str) -> str:
    """Turn a model's name into a file's: `./net.py:make` becomes `net-make`."""
    name = model.replace(".py:", ":").lower() if ":" not in model else model.replace(".py:", ":")
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "model"
