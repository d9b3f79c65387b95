"""Sizes of the pages, and how soon they are ready in Chromium, each against its limit.

    python benchmarks/pages.py [-o docs/pages.md]

Ready is when the script has drawn the table and the reader can act: from the start of the navigation to a file on this
disk, the median of five.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import nn

from vggcost import CostTable, analyze
from vggcost._analyze import Said
from vggcost._page import page_of
from vggcost.report.compare_text import render_comparison
from vggcost.report.comparison import DEFAULT_COLUMNS, compare
from vggcost.report.html import html
from vggcost.zoo import family

CHROMIUM = "/usr/bin/chromium"
FLAGS = "--no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update".split()
READY = """() => document.documentElement.classList.contains("scripted") ? performance.now() : 0"""
KB = 1000


def one(name: str) -> str:
    table, beside = page_of(name, None, Said(saved=True))
    return html(table, None, beside)


def side_by_side(tables: list[CostTable]) -> str:
    return render_comparison(compare(tables, DEFAULT_COLUMNS), "html")


def many(count: int) -> list[CostTable]:
    """Nets of the zoo for as many inputs as it takes; every one is another model to the page."""
    names = ["resnet-152", "resnet-50", "googlenet", "alexnet", *family("vgg")]
    sizes = (224, 256, 288, 320)
    return [analyze(names[i % len(names)], f"3x{s}x{s}") if s == 224 or "resnet" in names[i % len(names)] else
            analyze(names[i % len(names)], classes=1000 + i) for i in range(count) for s in [sizes[i // len(names) % 4]]]  # fmt: skip


def chain(count: int) -> str:
    return html(analyze(nn.Sequential(*(nn.Linear(8, 8) for _ in range(count))), "8"))


PAGES: dict[str, tuple[Callable[[], str], int | None]] = {
    "vgg16": (lambda: one("vgg16"), 150 * KB),
    "resnet-152": (lambda: one("resnet-152"), 400 * KB),
    "the VGG family": (lambda: side_by_side([analyze(name) for name in family("vgg")]), 1000 * KB),
    "20 models": (lambda: side_by_side(many(20)), 1000 * KB),
    "50 models": (lambda: side_by_side(many(50)), None),
    "a chain of 20,000 layers": (lambda: chain(20_000), None),
}


def measured() -> Iterator[tuple[str, int, int | None, bool, float]]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, (make, limit) in PAGES.items():
            text = make()
            path = Path(folder) / "page.html"
            path.write_text(text, encoding="utf-8")
            times = []
            for _ in range(5):
                page = browser.new_page()
                page.goto(path.as_uri())
                times.append(page.wait_for_function(READY).json_value())
                page.close()
            yield name, len(text.encode()), limit, make() == text, statistics.median(times)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", help="write the table as Markdown")
    lines = ["| page | bytes | limit | same bytes twice | ready after |", "|:--|--:|--:|:--|--:|"]
    options = parser.parse_args()
    for name, size, limit, same, ready in measured():
        wanted = f"{limit:,}" if limit else ""
        lines.append(f"| {name} | {size:,} | {wanted} | {'yes' if same else 'no'} | {ready:.0f} ms |")
        print(lines[-1], flush=True)
    if options.output:
        head = "# Sizes of the pages\n\nMade by `python benchmarks/pages.py -o docs/pages.md`; Chromium, two cores, a file on the disk.\n"
        Path(options.output).write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
