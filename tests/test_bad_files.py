"""Every file that is read, in every bad state: one line on standard error, exit status 2, and nothing harmed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import command
from vggcost import CostTable
from vggcost.cli import main
from vggcost.errors import TableError, VggcostError
from vggcost.guard import Entry, Spec, dump_baseline
from vggcost.reading import MOST, loads, read_file
from vggcost.report import FORMATS, render
from vggcost.saved import read

GetTable = Callable[..., CostTable]

# command, the file's name in it, and whether that file is JSON, TOML or a document
READERS = {
    "report": (["report", "--from", "x.json"], "x.json"),
    "compare": (["compare", "x.json"], "x.json"),
    "diff": (["diff", "x.json", "good.json"], "x.json"),
    "diff-baseline": (["diff", "lock.json", "x.json"], "x.json"),
    "draw": (["draw", "x.json", "-o", "x.svg"], "x.json"),
    "check-from": (["check", "--baseline", "lock.json", "--from", "x.json"], "x.json"),
    "check": (["check", "--baseline", "x.json"], "x.json"),
    "lock": (["lock", "vgg-f", "--baseline", "x.json"], "x.json"),
    "input-json": (["report", "vgg-f", "--input-json", "x.json"], "x.json"),
    "hf": (["report", "hf:./x.json"], "x.json"),
    "docs": (["docs", "check", "doc.md"], "doc.md"),
    "docs-sync": (["docs", "sync", "doc.md"], "doc.md"),
    "docs-table": (["docs", "check", "good.md"], "x.json"),
    "sweep": (["compare", "--from", "x.jsonl"], "x.jsonl"),
    "sweep-csv": (["compare", "--from", "x.csv"], "x.csv"),
    "sweep-to": (["sweep", "vgg-f", "-o", "x.jsonl"], "x.jsonl"),
    "errors": (["compare", "--from", "rows.jsonl", "--errors", "x.csv"], "x.csv"),
    "settings": (["report", "vgg-f", "--convention", "mine"], "vggcost.toml"),
    "pyproject": (["check"], "pyproject.toml"),
    "template": (["report", "--from", "good.json", "--format", "markdown", "--template-dir", "t"], "t/report.md.j2"),
    "loss": (["report", "vgg-f", "--mode", "training", "--loss", "./x.py:f"], "x.py"),
    "file": (["report", "./x.py:f"], "x.py"),
}  # fmt: skip


def deep(path: Path) -> None:
    text = "[" * 100_000
    path.write_text(("x = " + text) if path.suffix == ".toml" else text)


def deep_objects(path: Path) -> None:
    path.write_text('{"a":' * 5000 + "1" + "}" * 5000 if path.suffix != ".toml" else "a." * 5000 + "a = 1")


def many_digits(path: Path) -> None:
    path.write_text(("schema = " if path.suffix == ".toml" else '{"schema": ') + "9" * 5000)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


BAD: dict[str, Callable[[Path], Any]] = {
    "deep": deep, "deep objects": deep_objects, "many digits": many_digits, "fifo": fifo, "loop": loop, "folder": folder,
    "device": device, "sparse": sparse,
    "empty": lambda path: path.write_bytes(b""),
    "NUL": lambda path: path.write_bytes(b"\0" * 100),
    "UTF-16": lambda path: path.write_text('{"schema": 1, "layers": []}', encoding="utf-16"),
    "Latin": lambda path: path.write_bytes(b'{"schema": "\xe9"}\n'),
    "NaN": lambda path: path.write_text('{"schema": NaN}\n'),
    "infinite": lambda path: path.write_text('{"schema": 1e999}\n'),
    "list": lambda path: path.write_text("[1, 2]\n"),
    "number": lambda path: path.write_text("7\n"),
    "text": lambda path: path.write_text('"a"\n'),
    "null": lambda path: path.write_text("null\n"),
    "cut": lambda path: path.write_text('{"schema": 1, "layers": [\n'),
    "surrogates": lambda path: path.write_text('{"schema": 1, "layers": "\\ud800"}\n'),
    "models": lambda path: path.write_text('{"models": {"\\ud800": []}, "schema": 1}'),
    "binary": lambda path: path.write_bytes(os.urandom(5000)),
}  # fmt: skip

# What says nothing is no mistake in these: there is nothing in an empty document, a folder that is no file is not there.
FINE = {
    *((reader, state) for reader in ("docs", "docs-sync") for state in (
        "deep", "deep objects", "many digits", "empty", "NUL", "UTF-16", "NaN", "infinite", "list", "number", "text", "null",
        "cut", "surrogates", "models", "folder")),
    *(("template", state) for state in ("deep", "deep objects", "many digits", "empty", "NUL", "NaN", "infinite", "list",
                                        "number", "text", "null", "cut", "surrogates", "models")),
    ("sweep", "empty"), ("sweep-csv", "empty"), ("sweep-to", "empty"),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(zoo_table: GetTable) -> tuple[str, str]:
    table = zoo_table("vgg-f")
    return table.to_json(), dump_baseline([Entry(Spec("vgg-f", "vgg-f"), table)])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: tuple[str, str]) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("good.json").write_text(good[0], encoding="utf-8")
    Path("lock.json").write_text(good[1], encoding="utf-8")
    Path("good.md").write_text('<!-- vggcost:value x.json.params format="M" -->1 M<!-- /vggcost -->', encoding="utf-8")
    Path("t").mkdir()
    Path("t/base.html.j2").write_text("", encoding="utf-8")
    return tmp_path


def run(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    out, err = capfd.readouterr()
    assert isinstance(done.value.code, int)
    return done.value.code, out, err


@pytest.mark.parametrize("reader", READERS)
def test_a_bad_file_is_one_line(reader: str, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments, name = READERS[reader]
    wrong = []
    for state, make in BAD.items():
        path = Path(name)
        make(path)
        before = None if state in ("fifo", "loop", "folder", "device", "sparse") else path.read_bytes()
        signal.alarm(20)  # nothing waits for what never comes
        status, out, err = run(arguments, capfd)
        signal.alarm(0)
        one = (status, out, err.count("\n")) == (2, "", 1) and err.startswith("vggcost: ")
        if "vggcost's own" in err or "Traceback" in err or ((reader, state) not in FINE and not one):
            wrong.append((state, status, out[:200], err[:300]))
        assert before is None or path.read_bytes()[: len(before)] == before or (reader, state) in FINE
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    assert not wrong


def test_a_file_that_cannot_be_read(
    project: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    Path("x.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr("vggcost.reading._opened", refused)
    for name in ("report", "check", "input-json", "hf"):
        status, _, err = run(READERS[name][0], capfd)
        assert (status, err.count("\n")) == (2, 1)
        assert "Permission denied" in err


def test_a_mark_of_byte_order_is_no_mistake(
    project: Path, good: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("x.json").write_text(good[0], encoding="utf-8-sig")
    Path("lock.json").write_text(good[1], encoding="utf-8-sig")
    Path("vggcost.toml").write_text("[conventions.mine]\nextends = 'torch'\n", encoding="utf-8-sig")
    for arguments in (
        ["report", "--from", "x.json"],
        ["check", "--baseline", "lock.json", "--from", "x.json"],
        ["diff", "x.json", "x.json"],
    ):
        status, _, err = run(arguments, capfd)
        assert (status, err) == (0, "")


@pytest.mark.parametrize("name", ["a" * 300 + ".json", "x/" * 3000 + "y.json", "good.json/x.json", "\udcff.json"])
def test_names_that_cannot_be(name: str, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = name.replace(".json", ".py:f")
    for arguments in (
        ["report", "--from", name], ["report", code], ["report", f"hf:{name}"], ["report", "vgg-f", "--input-json", name],
        ["check", "--baseline", name], ["check", "--from", name, "--baseline", "lock.json"], ["diff", name, "good.json"],
        ["docs", "check", name], ["docs", "check", name.replace(".json", ".md")], ["compare", "--from", f"{name}l"],
        ["report", "vgg-f", "--mode", "training", "--loss", code], ["report", name.replace(".json", ".pt2")], ["report", name],
        ["report", "--from", "good.json", "--format", "html", "--template-dir", name], ["lock", code], ["check", code],
    ):  # fmt: skip
        status, out, err = run(arguments, capfd)
        assert (status, out) == (2, ""), (arguments, err)
        assert err.count("\n") == 1
        assert "vggcost's own" not in err, err
    if "/" in name or len(name) > 255:
        for arguments in (["report", "--from", "good.json", "-o", name], ["lock", "vgg-f", "--baseline", name]):
            status, out, err = run(arguments, capfd)
            assert (status, out, err.count("\n")) == (2, "", 1), (arguments, err)


def test_standard_input_that_never_ends() -> None:
    with open("/dev/zero", "rb") as zeros:
        done = subprocess.run(
            [sys.executable, "-m", "vggcost", "report", "--from", "-"], stdin=zeros, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert (
        done.stderr
        == f"vggcost: cannot read standard input: more than {MOST / 2**20:.2f} MiB, and nothing that is read here is as large\n"
    )


def test_what_a_shell_has_opened_is_read(project: Path) -> None:
    line = f"{sys.executable} -m vggcost report vgg-f --input-json <(sleep 0.3; echo '[{{\"shape\": [1, 3, 224, 224]}}]') --format json"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


# Fields of saved documents


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value; of a list only its first and of an object all."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def changed(data: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = changed(data[path[0]], path[1:], new)
    return copy


VALUES = [
    None,
    True,
    -1,
    0,
    10**400,
    1.5,
    "x",
    "\ud800",
    "\x1b[31m",
    [],
    [[]],
    [None],
    {},
    {"a": None},
    {"a": {"b": []}},
    [10**40],
]


def test_any_value_in_any_field_of_a_table(good: tuple[str, str]) -> None:
    """It is refused, or every form can be made of it."""
    data = json.loads(good[0])
    data["layers"] = data["layers"][:1]
    data["totals"] = {name: data["layers"][0][name] for name in data["totals"]}
    refused = 0
    for path in places(data):
        for value in VALUES:
            try:
                table = read(json.dumps(changed(data, path, value)))
            except TableError as error:
                refused += 1
                assert len(str(error)) < 400
                continue
            for form in FORMATS:
                render(table, form)
    assert refused > 1000


def test_any_value_in_any_field_of_a_baseline(good: tuple[str, str], tmp_path: Path) -> None:
    from vggcost.guard.baseline import parse_baseline

    data = json.loads(good[1])
    data["models"]["vgg-f"]["layers"] = data["models"]["vgg-f"]["layers"][:1]
    data["models"]["vgg-f"]["totals"] = dict.fromkeys(data["models"]["vgg-f"]["totals"], 0) | {
        name: value
        for name, value in data["models"]["vgg-f"]["layers"][0][1].items()
        if name in data["models"]["vgg-f"]["totals"]
    }
    assert parse_baseline(json.dumps(data), tmp_path / "x")
    refused = 0
    for path in places(data):
        for value in VALUES:
            try:
                parse_baseline(json.dumps(changed(data, path, value)), tmp_path / "x")
            except VggcostError:
                refused += 1
    assert refused > 500


CONFIGS = [
    {"model_type": 5}, {"model_type": []}, {"model_type": {"a": 1}}, {"model_type": "bert", "architectures": 5},
    {"model_type": "bert", "architectures": [5]}, {"model_type": "bert", "architectures": {"a": 1}},
    {"model_type": "bert", "num_hidden_layers": 2**63}, {"model_type": "bert", "num_hidden_layers": 10**300},
    {"model_type": "bert", "num_hidden_layers": "two"}, {"model_type": "bert", "num_hidden_layers": 1.5},
    {"model_type": "bert", "num_hidden_layers": None}, {"model_type": "bert", "num_hidden_layers": [2**63]},
    {"model_type": "bert", "hidden_size": 2**63}, {"model_type": "bert", "hidden_size": -5}, {"model_type": "bert", "hidden_size": 0},
    {"model_type": "bert", "hidden_size": {}}, {"model_type": "bert", "vocab_size": 2**62}, {"model_type": "bert", "num_labels": 2**40},
    {"model_type": "bert", "num_labels": "x"}, {"model_type": "bert", "id2label": 5}, {"model_type": "bert", "hidden_act": []},
    {"model_type": "resnet", "depths": [2**63]}, {"model_type": "swin", "depths": [2, 2**40]}, {"model_type": "vit", "image_size": 2**63},
    {"model_type": "clip", "text_config": 5}, {"model_type": "clip", "vision_config": {"num_hidden_layers": 2**63}},
    {"model_type": "bert", "torch_dtype": 5}, {"model_type": "bert", "dtype": "no"}, {"model_type": "bert", "is_decoder": []},
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_config_with_wrong_fields(config: dict[str, Any], project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("config.json").write_text(json.dumps(config), encoding="utf-8")
    signal.alarm(30)
    status, out, err = run(["report", "hf:./config.json"], capfd)
    signal.alarm(0)
    assert status in (0, 2)
    assert "vggcost's own" not in err
    if status:
        assert out == ""
        assert err.count("\n") == 1, err
    if config.get("num_hidden_layers") in (2**63, 10**300, [2**63]):
        assert "more than 65,536: as many parts are made one by one" in err


def test_a_limit_that_holds(tmp_path: Path) -> None:
    """One byte less is read."""
    path = tmp_path / "x"
    path.write_bytes(b"a" * 10)
    assert read_file(path, 10) == b"a" * 10
    with pytest.raises(VggcostError, match="more than 9 B"):
        read_file(path, 9)
    assert loads("[" * 99 + "]" * 99)
    with pytest.raises(ValueError, match="nested too deeply"):
        loads("[" * 102 + "]" * 102)


# A verdict

ENDS = ["os._exit(0)", "os.execv('/bin/true', ['true'])", "raise SystemExit(0)", "sys.exit(0)", "os.kill(os.getpid(), 9)",
        "ctypes.CDLL(None)._exit(0)", "atexit.register(os._exit, 0)"]  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_code_that_ends_the_process_does_not_pass_a_check(end: str, tmp_path: Path) -> None:
    code = f"import atexit, ctypes, os, sys, torch\ndef make():\n    {end}\n    return torch.nn.Linear(2, 3)\n"
    (tmp_path / "net.py").write_text(code, encoding="utf-8")
    done = command("check", "./net.py:make", "-i", "2", "--fail-on", "params:<=3", cwd=tmp_path)
    if end.startswith("atexit"):
        assert (done.returncode, done.stderr) == (1, "")  # the verdict was there before
    else:
        assert done.returncode == (137 if "kill" in end else 2)
        assert done.stderr.count("\n") == 1 - ("kill" in end)


def test_a_check_whose_reader_has_seen_enough_keeps_its_status(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import torch\ndef make(): return torch.nn.Linear(2, 3)\n", encoding="utf-8")
    line = (
        f"{sys.executable} -m vggcost check ./net.py:make -i 2 --fail-on 'params:<=3' | true; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "arguments",
    [["models"], ["--version"], ["--help"], ["report", "--from", "good.json"]],
)
@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_standard_output_that_takes_nothing(arguments: list[str], where: str, project: Path) -> None:
    line = f"{sys.executable} -m vggcost {' '.join(arguments)} {where}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("vggcost: cannot ")


def test_a_terminal_with_few_signs(project: Path) -> None:
    code = (
        "import os, pty, sys\n"
        "def read(fd):\n    data = os.read(fd, 9999)\n    return data\n"
        "sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, '-m', 'vggcost', *sys.argv[1:]], read)))"
    )
    for arguments, status in ((["report", "--from", "good.json"], 0), (["models", "×"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False, timeout=60,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == status, done
        assert done.stdout.isascii()
        assert b"Traceback" not in done.stdout
