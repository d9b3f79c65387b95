"""Where a command's text goes; the only place that writes to standard output and standard error."""

from __future__ import annotations

import errno
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from vggcost.errors import FileError
from vggcost.files import encoded, replace_file
from vggcost.inert import inert, inert_lines, one_line_of

__all__ = ["complain", "file_name", "say", "write"]


def write(target: str, content: str | bytes, *, commands: bool = False) -> None:
    """Write text, or a picture, to a file, whole or not at all, and print its path; `-` is standard output.

    Args:
        target: the path.
        content: what to write.
        commands: whether lines of it are meant for the runner of a job, such as `::error::`.

    Raises:
        FileError: the target cannot be written.
    """
    if target == "-":
        _to_stdout(content if isinstance(content, bytes) or commands else inert_lines(content))
        return
    path = Path(target)
    folder, plain = os.path.isdir(target), os.path.isfile(target) or not os.path.exists(target)
    data = content if isinstance(content, bytes) else encoded(content)
    replace_file(path, data, "name a file with -o" if folder else "choose another path with -o")
    if plain:
        with suppress(_ClosedError):  # whoever closed it does not want to know
            say(target)


def say(*lines: str) -> None:
    """Print lines to standard output, each of which stays one.

    Raises:
        FileError: it is closed or full.
    """
    write("-", "".join(f"{line}\n" for line in inert(lines)))


def _to_stdout(content: str | bytes) -> None:
    out = sys.stdout
    if out is None or out.closed:
        raise _ClosedError("cannot write: standard output is closed")
    try:
        out.flush()
        if not hasattr(out, "buffer"):  # of a notebook, say
            out.write(content if isinstance(content, str) else content.decode())
        elif isinstance(content, str) and out.isatty():  # which may have few signs
            out.buffer.write(content.encode(out.encoding, "backslashreplace"))
        else:
            out.buffer.write(content if isinstance(content, bytes) else encoded(content))
        out.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough; what is left goes nowhere
        _nowhere(out.fileno())
    except OSError as error:
        with suppress(OSError, ValueError):
            _nowhere(out.fileno())  # or what is left would be tried again at the end
        if error.errno == errno.EBADF:
            raise _ClosedError(f"cannot write: {error.strerror}") from None
        raise FileError(f"cannot write to standard output: {error.strerror or error}") from None


class _ClosedError(FileError):
    """There is no standard output."""


def _nowhere(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def complain(message: str, whole: bool = True) -> None:
    """Print a line to standard error, where there is one; `whole`: blanks in it mean nothing."""
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        sys.stderr.write(
            f"{one_line_of(message) if whole else inert(message)}\n".encode(encoding, "backslashreplace").decode(
                encoding
            )
        )
        sys.stderr.flush()


def file_name(model: str) -> str:
    """Turn a model's name into a file's: `./net.py:make` becomes `net-make`."""
    name = model.replace(".py:", ":").lower() if ":" not in model else model.replace(".py:", ":")
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:100] or "model"
