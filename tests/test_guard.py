"""Numbers guarded: the baseline, limits, verdicts, formats, and the whole story in a project of a user's."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.conftest import ROOT, command, python
from tests.strategies import Net, chains
from vggcost import CostTable, VggcostError
from vggcost._guard import measure
from vggcost.cli import main
from vggcost.errors import BaselineError, ConfigError, OptionError
from vggcost.guard import (
    CHECK_FORMATS,
    METRICS,
    Checked,
    Entry,
    Spec,
    Verdict,
    broken,
    check_model,
    dump_baseline,
    failure_text,
    limits_of,
    read_baseline,
    read_limit,
    read_limits,
    read_project,
    render_check,
    status_of,
    update_baseline,
)
from vggcost.guard.baseline import kept
from vggcost.guard.check import Cause
from vggcost.guard.github import summary
from vggcost.guard.markdown import MARKER
from vggcost.guard.places import Place, places_of

GetTable = Callable[..., CostTable]

NET = """from torch import nn


def make(width=512):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 16, 3), nn.Flatten(), nn.Linear(12544, 10))


def other():
    return nn.Sequential(nn.Linear(8, 4))
"""
CONFIG = """[tool.vggcost]
fail-on = ["params:0", "macs:+1%"]

[[tool.vggcost.models]]
name = "mine"
source = "./net.py:make"
input = "3x32x32"

[[tool.vggcost.models]]
name = "other"
source = "./net.py:other"
input = "8"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytecode is told from a source of the same size by whole seconds, and these tests are faster."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `vggcost` in this process, which has torch already."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as done:
        main(list(arguments))
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    assert isinstance(done.value.code, int)
    return subprocess.CompletedProcess(arguments, done.value.code, *texts)


def widen(folder: Path, width: int) -> None:
    path = folder / "net.py"
    path.write_text(re.sub(r"width=\d+", f"width={width}", path.read_text(encoding="utf-8")), encoding="utf-8")


def entry(model: nn.Module, inputs: str = "8", name: str = "mine", **options: object) -> Entry:
    return measure(Spec(name, "", **options), model, inputs)  # type: ignore[arg-type]


def linear(width: int) -> Entry:
    return entry(nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 2)))


# Limits


numbers = st.decimals(0, 10**6, places=3, allow_nan=False).map(lambda d: f"{d.normalize():f}")


@given(numbers, st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_percentage_is_exact(percent: str, before: int, after: int) -> None:
    limit = read_limit(f"macs:+{percent}%")
    allowed = (after - before) * 100 <= Fraction(percent) * before
    assert (after <= limit.tolerance.most(before)) == allowed
    assert limit.text == f"macs:+{percent}%"


@given(st.integers(0, 10**9), st.sampled_from(["", "k", "M", "G", "T"]), st.integers(0, 10**15))
def test_amounts_and_ceilings(number: int, prefix: str, before: int) -> None:
    value = number * 1000 ** ["", "k", "M", "G", "T"].index(prefix)
    assert read_limit(f"params:+{number}{prefix}").tolerance.most(before) == before + value
    assert read_limit(f"params:<={number}{prefix}").tolerance.most(before) == value
    assert read_limit(f"peak_bytes:+{number}{prefix}{'iB' if prefix else ''}").tolerance.most(before) == (
        before + number * 1024 ** ["", "k", "M", "G", "T"].index(prefix)
    )


@given(st.sampled_from(["0", "+0%", "+0.1%", "+1%", "+3k", "+2M"]), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_limit_is_monotone(tolerance: str, a: int, b: int) -> None:
    most = read_limit(f"flops:{tolerance}").tolerance.most
    assert most(min(a, b)) <= most(max(a, b))
    assert most(a) >= a
    assert most(a) <= read_limit("flops:+200%").tolerance.most(a) + 2_000_000


targets = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)


@given(st.sampled_from(METRICS), st.sampled_from(["0", "+1%", "+100k", "<=16G", "+1.5M"]), targets)
def test_limits_are_read_as_written(metric: str, tolerance: str, target: str) -> None:
    limit = read_limit(f"{target}={metric}:{tolerance}")
    assert (limit.metric, limit.tolerance.text, limit.target) == (metric, tolerance, target)
    assert read_limit(limit.text) == limit
    assert read_limit(f" {metric}:{tolerance} ").text == f"{metric}:{tolerance}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("parms:0", "unknown metric 'parms' (did you mean params?); known: params, weights, macs, flops"),
        ("params", "write metric:tolerance"),
        ("params:", "cannot read the tolerance ''"),
        ("params:1%", "a limit says how much more is allowed; write 0, +1%"),
        ("params:-1%", "a limit says how much more is allowed"),
        ("params:+1%%", "cannot read the tolerance '+1%%'"),
        ("params:+1e3", "cannot read the tolerance"),
        ("params:+2MiB", "params is a count, not bytes"),
        ("params:+0.0001k", "is no whole number"),
        ("params:<16G", "cannot read the tolerance '<16G'"),
        ("peak_bytes:+2i", "cannot read the tolerance"),
        ("", "write metric:tolerance"),
        ("mine=:0", "unknown metric ''"),
    ],
)
def test_malformed_limits(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=re.escape(says)):
        read_limit(text)


def test_which_limit_holds() -> None:
    texts = ["params:0", "params:+1%", "params:<=5M", "vgg*/conv?=params:0", "mine=macs:0", "flops:<=1G", "flops:<=2G"]
    assert [limit.text for limit in limits_of("mine", "inference", read_limits(texts))] == [
        "params:+1%", "params:<=5M", "mine=macs:0", "flops:<=2G",
    ]  # fmt: skip
    assert [limit.text for limit in limits_of("vgg16", "inference", read_limits(texts))] == [
        "params:+1%", "params:<=5M", "vgg*/conv?=params:0", "flops:<=2G",
    ]  # fmt: skip
    assert [limit.text for limit in limits_of("a", "inference", None)] == [
        "params:0", "macs:0", "flops:0", "activation_bytes:0",
    ]  # fmt: skip
    assert len(limits_of("a", "training", None)) == 7
    path = read_limit("./a/net.py:make/block.*=params:0")
    assert path.layers("./a/net.py:make") == "block.*"
    assert path.layers("./net.py:make") is None
    with pytest.raises(OptionError, match="no layer has a share of it"):
        limits_of("mine", "training", [read_limit("mine/0=peak_bytes:0")])


# Configuration


def test_the_nearest_configuration(project: Path) -> None:
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "vggcost.toml").write_text('[conventions.own]\nsentence = "Mine."\n', encoding="utf-8")
    found = read_project(inner)
    assert (found.folder, found.file) == (project, project / "pyproject.toml")
    assert found.baseline == project / "vggcost.lock.json"
    assert found.model("mine") == Spec("mine", "./net.py:make", ("3x32x32",))
    assert [limit.text for limit in found.limits or ()] == ["params:0", "macs:+1%"]
    (inner / "vggcost.toml").write_text(
        'baseline = "costs.json"\n[[models]]\nname = "vgg16"\nbatch = 2\nmode = "training"\noptions = { classes = 10 }\n',
        encoding="utf-8",
    )
    found = read_project(inner)
    assert found.baseline == inner / "costs.json"
    assert found.limits is None
    assert found.models == (Spec("vgg16", "vgg16", batch=2, mode="training", options=(("classes", 10),)),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fail_on = []", "[tool.vggcost] unknown key 'fail_on' (did you mean fail-on?); known: baseline, fail-on, models"),
        ("baseline = 3", "[tool.vggcost] baseline must be text, not 3"),
        ("fail-on = [1]", "[tool.vggcost] fail-on must be text or a list of texts"),
        ('fail-on = "parms:0"', "[tool.vggcost] fail-on: limit 'parms:0': unknown metric"),
        ("models = 3", "[tool.vggcost] models must be a list of tables, one [[tool.vggcost.models]] a model"),
        ("[[tool.vggcost.models]]\nsource = 'x'", "[[tool.vggcost.models]] 1: name is missing"),
        ("[[tool.vggcost.models]]\nname = 'a'\ninptu = '8'", "1: unknown key 'inptu' (did you mean input?)"),
        ("[[tool.vggcost.models]]\nname = 'a'\nbatch = 0", "1: batch must be a whole number of 1 or more, not 0"),
        ("[[tool.vggcost.models]]\nname = 'a'\nbatch = true", "1: batch must be a whole number"),
        ("[[tool.vggcost.models]]\nname = 'a'\nmode = 'train'", "1: mode must be inference or training, not 'train'"),
        ("[[tool.vggcost.models]]\nname = 'a'\ninput = [3, 32]", "1: input must be text or a list of texts"),
        ("[[tool.vggcost.models]]\nname = 'a'\noptions = 3", "1: options must be a table"),
        ("[[tool.vggcost.models]]\nname = 'a'\noptions = { d = 2020-01-01 }", "1: options.d must be a number, text"),
        ("[[tool.vggcost.models]]\nname = 'a'\nassume = 3", "1: assume must be a table of numbers"),
        ("[[tool.vggcost.models]]\nname = 'a'\nassume = { nonzero = -1 }", "1: assume.nonzero must be a whole number"),
        ("[[tool.vggcost.models]]\nname = ''", "1: name must be text"),
        (
            "[[tool.vggcost.models]]\nname = 'a'\n[[tool.vggcost.models]]\nname = 'a'",
            "2: the name 'a' is given twice",
        ),
        ("baseline = ", "is not TOML"),
    ],
)  # fmt: skip
def test_mistakes_in_the_configuration(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.vggcost]\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_project(tmp_path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# The baseline


def sorted_everywhere(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
    return dict(pairs)


@given(chains(), st.sampled_from(["inference", "training"]))
def test_a_baseline_comes_back_as_it_was(net: Net, mode: str) -> None:
    found = measure(Spec("net", "", batch=net.batch, mode=mode), net.model, net.input)
    text = dump_baseline([found])
    path = Path("x")
    from vggcost.guard.baseline import parse_baseline

    again = parse_baseline(text, path)
    assert again == {"net": kept(found)}
    assert dump_baseline(again.values()) == text
    json.loads(text, object_pairs_hook=sorted_everywhere)
    assert again["net"].table.totals.params == sum(layer.params for layer in net.layers)
    assert sum(re.match(r"^    \[", line) is not None for line in text.splitlines()) == len(found.table.layers)
    checked = check_model(again["net"], found, None)
    assert {verdict.outcome for verdict in checked.verdicts} == {"pass"}
    assert (status_of([checked]), checked.notes) == (0, ())


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "vggcost.lock.json"
    assert update_baseline(path, [measure(Spec("vgg16", "vgg16"))])
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    assert data["schema"] == 1
    assert data["models"]["vgg16"]["totals"]["params"] == 138_357_544
    assert data["models"]["vgg16"]["totals"]["macs"] == 15_470_264_320
    assert data["models"]["vgg16"]["spec"]["source"] == "vgg16"
    assert '\n     "macs": 15470264320,\n'.replace("     ", "    ") in text
    import torch

    for version in (torch.__version__, sys.version.split()[0], str(tmp_path)):
        assert version not in text
    before = path.stat().st_mtime_ns
    assert not update_baseline(path, [measure(Spec("vgg16", "vgg16"))])
    assert path.stat().st_mtime_ns == before
    # One more model leaves every line of the first as it is.
    assert update_baseline(path, [linear(4)])
    assert text.splitlines()[2:-3] == path.read_text(encoding="utf-8").splitlines()[-len(text.splitlines()) + 2 : -3]
    assert update_baseline(path, [], remove=["mine"])
    assert path.read_text(encoding="utf-8") == text


def damaged(text: str, how: str) -> str:
    lines = text.splitlines(keepends=True)
    if how == "conflict":
        lines.insert(3, "<<<<<<< HEAD\n")
    return {
        "newer": text.replace('"schema": 1', '"schema": 7'),
        "older": text.replace('"schema": 1', '"schema": 0'),
        "empty": "",
        "foreign": '{"a": 1}',
        "list": "[]",
        "deep": "[" * 100_000,
        "cut": text[: len(text) // 2],
        "cut early": text[:30],
        "text": text.replace('"totals"', "totals"),
        "total": re.sub(r'"params": (\d+),\n', lambda m: f'"params": {int(m[1]) + 1},\n', text, count=1),
        "type": re.sub(r'"macs": \d+,\n', '"macs": "many",\n', text, count=1),
        "float": re.sub(r'"macs": (\d+),\n', r'"macs": \1.5,\n', text, count=1),
        "key": text.replace('"batch": 1, "convention": "torch"', '"batch": 0, "convention": "torch"'),
        "missing": text.replace('"weight_layers": ', '"wieght_layers": '),
        "twice": text.replace('  "mine": {', '  "mine": {},\n  "mine": {'),
        "conflict": "".join(lines),
    }[how]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("newer", "written with schema 7, this vggcost reads schema 1; install a newer vggcost"),
        ("older", "written with schema 0, this vggcost reads schema 1; delete it and run 'vggcost lock'"),
        ("empty", "cut off"),
        ("foreign", "JSON, but not a baseline; 'vggcost lock' writes one"),
        ("list", "JSON, but not a baseline"),
        ("deep", "nested too deeply"),
        ("cut", "cut off"),
        ("cut early", "cut off"),
        ("text", "not JSON"),
        ("total", "mine: edited by hand: the total of params is 47, its layers add up to 46"),
        ("type", "mine: damaged or edited by hand (TableError: a damaged vggcost table ("),
        ("float", "must be a whole number"),
        ("key", "mine: damaged or edited by hand (ConfigError: batch must be a whole number"),
        (
            "missing",
            "mine: damaged or edited by hand (TableError: a damaged vggcost table (all of it has no 'weight_layers'",
        ),
        ("twice", "the name 'mine' is there twice (after a merge?)"),
        ("conflict", "line 4: a merge left its conflict markers; take either side"),
    ],
)
def test_a_damaged_baseline(how: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "vggcost.lock.json"
    good = dump_baseline([linear(4)])  # 8·4 + 4 + 4·2 + 2 = 46 parameters
    path.write_text(damaged(good, how), encoding="utf-8")
    with pytest.raises(BaselineError) as caught:
        read_baseline(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(BaselineError):  # what is damaged is not overwritten
        update_baseline(path, [linear(5)])
    assert path.read_text(encoding="utf-8") == damaged(good, how)


def test_a_baseline_that_is_not_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "vggcost.lock.json"
    with pytest.raises(VggcostError, match="there is no baseline"):
        read_baseline(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BaselineError, match="not text"):
        read_baseline(path)
    with pytest.raises(VggcostError, match="cannot read"):
        read_baseline(tmp_path)


def test_a_read_only_baseline_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vggcost.lock.json"
    update_baseline(path, [linear(4)])
    text = path.read_text(encoding="utf-8")
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root every file is writable
    with pytest.raises(VggcostError, match="read-only; make it writable, or name another with --baseline"):
        update_baseline(path, [linear(5)])
    assert path.read_text(encoding="utf-8") == text
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_is_killed_leaves_the_old_file_or_the_new_one(moment: str, project: Path) -> None:
    assert run("lock", cwd=project).returncode == 0
    old = (project / "vggcost.lock.json").read_text(encoding="utf-8")
    widen(project, 528)
    code = (
        "import os, signal; from vggcost.cli import main; real = os.replace\n"
        "def replace(*names):\n"
        f"    if {moment == 'after'}: real(*names)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = replace; main(['lock'])"
    )
    assert python("-c", code, cwd=project).returncode == -9
    new = (project / "vggcost.lock.json").read_text(encoding="utf-8")
    assert (new == old) == (moment == "before")
    checked = run("check", cwd=project)  # a whole baseline, and no lock is left behind
    assert checked.returncode == (1 if moment == "before" else 0), checked.stderr
    assert run("lock", cwd=project).returncode == 0


def test_two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vggcost.lock.json"
    (tmp_path / "saved.json").write_text(dump_baseline([linear(4)]), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "from vggcost.guard import read_baseline, update_baseline\n"
        "found = read_baseline(Path('saved.json'))['mine']\n"
        "for number in range(10):\n"
        "    name = f'{sys.argv[1]}{number}'\n"
        "    update_baseline(Path('vggcost.lock.json').resolve(), [replace(found, spec=replace(found.spec, name=name))])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, who], cwd=tmp_path) for who in "abc"]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    assert sorted(read_baseline(path)) == sorted(f"{who}{number}" for who in "abc" for number in range(10))


# Verdicts


def verdict(checked: Checked, metric: str) -> Verdict:
    return next(item for item in checked.verdicts if item.metric == metric)


def test_pass_fail_and_improved() -> None:
    before, wider, narrower = linear(4), linear(6), linear(3)
    assert check_model(before, before, None).outcome == "pass"
    failed = check_model(before, wider, None)
    found = verdict(failed, "params")
    # 8·w + w + 2·w + 2
    assert (found.before, found.after, found.most, found.outcome) == (46, 68, 46, "fail")
    assert found.causes == (
        Cause("0", 18, "changed", ("out_features 4 → 6",)),
        Cause("2", 4, "changed", ("in_features 4 → 6",)),
    )
    assert status_of([failed]) == 1
    better = check_model(before, narrower, None)
    assert better.outcome == "improved"
    assert status_of([better]) == 0
    assert better.notes == ("better than the baseline: 'pytest --vggcost-lock' keeps it so",)
    allowed = check_model(before, wider, read_limits(["params:+50%", "macs:<=60"]))
    assert [item.outcome for item in allowed.verdicts] == ["pass", "pass"]  # 68 ≤ 69 and 8·6 + 6·2 = 60
    assert "the layers are not those of the baseline" in allowed.notes[0]
    over = check_model(before, wider, read_limits(["params:+47%", "macs:<=59"]))
    assert [item.outcome for item in over.verdicts] == ["fail", "fail"]  # 46·1.47 = 67.62


def test_added_removed_and_moved_layers() -> None:
    before = entry(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    after = entry(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8, bias=False)))
    assert verdict(check_model(before, after, None), "params").causes == (Cause("2", 64, "added", ("Linear",)),)
    assert verdict(check_model(after, before, None), "params").causes == (Cause("2", -64, "removed", ("Linear",)),)
    conv = [nn.Conv2d(1, 1, 3, stride=s) for s in (2, 1)]
    small, large = (entry(nn.Sequential(c, nn.Conv2d(1, 1, 3)), "1x9x9") for c in conv)
    # 9×9 → 4×4 → 2×2, or 7×7 → 5×5
    assert verdict(check_model(small, large, None), "macs").causes == (
        Cause("0", (49 - 16) * 9, "changed", ("stride 2 → 1",)),
        Cause("1", (25 - 4) * 9, "changed", ("output 1×1×2×2 → 1×1×5×5",)),
    )


def test_limits_of_layers() -> None:
    before, after = linear(4), linear(6)
    checked = check_model(before, after, read_limits(["mine/0=params:+18", "mine/[12]=params:0", "mine/9=params:0"]))
    first, rest, none = checked.verdicts
    assert (first.before, first.after, first.outcome) == (36, 54, "pass")
    assert (rest.before, rest.after, rest.outcome) == (10, 14, "fail")
    assert [cause.path for cause in rest.causes] == ["2"]
    assert (none.outcome, none.reason) == ("not comparable", "no layer of mine matches '9'")
    inner = nn.Sequential(nn.Sequential(nn.Linear(8, 8)), nn.Linear(8, 2))
    (found,) = check_model(entry(inner), entry(inner), read_limits(["mine/0=params:0"])).verdicts
    assert found.after == 72  # a container stands for what lies in it


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (lambda e: entry(nn.Linear(8, 4), batch=2), "another input: input 1×8 → input 2×8"),
        (lambda e: entry(nn.Linear(8, 4), mode="training"), "another mode: inference → training"),
        (lambda e: entry(nn.Linear(8, 4), convention="full"), "another convention: torch → full"),
        (lambda e: entry(nn.Linear(8, 4).double(), "8:float64"), "another dtype: float32 → float64"),
        (lambda e: replace(e, table=replace(e.table, schema=2)), "another schema: 1 → 2"),
        (
            lambda e: replace(e, table=replace(e.table, convention=replace(e.table.convention, bias=True))),
            "another convention: torch counts differently now",
        ),
    ],
)
def test_what_cannot_be_compared(after: Callable[[Entry], Entry], says: str) -> None:
    before = entry(nn.Linear(8, 4))
    checked = check_model(before, after(before), read_limits(["params:0", "params:<=36"]))
    relative, ceiling = checked.verdicts
    assert relative.outcome == checked.outcome == "not comparable"
    assert relative.reason == f"{says}; 'pytest --vggcost-lock' takes it over"
    assert ceiling.outcome == "pass"  # which needs no baseline
    assert status_of([checked]) == 1


def test_figures_that_are_not_there() -> None:
    before = entry(nn.Linear(8, 4))
    checked = check_model(None, before, read_limits(["params:0", "backward_macs:0", "peak_bytes:<=1M"]))
    assert [item.reason.partition(";")[0] for item in checked.verdicts] == [
        "not in the baseline",
        "backward_macs is of a training step, and mine is run in inference",
        "a saved table does not tell peak_bytes",
    ]
    with_peak = measure(Spec("mine", ""), nn.Linear(8, 4), "8", peak=True)
    assert with_peak.peak_bytes is not None
    (missing,) = check_model(before, with_peak, read_limits(["peak_bytes:0"])).verdicts
    assert "the baseline does not tell peak_bytes" in missing.reason
    assert check_model(with_peak, with_peak, read_limits(["peak_bytes:0"])).outcome == "pass"
    (over,) = check_model(None, before, read_limits(["params:<=35"])).verdicts
    assert over.causes == (Cause("(model)", 36, "has", ("Linear",)),)


@pytest.mark.parametrize(("a", "b"), [("vgg-m", "vgg-s"), ("vgg16", "resnet-50"), ("vgg-f", "vgg-d-bn")])
def test_the_causes_account_for_the_whole_change(a: str, b: str, zoo_table: GetTable) -> None:
    before, after = (Entry(Spec("net", name), zoo_table(name, mode="training")) for name in (a, b))
    for found in check_model(before, after, read_limits(f"{m}:<=0" for m in METRICS if m != "peak_bytes")).verdicts:
        assert found.outcome == "fail"
    same = replace(after, table=replace(after.table, run=before.table.run))
    for found in check_model(before, same, read_limits(f"{m}:0" for m in METRICS if m != "peak_bytes")).verdicts:
        assert found.before is not None
        assert found.after is not None
        assert sum(cause.change for cause in found.causes) == found.after - found.before
        sizes = [abs(cause.change) for cause in found.causes]
        assert sizes == sorted(sizes, reverse=True)


# Formats


def many(count: int, layers: int = 1) -> list[Checked]:
    causes = tuple(Cause(f"features.{n}.convolution", 1000 - n, "changed", ("a_b 1 → 2",)) for n in range(layers))
    return [
        Checked(
            f"m{n}", (Verdict(f"m{n}", "params", "", "params:0", 100, 200, 100, "fail", lockable=True, causes=causes),),
            f"vggcost lock m{n}",
        )
        for n in range(count)
    ]  # fmt: skip


def test_the_text_of_a_failure() -> None:
    assert failure_text(check_model(linear(4), linear(6), read_limits(["params:0", "macs:+1%", "params:<=9"]))) == (
        "mine: fail\n"
        "  params 46 → 68 (+22, +47.83%), limit params:0\n"
        "    0 +18: out_features 4 → 6\n"
        "    2 +4: in_features 4 → 6\n"
        "  macs 40 → 60 (+20, +50.00%), limit macs:+1%\n"
        "    0 +16: out_features 4 → 6\n"
        "    2 +4: in_features 4 → 6\n"
        "  params 46 → 68 (+22, +47.83%), limit params:<=9, which allows 9\n"
        "    0 +18: out_features 4 → 6\n"
        "    2 +4: in_features 4 → 6\n"
        "  to accept: pytest --vggcost-lock\n"
        "  to accept: another limit than params:<=9"
    )
    alike = Verdict("mine", "params", "", "params:0", 1_000_000, 1_000_001, 1_000_000, "fail")
    assert "params 1,000,000 → 1,000,001 (+1), limit" in failure_text(Checked("mine", (alike,), ""))
    assert "20 more" not in failure_text(many(1, 12)[0])
    assert "8 more +7,876" in failure_text(many(1, 20)[0])  # (988 + 981)·8 / 2


@pytest.mark.parametrize("format_", CHECK_FORMATS)
def test_every_format_is_stable_and_names_what_matters(format_: str) -> None:
    checked = [check_model(linear(4), linear(6), None), broken("sick", "x", "<it> & 'does' not build")]
    text = render_check(checked, format_)
    assert render_check(checked, format_) == text
    assert "mine" in text
    if format_ != "customSmallerIsBetter":  # which has figures and nothing else
        assert "not build" in text
        assert "4 → 6" in text


def test_annotations(project: Path) -> None:
    text = render_check(many(25), "github", {"m0": Place("a,b:c.json", 7)})
    lines = text.splitlines()
    assert [line.startswith("::error ") for line in lines] == [True] * 10 + [False]
    assert lines[0].startswith(
        "::error file=a%2Cb%3Ac.json,line=7,title=vggcost%3A m0%3A fail::m0: fail%0A  params 100"
    )
    assert "+100.00%25" in lines[0]
    assert lines[9].startswith("::error title=vggcost::+16 more: m9, m10,")
    notice = check_model(linear(4), linear(3), None)
    assert render_check([notice], "github").startswith("::notice title=vggcost%3A mine%3A improved::")
    mixed = render_check([notice] * 12 + many(1), "github").splitlines()
    assert mixed[0].startswith("::error ")  # a notice takes no error's place
    assert render_check([check_model(linear(4), linear(4), None)], "github") == "1 model checked: 1 pass\n"


def test_where_a_model_stands(project: Path) -> None:
    configuration = read_project(project)
    names = ["mine", "other", "none"]
    found = places_of(names, configuration, configuration.baseline, project)
    assert found == {"mine": Place("pyproject.toml", 5), "other": Place("pyproject.toml", 10)}
    update_baseline(configuration.baseline, [linear(4)])
    found = places_of(names, configuration, configuration.baseline, project.parent)
    lines = configuration.baseline.read_text(encoding="utf-8").splitlines()
    assert found["mine"] == Place(f"{project.name}/vggcost.lock.json", lines.index('  "mine": {') + 1)


def test_github_takes_what_is_written() -> None:
    huge = many(300, 3000)
    comment = render_check(huge, "markdown")
    assert comment.startswith(MARKER + "\n")
    assert len(comment.encode()) < 65_536
    assert "parts are left out" in comment
    assert 500_000 < len(summary(huge).encode()) < 1_000_000
    assert len(summary(huge, 990_000).encode()) < 10_000
    small = render_check(many(1, 3), "markdown")
    assert "| m0 | params | 100 → 200 | +100, +100.00% | params:0 | ❌ fail |" in small
    assert "<details><summary>m0: the layers responsible for 3.00 k of params</summary>" in small
    assert "| features.2.convolution | +998 | a\\_b 1 → 2 |" in small
    assert "left out" not in small


def test_junit() -> None:
    good, better = check_model(linear(4), linear(4), None), check_model(linear(4), linear(3), None)
    text = render_check([*many(1), good, better, broken("sick", "x", "no\x00 <way>")], "junit")
    suites = ElementTree.fromstring(text.encode()).findall("testsuite")
    counts = [tuple(int(s.get(k) or -1) for k in ("tests", "failures", "errors")) for s in suites]
    assert counts == [(1, 1, 0), (4, 0, 0), (4, 0, 0), (1, 0, 1)]
    (failure,) = suites[0].iter("failure")
    assert failure.get("message") == "params 100 → 200 (+100, +100.00%), limit params:0"
    assert "features.0.convolution +1,000: a_b 1 → 2\nto accept: vggcost lock m0" in (failure.text or "")
    (error,) = suites[3].iter("error")
    assert error.get("message") == "no\\u0000 <way>"
    assert len(list(suites[2].iter("system-out"))) == 4


def test_benchmark_and_json() -> None:
    checked = [check_model(linear(4), linear(6), read_limits(["params:0", "params:<=9", "mine/0=activation_bytes:0"]))]
    data = json.loads(render_check(checked, "customSmallerIsBetter"))
    assert [(row["name"], row["unit"], row["value"]) for row in data] == [
        ("mine params", "params", 68), ("mine 0 activation_bytes", "bytes", 24),
    ]  # fmt: skip
    full = json.loads(render_check(checked, "json"))
    assert (full["schema"], full["status"]) == (1, 1)
    assert full["models"][0]["verdicts"][0]["causes"][0] == {
        "path": "0", "change": 18, "how": "changed", "what": ["out_features 4 → 6"],
    }  # fmt: skip


# The commands


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return done.stdout


def test_the_whole_story(project: Path) -> None:
    git(project, "init", "-q")
    missing = command("check", cwd=project)
    assert missing.returncode == 2
    assert "there is no baseline" in missing.stderr
    locked = command("lock", cwd=project)
    assert (locked.returncode, locked.stdout, locked.stderr) == (0, "vggcost.lock.json: mine, other\n", "")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "start")
    assert run("check", cwd=project).returncode == 0
    widen(project, 528)
    failed = command("check", cwd=project)
    assert failed.returncode == 1
    # (3·9 + 1)·16 more in layer 0, 16·9·16 in layer 2
    assert failed.stdout == (
        "mine: fail\n"
        "  params 213.53 k → 216.28 k (+2,752, +1.29%), limit params:0\n"
        "    2 +2,304: in_channels 512 → 528\n"
        "    0 +448: out_channels 512 → 528\n"
        "  macs 70.37 M → 72.56 M (+2,195,136, +3.12%), limit macs:+1%, which allows 71.07 M\n"
        "    2 +1,806,336: in_channels 512 → 528\n"
        "    0 +388,800: out_channels 512 → 528\n"
        "  to accept: vggcost lock mine\n"
        "other: pass (params, macs)\n"
        "2 models checked: 1 fail, 1 pass\n"
    )
    assert run("lock", "mine", cwd=project).returncode == 0
    changed = [line for line in git(project, "diff", "-U0", "vggcost.lock.json").splitlines() if line[:1] == "+"]
    layers = [line for line in changed if line.startswith('+    ["')]
    assert len(layers) == 3  # two convolutions, and the ReLU between them
    assert all(re.match(r'\+    "\w+": \d+,?$', line) for line in changed[1:] if line not in layers)
    assert run("check", cwd=project).returncode == 0
    widen(project, 256)
    better = run("check", cwd=project)
    assert better.returncode == 0
    assert "mine: improved" in better.stdout
    assert "note: better than the baseline: 'vggcost lock mine' keeps it so" in better.stdout


def test_a_model_that_no_longer_builds(project: Path) -> None:
    assert run("lock", cwd=project).returncode == 0
    old = (project / "vggcost.lock.json").read_text(encoding="utf-8")
    source = (project / "net.py").read_text(encoding="utf-8")
    (project / "net.py").write_text(source.replace("def make(width=512):", "def make(width=None):"), encoding="utf-8")
    done = run("check", cwd=project)
    assert done.returncode == 2
    assert "mine: error: ./net.py:make failed: TypeError" in done.stdout
    assert "other: pass (params, macs)" in done.stdout
    assert done.stderr.startswith("vggcost: mine: ./net.py:make failed: TypeError")
    assert done.stderr.count("\n") == 1
    locked = run("lock", cwd=project)
    assert locked.returncode == 2
    assert locked.stderr.startswith("vggcost: mine: ./net.py:make failed")
    assert (project / "vggcost.lock.json").read_text(encoding="utf-8") == old  # the last that was accepted
    (project / "net.py").unlink()
    assert run("check", cwd=project).stdout.count("no such file: ./net.py") == 2


def test_from_another_folder_and_by_other_names(project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    assert run("lock", cwd=inner).stdout == f"..{os.sep}vggcost.lock.json: mine, other\n"
    assert run("check", "mine", cwd=inner).returncode == 0
    assert run("lock", "../net.py:make", "-i", "3x32x32", "-k", "width=8", cwd=inner).returncode == 0
    assert read_baseline(project / "vggcost.lock.json")["./net.py:make"].spec == Spec(
        "./net.py:make", "./net.py:make", ("3x32x32",), options=(("width", 8),)
    )
    assert run("check", "../net.py:make", cwd=inner).returncode == 0
    assert run("check", "./net.py:make", cwd=project).returncode == 0
    again = run("lock", cwd=project)  # the configuration says which models there are
    assert "./net.py:make is not in" in again.stderr
    assert sorted(read_baseline(project / "vggcost.lock.json")) == ["mine", "other"]
    refused = run("lock", "mine", "-b", "2", cwd=project)
    assert refused.returncode == 2
    assert "says how 'mine' is run; change batch there" in refused.stderr


def test_without_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    assert "no models" in run("lock", cwd=tmp_path).stderr
    assert run("lock", "./net.py:other", "-i", "8", "--mode", "training", cwd=tmp_path).returncode == 0
    found = read_baseline(tmp_path / "vggcost.lock.json")["./net.py:other"]
    assert found.table.totals.backward_macs == 32  # the weights' gradient; the input needs none
    assert found.peak_bytes is not None
    done = run("check", cwd=tmp_path)
    assert done.stdout.startswith(
        "./net.py:other: pass (params, macs, flops, activation_bytes, backward_macs, saved_bytes, peak_bytes)\n"
    )
    budget = run("check", "./net.py:make", "-i", "3x32x32", "--fail-on", "params:<=10k", cwd=tmp_path)
    assert budget.returncode == 1
    assert "4 has 125,450: Linear" in budget.stdout
    elsewhere = run("check", "vgg16", "--fail-on", "macs:<=16G", "--baseline", "none.json", cwd=tmp_path)
    assert elsewhere.stdout == "vgg16: pass (macs)\n1 model checked: 1 pass\n"


def test_the_peak_is_kept_where_it_is_asked_for(project: Path) -> None:
    assert run("lock", "--peak", "mine", cwd=project).returncode == 0
    assert run("lock", cwd=project).returncode == 0  # it stays
    peaks = {name: found.peak_bytes for name, found in read_baseline(project / "vggcost.lock.json").items()}
    assert peaks["other"] is None
    said = json.loads(run("memory", "./net.py:make", "-i", "3x32x32", "--format", "json", cwd=project).stdout)
    assert peaks["mine"] == said["totals"]["peak_bytes"]
    assert run("check", "mine", "--fail-on", "peak_bytes:+2MiB", cwd=project).returncode == 0
    missing = run("check", "other", "--fail-on", "peak_bytes:0", cwd=project)
    assert missing.returncode == 1
    assert "'vggcost lock other --peak' adds it" in missing.stdout


def test_what_is_assumed_is_kept(project: Path) -> None:
    (project / "net.py").write_text(
        "from torch import nn\n\n\nclass Found(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(8, 4)\n\n    def forward(self, x):\n        return self.fc(x[0][x[0, :, 0].nonzero().squeeze(1)])\n",
        encoding="utf-8",
    )
    table = '{name = "found", source = "./net.py:Found", input = "100x8", assume = { nonzero = %d }}'
    (project / "pyproject.toml").write_text(f"[tool.vggcost]\nmodels = [{table % 10}]\n", encoding="utf-8")
    assert run("lock", cwd=project).returncode == 0
    found = read_baseline(project / "vggcost.lock.json")["found"]
    assert found.spec.assume == (("nonzero", 10),)
    assert found.table.totals.macs == 10 * 8 * 4
    assert run("check", cwd=project).returncode == 0
    (project / "pyproject.toml").write_text(f"[tool.vggcost]\nmodels = [{table % 20}]\n", encoding="utf-8")
    failed = run("check", "--fail-on", "macs:0", cwd=project)
    assert "macs 320 → 640 (+320, +100.00%)" in failed.stdout
    again = run(
        "check", "./net.py:Found", "-i", "100x8", "--assume", "nonzero=5", "--fail-on", "macs:<=160", cwd=project
    )
    assert again.returncode == 0


def without_torch(*arguments: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from vggcost.cli import main\n"
        f"try: main({list(arguments)!r})\n"
        "finally: assert not {'torch', 'pandas', 'matplotlib', 'numpy', 'jinja2'} & set(sys.modules)"
    )
    return python("-c", code, cwd=cwd, stdin=stdin)


def test_saved_figures_need_no_torch(project: Path) -> None:
    assert run("lock", cwd=project).returncode == 0
    shutil.copy(project / "vggcost.lock.json", project / "old.json")
    widen(project, 528)
    saved = run("report", "./net.py:make", "-i", "3x32x32", "--format", "json", cwd=project).stdout
    (project / "mine.json").write_text(saved, encoding="utf-8")
    failed = without_torch("check", "--from", "mine.json", cwd=project)
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "0 +448: out_channels 512 → 528" in failed.stdout
    assert without_torch("check", "--from", "mine=-", cwd=project, stdin=saved).returncode == 1
    assert without_torch("check", "--from", "old.json", cwd=project).returncode == 0
    assert run("lock", cwd=project).returncode == 0
    assert without_torch("check", "--from", "mine.json", "--format", "markdown", cwd=project).returncode == 0
    differ = without_torch("diff", "old.json", "vggcost.lock.json", cwd=project)
    assert (differ.returncode, differ.stderr) == (0, "")
    assert (
        "mine\nSequential → Sequential: +2,195,136 MACs; 2 +1,806,336, 0 +388,800; what differs: 0 out_c"
        in differ.stdout
    )
    assert "other\nSequential → Sequential: the same MACs, 32\n" in differ.stdout
    text = (project / "old.json").read_text(encoding="utf-8")
    piped = without_torch("diff", "-", "vggcost.lock.json", "--format", "json", cwd=project, stdin=text)
    assert json.loads(piped.stdout)["models"]["mine"]["metrics"]["params"]["change"] == 2752
    one = without_torch("diff", "old.json#mine", "mine.json", cwd=project)
    assert one.stdout.startswith("Sequential → Sequential: +2,195,136 MACs")
    assert without_torch("diff", "old.json", "mine.json", cwd=project).stdout == one.stdout
    update_baseline(project / "old.json", [linear(4)], remove=["mine", "other"])
    gone = without_torch("diff", "vggcost.lock.json", "old.json", "--format", "markdown", cwd=project)
    assert "removed: other\n" in gone.stdout


def test_the_summary_of_a_job(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("lock", cwd=project).returncode == 0
    (project / "summary.md").write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "summary.md"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.parent))
    widen(project, 528)
    done = run("check", "--format", "github", "--comment", "comment.md", cwd=project)
    assert done.returncode == 1
    assert done.stdout.startswith(
        f"::error file={project.name}/vggcost.lock.json,line=3,title=vggcost%3A mine%3A fail::"
    )
    written = (project / "summary.md").read_text(encoding="utf-8")
    assert written.startswith("before\n### vggcost: 2 models checked: 1 fail, 1 pass\n")
    assert (project / "comment.md").read_text(encoding="utf-8") == f"{MARKER}\n" + written.removeprefix("before\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("check --fail-on parms:0", "unknown metric 'parms' (did you mean params?)"),
        ("check --fail-on params:1%", "cannot read the tolerance '1%'"),
        ("check --fail-on min=params:0", "is of no model (did you mean mine?); models: mine, other"),
        ("check --fail-on mine/0=peak_bytes:0", "no layer has a share of it"),
        ("check -b 2", "batch: say of which MODEL"),
        ("check --from missing.json", "cannot read missing.json"),
        ("check --from net.py", "net.py: not JSON"),
        ("check mine --from vggcost.lock.json", "--from takes the place of MODELs"),
        ("check --from nope=vggcost.lock.json", "no model 'nope'"),
        ("check --baseline net.py", "net.py: not JSON"),
        ("check --baseline .", "cannot read"),
        ("check tested", "'tested' is made by a test"),
        ("lock --input-json values.txt other", "must end in .json"),
        ("diff vggcost.lock.json#nope vggcost.lock.json", "no model 'nope'"),
        ("diff vggcost.lock.json vgg16", "write vggcost.lock.json#MODEL to say which is meant"),
    ],
)
def test_bad_input(line: str, says: str, project: Path) -> None:
    spec = Spec("tested", "")
    update_baseline(project / "vggcost.lock.json", [linear(4), replace(linear(4), spec=spec)])
    done = run(*line.split(), cwd=project)
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr
    assert done.stdout == ""


# pre-commit


def test_through_pre_commit(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pre_commit")
    hooks = tmp_path_factory.mktemp("hooks")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    for folder in (hooks, project):
        git(folder, "init", "-q")
    git(hooks, "add", "-A")
    git(hooks, "commit", "-qm", "hooks")
    revision = git(hooks, "rev-parse", "HEAD").strip()
    (project / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {hooks.as_uri()}\n  rev: {revision}\n  hooks:\n  - id: vggcost-check\n  - id: vggcost-docs\n",
        encoding="utf-8",
    )
    notes = project / "notes.md"
    notes.write_text("It has <!-- vggcost:value mine.params -->0<!-- /vggcost --> parameters.\n", encoding="utf-8")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert run("lock", cwd=project).returncode == 0
    assert run("docs", "sync", "notes.md", cwd=project).returncode == 0
    git(project, "add", "-A")
    assert (done := python("-m", "pre_commit", "run", cwd=project)).returncode == 0, done.stdout + done.stderr
    assert re.search(r"vggcost check\.+Passed\nvggcost docs check\.+Passed", done.stdout)
    widen(project, 528)
    git(project, "add", "-A")
    failed = python("-m", "pre_commit", "run", cwd=project)
    assert failed.returncode == 1
    assert "0 +448: out_channels 512 → 528" in failed.stdout
    assert run("lock", cwd=project).returncode == 0
    notes.write_text(f"# Notes\n\n{notes.read_text(encoding='utf-8')}", encoding="utf-8")
    git(project, "add", "-A")
    stale = python("-m", "pre_commit", "run", cwd=project)
    assert stale.returncode == 1
    assert "notes.md:3: mine.params: stale; 'vggcost docs sync' writes it anew" in stale.stdout
    assert run("docs", "sync", "notes.md", cwd=project).returncode == 0
    git(project, "add", "-A")
    assert python("-m", "pre_commit", "run", cwd=project).returncode == 0


def test_the_hooks_are_commands() -> None:
    yaml = pytest.importorskip("yaml")
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")):
        assert hook["language"] == "system"  # no environment of its own, with a torch of its own
        assert hook["entry"].startswith("vggcost ")


# The guide


def test_the_guide_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "COLUMNS", "CI"):
        monkeypatch.delenv(name, raising=False)
    guide = (ROOT / "docs" / "guard.md").read_text(encoding="utf-8")
    commands = 0
    for named, kind, body in re.findall(
        r"(?:`([\w.-]+)`[^`\n]*(?:`[^`]*`[^`\n]*)*:\n\n)?^```(\w+)\n(.*?)^```", guide, re.M | re.S
    ):
        if kind in ("python", "toml"):
            (tmp_path / named).write_text(body, encoding="utf-8")
        elif kind == "console":
            for line, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.M):
                done = subprocess.run(
                    ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=300,
                    check=False,
                )  # fmt: skip
                wanted = "".join(".*" if part == "...\n" else re.escape(part) for part in expected.splitlines(True))
                assert re.fullmatch(wanted, done.stdout, re.S), f"{line}\n{done.stdout}{done.stderr}"
                assert done.stderr == ""
                commands += 1
    assert commands == 19
