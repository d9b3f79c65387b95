"""What each command imports, and how its process ends: counts that stand for time and memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, command, python
from vggcost import CostTable

GetTable = Callable[..., CostTable]

SMALL = {"vggcost", "click", "rich_click"}
HELP = {"rich", "pygments", "markdown_it", "mdurl"}  # what rich needs to write a page of help
TORCH = {"torch", "torchgen", "numpy", "tqdm", "markupsafe", "cuda", "cython_runtime", "typing_extensions"}
"""What comes with torch, and the escaping of text for HTML, which the forms of a report share."""

LISTED = """
import json, sys
{first}
before = set(sys.modules)
from vggcost.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)
"""


def imported(*arguments: str, cwd: Path = ROOT, first: str = "") -> set[str]:
    """The modules that a command imports, after what is imported `first`."""
    done = python("-c", LISTED.format(first=first), *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    """The packages of modules, without those of Python itself."""
    tops = {name.partition(".")[0] for name in modules}
    return {name for name in tops if name not in sys.stdlib_module_names and not name.startswith("_")}


def ours(modules: set[str]) -> int:
    return sum(name.partition(".")[0] == "vggcost" for name in modules)


@pytest.fixture
def project(tmp_path: Path, zoo_table: GetTable) -> Path:
    for name in ("vgg16", "vgg-f"):
        (tmp_path / f"{name}.json").write_text(zoo_table(name).to_json(), encoding="utf-8")
    value = '<!-- vggcost:value vgg16.json.params format="M" -->138.36 M<!-- /vggcost -->'
    (tmp_path / "page.md").write_text(f"It has {value}.\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "known", "most"),
    [
        (["--help"], SMALL | HELP, 13),
        (["--version"], SMALL, 13),
        (["report", "--help"], SMALL | HELP, 20),
        (["models"], SMALL, 20),
        (["diff", "vgg16.json", "vgg-f.json"], SMALL, 60),
        (["docs", "check", "page.md"], SMALL, 70),
        (["compare", "vgg16.json", "vgg-f.json", "--format", "csv"], SMALL, 70),
    ],
)
def test_a_command_without_a_run_imports_no_more_than_this(
    project: Path, arguments: list[str], known: set[str], most: int
) -> None:
    found = imported(*arguments, cwd=project)
    assert packages(found) <= known
    assert ours(found) <= most


@pytest.mark.parametrize("form", ["json", "csv", "table", "html"])
def test_a_report_imports_no_more_than_torch_itself(form: str) -> None:
    """Neither sympy, torch's compiler, pandas, matplotlib, fvcore nor torchvision, nor more of torch than `import torch`."""
    written = "-" if form == "table" else "/dev/null"
    found = imported("report", "vgg16", "--format", form, "-o", written, first="import torch")
    beyond = {"html": {"jinja2"}, "table": HELP}.get(form, set())
    assert packages(found) <= SMALL | TORCH | beyond
    assert len([name for name in found if name.startswith("torch.")]) <= 5
    assert ours(found) <= 160


def test_a_training_step_imports_no_compiler() -> None:
    found = imported(
        "report", "vgg16", "--mode", "training", "--format", "json", "-o", "/dev/null", first="import torch"
    )
    assert packages(found) <= SMALL | TORCH


# How a process ends


def ended(code: str) -> tuple[int, str, str]:
    done = python("-c", f"import sys\nfrom vggcost.cli import main, program\n{code}")
    return done.returncode, done.stdout, done.stderr


def test_what_a_model_leaves_for_the_exit_is_done_before_the_process_ends(tmp_path: Path) -> None:
    code = (
        "import atexit, torch\natexit.register(print, 'last', flush=False)\ndef make(): return torch.nn.Linear(2, 3)\n"
    )
    (tmp_path / "net.py").write_text(code, encoding="utf-8")
    done = command("report", "./net.py:make", "-i", "2", "--format", "json", "-o", "net.json", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "net.json\nlast\n", "")


def test_files_of_other_threads_are_written_before_the_process_ends(tmp_path: Path) -> None:
    path = tmp_path / "late.txt"
    code = (
        "import threading, time\n"
        f"def late():\n    time.sleep(0.2)\n    open({str(path)!r}, 'w').write('done')\n"
        "threading.Thread(target=late).start(); sys.argv[1:] = ['--version']; program()"
    )
    assert ended(code)[0] == 0
    assert path.read_text(encoding="utf-8") == "done"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["models"], 0), (["models", "no-such*"], 2), (["nothing"], 2), (["report", "./a.py:b"], 2)],
)
def test_a_process_keeps_its_status(arguments: list[str], status: int) -> None:
    assert command(*arguments).returncode == status


def test_a_mistake_of_ours_is_no_success() -> None:
    status, _, errors = ended("m = sys.modules['vggcost.cli.main']; m.cli.main = lambda **_: 1 / 0; program()")
    assert status == 2  # 1 is that of a check that failed
    assert "please report it: ZeroDivisionError" in errors
    assert errors.count("\n") == 1


def test_a_full_disk_is_no_success() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    code = (
        "sys.argv[1:] = ['--version']; sys.stdout = open('/dev/full', 'w'); program()"  # written when the process ends
    )
    status, _, errors = ended(code)
    assert status != 0
    assert "No space left" in errors


def test_the_collector_of_garbage_is_as_it_was() -> None:
    code = (
        "import gc, vggcost; gc.disable(); vggcost.analyze('vgg-f'); assert not gc.isenabled()\n"
        "gc.enable(); vggcost.analyze('vgg-f'); assert gc.isenabled()\n"
        "try: vggcost.analyze('vgg-f', '1x2')\nexcept vggcost.VggcostError: print(gc.isenabled())"
    )
    assert ended(code) == (0, "True\n", "")
