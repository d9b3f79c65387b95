"""LaTeX that compiles: booktabs and siunitx, whatever the names of the layers are."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from tests.test_report import hostile
from vggcost import CostTable, analyze
from vggcost.report import render
from vggcost.report.compare_text import render_comparison
from vggcost.report.comparison import COLUMNS, compare
from vggcost.report.latex import escape
from vggcost.zoo import family

GetTable = Callable[..., CostTable]
needs_pdflatex = pytest.mark.skipif(
    shutil.which("pdflatex") is None,
    reason="no pdflatex; apt-get install texlive-latex-recommended texlive-science brings it and its packages",
)


def compiled(body: str, folder: Path) -> str:
    """Compile a table inside an article, twice as longtable asks; return the log."""
    (folder / "table.tex").write_text(body, encoding="utf-8")
    (folder / "article.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,longtable,siunitx}\n"
        "\\begin{document}\n\\input{table}\n\\end{document}\n",
        encoding="utf-8",
    )
    for _ in range(2):
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "article.tex"],
            cwd=folder, capture_output=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-3000:]
    return (folder / "article.log").read_text(encoding="utf-8", errors="replace")


class Strange(nn.Module):
    """Names that mean something to TeX, or that pdflatex has no letters for."""

    NAMES = (
        "[0]", "*", "--", "^^M", "%", "\\end{document}", "\\input{article}", "汉字", "ñ", "Þ", "ﬁ", "\U0001f600", "\x07", "\u2028", "`'\"", "a\tb\nc", "$x$", "{", "}}",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for name in self.NAMES:
            self.layers.add_module(name, nn.Linear(4, 4))

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.layers(x)


@needs_pdflatex
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_report_compiles(mode: str, zoo_table: GetTable, tmp_path: Path) -> None:
    log = compiled(render(zoo_table("vgg16", mode=mode), "latex"), tmp_path)
    assert "Warning" not in re.sub(r"Package longtable Warning.*", "", log)


@needs_pdflatex
def test_a_long_report_goes_over_pages(zoo_table: GetTable, tmp_path: Path) -> None:
    log = compiled(render(zoo_table("resnet-152"), "latex"), tmp_path)
    assert int(re.search(r"\((\d+) pages", log)[1]) > 5  # type: ignore[index]


@needs_pdflatex
@pytest.mark.parametrize("make", [hostile, Strange])
def test_hostile_names_compile(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    table = analyze(make(), "4")
    compiled(render(table, "latex"), tmp_path)
    compiled(render_comparison(compare([table, table]), "latex"), tmp_path)


@needs_pdflatex
@pytest.mark.parametrize("columns", [None, tuple(COLUMNS), ("macs",)])
def test_a_comparison_compiles(columns: tuple[str, ...] | None, zoo_table: GetTable, tmp_path: Path) -> None:
    tables = [zoo_table(name, saved=True) for name in family("vgg")]
    chosen = {"columns": columns} if columns else {}
    for baseline in (None, "vgg-d"):
        compiled(render_comparison(compare(tables, baseline=baseline, **chosen), "latex"), tmp_path)


def test_columns_are_aligned_as_wide_as_their_numbers(zoo_table: GetTable) -> None:
    text = render(zoo_table("vgg16"), "latex")
    (columns,) = re.findall(r"\\begin\{longtable\}\{lll(.*)\}\n", text)
    assert columns.startswith("S[table-format=9.0]S[table-format=11.0]")  # 138,357,544 and 15,470,264,320
    assert re.search(
        r"^conv1\\_1 & Conv2d & 64\$\\times\$224\$\\times\$224 & 1792 & 86704128 & 173408256 & ", text, re.MULTILINE
    )
    assert re.search(r"^total & & & 138357544 & 15470264320 & 30940528640 & ", text, re.MULTILINE)
    assert text.count(r"\endfirsthead") == text.count(r"\endhead") == text.count(r"\endfoot") == 1


def test_a_comparison_has_one_unit_a_column(zoo_table: GetTable) -> None:
    tables = [zoo_table(name) for name in ("vgg-f", "vgg-d")]
    text = render_comparison(
        compare(tables, ["params", "macs", "param_bytes", "top1_error"], baseline="vgg-d"), "latex"
    )
    titles = re.findall(r"\\shortstack\{(.*?)\}\}", text)
    assert titles == [
        r"params\\(M)",
        "ratio",
        r"MACs\\(G)",
        "ratio",
        r"param\\bytes\\(MiB)",
        "ratio",
        r"top-1\\error\\\%",
    ]
    assert r"VGG-F & 60.83 & 0.44 & 0.72 & 0.05 & 232.07 & 0.44 & 41.1{\textsuperscript{a}} \\" in text
    assert r"\textsuperscript{a} one net, one central crop; MatConvNet pretrained models" in text
    assert "ratios to VGG-D (16)" in text


def test_small_figures_keep_two_digits() -> None:
    small, large = (analyze(nn.Linear(n, n), str(n)) for n in (4, 4096))
    text = render_comparison(compare([small, large], ["params", "macs"]), "latex")
    assert r"Linear & 0.000020 & 0.000016 \\" in text  # 20 and 16 beside 16.78 M
    assert r"Linear & 16.781312 & 16.777216 \\" in text


def test_what_a_line_cannot_hold_is_shortened_and_what_no_font_has_is_numbered() -> None:
    table = analyze(hostile(), "4")
    text = render(table, "latex")
    assert f"{'x' * 39}\\ldots{{}}{'x' * 40}" in text
    assert "x" * 41 not in text
    assert "{[}U+0645{]}" in text
    assert escape("\\x") == r"\textbackslash{}x"
