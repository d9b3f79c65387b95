"""Whole processes: a report against the bare meta forward of VGG-16, and commands that need no torch."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.measure import MEGA, Ran, Row, answer, empty_cache, process, processes

BARE = """
import torch
from torch import nn

layers, channels = [], 3
with torch.device("meta"):
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(True)] if width else [nn.MaxPool2d(2, 2)]
        channels = width or channels
    layers.append(nn.Flatten())
    for inner, outer in ((25088, 4096), (4096, 4096)):
        layers += [nn.Linear(inner, outer), nn.ReLU(True), nn.Dropout()]
    net = nn.Sequential(*layers, nn.Linear(4096, 1000)).eval()
    x = torch.empty(1, 3, 224, 224)
with torch.no_grad():
    net(x)
"""
"""Imports torch and runs the bare forward pass of VGG-16 on meta: what the whole process of a report is held against."""

VGGCOST = ("-m", "vggcost")
TORCH_MOST, QUICK_MOST = {"json": 0.60, "html": 1.0}, 0.25


def run(quick: bool) -> dict[str, Any]:
    rounds = 3 if quick else 10
    with tempfile.TemporaryDirectory() as text, empty_cache() as kept:
        folder = Path(text)
        ways = _ways(folder, kept)
        found = processes(ways, rounds)
        imports = [_imports(name, words) for name, words in _commands(folder).items()]
    rows = []
    bare = [ran.seconds for ran in found["bare"]]
    words = {"json": "report vgg16 --format json", "html": "report vgg16 --html"}
    for name, most in TORCH_MOST.items():
        ours = [ran.seconds for ran in found[name]]
        value = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        note = f"{statistics.median(ours):.2f} s, the bare forward {statistics.median(bare):.2f} s"
        rows.append(Row(f"`{words[name]}`, against a process with the bare forward", value, "", most, note=note))
        print(f"  {words[name]:32} {value:.2f} of the bare forward's process", flush=True)
    for name in QUICK:
        value = statistics.median(ran.seconds for ran in found[name])
        rows.append(Row(f"`{name}`", value, "s", QUICK_MOST))
        print(f"  {name:32} {value:.3f} s", flush=True)
    data = [
        {"process": name, "seconds": statistics.median(ran.seconds for ran in runs),
         "rss_mb": statistics.median(ran.rss for ran in runs) / MEGA}
        for name, runs in found.items()
    ]  # fmt: skip
    return {"rows": rows, "data": data, "imports": imports}


QUICK = ("--help", "models", "diff A.json B.json", "docs check FILE.md")


LISTED = """
import json, sys
before = set(sys.modules)
from vggcost.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted(set(sys.modules) - before)))
"""


def _imports(name: str, words: tuple[str, ...]) -> dict[str, Any]:
    """Say what a command imports: how many modules, how many of them vggcost's, and of which packages."""
    modules = answer(["-c", LISTED, *words])
    tops = {module.partition(".")[0] for module in modules}
    packages = sorted(top for top in tops - set(sys.stdlib_module_names) if not top.startswith("_"))
    ours = sum(module.partition(".")[0] == "vggcost" for module in modules)
    return {"command": name, "modules": len(modules), "ours": ours, "packages": packages}


def _commands(folder: Path) -> dict[str, tuple[str, ...]]:
    report = ("report", "vgg16", "-o", str(folder / "report"))
    return {
        "--help": ("--help",),
        "models": ("models",),
        "diff A.json B.json": ("diff", str(folder / "vgg16.json"), str(folder / "vgg-a.json")),
        "docs check FILE.md": ("docs", "check", str(folder / "page.md")),
        "report vgg16 --format json": (*report, "--format", "json"),
        "report vgg16 --html": (*report, "--html"),
    }


def _ways(folder: Path, kept: dict[str, str]) -> dict[str, Any]:
    saved = {name: folder / f"{name}.json" for name in ("vgg16", "vgg-a")}
    for name, path in saved.items():
        process([*VGGCOST, "report", name, "--format", "json", "-o", str(path)], kept)
    document = folder / "page.md"
    document.write_text(
        'VGG-16 has <!-- vggcost:value vgg16.json.params format="M" -->138.36 M<!-- /vggcost --> parameters.\n',
        encoding="utf-8",
    )

    def report(*words: str) -> Ran:
        with empty_cache() as none:
            return process([*VGGCOST, "report", "vgg16", *words], none)

    return {
        "python": lambda: process(["-c", "pass"]),
        "import torch": lambda: process(["-c", "import torch"]),
        "bare": lambda: process(["-c", BARE]),
        "json": lambda: report("--format", "json"),
        "html": lambda: report("--html", "-o", str(folder / "vgg16.html")),
        "json, seen before": lambda: process([*VGGCOST, "report", "vgg16", "--format", "json"], kept),
        "--help": lambda: process([*VGGCOST, "--help"]),
        "models": lambda: process([*VGGCOST, "models"]),
        "diff A.json B.json": lambda: process([*VGGCOST, "diff", *map(str, saved.values())]),
        "docs check FILE.md": lambda: process([*VGGCOST, "docs", "check", str(document)]),
    }
