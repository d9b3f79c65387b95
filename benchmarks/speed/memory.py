"""The most memory that a process holds, against importing torch alone."""

from __future__ import annotations

import json
import statistics
from importlib.util import find_spec
from typing import Any

from benchmarks.speed.measure import MEGA, ROOT, Ran, Row, empty_cache, process, processes

LLAMA = ROOT / "tests" / "published" / "configs" / "llama3-405b.json"


def run(quick: bool) -> dict[str, Any]:
    ways = {
        "import torch": lambda: process(["-c", "import torch"]),
        "vggcost report vgg16": lambda: _cold("-m", "vggcost", "report", "vgg16", "--format", "json"),
        'vggcost.analyze("vgg16")': lambda: _cold("-c", "import vggcost; vggcost.analyze('vgg16')"),
        'vggcost.analyze("vgg16", mode="training")': lambda: _cold(
            "-c", "import vggcost; vggcost.analyze('vgg16', mode='training')"
        ),
    }
    found = processes(ways, 2 if quick else 5)
    peaks = {name: statistics.median(ran.rss for ran in runs) for name, runs in found.items()}
    alone = peaks.pop("import torch")
    rows = [
        Row(
            f"`{name}`, against `import torch`",
            peak / alone,
            "",
            1.3,
            note=f"{peak / MEGA:.0f} of {alone / MEGA:.0f} MB",
        )
        for name, peak in peaks.items()
    ]
    for mode in ("inference", "training") if find_spec("transformers") else ():
        code = f"import vggcost; print(vggcost.analyze({f'hf:{LLAMA}'!r}, mode={mode!r}).totals.params)"
        ran = _cold("-c", code)
        note = f"{json.loads(ran.output) / 1e9:.0f} billion parameters in {ran.seconds:.0f} s"
        rows.append(Row(f"Llama-3-405B, {mode}", ran.rss / MEGA, "MB", 1000, note=note))
    for row in rows:
        print(f"  {row.what:60} {row.measured}", flush=True)
    return {"rows": rows, "data": [{"process": name, "rss_mb": peak / MEGA} for name, peak in peaks.items()]}


def _cold(*arguments: str) -> Ran:
    with empty_cache() as none:
        return process(arguments, none)
