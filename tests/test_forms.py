"""Forms of the report besides the page: Markdown as GitHub shows it, JSON Lines, a notebook's cell, own templates."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
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
from vggcost.inert import inert
from vggcost.report import render
from vggcost.report.templates import templates_from
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
            found = [line[name] for line in layers]
            assert header["totals"][name] == (None if None in found else sum(found))
        names = set(LayerCost._fields) - {"attributes"}
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
    return f"'{inert(text)}" if isinstance(value, str) and text[:1] in tuple("=+-@\t\r") else inert(text)


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
    for words in (
        "138.36 M parameters",
        "15,470,264,320",
        "fc6 holds 102,764,544, 74.3%",
        "Layers: 40 rows",
        "Convention torch",
    ):
        assert words in text, words


def test_a_cell_of_a_large_model_stays_short(zoo_table: GetTable) -> None:
    folded = zoo_table("resnet-152")._repr_html_()
    assert "folded to depth 1" in folded
    assert folded.count("<tr") < 320
    chain = analyze(nn.Sequential(*(nn.Linear(3, 3) for _ in range(500))), "3")._repr_html_()
    assert "Layers: 301 rows, the first of 501; to_frame() has all of them" in chain
    assert chain.count("<tr") < 320


# Templates of one's own


@pytest.fixture
def project(tmp_path: Path, zoo_table: GetTable) -> Path:
    (tmp_path / "saved.json").write_text(zoo_table("vgg-f").to_json(), encoding="utf-8")
    (tmp_path / "mine").mkdir()
    return tmp_path


def rendered(project: Path, files: dict[str, str], *words: str) -> tuple[int, str, str]:
    for name, text in files.items():
        (project / "mine" / name).write_text(text, encoding="utf-8")
    done = command(*words, "--template-dir", "mine", cwd=project)
    return done.returncode, done.stdout, done.stderr


REPORT = ("report", "--from", "saved.json", "--format")


def test_a_block_is_overridden_and_the_rest_stays(project: Path, zoo_table: GetTable) -> None:
    files = {
        "report.md.j2": '{% extends "vggcost/report.md.j2" %}\n'
        "{% block layers %}\nNo layers of {{ title | esc }}.\n{% endblock %}\n"
        "{% block memory %}{{ super() }}\nAsk us.\n{% endblock %}\n"
    }
    status, text, error = rendered(project, files, *REPORT, "markdown")
    assert (status, error) == (0, "")
    before, after = render(zoo_table("vgg-f"), "markdown"), text
    assert "No layers of VGG-F (CNN-F).\n" in after
    assert "<details>" not in after
    assert "Ask us.\n" in after
    for part in ("## Totals", "## How much memory is that?", "## What is counted"):
        assert before[before.index(part) :].split("\n\n")[1] == after[after.index(part) :].split("\n\n")[1]


def test_a_whole_template_and_a_part_of_a_page_are_overridden(project: Path) -> None:
    page = '{% extends "vggcost/report.html.j2" %}{% block body %}<h1>Ours: {{ title }}</h1>{% include "foot.html" %}{% endblock %}'
    files = {"report.html.j2": page, "foot.html": "<p>{{ headline }} {{ '<b>' }}</p>"}
    status, text, error = rendered(project, files, *REPORT, "html")
    assert (status, error) == (0, "")
    html5lib.HTMLParser(strict=True).parse(text)
    assert "<h1>Ours: VGG-F (CNN-F)</h1><p>60.83 M parameters;" in re.sub("</?(?:data|span)[^>]*>", "", text)
    assert "&lt;b&gt;</p>" in text  # what a folder adds to a page is escaped too
    assert rendered(project, {"report.tex.j2": "only {{ title | esc }}"}, *REPORT, "latex")[1] == "only VGG-F (CNN-F)"


def test_the_base_and_the_style_of_all_pages_are_overridden(project: Path) -> None:
    base = '{% extends "vggcost/base.html.j2" %}{% block body %}ours{% endblock %}'
    files = {"base.html.j2": base, "report.css": "body { color: teal }"}
    for words in ((*REPORT, "html"), ("compare", "saved.json", "saved.json", "--format", "html")):
        status, text, error = rendered(project, files, *words)
        assert (status, error) == (0, "")
        assert "<style>body { color: teal }" in text


def test_a_comparison_takes_templates(project: Path) -> None:
    files = {"compare.tex.j2": '{% extends "vggcost/compare.tex.j2" %}{% block notes %}% none\n{% endblock %}'}
    status, text, error = rendered(project, files, "compare", "saved.json", "--format", "latex")
    assert (status, error) == (0, "")
    assert "% none" in text
    assert "MatConvNet" not in text


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"report.md.j2": "a\n{{ nothing }}\n"}, "mine/report.md.j2:2: 'nothing' is undefined"),
        ({"report.md.j2": "a\n{% if %}\n"}, "mine/report.md.j2:2: Expected an expression"),
        ({"report.md.j2": "{{ title | upcase }}"}, "mine/report.md.j2:1: No filter named 'upcase'"),
        ({"report.md.j2": '\n{% extends "vggcost/report.md" %}'}, "mine/report.md.j2:2: no template 'vggcost/report.md' (did you"),
        ({"report.md.j2": '{% include "vggcost/../cli/main.py" %}'}, "no template 'vggcost/../cli/main.py'"),
        ({"report.md.j2": '{% extends "report.md.j2" %}'}, "extends or includes itself; the shipped template is vggcost/report.md.j2"),
        ({"report.md.j2": "{{ 1 // 0 }}"}, "mine/report.md.j2:1: ZeroDivisionError"),
        ({"report.md.j2": '{% include "part.j2" %}', "part.j2": "\n\n{{ x.y }}"}, "mine/part.j2:3: 'x' is undefined"),
        ({"raport.md.j2": "a"}, "nothing in mine has the name of a template (did you mean report.md.j2"),
        ({}, "nothing in mine has the name of a template; they are base.html.j2, "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_template_is_told_in_one_line(files: dict[str, str], says: str, project: Path) -> None:
    status, text, error = rendered(project, files, *REPORT, "markdown")
    assert (status, text) == (2, "")
    assert says in error
    assert len(error.splitlines()) == 1


def test_a_template_that_is_not_text(project: Path) -> None:
    (project / "mine" / "report.md.j2").write_bytes(b"\xff\xfe\x00")
    assert rendered(project, {}, *REPORT, "markdown") == (2, "", "vggcost: a file of mine is not text in UTF-8\n")


def test_a_folder_that_is_not_there_and_a_form_without_template(project: Path) -> None:
    done = command(*REPORT, "markdown", "--template-dir", "nowhere", cwd=project)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "'nowhere' does not exist" in done.stderr
    for words in ((*REPORT, "csv"), ("compare", "saved.json", "--format", "markdown")):
        done = command(*words, "--template-dir", "mine", cwd=project)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert "no template makes the format" in done.stderr


def test_a_folder_is_forgotten_afterwards(project: Path, zoo_table: GetTable) -> None:
    (project / "mine" / "report.md.j2").write_text("ours", encoding="utf-8")
    usual = render(zoo_table("vgg-f"), "markdown")
    with templates_from(project / "mine"):
        assert render(zoo_table("vgg-f"), "markdown") == "ours"
    assert render(zoo_table("vgg-f"), "markdown") == usual
    with pytest.raises(ZeroDivisionError), templates_from(project / "mine"):  # not the template's fault
        _ = 1 // 0
