"""What autograd does on a device and not on meta: its kernels are whole, a gradient is added in place."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.ops import Of, run
from tests.reality import cross_entropy, real_step
from vggcost import CostTable, VggcostError, analyze, memory
from vggcost.trace.whole import WHOLE, whole


class After(nn.Module):
    """A linear layer, and a function of what it returns."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], width: int = 64):
        super().__init__()
        self.linear, self.function = nn.Linear(width, width), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.linear(x))


class SwiGLU(nn.Module):
    def __init__(self, width: int = 64):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(width, 128), nn.Linear(width, 128), nn.Linear(128, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]


def peak(model: nn.Module, *inputs: torch.Tensor) -> int:
    return memory(model, inputs, optimizer="none", loss=cross_entropy).totals.peak_bytes


# Ops that are one kernel on a device


@pytest.mark.parametrize(
    "make",
    [lambda: After(F.silu), lambda: After(F.mish), lambda: After(lambda h: F.mish(F.silu(h))), SwiGLU],
    ids=["silu", "mish", "both", "swiglu"],
)
def test_a_backward_kernel_has_no_temporaries(make: Callable[[], nn.Module]) -> None:
    assert peak(make(), torch.rand(512, 64)) == real_step(make, lambda: (torch.rand(512, 64),)).peak


@pytest.mark.parametrize("activation", [F.silu, F.mish])
def test_the_peak_of_an_activation_on_paper(activation: Callable[[torch.Tensor], torch.Tensor]) -> None:
    # x, the layer's output, the activation's, log-softmax's, its gradient and the activation's; weights, the loss
    # and the total weight of its targets
    guess = memory(After(activation, 256), torch.empty(8192, 256), optimizer="none", loss=cross_entropy)
    assert guess.totals.peak_bytes == 6 * 4 * 8192 * 256 + 4 * (256 * 256 + 256) + 4 + 4 == 50_594_824


def of(table: CostTable, op: str) -> int:
    return dict(table.coverage.counted).get(op, 0)


@pytest.mark.parametrize("name", ["silu", "mish"])
@pytest.mark.parametrize("fallback", ["", "cpu"])
def test_it_is_one_op_with_its_price(name: str, fallback: str) -> None:
    table = analyze(Of(getattr(F, name), (4, 5)), "1", mode="training", convention="full", fallback=fallback)
    assert of(table, f"aten.{name}_backward") == 1
    assert not {"aten.sigmoid", "aten.softplus", "aten.tanh"} & dict(table.coverage.counted).keys()
    assert table.totals.backward_flops == 20 + 4 * 20 + 4  # of which the softmax's 4 an element, 1 a target


def test_the_ops_that_meta_takes_apart_are_those_of_torch() -> None:
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    composite = [
        name.removeprefix("aten::")
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("aten::") and has(name, "CompositeImplicitAutograd") and has(name, "CPU")
    ]
    apart = {name for name in composite if not has(f"aten::{name}", "Meta")}
    assert apart == {*WHOLE, "native_channel_shuffle"}  # which moves data, and is composed on CUDA


@pytest.mark.skipif(
    torch.torch_version.TorchVersion(torch.__version__) < "2.14", reason="torch took the path of products"
)
@pytest.mark.parametrize("mask", [None, (16, 16), (4, 16, 16)])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_attention_of_three_axes_has_a_kernel_too(mask: tuple[int, ...] | None, dropout: float) -> None:
    def function(h: torch.Tensor) -> torch.Tensor:
        q, k, v = h.view(3, 4, 16, 64).unbind(0)
        added = torch.zeros(mask, device=h.device) if mask else None
        return F.scaled_dot_product_attention(q, k, v, attn_mask=added, dropout_p=dropout).flatten(0, 1)

    table = run(After(function), "192x64", "training")
    kernel = "aten._scaled_dot_product_flash_attention_for_cpu"
    assert of(table, kernel) == of(table, f"{kernel}_backward") == (dropout == 0)
    # the layer's products, the scores and what is weighed by them
    assert table.totals.macs == 192 * 64 * 64 + 2 * 4 * 16 * 16 * 64


def tables() -> list[str]:
    return [torch._C._dispatch_dump_table(f"aten::{name}") for name in WHOLE]


def test_torch_is_as_it_was_after_a_run() -> None:
    before, net = tables(), nn.Sequential(nn.Linear(4, 4), nn.Mish())
    analyze(net, "4", mode="training")
    assert tables() == before
    with pytest.raises(VggcostError):
        analyze(net, "5", mode="training")
    assert tables() == before
    with whole():
        analyze(net, "4", mode="training")
        during = tables()
        assert during != before
        x = torch.ones(3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(F.mish, (x,))
    assert tables() == before


def test_runs_of_several_threads_share_it() -> None:
    before, inside, leave = tables(), threading.Event(), threading.Event()

    def other() -> None:
        with whole():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    net = nn.Sequential(nn.Linear(4, 4), nn.Mish())
    table = run(net, "4", "training")
    during = tables()
    leave.set()
    thread.join()
    assert of(table, "aten.mish_backward") == 1
    assert during != before
    assert tables() == before
