"""A real browser for the tests of the pages: Debian's Chromium through Playwright, offline."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("VGGCOST_CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

# Screenshots of the main pages are kept here when a run asks for them.
SHOTS = os.environ.get("VGGCOST_SHOTS", "")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium once a file of tests: while it runs, this thread's event loop is Playwright's."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no browser {CHROMIUM}; Debian's package is chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield started
        started.close()


class Opened:
    """A page in the browser, with all that it said and asked for."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page = page
        self.path = path
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def go(self, fragment: str = "") -> None:
        """Open the file anew, at a fragment."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.path.as_uri()}{fragment}")

    def text(self, selector: str) -> str:
        """Return the text of the first element, with single blanks."""
        return re.sub(r"\s+", " ", self.page.locator(selector).first.inner_text()).strip()

    def fragment(self) -> str:
        """Return what the address says after the #."""
        return str(self.page.evaluate("location.hash")).removeprefix("#")

    def choose(self, key: str, value: str) -> None:
        """Set a control of the toolbar."""
        control = self.page.locator(f"[data-state={key}]").first
        if control.evaluate("e => e.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)

    def violations(self) -> list[str]:
        """Run axe-core and list what it finds."""
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
        )
        found = axe.Axe().run(self.page).response["violations"]
        return [f"{item['id']}: {item['help']}: {[node['html'][:120] for node in item['nodes'][:3]]}" for item in found]

    def shot(self, name: str) -> None:
        """Keep a screenshot, where they are wanted."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


@contextmanager
def opened(browser: Any, path: Path, fragment: str = "", **options: Any) -> Iterator[Opened]:
    """Open a file in a context of its own; what it says, and a request to anywhere else, are errors.

    Args:
        browser: the fixture.
        path: the file.
        fragment: with its `#`.
        options: of Playwright's `new_context`: `viewport`, `color_scheme`, `java_script_enabled`.
    """
    options = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
    context = browser.new_context(**options)
    page = context.new_page()
    found = Opened(page, path)
    found.go(fragment)
    try:
        yield found
        assert found.said == []
        assert {url.partition("#")[0] for url in found.asked} <= {path.as_uri(), "about:blank"}
    finally:
        context.close()
