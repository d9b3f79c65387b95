"""Tracing against the bare forward pass, or forward and backward pass, of the same model on meta.

A process for each model and mode. Cold is the first analysis of the process (each in a fork of it, before any
other); warm are the next ones, when torch has nothing left to import and ops are known.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from importlib.util import find_spec
from typing import Any

from benchmarks.speed.measure import Row, alternating, answer, forked, ratio

MODES = ("inference", "training")
GOALS = {"inference": 0.25, "training": 0.30}
GOALS_VGG16 = {"inference": 2.0, "training": 1.3}
WORDS = {"inference": "forward", "training": "training step"}


def run(quick: bool) -> dict[str, Any]:
    from benchmarks.speed.nets import NETS

    rows, data = [], []
    for name, net in NETS.items():
        missing = [package for package in net.needs if find_spec(package) is None]
        for mode in () if missing else MODES:
            found = answer(["-m", "benchmarks.speed.tracing", name, mode, str(3 if quick else 9)])
            data.append({"model": net.title, "mode": mode, **found})
            most = (GOALS_VGG16 if name == "vgg16" else GOALS)[mode]
            note = f"{found['ops']:,} ops in {found['warm_ms']:.1f} ms, bare {found['bare_ms']:.1f} ms"
            rows.append(Row(f"{net.title}, {WORDS[mode]}, against the bare one", found["warm"], "", most, note=note))
            print(f"  {net.title:12} {mode:10} warm {found['warm']:.2f} cold {found['cold']:.2f}", flush=True)
    return {"rows": rows, "data": data}


def measured(name: str, mode: str, rounds: int) -> dict[str, Any]:
    """Measure one model in this process."""
    warnings.simplefilter("ignore")
    from benchmarks.speed.nets import NETS, bare
    from vggcost import analyze

    model, x = NETS[name].build(), NETS[name].input()
    alone = bare(model, x, mode == "training")

    def whole() -> Any:
        return analyze(model, x, mode=mode)

    def cold() -> list[float]:
        start = time.perf_counter()
        whole()
        middle = time.perf_counter()
        alone()
        return [middle - start, time.perf_counter() - middle]

    alone()
    start = time.perf_counter()
    alone()
    rounds *= 3 if time.perf_counter() - start < 0.05 else 1  # what is short is timed more often
    firsts = [forked(cold) for _ in range(3 if rounds < 5 else 5)]
    for _ in range(3):  # a whole call is remembered the second time it is seen
        whole()
    seconds = alternating({"bare": alone, "whole": whole, **_stages(model, x, mode)}, rounds)
    milli = {key: 1e3 * statistics.median(values) for key, values in seconds.items()}
    return {
        "bare_ms": milli["bare"],
        "warm_ms": milli["whole"],
        "warm": ratio(seconds["whole"], seconds["bare"]),
        "cold_ms": 1e3 * statistics.median(first for first, _ in firsts),
        "cold": statistics.median(first / second for first, second in firsts),
        "trace": ratio(seconds["trace"], seconds["bare"]),
        "cost": ratio(seconds["cost"], seconds["bare"]),
        "ops": _ops(model, x, mode),
    }


def _stages(model: Any, x: Any, mode: str) -> dict[str, Any]:
    """The two stages of an analysis by themselves: the run, and the arithmetic on its record."""
    from vggcost.cost import convention, cost_table

    trace = _traced(model, x, mode)
    recorded, rule = trace(), convention("torch")
    return {"trace": trace, "cost": lambda: cost_table(recorded, rule)}


def _traced(model: Any, x: Any, mode: str) -> Any:
    from vggcost.records import Arguments, InputRecord, RunInfo
    from vggcost.trace import trace_model

    record = InputRecord("x", tuple(x.shape), str(x.dtype).removeprefix("torch."))
    info = RunInfo("model", "model", (), "object", "", (record,), 1, mode)
    return lambda: trace_model(model, info, arguments=Arguments((record,)))


def _ops(model: Any, x: Any, mode: str) -> int:
    return len(_traced(model, x, mode)().ops)


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
