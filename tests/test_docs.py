"""Tables and figures in documents: found, written, guarded, checked."""

from __future__ import annotations

import codecs
import html
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import ROOT, command, python
from vggcost import CostTable, analyze, compare_stack
from vggcost.errors import DocumentError, DocumentErrors, FileError, VggcostError
from vggcost.guard.baseline import Entry, dump_baseline
from vggcost.guard.config import Spec
from vggcost.guard.documents import checksum, save, work_out
from vggcost.guard.figures import Figures
from vggcost.guard.tables import KINDS, METRICS

GetTable = Callable[..., CostTable]
PARAMS = 138_357_544  # of VGG-16, as published by torchvision
MACS = 15_470_264_320
VALUE = '<!-- vggcost:value vgg16.params format="M" -->{}<!-- /vggcost -->'
TABLE = '<!-- vggcost:begin compare models="vgg16" columns="params,macs" -->\n{}<!-- vggcost:end{} -->\n'
ROW = "| VGG-D (16) | 138.36 M | 15.47 G |"


@pytest.fixture
def figures(zoo_table: GetTable) -> Figures:
    return Figures(zoo_table, compare_stack)


def synced(folder: Path, text: str, figures: Figures, name: str = "a.md", force: bool = False) -> str:
    """Sync a document and return what it is afterwards."""
    path = folder / name
    path.write_bytes(text.encode())
    outcome = work_out(path, figures)
    save(outcome.document, outcome.text if force else outcome.kept)
    again = work_out(path, figures)
    assert force is False or {finding.state for finding in again.findings} <= {"current"}
    return path.read_bytes().decode()


def states(folder: Path, text: str, figures: Figures, name: str = "a.md") -> list[tuple[int, str]]:
    (folder / name).write_bytes(text.encode())
    return [(finding.line, finding.state) for finding in work_out(folder / name, figures).findings]


# What is written


def test_a_table_and_a_figure_are_written_and_then_current(tmp_path: Path, figures: Figures) -> None:
    text = synced(tmp_path, f"It has {VALUE.format('')} of them.\n\n{TABLE.format('', '')}\nend\n", figures)
    assert f"It has {VALUE.format('138.36 M')} of them.\n" in text
    assert f"| :-- | --: | --: |\n{ROW}\n" in text
    assert text.endswith("-->\n\nend\n")
    assert states(tmp_path, text, figures) == [(1, "current"), (3, "current")]
    assert synced(tmp_path, text, figures) == text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("vgg16.params", "138.36 M"),
        ('vgg16.params format="exact"', "138,357,544"),
        ('vgg16.params format="int"', "138357544"),
        ('vgg16.params format="M" digits="0"', "138 M"),
        ('vgg16.macs format="G" digits="4"', "15.4703 G"),
        ("vgg16.flops", "30.94 G"),
        ("vgg16.param_bytes", "527.79 MiB"),
        ('vgg16.param_bytes format="GiB" digits="3"', "0.515 GiB"),
        ("vgg16.weight_layers", "16"),
        ("vgg16.receptive_field", "196"),
        ('vgg16.macs batch="2" format="exact"', f"{2 * MACS:,}"),
        ('vgg16.flops convention="fvcore" format="exact"', f"{MACS:,}"),
        ('vgg-f.params input="3x224x224"', "60.83 M"),
    ],
)
def test_single_figures(words: str, shown: str, tmp_path: Path) -> None:
    text = synced(tmp_path, f"a <!-- vggcost:value {words} --><!-- /vggcost --> b", Figures(analyze))
    assert f"-->{shown}<!--" in text


def test_each_kind_of_table(tmp_path: Path, figures: Figures) -> None:
    wanted = {
        'compare family="imagenet-winners" columns="macs"': "| GoogLeNet |",
        'compare models="vgg11, vgg16" columns="params" sort="-params" baseline="vgg11"': "138.36 M (×1.04)",
        'layers model="vgg16" columns="params,working"': "| conv1\\_1 | 1,792 | params: (3·3·3)·64 + 64 = 1,792;",
        'layers model="vgg16" depth="1"': "| fc6 | Linear | 4096 | 102,764,544 |",
        'totals model="vgg16"': "| MACs | 15,470,264,320 | 15.47 GMACs |",
        'totals model="vgg16" mode="training"': "| backward MACs |",
        'stack kernel="7" channels="512" size="14" bias="false"': "| weights | 12,845,056 | 7,077,888 | ×0.55 |",
        'claims model="vgg16" source="CS231n"': "3 claims: 1 rounds, 2 wrong",
    }
    assert {line.split()[0] for line in wanted} == set(KINDS)
    for line, text in wanted.items():
        assert text in synced(tmp_path, f"<!-- vggcost:begin {line} -->\n<!-- vggcost:end -->\n", figures), line
    assert "| VGG-D (16) |" in synced(
        tmp_path, '<!-- vggcost:begin models="vgg16" -->\n<!-- vggcost:end -->\n', figures
    )


def test_a_model_is_run_once(tmp_path: Path) -> None:
    runs: list[str] = []

    def counted(name: str, *rest: Any, **options: Any) -> CostTable:
        runs.append(name)
        return analyze(name, *rest, **options)

    shared = Figures(counted)
    layers = '<!-- vggcost:begin layers model="vgg16" -->\n<!-- vggcost:end -->\n'
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(f"{VALUE.format('')}\n{TABLE.format('', '')}{layers}", encoding="utf-8")
        work_out(tmp_path / name, shared)
    assert runs == ["vgg16"]


def test_restructuredtext_is_what_docutils_reads(tmp_path: Path, figures: Figures) -> None:
    core = pytest.importorskip("docutils.core")
    source = (
        'A net\n=====\n\n.. vggcost:begin layers model="vgg16"\n.. vggcost:end\n\n- in a list\n\n'
        "  .. vggcost:begin totals model='vgg16'\n  .. vggcost:end\n"
    )
    text = synced(tmp_path, source, figures, "a.rst")
    assert states(tmp_path, text, figures, "a.rst") == [
        (4, "current"),
        (text[: text.index("  .. vgg")].count("\n") + 1, "current"),
    ]
    page = core.publish_string(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 1}).decode()
    assert page.count("<table") == 2
    assert "138,357,544" in page
    assert "conv1_1" in page
    assert "vggcost:end sum" in page  # as a comment
    assert "vggcost:end sum" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)


def test_a_marker_in_a_list_keeps_its_indent(tmp_path: Path, figures: Figures) -> None:
    text = synced(
        tmp_path, "- item\n\n" + "".join(f"  {line}\n" for line in TABLE.format("", "").splitlines()), figures
    )
    assert f"\n  {ROW}\n" in text
    assert re.search(r"\n  <!-- vggcost:end sum=\w{8} -->\n$", text)


# What is left alone


@pytest.mark.parametrize(
    "text",
    [
        "```md\n" + TABLE.format("", "") + "```\n",
        "~~~~\n```\n<!-- vggcost:begin nonsense -->\n~~~\n~~~~\n",
        "- ```\n  <!-- vggcost:value -->\n  ```\n",
        "> ```\n> <!-- vggcost:value -->\n> ```\n",
        "write `<!-- vggcost:begin -->` and ``<!-- vggcost:value a.b --> ` ``\n",
        "a span `that goes\non <!-- vggcost:begin -->` here\n",
        "```\n<!-- vggcost:begin that the end of the file closes -->\n",
        "<!-- vggcost is great -->\n<!-- vggcosts:begin -->\n",
    ],
)
def test_code_and_other_comments_are_not_looked_at(text: str, tmp_path: Path, figures: Figures) -> None:
    assert states(tmp_path, text, figures) == []


@pytest.mark.parametrize(
    "text",
    [
        "Write::\n\n   .. vggcost:begin nonsense\n\n   .. vggcost:nonsense\n",
        ".. code-block:: rst\n   :caption: x\n\n   .. vggcost:begin nonsense\n",
        ".. vggcost:: compare\n   :models: mine\n",
        "::\n\n .. vggcost:end\n\nand ``.. vggcost:begin``\n",
    ],
)
def test_literal_blocks_of_rst_are_not_looked_at(text: str, tmp_path: Path, figures: Figures) -> None:
    assert states(tmp_path, text, figures, "a.rst") == []


def test_directives_of_rst_that_hold_text_are_looked_at(tmp_path: Path, figures: Figures) -> None:
    text = '.. note::\n\n   .. vggcost:begin totals model="vgg16"\n   .. vggcost:end\n'
    assert states(tmp_path, text, figures, "a.rst") == [(3, "stale")]


def test_code_after_a_fence_is_text_again(tmp_path: Path, figures: Figures) -> None:
    text = f"a\f```\n```\n<!-- vggcost:begin\n```\n`a` b ` c\n{TABLE.format('', '')}a ` {VALUE.format('')}\n"
    assert states(tmp_path, text, figures) == [(6, "stale"), (8, "stale")]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_newlines_and_encoding_stay(newline: str, bom: bytes, encoding: str, tmp_path: Path, figures: Figures) -> None:
    path = tmp_path / "a.md"
    around = ("Größe ×\nlone\n", "no newline at the end 丁")
    source = (around[0] + TABLE.format("", "") + around[1]).replace("\n", newline)
    path.write_bytes(bom + source.encode(encoding))
    path.chmod(0o640)
    outcome = work_out(path, figures)
    save(outcome.document, outcome.text)
    data = path.read_bytes()
    text = data[len(bom) :].decode(encoding)
    assert data.startswith(bom)
    assert text.startswith(around[0].replace("\n", newline))
    assert text.endswith(f"-->{newline}{around[1]}")
    assert text.count("\n") == text.count(newline)
    assert ROW in text
    assert path.stat().st_mode & 0o777 == 0o640
    assert [finding.state for finding in work_out(path, figures).findings] == ["current"]


def test_mixed_newlines_stay_where_they_are(tmp_path: Path, figures: Figures) -> None:
    source = "a\r\nb\n" + TABLE.format("", "").replace("\n", "\r\n", 1) + "c\r\n"
    text = synced(tmp_path, source, figures)
    assert text.startswith("a\r\nb\n<!--")
    assert text.endswith("-->\nc\r\n")


def test_blanks_at_ends_of_lines_and_newlines_are_no_edits(tmp_path: Path, figures: Figures) -> None:
    text = synced(tmp_path, '<!-- vggcost:begin family="vgg" -->\n<!-- vggcost:end -->\n', figures)
    assert "  \n" in text
    trimmed = "".join(f"{line.rstrip()}\r\n" for line in text.splitlines())
    assert states(tmp_path, trimmed, figures) == [(1, "current")]


def test_hostile_names_of_layers_stay_in_their_cells(tmp_path: Path) -> None:
    core = pytest.importorskip("docutils.core")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in (
                "<!-- vggcost:end -->",
                "vggcost:end\n\n",
                ":ref:`x`",
                "a|b_c*",
                "- 1",
                "1) x",
                "`" * 3,
                "|x|_",
            ):
                self.add_module(name, nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.children():
                x = layer(x)
            return x

    (tmp_path / "net.json").write_text(analyze(Net(), "4").to_json(), encoding="utf-8")
    marks = {"a.md": ("<!-- ", " -->"), "a.rst": (".. ", "")}
    for name, (before, after) in marks.items():
        source = f'{before}vggcost:begin layers model="net.json"{after}\n{before}vggcost:end{after}\n'
        text = synced(tmp_path, source, Figures(), name)
        assert synced(tmp_path, text, Figures(), name) == text
        assert states(tmp_path, text, Figures(), name) == [(1, "current")]
    page = core.publish_string(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 1}).decode()
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    assert len(rows) == 1 + 8 + 1
    names = [re.sub(r"<.*?>", "", row.split("</td>")[0]).strip() for row in rows[1:-1]]
    assert [html.unescape(name) for name in names][2:] == [":ref:`x`", "a|b_c*", "- 1", "1) x", "`" * 3, "|x|_"]


# Edits by hand


def test_what_was_edited_by_hand_is_kept_unless_forced(tmp_path: Path, figures: Figures) -> None:
    text = synced(tmp_path, f"{VALUE.format('')}\n{TABLE.format('', '')}", figures)
    edited = text.replace("138.36 M<!", "137 M<!").replace("15.47 G |", "15.47 G (a lot) |")
    assert states(tmp_path, edited, figures) == [(1, "stale"), (2, "edited")]
    kept = synced(tmp_path, edited, figures)
    assert kept == edited.replace("137 M<!", "138.36 M<!")
    assert synced(tmp_path, edited, figures, force=True) == text


def test_text_between_new_markers_is_somebodys(tmp_path: Path, figures: Figures) -> None:
    assert states(tmp_path, TABLE.format("my own table\n", ""), figures) == [(1, "edited")]
    assert states(tmp_path, VALUE.format("about as many as ever"), figures) == [(1, "edited")]
    assert states(tmp_path, VALUE.format("1,234.5 MiB"), figures) == [(1, "stale")]
    old = "| of another model |\n"
    assert states(tmp_path, TABLE.format(old, f" sum={checksum(old)}"), figures) == [(1, "stale")]


# Bad input: each its message, with file and line


BAD = {
    TABLE.format("", "").replace("<!-- vggcost:end -->\n", ""): (2, "this begin is not closed; write its vggcost:end"),
    'x <!-- vggcost:value vgg16.params -->1 M\n': (2, "this value is not closed; write its /vggcost"),
    '<!-- vggcost:value vgg16.params -->1\n<!-- /vggcost -->\n': (2, "not closed on its line"),
    "<!-- vggcost:end -->\n": (2, "this ends nothing; there is no vggcost:begin"),
    "a <!-- /vggcost -->\n": (2, "this ends nothing; there is no vggcost:value"),
    "<!-- vggcost:begni -->\n": (2, "unknown marker 'vggcost:begni' (did you mean begin?)"),
    "<!-- vggcost:begin compare\nmodels -->\n": (2, "does not end on its line"),
    f"<!-- vggcost:begin -->\n{TABLE.format('', '')}": (3, "begin inside the begin of line 2"),
    f"<!-- vggcost:begin -->\n{VALUE.format('')}": (3, "value inside the begin of line 2"),
    f"so: {TABLE.format('', '')}": (2, "stands on a line of its own"),
    TABLE.format("", "").replace("compare", "comprae"): (2, "no table 'comprae' (did you mean compare?)"),
    TABLE.format("", "").replace("columns", "colums"): (2, "compare takes no colums (did you mean columns?)"),
    TABLE.format("", "").replace("params", "prams"): (2, "no column 'prams' (did you mean params"),
    TABLE.format("", "").replace('"vgg16"', "vgg16"): (2, 'write attributes as name="value"'),
    TABLE.format("", "").replace('models="vgg16"', 'sort="a" sort="b"'): (2, "sort is given twice"),
    TABLE.format("", "").replace('models="vgg16"', ""): (2, 'compare needs models="…" or family="…"'),
    TABLE.format("", "").replace('models="vgg16"', 'family="vvg"'): (2, "no family 'vvg' (did you mean vgg?)"),
    TABLE.format("", "").replace("vgg16", "vgg61"): (2, "unknown model 'vgg61' (did you mean vgg"),
    TABLE.format("", "").replace("vgg16", "no.json"): (2, "cannot read no.json: No such file"),
    TABLE.format("", "").replace("vgg16", "bad.json"): (2, "bad.json: not JSON"),
    TABLE.format("", "").replace('models="vgg16"', 'models="vgg16" input="3x8x8"'): (2, "the map vanishes at pool4"),
    TABLE.format("", " sum=xyz"): (3, "takes only the sum= that vggcost wrote"),
    "<!-- vggcost:begin layers -->\n<!-- vggcost:end -->\n": (2, 'layers needs model="…"'),
    '<!-- vggcost:begin layers model="vgg16" depth="0" -->\n<!-- vggcost:end -->\n': (2, "depth must be a whole number"),
    '<!-- vggcost:begin stack kernel="4" -->\n<!-- vggcost:end -->\n': (2, "an even kernel (4×4)"),
    '<!-- vggcost:begin stack bias="yes" -->\n<!-- vggcost:end -->\n': (2, "bias must be true or false"),
    '<!-- vggcost:begin claims model="vgg61" -->\n<!-- vggcost:end -->\n': (2, "no claims about 'vgg61'"),
    VALUE.format("").replace(".params", ""): (2, "a value is named as model.metric"),
    VALUE.format("").replace("params", "prams"): (2, "no figure 'prams' (did you mean params"),
    VALUE.format("").replace('"M"', '"MB"'): (2, "no format 'MB'"),
    VALUE.format("").replace('"M"', '"MiB"'): (2, "params is a count, MiB is for bytes"),
    VALUE.format("").replace('"M"', '"M" digits="x"'): (2, "digits is one of 0 to 9"),
    VALUE.format("").replace('"M"', '"M" batch="many"'): (2, "batch must be a whole number"),
    VALUE.format("").replace("params", "backward_macs"): (2, 'does not hold backward_macs; run it with mode="training"'),
}  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=[says for _, says in BAD.values()])
def test_bad_markers_are_told_with_file_and_line(text: str, tmp_path: Path) -> None:
    line, says = BAD[text]
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    path = tmp_path / "a.md"
    path.write_text(f"# Title\n{text}", encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        work_out(path, Figures(analyze, compare_stack))
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('x\n\n.. vggcost:begin totals model="vgg16"\n', 3, "not closed"),
        ("x\n\n.. vggcost:ned\n", 3, "unknown marker"),
        (".. vggcost:value vgg16.params\n", 1, "the role :vggcost:"),
    ],
)
def test_bad_markers_of_rst(text: str, line: int, says: str, tmp_path: Path, figures: Figures) -> None:
    with pytest.raises(DocumentError) as caught:
        states(tmp_path, text, figures, "a.rst")
    assert str(caught.value).startswith(f"{tmp_path / 'a.rst'}:{line}: ")
    assert says in str(caught.value)


def test_every_bad_region_is_told_and_the_document_stays(tmp_path: Path) -> None:
    bad = f"{VALUE.format('').replace('vgg16', 'a')}\n{VALUE.format('')}\n{VALUE.format('').replace('vgg16', 'b')}\n"
    (tmp_path / "bad.md").write_text(bad, encoding="utf-8")
    (tmp_path / "good.md").write_text(VALUE.format(""), encoding="utf-8")
    (tmp_path / "latin.md").write_bytes("one\nGröße".encode("latin-1"))
    (tmp_path / "not.txt").write_text("no document of a folder", encoding="utf-8")
    done = command("docs", "sync", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == "good.md\n"
    lines = done.stderr.splitlines()
    assert [line.split()[1] for line in lines] == ["bad.md:1:", "bad.md:3:", "latin.md:2:"]
    assert (tmp_path / "bad.md").read_text(encoding="utf-8") == bad
    with pytest.raises(DocumentErrors):
        work_out(tmp_path / "bad.md", Figures(analyze))


def test_paths_that_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    for path, says in (("a.txt", "neither Markdown nor"), ("no.md", "no such file or folder")):
        done = command("docs", "check", path, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"{path}" in done.stderr
        assert says in done.stderr


# Trust


@pytest.mark.parametrize("name", ["./evil.py:make", "evil:make", "os:system", "./evil.pt2", "evil.sub:make"])
def test_nothing_of_a_document_is_executed(name: str, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("open('ran', 'w')\n", encoding="utf-8")
    (tmp_path / "a.md").write_text(TABLE.format("", "").replace("vgg16", name), encoding="utf-8")
    done = command("docs", "sync", "a.md", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"vggcost: a.md:1: {name} would run code that a document names")
    assert not (tmp_path / "ran").exists()


def test_code_may_be_allowed(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\nmake = lambda: nn.Linear(3, 4)\n", encoding="utf-8")
    (tmp_path / "a.md").write_text(
        '<!-- vggcost:value ./net.py:make.params input="3" --><!-- /vggcost -->', encoding="utf-8"
    )
    done = command("docs", "sync", "--allow-code", "a.md", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-->16<!--" in (tmp_path / "a.md").read_text(encoding="utf-8")


# Writing


def test_a_failed_write_leaves_the_document(tmp_path: Path, figures: Figures, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.md"
    path.write_text(VALUE.format("1"), encoding="utf-8")
    outcome = work_out(path, figures)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(FileError, match="No space left"):
            save(outcome.document, outcome.text)
    assert path.read_text(encoding="utf-8") == VALUE.format("1")
    assert [file.name for file in tmp_path.iterdir()] == ["a.md"]
    path.write_text("changed meanwhile", encoding="utf-8")
    with pytest.raises(FileError, match="was changed while"):
        save(outcome.document, outcome.text)
    assert path.read_text(encoding="utf-8") == "changed meanwhile"


def test_check_writes_nothing_and_names_the_line(tmp_path: Path) -> None:
    source = f"one\n\n{VALUE.format('137.00 M')}\n"
    path = tmp_path / "README.md"
    path.write_text(source, encoding="utf-8")
    done = command("docs", "check", "README.md", "--diff", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "README.md:3: vgg16.params: stale; 'vggcost docs sync' writes it anew\n"
    assert f"\n-{VALUE.format('137.00 M')}\n+{VALUE.format('138.36 M')}\n" in done.stdout
    assert done.stdout.endswith("1 document: 1 stale\n")
    assert path.read_text(encoding="utf-8") == source
    assert command("docs", "sync", "README.md", cwd=tmp_path).stdout == "README.md\n"
    done = command("docs", "check", ".", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 document: 1 current\n", "")


# Without torch


def without_torch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from vggcost.cli import main\n"
        f"try: main({list(arguments)!r})\n"
        "finally: assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    )
    return python("-c", code, cwd=folder)


@pytest.fixture
def project(tmp_path: Path, zoo_table: GetTable) -> Path:
    """A project with a saved table and a baseline that holds a model of its own and VGG-F."""
    table = zoo_table("vgg16", saved=True)
    entries = [Entry(Spec("mine", "./net.py:make"), table), Entry(Spec("vgg-f", "vgg-f"), zoo_table("vgg-f"))]
    (tmp_path / "vggcost.lock.json").write_text(dump_baseline(entries), encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "vgg16.json").write_text(table.to_json(), encoding="utf-8")
    return tmp_path


def test_saved_tables_and_the_baseline_need_no_torch(project: Path) -> None:
    (project / "docs" / "a.md").write_text(
        VALUE.format("").replace("vgg16.", "vgg16.json.")
        + "\n"
        + TABLE.format("", "").replace('"vgg16"', '"vgg16.json,mine,vgg-f"')
        + '<!-- vggcost:begin totals model="mine" -->\n<!-- vggcost:end -->\n'
        + '<!-- vggcost:begin layers model="mine" -->\n<!-- vggcost:end -->\n',
        encoding="utf-8",
    )
    done = without_torch(project, "docs", "sync", "docs")
    assert (done.returncode, done.stderr) == (0, "")
    text = (project / "docs" / "a.md").read_text(encoding="utf-8")
    assert text.count(ROW) >= 1
    assert "| VGG-F | 60.83 M | 724.01 M |" in text
    assert "| conv1\\_1 | Conv2d | 64×224×224 | 1,792 |" in text
    done = without_torch(project, "docs", "check", "docs")
    assert (done.returncode, done.stdout) == (0, "1 document: 4 current\n")


def test_what_a_baseline_leaves_out_is_run_or_told(project: Path) -> None:
    table = '<!-- vggcost:begin layers model="{}" columns="working" -->\n<!-- vggcost:end -->\n'
    (project / "a.md").write_text(table.format("mine"), encoding="utf-8")
    with pytest.raises(VggcostError, match="the table of mine does not hold working"):
        work_out(project / "a.md", Figures(analyze))
    (project / "a.md").write_text(table.format("vgg-f"), encoding="utf-8")
    assert "params: (11·11·3)·64 + 64 = 23,296" in work_out(project / "a.md", Figures(analyze)).text
    (project / "a.md").write_text(VALUE.format("").replace("vgg16", "alexnet"), encoding="utf-8")
    with pytest.raises(VggcostError, match="'alexnet' is not in the baseline"):
        work_out(project / "a.md", Figures())
    (project / "a.md").write_text(
        '<!-- vggcost:value docs/vgg16.json.macs batch="2" --><!-- /vggcost -->', encoding="utf-8"
    )
    with pytest.raises(VggcostError, match="is a saved table, how it was run is in it"):
        work_out(project / "a.md", Figures(analyze))


def test_metrics_are_those_of_the_totals_and_the_comparison(zoo_table: GetTable) -> None:
    table = zoo_table("vgg16", saved=True)
    found = {name: metric(table) for name, metric in METRICS.items()}
    assert found["params"] == PARAMS == found["weights"] + found["biases"]
    assert found["conv_params"] + found["fc_params"] == PARAMS
    assert found["macs"] == MACS
    assert {name for name, value in found.items() if not isinstance(value, int)} == {"backward_macs", "backward_flops"}


# Sphinx


def built(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from sphinx.cmd.build import build_main\n"
        f"status = build_main(['-q', '-E', '-b', 'html', *{options!r}, '.', 'out'])\n"
        "assert not {'torch', 'pandas'} & set(sys.modules); sys.exit(status)"
    )
    return python("-c", code, cwd=folder)


@pytest.fixture
def site(project: Path) -> Path:
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_parser")
    folder = project / "docs"
    (folder / "conf.py").write_text(
        'extensions = ["vggcost.sphinx", "myst_parser"]\nhtml_theme = "basic"\n', encoding="utf-8"
    )
    return folder


def test_sphinx_and_myst_build_without_torch(site: Path) -> None:
    (site / "index.md").write_text(
        '# Nets\n\nIt has {vggcost}`mine.params format="exact"` of them.\n\n'
        "```{vggcost} compare\n:models: vgg16.json, vgg-f\n:columns: params, macs\n```\n\n```{toctree}\nother\n```\n",
        encoding="utf-8",
    )
    (site / "other.rst").write_text(
        "Other\n=====\n\nHas :vggcost:`vgg16.json.macs` MACs.\n\n.. vggcost:: layers\n   :model: mine\n   :depth: 1\n",
        encoding="utf-8",
    )
    done = built(site, "-W")
    assert (done.returncode, done.stderr) == (0, "")
    page, other = ((site / "out" / f"{name}.html").read_text(encoding="utf-8") for name in ("index", "other"))
    assert '<span class="vggcost">138,357,544</span> of them' in page
    assert re.search(r"VGG-F.*?60\.83 M.*?724\.01 M", page, flags=re.DOTALL)
    assert '<span class="vggcost">15.47 G</span> MACs' in other
    assert re.search(r"fc6.*?Linear.*?4096.*?102,764,544", other, flags=re.DOTALL)


def test_sphinx_tells_what_is_wrong_with_file_and_line(site: Path) -> None:
    (site / "index.rst").write_text(
        "Nets\n====\n\nHas :vggcost:`nope.macs` MACs.\n\n.. vggcost:: stack\n\n"
        ".. vggcost:: compare\n   :models: ./evil.py:make\n",
        encoding="utf-8",
    )
    done = built(site)
    found = [line for line in done.stderr.splitlines() if "index.rst" in line]
    assert [re.search(r"index\.rst:(\d+)", line)[1] for line in found] == ["4", "6", "8"]  # type: ignore[index]
    for line, says in zip(found, ("unknown model 'nope'", "no model is run here", "would run code"), strict=True):
        assert says in line
    assert built(site, "-W").returncode == 1


def test_sphinx_reads_a_page_again_when_the_baseline_changed(site: Path, zoo_table: GetTable) -> None:
    (site / "index.md").write_text('# Nets\n\n{vggcost}`mine.params format="exact"`\n', encoding="utf-8")
    built(site)
    entry = Entry(Spec("mine", "./net.py:make"), zoo_table("vgg-f"))
    (site.parent / "vggcost.lock.json").write_text(dump_baseline([entry]), encoding="utf-8")
    code = "from sphinx.cmd.build import build_main; build_main(['-q', '-b', 'html', '.', 'out'])"
    os.utime(site.parent / "vggcost.lock.json", (2**31, 2**31))
    python("-c", code, cwd=site)
    assert "60,834,536" in (site / "out" / "index.html").read_text(encoding="utf-8")


# The guide, followed literally


def test_the_guide(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    steps = re.findall(r"(?:`([\w.]+)`:\n\n)?^(`{3,})(\w+)\n(.*?)^\2\n", guide, flags=re.MULTILINE | re.DOTALL)
    assert len(steps) == 10
    for name, _, language, text in steps:
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
            continue
        assert language == "console"
        if "sphinx-build" in text:
            pytest.importorskip("myst_parser")
        for line, expected in examples(text):
            printed = shell(line, tmp_path)
            position = 0
            for wanted in (text for text in expected if text != "..."):
                assert wanted.rstrip() in printed[position:], (line, wanted, printed)
                position += printed[position:].index(wanted.rstrip()) + 1
            assert "..." in expected or len(printed) == len(expected), (line, printed)


def examples(text: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def shell(line: str, folder: Path) -> list[str]:
    """Run a line as a reader does; what it prints, standard error too."""
    programs = (
        f'vggcost() {{ "{sys.executable}" -m vggcost "$@"; }}; sphinx-build() {{ "{sys.executable}" -m sphinx "$@"; }}'
    )
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-c", f"{programs}\n{line}"], cwd=folder, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    return [text.rstrip() for text in done.stdout.splitlines()]
