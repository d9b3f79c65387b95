"""All of timm at its default input, swept by one worker and by two: the whole commands, and where the time goes.

A quick run takes every fourth model.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.speed.measure import Row
from vggcost.sweeps import models_of, read_rows
from vggcost.sweeps.run import reasons

PATTERN = "timm:*"


def run(quick: bool) -> dict[str, Any]:
    if find_spec("timm") is None:
        raise SystemExit("timm is not installed; python -m pip install '.[models,sweep]'")
    names = models_of([PATTERN])[:: 4 if quick else 1]
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            out = Path(folder) / f"{workers}.csv"
            seconds[workers] = timed([*names, "-j", str(workers), "-o", str(out)])
        serial, parallel = (read_rows(Path(folder) / f"{workers}.csv") for workers in (1, 2))
    figures = [{row["model"]: (row["params"], row["macs"]) for row in rows} for rows in (serial, parallel)]
    assert figures[0] == figures[1], "one worker and two do not agree"
    ran = [row for row in serial if row["status"] == "ok"]
    build, trace = (sum(row[name] for row in ran) for name in ("build_seconds", "trace_seconds"))
    what = f"{len(ran):,} models of `{PATTERN}`"
    rows = [
        Row(
            f"{what}: `-j 2` against `-j 1`, whole commands",
            seconds[2] / seconds[1],
            most=0.6,
            note=f"{seconds[2]:.1f} s, {seconds[1]:.1f} s",
        ),
        Row(f"{what}: tracing against building", trace / build, most=1, note=f"{trace:.1f} s, {build:.1f} s"),
    ]
    slowest = sorted(ran, key=lambda row: -row["trace_seconds"])[:5]
    return {
        "rows": rows,
        "data": [
            {"model": row["model"], "build": row["build_seconds"], "trace": row["trace_seconds"]} for row in slowest
        ],
        "failed": reasons([row for row in serial if row["status"] != "ok"]),
    }


def timed(arguments: list[str]) -> float:
    """Run a sweep as a user does, and return its seconds."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vggcost", "sweep", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
