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

from vggcost.records import InputRecord, RunInfo, Trace
from vggcost.trace import called, kernels, register_shape, trace_model

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
    traced(model)
    monkeypatch.undo()
    return counts


def both(function: Callable[[Any, torch.Tensor], Any], dtype: str = "float32") -> Trace:
    """Trace without memory, then until all is in it, and return the trace if all are equal."""
    model = Net(function)
    fresh = traced(model, False, dtype)
    for _ in range(3):
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
