"""Large models: the work grows as the number of layers, and no figure is lost. Calls are counted, never seconds."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import vggcost
from vggcost import _analyze
from vggcost.records import CostTable, Trace
from vggcost.report import render
from vggcost.report.aligned import aligned

FORMATS = ("table", "html", "markdown", "csv", "json", "jsonl", "latex")


def work(function: Callable[[], Any]) -> int:
    """Count the calls that a function comes to, those of C too, after a run that imports what is imported."""
    function()
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def peak(function: Callable[[], Any]) -> int:
    """Return the most bytes that Python holds during a call, after one that remembers what it may."""
    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def chain(count: int) -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(*(layer for _ in range(count // 2) for layer in (nn.Linear(8, 8), nn.ReLU())))


def deep(count: int) -> nn.Module:
    with torch.device("meta"):
        model: nn.Module = nn.Linear(8, 8)
        for _ in range(count):
            model = nn.Sequential(model)
    return model


class Loop(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.last = count, nn.Linear(8, 8, device="meta")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.count):
            x = x + 1
        return self.last(x)


def table_of(model: nn.Module) -> CostTable:
    return vggcost.analyze(model, torch.zeros(1, 8))


def each(growth: Callable[[int], Callable[[], Any]], small: int, large: int) -> float:
    """Return the calls that one unit more takes, over those that one takes at first: 1 where all grows evenly."""
    none, few, many = (work(growth(count)) for count in (small, 2 * small, large))
    return (many - few) / (large - 2 * small) / ((few - none) / small)


@pytest.mark.parametrize("form", FORMATS)
def test_the_work_of_a_document_grows_as_its_rows(form: str) -> None:
    def written(count: int) -> Callable[[], Any]:
        table = table_of(chain(count))
        return lambda: render(table, form)

    assert each(written, 800, 3200) < 1.1


def test_a_row_of_the_terminal_s_table_takes_few_calls() -> None:
    few, many = (work(partial(render, table_of(chain(count)), "table")) for count in (200, 400))
    assert (many - few) / 200 < 400  # 4,500 where rich lays each cell out


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("made", [chain, Loop])
def test_the_work_of_an_analysis_grows_as_what_is_run(made: Callable[[int], nn.Module], mode: str) -> None:
    def analysed(count: int) -> Callable[[], Any]:
        model = made(count)
        return lambda: vggcost.analyze(model, torch.zeros(1, 8), mode=mode)

    assert each(analysed, 1100, 3300) < 1.1


def test_an_op_takes_few_bytes_and_one_run_s_record_is_there_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[str] = []
    original = _analyze.with_saved

    def seen(*arguments: Any) -> CostTable:
        traces = (found for found in gc.get_objects() if type(found) is Trace)
        there.extend(trace.run.mode for trace in traces if trace.run.title == "Loop")
        return original(*arguments)

    monkeypatch.setattr(_analyze, "with_saved", seen)
    vggcost.analyze(Loop(4), torch.zeros(1, 8), saved=True)
    assert there == ["training"]
    monkeypatch.undo()
    few, many = (peak(partial(vggcost.analyze, Loop(count), "8", saved=True)) for count in (3000, 6000))
    assert (many - few) / 3000 < 530


def test_columns_are_in_line_and_a_narrow_terminal_cuts_names_alone() -> None:
    rows = [(f"{'a.' * 40}{at}", "Linear", f"{10**at:,}") for at in range(12)]
    wide = aligned(("layer", "kind", "params"), rows, ("total", "", "1"), {0, 1}, 400)
    narrow = aligned(("layer", "kind", "params"), rows, ("total", "", "1"), {0, 1}, 60)
    assert len({len(line) for line in wide[3:15]}) == len({len(line) for line in narrow[3:15]}) == 1
    assert max(map(len, narrow)) == 60
    for (name, _, figure), whole, cut in zip(rows, wide[3:], narrow[3:], strict=False):
        assert (whole.split()[0], whole.split()[-1], cut.split()[-1]) == (name, figure, figure)
        mark, *end = cut.split()[0]
        assert mark == "…"
        assert name.endswith("".join(end))


def test_figures_are_whole_however_narrow_a_terminal_is() -> None:
    lines = aligned(("layer", "MACs"), [("b" * 90, "9" * 90)], ("total", "1"), {0}, 40)
    assert lines[3] == f" …{'b' * 19}   {'9' * 90}"


def test_signs_of_two_cells_and_of_none_keep_the_columns_in_line() -> None:
    lines = aligned(("layer", "MACs"), [("卷积", "1"), ("e\u0301", "2")], ("total", "3"), {0}, 80)
    assert lines[3:5] == [" 卷积       1", " e\u0301          2"]
    assert aligned(("", ""), [("卷" * 30, "1")], ("", "1"), {0}, 20)[3] == f" …{'卷' * 9}    1"
