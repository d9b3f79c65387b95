"""The package as it is shipped: names, rooms, docstrings, wheel and sdist, README."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import vggcost
from tests.conftest import ROOT, command, python

MODULES = [
    info.name for info in pkgutil.walk_packages(vggcost.__path__, "vggcost.") if not info.name.endswith("__main__")
]
TORCH_AT_TOP = {
    ("zoo", "network.py"),
    ("zoo", "branching.py"),
    ("load", "devices.py"),
    ("load", "layouts.py"),
    ("load", "meta.py"),
    ("load", "process.py"),
    ("load", "thread.py"),
}
ROOMS = ["zoo", "load", "trace", "cost", "claims", "report", "guard", "sweeps", "cli"]


def test_importing_vggcost_imports_no_torch() -> None:
    code = "import vggcost, sys; vggcost.CostTable; assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    assert python("-c", code).returncode == 0


@pytest.mark.parametrize("name", MODULES)
def test_public_names_exist_and_examples_are_true(name: str) -> None:
    if name == "vggcost.sphinx":
        pytest.importorskip("sphinx")
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), public
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_the_public_names() -> None:
    names = {
        "CostTable",
        "LayerCost",
        "Totals",
        "VggcostError",
        "__version__",
        "analyze",
        "compare_stack",
        "memory",
        "register_cost",
        "sweep",
        "verify",
    }
    assert set(vggcost.__all__) == names
    for name in vggcost.__all__:
        assert getattr(vggcost, name) is not None


@pytest.mark.parametrize("path", sorted((ROOT / "vggcost").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_use_only_the_rooms_before_them(path: Path) -> None:
    parts = path.relative_to(ROOT / "vggcost").parts
    if parts[0] not in ROOMS:
        return
    allowed = {
        *ROOMS[: ROOMS.index(parts[0]) + 1],
        "errors",
        "origin",
        "records",
        "saved",
        "settings",
        "files",
        "inert",
        "reading",
        "schema",
        "units",
        "templates",
        "__version__",
    }
    if parts[0] == "sweeps":
        allowed |= {"_analyze"}
    if parts[0] == "cli":
        allowed |= {
            "cache",
            "_sweep",
            "analyze",
            "_analyze",
            "_stack",
            "compare_stack",
            "memory",
            "_memory",
            "verify",
            "_verify",
            "_guard",
            "_page",
        }
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "vggcost":
            used = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            assert set(used) <= allowed, f"{path.name} uses {used}"
        if isinstance(node, ast.Import) and any(alias.name == "torch" for alias in node.names):
            at_top = node.col_offset == 0
            assert not at_top or parts[0] == "trace" or parts in TORCH_AT_TOP, f"{path.name} imports torch"


def test_files_stay_small_enough_to_hold_in_mind() -> None:
    sizes = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "vggcost").rglob("*.py")}
    assert {name: size for name, size in sizes.items() if size > 420} == {}


def test_the_listed_packages_are_those_of_the_tree() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = [".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "vggcost").rglob("__init__.py")]
    assert sorted(listed) == sorted([*found, "vggcost.templates"])


@pytest.mark.slow
def test_sdist_and_wheel_hold_everything_and_render(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", tmp_path, ROOT], check=True, capture_output=True, timeout=600
    )
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "vggcost").rglob("*.py")}
    sources |= {f"vggcost/templates/{p.name}" for p in (ROOT / "templates").iterdir() if p.is_file()}
    sources |= {f"vggcost/templates/js/{p.name}" for p in (ROOT / "templates" / "js").iterdir()}
    assert sources | {"vggcost/py.typed", "vggcost/claims/ledger.csv"} == {
        name for name in names if ".dist-info" not in name
    }
    inside = tarfile.open(sdist).getnames()
    for file in ("templates/report.html.j2", "/SECURITY.md"):
        assert any(name.endswith(file) for name in inside)
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r}); import vggcost; assert vggcost.__file__.startswith({str(unpacked)!r})\n"
        "from vggcost.cli import main; main(['report', 'vgg16', '--format', 'html'])"
    )
    done = python("-c", code, cwd=tmp_path)
    assert "138,357,544" in done.stdout, done.stderr


# The README


README = (ROOT / "README.md").read_text(encoding="utf-8")


def console_examples() -> list[tuple[str, list[str]]]:
    examples: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                examples.append((line[2:], []))
            else:
                examples[-1][1].append(line)
    return examples


@pytest.mark.parametrize(
    ("line", "expected"), console_examples(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_the_readme_prints_is_what_comes_out(line: str, expected: list[str]) -> None:
    import shlex

    for prefix, package in (("torchvision:", "torchvision"), ("timm:", "timm"), ("hf:", "transformers")):
        if prefix in line:
            pytest.importorskip(package)
    program, *arguments = shlex.split(line)
    assert program == "vggcost"
    done = command(*arguments, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    printed = [text.rstrip() for text in done.stdout.splitlines()]
    position = 0
    for text in expected:
        if text == "...":
            continue
        assert text.rstrip() in printed[position:], text
        position += printed[position:].index(text.rstrip()) + 1


def test_the_readme_begins_with_the_two_commands() -> None:
    first = re.search(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert first is not None
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == [
        "python -m pip install . && vggcost report vgg16 --html",
        'python -m pip install ".[test]" && python -m pytest -n auto',
    ]


def test_the_python_of_the_readme() -> None:
    failed, attempted = doctest.testfile(str(ROOT / "README.md"), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert attempted >= 4


def test_the_tables_and_figures_of_the_readme_and_the_docs_are_the_present_ones() -> None:
    done = command("docs", "check", "--diff", "README.md", "docs", cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "nothing" not in done.stdout


def test_the_sentence_on_published_figures_is_that_of_the_table() -> None:
    text = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")
    missed, _, agreed = text.partition("## What does not agree")[2].partition("## What agrees")
    rows = [line for line in missed.splitlines() if line.startswith("| ") and not line.startswith("| source")]
    gone = sum("cannot run" in row for row in rows)
    agree = sum(line.startswith("| ") for line in agreed.splitlines()) - 1
    assert "no reason found" not in missed
    sentence = re.sub(r"\s+", " ", README)
    assert f"Of {agree + len(rows)} published rows of torchvision, timm and language models {agree} agree" in sentence
    assert f"{gone} are of models that timm no longer has, and each of the other {len(rows) - gone} is" in sentence
