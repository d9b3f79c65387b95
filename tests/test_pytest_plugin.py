"""The pytest plugin, as a user's project runs it: pytest in a process of its own, in a folder of its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import python
from tests.test_guard import CONFIG, NET, widen
from vggcost.guard import read_baseline

pytestmark = pytest.mark.usefixtures("environment")

TEST = """from net import make
import pytest


def test_cost(vggcost):
    table = vggcost.check(make(), inputs="3x32x32", name="net", limits=["params:0", "macs:+1%"])
    assert table.totals.params == sum(p.numel() for p in make().parameters())


@pytest.mark.vggcost("./net.py:make", inputs="3x32x32", macs="<=75M", params="<=1M")
def test_budget(): ...
"""
LOCK = "vggcost.lock.json"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # bytecode is told from a source of the same size by seconds
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID", "CI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q --strict-markers\n", encoding="utf-8")
    (tmp_path / "test_cost.py").write_text(TEST, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "pytest", "-p", "no:cacheprovider", *arguments, cwd=folder)


def failures(text: str) -> str:
    """What the E lines say, and what fails without a traceback."""
    return "\n".join(line.removeprefix("E").strip() for line in text.splitlines())


def test_the_story(project: Path) -> None:
    missing = run(project)
    assert missing.returncode == 1
    assert "not in the baseline; 'pytest --vggcost-lock test_cost.py::test_cost' adds it" in missing.stdout
    assert "1 failed, 1 passed" in missing.stdout  # a ceiling needs no baseline
    assert not (project / LOCK).exists()

    locked = run(project, "--vggcost-lock")
    assert locked.returncode == 0, locked.stdout
    assert f"net: {LOCK}\n" in locked.stdout
    before = (project / LOCK).read_bytes()
    again = run(project)
    assert again.returncode == 0
    assert " vggcost " not in again.stdout  # nothing to say

    widen(project, 528)
    failed = run(project)
    assert failed.returncode == 1
    assert (project / LOCK).read_bytes() == before
    for line in (
        "AssertionError: net: fail",
        "params 213.53 k → 216.28 k (+2,752, +1.29%), limit params:0",
        "2 +2,304: in_channels 512 → 528",
        "0 +448: out_channels 512 → 528",
        "macs 70.37 M → 72.56 M (+2,195,136, +3.12%), limit macs:+1%, which allows 71.07 M",
        "to accept: pytest --vggcost-lock test_cost.py::test_cost",
    ):
        assert line in failures(failed.stdout)
    assert '>       table = vggcost.check(make(), inputs="3x32x32"' in failed.stdout  # the user's line, none of ours
    assert "pytest_plugin.py" not in failed.stdout

    accept = re.findall(r"to accept: pytest (.*)", failed.stdout)
    assert run(project, *accept[0].split()).returncode == 0
    assert run(project).returncode == 0
    widen(project, 500)
    better = run(project)
    assert better.returncode == 0
    assert "net: better than the baseline: 'pytest --vggcost-lock test_cost.py::test_cost' keeps it so" in better.stdout


def test_a_budget_that_is_exceeded(project: Path) -> None:
    widen(project, 1024)
    over = run(project, "-k", "budget", "--vggcost-lock")
    assert over.returncode == 1
    assert "macs 140,614,144, limit macs:<=75M, which allows 75.00 M" in over.stdout  # locking accepts no other ceiling
    assert "2 has 115,605,504: Conv2d" in over.stdout
    assert "to accept: another limit than macs:<=75M" in over.stdout
    assert "raceback" not in over.stdout


@pytest.mark.slow
def test_workers_lose_nothing(project: Path) -> None:
    pytest.importorskip("xdist")
    (project / "test_many.py").write_text(
        "import pytest\nfrom torch import nn\n\n\n"
        "@pytest.mark.parametrize('width', range(1, 41))\n"
        "def test_one(vggcost, width):\n    vggcost.check(nn.Linear(8, width), '8', name=f'net{width}')\n",
        encoding="utf-8",
    )
    assert run(project, "-n", "3", "test_many.py").returncode == 1
    locked = run(project, "-n", "3", "--vggcost-lock", "test_many.py")
    assert locked.returncode == 0, locked.stdout
    assert re.findall(r"^net(\d+): vggcost", locked.stdout, re.M) == sorted(
        (str(width) for width in range(1, 41)), key=lambda n: f"net{n}:"
    )
    found = read_baseline(project / LOCK)
    assert {name: entry.table.totals.params for name, entry in found.items()} == {
        f"net{w}": 9 * w for w in range(1, 41)
    }
    assert run(project, "-n", "3", "test_many.py").returncode == 0


MISTAKES = {
    'vggcost.check(nn.Linear(8, 4), "8")': 'a module has no name of its own; give it one, such as name="mine"',
    'vggcost.check(nn.Linear(8, 4), "8", name="a", limits="macs")': "cannot read the limit 'macs'",
    'vggcost.check(nn.Linear(8, 4), "8", name="a", limits=[])': "the list of limits is empty",
    'vggcost.check(nn.Linear(8, 4), "8", name="a", limits="b=macs:0")': "limit 'b=macs:0' is not of 'a'",
    'vggcost.check(nn.Linear(8, 4), "9", name="a")': "kes 8 values, got 9",
    'vggcost.check("vgg61")': "vgg61",
    'vggcost.check("vgg11", batch=0)': "vgg11: batch must be a whole number of 1 or more, not 0",
    'vggcost.check("other", "9")': "says how 'other' is run; change it there",
    'vggcost.check("vgg11", name="other")': "'other' is a model of",
}
MARKS = {
    '"other", mac="<=1"': "the marker vggcost has no 'mac' (did you mean macs?)",
    "": "the marker vggcost takes one model, and here are 0",
    '"other", macs="1"': "limit 'macs:1': cannot read the tolerance '1'",
    '"other", macs="<=31"': "macs 32, limit macs:<=31",
    '"other", limits="macs:<=32", params="<=35"': "params 36, limit params:<=35",
}


def test_mistakes(project: Path) -> None:
    (project / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    calls = [f"def test_call{i}(vggcost):\n    {call}\n" for i, call in enumerate(MISTAKES)]
    marks = [
        f"@pytest.mark.vggcost({mark})\ndef test_mark{i}(): raise NotImplementedError\n" for i, mark in enumerate(MARKS)
    ]
    (project / "test_cost.py").write_text(
        "import pytest\nfrom torch import nn\n\n" + "\n".join([*calls, *marks]), encoding="utf-8"
    )
    done = run(project, "--tb=short")
    assert done.returncode == 1
    assert f"{len(MISTAKES) + len(MARKS)} failed in" in done.stdout
    parts = dict(re.findall(r"^_+ (test_\w+) _+\n(.*?)(?=^_+ test_|^=)", done.stdout, re.M | re.S))
    for kind, mistakes in (("call", MISTAKES), ("mark", MARKS)):
        for i, (text, says) in enumerate(mistakes.items()):
            assert says in parts[f"test_{kind}{i}"], text
            assert "pytest_plugin.py" not in parts[f"test_{kind}{i}"]
            assert "NotImplementedError" not in parts[f"test_{kind}{i}"]
    assert not (project / LOCK).exists()


def test_models_of_the_configuration_and_names_given_twice(project: Path) -> None:
    (project / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    folder = project / "tests"
    folder.mkdir()
    (folder / "test_cost.py").write_text(
        """import pytest
from torch import nn

pytestmark = pytest.mark.vggcost("mine")


def test_by_name(vggcost):
    assert vggcost.check("other").totals.params == 36


@pytest.mark.parametrize("width", [4, 5])
def test_twice(vggcost, width):
    vggcost.check(nn.Linear(8, width), "8", name="twice")


def test_training(vggcost):
    table = vggcost.check(nn.Linear(8, 4), "8", name="step", mode="training", limits=["peak_bytes:+1%", "saved_bytes:0"])
    assert table.run.mode == "training"
""",
        encoding="utf-8",
    )
    done = run(folder, "--vggcost-lock")
    assert done.returncode == 1
    assert "1 failed, 3 passed" in done.stdout
    assert (
        "tests/test_cost.py::test_twice[4] and tests/test_cost.py::test_twice[5] call 'twice' what does not cost the same"
        in done.stdout
    )
    found = read_baseline(project / LOCK)  # beside the configuration, not in the folder of the tests
    assert {name: entry.spec.source for name, entry in found.items()} == {
        "mine": "./net.py:make", "other": "./net.py:other", "twice": "", "step": "",
    }  # fmt: skip
    assert found["step"].peak_bytes is not None
    assert run(folder, "-k", "not 5").returncode == 0


def test_a_damaged_baseline_survives(project: Path) -> None:
    (project / LOCK).write_text('{\n "models": {', encoding="utf-8")
    for arguments in ([], ["--vggcost-lock"]):
        done = run(project, "-k", "test_cost", *arguments)
        assert done.returncode == 1
        assert f"{LOCK}: " in done.stdout
        assert (project / LOCK).read_text(encoding="utf-8") == '{\n "models": {'


def test_pytest_starts_without_torch(project: Path) -> None:
    (project / "test_cost.py").write_text(
        "import sys\n\n\ndef test_nothing():\n"
        "    assert 'vggcost.pytest_plugin' in sys.modules\n"
        "    assert not {'torch', 'pandas', 'vggcost.guard'} & sys.modules.keys()\n",
        encoding="utf-8",
    )
    assert run(project).returncode == 0
    assert "--vggcost-lock" in run(project, "--help").stdout
    assert "@pytest.mark.vggcost(model, METRIC='TOLERANCE', …" in run(project, "--markers").stdout
