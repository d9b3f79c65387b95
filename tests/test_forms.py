"""Forms of the report besides the page: Markdown as GitHub shows it, JSON Lines, a notebook's cell, own templates."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import html5lib
import pytest
from torch import nn

from tests.conftest import command
from tests.test_report import hostile
from vggcost import CostTable, LayerCost, analyze
from vggcost.report import render
from vggcost.saved import to_data

GetTable = Callable[..., CostTable]


# Markdown


def test_the_layers_are_folded_away_and_nothing_is_there_that_github_removes(zoo_table: GetTable) -> None:
    for table in (zoo_table("vgg16", saved=True), analyze(hostile(), "4", mode="training")):
        text = render(table, "markdown")
        assert set(re.findall(r"</?\w+", text)) == {"<details", "<summary", "</summary", "</details"}
        assert "](" not in text
        inside = text[text.index("</summary>\n\n") : text.index("\n\n</details>\n")]  # GitHub wants the blank lines
        assert inside.count("\n|") == len(table.layers) + len(table.run.inputs) + 3
        assert text.count("<details>") == text.count("</details>") == 1


def test_charts_lie_beside_the_document_and_are_linked(tmp_path: Path, zoo_table: GetTable) -> None:
    (tmp_path / "saved.json").write_text(zoo_table("vgg-f").to_json(), encoding="utf-8")
    form = ("--from", "saved.json", "--format", "markdown", "--charts", "-o")
    done = command("report", *form, "out [1].md", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, ["out [1]-bars.svg", "out [1].md"], "")
    text = (tmp_path / "out [1].md").read_text(encoding="utf-8")
    ((alt, link),) = re.findall(r"!\[(.*?)\]\((\S+)\)", text)
    assert alt == "Parameters, MACs and activation bytes of each layer of VGG-F (CNN-F)"
    picture = (tmp_path / unquote(link)).read_text(encoding="utf-8")
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in picture
    assert "62.1%" in picture
    again = command("report", *form, "two.md", cwd=tmp_path)
    assert again.returncode == 0
    assert (tmp_path / "two-bars.svg").read_text(encoding="utf-8") == picture


@pytest.mark.parametrize("words", [["--format", "markdown"], ["-o", "a.md"], ["--format", "html", "-o", "a.html"]])
def test_charts_go_with_a_markdown_file(words: list[str], tmp_path: Path) -> None:
    done = command("report", "vgg-f", "--charts", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "give --format markdown -o FILE with it" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


# JSON Lines


def separators() -> nn.Module:
    net = nn.Sequential()
    for name in ("a\u2028b", "c\x85d", "e\nf", "=1"):
        net.add_module(name, nn.Linear(4, 4))
    return net


def test_json_lines_hold_a_header_and_a_line_a_layer(zoo_table: GetTable) -> None:
    for table in (zoo_table("vgg16", saved=True), zoo_table("resnet-50", mode="training"), analyze(separators(), "4")):
        header, *layers = [json.loads(line) for line in render(table, "jsonl").splitlines()]
        assert header["record"] == "header"
        whole = json.loads(table.to_json())
        assert {key: value for key, value in header.items() if key != "record"} == {
            key: value for key, value in whole.items() if key != "layers"
        }
        assert [line["path"] for line in layers] == [layer.path or "(model)" for layer in table.layers]
        assert {line["record"] for line in layers} == {"layer"}
        for name in ("params", "macs", "flops", "activation_bytes", "saved_bytes"):
            assert sum(line[name] for line in layers) == header["totals"][name]
        names = {item.name for item in fields(LayerCost)} - {"attributes"}
        for line, saved in zip(layers, to_data(table)["layers"], strict=True):
            assert line.keys() - {"record"} == names
            for name in names - {"path"}:
                assert line[name] == json.loads(json.dumps(saved[name]))


def test_json_lines_and_csv_say_the_same(zoo_table: GetTable) -> None:
    for table, depth in ((zoo_table("vgg16"), None), (zoo_table("resnet-50"), 1), (analyze(hostile(), "4"), None)):
        rows = list(csv.DictReader(io.StringIO(render(table, "csv", depth))))
        lines = [json.loads(line) for line in render(table, "jsonl", depth).splitlines()][1:]
        assert len(rows) == len(lines)
        for row, line in zip(rows, lines, strict=True):
            assert list(row) == [name for name in line if name != "record"]
            assert row == {name: as_csv(line[name]) for name in row}


def as_csv(value: object) -> str:
    """What the CSV has for a value of JSON: no brackets, nothing for null, no formula."""
    text = "" if value is None else "x".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in tuple("=+-@\t\r") else text


def test_json_lines_on_the_command_line(tmp_path: Path, zoo_table: GetTable) -> None:
    (tmp_path / "saved.json").write_text(zoo_table("vgg-f").to_json(), encoding="utf-8")
    done = command("report", "--from", "saved.json", "--format", "jsonl", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == render(zoo_table("vgg-f"), "jsonl")
    assert json.loads(done.stdout.splitlines()[1])["output_shape"] == [1, 64, 54, 54]


# In a notebook


class Elements(HTMLParser):
    """The elements of a fragment, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("make", [lambda zoo: zoo("vgg16", mode="training"), lambda _: analyze(hostile(), "4")])
def test_a_cell_shows_a_short_safe_fragment(make: Callable[[GetTable], CostTable], zoo_table: GetTable) -> None:
    table = make(zoo_table)
    text = table._repr_html_()
    html5lib.HTMLParser(strict=True).parseFragment(text)
    found = Elements(text)
    assert not {"script", "html", "body", "h1", "h2", "svg"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("id", "href", "src", "style")]
    assert found.tags.count("details") == found.tags.count("style") == 1
    assert text.startswith('<div class="vggcost-note">')
    assert text.count("</style>") == 1
    assert text.index("<details>") < text.index('<th scope="col">layer</th>') < text.index("</details>")


def test_the_style_of_a_cell_touches_nothing_else_and_takes_the_colours_of_jupyter(zoo_table: GetTable) -> None:
    text = zoo_table("vgg16")._repr_html_()
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    for selectors in re.findall(r"([^{}]+)\{[^}]*\}", style):
        assert all(selector.strip().startswith(".vggcost-note") for selector in selectors.split(","))
    colours = re.findall(r"(?:color|background|border[\w-]*):\s*([^;]+);", style)
    plain = [colour for colour in colours if "var(--jp-" not in colour and colour not in ("0", "none", "collapse")]
    assert plain == []  # each is Jupyter's, light or dark, or that of the text around
    assert not re.findall(r"#[0-9a-f]{3}|\b(?:black|white)\b(?!-)", style)


def test_what_a_cell_says(zoo_table: GetTable) -> None:
    text = Elements(zoo_table("vgg16")._repr_html_()).text
    for words in ("138.36 M parameters", "15,470,264,320", "fc6 holds 74.3%", "Layers: 40 rows", "Convention torch"):
        assert words in text, words


def test_a_cell_of_a_large_model_stays_short(zoo_table: GetTable) -> None:
    folded = zoo_table("resnet-152")._repr_html_()
    assert "folded to depth 1" in folded
    assert folded.count("<tr") < 320
    chain = analyze(nn.Sequential(*(nn.Linear(3, 3) for _ in range(500))), "3")._repr_html_()
    assert "Layers: 301 rows, the first of 501; to_frame() has all of them" in chain
    assert chain.count("<tr") < 320
