"""vggcost and its peers on the same models: what each says, how long it takes and what it weighs.

Everything that is run is named by the extra `bench`. Warm: all tools in one process a model and device, in
alternating order, each on a fresh copy over the same weights. Cold: a process for each tool and model, which imports,
builds and counts once, on meta where the tool can. Each tool is called as its documentation says, on real CPU tensors
and, where it can, on meta; the faster of the two is its best way. A figure in FLOPs is halved to MACs.
"""

from __future__ import annotations

import copy
import gc
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from typing import Any

from benchmarks.speed.measure import MEGA, ROOT, Row, answer, peak_rss, process

NETS = ("vgg16", "resnet152", "vit_l_16", "gpt2")
DEVICES = ("cpu", "meta")
GOAL_FASTER, GOAL_NETS = 4, ("resnet152", "gpt2")
NEAR = 0.005  # what lies nearer to the truth counts the same layers, with norms or biases by another convention


# What each tool says


def vggcost_(model: Any, x: Any) -> float:
    import vggcost

    return vggcost.analyze(model, x).totals.macs


def fvcore(model: Any, x: Any) -> float:
    from fvcore.nn import FlopCountAnalysis

    found = FlopCountAnalysis(model, x).unsupported_ops_warnings(False)
    found.by_module()
    return found.total()


def torchinfo(model: Any, x: Any) -> float:
    from torchinfo import summary

    return summary(model, input_data=x, verbose=0, device=x.device).total_mult_adds


def ptflops(model: Any, x: Any) -> float:
    from ptflops import get_model_complexity_info

    name = "x" if hasattr(model, "net") else "input"
    return get_model_complexity_info(
        model, tuple(x.shape[1:]), as_strings=False, verbose=False, print_per_layer_stat=False,
        input_constructor=(lambda _: {name: x}) if name == "x" else (lambda _: x), backend="pytorch",
    )[0]  # fmt: skip


def thop(model: Any, x: Any) -> float:
    from thop import profile

    return profile(model, inputs=(x,), verbose=False)[0]


def calflops(model: Any, x: Any) -> float:
    from calflops import calculate_flops

    return calculate_flops(model, args=[x], print_results=False, output_as_string=False)[1]


def torchprofile(model: Any, x: Any) -> float:
    from torchprofile import profile_macs

    return profile_macs(model, x)


def flop_counter(model: Any, x: Any) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops() / 2


@dataclass(frozen=True)
class Tool:
    """One column: how it is called, its distribution, whether it says what each layer costs, and its unit."""

    title: str
    count: Callable[[Any, Any], float]
    package: str
    layers: bool
    unit: str


TOOLS = {
    "vggcost": Tool("vggcost", vggcost_, "vggcost", True, "MACs"),
    "fvcore": Tool("fvcore", fvcore, "fvcore", True, "MACs, called flops"),
    "torchinfo": Tool("torchinfo", torchinfo, "torchinfo", True, "MACs"),
    "ptflops": Tool("ptflops", ptflops, "ptflops", True, "MACs"),
    "thop": Tool("thop", thop, "thop", False, "MACs"),
    "calflops": Tool("calflops", calflops, "calflops", True, "MACs"),
    "torchprofile": Tool("torchprofile", torchprofile, "torchprofile", False, "MACs"),
    "flop_counter": Tool("FlopCounterMode", flop_counter, "torch", True, "FLOPs, 2 a MAC"),
}


# The truth, on paper


def _convolution(kernel: int, inner: int, outer: int, side: int) -> int:
    return kernel * kernel * inner * outer * side * side


def _vgg16() -> int:
    macs, inner, side = 0, 3, 224
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            macs += _convolution(3, inner, width, side)
            inner = width
        side //= 2
    return macs + 25088 * 4096 + 4096 * 4096 + 4096 * 1000


def _resnet152() -> int:
    macs, inner, side = _convolution(7, 3, 64, 112), 64, 56
    for stage, (width, count) in enumerate(((64, 3), (128, 8), (256, 36), (512, 3))):
        for block in range(count):
            stride = 2 if stage and not block else 1
            macs += _convolution(1, inner, width, side)
            side //= stride  # the stride is that of the 3×3
            macs += _convolution(3, width, width, side) + _convolution(1, width, 4 * width, side)
            macs += 0 if block else _convolution(1, inner, 4 * width, side)
            inner = 4 * width
    return macs + 2048 * 1000


def _transformer(tokens: int, width: int, layers: int) -> int:
    """Queries, keys, values and output (4), up and down (8); every token's product with every token, twice."""
    return layers * (tokens * 12 * width * width + 2 * tokens * tokens * width)


TRUTH = {
    "vgg16": _vgg16(),
    "resnet152": _resnet152(),
    "vit_l_16": _convolution(16, 3, 1024, 14) + _transformer(197, 1024, 24) + 1024 * 1000,
    "gpt2": _transformer(128, 768, 12) + 128 * 768 * 50257,
}


def verdict(macs: float | None, truth: int) -> str:
    """Say whether a figure is right, near (another convention of small terms), wrong, or not to be had."""
    if macs is None:
        return "cannot"
    return "right" if macs == truth else "near" if abs(macs / truth - 1) <= NEAR else "wrong"


# In the process of a measurement


def built(name: str, device: str) -> tuple[Any, Any]:
    """Build a model whose weights are zeros: what they are changes no count."""
    import torch

    from benchmarks.speed.nets import NETS as ALL

    model = ALL[name].build("meta").eval()
    if device != "meta":
        model = model.to_empty(device=device)
        for tensor in (*model.parameters(), *model.buffers()):
            torch.Tensor.zero_(tensor.data)
        if ALL[name].tokens:
            model.masked = False
    return model, ALL[name].input(device)


def fresh(skeleton: Any, shared: Any) -> Any:
    """Copy a model, weights aside, since some tools leave hooks and attributes on the one that they are given."""
    model = copy.deepcopy(skeleton)
    if not next(shared.parameters()).is_meta:
        for path, buffer in shared.named_buffers():
            place, _, name = path.rpartition(".")
            model.get_submodule(place).register_buffer(name, buffer)
        model.load_state_dict(shared.state_dict(keep_vars=True), assign=True)
        if hasattr(model, "masked"):
            model.masked = False
    return model


@contextmanager
def tidied() -> Iterator[None]:
    """Take back what a tool leaves in torch, so that the next one is not slowed down by it."""
    import torch
    import torch.nn.functional as F

    places = (F, torch, torch.Tensor)
    before = [dict(vars(place)) for place in places]
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for place, names in zip(places, before, strict=True):
            for name, value in names.items():
                if vars(place).get(name) is not value and not name.startswith("__"):
                    setattr(place, name, value)


def warm(name: str, device: str, rounds: int) -> dict[str, Any]:
    """Time every tool on one model, in alternating order; what fails before they count says why."""
    shared, x = built(name, device)
    skeleton, _ = built(name, "meta")
    found: dict[str, Any] = {tool: {"seconds": []} for tool in TOOLS}
    for number in range(-2 if device == "meta" else -1, rounds):
        for tool in list(TOOLS)[:: 1 if number % 2 else -1]:
            if "error" in found[tool]:
                continue
            model = fresh(skeleton, shared)
            gc.collect()
            with tidied():
                start = time.perf_counter()
                try:
                    macs = TOOLS[tool].count(model, x)
                except BaseException as error:
                    found[tool] |= {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"}
                    continue
                seconds = time.perf_counter() - start
            if number < 0:
                found[tool]["macs"] = macs
            else:
                found[tool]["seconds"].append(seconds)
    return found


def cold(tool: str, name: str, device: str) -> dict[str, Any]:
    """Count once in this process, and say what it came to weigh."""
    model, x = built(name, device)
    with tidied():
        if tool:
            TOOLS[tool].count(model, x)
    return {"rss": peak_rss()}


# The whole


def run(quick: bool) -> dict[str, Any]:
    for package in ("torchvision", "transformers", *(tool.package for tool in TOOLS.values())):
        if find_spec(package) is None:
            raise SystemExit(f"{package} is not installed; python -m pip install '.[bench]'")
    data = [_column(name, quick) for name in NETS]
    draw(data)
    return {"rows": _rows(data), "versions": {tool: version(TOOLS[tool].package) for tool in TOOLS}, "data": data}


def _column(name: str, quick: bool) -> dict[str, Any]:
    from benchmarks.speed.nets import NETS as ALL

    by_device = {
        device: answer(["-m", "benchmarks.peers", "warm", name, device, str(_rounds(device, quick))])
        for device in DEVICES
    }
    tools: dict[str, Any] = {}
    for tool in TOOLS:
        ways = {}
        for device in DEVICES:
            one = by_device[device][tool]
            ways[device] = (
                {"error": one["error"]} if "error" in one
                else {"seconds": statistics.median(one["seconds"]), "macs": one["macs"],
                      "verdict": verdict(one["macs"], TRUTH[name])}
            )  # fmt: skip
        able = [device for device in DEVICES if "seconds" in ways[device]]
        best = min(able, key=lambda device: ways[device]["seconds"], default=None)
        tools[tool] = {"ways": ways, "best": best}
    working = [tool for tool in tools if tools[tool]["best"]]
    for tool in ("", *working):
        device = "cpu" if tool and "error" in tools[tool]["ways"]["meta"] else "meta"
        ran = process(["-m", "benchmarks.peers", "cold", tool, name, device])
        place = tools.setdefault(tool, {}) if tool else tools.setdefault("(building alone)", {})
        place |= {"cold_seconds": ran.seconds, "rss": json.loads(ran.output.splitlines()[-1])["rss"]}
    print(f"  {ALL[name].title}", flush=True)
    return {"net": name, "title": ALL[name].title, "truth": TRUTH[name], "tools": tools}


def _rounds(device: str, quick: bool) -> int:
    return 1 if device == "cpu" else 3 if quick else 9


def _rows(data: list[dict[str, Any]]) -> list[Row]:
    rows = []
    for column in data:
        tools = {tool: column["tools"][tool] for tool in TOOLS}
        speed = {tool: found["ways"][found["best"]]["seconds"] for tool, found in tools.items() if found["best"]}
        peers = {tool: seconds for tool, seconds in speed.items() if TOOLS[tool].layers and tool != "vggcost"}
        fastest = min(peers, key=lambda tool: peers[tool])
        least = GOAL_FASTER if column["net"] in GOAL_NETS else None
        note = f"{1e3 * speed['vggcost']:.0f} ms; {TOOLS[fastest].title} {1e3 * peers[fastest]:.0f} ms"
        what = f"{column['title']}: times faster, warm, than the fastest peer with a table by layers"
        rows.append(Row(what, peers[fastest] / speed["vggcost"], "", least=least, note=note))
        weights = {tool: found["rss"] for tool, found in tools.items() if "rss" in found}
        ours = weights.pop("vggcost")
        lightest = min(weights, key=lambda tool: weights[tool])
        note = f"{ours / MEGA:.0f} MB; {TOOLS[lightest].title} {weights[lightest] / MEGA:.0f} MB"
        rows.append(
            Row(f"{column['title']}: memory against the lightest peer", ours / weights[lightest], "", 1.0, note=note)
        )
    for words, ways in (("on CPU tensors, as documented", ("cpu",)), ("in either way", DEVICES)):
        clean = [tool for tool in TOOLS if any(all(_right(column, tool, way) for column in data) for way in ways)]
        others = [TOOLS[tool].title for tool in clean if tool != "vggcost"]
        near = [
            TOOLS[tool].title for tool in TOOLS
            if tool not in clean and any(all(_right(column, tool, way, True) for column in data) for way in ways)
        ]  # fmt: skip
        note = f"right in all: {', '.join(TOOLS[tool].title for tool in clean) or 'none'}"
        note += f"; right or near in all: {', '.join(near)}" if near else ""
        rows.append(Row(f"Other columns right to the integer, {words}", len(others), "", 0, note=note))
    return rows


def _right(column: dict[str, Any], tool: str, device: str, near: bool = False) -> bool:
    return column["tools"][tool]["ways"][device].get("verdict") in (("right", "near") if near else ("right",))


# The page


def page(part: dict[str, Any]) -> str:
    """Return docs/peers.md; needs no torch."""
    from benchmarks.speed.document import made_on, table

    text = [
        "# vggcost and its peers",
        "",
        "Written by `make bench ONLY=peers`. Each tool counts the forward pass of the same models, called as its",
        "documentation says: on real CPU tensors, and on meta where it can. Images are 1×3×224×224, GPT-2 reads 128 tokens.",
        "The truth is the closed form in `benchmarks/peers.py`: multiply-accumulates of convolutions, linear layers and",
        "attention. *near* is within 0.5% of it: all layers are counted, and something small beside them, or it is rounded.",
        "",
        made_on(part),
        "",
        "![Time of a warm count of each tool on each model](peers.svg)",
    ]
    for column in part["data"]:
        rows = []
        for tool, spec in TOOLS.items():
            found = column["tools"][tool]
            cells = [_cell(found["ways"][device], column["truth"]) for device in DEVICES]
            rows.append((
                spec.title, *cells, *(_time(found["ways"][device]) for device in DEVICES),
                f"{found['cold_seconds']:.1f}" if "cold_seconds" in found else "",
                f"{found['rss'] / MEGA:.0f}" if "rss" in found else "",
            ))  # fmt: skip
        alone = column["tools"]["(building alone)"]
        rows.append(("*building alone*", "", "", "", "", f"{alone['cold_seconds']:.1f}", f"{alone['rss'] / MEGA:.0f}"))
        head = (
            "",
            "GMACs on CPU",
            "GMACs on meta",
            "warm on CPU, ms",
            "warm on meta, ms",
            "cold process, s",
            "its memory, MB",
        )
        text += ["", f"## {column['title']}: {column['truth'] / 1e9:.4f} GMACs", "", *table(head, rows)]
    errors = {
        (TOOLS[tool].title, way["error"])
        for column in part["data"] for tool in TOOLS for way in column["tools"][tool]["ways"].values() if "error" in way
    }  # fmt: skip
    text += ["", "Cold processes count on meta where the tool can, and on the CPU otherwise."]
    if errors:
        text += ["", "## What cannot be counted", "", *(f"- {title}: `{error}`" for title, error in sorted(errors))]
    text += ["", "## As they were run", ""]
    text += table(
        ("tool", "version", "unit of its figure", "table by layers"),
        [(t.title, part["versions"][name], t.unit, "yes" if t.layers else "no") for name, t in TOOLS.items()], 4,
    )  # fmt: skip
    return "\n".join(text) + "\n"


def _cell(way: dict[str, Any], truth: int) -> str:
    if "error" in way:
        return "cannot"
    share = way["macs"] / truth - 1
    words = {"right": "right", "near": f"near, {share:+.2%}", "wrong": f"**wrong**, {share:+.1%}"}[way["verdict"]]
    return f"{way['macs'] / 1e9:.4f} {words}"


def _time(way: dict[str, Any]) -> str:
    return f"{1e3 * way['seconds']:.0f}" if "seconds" in way else ""


def draw(data: list[dict[str, Any]]) -> None:
    """Plot the warm times in each tool's best way."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "vggcost", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        for axes, column in zip(figure.subplots(1, len(data), sharey=True), data, strict=True):
            for place, tool in enumerate(reversed(TOOLS)):
                found = column["tools"][tool]
                if found["best"] is None:
                    axes.text(0, place, " cannot", va="center", fontsize=8)
                    continue
                value = 1e3 * found["ways"][found["best"]]["seconds"]
                axes.barh(place, value, color="#c2410c" if tool == "vggcost" else "#94a3b8")
                axes.text(value, place, f" {value:.0f}", va="center", fontsize=8)
            axes.set_yticks(range(len(TOOLS)), [TOOLS[tool].title for tool in reversed(TOOLS)])
            axes.set_title(column["title"], fontsize=9)
            axes.margins(x=0.3)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        figure.supxlabel("warm, ms, in the faster way", fontsize=9)
        figure.savefig(ROOT / "docs" / "peers.svg", metadata={"Date": None})


if __name__ == "__main__":
    step, *given = sys.argv[1:]
    made = warm(given[0], given[1], int(given[2])) if step == "warm" else cold(*given)
    print(json.dumps(made))
