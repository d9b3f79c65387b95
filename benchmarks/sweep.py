"""All of timm at its default input: one at a time and two at once, and where the time goes.

    python benchmarks/sweep.py [PATTERN] [--every N] [--write docs/sweep.md]

prints the ratio of the two (goal: at most 0.6), tracing against building (goal: less), the slowest models and what did
not run; `--write` puts it between the markers of a document.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vggcost.sweeps import Row, models_of, read_rows
from vggcost.sweeps.run import reasons

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="timm:*")
    parser.add_argument("--every", type=int, default=1, help="take every Nth name")
    parser.add_argument("--write", type=Path, help="a document with the markers")
    given = parser.parse_args()
    names = models_of([given.pattern])[:: given.every]
    with tempfile.TemporaryDirectory() as folder:
        seconds = {}
        for workers in (1, 2):
            out = Path(folder) / f"{workers}.csv"
            seconds[workers] = timed([*names, "-j", str(workers), "-o", str(out)])
        serial, parallel = (read_rows(Path(folder) / f"{workers}.csv") for workers in (1, 2))
    figures = [{row["model"]: (row["params"], row["macs"]) for row in rows} for rows in (serial, parallel)]
    assert figures[0] == figures[1], "one worker and two do not agree"
    text = "\n".join(report(given.pattern, serial, parallel, seconds))
    print(text)
    if given.write is not None:
        before, _, rest = given.write.read_text(encoding="utf-8").partition(_BEGIN)
        given.write.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")


def timed(arguments: list[str]) -> float:
    """Run a sweep as a user does, and return its seconds."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vggcost", "sweep", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def report(pattern: str, serial: list[Row], parallel: list[Row], seconds: dict[int, float]) -> list[str]:
    """Write what was measured as Markdown."""
    ran = [row for row in serial if row["status"] == "ok"]
    build, trace = (sum(row[name] for row in ran) for name in ("build_seconds", "trace_seconds"))
    ratio = seconds[2] / seconds[1]
    slow = sorted(ran, key=lambda row: -row["trace_seconds"])[:3]
    return [
        f"{len(serial):,} models of `{pattern}`, {len(ran):,} ran; {ran[0]['versions']}; {os.cpu_count()} cores, "
        f"{platform.machine()}, load {os.getloadavg()[0]:.1f} at the end.",
        "",
        "| what | seconds | goal |",
        "| :-- | --: | :-- |",
        f"| `-j 1`, whole command | {seconds[1]:.1f} | |",
        f"| `-j 2`, whole command | {seconds[2]:.1f} | ratio ≤ 0.6: {ratio:.2f}, {'met' if ratio <= 0.6 else 'missed'} |",
        f"| building, all models, `-j 1` | {build:.1f} | |",
        f"| tracing, all models, `-j 1` | {trace:.1f} | less than building: {trace / build:.2f}, "
        f"{'met' if trace < build else 'missed'} |",
        "",
        "Slowest to trace: " + ", ".join(f"{row['model']} {row['trace_seconds']:.2f} s" for row in slow) + ".",
        "",
        *(
            f"- {len(names)} did not run: {reason} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for reason, names in reasons([row for row in serial if row["status"] != "ok"]).items()
        ),
    ]


if __name__ == "__main__":
    main()
