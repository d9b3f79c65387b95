"""Files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from vggcost.errors import FileError

__all__ = ["encoded", "replace_file"]


def encoded(text: str) -> bytes:
    """Return text in UTF-8; what no encoding can hold is written as an escape."""
    return text.encode("utf-8", "backslashreplace")


def replace_file(target: str | Path, data: bytes, advice: str = "") -> None:
    """Put bytes in the place of a file.

    They go to a temporary file beside the target, which then takes its place: an interrupted or failed run
    leaves the file that was there. A link is followed, the permissions are kept.

    Args:
        target: what to write; a pipe or a device is written to.
        data: its whole new contents.
        advice: what to do where that fails, for the message.

    Raises:
        FileError: the target cannot be written.
    """
    path = Path(target)
    tail = f"; {advice}" if advice else ""
    if path.is_dir():
        raise FileError(f"cannot write {target}: it is a folder{tail}")
    temporary = None
    try:
        if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to replace
            path.write_bytes(data)
            return
        path = path.resolve()  # through a link to the file it names
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
        raise FileError(f"cannot write {target}: {error.strerror or error}{tail}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
