"""A worker's side of tracing: it asks a process of its own, and ends it where it takes too long or too much.

A worker may be anything (a process of joblib, a thread of Dask, an actor of Ray): it imports no torch and forks nothing.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vggcost.sweeps.jobs import Job
from vggcost.sweeps.rows import Row, failed
from vggcost.units import human_bytes

__all__ = ["Limits", "resident_bytes", "work", "work_for"]

_LOOK = 0.05  # seconds between two looks at the clock and the memory
_START = 300.0  # seconds that python and the libraries may take to start
_CODE = "import sys; sys.path.append({root!r}); from vggcost.sweeps.tracer import main; main()"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may take.

    Attributes:
        seconds: to build and trace.
        memory: resident bytes of the process that does it; None: any.
        folder: where relative paths begin.
    """

    seconds: float
    memory: int | None = None
    folder: str = ""


class _Gone(Exception):
    """The process has ended."""


class _Process:
    """A tracer in a process of its own, and what it says."""

    def __init__(self, folder: str) -> None:
        root = str(Path(__file__).parents[2])
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE.format(root=root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            cwd=folder if os.path.isdir(folder) else None, env={**os.environ, **dict.fromkeys(_THREADS, "1")},
            start_new_session=True,  # Ctrl-C is for the one who waits; this ends with its standard input
        )  # fmt: skip
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.folder = folder

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as stdout:
            buffered = b""
            while part := stdout.read(1 << 16):
                *lines, buffered = (buffered + part).split(b"\n")
                for line in lines:
                    self._said.put(line)
        self._said.put(b"")

    def begin(self, job: Job) -> int:
        """Give it a job, and return the process that works on it."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        except OSError:
            raise _Gone from None
        answer = self.hear(_START)
        if answer is None:
            raise _Gone
        return int(answer["pid"])

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """Return what it says next; None where that takes longer."""
        try:
            line = self._said.get(timeout=seconds)
        except queue.Empty:
            return None
        if not line:
            raise _Gone
        return json.loads(line)  # type: ignore[no-any-return]

    def end(self) -> str:
        """End it, and say how it ended if it had already."""
        with suppress(OSError):
            assert self._popen.stdin is not None
            self._popen.stdin.close()
        try:
            code = self._popen.wait(_LOOK)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait()
        return f"killed by signal {-code}" if code < 0 else f"exited with status {code}"

    def __del__(self) -> None:
        if hasattr(self, "_popen"):  # it may not have started
            self.end()


_mine = threading.local()


def work(job: Job, limits: Limits) -> Row:
    """Run a job in this thread's process, which is kept for the next one; always returns a row.

    Args:
        job: what to run.
        limits: what it may take; beyond them the process that works on it is ended.
    """
    for attempt in range(2):
        process: _Process | None = getattr(_mine, "process", None)
        if process is None or process.folder != limits.folder:
            process = _mine.process = _Process(limits.folder)
        begun = False
        try:
            pid = process.begin(job)
            begun = True
            return _awaited(process, pid, job, limits)
        except _Gone:
            _mine.process, how = None, process.end()
            if begun or attempt:  # one that left while it was idle had not begun
                return failed(job, "crashed", f"the process that traced it {how}")
    raise AssertionError("unreachable")


def work_for(parent: int, job: Job, limits: Limits) -> Row:
    """Do as `work` in a child of `parent`, and leave with it: an idle worker of loky would stay for minutes."""
    if os.getppid() == parent and not getattr(_mine, "leaving", False):
        _mine.leaving = True
        threading.Thread(target=_leave_after, args=(parent,), daemon=True).start()
    return work(job, limits)


def _leave_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _awaited(process: _Process, pid: int, job: Job, limits: Limits) -> Row:
    deadline, ended = time.monotonic() + limits.seconds, ""
    while True:
        answer = process.hear(_LOOK)
        if answer is not None:
            break
        if not ended and (why := _beyond(pid, deadline, limits)):
            ended = why
            with suppress(OSError):
                os.kill(pid, _KILL)
    if ended and "died" in answer:
        return failed(job, ended, _REASONS[ended].format(seconds=f"{limits.seconds:g}", memory=_memory(limits)))
    return failed(job, "crashed", f"the process that traced it {answer['died']}") if "died" in answer else answer


_KILL = 9
_REASONS = {"timeout": "not done in {seconds} s", "memory": "took more than {memory} of memory"}


def _memory(limits: Limits) -> str:
    return human_bytes(limits.memory) if limits.memory is not None else ""


def _beyond(pid: int, deadline: float, limits: Limits) -> str:
    if time.monotonic() > deadline:
        return "timeout"
    if limits.memory is not None and (resident_bytes(pid) or 0) > limits.memory:
        return "memory"
    return ""


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process as Linux counts it; None where that cannot be known."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
