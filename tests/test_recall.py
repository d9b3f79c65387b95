"""Whole calls of functions that are noted from memory: the records are those of a run that asks torch each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.overrides import TorchFunctionMode

from vggcost.errors import TraceError
from vggcost.records import InputRecord, RunInfo, Trace
from vggcost.trace import called, kernels, layers, register_shape, trace_model
from vggcost.trace.attention import Attention
from vggcost.trace.held import inside
from vggcost.trace.recorder import Recorder
from vggcost.trace.run import watched

X = torch.empty(2, 4, 6, 6, device="meta")


class Net(nn.Module):
    """A model of one function of its input and its weight `(4,)`."""

    def __init__(self, function: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.weight, self.function = nn.Parameter(torch.empty(4, device="meta")), function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, self.weight)


def traced(model: nn.Module, remember: bool = True, dtype: str = "float32", mode: str = "inference") -> Trace:
    record = InputRecord("x", tuple(X.shape), dtype)
    run = RunInfo("net", "net", (), "object", "", (record,), 1, mode)
    return trace_model(model, run, remember=remember)


def whole(monkeypatch: pytest.MonkeyPatch, model: nn.Module) -> Counter[bool]:
    """Count the calls of a third run that are noted from memory, by whether torch makes their views."""
    traced(model)
    traced(model)
    counts: Counter[bool] = Counter()
    replay = called.replay

    def counting(recorder: Any, call: Any, given: Any) -> Any:
        counts[call.native] += 1
        return replay(recorder, call, given)

    monkeypatch.setattr(called, "replay", counting)
    monkeypatch.setattr(layers, "replay", counting)
    traced(model)
    monkeypatch.undo()
    return counts


def both(function: Callable[[Any, torch.Tensor], Any], dtype: str = "float32") -> Trace:
    """Trace without memory, then until all is in it, and return the trace if all are equal."""
    return same(Net(function), dtype)


def same(model: nn.Module, dtype: str = "float32") -> Trace:
    fresh = traced(model, False, dtype)
    for _ in range(4):
        assert traced(model, True, dtype) == fresh
    return fresh


SEVERAL: dict[str, Callable[[Any, torch.Tensor], Any]] = {
    "a pair": lambda x, w: x.max(1),
    "its values alone": lambda x, w: torch.sort(x, -1)[0],
    "parts of one tensor": lambda x, w: [part + 1 for part in (x * 2).chunk(2, 1)],
    "views of what is given": lambda x, w: torch.stack(x.unbind(1)),
    "a view of a view": lambda x, w: x.transpose(1, 2).flatten(2)[:, 1:].contiguous(),
    "slices, None and dots": lambda x, w: x[:, None, ..., 1:4:2] * 2,
    "a mask": lambda x, w: x.masked_fill(x > 0, 0.0),
    "written in place": lambda x, w: F.relu(x * 1, inplace=True).add_(1),
    "written into a part": lambda x, w: _write(x * 1),
    "no copy": lambda x, w: x.contiguous().to(torch.float32).float() + 0,
    "a copy": lambda x, w: x.to(torch.float64).sum(),
    "one tensor twice": lambda x, w: x * x + torch.cat([x, x]).sum(),
    "two views of one storage": lambda x, w: torch.add(x[:, :2], x[:, 2:]),
    "einsum": lambda x, w: torch.einsum("nchw,c->nhw", x, w),
    "attention": lambda x, w: F.scaled_dot_product_attention(x, x, x),
    "attention that is masked": lambda x, w: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "dropout that does nothing": lambda x, w: F.dropout(x, 0.5, False) + 1,
    "dropout that does": lambda x, w: F.dropout(x, 0.5, True),
    "an iterator": lambda x, w: sum(part.sum() for part in x),
    "normalization": lambda x, w: F.batch_norm(x, w, w) + F.instance_norm(x),
    "resizing": lambda x, w: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
    "padding": lambda x, w: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "autocast": lambda x, w: _cast(x),
    "vmap": lambda x, w: torch.vmap(lambda row: row * w[:, None, None])(x) * w[:, None, None],
    "a gradient": lambda x, w: _gradient(x) + _gradient(x),
    "forward mode": lambda x, w: torch.func.jvp(lambda y: (y * 2).sin(), (x,), (x,))[1] + (x * 2).sin(),
    "a negated view": lambda x, w: (
        torch.sin(torch.complex(x, x).conj().imag).sum() + torch.sin(x) + torch.sin(torch.complex(x, x).conj().imag)
    ),
    "another default dtype": lambda x, w: _double(x),
    "deterministic algorithms": lambda x, w: _upsampled(x),
}


def _write(x: torch.Tensor) -> torch.Tensor:
    x[:, 1:2] = 0.0
    return x + 1


def _cast(x: torch.Tensor) -> torch.Tensor:
    plain = F.linear(x.flatten(2), torch.empty(3, 36, device="meta"))
    with torch.autocast("cpu", torch.bfloat16):
        return plain + F.linear(x.flatten(2), torch.empty(3, 36, device="meta"))


def _gradient(x: torch.Tensor) -> torch.Tensor:
    x = (x * 1).requires_grad_(False)
    with torch.enable_grad():
        x = x.requires_grad_(True)
        return torch.autograd.grad((x * x).sum(), x)[0]


def _double(x: torch.Tensor) -> torch.Tensor:
    whole = x.argmax(1) / x.argmin(1)
    torch.set_default_dtype(torch.float64)
    try:
        return whole + x.argmax(1) / x.argmin(1)
    finally:
        torch.set_default_dtype(torch.float32)


def _upsampled(x: torch.Tensor) -> list[torch.Tensor]:
    found = [torch.empty_like(x), F.interpolate(x, scale_factor=2.0, mode="bilinear")]
    torch.use_deterministic_algorithms(True)
    try:
        return [*found, torch.empty_like(x), F.interpolate(x, scale_factor=2.0, mode="bilinear")]
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", SEVERAL)
def test_a_call_from_memory_leaves_the_same_record(name: str) -> None:
    both(SEVERAL[name])


@given(
    st.lists(st.sampled_from(sorted(SEVERAL)), min_size=2, max_size=4),
    st.sampled_from(["float32", "bfloat16", "float64"]),
)
def test_calls_in_any_order(names: list[str], dtype: str) -> None:
    both(lambda x, w: [SEVERAL[name](x.float(), w) for name in names] + [x.sin()], dtype)


def test_torch_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    model = nn.Sequential(block, nn.Flatten(), nn.Linear(64, 5), nn.LayerNorm(5), nn.GELU())
    # six layers that make something (ReLU in place makes nothing new), and a view
    assert whole(monkeypatch, model) == {False: 6, True: 1}


def test_what_a_call_leaves_behind() -> None:
    trace = both(lambda x, w: F.max_pool2d(x, 2))  # its indices live as long as the call
    [indices] = [s for s in trace.storages if s.role == "activation" and s.died >= 0]
    assert (indices.numel, indices.nbytes, indices.born, indices.died) == (2 * 4 * 3 * 3, 8 * 2 * 4 * 3 * 3, 0, 1)


def test_the_attention_kernel_is_named_from_memory_too() -> None:
    model = Net(lambda x, w: F.scaled_dot_product_attention(x, x, x))
    assert [traced(model).attention for _ in range(3)] == [("flash",)] * 3


def test_nothing_is_remembered_where_gradients_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
    kernels.CALLS.clear()
    traced(model, mode="training")
    assert not any(kernels.CALLS.values())


def test_another_rule_for_an_op_forgets_the_calls_with_it() -> None:
    def rule(x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(x.shape)

    library = torch.library.Library("recall", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    traced(Net(lambda x, w: x + 1))
    assert any(kernels.CALLS.values())
    register_shape("recall.twice", rule)
    assert not any(kernels.CALLS.values())
    kernels.SHAPES.pop("recall.twice")


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: x.split(1, 1),
        lambda x, w: x[:, 1:3, ..., None],
        lambda x, w: F.scaled_dot_product_attention(x, x, x),
        lambda x, w: F.max_pool2d(x, 2),
        lambda x, w: torch.einsum("nchw,c->nhw", x, w),
        lambda x, w: x.topk(2),
    ],
)
def test_one_call_of_each(monkeypatch: pytest.MonkeyPatch, function: Callable[[Any, torch.Tensor], Any]) -> None:
    assert whole(monkeypatch, Net(function)).total() == 1


class Plus(nn.Linear):
    """A layer of somebody else's, which looks like one of torch's."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 1


class Awake(nn.Module):
    """A model that switches a layer of its own to training."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.inner(x)
        self.inner.train()
        return before + self.inner(x)


class Doubling(TorchFunctionMode):
    """Make every linear layer twice what it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return result * 2 if func is F.linear else result


class Watched(nn.Module):
    """A model that runs a layer of its own with and without a mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.inner(x)
        with Doubling():
            return before + self.inner(x)


def hooked() -> nn.Module:
    layer = nn.ReLU()
    layer.register_forward_hook(lambda module, args, output: output * 2)
    layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    return layer


def replaced() -> nn.Module:
    layer = nn.Linear(6, 6)
    layer.forward = lambda input: input * 2  # type: ignore[method-assign]
    return layer


def tied() -> nn.Module:
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    return nn.Sequential(first, second, first)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "a block": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
    "one layer many times": lambda: nn.Sequential(*[nn.ReLU()] * 3, *[nn.ReLU(inplace=True)] * 3),
    "normalizations": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.GroupNorm(2, 4)),
    "statistics of the batch": lambda: nn.BatchNorm2d(4, track_running_stats=False),
    "what does nothing": lambda: nn.Sequential(nn.Identity(), nn.Dropout(), nn.Identity()),
    "a view": lambda: nn.Sequential(nn.Flatten(), nn.Unflatten(1, (4, 36)), nn.Linear(36, 2)),
    "several outputs": lambda: nn.MaxPool2d(2, return_indices=True),
    "padding": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, 1, 1, 1, 1, True, "circular")),
    "recurrent": lambda: nn.Sequential(nn.Flatten(2), nn.LSTM(36, 5)),
    "attention": lambda: nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(36, 2, 8)),
    "tied weights": tied,
    "hooks": hooked,
    "a forward of its own": replaced,
    "a layer of another's": lambda: Plus(6, 6),
    "training in evaluation": Awake,
    "a mode of the model's": Watched,
    "a norm of the weights": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_from_memory_leaves_the_same_record(name: str) -> None:
    same(LAYERS[name]())


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_let_go_after_a_run(name: str) -> None:
    modules = inside(LAYERS[name]())
    before = [list(vars(module)) for _, module in modules]
    with watched(Recorder(modules), False, Attention("auto", "cpu")):
        during = [list(vars(module)) for _, module in modules]
    others = ("a forward of its own", "a layer of another's", "a norm of the weights")
    assert (during == before) == (name in others)
    assert [list(vars(module)) for _, module in modules] == before


def test_what_a_layer_of_anothers_does_may_change() -> None:
    class Moody(nn.Linear):
        more = 0

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) + 1 if self.more else super().forward(input)

    model = Moody(6, 6)
    few = [len(traced(model).ops) for _ in range(4)]
    Moody.more = 1
    assert len(traced(model).ops) == few[-1] + 1
    assert len(set(few)) == 1


def test_layers_of_torch_are_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    model = nn.Sequential(block, nn.Flatten(), nn.Linear(64, 5), nn.LayerNorm(5), nn.GELU(), nn.Identity())
    counts: Counter[str] = Counter()
    for kind in {type(module) for module in model.modules()}:
        forward = kind.forward

        def counting(self: Any, input: torch.Tensor, forward: Any = forward) -> Any:
            counts[type(self).__name__] += 1
            return forward(self, input)

        counting.__module__ = kind.__module__
        monkeypatch.setattr(kind, "forward", counting)
    traced(model)
    traced(model)
    counts.clear()
    traced(model)
    assert counts == {"Sequential": 2, "Flatten": 1}  # which holds others, and which is a view


def test_layers_that_differ_in_one_attribute_are_two() -> None:
    for stride in (1, 2, 1, 2, 1, 2, 1, 2):
        layer = nn.Conv2d(4, 4, 3, stride=stride)
        assert traced(layer) == traced(layer, False)
        layer.stride = (2, 1)
        assert traced(layer) == traced(layer, False)
    for eps in (1, 1.0, True) * 3:
        trace = traced(nn.LayerNorm(6, eps=eps))
        assert [type(value) for name, value in trace.modules[0].attributes if name == "eps"] == [type(eps)]


def test_a_function_that_somebody_replaced_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    for _ in range(3):
        fresh = traced(model)
    linear = F.linear
    monkeypatch.setattr(F, "linear", lambda *args: linear(*args) + 1)
    more = traced(model)
    assert len(more.ops) == len(fresh.ops) + 1
    assert more == traced(model, False)
    monkeypatch.undo()
    assert traced(model) == fresh


def test_hooks_on_all_modules_see_every_layer() -> None:
    seen: list[str] = []
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    traced(model)
    traced(model)
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, args, output: seen.append(type(module).__name__)
    )
    try:
        traced(model)
    finally:
        hook.remove()
    assert seen == ["Linear", "ReLU", "Sequential"]


def test_a_layer_that_is_called_wrongly_says_so() -> None:
    for _ in range(4):
        with pytest.raises(TraceError, match="Linear"):
            traced(nn.Linear(5, 5))
