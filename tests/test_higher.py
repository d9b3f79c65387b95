"""Ops that take functions, compiled parts, and ops of the user's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint

from tests.conftest import command
from tests.ops import BOTH, Of, run
from vggcost import CostTable, VggcostError, analyze, register_cost
from vggcost.cost.macs import macs_of
from vggcost.trace.attention import Attention
from vggcost.trace.held import inside
from vggcost.trace.recorder import Recorder
from vggcost.trace.run import watched

aten = torch.ops.aten
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])  # before 2.14 pointwise scans are CUDA's only


# Ops that take functions


class Branching(nn.Module):
    def __init__(self, predicate: Callable[[torch.Tensor], Any]):
        super().__init__()
        self.predicate = predicate
        self.light, self.heavy = nn.Linear(4, 8), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(self.predicate(x), self.light, self.heavy, (x,))  # type: ignore[no-any-return]


def test_cond_takes_the_branch_it_would_take_and_the_heavier_one_where_that_depends_on_data() -> None:
    light, heavy = 4 * 8, 4 * 4 + 4 * 8
    for predicate, macs in (
        (lambda x: True, light),
        (lambda x: False, heavy),
        (lambda x: torch.ones(1, device="cpu").sum() > 0, light),
        (lambda x: torch.ones(1, device="cpu").sum() < 0, heavy),
        (lambda x: x.sum() > 0, heavy),
    ):
        for mode in BOTH:
            table = run(Branching(predicate), "4", mode)
            assert table.totals.macs == macs
            assert table.coverage.unknown == ()
    table = run(Branching(lambda x: x.sum() > 0), "4")
    (assumed,) = table.coverage.assumed
    assert (assumed.op, assumed.calls) == ("cond", 1)
    assert "the false branch is taken, the one with the most matrix products" in assumed.text
    assert {row.path for row in table.layers if row.macs} == {"heavy.0", "heavy.1"}  # none of the one that was tried


class Stepping(nn.Module):
    def __init__(self, run: Callable[[nn.Module, torch.Tensor], Any]):
        super().__init__()
        self.step, self.run = nn.Linear(4, 4), run

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self.step, x)


def test_scan_map_and_while_loop_count_every_step() -> None:
    scan, associative = torch._higher_order_ops.scan, torch._higher_order_ops.associative_scan
    loop, each = torch._higher_order_ops.while_loop, torch._higher_order_ops.map
    counted = lambda limit: lambda i, x: i < limit  # noqa: E731
    zero = torch.zeros((), dtype=torch.int64)
    for function, steps in (
        (lambda f, x: scan(lambda c, y: (f(c) + y, {"out": c.sin()}), x[:, 0], x, dim=1)[1]["out"], 5),
        (lambda f, x: scan(lambda c, y: (f(c), (y.cos(), c * y)), x[:, 0], x, dim=1, reverse=True)[0], 5),
        (lambda f, x: each(lambda y, z: f(y) + z, x[0], x[0, 0])[None], 5),
        (lambda f, x: loop(counted(3), lambda i, y: (i + 1, f(y)), (zero, x[:, 0]))[1], 3),
        (lambda f, x: loop(counted(0), lambda i, y: (i + 1, f(y)), (zero, f(x[:, 0])))[1], 1),
        *([(lambda f, x: associative(lambda a, b: a * b, f(x), dim=1), 5)] if TORCH >= (2, 14) else []),
        (lambda f, x: associative(lambda a, b: a * b, f(x), dim=1, combine_mode="generic"), 5),
    ):
        for mode in BOTH:
            table = run(Stepping(function), "5x4", mode)
            assert table.totals.macs == steps * 4 * 4
            assert table.coverage.unknown == ()
    with pytest.raises(VggcostError, match=r"while_loop, whose number of steps depends on data.*--fallback cpu"):
        run(Stepping(lambda f, x: loop(lambda y: y.sum() > 0, lambda y: (f(y),), (x,))[0]), "5x4")


def test_exported_programs_run_their_captured_functions() -> None:
    scan = torch._higher_order_ops.scan
    steps = Stepping(lambda f, x: scan(lambda c, y: (f(c) + y, c.sin()), x[0], x)[1])
    for model, x, macs in (
        (Branching(lambda x: x.sum() > 0), torch.zeros(1, 4), 4 * 4 + 4 * 8),
        (steps, torch.zeros(5, 2, 4), 5 * 2 * 4 * 4),
    ):
        exported = torch.export.export(model, (x,)).module().to("meta")
        recorder = Recorder(inside(exported))
        with watched(recorder, False, Attention("auto", "cpu")):
            exported(x.to("meta"))
        assert sum(macs_of(op) for op in recorder.ops) == macs


def causal(b: Any, h: Any, q: Any, k: Any) -> Any:
    return q >= k


def test_flex_attention_counts_all_scores() -> None:
    block = create_block_mask(causal, None, None, 128, 128, device="cpu")
    shapes = [(2, 3, 128, 8)] * 3
    grouped = ((2, 4, 128, 8), (2, 2, 128, 8), (2, 2, 128, 8))
    for function, operands, scores in (
        (flex_attention, shapes, 6 * 128 * 128),
        (lambda *x: flex_attention(*x, score_mod=lambda s, b, h, q, k: s + q - k), shapes, 6 * 128 * 128),
        (lambda *x: flex_attention(*x, block_mask=block), shapes, 6 * 128 * 128),
        (lambda *x: flex_attention(*x, enable_gqa=True), grouped, 8 * 128 * 128),
        (torch.compile(flex_attention), shapes, 6 * 128 * 128),
    ):
        table = run(Of(function, *operands), mode="training")
        assert table.totals.macs == scores * (8 + 8)
        assert table.totals.backward_macs == scores * (3 * 8 + 2 * 8)
        assert table.coverage.unknown == ()
    layer = analyze(Of(flex_attention, *shapes), "1", mode="training")
    output, sums = 4 * prod(shapes[0]), 4 * prod(shapes[0][:3])
    assert next(row for row in layer.layers if row.kind == "Of").saved_bytes == output + sums  # and no scores
    query = torch.zeros(1, 1, 128, 8)
    assert flex_attention(query, query, query, block_mask=block).shape == query.shape  # the mask is as it was


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint_runs_as_it_is(reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return checkpoint(self.inner, self.first(x), use_reentrant=reentrant)  # type: ignore[no-any-return]

    table = run(Checkpointed(), "4", "training")
    again = 32 if reentrant else 16  # the newer form stops where the last saved tensor is made
    assert (table.totals.macs, table.totals.backward_macs) == (48, 16 + 32 + 32 + again)
    assert table.coverage.unknown == ()


def test_compiled_parts_run_uncompiled_and_compile_afterwards() -> None:
    compiled: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph

    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = torch.compile(nn.Linear(4, 4), backend=backend)
            self.third = torch.compile(torch.relu, backend=backend)
            self.fourth = nn.Linear(4, 4)
            self.fourth.compile(backend=backend)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fourth(self.third(self.second(self.first(x))))  # type: ignore[no-any-return]

    def compiles(model: nn.Module) -> int:
        torch._dynamo.reset()
        compiled.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model(torch.zeros(1, 4))
        return len(compiled)

    model = Partly()
    for mode in BOTH:
        assert run(model, "4", mode).totals.macs == 3 * 16
    assert compiled == []
    assert compiles(model) == compiles(Partly()) >= 2


# Ops of the user's own

OPS = """
import torch
import vggcost
from torch import nn

@torch.library.custom_op("{space}::product", mutates_args=())
def product(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return x @ w

{fake}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.weight = nn.Parameter(torch.zeros(4, 6))

    def forward(self, x):
        return product(self.first(x), self.weight)

{cost}
"""
FAKE = "@product.register_fake\ndef _(x, w):\n    return x.new_empty(x.shape[0], w.shape[1])"
COST = 'vggcost.register_cost("{space}::product", macs=lambda op: op.input_shapes[0][0] * 4 * 6{shape})'
SHAPE = ", shape=lambda x, w: x.new_empty(x.shape[0], w.shape[1])"


@pytest.mark.parametrize(("fake", "shape"), [(FAKE, ""), ("", SHAPE)], ids=["register_fake", "shape"])
def test_an_op_of_ones_own_is_counted_from_the_command_line(tmp_path: Path, fake: str, shape: str) -> None:
    space = "own_fake" if fake else "own_shape"
    file = tmp_path / "net.py"
    file.write_text(OPS.format(space=space, fake=fake, cost=COST.format(space=space, shape=shape)))
    done = command("report", f"{file}:Net", "-i", "4", "-b", "2", "--format", "json")
    assert done.returncode == 0, done.stderr
    table = CostTable.from_json(done.stdout)
    assert table.totals.macs == 2 * (4 * 4 + 4 * 6)
    assert (f"{space}.product", 1) in table.coverage.counted


def test_an_op_without_a_shape_stops_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(OPS.format(space="own_bare", fake="", cost=""))
    done = command("report", f"{file}:Net", "-i", "4")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for words in ("Net on 4", "own_bare::product", "vggcost.register_cost", "torch.library.register_fake"):
        assert words in done.stderr


def test_register_cost() -> None:
    library = torch.library.Library("own", "DEF")
    library.define("split(Tensor x, int parts) -> (Tensor, Tensor)")
    library.define("touch_(Tensor(a!) x) -> ()")
    library.define("unknown(Tensor x) -> Tensor")
    library.impl("unknown", torch.empty_like, "Meta")
    own = torch.ops.own
    halves = Of(lambda x: own.split(x, 2)[0], (4, 6))
    with pytest.raises(VggcostError, match="own::split"):
        run(halves)

    def split(x: torch.Tensor, parts: int) -> tuple[torch.Tensor, torch.Tensor]:
        return x.new_empty(x.shape[0], x.shape[1] // parts), x.new_empty(1)

    register_cost(own.split, macs=lambda op: op.get("parts") * 100, price=lambda op: 7, shape=split)
    assert run(halves).totals.flops == 2 * 200 + 7
    assert run(halves, convention="torch").totals.flops == 2 * 200
    assert run(halves).layers[-1].output_shape == (4, 3)
    register_cost("own::split", macs=lambda op: 5, shape=lambda x, parts: (x.new_empty(1, 1), x.new_empty(1)))
    assert run(halves).totals.macs == 5
    assert run(halves).layers[-1].output_shape == (1, 1)

    touched = Of(lambda x: (own.touch_(x), x)[1], (4, 6))
    register_cost(own.touch_.default, price=lambda op: 3, shape=lambda x: None)
    assert run(touched).totals.flops == 3
    assert run(touched, convention="torch").coverage.free == (("own.touch_", 1),)

    assert run(Of(own.unknown, (3,))).coverage.unknown == (("own.unknown", 1),)
    register_cost(own.unknown, macs=lambda op: op.input_shapes[1][0])
    with pytest.raises(VggcostError, match=r"own::unknown failed on inputs of \(3,\): IndexError"):
        run(Of(own.unknown, (3,)))
    register_cost(own.unknown, macs=lambda op: 0.5)
    with pytest.raises(VggcostError, match="must return a whole number"):
        run(Of(own.unknown, (3,)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("aten::mm", len), "counts already"),
        ((aten.relu.default, len), "counts already"),
        (("myop", len), "mylib::myop"),
        ((3, len), "mylib::myop"),
        (("own::op",), "say what own::op costs"),
        (("own::op", 3), "must be a function, not int"),
    ],
)
def test_register_cost_refuses(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(VggcostError, match=words):
        register_cost(*arguments)
