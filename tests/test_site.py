"""The site: built without torch and without warnings, and what a reader must find in it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from tests.conftest import ROOT, python
from tests.test_docs import examples, shell
from tests.write_golden import SAVED, is_current
from vggcost import CostTable
from vggcost.cost import attention, macs
from vggcost.cost.conventions import CONVENTIONS
from vggcost.zoo import family

DOCS = ROOT / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))
GetTable = Callable[..., CostTable]

BUILD = textwrap.dedent(
    """
    import sys
    from importlib.abc import MetaPathFinder

    class Missing(MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("torch", "pandas", "pytest", "torchvision", "timm", "transformers"):
                raise ImportError(f"{name} is not there")

    sys.meta_path.insert(0, Missing())
    from sphinx.cmd.build import build_main
    sys.exit(build_main(["-q", "-E", "-W", "--keep-going", "-n", "-b", "html", "-d", sys.argv[1] + "/d", "docs", sys.argv[1]]))
    """
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package)
    target = tmp_path_factory.mktemp("site")
    done = python("-c", BUILD, str(target), cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return target


def words(page: Path) -> str:
    """The text of a page."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("index", "VGG-16 has 138,357,544 parameters and takes 15,470,264,320 multiply-accumulates"),
        ("quickstart", "table.totals.macs 123762114560"),
        ("counted", "54,190,080 = 51.68 MiB"),
        ("formulas", "params: (3·3·3)·64 + 64 = 1,792; MACs: 224·224·64·(3·3·3) = 86,704,128"),
        ("formulas", "N·H'·W'·C_out·(k_h·k_w·C_in/groups)"),
        ("formulas", "Dumoulin & Visin 2016, arXiv:1603.07285"),
        ("formulas", "softmax 5 per element"),
        ("formulas", "r ← r + (k − 1)·j"),
        ("family", "VGG-D (16) 16 138.36 M 14.71 M 123.64 M 15.47 G 30.94 G 27.0ᵇ 8.8ᵇ"),
        ("family", "VGG-E (19) 143.67 M (×1.04) 19.63 G (×1.27)"),
        ("family", "fc6 Linear 4096 102,764,544 102,760,448"),
        ("claims", "conv1_1 weights without bias"),
        ("guard", "vggcost.lock.json: mine, vgg16"),
        ("tables", "Tables and figures that cannot go stale"),
        ("accuracy", "torchvision 82 82 82 78 of 82 95.1% 4 of 4"),
        ("accuracy", "VGG-D 4 1,856.94 1,856.94 1.0000"),
        ("memory", "The rows that are off."),
        ("published", "torchvision convnext_tiny IMAGENET1K_V1 1x3x224x224 28589128 4.456"),
        ("output", "vggcost report"),
        ("api", "analyze ( model_or_name : str | nn.Module"),
        ("api", "class vggcost.records. CostTable"),
        ("api", "exact Python int"),
        ("api", "limits : as for --fail-on"),
    ],
)
def test_what_the_pages_say(site: Path, page: str, says: str) -> None:
    text = words(site / f"{page}.html").replace("’", "'").replace("“", '"')
    plain = re.sub(r"\s+", "", text)
    assert re.sub(r"\s+", "", says).replace("limits:", "limits") in plain.replace("limits–", "limits").replace("¶", "")


def test_every_page_is_built_and_loads_nothing_from_another_host(site: Path) -> None:
    pages = {path.stem for path in site.glob("*.html")}
    assert set(PAGES) <= pages
    loaded = r"<(?:script|link|img|iframe|source|object|embed)\b[^>]*?\b(?:src|href|data)=[\"'](?:https?:)?//[^\"']*"
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text(encoding="utf-8")
        assert re.findall(loaded, text) == [], path.name
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", text) == [], path.name


def test_the_family_is_there_as_pages_of_vggcost(site: Path) -> None:
    text = (site / "family.html").read_text(encoding="utf-8")
    for name in re.findall(r'href="(live/[^"]+)"', text):
        assert "138" in words(site / name)
    assert len(re.findall(r'href="live/', text)) == 2


def test_what_the_public_functions_say_is_there(site: Path) -> None:
    import vggcost

    page = (site / "api.html").read_text(encoding="utf-8")
    for name in set(vggcost.__all__) - {"__version__", "CostTable", "LayerCost", "Totals"}:
        assert f'id="vggcost.{name}"' in page, name
    for name in ("CostTable", "LayerCost", "Totals", "Trace", "OpRecord", "Convention"):
        assert f'id="vggcost.records.{name}"' in page, name
    assert 'id="vggcost.pytest_plugin.Guard.check"' in page


# What needs no Sphinx


def test_every_formula_of_the_code_is_on_its_page() -> None:
    text = (DOCS / "formulas.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"autofunction:: vggcost\.cost\.\w+\.(\w+)", text))
    for module in (macs, attention):
        for name, function in vars(module).items():
            if (
                name.endswith("_macs")
                and getattr(function, "__module__", "") == module.__name__
                and "Source:" in (function.__doc__ or "")
            ):
                assert name in shown, name


def test_the_conventions_are_told_as_the_code_has_them() -> None:
    text = " ".join((DOCS / "counted.md").read_text(encoding="utf-8").split())
    for name, convention in CONVENTIONS.items():
        assert f"- **`{name}`** ({convention.flops_per_mac} per MAC): {convention.sentence}" in text, name


def test_the_definitions_of_memory_are_those_of_a_report(zoo_table: GetTable) -> None:
    from vggcost.report.view import memory_cells

    text = (DOCS / "counted.md").read_text(encoding="utf-8")
    for line in zoo_table("vgg16", saved=True).memory:
        definition, elements, size, _ = memory_cells(line)
        assert f"| {definition} | {elements} | {size} |" in text


@pytest.mark.parametrize("name", family("vgg"))
def test_the_saved_tables_are_the_present_ones(name: str, zoo_table: GetTable) -> None:
    assert is_current(zoo_table(name, saved=True), name), f"'make golden' writes {SAVED.name}/{name}.json anew"


def test_the_family_page_names_the_whole_family() -> None:
    text = (DOCS / "family.md").read_text(encoding="utf-8")
    assert ":models: " + ", ".join(f"saved/{name}.json" for name in family("vgg")) + "\n" in text


@pytest.mark.parametrize(("page", "count"), [("quickstart", 6), ("output", 3)])
def test_what_a_page_says_to_do_is_what_happens(
    page: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", text, flags=re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    steps = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    assert len(steps) == count
    for step in steps:
        for line, expected in examples(step):
            printed = shell(line, tmp_path)
            position = 0
            for wanted in (text for text in expected if text != "..."):
                assert wanted.rstrip() in printed[position:], (line, wanted, printed)
                position += printed[position:].index(wanted.rstrip()) + 1
            assert printed


def test_the_blocks_that_are_told_are_those_of_the_templates() -> None:
    text = (DOCS / "output.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+\.j2)` \| .*? \| (.*?) \|$", text, flags=re.MULTILINE)
    assert len(rows) == 6
    for name, told in rows:
        source, found = (ROOT / "templates" / name).read_text(encoding="utf-8"), set(re.findall(r"`(\w+)`", told))
        blocks = set(re.findall(r"\{%-? block (\w+)", source))
        assert found <= blocks, name
        assert found == blocks or name.endswith(".html.j2"), name


def test_the_python_of_the_quickstart() -> None:
    import doctest

    failed, attempted = doctest.testfile(str(DOCS / "quickstart.md"), module_relative=False, encoding="utf-8")
    assert (failed, attempted) == (0, 4)
