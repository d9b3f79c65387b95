"""Profiles as text: what is left of the time of a warm trace, and of start-up."""

from __future__ import annotations

import cProfile
import io
import json
import os
import pstats
import re
import subprocess
import sys
import warnings
from importlib.util import find_spec
from typing import Any

from benchmarks.speed.measure import ROOT, answer

ROWS = 25
TRACED = {"resnet152": "torchvision", "gpt2": "transformers"}


def run(quick: bool) -> dict[str, Any]:
    data = []
    for name, needed in TRACED.items():
        if find_spec(needed) is None:
            continue
        for mode in ("inference", "training"):
            found = answer(["-m", "benchmarks.speed.profiles", name, mode])
            data.append({"title": f"{found['title']}, {mode}, five warm runs, by own time", "text": found["text"]})
            print(f"  {found['title']}, {mode}", flush=True)
    data.append({"title": "`vggcost report vgg16 --format json`: what importing takes, µs", "text": imports()})
    return {"rows": [], "data": data}


def imports() -> str:
    """Say which imports take longest by themselves, and what all of vggcost and all of torch take."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    arguments = [sys.executable, "-X", "importtime", "-m", "vggcost", "report", "vgg16", "--format", "json"]
    for _ in range(2):  # the first writes the bytecode
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    lines = [line.split("|") for line in done.stderr.splitlines() if re.match(r"import time:\s+\d", line)]
    found = sorted(((int(own.partition(":")[2]), name.strip()) for own, _, name in lines), reverse=True)
    whole: dict[str, int] = {}
    for own, name in found:
        package = name.partition(".")[0]
        whole[package] = whole.get(package, 0) + own
    largest = sorted(whole.items(), key=lambda item: -item[1])[:8]
    text = [f"{'own':>9}  package, all modules"] + [f"{own:9,}  {name}" for name, own in largest]
    return "\n".join([*text, "", f"{'own':>9}  module", *(f"{own:9,}  {name}" for own, name in found[:ROWS])])


def measured(name: str, mode: str) -> dict[str, str]:
    warnings.simplefilter("ignore")
    import vggcost
    from benchmarks.speed.nets import NETS

    model, x = NETS[name].build(), NETS[name].input()
    for _ in range(3):  # a whole call is remembered the second time it is seen
        vggcost.analyze(model, x, mode=mode)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(5):
        vggcost.analyze(model, x, mode=mode)
    profile.disable()
    stream = io.StringIO()
    pstats.Stats(profile, stream=stream).sort_stats("tottime").print_stats(ROWS)
    lines = [_short(line) for line in stream.getvalue().splitlines() if line.strip()]
    return {"title": NETS[name].title, "text": "\n".join(line for line in lines if not line.startswith("   List"))}


def _short(line: str) -> str:
    """Leave out where the packages lie on this machine."""
    line = line.replace(f"{ROOT}{os.sep}", "")
    return re.sub(r"(/\S*?)?/(site-packages|python3\.\d+)/(?=\S+:\d)", "", line).rstrip()


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], sys.argv[2])))
