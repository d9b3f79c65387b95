"""Names with signs that a terminal, a browser, a spreadsheet or a log obeys are only text, in every command and form."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import command
from vggcost import CostTable, inert
from vggcost.cli import main
from vggcost.guard import Entry, Spec, broken, check_model, dump_baseline, read_baseline, render_check
from vggcost.guard.github import summary
from vggcost.guard.places import Place
from vggcost.guard.render import CHECK_FORMATS
from vggcost.inert import as_json, csv_lines, csv_text_of, inert_lines
from vggcost.records import Totals
from vggcost.report import FORMATS, notebook, render
from vggcost.report.compare_text import COMPARE_FORMATS, render_comparison
from vggcost.report.comparison import compare
from vggcost.report.difference import DIFF_FORMATS, difference, render_difference, render_differences
from vggcost.report.drawing import picture
from vggcost.report.grid import layers_grid, markdown, rst
from vggcost.report.many import MANY_FORMATS, many, render_many
from vggcost.report.markdown import charts
from vggcost.sweeps.rows import COLUMNS
from vggcost.sweeps.store import Store, read_rows

GetTable = Callable[..., CostTable]

SIGNS = [
    *(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))),
    *"\xad\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2064\u2066\u2067",
    *"\u2068\u2069\u206a\u206f\ufeff\ufff9\ufffb\ud800\udbff\udc00\udcff\udfff\U000e0001\U000e0041",
]
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
                 "\U000e0000-\U000e0fff]")  # fmt: skip
ATTACKS = [
    "\x1b]0;owned\x07\x1b[2J\x9b31m", "a\r=1+1", "a\n::error file=x::gone", "::error::gone", "  ::add-mask::gone",
    "##[error]gone", "=1+1", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "a;=1+1", "a\t=1+1", "＝1+1", "\ud800\udfff",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a\n\n<b>b</b>", "`</code><i>`", "[a](javascript:x)",
    "a\u202egnp.exe", "a\x00b", "\x85<u>", "${x}%$#^~\\input{x}", '"]},{"', "]]>", "--><script>",
]  # fmt: skip
NAMES = [*(f"x{sign}y" for sign in SIGNS), *(f"{sign}=1+1" for sign in SIGNS), *ATTACKS]


@pytest.fixture(scope="module")
def hostile(zoo_table: GetTable) -> CostTable:
    """A table that has a hostile text wherever it may have text."""
    table = zoo_table("vgg-f", saved=True)
    layers = [
        table.layers[at % len(table.layers)]._replace(path=name, kind=name, working=name, attributes=((name, name),))
        for at, name in enumerate(NAMES)
    ]
    whole = "".join(NAMES)
    run = replace(
        table.run, model=whole, title=whole, aliases=(whole,), command=f"vggcost report {whole}", note=whole,
        versions=((whole, whole),), inputs=(replace(table.run.inputs[0], name=whole),),
    )  # fmt: skip
    return replace(
        table,
        run=run,
        layers=tuple(layers),
        totals=Totals.of(layers, "inference"),
        convention=replace(table.convention, name=whole, sentence=whole),
        containers=((whole, whole),),
        coverage=replace(table.coverage, unknown=((whole, 3),)),
        memory=tuple(replace(line, note=whole) for line in table.memory),
    )


def holds(text: str, *, commands: bool = False) -> None:
    """Nothing in a text is obeyed."""
    assert not RAW.search(text), repr(RAW.search(text))
    if not commands:
        assert not re.search(r"^\s*::", text, re.MULTILINE)
    assert "##[" not in text


def renderings(table: CostTable) -> Iterator[tuple[str, str]]:
    """All that is made of a table, with its form."""
    other = replace(table, layers=table.layers[1:], totals=Totals.of(table.layers[1:], "inference"))
    for form in FORMATS:
        yield form, render(table, form)
        yield form, render(table, form, 1)
    yield "html", notebook(table)
    yield "html", picture(table).decode()
    yield "html", charts(table, "x")[0].svg
    for form in COMPARE_FORMATS:
        yield form, render_comparison(compare([table, other]), form)
    for form in DIFF_FORMATS:
        yield form, render_difference(difference(table, other), form)
        yield form, render_differences({"a\x1b": difference(table, other)}, ["::error::\x1b"], ["\x9b"], form)
    yield "markdown", markdown(layers_grid(table, ("kind", "working")))
    yield "rst", rst(layers_grid(table, ("kind", "working")))
    for name in (*ATTACKS, "".join(NAMES)):
        entry, small = (Entry(Spec(name, name), shown) for shown in (table, other))
        checked = [check_model(small, entry, None), check_model(None, entry, None), broken(name, name, name)]
        for form in CHECK_FORMATS:
            yield form, render_check(checked, form, {name: Place(name, 3)})
        yield "markdown", summary(checked)
    row = {key: "".join(NAMES) if kind is str else 3 for key, kind in COLUMNS.items()} | {"status": "ok"}
    for form in MANY_FORMATS:
        yield form, render_many(many([row, {**row, "model": "=1"}], {"\x1b": ["\x1b"]}), form)


def test_a_name_is_text_in_every_form(hostile: CostTable) -> None:
    for form, text in renderings(hostile):
        holds(text, commands=form == "github")
        if form == "json":
            json.loads(text)
        elif form == "jsonl":
            assert all(json.loads(line) for line in text.split("\n")[:-1])
        elif form == "github":
            assert all(re.match(r"::(error|notice) |\d+ models? checked", line) for line in text.splitlines())
        elif form in ("markdown", "html"):
            assert "<script>alert" not in text
            assert "<b>b" not in text
            assert "<img" not in text


def test_json_loses_nothing(hostile: CostTable) -> None:
    paths = [layer["path"] for layer in json.loads(render(hostile, "json"))["layers"]]
    assert [path.encode("utf-16", "surrogatepass") for path in paths] == [
        name.encode("utf-16", "surrogatepass") for name in NAMES
    ]
    assert CostTable.from_json(hostile.to_json()).layers[5].path == NAMES[5]
    assert json.loads(as_json(NAMES[:-20])) == NAMES[:-20]


@pytest.mark.parametrize("separator", [",", ";", "|"])
def test_no_cell_is_a_formula_whatever_separates_it(hostile: CostTable, separator: str) -> None:
    text = render(hostile, "csv")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    assert len(rows) == len(NAMES) + 1
    for row in rows:
        for cell in row:
            assert not cell.lstrip().startswith(("=", "+", "@", "＝", "\t", "\r")), cell
            assert not cell.startswith("-") or cell[1:].isdigit()
    if separator == ",":
        assert {len(row) for row in rows} == {len(rows[0])}


def test_a_baseline_keeps_the_names(hostile: CostTable, tmp_path: Path) -> None:
    entry = Entry(Spec("\x1b[31m::error", "\x1b[31m"), replace(hostile, run=replace(hostile.run, title="\u202e")))
    text = dump_baseline([entry])
    holds(text)
    (tmp_path / "lock.json").write_text(text, encoding="utf-8")
    found = read_baseline(tmp_path / "lock.json")["\x1b[31m::error"]
    assert [layer.path for layer in found.table.layers][:60] == NAMES[:60]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_sweep_keeps_the_names(tmp_path: Path, ending: str) -> None:
    names = [name for name in NAMES if not re.search("[\ud800-\udfff\U000e0000-\U000e0fff]", name)]
    rows = [{key: name if kind is str else 3 for key, kind in COLUMNS.items()} for name in names]
    with Store(tmp_path / f"x{ending}") as store:
        for row in rows:
            store.add(row)
    holds((tmp_path / f"x{ending}").read_bytes().decode())
    assert [row["model"] for row in read_rows(tmp_path / f"x{ending}")] == names
    assert all(csv_text_of(next(csv.reader([csv_lines([[name]])]))[0]) == name for name in names)


def test_text_that_needs_nothing_is_left_as_it_is(zoo_table: GetTable) -> None:
    table = zoo_table("vgg16")
    assert inert.inert(table) is table
    for text in ("features.0", "3×3, 汉 – “a”", "aten::mm", "a  b", "C:\\new\\users", "#1", "é"):
        assert inert.inert(text) == text == inert_lines(text)
    assert inert_lines("a\n\tb\n") == "a\n\tb\n"


# On the command line

COMMANDS = [
    ["report", "--from", "{}.json"], ["report", "{}"], ["report", "./{}.py:x"], ["report", "hf:{}"], ["report", "hf:./{}.json"],
    ["report", "vgg16", "-i", "{}"], ["report", "vgg16", "-k", "{}"], ["report", "vgg16", "--convention", "{}"],
    ["report", "vgg16", "--mode", "{}"], ["report", "vgg16", "--input-json", "{}"], ["report", "vgg16", "--assume", "{}=1"],
    ["report", "vgg16", "--format", "{}"], ["report", "vgg16", "--template-dir", "{}"], ["report", "vgg16", "--dtype", "{}"],
    ["report", "{}.pt2"], ["compare", "{}"], ["compare", "vgg16", "--columns", "{}"], ["compare", "--family", "{}"],
    ["compare", "--from", "{}.csv"], ["diff", "{}", "vgg16"], ["diff", "{}.json", "vgg16"], ["check", "{}"],
    ["check", "vgg-f", "--fail-on", "{}"], ["check", "--from", "{}=x.json"], ["check", "--baseline", "{}"], ["lock", "{}"],
    ["docs", "check", "{}"], ["docs", "sync", "{}.md"], ["claims", "{}"], ["claims", "--source", "{}"], ["explain", "vgg16", "{}"],
    ["models", "{}"], ["models", "{}:x"], ["memory", "{}"], ["memory", "vgg16", "--optimizer", "{}"], ["fit", "x", "--memory", "{}"],
    ["train", "x", "--recipe", "{}"], ["evaluate", "{}"], ["draw", "{}", "-o", "x.svg"], ["draw", "vgg16", "-o", "{}"],
    ["sweep", "{}", "-o", "x.csv"], ["sweep", "vgg16", "-o", "{}"], ["verify", "{}"], ["cache", "{}"], ["{}"], ["stack", "{}"],
]  # fmt: skip
NASTY = ["\x1b]0;a\x07\x9b2Jb", "a\n::error::b", "::error::b\r\x85\u2028", "\u202eab\u2066\u200b\udc80"]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_an_error_is_one_inert_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "sweep":
        pytest.importorskip("joblib")
    monkeypatch.chdir(tmp_path)
    for name in NASTY:
        with pytest.raises(SystemExit) as done:
            main([word.replace("{}", name) for word in arguments])
        out, err = capsys.readouterr()
        assert done.value.code == (0 if arguments[:2] == ["sweep", "{}"] else 2), (out, err)
        assert err.count("\n") == 1
        assert "vggcost's own" not in err
        holds(out)
        holds(err)


def test_files_whose_names_are_hostile(
    zoo_table: GetTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The paths that a command prints, and the names of models in the configuration, the baseline and documents."""
    monkeypatch.chdir(tmp_path)
    name = "a\x1b[31m\n::error::b\u202e"
    table = zoo_table("vgg-f")
    Path(f"{name}.json").write_text(replace(table, run=replace(table.run, model=name)).to_json(), encoding="utf-8")
    Path("vggcost.toml").write_text(f"[[models]]\nname = {json.dumps(name)}\nsource = 'vgg-f'\n", encoding="utf-8")
    Path(f"{name}.md").write_text(
        '<!-- vggcost:value vgg-f.params format="M" -->1 M<!-- /vggcost -->', encoding="utf-8"
    )
    for arguments, status in (
        (["lock", name], 0), (["lock", "--baseline", f"{name}.lock"], 0), (["check"], 0), (["check", "--format", "github"], 0),
        (["check", "--fail-on", "params:<=3"], 1), (["check", "--fail-on", "params:<=3", "--format", "github"], 1),
        (["docs", "check", "--diff", f"{name}.md"], 1), (["docs", "sync", "--diff", f"{name}.md"], 0),
        (["report", "--from", f"{name}.json", "--format", "html", "-o", f"{name}.html"], 0),
        (["report", "--from", f"{name}.json", "--format", "markdown", "--charts", "-o", f"{name}-2.md"], 0),
        (["diff", f"{name}.json", f"{name}.json"], 0), (["compare", f"{name}.json"], 0), (["draw", f"{name}.json"], 0),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as done:
            main(arguments)
        out, err = capfd.readouterr()
        assert done.value.code == status, (arguments, out, err)
        holds(out, commands="github" in arguments)
        holds(err)
        for line in out.splitlines():
            assert not re.match(r"\s*::", line) or line.startswith("::error file=") or line.startswith("::error title=")


def test_a_trace_of_an_error_is_inert(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def make():\n    raise ValueError('\\x1b[31m\\n::error::b')\n", encoding="utf-8")
    done = command("report", "./net.py:make", "--traceback", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    holds(done.stderr)


def test_each_rule_is_needed(monkeypatch: pytest.MonkeyPatch, hostile: CostTable) -> None:
    """Without the function that makes text inert, the forms above would not be."""
    bad = 0
    monkeypatch.setattr("vggcost.inert._ACTS", re.compile("(?!)"))
    monkeypatch.setattr("vggcost.inert._ACTS_IN_LINES", re.compile("(?!)"))
    for form in ("table", "markdown", "html", "csv", "json", "jsonl"):
        try:
            holds(render(hostile, form))
        except (AssertionError, UnicodeEncodeError):
            bad += 1
    assert bad == 6
