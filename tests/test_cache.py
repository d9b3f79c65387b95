"""Tables of earlier runs: the same bytes as a new run, never an old figure, never half a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import command, python
from vggcost.cache import Cache, cache_of_user, own_code
from vggcost.cli import main

NET = """
from torch import nn
from part import WIDTH
def make():
    print("built")  # goes to standard error
    return nn.Linear(4, WIDTH)
"""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VGGCOST_CACHE", str(tmp_path / "kept"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "kept"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "part.py").write_text("WIDTH = 10\n", encoding="utf-8")
    return tmp_path / "net.py"


def entries(kept: Path) -> list[Path]:
    return sorted((kept / "tables").glob("*.json"))


def params(folder: Path, *options: str, model: str = "./net.py:make") -> int:
    done = command("report", model, "-i", "4", "--format", "json", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["totals"]["params"])


class Done:
    """What `vggcost` would print and exit with, run in this process, which has torch already."""

    def __init__(self, capture: pytest.CaptureFixture[str], *arguments: str) -> None:
        capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        self.returncode = ended.value.code
        self.stdout, self.stderr = capture.readouterr()


def settle(folder: Path) -> None:
    """Make files look as old as those of a user usually are: one that changes while it is read is not kept."""
    for path in folder.rglob("*.py"):
        os.utime(path, (time.time() - 60,) * 2)


# The same bytes


@pytest.mark.parametrize("format_", ["table", "markdown", "csv", "json", "jsonl", "latex"])
@pytest.mark.parametrize("model", ["vgg16", "googlenet"])
def test_a_kept_answer_is_the_fresh_one_to_the_byte(
    kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], model: str, format_: str
) -> None:
    arguments = ("report", model, "--format", format_)
    fresh = Done(capfd, *arguments, "--no-cache")
    assert not entries(kept)
    first, second = (Done(capfd, *arguments) for _ in range(2))
    assert len(entries(kept)) == 1
    assert fresh.stdout == first.stdout == second.stdout
    assert fresh.stderr == first.stderr == second.stderr
    assert fresh.stdout


@pytest.mark.parametrize("model", ["torchvision:fasterrcnn_resnet50_fpn", "torchvision:swin_t", "hf:gpt2"])
def test_so_is_that_of_a_library(kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], model: str) -> None:
    pytest.importorskip({"torchvision": "torchvision", "hf": "transformers"}[model.partition(":")[0]])
    for format_ in ("json", "markdown"):
        arguments = ("report", model, "--format", format_, "--convention", "full", "--mode", "inference")
        fresh = Done(capfd, *arguments, "--no-cache")
        found = {Done(capfd, *arguments).stdout for _ in range(2)}
        assert found == {fresh.stdout}
    assert len(entries(kept)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "vgg-a", "vgg16", "--format", "html"),
        ("compare", "vgg-a", "vgg16", "--format", "json"),
        ("diff", "vgg-a", "vgg16"),
        ("draw", "vgg16", "-o", "-"),
    ],
)
def test_other_commands_share_the_tables(
    kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    fresh = Done(capfd, *arguments, "--no-cache")
    assert not entries(kept)
    first, second = (Done(capfd, *arguments) for _ in range(2))
    assert fresh.stdout == first.stdout == second.stdout
    assert fresh.stdout
    assert Done(capfd, "report", "vgg16").returncode == 0
    assert len(entries(kept)) == (1 if arguments[0] == "draw" else 2)


def test_a_kept_answer_needs_no_torch(kept: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from vggcost.cli import main\n"
        "try:\n    main(['report', 'vgg16', '--format', 'json'])\n"
        "finally:\n    print(sorted({'torch', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    first, second = (python("-c", code, cwd=tmp_path) for _ in range(2))
    assert "torch" in first.stderr
    assert second.stderr.strip() == "[]"
    assert first.stdout == second.stdout


# Never an old figure


def test_options_inputs_batches_and_modes_are_told_apart(
    kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    variations: list[tuple[str, ...]] = [
        (), ("-b", "2"), ("-i", "3x224x224"), ("--mode", "training"), ("--convention", "full"), ("--dtype", "float16"),
        ("-k", "classes=10"), ("--dense",),
    ]  # fmt: skip
    for _ in range(2):
        outputs = {Done(capfd, "report", "vgg-a", "--format", "json", *words).stdout for words in variations}
        assert len(outputs) == len(variations)
    assert len(entries(kept)) == len(variations)


def test_a_change_of_the_file_or_of_what_it_imports_is_seen(kept: Path, net: Path) -> None:
    folder = net.parent
    settle(folder)
    assert params(folder) == params(folder) == 4 * 10 + 10
    assert len(entries(kept)) == 1
    (folder / "part.py").write_text("WIDTH = 20\n", encoding="utf-8")
    settle(folder)
    assert params(folder) == 4 * 20 + 20
    net.write_text(NET.replace("Linear(4, WIDTH)", "Linear(4, WIDTH, bias=False)"), encoding="utf-8")
    settle(folder)
    assert params(folder) == 4 * 20
    built = [
        command("report", "./net.py:make", "-i", "4", *words, cwd=folder).stderr for words in ((), ("--no-cache",))
    ]
    assert built == ["", "built\n"]


def test_a_module_of_a_package_is_kept_by_its_file(kept: Path, net: Path) -> None:
    folder = net.parent
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text("", encoding="utf-8")
    code = "from torch import nn\ndef make():\n    return nn.Linear(4, {})\n"
    for width in (3, 5):
        (folder / "pack" / "inner.py").write_text(code.format(width), encoding="utf-8")
        settle(folder)
        assert params(folder, model="pack.inner:make") == params(folder, model="pack.inner:make") == 5 * width
    (folder / "elsewhere" / "pack").mkdir(parents=True)
    (folder / "elsewhere" / "pack" / "inner.py").write_text(code.format(7), encoding="utf-8")
    settle(folder)
    assert params(folder / "elsewhere", model="pack.inner:make") == 35


def test_a_file_that_is_changed_while_it_is_read_is_not_kept(kept: Path, net: Path) -> None:
    net.write_text(NET + "\nimport os\nos.utime(__file__)\n", encoding="utf-8")
    assert params(net.parent) == 50
    assert not entries(kept)


def test_the_config_of_a_convention_belongs_to_the_answer(
    kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = []
    for per_mac in (1, 2):
        text = f'[conventions.mine]\nsentence = "mine"\nflops_per_mac = {per_mac}\n'
        (tmp_path / "vggcost.toml").write_text(text, encoding="utf-8")
        done = Done(capfd, "report", "vgg-a", "--convention", "mine", "--format", "json")
        found.append(json.loads(done.stdout)["totals"]["flops"])
    assert found[1] == 2 * found[0] > 0


def test_a_config_file_is_known_by_what_is_in_it(kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    found = []
    for layers in (1, 2):
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": "gpt2", "n_layer": layers, "n_embd": 48, "n_head": 2})
        )
        os.utime(tmp_path / "config.json", (time.time() - 60,) * 2)
        for _ in range(2):
            done = Done(capfd, "report", "hf:./config.json", "--format", "json")
            found.append(json.loads(done.stdout)["totals"]["params"])
    assert found[0] == found[1] < found[2] == found[3]
    assert len(entries(kept)) == 1


def test_a_change_of_vggcost_itself_is_seen(tmp_path: Path) -> None:
    import vggcost

    path = Path(vggcost.__file__)
    before, stat = own_code.__wrapped__(), path.stat()
    try:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
        assert own_code.__wrapped__() != before
    finally:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert own_code.__wrapped__() == before


def test_an_environment_that_a_library_reads_belongs_to_the_answer_but_is_not_written_down(
    kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in ("hush", "hush-hush"):
        monkeypatch.setenv("HF_TOKEN", secret)
        assert Done(capfd, "report", "vgg-a").returncode == 0
    assert len(entries(kept)) == 2
    assert all(b"hush" not in path.read_bytes() for path in entries(kept))


def test_errors_and_runs_on_real_tensors_are_not_kept(kept: Path, tmp_path: Path) -> None:
    code = (
        "import torch\nfrom torch import nn\nclass Real(nn.Module):\n    def forward(self, x):\n"
        "        return x * int(x.numpy().size)\n"
    )
    (tmp_path / "net.py").write_text(code, encoding="utf-8")
    settle(tmp_path)
    assert command("report", "./net.py:Real", "-i", "4", cwd=tmp_path).returncode == 2
    assert command("report", "./net.py:Real", "-i", "4", "--fallback", "cpu", cwd=tmp_path).returncode == 0
    assert not entries(kept)


# Never half a file


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b'"macs": 7', b'"macs": 8'),
        lambda data: data.replace(b"\n", b"", 1),
        lambda data: b"\xff" + data[1:],
    ],
)
def test_a_damaged_entry_is_traced_again_not_shown(
    kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes]
) -> None:
    first = Done(capfd, "report", "vgg-a", "--format", "json")
    (entry,) = entries(kept)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert entry.read_bytes() != whole
    again = Done(capfd, "report", "vgg-a", "--format", "json")
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")
    assert entry.read_bytes() == whole


def test_two_processes_at_once_never_read_half_a_file(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from vggcost.cache import Cache
kept, mine = Cache(Path(sys.argv[1])), sys.argv[2]
for n in range(400):
    kept.put({"n": n % 3}, mine * 100_000, {})
    found = kept.get({"n": n % 3})
    assert found is not None and len(found) == 100_000 and len(set(found)) == 1, n
"""
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), letter]) for letter in "ab"]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert len(list((tmp_path / "tables").iterdir())) == 3


def test_it_is_bounded_and_what_was_used_last_stays(tmp_path: Path) -> None:
    kept = Cache(tmp_path, limit=5000)
    for n in range(4):
        kept.put({"n": n}, "x" * 1000, {})
        os.utime(kept._path({"n": n}), (n, n))
    assert kept.get({"n": 0}) is not None  # and so it is the newest
    kept.put({"n": 4}, "x" * 1000, {})
    assert [n for n in range(5) if kept.get({"n": n})] == [0, 2, 3, 4]
    assert kept.kept().nbytes <= 5000
    kept.put({"n": 5}, "x" * 6000, {})
    assert [n for n in range(6) if kept.get({"n": n})] == [5]


def test_where_it_cannot_be_written_the_report_comes_all_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VGGCOST_CACHE", str(tmp_path / "file"))
    done = Done(capfd, "report", "vgg-a")
    assert done.returncode == 0
    assert "132,863,336" in done.stdout
    assert done.stderr.startswith("vggcost: not kept for the next time: cannot make")
    assert len(done.stderr.splitlines()) == 1


# The command


def test_info_and_clear(kept: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert Done(capfd, "cache").stdout == f"{kept}: 0 tables, 0 B of 244.14 MiB\n"
    assert Done(capfd, "report", "vgg-a").returncode == 0
    (kept / "tables" / "notes.txt").write_text("mine", encoding="utf-8")
    assert "1 tables, " in Done(capfd, "cache", "info").stdout
    done = Done(capfd, "cache", "clear")
    assert done.stdout.startswith(f"{kept}: 1 tables, ")
    assert done.stdout.endswith(" removed\n")
    assert not entries(kept)
    assert (kept / "tables" / "notes.txt").exists()  # which is not ours
    assert Done(capfd, "cache", "burn").returncode == 2


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def folder() -> Path | None:
        found = cache_of_user()
        return found.folder if found is not None else None

    monkeypatch.setenv("VGGCOST_CACHE", str(tmp_path))
    assert folder() == tmp_path
    monkeypatch.setenv("VGGCOST_CACHE", "off")
    assert folder() is None
    monkeypatch.delenv("VGGCOST_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    places = {
        "linux": {"XDG_CACHE_HOME": tmp_path / "xdg", "": tmp_path / ".cache"},
        "darwin": {"": tmp_path / "Library" / "Caches"},
        "win32": {"LOCALAPPDATA": tmp_path / "local"},
    }
    for platform, found in places.items():
        monkeypatch.setattr(sys, "platform", platform)
        for variable, base in found.items():
            for other in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
                monkeypatch.delenv(other, raising=False)
            if variable:
                monkeypatch.setenv(variable, str(base))
            assert folder() == base / "vggcost"


def test_the_file_of_a_loss_belongs_to_the_answer(kept: Path, tmp_path: Path) -> None:
    def saved(text: str) -> int:
        (tmp_path / "own.py").write_text(text, encoding="utf-8")
        done = command(
            "report", "vgg-f", "--mode", "training", "--loss", "./own.py:f", "--format", "json", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["totals"]["saved_bytes"])

    once = saved("def f(out): return out.sum()\n")
    time.sleep(0.02)
    assert once == saved("def f(out): return out.sum()\n")
    assert saved("def f(out): return out.square().sum()\n") == once + 4 * 1000  # which keeps the logits
    assert len(entries(kept)) == 1
