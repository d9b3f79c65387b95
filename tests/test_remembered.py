"""What is remembered of an op is what torch's own kernel gives: with and without memory, all records are equal."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vggcost import VggcostError
from vggcost._analyze import prepared
from vggcost.cost import convention, cost_table, custom, table
from vggcost.records import Arguments, InputRecord, RunInfo, Trace
from vggcost.trace import kernels, trace_model
from vggcost.zoo import VARIANTS

MODES = ("inference", "training")


def traced(
    model: nn.Module, arguments: Arguments, mode: str, remember: bool = True, assume: Mapping[str, int] | None = None
) -> Trace:
    run = RunInfo("net", "net", (), "object", "", arguments.inputs, 1, mode)
    return trace_model(model, run, arguments=arguments, remember=remember, assume=assume or {})


def check(spec: str) -> None:
    # two images: BatchNorm cannot be trained on one pixel
    loaded, _, arguments = prepared(spec, None, 2, "inference", [], {})
    ran = 0
    for mode in MODES:
        try:
            fresh = traced(loaded.model, arguments, mode, False, loaded.assume)
        except VggcostError:  # detection models cannot be trained without their targets
            continue
        assert (
            traced(loaded.model, arguments, mode, True, loaded.assume) == fresh
        )  # cold: as the models before left the memory
        assert (
            traced(loaded.model, arguments, mode, True, loaded.assume) == fresh
        )  # and with this model's own ops in it
        ran += 1
    assert ran


@pytest.mark.parametrize("name", [variant.name for variant in VARIANTS])
def test_every_net_of_the_zoo(name: str) -> None:
    check(name)


def torchvision_models() -> list[str]:
    try:
        from torchvision.models import list_models
    except (ImportError, RuntimeError):  # RuntimeError: it does not fit this torch
        return []
    return list_models()[::2][:50]


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision_models())
def test_fifty_of_torchvision(name: str) -> None:
    check(f"torchvision:{name}")


# Ops with random arguments


class Gated(nn.Module):
    """A function behind a layer with parameters, so that it can be trained."""

    def __init__(self, function: Callable[[torch.Tensor], Any], width: int) -> None:
        super().__init__()
        self.gate, self.function = nn.Linear(width, width), function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self.gate(x))


sizes = st.integers(1, 4)
maybe = st.booleans()
dims = st.integers(-3, 2)


def layer(draw: Any) -> tuple[Callable[[torch.Tensor], Any], tuple[int, ...]]:
    """A function of a tensor `(a, b, c)` or `(N, C, H, W)`, and that shape; it may refuse it."""
    a, b, c = draw(sizes), draw(sizes), draw(sizes)
    kernel, stride, pad, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(sizes)
    d, e, flag = draw(dims), draw(dims), draw(maybe)
    images = (a, 2 * groups, b + 3, c + 3)
    conv = nn.Conv2d(2 * groups, 3 * groups, kernel, stride, pad, groups=groups, bias=flag)
    up = nn.ConvTranspose2d(2 * groups, groups, kernel, stride, groups=groups, bias=flag)
    choices: list[tuple[Any, tuple[int, ...]]] = [
        (conv, images),
        (up, images),
        (nn.BatchNorm2d(2 * groups, affine=flag), images),
        (nn.GroupNorm(groups, 2 * groups), images),
        (nn.MaxPool2d(kernel, stride, min(pad, kernel // 2), ceil_mode=flag), images),
        (nn.AdaptiveAvgPool2d((b, c)), images),
        (nn.Upsample(scale_factor=kernel, mode="nearest"), images),
        (nn.Linear(c, b, bias=flag), (a, b, c)),
        (nn.LayerNorm(c, elementwise_affine=flag), (a, b, c)),
        (nn.MultiheadAttention(2 * c, 2, batch_first=flag), ()),
        (lambda x: x.transpose(d, e).reshape(-1, a) @ x.reshape(a, -1), (a, b, c)),
        (lambda x: x.sum(d, keepdim=flag) + x.amax(e, keepdim=flag), (a, b, c)),
        (lambda x: torch.cat((x, x * 2), d).softmax(e).permute(2, 0, 1).contiguous(), (a, b, c)),
        (lambda x: x.unsqueeze(d).expand(a, -1, -1, -1).flatten(1)[:, ::stride], (a, b, c)),
        (lambda x: x.relu_().add_(1).mul_(x).clone().fill_(2).sub_(x.mean(d, keepdim=True)), (a, b, c)),
        (lambda x: x.split(stride, d)[0].chunk(kernel, e)[-1].tril(), (a, b, c)),
        (lambda x: x.to(torch.float16).float().clamp(min=0).where(x > 0, x.exp()), (a, b, c)),
        (lambda x: x.new_zeros(b, c).addmm(x[0], x[0].t() if b == c else x[0].new_ones(c, c)), (a, b, c)),
        (lambda x: x.roll(stride, d).squeeze(e).movedim(0, -1) * kernel, (a, b, c)),
    ]
    made, shape = draw(st.sampled_from(choices))
    if isinstance(made, nn.MultiheadAttention):
        attention = made
        return (lambda x: attention(x, x, x, need_weights=flag)[0]), (a, b, 2 * c)
    return made, shape


@st.composite
def nets(draw: Any) -> tuple[nn.Module, tuple[int, ...]]:
    function, shape = layer(draw)
    return Gated(function, shape[-1]), shape


@given(nets())
def test_ops_with_random_arguments(found: tuple[nn.Module, tuple[int, ...]]) -> None:
    model, shape = found
    arguments = Arguments((InputRecord("x", shape, "float32"),))
    for mode in MODES:
        try:
            fresh = traced(model, arguments, mode, remember=False)
        except VggcostError as error:
            with pytest.raises(VggcostError) as again:
                traced(model, arguments, mode)
            assert str(again.value) == str(error)
            continue
        for _ in range(2):
            assert traced(model, arguments, mode) == fresh


# What stands for time


def computed(monkeypatch: pytest.MonkeyPatch, model: nn.Module, arguments: Arguments, mode: str) -> Counter[str]:
    """The ops that a second run of a model gives to torch's kernels or our rules, other than views."""
    traced(model, arguments, mode)
    counts: Counter[str] = Counter()
    compute = kernels._compute

    def counting(plan: Any, *args: Any) -> Any:
        counts[plan.name] += 1
        return compute(plan, *args)

    monkeypatch.setattr(kernels, "_compute", counting)
    traced(model, arguments, mode)
    monkeypatch.undo()
    return counts


@pytest.mark.parametrize("mode", MODES)
def test_a_second_run_computes_nothing_again(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    block = [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    model = nn.Sequential(*block, nn.Flatten(), nn.Linear(8 * 36, 5), nn.LayerNorm(5), nn.GELU(), nn.Softmax(-1))
    arguments = Arguments((InputRecord("x", (2, 8, 6, 6), "float32"),))
    # BatchNorm's reserve, an empty real tensor, and its step counter; the loss's first gradient
    assert set(computed(monkeypatch, model, arguments, mode)) <= {"aten.empty", "aten.add_", "aten.ones_like"}


def test_a_block_that_repeats_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def calls(blocks: int) -> int:
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
        model = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)
        for plan in kernels._plans.values():
            plan.memory.clear()
        kernels.CALLS.clear()
        counts = 0
        compute = kernels._compute

        def counting(*args: Any) -> Any:
            nonlocal counts
            counts += 1
            return compute(*args)

        monkeypatch.setattr(kernels, "_compute", counting)
        traced(model, Arguments((InputRecord("x", (1, 6, 16), "float32"),)), "inference")
        monkeypatch.undo()
        return counts

    assert calls(2) == calls(12)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_leaves_no_circles_to_be_collected(mode: str) -> None:
    model = nn.Sequential(*(layer for _ in range(100) for layer in (nn.Linear(4, 4), nn.ReLU())))
    arguments = Arguments((InputRecord("x", (2, 4), "float32"),))
    traced(model, arguments, mode)
    gc.collect()
    gc.disable()
    try:
        traced(model, arguments, mode)
        found = gc.collect()
    finally:
        gc.enable()
    assert found < 20, found  # of 200 layers


def test_a_view_that_makes_nothing() -> None:
    model = Gated(lambda x: torch.stack([*x[:, :0].unbind(1), x[:, 0]]), 3)
    arguments = Arguments((InputRecord("x", (2, 3), "float32"),))
    assert traced(model, arguments, "inference") == traced(model, arguments, "inference", remember=False)


def test_rows_that_are_alike_are_priced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a table, and in the next tables of the process; not while a user states costs, which may change."""
    loaded, _, arguments = prepared("resnet-50", None, 1, "inference", [], {})
    trace, rule = traced(loaded.model, arguments, "training"), convention("full")
    worked: list[str] = []

    def work(module: Any, *others: Any) -> dict[str, Any]:
        worked.append(module.path)
        return real(module, *others)

    real = table._work
    monkeypatch.setattr(table, "_work", work)
    monkeypatch.setattr(custom, "_macs", {})
    monkeypatch.setattr(custom, "_prices", {})
    table._remembered.cache_clear()
    first = cost_table(trace, rule)
    assert 0 < len(worked) < len(first.layers) / 2
    worked.clear()
    assert cost_table(trace, rule) == first
    assert not worked
    assert cost_table(trace, convention("torch")).totals.macs == first.totals.macs
    assert worked
    worked.clear()
    custom._macs["own.op"] = lambda op: 1
    assert cost_table(trace, rule) == first
    assert worked
