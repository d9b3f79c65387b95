"""The gradients of a tensor that is used more than once, against real steps and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.reality import Weighed, cross_entropy, real_step
from vggcost import memory
from vggcost.cost.memory import peak_of, timeline
from vggcost.load import read_inputs
from vggcost.records import RunInfo, Step, Trace
from vggcost.trace.inplace import is_dense
from vggcost.trace.step import trace_step

WIDTH = 64
NUMBERS = 64  # bytes of the numbers that torch wraps in tensors for `h * 2`


class Layers(nn.Module):
    """Linear layers, and what is done with them."""

    def __init__(self, function: Callable[..., torch.Tensor], count: int = 1, width: int = WIDTH):
        super().__init__()
        self.layers, self.function = nn.ModuleList(nn.Linear(width, width) for _ in range(count)), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.layers, x)


class Unrolled(nn.Module):
    """A recurrent cell in a loop."""

    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.view(4, 16, WIDTH)
        state: Any = torch.zeros(4, WIDTH, device=x.device)
        state = (state, state) if isinstance(self.cell, nn.LSTMCell) else state
        outputs = []
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, 1).flatten(0, 1)


def thrice(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    return h.tanh() * 2 + h.sigmoid() * 3 + h.relu()


def squared(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    return h * h


def doubled(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x).relu()
    return h + h


def residual(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        x = x + layer(x).relu()
    return x


def densely(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    outputs = [x]
    for layer in layers:
        outputs.append(layer(torch.stack(outputs).sum(0)).relu())
    return outputs[-1]


def sliced(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    return torch.cat([layers[1](h[start : start + 8]) for start in range(0, 64, 8)])


def viewed(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    return h.view(-1, 8, 8).transpose(1, 2).reshape(x.shape) + h.t().t() + h


def unbound(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([row * row + row for row in layers[0](x).unbind(0)])


def scanned(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    decay, b, c = (layer(x).view(4, 16, WIDTH) for layer in layers)
    state, outputs = torch.zeros(4, WIDTH, device=x.device), []
    for step in range(16):
        state = state * torch.exp(-F.softplus(decay[:, step])) + b[:, step] * decay[:, step]
        outputs.append(state * c[:, step])
    return torch.stack(outputs, 1).flatten(0, 1)


def tied(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    weight: Any = layers[0].weight
    return F.linear(F.linear(layers[0](x), weight).relu(), weight)


def gated(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    return layers[3](F.silu(layers[1](h)) * layers[2](h)) + h


def both_sides(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    return h @ h.t() @ h + torch.cat([h, h[:32]])[:64]


def spread(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    deviation, mean = torch.std_mean(layers[0](x), 1, keepdim=True)  # one node with a sum of its own
    return x * deviation + mean


def hooked(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x).tanh()
    h.register_hook(lambda grad: grad + grad.tanh())
    return h * h.relu() + h.sigmoid()


def retained(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    h.retain_grad()
    a = h.tanh()
    a.retain_grad()
    return a * h.relu() + a.sigmoid()


def penalized(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    x = x.detach().clone().requires_grad_()
    h = layers[0](x)
    (gradient,) = torch.autograd.grad((layers[1](h.tanh()) * h * h).sum(), x, create_graph=True)
    return gradient * h


class Adds(torch.autograd.Function):
    """Whose backward adds up in Python."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        made = grad * x
        made = made + grad
        return made + x


def custom(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    return Adds.apply(h) + Adds.apply(h) * h  # type: ignore[no-any-return, no-untyped-call]


class Overlaps(torch.autograd.Function):
    """Whose gradient has the same elements in each row."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.tanh()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return torch.empty_strided(grad.shape, (0, 1), device=grad.device)


def overlapping(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    h = layers[0](x)
    return h.sigmoid() + Overlaps.apply(h)  # type: ignore[no-any-return, no-untyped-call]


NETS: dict[str, Callable[[], nn.Module]] = {
    "used three times": lambda: Layers(thrice),
    "twice in one op": lambda: Layers(squared),
    "the same gradient twice": lambda: Layers(doubled),
    "residual": lambda: Layers(residual, 4),
    "dense connections": lambda: Layers(densely, 4),
    "slices in a loop": lambda: Layers(sliced, 2),
    "views": lambda: Layers(viewed),
    "rows": lambda: Layers(unbound),
    "selective scan": lambda: Layers(scanned, 3),
    "tied weights": lambda: Layers(tied),
    "swiglu": lambda: Layers(gated, 4),
    "both sides of a product": lambda: Layers(both_sides),
    "a node with a sum of its own": lambda: Layers(spread),
    "hooks": lambda: Layers(hooked),
    "retained gradients": lambda: Layers(retained),
    "a custom function": lambda: Layers(custom),
    "a gradient that overlaps itself": lambda: Layers(overlapping),
    "LSTMCell": lambda: Unrolled(nn.LSTMCell(WIDTH, WIDTH)),
    "GRUCell": lambda: Unrolled(nn.GRUCell(WIDTH, WIDTH)),
    "a gradient penalty": lambda: Layers(penalized, 2),
}


def x() -> torch.Tensor:
    return torch.rand(64, WIDTH)


def step_of(model: nn.Module, accumulate: int = 1) -> Trace:
    given, batch = read_inputs(x())
    run = RunInfo("net", "net", (), "object", "", given.inputs, batch, "training")
    return trace_step(model, run, Step(optimizer="none", accumulate=accumulate), criterion=cross_entropy)


def weighed(trace: Trace) -> Weighed:
    made = (s for s in trace.storages if s.role not in ("param", "buffer", "input") and not 0 == s.born == s.died)
    sums = sum(op.op == "aten.add_" for op in trace.ops)
    return Weighed(peak_of(trace, timeline(trace)).bytes, sum(s.nbytes for s in made), sums)


def check(trace: Trace, real: Weighed) -> None:
    guess = weighed(trace)
    assert 0 <= real.peak - guess.peak <= NUMBERS, f"predicted {guess}, measured {real}"
    assert 0 <= real.volume - guess.volume <= 8 * NUMBERS, f"predicted {guess}, measured {real}"
    assert guess.sums == real.sums


@pytest.mark.parametrize("name", NETS)
def test_a_real_step_allocates_what_was_predicted(name: str) -> None:
    check(step_of(NETS[name]()), real_step(NETS[name], lambda: (x(),)))


@pytest.mark.parametrize("name", ["residual", "tied weights", "selective scan"])
def test_gradients_of_several_passes_are_added_in_place(name: str) -> None:
    check(step_of(NETS[name](), accumulate=3), real_step(NETS[name], lambda: (x(),), accumulate=3))


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints(reentrant: bool) -> None:
    def again(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        x = layers[0](x)
        for layer in layers[1:]:

            def block(h: torch.Tensor, layer: nn.Module = layer) -> torch.Tensor:
                return h + F.silu(layer(h))

            x = checkpoint(block, x, use_reentrant=reentrant, preserve_rng_state=False)
        return x

    check(step_of(Layers(again, 4)), real_step(lambda: Layers(again, 4), lambda: (x(),)))


def rows(x: torch.Tensor) -> torch.Tensor:
    return (torch.arange(40) % 32).to(x.device)


def graph(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    """Graph convolutions: messages are gathered along the edges and added up."""
    nodes = x.shape[0]
    source, target = ((torch.arange(4 * nodes) * step % nodes).to(x.device) for step in (1, 7))
    for layer in layers:
        x = (torch.zeros_like(x).index_add(0, target, layer(x)[source]) + x).relu()
    return x


FORMULAS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "index": (lambda h: h[rows(h)], "aten.index_put_"),
    "gather": (lambda h: h.gather(0, rows(h)[:, None].expand(40, WIDTH)), "aten.scatter_add_"),
    "index_select": (lambda h: h.index_select(0, rows(h)), "aten.index_add_"),
    "take": (lambda h: h.take(rows(h))[:, None], "aten.put_"),
    "max": (lambda h: h.max(1, keepdim=True).values, "aten.scatter_"),
    "topk": (lambda h: h.topk(5).values, "aten.scatter_"),
    "cummax": (lambda h: h.cummax(1).values, "aten.scatter_add_"),
    "maximum": (lambda h: torch.maximum(h, h.tanh()), "aten.masked_fill_"),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_writes_to_what_it_has_made(name: str) -> None:
    function, op = FORMULAS[name]

    def make() -> nn.Module:
        return Layers(lambda layers, x: function(layers[0](x)))

    trace, real = step_of(make()), real_step(make, lambda: (x(),))
    guess = weighed(trace)
    assert op in {record.op for record in trace.ops if record.phase == "backward"}
    assert not {record.op for record in trace.ops if record.phase == "backward"} & {op.removesuffix("_")}
    # the indices are there already when the profiler begins, or not at all
    assert abs(real.peak - guess.peak) <= 16 * NUMBERS, f"predicted {guess}, measured {real}"
    assert abs(real.volume - guess.volume) <= 16 * NUMBERS, f"predicted {guess}, measured {real}"


def test_graph_convolutions() -> None:
    guess, real = weighed(step_of(Layers(graph, 2))), real_step(lambda: Layers(graph, 2), lambda: (x(),))
    assert abs(real.peak / guess.peak - 1) < 0.02
    assert guess.sums == real.sums


def test_a_formula_of_the_users_own_is_not_changed() -> None:
    class Spreads(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.tanh()

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> Any:
            index = torch.arange(grad.shape[0]).to(grad.device)
            return torch.zeros_like(grad).index_add(0, index, grad)

    trace = step_of(Layers(lambda layers, x: Spreads.apply(layers[0](x))))
    assert [op.op for op in trace.ops if "index_add" in op.op] == ["aten.index_add"]


def test_second_derivatives_make_new_tensors() -> None:
    def selected(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        h = layers[0](x)
        (gradient,) = torch.autograd.grad(h[rows(h)].square().sum(), h, create_graph=True)
        return gradient * h

    trace = step_of(Layers(selected))
    assert "aten.index_put" in {op.op for op in trace.ops}
    assert "aten.index_put_" not in {op.op for op in trace.ops if op.phase != "backward"}


def test_two_uses_of_one_layer_on_paper() -> None:
    def twice(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        h = layers[0](x)
        return (h * 2).sum() + (h * 3).sum()

    guess = memory(Layers(twice, width=256), torch.empty(8192, 256), optimizer="none", loss=lambda out: out)
    # x and two gradients; weights, the sum
    assert guess.totals.peak_bytes == 3 * 4 * 8192 * 256 + 4 * (256 * 256 + 256) + 8 == 25_429_000


def test_a_sum_in_place_is_work() -> None:
    trace = step_of(Layers(thrice))
    sums = [op for op in trace.ops if op.op == "aten.add_"]
    assert [op.output_shapes for op in sums] == [((64, WIDTH),)] * 2
    assert all(op.outputs == op.inputs[:1] and op.phase == "backward" and op.nature == "pointwise" for op in sums)
    layer = next(i for i, module in enumerate(trace.modules) if module.path == "")
    assert {op.module for op in sums} == {layer}  # whose ops the gradients come from


def test_what_lies_side_by_side() -> None:
    a = torch.empty(2, 3, 4)
    dense = [
        a,
        a.permute(2, 0, 1),
        a[:1],
        a[1],
        torch.empty(2, 1, 3).transpose(0, 1),
        torch.empty(()),
        torch.empty(0, 3),
    ]
    apart = [a[:, :2], a[..., ::2], a[0, :1].expand(5, 4), torch.empty(9).as_strided((3, 3), (2, 1))]
    assert [is_dense(tensor) for tensor in dense] == [True] * len(dense)
    assert [is_dense(tensor) for tensor in apart] == [False] * len(apart)


def test_the_output_lives_until_the_optimizer_is_done() -> None:
    """Logits of 8,000 words beside Adam's temporaries: 512·8000 numbers of the output are alive in the update."""

    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 8000, bias=False))

    def stepper(parameters: Any) -> Any:
        return torch.optim.Adam(parameters, foreach=False)

    real = real_step(make, lambda: (torch.rand(4, 8),), optimizer=stepper).peak
    assert memory(make(), (torch.rand(4, 8),), optimizer="adam").peak.bytes == pytest.approx(real, rel=0.01)
    assert 0.05 * real < 4 * 4 * 8000
