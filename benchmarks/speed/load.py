"""What `vggcost report` takes for models far larger than usual: thousands of layers, containers, a million ops."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.measure import MEGA, Ran, Row, empty_cache, exponent, process

LAYERS = (2_500, 5_000, 10_000, 20_000)
CONTAINERS = 2_000
OPS = 1_000_000
FORMS = {"table": ("as a table in the terminal", 10), "html": ("as a page", 30)}
BARE = f"import torch; x = torch.zeros(1, 8, device='meta')\nwith torch.no_grad():\n for _ in range({OPS}): x = x + 1"
_FILE = "./benchmarks/speed/large.py"


def run(quick: bool) -> dict[str, Any]:
    ways = [("chain", size, form) for size in LAYERS for form in FORMS]
    ways += [("nested", CONTAINERS, form) for form in FORMS]
    found: dict[tuple[str, int, str], list[Ran]] = {way: [] for way in ways}
    for number in range(1 if quick else 3):
        for way in ways[:: 1 if number % 2 else -1]:
            found[way].append(_reported(*way))
    least = {way: min(runs, key=lambda ran: ran.busy) for way, runs in found.items()}
    rows = []
    for form, (words, most) in FORMS.items():
        last = least["chain", LAYERS[-1], form]
        rows.append(Row(f"a chain of {LAYERS[-1]:,} layers {words}", last.busy, "s", most, note=_note(last)))
        times = [least["chain", size, form].busy for size in LAYERS]
        note = f"{times[0]:.1f} s at {LAYERS[0]:,}"
        rows.append(
            Row(
                f"such a chain {words}: exponent of time from {LAYERS[0]:,} on",
                exponent(LAYERS, times),
                "",
                1.1,
                note=note,
            )
        )
        deep = least["nested", CONTAINERS, form]
        rows.append(Row(f"{CONTAINERS:,} containers in each other {words}", deep.busy, "s", most, note=_note(deep)))
    many, bare = _reported("loop", OPS, "table"), process(["-c", BARE])
    rows.append(
        Row(
            f"{OPS:,} ops {FORMS['table'][0]}, against the bare loop",
            many.busy / bare.busy,
            note=f"{many.busy:.0f} of {bare.busy:.0f} s",
        )
    )
    rows.append(Row("the same: peak memory", many.rss / MEGA, "MB", 1_200))
    for row in rows:
        print(f"  {row.what:70} {row.measured}", flush=True)
    data = [
        {"model": kind, "size": size, "form": form, "seconds": ran.busy, "rss_mb": ran.rss / MEGA}
        for (kind, size, form), ran in least.items()
    ]
    return {"rows": rows, "data": data}


def _reported(kind: str, size: int, form: str) -> Ran:
    with tempfile.TemporaryDirectory() as folder, empty_cache() as none:
        target = str(Path(folder) / "report")
        given = [f"{_FILE}:{kind}", "-i", "8", "-k", f"n={size}", "--format", form, "-o", target]
        return process(["-m", "vggcost", "report", *given], none)


def _note(ran: Ran) -> str:
    return f"{ran.rss / MEGA:.0f} MB"
