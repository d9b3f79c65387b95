"""A module that several others share: each call's work is under the path that it was called by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vggcost import analyze, verify
from vggcost.cost.verify import check_counter
from vggcost.records import Arguments, InputRecord, LayerCost, Recount, RunInfo, Trace
from vggcost.report.view import fold
from vggcost.trace import paths, trace_model


class Wrapper(nn.Module):
    """Two layers, the first of which others have too; `again` recomputes it, in a way that is reentrant or not."""

    def __init__(self, inner: nn.Module, features: int, again: bool | None = None) -> None:
        super().__init__()
        self.inner, self.out, self.again = inner, nn.Linear(10, features), again

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inner(x) if self.again is None else checkpoint(self.inner, x, use_reentrant=self.again)
        out: torch.Tensor = self.out(x)
        return out


class Two(nn.Module):
    """The first wrapper sees 3 rows of 10, the second 6."""

    def __init__(self, again: bool | None = None) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Linear(10, 10), nn.ReLU())
        self.a, self.b = Wrapper(inner, 20, again), Wrapper(inner, 4, again)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.b(self.a(x).reshape(-1, 6, 10))
        return out


SEEN = (
    ("a.inner.0", 1, 110, 3 * 10 * 10),
    ("a.out", 1, 220, 3 * 10 * 20),
    ("b.inner.0", 1, 0, 6 * 10 * 10),
    ("b.out", 1, 44, 6 * 10 * 4),
)


def linears(layers: tuple[LayerCost, ...]) -> tuple[tuple[str, int, int, int], ...]:
    return tuple((row.path, row.call, row.params, row.macs) for row in layers if row.kind == "Linear")


def traced(model: nn.Module, *shape: int, remember: bool = True, mode: str = "inference") -> Trace:
    arguments = Arguments((InputRecord("x", shape, "float32"),))
    run = RunInfo("net", "net", (), "object", "", arguments.inputs, 1, mode)
    return trace_model(model, run, arguments=arguments, remember=remember)


@pytest.mark.parametrize("again", [None, True, False])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_each_wrapper_has_the_work_of_its_own_call(mode: str, again: bool | None) -> None:
    table = analyze(Two(again), "3x10", mode=mode)
    assert linears(table.layers) == SEEN
    assert (table.totals.params, table.totals.macs) == (110 + 220 + 44, 300 + 600 + 600 + 240)
    a, b = fold(table, 1)[:2]
    assert (a.path, a.params, a.macs, b.path, b.params, b.macs) == ("a", 330, 900, "b", 44, 840)
    assert [name for name, _ in table.containers if name.endswith("inner")] == ["a.inner", "b.inner"]


def test_the_path_is_not_the_first_one_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation that the test above catches: all work was the first path's."""
    monkeypatch.setattr(paths, "_nearest", lambda found, running: found[0])
    assert [row[:2] for row in linears(analyze(Two(), "3x10").layers) if "inner" in row[0]] == [
        ("a.inner.0", 1),
        ("a.inner.0", 2),
    ]


def test_what_is_recomputed_is_the_work_of_its_own_call() -> None:
    plain, again = (analyze(Two(way), "3x10", mode="training") for way in (None, False))
    more = {
        row.path: (row.backward_macs or 0) - (before.backward_macs or 0)
        for row in again.layers
        for before in plain.layers
        if (row.path, row.call) == (before.path, before.call)
    }
    assert {path: macs for path, macs in more.items() if macs} == {"a.inner.0": 300, "b.inner.0": 600}


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_layers_noted_from_memory_have_the_same_paths(mode: str) -> None:
    model = Two()
    fresh = traced(model, 1, 3, 10, remember=False, mode=mode)
    for _ in range(3):
        assert traced(model, 1, 3, 10, mode=mode) == fresh


def net(build: Callable[[nn.Module], None], run: Callable[..., torch.Tensor]) -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            build(self)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return run(self, x)

    return Net()


def outside(model: nn.Module) -> None:
    model.a = Wrapper(nn.Linear(10, 10), 10)
    model.inner = model.a.inner


def listed(model: nn.Module) -> None:
    inner = nn.Linear(10, 10)
    model.layers = nn.ModuleList([inner, nn.ReLU(), inner])


def nested(model: nn.Module) -> None:
    wrapper = Wrapper(nn.Linear(10, 10), 10)
    model.c, model.d = nn.Sequential(wrapper), nn.Sequential(wrapper, wrapper.inner)


def hidden(model: nn.Module) -> None:
    """A layer that another holds without registering it."""
    inner = nn.Linear(10, 10)
    model.a, model.b = nn.Sequential(inner), nn.Sequential(inner, nn.Identity())
    model.b[1].forward = partial(inner)  # no path of the inner one is below that of the layer that calls it


CASES = {
    "by its container and from outside": (
        net(outside, lambda self, x: self.inner(self.a(x))),
        ["a.inner", "a.out", "inner"],
    ),
    "twice in a list": (
        net(listed, lambda self, x: self.layers[2](self.layers[1](self.layers[0](x)))),
        ["layers.0", "layers.0 2"],  # who calls it does not say which
    ),
    "a wrapper that is shared itself": (
        net(nested, lambda self, x: self.d(self.c(x))),
        ["c.0.inner", "c.0.out", "d.0.inner", "d.0.out", "d.1"],
    ),
    "twice in one wrapper": (
        net(lambda self: setattr(self, "w", Wrapper(nn.Linear(10, 10), 10)), lambda self, x: self.w(self.w(x))),
        ["w.inner", "w.out", "w.inner 2", "w.out 2"],
    ),
    "one that is not registered where it is called": (
        net(hidden, lambda self, x: self.b(self.a(x))),
        ["a.0", "b.0", "b.0 2"],
    ),
    "never by its first path": (net(outside, lambda self, x: self.inner(x)), ["inner"]),
}


@pytest.mark.parametrize("name", CASES)
def test_by_which_path(name: str) -> None:
    model, expected = CASES[name]
    table = analyze(model, "10")
    rows = [row for row in table.layers if row.kind == "Linear"]
    assert [row.path + f" {row.call}" * (row.call > 1) for row in rows] == expected
    assert all(row.macs == 100 for row in rows)
    assert table.totals.params == sum(p.numel() for p in model.parameters())
    assert table.totals.macs == 100 * len(expected)


def test_other_counters_name_it_as_they_like() -> None:
    assert verify(Two(), "3x10").unexplained == ()


def test_what_a_counter_missed_is_told_apart_from_how_it_names_a_module() -> None:
    trace = traced(Two(), 1, 3, 10)
    theirs = (("a.inner.0", "linear", 900), ("a.out", "linear", 599), ("b.out", "linear", 240))
    (gap,) = check_counter(trace, Recount("fvcore", theirs, 1739)).unexplained
    assert (gap.modules, gap.gap) == (("a.out",), -1)
