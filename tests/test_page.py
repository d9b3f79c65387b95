"""The page of a model in a real browser: every control, links there and back, keys, print, small and large screens."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import html5lib
import pytest
from torch import nn

from tests.browser import browser, opened
from vggcost import analyze, memory
from vggcost._analyze import Said
from vggcost._page import page_of
from vggcost._scaled import Sample, scaled
from vggcost.load import load
from vggcost.report.dtypes import size_of
from vggcost.report.how_much import need_sentences
from vggcost.report.html import html
from vggcost.report.memory import render_memory
from vggcost.report.needs import Need
from vggcost.report.scaling import LARGEST, figures_of
from vggcost.units import exact, human_bytes, human_count

__all__ = ["browser"]

Folder = pytest.TempPathFactory


def write(folder: Folder, name: str, model: Any, inputs: Any = None) -> Path:
    path = folder.mktemp("page") / f"{name}.html"
    path.write_text(html(*reordered(page_of(model, inputs, Said(saved=True)))), encoding="utf-8")
    return path


def reordered(found: tuple[Any, Any]) -> tuple[Any, None, Any]:
    table, beside = found
    return table, None, beside


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: Folder) -> Path:
    return write(tmp_path_factory, "vgg16", "vgg16")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: Folder) -> Path:
    return write(tmp_path_factory, "resnet-50", "resnet-50")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: Folder) -> Path:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in (
                "<script>alert(1)</script>", "=1+1", "a|b_c*`d`", "</style>&\"'", "</script><b>", "x" * 5000,
                "مرحبا\u202e", "#layer=x&n=2", "constructor", "__proto__",
            ):  # fmt: skip
                self.add_module(name, nn.Linear(4, 4))

        def forward(self, x):  # type: ignore[no-untyped-def]
            for layer in self.children():
                x = layer(x)
            return x

    return write(tmp_path_factory, "hostile", Chain(), "4")


@pytest.fixture(scope="module")
def large(tmp_path_factory: Folder) -> Path:
    path = tmp_path_factory.mktemp("page") / "large.html"
    path.write_text(html(analyze(nn.Sequential(*(nn.Linear(4, 4) for _ in range(20_000))), "4")), encoding="utf-8")
    return path


# The figures


def data_of(path: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.S
    )
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["vgg16", "resnet-50", "googlenet"])
def test_figures_follow_the_batch_and_the_dtype_exactly(name: str) -> None:
    table, beside = page_of(name, None, Said(saved=True))
    scaling = beside.scaling
    assert (scaling.no_batch, scaling.no_dtype, scaling.most) == ("", "", LARGEST)
    for batch, dtype in ((7, "float16"), (64, "float32"), (3, "bfloat16")):
        other = figures_of(analyze(name, batch=batch, dtype=dtype, saved=True))
        for place, value in figures_of(table).items():
            assert value is not None
            assert scaling.value(place, value, batch, dtype) == other[place], place


def test_what_does_not_grow_evenly_is_not_recomputed(browser: Any, tmp_path: Path) -> None:
    class Pairs(nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return x @ x.T  # N² numbers

    table, beside = page_of(Pairs(), "4", Said())
    assert beside.scaling.no_batch == "macs of (model) do not grow evenly with it"
    assert list(beside.scaling.dtypes) == ["float32", "float16", "bfloat16"]
    path = tmp_path / "pairs.html"
    path.write_text(html(table, None, beside), encoding="utf-8")
    with opened(browser, path, "#n=8&dtype=float16") as found:  # of which the first is not to be had
        assert found.page.locator("[data-state=n]").is_disabled()
        assert found.text("#wrong") == ""
        assert found.text("#recomputed") == "Recomputed for one input in float16."
        assert "The batch is as it was run: macs of (model) do not grow evenly with it." in found.text("main")
        assert found.text("[data-card=activations] .big") == "2 B"
    assert "disabled" in html(table)


def test_constant_terms_are_kept() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(nn.init.ones_(__import__("torch").empty(4)))
            self.fc = nn.Linear(4, 3)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.fc(x * (self.scale * 2))  # 4 numbers, whatever the batch, and 4 for each input

    scaling = page_of(Positions(), "4", Said())[1].scaling
    assert scaling.lines["layer", 0, "activations"] == ((4, 4), (4, 4))
    assert scaling.lines["layer", 0, "activation_bytes"] == ((16, 16), (8, 8))
    assert ("layer", 1, "activations") not in scaling.lines  # which follows the rule of its column


# The page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["vgg16", "resnet", "hostile"])
def test_no_barrier(name: str, scheme: Any, browser: Any, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    with opened(browser, path, color_scheme=scheme) as found:
        assert found.violations() == []
        found.page.keyboard.press("j")
        found.page.keyboard.press("?")
        assert found.page.locator("#help").is_visible()
        assert found.violations() == []
        found.page.keyboard.press("Escape")
        found.shot(f"{name}-{scheme}")


def test_batch_and_dtype(vgg16: Path, browser: Any) -> None:
    with opened(browser, vgg16) as found:
        found.choose("n", "64")
        found.choose("dtype", "float16")
        there = analyze("vgg16", batch=64, dtype="float16", saved=True)
        assert found.text("[data-card=params] .big") == "138.36 M"
        assert (
            found.text("[data-card=params] .small")
            == f"138,357,544; {human_bytes(there.totals.param_bytes)} in float16"
        )
        assert found.text("[data-card=work] .big") == human_count(there.totals.macs, "MACs")
        assert found.text("[data-card=activations] .big") == human_bytes(there.totals.activation_bytes)
        saved = next(line.bytes for line in there.memory if line.definition == "saved for backward")
        assert saved is not None
        assert found.text("[data-card=saved] .big") == human_bytes(saved)
        assert found.text("#recomputed") == "Recomputed for a batch of 64 in float16."
        assert found.text(".lead") == (
            "138.36 M parameters; 990.10 GMACs = 1.98 TFLOPs forward for 64 inputs of 3×224×224 float16."
        )
        assert "990.10 GMACs (multiply-accumulates) = 1.98 TFLOPs" in found.text("[data-card=work]")
        totals = found.text(".totals")
        for value in (
            there.totals.macs,
            2 * there.totals.macs,
            there.totals.activations,
            there.totals.activation_bytes,
        ):
            assert exact(value) in totals
        assert "28,651,984" not in totals  # all layers' outputs at batch 1
        headings = found.page.locator("svg.bars > text").all_text_contents()
        size = human_bytes(there.totals.activation_bytes)
        assert headings == ["parameters 138.36 M", "MACs 990.10 G", f"activation bytes {size}"]
        assert exact(64 * 3 * 224 * 224 * 2) in found.text("tr.input")
        # the picture of the training step is that of batch 1
        assert found.page.get_by_text("Drawn for batch 1").is_visible()
        rows = {
            found.text(f"tr[data-memory='{at}'] th"): found.text(f"tr[data-memory='{at}'] td:nth-child(3)")
            for at in range(7)
        }
        assert rows["saved for backward"] == f"{exact(saved)} = {human_bytes(saved)}"
        both = there.totals.activation_bytes + 64 * 3 * 224 * 224 * 2
        assert rows["the same and the input"] == f"{exact(both)} = {human_bytes(both)}"
        assert found.fragment() == "n=64&dtype=float16"
        found.page.click("[data-do=reset]")
        assert found.text("[data-card=work] .big") == "15.47 GMACs"
        assert found.page.get_by_text("Drawn for batch 1").is_hidden()


@pytest.mark.parametrize(("batch", "dtype"), [(1, "float32"), (64, "float16"), (7, "bfloat16")])
@pytest.mark.parametrize("name", ["vgg16", "resnet-50"])
def test_how_much_memory_is_needed(
    name: str, batch: int, dtype: str, browser: Any, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name.partition("-")[0])
    step = memory(name, batch=batch, dtype=dtype, optimizer="none", threads=0)
    adam = memory(name, batch=batch, dtype=dtype, optimizer="adam", threads=0)
    with opened(browser, path, f"#n={batch}&dtype={dtype}") as found:
        inference, training = found.page.locator(".needs li").all_inner_texts()
    assert f"peak {human_bytes(step.totals.peak_bytes)} " in training
    states = 2 * step.totals.param_bytes
    assert f"{human_bytes(states)} more" in training
    assert adam.totals.optimizer_bytes - states == 4 * len(list(load(name).model.parameters()))  # and their step counts
    held = step.totals.param_bytes + step.totals.buffer_bytes
    assert f"weights {human_bytes(held)} " in inference
    if name == "vgg16":  # the outputs of conv1_1 (ReLU in place) and conv1_2, and the image
        size = size_of(dtype)
        live = batch * (2 * 64 * 224 * 224 + 3 * 224 * 224) * size
        pool = batch * (64 * 224 * 224 * size + 64 * 112 * 112 * (size + 8) + 3 * 224 * 224 * size)  # and its indices
        assert f"besides {human_bytes(max(live, pool))} = {human_bytes(held + max(live, pool))}" in inference


def test_why_two_figures_are_quoted(vgg16: Path, resnet: Path, browser: Any) -> None:
    convolutions, distinct = 13_547_520 * 4, 15_088_080 * 4
    with opened(browser, vgg16) as found:
        said = found.text("#between")
        assert (
            "51.68 MiB counts the outputs of the 13 convolutions only (of one image in float32 quoted as 51.68 MB);"
            in said
        )
        assert "57.56 MiB counts every distinct output once, ReLU in place" in said
        assert "quoted as 58 MB" in said
        assert (
            f"the {human_bytes(distinct - convolutions)} between them are the outputs of MaxPool2d, Linear and Softmax"
            in said
        )
        found.choose("n", "64")
        assert f"{human_bytes(64 * convolutions)} counts" in found.text("#between")
        assert f"the {human_bytes(64 * (distinct - convolutions))} between them" in found.text("#between")
        # with the image: here softmax's 1,000 outputs count, in notes they do not
        assert "such notes leave Softmax out" in found.text(".memory")
        found.page.click("#claims + details summary")
        assert (
            "60,950,432 = 58.13 MiB; the input and the outputs of convolutions, pools and linear layers, no softmax"
            in (found.text("#claims + details"))
        )
    with opened(browser, resnet) as found:
        assert "counts the outputs of the 53 convolutions only; " in found.text("#between")
        assert "outputs of" in found.text("#between")


def test_a_need_that_does_not_follow_is_stamped(vgg16: Path, browser: Any, tmp_path: Path) -> None:
    table, beside = page_of("vgg-f", None, Said(saved=True))
    peak = beside.needs["peak"].bytes
    path = tmp_path / "stamped.html"
    path.write_text(html(table, None, replace(beside, needs=beside.needs | {"peak": Need(peak)})), encoding="utf-8")
    with opened(browser, path) as found:
        assert found.page.locator(".needs .stamp:visible").count() == 0
        found.choose("n", "4")
        inference, training = found.page.locator(".needs li").all_inner_texts()
        assert "does not follow" not in inference
        assert f"peak {human_bytes(peak)} " in training
        assert "For batch 1, float32: does not follow the controls." in training
    assert list(need_sentences({})) == []


def test_the_fullest_op_may_change_with_the_batch() -> None:
    def run(batch: int, dtype: str) -> Sample:
        size = size_of(dtype)
        live = [1000 * size, 10 * batch * size + 8 * batch, 7 * batch * size]
        table = analyze(nn.Linear(4, 4), "4", batch=batch, dtype=dtype)
        return Sample(table, 3, {"live": live, "uneven": [batch * batch], "held": [64 if batch > 1 else 5]})

    scaling, needs = scaled(run, run(1, "float32"), ["float32", "float16"])
    need = needs["live"]
    assert need.bytes == 4000
    for batch, size in ((1, 4), (83, 4), (84, 4), (71, 2), (72, 2), (10**6, 2)):
        expected = max(1000 * size, 10 * batch * size + 8 * batch)
        assert need.value(batch, 0 if size == 4 else 1) == expected
    assert (0, 28) not in need.lines[0]
    assert needs["uneven"].lines == ()
    assert needs["uneven"].value(2, 0) is None
    assert [needs["held"].value(batch, 1) for batch in (1, 2, 9)] == [5, 64, 64]  # batch 1 is another matter
    assert scaling.dtypes == {"float32": 0, "float16": 1}


def test_every_figure_of_every_row(resnet: Path, browser: Any) -> None:
    table = analyze("resnet-50", batch=3)
    with opened(browser, resnet, "#view=flat&n=3&cols=params,macs,activation_bytes") as found:
        rows = found.page.eval_on_selector_all(
            ".layers tbody tr:not(.input)", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
        )
    expected = [
        [layer.path, layer.kind, *(exact(v) if v else "" for v in (layer.params, layer.macs, layer.activation_bytes))]
        for layer in table.layers
    ]
    assert [[row[0], row[1], *row[3:]] for row in rows] == expected


def test_what_is_no_batch_is_refused(vgg16: Path, browser: Any) -> None:
    with opened(browser, vgg16) as found:
        found.choose("n", "8")
        for bad in ("abc", "0", "-1", "1e6", "64.5", "", "1000000000"):
            found.choose("n", bad)
            assert found.page.locator("[data-state=n]").get_attribute("aria-invalid") == "true"
            assert found.text("#wrong") == "batch: a whole number from 1 to 999,999,999; still showing batch 8"
            assert found.page.input_value("[data-state=n]") == bad
            assert found.text("[data-card=work] .big") == "123.76 GMACs"
            assert found.fragment() == "n=8"
        assert found.violations() == []
        found.choose("n", "9")
        assert found.text("#wrong") == ""
        assert found.page.locator("[data-state=n]").get_attribute("aria-invalid") == "false"
        found.choose("n", "x")
        found.page.focus("[data-state=unit]")
        found.choose("unit", "flop")  # the field shows again what the page shows
        assert found.page.input_value("[data-state=n]") == "9"
        assert found.text("#wrong") == ""
    with opened(browser, vgg16, "#n=x") as found:
        assert found.text("#wrong").endswith("still showing batch 1")


def test_selecting_does_not_scroll_away(vgg16: Path, browser: Any) -> None:
    scrolled = "scrollY"
    seen = """() => {
        const row = document.querySelector("tr.selected").getBoundingClientRect();
        const bar = document.querySelector(".toolbar").getBoundingClientRect();
        const head = document.querySelector(".layers thead").getBoundingClientRect();
        const panel = document.querySelector("#detail").getBoundingClientRect();
        return row.top >= bar.bottom && row.bottom <= panel.top && head.bottom <= row.top + 1;
    }"""
    with opened(browser, vgg16) as found:
        found.page.click("a.volume[href='#layer=fc8'] path >> nth=0")
        assert found.page.evaluate(scrolled) == 0
        found.page.keyboard.press("k")
        assert found.page.evaluate(scrolled) == 0
        found.page.locator("svg.bars g[data-path=conv1_2] text >> nth=0").scroll_into_view_if_needed()
        before = found.page.evaluate(scrolled)
        found.page.locator("svg.bars g[data-path=conv1_2] text >> nth=0").click()
        assert found.page.evaluate(scrolled) == before
        found.page.fill("#filter", "fc8")
        found.page.press("#filter", "Enter")
        assert found.fragment() == "layer=fc8&q=fc8"
        found.page.fill("#filter", "")
        for name in ("conv1_1", "conv4_2", "prob"):
            found.go(f"#layer={name}")
            assert found.page.evaluate(seen), name
            assert found.page.evaluate(scrolled) > 0

    with opened(browser, vgg16, "#layer=conv4_2", viewport={"width": 1280, "height": 800}) as found:
        assert found.page.evaluate(seen)


@pytest.mark.parametrize("width", [1280, 700])
def test_headings_stay_in_view(width: int, vgg16: Path, browser: Any) -> None:
    place = """name => {
        const head = document.querySelector(".layers thead th").getBoundingClientRect();
        const bar = document.querySelector(".toolbar").getBoundingClientRect();
        return [Math.round(head.top), Math.round(bar.bottom), head.bottom <= innerHeight];
    }"""
    with opened(browser, vgg16, viewport={"width": width, "height": 700}) as found:
        found.page.get_by_role("button", name="conv5_1").scroll_into_view_if_needed()
        found.page.mouse.wheel(0, 1)
        top, bar, whole = found.page.evaluate(place)
        assert top >= bar - 1
        assert whole
        found.page.evaluate("document.querySelector('#memory').scrollIntoView()")
        for _ in range(40):  # back to the sort buttons by keyboard
            found.page.keyboard.press("Shift+Tab")
        found.page.focus("button[data-sort=macs]")
        top, bar, whole = found.page.evaluate(place)
        assert top >= bar - 1
        assert whole


def test_units(vgg16: Path, browser: Any) -> None:
    with opened(browser, vgg16) as found:
        found.choose("unit", "flop")
        assert found.text("[data-card=work] .big") == "30.94 GFLOPs"
        assert "FLOPs" in found.text(".layers thead")
        assert "30,940,528,640" in found.text(".layers tfoot")
        assert found.page.locator("svg.bars > text").nth(1).text_content() == "FLOPs 30.94 G"
        found.choose("num", "human")
        assert "30.94 G" in found.text(".layers tfoot")
        found.choose("bytes", "MB")
        assert found.text("[data-card=activations] .big") == "60.35 MB"
        assert found.page.locator("svg.bars > text").nth(2).text_content() == "activation bytes 60.35 MB"
        step = memory("vgg16", optimizer="none", threads=0).totals.peak_bytes
        drawn = found.page.locator("svg.timeline").text_content() or ""
        assert f"peak {step / 10**9:.2f} GB" in drawn
        assert "200 MB" in drawn
        assert "MiB" not in drawn
        found.choose("cost", "params")
        assert found.page.locator("a.volume[href$='fc6'] path").first.get_attribute("class") == "q5"
        assert found.text("#shown-total") == "138.36 M"
        found.page.click("[data-do=reset]")
        assert found.fragment() == ""
        assert found.text("[data-card=work] .big") == "15.47 GMACs"


def test_sort_filter_and_columns(resnet: Path, browser: Any) -> None:
    with opened(browser, resnet, "#view=flat") as found:
        found.page.click("[data-sort=params]")
        assert found.page.locator("th[aria-sort=descending]").inner_text().startswith("params")
        first = found.text(".layers tbody tr:not(.input) th")
        table = analyze("resnet-50")
        assert first == max(table.layers, key=lambda layer: layer.params).path
        found.page.click("[data-sort=params]")
        assert found.page.locator("th[aria-sort=ascending]").count() == 1
        found.page.click("[data-sort=params]")
        assert found.page.locator("th[aria-sort]").count() == 0
        found.page.fill("#filter", "conv5_2 bottleneck")
        assert found.text("#shown") == f"1 of {exact(len(table.layers))} layers shown"
        found.page.fill("#filter", "")
        found.page.click(".choose summary")
        found.page.check("[data-state=cols][value=weights]")
        assert "weights" in found.text(".layers thead")
        found.page.uncheck("[data-state=cols][value=activations]")
        assert "activations" not in found.text(".layers thead").replace("activation bytes", "")


def test_the_tree(resnet: Path, browser: Any) -> None:
    table = analyze("resnet-50")
    with opened(browser, resnet) as found:
        found.page.click("[data-do=shut]")
        fold = found.page.locator("button.fold", has_text="conv4_1")
        assert fold.get_attribute("aria-expanded") == "false"
        row = fold.locator("xpath=ancestor::tr").inner_text()
        inside = [layer for layer in table.layers if layer.path == "conv4_1" or layer.path.startswith("conv4_1.")]
        assert exact(sum(layer.params for layer in inside)) in row
        assert exact(sum(layer.macs for layer in inside)) in row
        fold.press("Enter")
        assert found.page.locator("button.pick", has_text="own work").count() == 1
        found.page.click("[data-do=open]")
        assert found.text("#shown") == f"{exact(len(table.layers))} of {exact(len(table.layers))} layers shown"


def test_selecting_somewhere_selects_everywhere(vgg16: Path, browser: Any) -> None:
    def selected() -> tuple[str, str, str]:
        return (
            found.page.locator("tr.selected").first.inner_text().split()[0],
            str(found.page.locator("a.volume.selected").first.get_attribute("href")),
            str(found.page.locator("svg.bars g.selected").first.get_attribute("data-path")),
        )

    with opened(browser, vgg16) as found:
        found.page.click("a.volume[href='#layer=conv3_1'] path >> nth=0")
        assert selected() == ("conv3_1", "#layer=conv3_1", "conv3_1")
        assert found.fragment() == "layer=conv3_1"
        assert found.text("#detail h2") == "conv3_1"
        assert "(3·3·128)·256 + 256 = 295,168" in found.text("#detail .work")
        assert "295,168" in found.text("#detail dl")
        found.page.click("button.pick >> text=fc6")
        assert selected() == ("fc6", "#layer=fc6", "fc6")
        found.page.locator("svg.bars g[data-path=conv1_2]").click()
        assert selected() == ("conv1_2", "#layer=conv1_2", "conv1_2")
        found.page.go_back()
        assert selected()[0] == "fc6"
        found.page.go_back()
        assert selected()[0] == "conv3_1"
        found.page.go_forward()
        assert selected()[0] == "fc6"
        found.page.click("[data-do=close]")
        assert found.page.locator("#detail").is_hidden()
        assert found.page.locator(".selected").count() == 0


def test_a_link_shows_the_same(resnet: Path, browser: Any) -> None:
    with opened(browser, resnet) as found:
        found.choose("unit", "flop")
        found.choose("n", "8")
        found.page.fill("#filter", "conv")
        found.page.click("[data-sort=flops]")
        found.page.locator("button.pick >> text=conv2").first.click()
        fragment = found.fragment()
        rows = found.text(".layers tbody")
        detail = found.text("#detail")
    with opened(browser, resnet, f"#{fragment}") as found:
        assert found.text(".layers tbody") == rows
        assert found.text("#detail") == detail
        assert found.page.input_value("#filter") == "conv"
        assert found.page.input_value("[data-state=n]") == "8"
    with opened(browser, resnet, "#layer=nothing&n=x&dtype=int3&sort=?&cols=,&unit=9&theme=x") as found:
        assert found.page.evaluate("document.documentElement.dataset.theme") is None
        assert found.text("[data-card=work] .big") == "3.86 GMACs"  # what makes no sense is passed over


def test_keys(vgg16: Path, browser: Any) -> None:
    with opened(browser, vgg16) as found:
        page = found.page
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert found.fragment() == "layer=relu1_1"
        page.keyboard.press("k")
        assert found.fragment() == "layer=conv1_1"
        page.keyboard.press("Escape")
        assert found.fragment() == ""
        for key, fragment in {"m": "unit=flop", "e": "num=human", "b": "bytes=MB", "v": "view=flat"}.items():
            page.keyboard.press(key)
            assert found.fragment() == fragment
            page.keyboard.press(key)
            assert found.fragment() == ""
        page.keyboard.press("/")
        page.keyboard.type("fc")
        assert found.fragment() == "q=fc"
        page.keyboard.press("Escape")
        assert page.input_value("#filter") == "fc"
        assert found.fragment() == "q=fc"
        page.focus("a.volume >> nth=0")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        assert found.fragment() == "q=fc&layer=conv1_2" or found.fragment() == "layer=conv1_2&q=fc"


def test_the_theme(vgg16: Path, browser: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, vgg16, color_scheme="light") as found:
        light = found.page.evaluate(paper)
        found.page.click("[data-do=theme]")
        dark = found.page.evaluate(paper)
        assert light != dark
        assert found.fragment() == "theme=dark"
        assert found.violations() == []
    with opened(browser, vgg16, "#theme=light", color_scheme="dark") as found:
        assert found.page.evaluate(paper) == light


def test_without_a_script(vgg16: Path, browser: Any) -> None:
    with opened(browser, vgg16, java_script_enabled=False) as found:
        assert found.page.locator(".toolbar").first.is_hidden()
        assert found.page.locator("#detail").is_hidden()
        for drawn in ("drawing", "bars", "timeline", "growth"):
            assert found.page.locator(f"svg.{drawn}").is_visible()
        assert "5 wrong" in found.text("#claims + details summary")
        rows = found.page.locator(".layers tbody tr:not(.working):not(.input)").count()
        assert rows == len(analyze("vgg16").layers)
        assert "(3·3·3)·64 + 64 = 1,792" in found.text(".layers")
        assert "51.68 MiB" in found.text(".memory")


@pytest.mark.parametrize("width", [360, 3840])
def test_narrow_and_wide(width: int, vgg16: Path, resnet: Path, browser: Any) -> None:
    for path in (vgg16, resnet):
        with opened(browser, path, viewport={"width": width, "height": 900}) as found:
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width
            found.page.keyboard.press("j")
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width
            assert found.violations() == []
            found.shot(f"{path.stem}-{width}")


def test_a_phone(vgg16: Path, browser: Any) -> None:
    small = """() => [...document.querySelectorAll("svg text")].filter(text => {
        const box = text.getBoundingClientRect();
        const scale = text.ownerSVGElement.getBoundingClientRect().width / text.ownerSVGElement.viewBox.baseVal.width;
        return box.width && parseFloat(getComputedStyle(text).fontSize) * scale < 10.95;
    }).map(text => text.textContent)"""
    with opened(browser, vgg16, viewport={"width": 360, "height": 740}) as found:
        assert found.page.evaluate(small) == []
        tops = [heading.bounding_box()["y"] for heading in found.page.locator("svg.bars > text").all()]
        assert tops == sorted(set(tops))  # one below the other
        names = found.page.locator("svg.bars g[data-path=fc6] text", has_text="fc6").all()
        assert len(names) == 3
        for row in found.page.locator("tr[data-memory]").all():
            for cell in row.locator("th, td").all():
                box = cell.bounding_box()
                assert box is None or box["x"] + box["width"] <= 360
        found.page.evaluate("document.querySelector('#totals').scrollIntoView()")
        bar = found.page.locator(".toolbar[role=toolbar]").bounding_box()
        assert bar["y"] == 0
        assert bar["height"] < 60
        found.choose("n", "x")
        assert found.page.locator("#wrong").bounding_box()["x"] >= 0
        assert found.violations() == []
        found.page.set_viewport_size({"width": 1280, "height": 900})
        assert len(found.page.locator("svg.bars g[data-path=fc6] text", has_text="fc6").all()) == 1


def test_words(vgg16: Path, resnet: Path, browser: Any) -> None:
    with opened(browser, vgg16, color_scheme="dark") as found:
        assert found.text(".findings").startswith(
            "fc6 holds 102,764,544, 74.3% of the parameters; conv1_2, conv2_2, conv3_2, conv3_3, conv4_2 and conv4_3 do "
            "1,849,688,064, 12.0% of the multiply-accumulates each; "
        )
        assert "stronger the colour" in found.text("section:has(#drawn) .caption")
        assert "dashed arc" not in found.text("section:has(#drawn) .caption")
        for name in ("conv1_2", "conv2_2", "conv3_2", "conv4_3"):  # those that tie are all labelled
            assert found.page.locator(f"a.volume[href$='{name}'] .share").text_content() == "12.0%"
        found.page.click("#claims + details summary")
        assert ".txt" not in found.text("#claims + details")
        assert "rounds: right in the two or three digits" in found.text("#claims + details")
        assert "28,651,984" in found.text(".totals tr:has-text('all layer outputs')")
    with opened(browser, resnet) as found:
        assert "dashed arc" in found.text("section:has(#drawn) .caption")


def test_print(vgg16: Path, browser: Any, tmp_path: Path) -> None:
    with opened(browser, vgg16) as found:
        found.page.emulate_media(media="print")
        assert found.page.locator(".toolbar").first.is_hidden()
        assert found.page.pdf(format="A4").startswith(b"%PDF")


def test_names_are_text(hostile: Path, browser: Any) -> None:
    html5lib.HTMLParser(strict=True).parse(hostile.read_text(encoding="utf-8"))
    with opened(browser, hostile, "#view=flat") as found:
        names = found.page.eval_on_selector_all("button.pick", "all => all.map(b => b.textContent)")
        assert "<script>alert(1)</script>" in names
        assert "x" * 5000 in names
        assert "__proto__" in names
        for name in ("#layer=x&n=2", "</script><b>", "constructor"):
            found.page.locator("button.pick").nth(names.index(name)).click()
            assert found.text("#detail h2") == name
            fragment = found.fragment()
            found.go(f"#{fragment}")
            assert found.text("#detail h2") == name
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.slow
def test_many_rows_are_drawn_as_they_are_seen(large: Path, browser: Any) -> None:
    with opened(browser, large) as found:
        assert found.text("#shown") == "20,000 of 20,000 layers shown"
        assert found.page.locator(".layers tbody tr").count() < 120  # a count that stands for time
        found.page.eval_on_selector(".scroll.tall", "e => e.scrollTop = e.scrollHeight")
        found.page.wait_for_selector("button.pick >> text='19999'")
        assert found.page.locator(".layers tbody tr").count() < 120
        found.go("#layer=12345")
        assert found.page.locator("tr.selected").is_visible()
        assert "19,400 more rows" in large.read_text(encoding="utf-8")


# The form


@pytest.mark.parametrize(("name", "limit"), [("vgg16", 150_000), ("resnet-152", 400_000)])
def test_sizes(name: str, limit: int) -> None:
    table, beside = page_of(name, None, Said(saved=True))
    text = html(table, None, beside)
    assert len(text.encode()) <= limit
    assert text == html(*reordered(page_of(name, None, Said(saved=True))))  # the same bytes every run


def test_numbers_beyond_a_browsers_whole_numbers_keep_their_digits(tmp_path_factory: Folder, browser: Any) -> None:
    path = write(tmp_path_factory, "wide", nn.Linear(100_000_001, 100_000_001, device="meta"), "100000001")
    weights = 100_000_001**2
    assert weights > 2**53
    with opened(browser, path) as found:
        assert exact(weights) in found.text(".layers tfoot")
        assert exact(weights + 100_000_001) in found.text("[data-card=params] .small")
    assert str(weights) in json.dumps(data_of(path))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_a_training_step(width: int, scheme: Any, browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "memory.html"
    path.write_text(render_memory(memory("vgg16"), "html"), encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(path.read_text(encoding="utf-8"))
    with opened(browser, path, color_scheme=scheme, viewport={"width": width, "height": 900}) as found:
        assert found.violations() == []
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        assert found.page.locator("svg.timeline").is_visible()
        found.shot(f"memory-{scheme}-{width}")
