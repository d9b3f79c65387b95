"""torch.func's transforms in a model, and forwards that differentiate: what is counted is what runs."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import forward_ad
from torch.func import (
    functional_call,
    functionalize,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    stack_module_state,
    vjp,
    vmap,
)
from torch.utils.checkpoint import checkpoint

from tests.ops import BOTH
from tests.real import Does, mlp, real_macs
from vggcost import CostTable, VggcostError, analyze, memory
from vggcost.trace import transforms

ONE = 16 * 32 + 32 * 4  # MACs of a row through the MLP


class Ensemble(nn.Module):
    def __init__(self, count: int, on_meta: bool = False):
        super().__init__()
        self.models = nn.ModuleList(mlp() for _ in range(count))
        self.base = [copy.deepcopy(self.models[0]).to("meta")] if on_meta else None

    def forward(self, x: torch.Tensor) -> Any:
        params, buffers = stack_module_state(list(self.models))
        base = self.base[0] if self.base else self.models[0]
        return vmap(lambda p, b, x: functional_call(base, (p, b), (x,)), in_dims=(0, 0, None))(params, buffers, x)


def dual(layer: Any, x: torch.Tensor) -> Any:
    with forward_ad.dual_level():
        made = layer(forward_ad.make_dual(x, torch.ones_like(x)))
        return forward_ad.unpack_dual(made).tangent


def loss(layer: Any) -> Callable[..., Any]:
    return lambda p, x: functional_call(layer, p, (x,)).pow(2).sum()


def params(layer: Any) -> dict[str, Any]:
    return dict(layer.named_parameters())


def joined(found: dict[str, Any]) -> Any:
    return torch.cat([value.flatten() for value in found.values()])[None]


TRANSFORMS: dict[str, Callable[[Any, torch.Tensor], Any]] = {
    "vmap": lambda f, x: vmap(f)(x),
    "vmap over the other axis": lambda f, x: vmap(f, in_dims=1, out_dims=1)(x.t()),
    "vmap in parts": lambda f, x: vmap(f, chunk_size=3)(x),
    "vmap in vmap": lambda f, x: vmap(vmap(torch.dot, (None, 0)), (0, None))(f(x), f(x)),
    "vmap that draws": lambda f, x: F.dropout(vmap(lambda r: F.dropout(f(r), 0.5), randomness="different")(x), 0.1),
    "jvp": lambda f, x: jvp(f, (x,), (torch.ones_like(x),))[1],
    "dual numbers": dual,
    "grad": lambda f, x: grad(lambda x: f(x).sum())(x),
    "grad of a vmap": lambda f, x: grad(lambda x: vmap(f)(x).sum())(x),
    "grad of the parameters": lambda f, x: joined(grad(loss(f))(params(f), x)),
    "a gradient for each example": lambda f, x: joined(vmap(grad(loss(f)), (None, 0))(params(f), x)),
    "value too": lambda f, x: grad_and_value(lambda x: f(x).sum())(x)[0],
    "vjp of numbers of its own": lambda f, x: vjp(f, x)[1](torch.ones(8, 4))[0],
    "jacrev": lambda f, x: jacrev(f)(x[0]),
    "jacrev in parts": lambda f, x: jacrev(f, chunk_size=2)(x[0]),
    "jacfwd": lambda f, x: jacfwd(f)(x[0]),
    "vmap of jacrev": lambda f, x: vmap(jacrev(f))(x),
    "hessian": lambda f, x: hessian(lambda x: f(x).sum())(x[0]),
    "vmap of hessian": lambda f, x: vmap(hessian(lambda x: f(x).sum()))(x),
    "functionalize": lambda f, x: functionalize(f)(x),
    "jacobian": lambda f, x: torch.autograd.functional.jacobian(f, x[0], create_graph=True),
    "jacobian at once": lambda f, x: torch.autograd.functional.jacobian(f, x[0], create_graph=True, vectorize=True),
    "hvp": lambda f, x: torch.autograd.functional.hvp(lambda x: f(x).sum(), x[0], x[0], create_graph=True)[1][None],
}


def forward_and_backward(table: CostTable) -> int:
    return table.totals.macs + (table.totals.backward_macs or 0)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_costs_what_it_runs(name: str, mode: str) -> None:
    model, x = Does(TRANSFORMS[name], mlp()), torch.randn(8, 16)
    truth = real_macs(model, x, mode=mode)
    for _ in range(3):  # from memory too
        table = analyze(model, (x,), mode=mode)
        assert forward_and_backward(table) == truth > 0
    assert table.totals.params == 16 * 32 + 32 + 32 * 4 + 4
    assert table.coverage.unknown == ()


@pytest.mark.parametrize("on_meta", [False, True])
def test_an_ensemble_is_as_many_models(on_meta: bool) -> None:
    x = torch.randn(8, 16)
    table = analyze(Ensemble(5, on_meta), (x,))
    assert table.totals.macs == 5 * 8 * ONE
    assert table.totals.params == 5 * 676


def test_a_trained_ensemble_needs_the_memory_of_its_models() -> None:
    class Trained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(16, 32) for _ in range(5))

        def forward(self, x: torch.Tensor) -> Any:
            weights, biases = (torch.stack([getattr(f, name) for f in self.layers]) for name in ("weight", "bias"))
            return vmap(F.linear, (None, 0, 0))(x, weights, biases)

    step = memory(Trained(), (torch.randn(8, 16),), optimizer="sgd", loss=lambda y: y.sum())
    assert step.totals.forward_macs == 5 * 8 * 16 * 32
    assert step.totals.backward_macs == 5 * 8 * 16 * 32  # of the weights alone
    assert step.totals.gradient_bytes == step.totals.param_bytes == 5 * (16 * 32 + 32) * 4


@pytest.mark.parametrize(("layer", "shape"), [(nn.Conv2d(3, 4, 3), (2, 5, 3, 8, 8)), (nn.LayerNorm(6), (3, 5, 6))])
def test_a_layer_under_vmap_is_the_layer_on_all_examples(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    for mode in BOTH:
        mapped = analyze(Does(lambda f, x: vmap(f)(x).flatten(0, 1), layer), (x,), mode=mode)
        at_once = analyze(Does(lambda f, x: f(x.flatten(0, 1)), layer), (x,), mode=mode)
        for name in ("macs", "backward_macs", "activations", "activation_bytes", "saved_bytes"):
            (one,) = (getattr(row, name) for row in mapped.layers if row.path == "layer")
            (other,) = (getattr(row, name) for row in at_once.layers if row.path == "layer")
            assert one == other, name


def test_attention_under_vmap() -> None:
    x = torch.randn(3, 2, 5, 8)
    table = analyze(
        Does(lambda f, x: vmap(lambda x: f(x, x, x)[0])(x), nn.MultiheadAttention(8, 2, batch_first=True)), (x,)
    )
    assert table.totals.macs == 3 * 2 * (5 * 8 * 24 + 2 * 2 * 5 * 5 * 4 + 5 * 8 * 8)


# A forward that differentiates


def force(layer: Any, x: torch.Tensor) -> Any:
    x = x.detach().requires_grad_()
    return -torch.autograd.grad(layer(x).sum(), x, create_graph=True)[0]


def penalty(layer: Any, x: torch.Tensor) -> Any:
    x = x.detach().requires_grad_()
    y = layer(x)
    slope = torch.autograd.grad(y, x, grad_outputs=torch.ones(y.size()), create_graph=True)[0]
    return ((slope.norm(dim=1) - 1) ** 2).mean() + y.sum()


def improved(layer: Any, x: torch.Tensor) -> Any:
    weight = layer[0].weight
    (slope,) = torch.autograd.grad(F.linear(x, weight).pow(2).sum(), weight, create_graph=True)
    return F.linear(x, weight - 0.1 * slope)


def stepped(layer: Any, x: torch.Tensor) -> Any:
    x = x.detach().requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    return layer(x.detach() + x.grad)


def recomputed(layer: Any, x: torch.Tensor) -> Any:
    x = x.detach().requires_grad_()
    y = checkpoint(layer, x, use_reentrant=False)
    return layer(torch.autograd.grad(y.sum(), x)[0])


FORWARDS = {"forces": force, "a penalty": penalty, "an update": improved, "a step": stepped, "a checkpoint": recomputed}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", FORWARDS)
def test_what_a_forward_differentiates_belongs_to_it(name: str, mode: str) -> None:
    x = torch.randn(8, 16)
    model = Does(FORWARDS[name], mlp())
    table = analyze(model, (x,), mode=mode)
    assert forward_and_backward(table) == real_macs(model, x, mode=mode, gradients=True)
    if mode == "inference":
        assert table.run.note == "run with gradients on, since its forward differentiates"
    else:
        assert table.run.note == ""


def test_forces_are_credited_to_the_layers_they_come_from() -> None:
    table = analyze(Does(force, mlp()), (torch.randn(8, 16),))
    assert {row.path: row.macs for row in table.layers if row.macs} == {"layer.0": 2 * 8 * 512, "layer.2": 2 * 8 * 128}
    assert table.weight_layers == 2  # a gradient makes no net deeper
    guarded = Does(torch.enable_grad()(force), mlp())
    assert analyze(guarded, (torch.randn(8, 16),)).run.note == ""


def test_a_model_that_turns_gradients_off_is_refused_as_torch_does() -> None:
    with pytest.raises(VggcostError, match="does not require grad"):
        analyze(Does(torch.no_grad()(force), mlp()), (torch.randn(8, 16),))


def test_what_the_graph_keeps_does_not_depend_on_how_it_was_differentiated() -> None:
    x = torch.randn(8, 16)
    ways = (
        force,
        lambda f, x: -grad(lambda x: f(x).sum())(x.detach()),
        lambda f, x: -vjp(f, x)[1](torch.ones(8, 4))[0],
    )
    tables = [analyze(Does(way, mlp()), (x,), mode="training") for way in ways]
    saved = [sum(row.saved_bytes for row in table.layers if row.path.startswith("layer.")) for table in tables]
    assert saved[0] == saved[1] > 0
    assert tables[1].totals.backward_macs == tables[2].totals.backward_macs == 13312


def test_what_is_freed_before_the_backward_pass_is_not_saved_for_it() -> None:
    def discarded(layer: Any, x: torch.Tensor) -> Any:
        layer(x).sum()
        return layer(x)

    x = torch.randn(8, 16)
    once = analyze(Does(lambda f, x: f(x), mlp()), (x,), mode="training").totals
    assert analyze(Does(discarded, mlp()), (x,), mode="training").totals.saved_bytes == once.saved_bytes


def test_a_hook_of_the_models_own_is_as_much_in_the_way_as_without_us() -> None:
    def hooked(layer: Any, x: torch.Tensor) -> Any:
        with torch.autograd.graph.save_on_cpu():
            return grad(lambda x: layer(x).sum())(x)

    model, x = Does(hooked, mlp()), torch.randn(8, 16)
    with pytest.raises(RuntimeError, match="don't yet support saved tensor hooks"):
        model(x)
    with pytest.raises(VggcostError, match="don't yet support saved tensor hooks"):
        analyze(model, (x,), mode="training")


def test_another_thread_gets_torchs_own_meanwhile() -> None:
    found: list[Any] = []
    original = torch.autograd.graph.disable_saved_tensors_hooks

    def other() -> None:
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t), pytest.raises(RuntimeError) as error:
            grad(torch.sum)(torch.ones(2))
        found.append(str(error.value))

    with transforms.unwatched(lambda t: t, []):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert torch.autograd.graph.disable_saved_tensors_hooks is not original
    assert "don't yet support saved tensor hooks" in found[0]
    assert torch.autograd.graph.disable_saved_tensors_hooks is original
