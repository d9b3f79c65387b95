"""What convolutions take inside on the CPU, against real steps and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.reality import real_step
from vggcost import memory
from vggcost.trace.scratch import Inside
from vggcost.trace.scratch.geometry import beyond

THREADS = torch.get_num_threads()
like_here = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512", reason="the rules are those of CPUs with AVX-512"
)


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "3x3": (lambda: flat(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 32, 3, padding=1)), (4, 3, 32, 32)),
    "1x1 and strided": (lambda: flat(nn.Conv2d(8, 48, 1), nn.ReLU(), nn.Conv2d(48, 20, 3, 2, 1)), (3, 8, 24, 24)),
    "depthwise 7x7": (lambda: flat(nn.Conv2d(32, 32, 7, padding=3, groups=32), nn.GELU()), (4, 32, 28, 28)),
    "grouped": (lambda: flat(nn.Conv2d(32, 64, 3, padding=1, groups=4), nn.ReLU()), (4, 32, 16, 16)),
    "dilated": (lambda: flat(nn.Conv2d(16, 32, 3, padding=4, dilation=4), nn.ReLU()), (2, 16, 32, 32)),
    "transposed": (lambda: flat(nn.ConvTranspose2d(16, 32, 4, 2, 1), nn.ReLU()), (4, 16, 16, 16)),
    "one small image": (lambda: flat(nn.Conv2d(16, 32, 3), nn.ReLU()), (1, 16, 12, 12)),
    "3 axes": (
        lambda: nn.Sequential(nn.Conv3d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv3d(16, 8, 3, 2), nn.Flatten()),
        (2, 3, 8, 16, 16),
    ),
    "3 axes, transposed": (lambda: nn.Sequential(nn.ConvTranspose3d(8, 16, 2, 2), nn.Flatten()), (2, 8, 6, 8, 8)),
    "1 axis": (lambda: nn.Sequential(nn.Conv1d(16, 64, 5, padding=2), nn.ReLU(), nn.Flatten()), (4, 16, 256)),
}


@like_here
@pytest.mark.parametrize("name", NETS)
def test_the_peak_is_that_of_a_real_step(name: str) -> None:
    make, shape = NETS[name]
    real = real_step(make, lambda: (torch.rand(shape),)).peak
    found = memory(make(), (torch.rand(shape),), optimizer="none", threads=THREADS)
    assert found.peak.bytes == pytest.approx(real, rel=0.01)


@like_here
def test_without_it_a_peak_is_far_below() -> None:
    """The mutation that the test above catches: 3-D convolutions took a third more than their tensors."""
    make, shape = NETS["3 axes"]
    real = real_step(make, lambda: (torch.rand(shape),)).peak
    assert memory(make(), (torch.rand(shape),), optimizer="none", threads=0).peak.bytes < 0.9 * real


def test_it_is_a_role_of_the_cpu_and_does_not_follow_to_cuda() -> None:
    make, shape = NETS["3 axes"]
    given = (torch.rand(shape),)
    here, there = (memory(make(), given, optimizer="none", device=device) for device in ("cpu", "cuda"))
    assert max(here.timeline.bytes["scratch"]) > 0
    assert not any(there.timeline.bytes["scratch"])


def test_columns_of_a_deformable_convolution_are_a_tensor_on_every_device() -> None:
    """Of an image (2, 4, 8, 8) with 3x3 and 6 outputs: 4·9 numbers for each of 2·64 places, and the product twice."""
    x, weight, offset = torch.empty(2, 4, 8, 8), torch.empty(6, 4, 3, 3), torch.empty(2, 18, 8, 8)
    columns, made = 4 * 4 * 9 * 2 * 64, 4 * 2 * 6 * 64
    for device in ("cpu", "cuda"):
        assert Inside(device, 2)("torchvision.deform_conv2d", (x, weight, offset)) == ("temporary", columns + 2 * made)


def test_columns_of_a_convolution_that_torch_runs_itself() -> None:
    """One small image is unrolled: 3·3 numbers of 16 channels for each of 10·10 places."""
    args: tuple[Any, ...] = (
        torch.empty(1, 16, 12, 12),
        torch.empty(32, 16, 3, 3),
        None,
        [1, 1],
        [0, 0],
        [1, 1],
        False,
        [0, 0],
        1,
    )
    assert Inside("cpu", 1)("aten.convolution", args) == ("scratch", 4 * 16 * 9 * 100)
    assert Inside("cpu", 0)("aten.convolution", args) == ("", 0)
    assert Inside("cuda", 1)("aten.convolution", args) == ("", 0)


def test_the_most_beyond_what_is_left() -> None:
    assert beyond(100, 50, -100, 50, -50) == 100
    assert beyond() == beyond(10) == 0
