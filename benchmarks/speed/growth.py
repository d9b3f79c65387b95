"""How time and memory follow the number of op calls: blocks, layers of a chain, rows of a document."""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.speed.measure import ROOT, Row, alternating, answer, exponent

MOST = 1.1
BLOCKS = (12, 48, 96, 192, 384)
CHAIN = (1, 10, 100, 1000, 3000, 10000)
ROWS = (200, 1000, 5000, 20000)
FITTED = {"blocks": 48, "chain": 1000, "rows": 1000}
"""The fit is over these sizes and larger ones; below them what a run costs at all is what is seen."""

SERIES = {
    "blocks": ("blocks", "transformer blocks"),
    "step": ("blocks", "transformer blocks, training step"),
    "chain": ("chain", "layers of a chain"),
    "json": ("rows", "rows, JSON"),
    "html": ("rows", "rows, HTML"),
}


def run(quick: bool) -> dict[str, Any]:
    rows, data = [], []
    for name, (kind, words) in SERIES.items():
        found = answer(["-m", "benchmarks.speed.growth", name, "2" if quick else "4"])
        first = FITTED[kind]
        chosen = [point for point in found if point["size"] >= first]
        sizes = [point["size"] for point in chosen]
        for what in ("seconds", "bytes"):
            value = exponent(sizes, [point[what] for point in chosen])
            last = chosen[-1]["seconds"] if what == "seconds" else chosen[-1]["bytes"] / 1e6
            note = f"{last:.2f} {'s' if what == 'seconds' else 'MB'} at {sizes[-1]:,}; fitted from {sizes[0]:,}"
            title = {"seconds": "time", "bytes": "peak memory"}[what]
            rows.append(Row(f"{words}: exponent of {title}", value, "", MOST, note=note))
            print(f"  {words:36} {title:12} {value:.2f}", flush=True)
        data.append({"series": name, "words": words, "points": found})
    draw(data)
    return {"rows": rows, "data": data}


def draw(data: list[dict[str, Any]]) -> None:
    """Plot what was measured, as docs/growth.svg."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "vggcost", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        for axes, (what, title, scale) in zip(
            figure.subplots(1, 2), (("seconds", "seconds", 1), ("bytes", "peak memory, MB", 1e6)), strict=True
        ):
            for series in data:
                points = series["points"]
                axes.loglog(
                    [point["size"] for point in points], [point[what] / scale for point in points],
                    marker="o", markersize=3, linewidth=1, label=series["words"],
                )  # fmt: skip
            axes.set_xlabel("blocks, layers or rows")
            axes.set_ylabel(title)
            axes.minorticks_off()
            axes.grid(alpha=0.3)
        figure.axes[0].legend(fontsize=7)
        figure.savefig(ROOT / "docs" / "growth.svg", metadata={"Date": None})


# In the process of a series


def measured(name: str, rounds: int) -> list[dict[str, float]]:
    """Time the sizes in turn, several times, and weigh each in one run more, since weighing takes time."""
    warnings.simplefilter("ignore")
    ways = {size: WAYS[name](size) for size in {"blocks": BLOCKS, "chain": CHAIN, "rows": ROWS}[SERIES[name][0]]}
    seconds = alternating({str(size): way for size, way in ways.items()}, rounds)
    points = []
    for size, way in ways.items():
        gc.collect()
        tracemalloc.start()
        way()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        points.append({"size": size, "seconds": min(seconds[str(size)]), "bytes": peak})
    return points


def _blocks(mode: str) -> Callable[[int], Callable[[], Any]]:
    def make(count: int) -> Callable[[], Any]:
        import torch

        import vggcost
        from benchmarks.speed.nets import Block

        with torch.device("meta"):
            model = torch.nn.Sequential(*(Block(64, 4) for _ in range(count)))
            x = torch.zeros(1, 16, 64)
        return lambda: vggcost.analyze(model, x, mode=mode)

    return make


def _chain(count: int) -> Callable[[], Any]:
    import torch

    import vggcost

    with torch.device("meta"):
        model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(count)))
        x = torch.zeros(1, 8)
    return lambda: vggcost.analyze(model, x)


def _document(form: str) -> Callable[[int], Callable[[], Any]]:
    def make(count: int) -> Callable[[], Any]:
        from vggcost.report import render

        table = _chain(count)()
        return lambda: table.to_json() if form == "json" else render(table, form)

    return make


WAYS: dict[str, Callable[[int], Callable[[], Any]]] = {
    "blocks": _blocks("inference"),
    "step": _blocks("training"),
    "chain": _chain,
    "json": _document("json"),
    "html": _document("html"),
}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
