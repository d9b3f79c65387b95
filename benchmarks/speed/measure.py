"""How things are measured here: in alternating order, each figure beside what it is compared with."""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
MEGA = 1e6


@dataclass(frozen=True)
class Row:
    """One ratio or figure, with the most or the least that it should be; None: it is there to be read."""

    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def goal(self) -> str:
        if self.most is None and self.least is None:
            return ""
        sign, bound = ("≤", self.most) if self.most is not None else ("≥", self.least)
        return f"{sign} {bound:g}{self.unit and ' ' + self.unit}"

    @property
    def met(self) -> bool | None:
        if self.most is not None:
            return self.value <= self.most
        return self.value >= self.least if self.least is not None else None

    @property
    def measured(self) -> str:
        digits = 2 if abs(self.value) < 100 else 0
        return f"{self.value:,.{digits}f}{self.unit and ' ' + self.unit}"

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def machine() -> dict[str, str]:
    """Say what the figures were made on."""
    return {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return found.get("model name", platform.processor() or "unknown")


def alternating(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time each way once a round, each round in the other order, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            gc.collect()
            start = time.perf_counter()
            made = ways[name]()
            seconds[name].append(time.perf_counter() - start)
            del made
    return seconds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Compare what was timed in the same rounds: the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Fit values ~ sizes^k by least squares of the logarithms."""
    xs, ys = [math.log(x) for x in sizes], [math.log(max(y, 1e-12)) for y in values]
    x, y = statistics.fmean(xs), statistics.fmean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


# Processes


@dataclass(frozen=True)
class Ran:
    """A process that ended well: how long it took, the most memory it held, and how long it kept a processor busy."""

    seconds: float
    rss: int
    output: str
    busy: float = 0.0


# Linux counts what the parent held when it started a process as held by that process: a small one starts it.
_LAUNCH = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(child, 0)
told = time.perf_counter() - start, os.waitstatus_to_exitcode(status), used.ru_maxrss, used.ru_utime + used.ru_stime
os.write(int(sys.argv[1]), " ".join(map(str, told)).encode())
"""


def process(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Ran:
    """Run Python in a process of its own, with the modules' bytecode cached as it is for a user."""
    given = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    given |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **(environment or {})}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as told:
        launch = [sys.executable, "-ISc", _LAUNCH, str(told.fileno()), sys.executable, *arguments]
        subprocess.run(launch, check=True, stdout=out, stderr=err, env=given, cwd=ROOT, pass_fds=[told.fileno()])
        out.seek(0), err.seek(0), told.seek(0)
        seconds, status, peak, busy = map(float, told.read().split())
        if status:
            raise RuntimeError(f"{arguments} ended with {status:.0f}: {err.read().decode()[-2000:]}")
        scale = 1 if sys.platform == "darwin" else 1024
        return Ran(seconds, scale * int(peak), out.read().decode(), busy)


def processes(ways: Mapping[str, Callable[[], Ran]], rounds: int) -> dict[str, list[Ran]]:
    """Run each way once a round, each round in the other order, after one round that is not counted."""
    found: dict[str, list[Ran]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            ran = ways[name]()
            if number:
                found[name].append(ran)
    return found


def answer(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Any:
    """Run Python in a process of its own, and read the JSON of its last line."""
    return json.loads(process(arguments, environment).output.splitlines()[-1])


def peak_rss() -> int:
    """Return the most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forked(function: Callable[[], Any]) -> Any:
    """Run a function in a copy of this process, which leaves this one as it was."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: torch has threads, which wait
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(writer, json.dumps(function()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a forked measurement failed")
    return json.loads(text)


@contextmanager
def empty_cache() -> Iterator[dict[str, str]]:
    """Give the environment of a process that finds no result of an earlier one."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"VGGCOST_CACHE": folder, "XDG_CACHE_HOME": folder}
