"""The command line, as a user types it: in a process of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import ROOT, command, python
from vggcost import CostTable
from vggcost.report import render

NET = """
import torch
from torch import nn

def make(width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 900, 10))

def broken():
    raise ValueError("no weights\\nhere")

def number():
    return 3

class Odd(nn.Module):
    def forward(self, x):
        return torch.linalg.qr(x).Q

class Argmax(nn.Module):
    def forward(self, x):
        return x.argmax(1)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "syntax.py").write_text("def make(:\n", encoding="utf-8")
    (tmp_path / "foreign.json").write_text('{"a": 1}', encoding="utf-8")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "newer.json").write_text('{"schema": 99, "layers": []}', encoding="utf-8")
    (tmp_path / "cut.json").write_text('{"schema": 1, "layers": [{"path": "a"}]}', encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("report vgg61", "did you mean vgg19, vgg16"),
        ("report efficientnet_b99", "vggcost[models]"),
        ("report vgg16 -i 3x224x224x", "write the shape without the batch"),
        ("report vgg16 -i 3x0x224", "size of 0"),
        ("report vgg16 -i 3x224x224:flaot32", "did you mean float32"),
        ("report vgg16 -i 3x8x8", "the map vanishes at pool4"),
        ("report vgg-f -i 3x8x8", "the map vanishes at conv1"),
        ("report vgg16 -i 1x224x224", "conv1_1 takes 3 channels, got 1"),
        ("report vgg16 -i 3x112x112", "fc6 takes 25,088 values, got 4,608"),
        ("report vgg16 -i 3", "conv1_1 takes 3 sizes"),
        ("report vgg16 -b 0", "the batch must be a whole number of 1 or more"),
        ("report vgg16 -b -4", "the batch must be a whole number of 1 or more"),
        ("report vgg16 -b two", "not a valid integer"),
        ("report vgg16 --convention tocrh", "did you mean torch"),
        ("report vgg16 --mode trianing", "choose inference or training"),
        ("report vgg16 --format pdf", "'pdf' is not one of"),
        ("report vgg16 --html --format csv", "contradict"),
        ("report vgg16 --depth 0", "not in the range"),
        ("report vgg16 -k clases=3", "did you mean classes"),
        ("report vgg16 -k classes=0", "above 0"),
        ("report vgg16 -k dropout=2", "between 0 and 1"),
        ("report vgg16 -k ceil_mode=up", "true or false"),
        ("report vgg16 -k image_size=8", "the map vanishes at pool4"),
        ("report vgg16 -k classes", "write it as -k key=value"),
        ("report vgg16 -k batch=3", "vggcost's own word"),
        ("report vgg16 -o missing/x.html", "No such file or directory"),
        ("report vgg16 -o .", "it is a folder"),
        ("report", "give one of MODEL and --from"),
        ("report vgg16 --from a.json", "give one of MODEL and --from"),
        ("report --from missing.json", "No such file"),
        ("report --from net.py", "not JSON"),
        ("report --from binary.json", "not text"),
        ("report --from foreign.json", "not a vggcost table"),
        ("report --from newer.json", "schema 99"),
        ("report --from cut.json", "damaged"),
        ("report ./net.py:make", "does not say what input it takes"),
        ("report ./net.py:make -i 3x32x32 -k widht=4", "widht"),
        ("report ./net.py:make -i 3x31x31", "3 takes 7,200 values, got 6,728"),
        ("report ./net.py:broken -i 3", "ValueError: no weights here (net.py, line 9)"),
        ("report ./net.py:number -i 3", "returned int"),
        ("report ./net.py:maek -i 3", "did you mean make"),
        ("report ./net.py:Argmax -i 3 --mode training", "cannot be trained"),
        ("report ./syntax.py:make -i 3", "SyntaxError"),
        ("report ./missing.py:make -i 3", "no such file"),
        ("report ./net.py", "say which factory"),
        ("report missing.package:make -i 3", "cannot import"),
        ("report hf:./none.json", "cannot read ./none.json"),
        ("models nowhere:x", "no library 'nowhere'"),
        ("report vgg16 --bogus", "No such option"),
        ("rport vgg16", "did you mean report"),
        ("models nothing-like-this", "no model of the zoo matches"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_status_2(line: str, says: str, folder: Path) -> None:
    before = sorted(folder.iterdir())
    done = command(*line.split(), cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr
    assert done.stderr.startswith("vggcost: ")
    assert done.stdout == ""
    assert [path for path in sorted(folder.iterdir()) if path.name != "__pycache__"] == before


def test_html_writes_the_page_and_prints_its_path(tmp_path: Path) -> None:
    done = command("report", "vgg16", "--html", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "vgg16.html\n", "")
    first = (tmp_path / "vgg16.html").read_bytes()
    command("report", "vgg16", "--html", cwd=tmp_path)
    assert (tmp_path / "vgg16.html").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["vgg16.html"]


def test_an_existing_report_survives_a_failed_run(tmp_path: Path) -> None:
    report = tmp_path / "vgg16.html"
    report.write_text("precious", encoding="utf-8")
    assert command("report", "vgg16", "-i", "3x8x8", "--html", cwd=tmp_path).returncode == 2
    assert report.read_text(encoding="utf-8") == "precious"
    if os.geteuid() != 0:
        report.chmod(0o444)
        assert command("report", "vgg16", "--html", cwd=tmp_path).returncode == 2


def test_a_saved_table_renders_the_same_page_without_torch(tmp_path: Path) -> None:
    saved = tmp_path / "vgg16.json"
    saved.write_text(command("report", "vgg16", "--format", "json").stdout, encoding="utf-8")
    direct = render(CostTable.from_json(saved.read_text(encoding="utf-8")), "html")
    code = (
        "import sys; from vggcost.cli import main\n"
        "try: main(['report', '--from', sys.argv[1], '--format', 'html'])\n"
        "finally: assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    )
    done = python("-c", code, str(saved))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == direct
    piped = command("report", "--from", "-", "--format", "html", stdin=saved.read_text(encoding="utf-8"))
    assert piped.stdout == direct


def test_strict_fails_on_unknown_ops(folder: Path) -> None:
    relaxed = command("report", "./net.py:Odd", "-i", "4x4", "--format", "json", cwd=folder)
    assert relaxed.returncode == 0
    assert "unknown to convention torch, counted as 0: aten.linalg_qr" in relaxed.stderr
    assert json.loads(relaxed.stdout)["coverage"]["unknown"] == {"aten.linalg_qr": 1}
    strict = command("report", "./net.py:Odd", "-i", "4x4", "--strict", cwd=folder)
    assert strict.returncode == 1
    assert command("report", "vgg16", "--strict").returncode == 0


def test_a_factory_in_a_package(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text(NET, encoding="utf-8")
    done = command("report", "pack:make", "-i", "3x32x32", "-k", "width=4", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["params"] == 4 * 27 + 4 + 3600 * 10 + 10


@pytest.mark.parametrize("arguments", [["--help"], ["report", "--help"], ["models"], ["--version"], []])
def test_help_needs_no_torch(arguments: list[str]) -> None:
    heavy = "torch", "pandas", "matplotlib", "fvcore", "jinja2", "numpy"
    code = (
        "import sys; from vggcost.cli import main\n"
        f"try: main({arguments!r})\n"
        f"finally: assert not [name for name in {heavy!r} if name in sys.modules]"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_check_for_torch_can_fail() -> None:
    done = python("-c", "import sys, torch; assert 'torch' not in sys.modules")
    assert done.returncode == 1


def test_the_common_path_imports_no_compiler() -> None:
    """Stands for start-up time and memory: sympy and torch's compiler cost more than the whole report."""
    code = (
        "import sys; from vggcost.cli import main\n"
        "try: main(['report', 'vgg16', '--html', '-o', '/dev/null'])\n"
        "finally: assert not {'sympy', 'torch._dynamo', 'pandas', 'matplotlib', 'fvcore'} & set(sys.modules)"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_pipe_may_close_early() -> None:
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'vggcost', 'models'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd={str(ROOT)!r}); p.stdout.close(); print(p.stderr.read().decode())"
    assert "Traceback" not in python("-c", code).stdout
