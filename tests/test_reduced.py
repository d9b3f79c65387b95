"""Losses that reduce what they have worked out for each element, against real steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.reality import real_step
from tests.test_accumulated import Layers
from vggcost import memory
from vggcost.trace.reduced import REDUCED

Loss = Callable[..., torch.Tensor]
LOSSES: dict[str, Loss] = {
    "aten.mse_loss": F.mse_loss,
    "aten.smooth_l1_loss": F.smooth_l1_loss,
    "aten.huber_loss": F.huber_loss,
    "aten.binary_cross_entropy": lambda output, *rest, **options: F.binary_cross_entropy(
        output.sigmoid(), *rest, **options
    ),
    "aten.binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}


def forward(layers: torch.nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    return layers[0](x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_loss_takes_what_it_really_does(name: str, reduction: str) -> None:
    def loss(output: torch.Tensor) -> torch.Tensor:
        each = LOSSES[name](output, torch.zeros_like(output), reduction=reduction)
        return each if reduction == "mean" else each.mean()

    real = real_step(lambda: Layers(forward, width=16), lambda: (torch.rand(4096, 16),), loss)
    report = memory(Layers(forward, width=16), torch.empty(4096, 16), optimizer="none", loss=loss)
    assert name in report.timeline.ops
    assert 0 <= real.peak - report.totals.peak_bytes <= 64


def test_the_others_are_known() -> None:
    unrolled = {"aten.im2col", "aten.col2im"}
    left = REDUCED.keys() - LOSSES.keys() - unrolled
    assert left == {"aten.soft_margin_loss"}  # whose backward kernel has temporaries of its own


@pytest.mark.parametrize(("kernel", "step"), [(3, 1), (2, 4)], ids=["more columns than image", "fewer"])
@pytest.mark.parametrize("folds", [True, False])
def test_columns_are_made_by_resizing(kernel: int, step: int, folds: bool) -> None:
    class Columns(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(8, 16, 1, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made = F.unfold(self.layer(x), kernel, stride=step)
            return F.fold(made, (32, 32), kernel, stride=step) if folds else made

    def loss(output: torch.Tensor) -> torch.Tensor:
        return (output * output).mean()

    x = torch.zeros(4, 8, 32, 32)
    real = real_step(Columns, lambda: (x.clone(),), loss)
    report = memory(Columns(), x, optimizer="none", loss=loss, threads=torch.get_num_threads())
    assert abs(real.peak - report.totals.peak_bytes) <= 0.001 * real.peak
