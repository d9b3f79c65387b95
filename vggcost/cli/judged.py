"""Commands whose exit status is a verdict: code of a model that ends the process cannot give one.

Such a command runs in a child of the process that was started. When it is done it says its status through a pipe; the
process that was started ends with that, and with 2 where nothing was said, whatever status the child ended with.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from vggcost.cli.files import complain

__all__ = ["judged"]

_VERDICTS = ({"check"}, {"docs", "check"}, {"verify"}, {"--strict"})
"""Words of a command line that ask for a verdict."""


def judged(arguments: Sequence[str]) -> Callable[[int], None]:
    """Go on in a child, if the command gives a verdict; the process that was started waits here, and ends.

    Windows has no fork; there the command goes on in the process that was started.

    Args:
        arguments: of the command line.

    Returns:
        What is to be called with the status before anything else of the process's end is done.
    """
    words = {word for word in arguments if word == "--strict" or not word.startswith("-")}
    if not hasattr(os, "fork") or not any(verdict <= words for verdict in _VERDICTS):
        return lambda status: None
    reading, writing = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child:
        os.close(writing)
        os._exit(_awaited(child, reading))
    os.close(reading)
    _end_with(parent)

    def told(status: int) -> None:
        with suppress(OSError):
            os.write(writing, b"%d" % status)

    return told


def _awaited(child: int, reading: int) -> int:
    """Wait for the child, and return the status to end with."""

    def pass_on(number: int, frame: Any) -> None:
        if number == signal.SIGINT:  # a terminal sends it to both
            time.sleep(0.2)
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, name), pass_on)
    _, how = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(how)
    os.set_blocking(reading, False)
    try:
        said = os.read(reading, 16).decode("ascii")
    except BlockingIOError:  # nothing, and a process that the child began still has the pipe
        said = ""
    if ended < 0:
        return 128 - ended
    if not said.isdigit():
        complain(
            f"vggcost: the process ended with status {ended} before there was a verdict; code of a model did that, as "
            "os._exit does; take it out of what is imported and run"
        )
        return 2
    return int(said) or ended


def _end_with(parent: int) -> None:
    """Let this process be killed when its parent is, where the system can (Linux)."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(137)
