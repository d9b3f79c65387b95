"""Measure vggcost against its goals: python -m benchmarks.bench [PART ...] [--quick] [--docs].

Writes benchmarks/results.json (the parts that were not measured stay as they are) and the pages of docs/ made from
it. Everything runs in alternating order in one run, so that a machine that is busy is busy for both sides.
"""

from __future__ import annotations

import argparse
import json
import os
from importlib import import_module
from typing import Any

from benchmarks.speed import document
from benchmarks.speed.measure import ROOT, Row, machine

PARTS = {
    "tracing": "benchmarks.speed.tracing",
    "startup": "benchmarks.speed.startup",
    "memory": "benchmarks.speed.memory",
    "growth": "benchmarks.speed.growth",
    "load": "benchmarks.speed.load",
    "sweep": "benchmarks.speed.sweep",
    "peers": "benchmarks.peers",
    "profiles": "benchmarks.speed.profiles",
}
RESULTS = ROOT / "benchmarks" / "results.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; none: all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--docs", action="store_true", help="measure nothing, write the pages anew")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    quick = given.quick or bool(os.environ.get("QUICK"))
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in () if given.docs else given.parts or PARTS:
        print(name, flush=True)
        found = import_module(PARTS[name]).run(quick)
        rows: list[Row] = found.pop("rows")
        results[name] = {"machine": machine(), "quick": quick, "rows": [row.plain() for row in rows], **found}
        ordered = {key: results[key] for key in PARTS if key in results}
        RESULTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        say(rows)
    for path in document.write(results):
        print(f"wrote {path.relative_to(ROOT)}")


def say(rows: list[Row]) -> None:
    """Print every figure beside its goal."""
    for row in rows:
        verdict = {True: "met", False: "NOT MET", None: ""}[row.met]
        print(f"{verdict:8} {row.measured:>12}  {row.goal:>10}  {row.what}" + (f" ({row.note})" if row.note else ""))


if __name__ == "__main__":
    main()
