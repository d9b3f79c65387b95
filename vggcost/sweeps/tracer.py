"""The process that builds and traces, apart from the one that waits for it.

It is started by `vggcost.sweeps.watch`, reads a job a line and writes a result a line. Once torch is loaded it forks,
where that is safe, and the fork does the work and keeps what it has learnt of ops from model to model; one that
hangs, dies or is killed is replaced by a new fork in a moment, without importing torch again. Where a fork is not
safe it works itself.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
from typing import Any, BinaryIO

from vggcost.errors import VggcostError, one_line
from vggcost.origin import LIBRARIES, versions
from vggcost.sweeps.jobs import Job
from vggcost.sweeps.rows import Row, failed, measured

__all__ = ["Tracer", "main", "may_fork"]

_IDLE = 60.0  # seconds without a job after which it ends: a worker of a cluster lives on after a sweep


class Tracer:
    """Runs jobs, and keeps the model of the last one."""

    def __init__(self) -> None:
        self._name: tuple[str, str] | None = None
        self._loaded: Any = None

    def run(self, job: Job) -> Row:
        """Build and trace one model; whatever goes wrong is in the row.

        Example:
            >>> from vggcost.sweeps.jobs import jobs_of
            >>> Tracer().run(jobs_of(["vgg-d"])[0])["params"]
            138357544
        """
        here = ", ".join(f"{name} {version}" for name, version in versions(job.model))
        if here != job.versions:
            return failed(job, "failed", f"the sweep was started with {job.versions}, this worker has {here}")
        try:
            return self._run(job)
        except VggcostError as error:
            return failed(job, "failed", str(error))
        except BaseException as error:  # a model's own code may raise anything
            return failed(job, "failed", one_line(error))

    def _run(self, job: Job) -> Row:
        from vggcost._analyze import Said, loaded_model, run_once

        options = ast.literal_eval(job.options) if job.options else {}
        started = time.perf_counter()
        if self._name != (job.model, job.options):
            self._name = self._loaded = None
            self._loaded = loaded_model(job.model, options)
            self._name = (job.model, job.options)
        built = time.perf_counter()
        said = Said(job.batch, job.mode, job.convention, dtype=job.dtype, options=options)
        table = run_once(job.model, job.input or None, said, self._loaded)
        return measured(job, table, built - started, time.perf_counter() - built)


def may_fork() -> bool:
    """Whether this process may fork now: on Linux, with one thread, and nothing on a GPU that a fork could not use."""
    torch = sys.modules.get("torch")
    return (
        sys.platform == "linux"
        and len(os.listdir("/proc/self/task")) == 1
        and not (torch is not None and torch.cuda.is_initialized())
    )


class _Fork:
    """A forked tracer, and the two pipes to it."""

    def __init__(self, inherited: list[int]) -> None:
        jobs, self.jobs = os.pipe()
        self.answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for end in (self.jobs, self.answers, *inherited):
                    os.close(end)
                _die_with_parent()
                _serve(os.fdopen(jobs, "rb"), answers)
            finally:
                os._exit(0)
        os.close(jobs)
        os.close(answers)

    def ask(self, line: bytes, watched: int) -> bytes | None:
        """Have a job done; None if the fork died over it. Where the one who asked is gone, end with the fork."""
        answer = b""
        try:
            os.write(self.jobs, line)
        except BrokenPipeError:
            return None
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([watched, self.answers], [], [])
            if watched in ready and not os.read(watched, 1):
                self.end()
                os._exit(0)
            if self.answers in ready:
                part = os.read(self.answers, 1 << 16)
                if not part:
                    return None
                answer += part
        return answer

    def end(self) -> str:
        """Make sure that it is gone, and say how it ended."""
        for pipe in (self.jobs, self.answers):
            os.close(pipe)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # nothing to one that is gone already
        _, status = os.waitpid(self.pid, 0)
        return ended(os.waitstatus_to_exitcode(status))


def ended(code: int) -> str:
    """Say how a process ended.

    Example:
        >>> ended(-11), ended(3)
        ('killed by SIGSEGV', 'exited with status 3')
    """
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent does, whatever it is doing then."""
    prctl, death_signal = getattr(ctypes.CDLL(None), "prctl", None), 1
    if prctl is not None:
        prctl(death_signal, signal.SIGKILL)


def _serve(jobs: BinaryIO, answers: int) -> None:
    """Answer jobs until there are no more."""
    tracer = Tracer()
    for line in jobs:
        _send(answers, tracer.run(Job(**json.loads(line))))


def _send(target: int, message: dict[str, Any]) -> None:
    data = json.dumps(message, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    while data:
        data = data[os.write(target, data) :]


def _line(source: int, idle: float | None = None) -> bytes:
    """Read a line, and nothing after it; empty at the end, and where none begins for as long as `idle` seconds."""
    if idle is not None and not select.select([source], [], [], idle)[0]:
        return b""
    found = b""
    while not found.endswith(b"\n"):
        part = os.read(source, 1)
        if not part:
            return b""
        found += part
    return found


def _preload(model: str) -> None:
    """Import what forks are to share; where that fails, building the model says why."""
    place, colon, _ = model.partition(":")
    for name in ("torch", "vggcost.trace", LIBRARIES.get(place, "") if colon else ""):
        if name and name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what was imported is here to stay: it is neither looked at again nor copied for a fork
    gc.set_threshold(100_000, 20, 100)


def main() -> None:
    """Read jobs from standard input and write to standard output, which no model gets to see.

    A job is answered by two lines: the process that works on it, then the row, or how that process died.
    """
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    fork, own = None, Tracer()
    idle = _IDLE if sys.platform != "win32" else None  # whose pipes cannot be waited for
    while line := _line(requests, idle):
        job = Job(**json.loads(line))
        if fork is None:
            _preload(job.model)
            fork = _Fork([requests, replies]) if may_fork() else None
        _send(replies, {"pid": fork.pid if fork is not None else os.getpid()})
        if fork is None:
            _send(replies, own.run(job))
        elif (answer := fork.ask(line, requests)) is not None:
            _send(replies, json.loads(answer))
        else:
            _send(replies, {"died": fork.end()})
            fork = None
