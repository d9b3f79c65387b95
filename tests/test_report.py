"""The documents: golden files, escaping, and what a reader must find in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import html5lib
import pytest
from torch import nn

from tests.conftest import ROOT, scrubbed
from vggcost import CostTable, analyze
from vggcost.report import FORMATS, render
from vggcost.report.bars import bars
from vggcost.report.drawing import picture
from vggcost.report.view import fold

GOLDEN = Path(__file__).parent / "golden"
SUFFIX = {"table": "txt", "markdown": "md", "latex": "tex"}
GetTable = Callable[..., CostTable]


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("format_", FORMATS)
def test_golden(
    format_: str, mode: str, zoo_table: GetTable, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    text = render(scrubbed(zoo_table("vgg-f", mode=mode, saved=True)), format_)
    # Scripts and styles are files of their own, tested in a browser; a golden page shows what they work on.
    text = re.sub(r"(<script>|<style>).*?(</script>|</style>)", r"\1…\2", text, flags=re.DOTALL)
    text = re.sub(r"sha256-[\w+/=]+", "sha256-…", text)
    path = GOLDEN / f"vgg-f-{mode}.{SUFFIX.get(format_, format_)}"
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; 'make golden' writes it anew"


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_renders_from_a_saved_table(format_: str, zoo_table: GetTable) -> None:
    for name in ("vgg16", "vgg-d-bn", "vgg-s"):
        table = zoo_table(name)
        assert render(CostTable.from_json(table.to_json()), format_) == render(table, format_)


def test_the_pictures_in_the_readme_are_the_present_ones(zoo_table: GetTable) -> None:
    assert (ROOT / "docs" / "vgg16-drawing.svg").read_bytes() == picture(zoo_table("vgg16"))
    assert (ROOT / "docs" / "vgg16.svg").read_text(encoding="utf-8") == bars(zoo_table("vgg16")) + "\n"


class Texts(HTMLParser):
    """Collect the texts and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_the_page_is_valid_offline_and_complete(zoo_table: GetTable) -> None:
    page = render(zoo_table("vgg16", saved=True), "html")
    html5lib.HTMLParser(strict=True).parse(page)
    found = Texts(page)
    assert not [value for name, value in found.attributes if name in ("src", "action")]
    assert all((value or "").startswith("#layer=") for name, value in found.attributes if name == "href")
    hosts = set(re.findall(r"https?://[^\s\"'<]+", page)) - {"http://www.w3.org/2000/svg"}
    assert hosts == set()
    text = " ".join(found.texts)
    for figure in ("138,357,544", "15,470,264,320", "54,190,080 = 51.68 MiB", "108,380,160 = 103.36 MiB", "13,547,520",
                   "(3·3·3)·64 + 64 = 1,792", "224·224·64·(3·3·3) = 86,704,128", "vggcost report vgg16 --html"):  # fmt: skip
        assert figure in text, figure
    assert len(page.encode()) < 150_000


def test_input_is_the_first_row(zoo_table: GetTable) -> None:
    page, text = (render(zoo_table("vgg16"), format_) for format_ in ("html", "markdown"))
    body = page[page.index('<table class="layers">') :]
    assert re.search(r'<tbody>\s*<tr class="input"[^>]*><th scope="row">input</th>', body)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert any(line.startswith("| input | float32 | 3×224×224 |") for line in rows)


def test_markdown_tables_are_rectangular(zoo_table: GetTable) -> None:
    for table in (zoo_table("vgg16", saved=True), analyze(hostile(), "4", mode="training")):
        blocks = re.findall(r"(?:^\|.*\n)+", render(table, "markdown"), flags=re.MULTILINE)
        assert len(blocks) >= 3
        for block in blocks:
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1, block


def hostile() -> nn.Module:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in (
                "<script>alert(1)</script>",
                "=1+1",
                "a|b_c*`d`",
                "</style>&\"'",
                "\\input{x}%$#^~",
                "x" * 5000,
                "مرحبا\u202e",
            ):
                self.add_module(name, nn.Linear(4, 4))

        def forward(self, x):  # type: ignore[no-untyped-def]
            for layer in self.children():
                x = layer(x)
            return x

    return Chain()


def test_hostile_names_are_text_in_every_format() -> None:
    table = analyze(hostile(), "4")
    page = render(table, "html")
    html5lib.HTMLParser(strict=True).parse(page)
    assert Texts(page).tags.count("script") == 3  # that of the theme, the data, that of the page
    assert page.count("</style>") == 1
    markdown = render(table, "markdown")
    assert "<script>" not in markdown
    assert "a\\|b\\_c\\*\\`d\\`" in markdown
    latex = render(table, "latex")
    assert r"\textbackslash{}input\{x\}\%\$\#\textasciicircum{}\textasciitilde{}" in latex
    assert "'=1+1," in render(table, "csv")
    assert CostTable.from_json(render(table, "json")) == table
    assert "script>" in render(table, "table")  # cut on a narrow terminal


def test_folding_keeps_the_sums() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Sequential(nn.Linear(4, 5)))
    table = analyze(net, "3")
    folded = fold(table, 1)
    assert [(layer.path, layer.kind, layer.params, layer.macs) for layer in folded] == [
        ("0", "Sequential", 16, 12),
        ("1", "Sequential", 25, 20),
    ]
    assert sum(layer.activation_bytes for layer in folded) == table.totals.activation_bytes


def test_folding_joins_a_block_with_its_own_addition(zoo_table: GetTable) -> None:
    table = zoo_table("resnet-50")
    folded = fold(table, 1)
    assert [layer.path for layer in folded].count("conv2_1") == 1
    assert next(layer for layer in folded if layer.path == "conv2_1").kind == "Bottleneck"
    assert sum(layer.activation_bytes for layer in folded) == table.totals.activation_bytes


def test_bars_stay_readable_for_long_chains() -> None:
    net = nn.Sequential(*(nn.Linear(3, 3) for _ in range(500)))
    assert bars(analyze(net, "3")).count("<rect") <= 3 * 64


def test_a_notebook_shows_the_report(zoo_table: GetTable) -> None:
    assert "138,357,544" in zoo_table("vgg16")._repr_html_()


def test_frame(zoo_table: GetTable) -> None:
    frame = zoo_table("vgg16").to_frame()
    assert int(frame["macs"].sum()) == 15_470_264_320
    assert list(frame["path"][:2]) == ["conv1_1", "relu1_1"]


def test_the_json_has_the_documented_keys(zoo_table: GetTable) -> None:
    data = json.loads(zoo_table("vgg16").to_json())
    assert data["schema"] == 1
    assert {"model", "aliases", "source", "inputs", "batch", "mode", "versions"} <= data["run"].keys()
    assert {"name", "flops_per_mac", "sentence"} <= data["convention"].keys()
    assert data["coverage"].keys() == {"assumed", "counted", "free", "unknown"}
    wanted = """path kind output_shape params weights biases macs flops backward_macs activations activation_bytes
                saved_bytes receptive_field jump working"""
    assert set(wanted.split()) <= data["layers"][0].keys()
    assert list(data) == sorted(data)
    assert data["layers"][0]["output_shape"] == [1, 64, 224, 224]
