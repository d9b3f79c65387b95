"""The page of several models, and that of a stack of filters: figures, forms, and every control in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import html5lib
import pytest
from torch import nn

from tests.browser import browser, opened
from tests.conftest import ROOT
from tests.test_report import Texts
from vggcost import CostTable, analyze
from vggcost._stack import compare_stack
from vggcost.report.axes import width_of
from vggcost.report.compare_data import pair_rows, titles
from vggcost.report.compare_text import render_comparison
from vggcost.report.comparison import COLUMNS, compare
from vggcost.report.scatter import Point, pareto, scatter
from vggcost.report.stack import on_paper, render_stack, stack_values
from vggcost.report.stack_drawing import drawing
from vggcost.report.stacked import stacked
from vggcost.units import exact
from vggcost.zoo import FAMILIES

__all__ = ["browser"]

GetTable = Callable[..., CostTable]
TWENTY = """vgg-f vgg-m vgg-s vgg-a vgg-a-lrn vgg-b vgg-c vgg-d vgg-e vgg-b-5x5 vgg-d-bn vgg-e-bn alexnet googlenet resnet-50
resnet-101 resnet-152 resnet-50-v1.5 resnet-101-v1.5 resnet-152-v1.5""".split()

EVERY = [*TWENTY, "vgg-m-2048", "vgg-m-1024", "vgg-m-128", "vgg-a-bn", "vgg-b-bn"]


def write(path: Path, tables: list[CostTable], **options: Any) -> Path:
    path.write_text(render_comparison(compare(tables, **options), "html"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def family(folder: Path, zoo_table: GetTable) -> Path:
    return write(folder / "family.html", [zoo_table(name, saved=True) for name in FAMILIES["vgg"]])


@pytest.fixture(scope="module")
def twenty(folder: Path, zoo_table: GetTable) -> Path:
    return write(folder / "twenty.html", [zoo_table(name) for name in TWENTY])


@pytest.fixture(scope="module")
def fifty(folder: Path, zoo_table: GetTable) -> Path:
    tables = [zoo_table(name, **options) for options in ({}, {"convention": "full"}) for name in EVERY]
    assert len(tables) == 50
    return write(folder / "fifty.html", tables)


@pytest.fixture(scope="module")
def stack(folder: Path) -> Path:
    path = folder / "stack.html"
    path.write_text(render_stack(compare_stack(), "html"), encoding="utf-8")
    return path


def rows_of(found: Any, table: str) -> list[list[str]]:
    return found.page.eval_on_selector_all(  # type: ignore[no-any-return]
        f"{table} tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent.trim()))"
    )


# The form


@pytest.mark.parametrize(("name", "limit"), [("family", 250_000), ("twenty", 400_000), ("fifty", 1_000_000)])
def test_one_small_valid_file(name: str, limit: int, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(name).read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(text)
    assert len(text.encode()) <= limit
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}
    found = Texts(text)
    assert not [key for key, _ in found.attributes if key in {"style", "src"} or key.startswith("on")]
    identifiers = [value for key, value in found.attributes if key == "id"]
    assert len(identifiers) == len(set(identifiers))
    assert {value[1:] for key, value in found.attributes if key == "href" and value} <= set(identifiers)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "unsafe" not in policy[1]
    assert "default-src &#39;none&#39;" in policy[1]


def test_the_same_bytes_every_run_and_from_saved_tables(twenty: Path, zoo_table: GetTable) -> None:
    tables = [CostTable.from_json(zoo_table(name).to_json()) for name in TWENTY]
    assert render_comparison(compare(tables), "html") == twenty.read_text(encoding="utf-8")


def test_every_chart_has_a_title_a_description_and_its_figures(twenty: Path) -> None:
    text = twenty.read_text(encoding="utf-8")
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        assert re.search(r"<title>.+?</title>\s*<desc>.+?</desc>", svg), svg[:200]
        assert 'aria-label="' in svg
    assert text.count("<summary>The figures of this chart</summary>") == 3
    assert '<a href="#blocks">the table of blocks</a> has the figures' in text


def test_models_of_one_name_are_told_apart() -> None:
    assert titles(["a", "b", "a", "a (2)", "a"]) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]


# The charts


def test_the_line_of_the_best() -> None:
    random = Random(7)
    points = [Point(str(i), random.randrange(1, 40), random.randrange(1, 40)) for i in range(60)]
    best = {
        p.name for p in points
        if not any(q.x <= p.x and q.y <= p.y and (q.x, q.y) != (p.x, p.y) for q in points)
    }  # fmt: skip
    assert {p.name for p in pareto(points)} == best


def test_nothing_is_drawn_of_nothing() -> None:
    assert scatter([], "nothing", "x", "y") == ""
    one = scatter([Point("<b>", 5, 5, model=0)], "one", "x", "y", best=True, log_x=True)
    assert "&lt;b&gt;" in one
    assert "<b>" not in one
    assert "NaN" not in one + stacked(["a"], [], [("MACs", [[]])], "t", "d")


@pytest.mark.parametrize("name", ["family", "twenty", "fifty"])
def test_no_name_lies_on_another(name: str, browser: Any, request: pytest.FixtureRequest) -> None:
    with opened(browser, request.getfixturevalue(name)) as found:
        for at in range(found.page.locator("svg.scatter").count()):
            boxes = found.page.locator("svg.scatter").nth(at).evaluate(
                """svg => [...svg.querySelectorAll('.point text')].filter(t => getComputedStyle(t).visibility !== 'hidden')
                .map(t => { const b = t.getBoundingClientRect(); return [t.textContent, b.left, b.top, b.right, b.bottom]; })"""
            )  # fmt: skip
            assert len(boxes) >= 4
            for a, b in combinations(boxes, 2):
                over = min(a[3], b[3]) - max(a[1], b[1]), min(a[4], b[4]) - max(a[2], b[2])
                assert min(over) < 2, (a, b)  # boxes of lines of text are a little higher than their letters
            if name != "fifty":
                assert found.page.locator("svg.scatter").nth(at).locator(".quiet").count() == 0


def test_names_are_given_enough_room(browser: Any) -> None:
    with browser.new_page() as page:
        for text in ("VGG-A-LRN (11)", "ResNet-152 v1.5", "MMMM www", "il.1-()"):
            page.set_content(f"<svg><text font-size=11 font-family='system-ui, sans-serif'>{text}</text></svg>")
            assert page.locator("text").evaluate("t => t.getComputedTextLength()") <= width_of(text)


def test_a_point_that_is_looked_at_has_its_name(fifty: Path, browser: Any) -> None:
    with opened(browser, fifty) as found:
        chart = found.page.locator("svg.scatter").first
        model = chart.locator("a.point:has(.quiet)").first.get_attribute("data-model")
        label = chart.locator(f"a.point[data-model='{model}'] text")
        assert label.evaluate("t => getComputedStyle(t).visibility") == "hidden"
        chart.locator(f"a.point[data-model='{model}']").evaluate("a => a.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))")  # fmt: skip
        assert label.evaluate("t => getComputedStyle(t).visibility") == "visible"


# The summary


@pytest.mark.parametrize("base", ["vgg-f", "vgg-e", "googlenet"])
def test_ratios_to_any_model(base: str, twenty: Path, browser: Any, zoo_table: GetTable) -> None:
    tables = [zoo_table(name) for name in TWENTY]
    chosen = ("weight_layers", "params", "conv_params", "macs", "activation_bytes", "top5_error")
    expected = compare(tables, chosen, baseline=base, allow_different_inputs=True)
    lines = render_comparison(expected, "markdown").splitlines()[2:]
    with opened(browser, twenty, f"#base={base}&cols={','.join(chosen)}") as found:
        shown = rows_of(found, "table.summary")
        assert "although not all were run alike" in found.text("#ratios")
    assert shown == [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("|")]


def test_sort_filter_columns_and_units(family: Path, browser: Any, zoo_table: GetTable) -> None:
    tables = [zoo_table(name, saved=True) for name in FAMILIES["vgg"]]
    with opened(browser, family) as found:
        page = found.page
        page.click("[data-sort=macs]")
        assert rows_of(found, ".summary")[0][0] == "VGG-E (19)"
        assert page.locator("svg.stacked a.bar").first.get_attribute("data-model") == "8"  # the bars follow
        page.click("[data-sort=macs]")
        assert rows_of(found, ".summary")[0][0] == "VGG-F"
        assert page.locator("th[aria-sort=ascending]").count() == 1
        page.click("[data-sort=macs]")
        page.click("[data-sort=top5_error]")
        assert rows_of(found, ".summary")[0][0] == "VGG-F"
        page.click("[data-sort=top5_error]")
        page.click("[data-sort=top5_error]")
        assert found.fragment() == ""
        page.fill("#filter", "vgg-c")
        assert found.text("#shown") == "1 of 9 models shown"
        assert page.locator("svg.stacked a.bar:visible").count() == 1
        assert page.locator("table.blocks thead th:visible").count() == 2
        page.fill("#filter", "vgg16")  # another name of VGG-D
        assert rows_of(found, ".summary")[0][0] == "VGG-D (16)"
        page.fill("#filter", "vgg16 nothing")
        assert found.text("#shown") == "0 of 9 models shown"
        page.fill("#filter", "")
        found.choose("num", "exact")
        found.choose("unit", "flop")
        assert "FLOPs" in found.text(".summary thead")
        assert "MACs" not in found.text(".summary thead")
        page.click(".choose summary")
        page.check("[data-state=cols][value=images_per_s]")
        page.uncheck("[data-state=cols][value=conv_params]")
        assert "images/s" in found.text(".summary thead")
        assert "conv params" not in found.text(".summary thead")
        for row, table in zip(rows_of(found, ".summary"), tables, strict=True):
            assert exact(table.totals.flops) in row
            assert exact(table.totals.param_bytes) in row
        found.choose("num", "human")
        found.choose("bytes", "MB")
        assert "553.43 MB" in found.text(".summary")
        page.click("[data-do=reset]")
        assert found.fragment() == ""
        assert "527.79 MiB" in found.text(".summary")


def test_without_a_script_the_same_figures(family: Path, browser: Any) -> None:
    with opened(browser, family) as found:
        rows = [row[:7] for row in rows_of(found, ".summary")]
        pair = rows_of(found, ".pair")
        totals = found.text(".pair tfoot")
        bargain = found.text(".bargain")
        says = found.text("#says")
    with opened(browser, family, java_script_enabled=False) as found:
        assert [row[:7] for row in rows_of(found, ".summary")] == rows
        assert rows_of(found, ".pair") == pair
        assert found.text(".pair tfoot").split()[:4] == totals.split()[:4]
        assert found.text(".bargain") == bargain
        assert found.text("#says") == says
        assert found.page.locator(".toolbar:visible, .sliders:visible, #more:visible").count() == 0
        assert found.page.locator("svg.scatter:visible").count() == 3
        assert found.page.locator("svg.stack:visible").count() == 1
        found.page.locator("svg.scatter a.point").first.locator(".mark").click()
        assert found.fragment().startswith("m")  # a link to the row of the summary


# Selecting


def test_selecting_somewhere_selects_everywhere(family: Path, browser: Any) -> None:
    with opened(browser, family) as found:
        page = found.page

        def selected() -> list[str]:
            marks = page.eval_on_selector_all(".selected[data-model]", "all => all.map(e => e.dataset.model)")
            assert page.locator("svg.stacked a.selected").count() == page.locator("tr.selected").count()
            return sorted(set(marks))

        page.locator("svg.stacked a.bar[data-model='1'] rect").first.click()
        assert selected() == ["1"]
        assert found.fragment() == "model=vgg-m"
        page.locator("button.pick", has_text="VGG-E").click()
        assert selected() == ["8"]
        assert page.locator("svg.scatter a.selected").count() == 3
        page.locator("svg.scatter").first.locator("a.point[data-model='0'] .mark").click()
        assert selected() == ["0"]
        assert page.locator(".blocks th.selected").inner_text() == "VGG-F"
        page.keyboard.press("Escape")
        assert selected() == []
        assert found.fragment() == ""


def test_keys(family: Path, browser: Any) -> None:
    with opened(browser, family) as found:
        press = found.page.keyboard.press
        press("j")
        press("j")
        assert found.fragment() == "model=vgg-m"
        press("k")
        assert found.fragment() == "model=vgg-f"
        press("p")
        assert found.fragment() == "model=vgg-f&base=vgg-f"
        assert "(×27.12)" in found.text(".summary")
        press("p")
        press("r")
        assert found.fragment() == "model=vgg-f&right=vgg-f"
        press("x")
        press("l")
        assert found.fragment() == "model=vgg-f&right=vgg-f"
        found.page.click("[data-do=reset]")
        found.page.evaluate("document.activeElement.blur()")
        press("x")
        assert found.fragment() == "left=vgg-m&right=vgg-f"
        press("x")
        for key, fragment in {"m": "unit=flop", "e": "num=exact", "b": "bytes=MB", "d": "show=diff"}.items():
            press(key)
            assert found.fragment() == fragment
            press(key)
            assert found.fragment() == ""
        press("/")
        found.page.keyboard.type("vgg-a")
        assert found.fragment() == "q=vgg-a"
        press("Escape")
        assert found.page.input_value("#filter") == "vgg-a"
        press("?")
        assert found.page.locator("#help").is_visible()
        assert found.violations() == []
        press("Escape")
        found.page.fill("#filter", "")
        found.page.focus("svg.scatter a[tabindex='0'] >> nth=0")
        press("ArrowRight")
        press("Enter")
        assert found.fragment() == "model=vgg-m"
        press("Tab")  # one stop in each chart
        assert found.page.evaluate("document.activeElement.closest('svg') === null")


def test_a_link_shows_the_same(twenty: Path, browser: Any) -> None:
    with opened(browser, twenty) as found:
        found.choose("base", "vgg-d")
        found.choose("left", "vgg-d")
        found.choose("right", "resnet-50")
        found.choose("unit", "flop")
        found.choose("show", "diff")
        found.page.click("[data-sort=params]")
        found.page.locator("button.pick", has_text="AlexNet").click()
        fragment = found.fragment()
        seen = [found.text(part) for part in (".summary", ".pair", "#paired", "#ratios")]
    with opened(browser, twenty, f"#{fragment}") as found:
        assert [found.text(part) for part in (".summary", ".pair", "#paired", "#ratios")] == seen
        assert found.page.input_value("[data-state=right]") == "resnet-50"
        assert found.page.input_value("[data-state=base]") == "vgg-d"
    with opened(browser, twenty, "#base=VGG16&sort=-macs&left=vgg16&right=resnet_50&unit=flop") as found:
        assert found.text("#ratios").startswith("Ratios in parentheses refer to VGG-D (16)")  # by any of its names
        assert found.text(".pair thead").startswith("VGG-D (16) ResNet-50")
        assert rows_of(found, ".summary")[0][0] == "VGG-E (19)"
    nonsense = (
        "#base=x&left=__proto__&right=constructor&sort=?&cols=,&unit=9&num=x&k=4&c=0&side=-1&theme=x&model=%3Cb%3E"
    )
    with opened(browser, twenty, nonsense) as found:  # what makes no sense is passed over
        assert len(rows_of(found, ".summary")) == 20
        assert found.text(".bargain thead").startswith("quantity one 7×7")
        found.page.evaluate("location.hash = 'base=vgg-f'")
        found.page.wait_for_function("document.querySelector('#ratios').textContent.includes('VGG-F')")


# Layers side by side


def as_told(before: CostTable, after: CostTable) -> list[list[str]]:
    return [[mark, *a, *b, what, grows] for mark, a, b, what, grows in pair_rows(before, after)]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("vgg-m", "vgg-s"), ("vgg-d", "vgg-e"), ("vgg-d", "googlenet"), ("googlenet", "vgg-d"), ("vgg-f", "vgg-d-bn"),
        ("resnet-50", "resnet-50-v1.5"), ("resnet-50", "resnet-101"), ("alexnet", "vgg-f"), ("vgg-d", "vgg-d"),
    ],
)  # fmt: skip
def test_layers_are_aligned_as_by_diff(left: str, right: str, twenty: Path, browser: Any, zoo_table: GetTable) -> None:
    before, after = zoo_table(left), zoo_table(right)
    expected = as_told(before, after)
    with opened(browser, twenty, f"#left={left}&right={right}") as found:
        while found.page.locator("#more").is_visible():
            found.page.click("#more")
        assert rows_of(found, ".pair") == expected
        totals = found.text(".pair tfoot")
        assert exact(before.totals.macs) in totals
        assert exact(after.totals.params) in totals
        change = after.totals.macs - before.totals.macs
        assert totals.endswith(f"{change:+,}".replace("-", "−") if change else exact(after.totals.macs))
        counts = [sum(row[0] == mark for row in expected) for mark in ("≠", "~", "+", "−", "")]
        assert found.text("#paired") == (
            "{} changed, {} follow, {} only on the right, {} only on the left, {} alike".format(*counts)
        )
        found.choose("show", "diff")
        assert found.page.locator(".pair tbody tr").count() == min(400, sum(counts[:4]))


def test_runs_are_those_of_difflib(browser: Any) -> None:
    source = (ROOT / "templates" / "js" / "align.js").read_text(encoding="utf-8").replace("export ", "")
    random = Random(11)
    with browser.new_page() as page:
        for _ in range(150):
            a, b = ([random.choice("abcd") for _ in range(random.randrange(0, 30))] for _ in range(2))
            theirs = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
            mine = page.evaluate(f"([a, b]) => {{ {source}; return runs(a, b); }}", [a, b])
            pairs = [[(i + n, j + n) for i, j, length in found for n in range(length)] for found in (mine, theirs)]
            assert pairs[0] == pairs[1], (a, b)


def test_names_are_text(folder: Path, browser: Any) -> None:
    class Chain(nn.Module):
        def __init__(self, *layers: str) -> None:
            super().__init__()
            for name in layers:
                self.add_module(name, nn.Linear(4, 4))

        def forward(self, x):  # type: ignore[no-untyped-def]
            for layer in self.children():
                x = layer(x)
            return x

    evil = "</script><b>", "</style>&\"'", "__proto__", "constructor", "x" * 500, "مرحبا\u202e"
    kinds = [type(name, (Chain,), {}) for name in ("<img src=x onerror=alert(1)>", "__proto__", "a#b&c=d")]
    path = write(folder / "hostile.html", [analyze(kind(*evil[at:]), "4") for at, kind in enumerate(kinds)])
    html5lib.HTMLParser(strict=True).parse(path.read_text(encoding="utf-8"))
    with opened(browser, path) as found:
        assert [row[0] for row in rows_of(found, ".summary")] == [kind.__name__ for kind in kinds]
        assert [row[1] for row in rows_of(found, ".pair")] == [name.replace("\u202e", r"\u202e") for name in evil]
        for kind in kinds:
            found.page.locator("button.pick").nth(kinds.index(kind)).click()
            fragment = found.fragment()
            found.go(f"#{fragment}")
            assert found.text("tr.selected th") == kind.__name__
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert found.violations() == []


def test_large_models_are_aligned_by_the_script(folder: Path, browser: Any) -> None:
    tables = [analyze(nn.Sequential(*(nn.Linear(4, 4) for _ in range(count))), "4") for count in (2500, 3000)]
    path = write(folder / "large.html", tables)
    with opened(browser, path) as found:
        assert found.text("#paired") == "0 changed, 0 follow, 500 only on the right, 0 only on the left, 2500 alike"
        assert found.page.locator(".pair tbody tr").count() == 400
        found.page.click("#more")
        assert found.page.locator(".pair tbody tr").count() == 800
        assert found.text("#more") == "show 400 of 2,200 more rows"


def test_one_model_alone(folder: Path, zoo_table: GetTable, browser: Any) -> None:
    with opened(browser, write(folder / "one.html", [zoo_table("vgg-f")])) as found:
        assert found.text("h1") == "VGG-F"
        assert found.page.locator("table.pair").count() == 0
        for key in "jkpxdlr":
            found.page.keyboard.press(key)
        assert len(rows_of(found, ".summary")) == 1


# 3×3 against k×k


@pytest.mark.parametrize(
    ("kernel", "channels", "size"), [(3, 64, 56), (5, 1, 7), (7, 512, 14), (11, 96, 1), (15, 1000, 225)]
)
def test_the_closed_forms_of_the_page(kernel: int, channels: int, size: int, family: Path, browser: Any) -> None:
    expected = stack_values(on_paper(kernel, channels, size))["bargain"]
    with opened(browser, family, f"#k={kernel}&c={channels}&side={size}") as found:
        assert rows_of(found, ".bargain") == [list(row) for row in expected["rows"]]
        said = found.page.eval_on_selector_all("#says li", "all => all.map(e => e.textContent)")
        assert said == expected["sentences"]
        assert found.text("#setting") == expected["setting"]
        assert found.page.locator("svg.stack:visible title").text_content() in drawing(kernel)
        assert found.page.locator("svg.curves .now.selected").get_attribute("data-at") == str(kernel)


@pytest.mark.parametrize("name", ["family", "stack"])
def test_sliders(name: str, browser: Any, request: pytest.FixtureRequest) -> None:
    with opened(browser, request.getfixturevalue(name)) as found:
        found.page.focus("[data-slide=k]")
        found.page.keyboard.press("ArrowRight")
        assert found.fragment() == "k=9"
        assert found.text("[data-shown=k]") == "9×9"
        assert "36C² weights; one 9×9: 81C²; 45C² fewer, the 9×9 has 125% more" in found.text("#says")
        found.page.focus("[data-slide=c]")
        found.page.keyboard.press("Home")
        assert found.text(".bargain tbody tr td") == "81"
        found.page.focus("[data-slide=side]")
        found.page.keyboard.press("End")
        assert found.text("[data-shown=side]") == "256×256"
        assert found.page.get_attribute("[data-slide=side]", "aria-valuetext") == "256×256"
        found.page.click("[data-do=reset]")
        assert found.fragment() == ""
        assert "traced" in found.text("#setting") or name == "family"


@pytest.mark.parametrize(
    "options",
    [{"bias": True, "relu": False, "same": False}, {"in_channels": 3, "kernel": 5}, {"kernel": 21, "relu": False}],
)
def test_other_settings(options: dict[str, Any], folder: Path, browser: Any) -> None:
    given = {"kernel": 7, "channels": 24, "in_channels": None, "size": 30, **options}
    path = folder / "other.html"
    path.write_text(render_stack(compare_stack(**given), "html"), encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(path.read_text(encoding="utf-8"))
    for channels, size in ((24, 30), (40, 31)):
        expected = stack_values(compare_stack(**{**given, "channels": channels, "size": size}))["bargain"]
        with opened(browser, path, f"#c={channels}&side={size}") as found:
            assert rows_of(found, ".bargain") == [list(row) for row in expected["rows"]]
            said = found.page.eval_on_selector_all("#says li", "all => all.map(e => e.textContent)")
            assert said == expected["sentences"]
            shown = found.text("#setting").replace("by the closed form", "traced, and equal to the closed form")
            assert shown == expected["setting"]
    if not given.get("same", True):
        with opened(browser, path, "#side=5") as found:
            assert found.text("#setting") == "A map of 5×5 is too small for this kernel without padding."


@pytest.mark.parametrize("kernel", [3, 7, 15, 101])
def test_the_drawing_shows_what_is_seen(kernel: int) -> None:
    layers = (kernel - 1) // 2
    svg = drawing(kernel)
    shown = [f"{2 * left + 1}×{2 * left + 1}" for left in range(min(layers, 7), 0, -1)]
    for text in (*shown, "output: 1×1", f"{9 * layers}C²", f"{kernel**2}C²"):
        assert text in svg


# Reading it


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["family", "twenty", "fifty", "stack"])
def test_no_barrier(name: str, scheme: Any, browser: Any, request: pytest.FixtureRequest) -> None:
    with opened(browser, request.getfixturevalue(name), color_scheme=scheme) as found:
        assert found.violations() == []
        found.page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        found.page.keyboard.press("j")
        found.page.keyboard.press("p")
        assert found.violations() == []
        found.page.keyboard.press("?")
        assert found.violations() == []
        found.page.keyboard.press("Escape")
        found.page.evaluate("for (const d of document.querySelectorAll('details')) d.open = false")
        found.shot(f"compare-{name}-{scheme}")


@pytest.mark.parametrize("width", [360, 3840])
@pytest.mark.parametrize("name", ["family", "fifty", "stack"])
def test_narrow_and_wide(width: int, name: str, browser: Any, request: pytest.FixtureRequest) -> None:
    with opened(browser, request.getfixturevalue(name), viewport={"width": width, "height": 900}) as found:
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        assert found.violations() == []
        found.shot(f"compare-{name}-{width}")


def test_the_theme_and_print(family: Path, browser: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, family, color_scheme="light") as found:
        light = found.page.evaluate(paper)
        found.page.keyboard.press("t")
        assert found.fragment() == "theme=dark"
        assert found.page.evaluate(paper) != light
        assert found.violations() == []
        found.page.click("[data-do=theme]")
        assert found.page.evaluate(paper) == light
        found.page.emulate_media(media="print")
        assert found.page.locator(".toolbar:visible, .sliders:visible").count() == 0
        assert found.page.pdf(format="A4").startswith(b"%PDF")


def test_fifty_models_at_once(fifty: Path, browser: Any) -> None:
    with opened(browser, fifty) as found:
        assert found.text("#shown") == "50 of 50 models shown"
        took = found.page.evaluate(
            """async () => {
              const start = performance.now();
              location.hash = 'sort=-macs&base=vgg-d&left=resnet-152&right=resnet-152-v1.5';
              while (!document.querySelector('#ratios').textContent) await new Promise(requestAnimationFrame);
              return performance.now() - start;
            }"""
        )
        assert took < 2000  # generous: about 0.1 s on two idle cores
        assert len(COLUMNS) == found.page.locator("[data-state=cols]").count()
