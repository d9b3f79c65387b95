"""docs/speed.md, docs/peers.md and docs/profiles.md, written from results.json; needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.measure import ROOT, Row

TITLES = {
    "tracing": "Tracing",
    "startup": "Start-up",
    "memory": "Memory",
    "growth": "Growth",
    "load": "Load",
    "sweep": "Many models",
    "peers": "Against the peers",
}
ABOUT = {
    "tracing": "A whole analysis (the run and the arithmetic on its record, all rows) of a model that is built, against "
    "the bare forward pass, or forward, loss and backward pass, of the same model on meta without any counting. The "
    "goal is of a warm run: torch has imported what it imports, and the calls of functions are known from earlier runs.",
    "startup": "Whole processes, median of ten, in alternating order. The bare forward is a process that imports torch "
    "and runs VGG-16 on meta once, without torchvision and without counting. No result is taken from an earlier run.",
    "memory": "The most memory that a process holds (`ru_maxrss`), against a process that imports torch and ends.",
    "growth": "Time, and the most memory that Python allocates (`tracemalloc`), of a warm analysis or of one document "
    "of it, the least of some runs; the exponent k of size^k, fitted over the larger sizes. Blocks are of width 64 with 4 heads and 16 tokens.",
    "load": "`vggcost report` of models far larger than usual, whole processes that find no result of an earlier one: the "
    "seconds that they keep a processor busy, which others on the machine do not change much, the least of three. A page of "
    "more than 15,000 ops runs its model once, and says so; of fewer ops it runs it for other batches and dtypes too.",
    "sweep": "`vggcost sweep` over timm, each model at its default input: whole commands, from the start of Python to the "
    "last result; and what one worker spends on building the models and on tracing them. A quick run takes every fourth model.",
}


def write(results: dict[str, Any]) -> list[Path]:
    """Write the pages; return their paths."""
    paths = []
    for name, text in pages(results).items():
        path = ROOT / "docs" / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def pages(results: dict[str, Any]) -> dict[str, str]:
    """Return the pages by their names."""
    from benchmarks import peers

    found = {"speed.md": _speed(results), "profiles.md": _profiles(results)}
    return {**found, "peers.md": peers.page(results["peers"])} if "peers" in results else found


def made_on(part: dict[str, Any]) -> str:
    machine = part["machine"]
    cores = f"{machine['cores']} core{'s' * (machine['cores'] != '1')}"
    short = ", a quick run of few rounds" if part.get("quick") else ""
    return f"Made on {machine['cpu']}, {cores}, {machine['system']}; Python {machine['python']}, torch {machine['torch']}{short}."


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> list[str]:
    """Write a Markdown table; the first columns are text."""
    marks = ["---" if number < left else "--:" for number in range(len(head))]
    return [f"| {' | '.join(map(str, row))} |" for row in (head, marks, *rows)]


def goals(part: dict[str, Any]) -> list[str]:
    rows = []
    for plain in part["rows"]:
        row = Row(**{key: value for key, value in plain.items() if key != "met"})
        rows.append(
            (row.what, row.goal, row.measured, {True: "met", False: "**not met**", None: ""}[row.met], row.note)
        )
    return table(("", "goal", "measured", "", "what it is made of"), rows)


def _speed(results: dict[str, Any]) -> str:
    every = [row for name in TITLES for row in results.get(name, {}).get("rows", ()) if row["met"] is not None]
    met = sum(row["met"] for row in every)
    text = [
        "# What vggcost itself costs",
        "",
        "Written by `make bench`, which measures all of this again (`make bench ONLY=tracing` one part of it, after `pip install '.[bench]'`).",
        f"{met} of {len(every)} goals are met. [Profiles](profiles.md) show what is left.",
    ]
    for name, title in TITLES.items():
        part = results.get(name)
        if part is None:
            continue
        text += ["", f"## {title}", ""]
        text += [ABOUT[name]] if name in ABOUT else ["[The table of all tools](peers.md)."]
        text += ["", made_on(part), "", *goals(part), *_more(name, part)]
    return "\n".join(text) + "\n"


def _more(name: str, part: dict[str, Any]) -> list[str]:
    data = part.get("data", [])
    if name == "tracing":
        head = ("", "mode", "ops", "bare, ms", "warm, ms", "warm", "run alone", "arithmetic alone", "cold, ms", "cold")
        rows = [
            (
                item["model"], item["mode"], f"{item['ops']:,}", f"{item['bare_ms']:.1f}", f"{item['warm_ms']:.1f}",
                f"{item['warm']:.2f}", f"{item['trace']:.2f}", f"{item['cost']:.2f}", f"{item['cold_ms']:.1f}",
                f"{item['cold']:.2f}",
            )
            for item in data
        ]  # fmt: skip
        words = "Where it goes, as shares of the bare pass; cold is the first analysis of a process that has run the model bare:"
        return ["", words, "", *table(head, rows, 2)]
    if name == "startup":
        rows = [(item["process"], f"{item['seconds']:.2f}", f"{item['rss_mb']:.0f}") for item in data]
        imports = [
            (f"`{item['command']}`", ", ".join(item["packages"]), f"{item['modules']:,}", item["ours"])
            for item in part.get("imports", ())
        ]
        head = ("command", "packages that it imports", "modules", "of vggcost")
        return ["", *table(("process", "seconds", "peak memory, MB"), rows), "", *table(head, imports, 2)]
    if name == "sweep":
        rows = [(item["model"], f"{item['build']:.2f}", f"{item['trace']:.2f}") for item in data]
        failed = [
            f"- {len(names)} did not run: {reason} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for reason, names in part.get("failed", {}).items()
        ]
        return ["", *table(("slowest to trace", "building, s", "tracing, s"), rows), *(["", *failed] if failed else [])]
    if name == "growth":
        return ["", "![Time and memory against the number of blocks, layers and rows](growth.svg)"]
    return []


def _profiles(results: dict[str, Any]) -> str:
    left = (ROOT / "benchmarks" / "left.md").read_text(encoding="utf-8").strip()
    text = ["# Profiles", "", "Written by `make bench ONLY=profiles`.", "", left]
    part = results.get("profiles")
    if part is not None:
        text += ["", "## As measured", "", made_on(part)]
        for item in part["data"]:
            text += ["", f"### {item['title']}", "", "```text", item["text"], "```"]
    return "\n".join(text) + "\n"
