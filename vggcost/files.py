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
    leaves the file that was there, and so does a machine that loses its power: the bytes are on the disk before the
    name leads to them. A link is followed, the permissions are kept.

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
            file.flush()
            os.chmod(temporary, mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        _sync(path.parent)
    except (OSError, ValueError) as error:  # of a name with NUL
        raise FileError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}{tail}") from None
    finally:  # an interrupt leaves nothing either
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)


def _sync(folder: Path) -> None:
    """Put the names of a folder on the disk, where the system and the folder let it."""
    if hasattr(os, "O_DIRECTORY"):
        with suppress(OSError):  # the file itself is there
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
