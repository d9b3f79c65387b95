"""Files are written whole or not at all."""

from __future__ import annotations

import errno
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
    if os.path.isdir(path):
        raise FileError(f"cannot write {target}: it is a folder{tail}")
    temporary = None
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout, a pipe: nothing to replace
            path.write_bytes(data)
            return
        path = Path(os.path.realpath(path))  # through a link to the file it names
        if os.path.islink(path):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if os.path.exists(path) and not os.access(path, os.W_OK):
            raise PermissionError(13, "the file is read-only")
        mode = path.stat().st_mode & 0o777 if os.path.exists(path) else 0o666 & ~_umask()
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:50]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:  # of a name with NUL
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise FileError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}{tail}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
