"""What the tests share."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from vggcost import CostTable, analyze

ROOT = Path(__file__).parent.parent
PUBLISHED = Path(__file__).parent / "published"

os.environ["VGGCOST_CACHE"] = "off"  # what is tested is what runs now, here and in the processes that tests start

# Every run tries the same examples: a red run can be repeated, and a slow machine does not fail one.
settings.register_profile(
    "fixed", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def published(name: str) -> list[dict[str, str]]:
    with (PUBLISHED / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scrubbed(table: CostTable) -> CostTable:
    """The table without what changes from machine to machine."""
    versions = (("python", "3.x"), ("torch", "2.x"), ("vggcost", "0.x"))
    return replace(table, run=replace(table.run, versions=versions))


@pytest.fixture(scope="session")
def zoo_table() -> Callable[..., CostTable]:
    """Analyze a net of the zoo once a session."""
    known: dict[str, CostTable] = {}

    def get(name: str, **options: object) -> CostTable:
        key = f"{name} {sorted(options.items())}"
        if key not in known:
            known[key] = analyze(name, **options)
        return known[key]

    return get


def command(*arguments: str, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `vggcost` as a user does, in a process of its own."""
    return python("-m", "vggcost", *arguments, cwd=cwd, stdin=stdin)


def python(*arguments: str, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd, input=stdin, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
