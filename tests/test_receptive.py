"""The receptive field against what gradients of real runs show, on nets of all kinds and on chains drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vggcost import analyze
from vggcost.cost.geometry import Geometry
from vggcost.cost.receptive import fields_of
from vggcost.records import InputRecord, RunInfo
from vggcost.report.comparison import compare
from vggcost.trace import trace_model

Step = Callable[[torch.Tensor], torch.Tensor]
Window = tuple[int, int]


class Chain(nn.Module):
    """Functions and layers one after the other, and a layer that shows what came of them."""

    def __init__(self, *steps: Step) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))
        self.out = nn.Softplus()

    def __repr__(self) -> str:  # for a test that fails
        return f"Chain({', '.join(str(getattr(step, '__qualname__', step)) for step in self.steps)})"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return self.out(x)


def fields(model: nn.Module, *shape: int) -> tuple[object, object]:
    """Receptive field and jump of the last layer."""
    row = next(layer for layer in analyze(model, torch.empty(shape)).layers if layer.path == "out")
    return row.receptive_field, row.jump


def geometry(model: nn.Module, *shape: int) -> Geometry | None:
    run = RunInfo("net", "net", (), "object", "", (InputRecord("x", shape, "float32"),), shape[0], "inference")
    trace = trace_model(model, run)
    source = next(i for i, storage in enumerate(trace.storages) if storage.role == "input")
    at, out = next((i, m) for i, m in enumerate(trace.modules) if m.path == "out")
    return fields_of(trace.ops, {source: shape}).geometry(at, out.outputs[0], out.output_shapes[0])


def positions(g: Geometry, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], dict[int, Window]]]:
    """For each position of a tensor of this geometry, what it sees along the input's axes."""
    for at in product(*map(range, shape)):
        starts = {span.of: span.start for span in g.spans}
        for index, axis in zip(at, g.axes, strict=True):
            inner = 1
            for part in reversed(axis):
                if part.of > 0:
                    starts[part.of] += index // inner % part.size * part.jump
                inner *= part.size
        yield at, {span.of: (starts[span.of], starts[span.of] + span.field - 1) for span in g.spans}


def measured(
    model: nn.Module, shape: tuple[int, ...], most: int = 60
) -> Iterator[tuple[tuple[int, ...], dict[int, Window]]]:
    """For some output positions, the first and the last input position with a gradient, along each axis."""
    model = model.double().eval()
    for p in model.parameters():
        p.data.uniform_(0.5, 1.0)  # nothing cancels
    x = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    y = model(x)
    found = list(product(*map(range, y.shape)))
    for at in random.Random(0).sample(found, min(most, len(found))):
        (g,) = torch.autograd.grad(y[at], x, retain_graph=True)
        seen = g.nonzero()
        if len(seen):
            yield at, {i: (int(seen[:, i].min()), int(seen[:, i].max())) for i in range(1, len(shape))}


# Nets that people write


def conv(a: int, b: int, k: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(a, b, k, stride, k // 2)


VIDEO = (2, 8, 3, 32, 32)  # clips of 8 frames


NETS: list[tuple[list[Step], tuple[int, ...], object, object]] = [
    # frames folded into the batch: each sees itself, and a mean over them all of them
    ([lambda x: x.flatten(0, 1), conv(3, 4), conv(4, 4, 3, 2)], VIDEO, (1, 5, 5), (1, 2, 2)),
    (
        [lambda x: x.flatten(0, 1), conv(3, 4, 3, 2), lambda x: x.mean((2, 3)), lambda x: x.unflatten(0, (2, 8)), lambda x: x.mean(1)],
        VIDEO, (8, 3 + 15 * 2, 3 + 15 * 2), (1, 2, 2),
    ),
    (
        [lambda x: x.flatten(0, 1), conv(3, 4), lambda x: x.unflatten(0, (2, 8)).transpose(1, 2), nn.AvgPool3d((4, 2, 2))],
        VIDEO, 4, (4, 2, 2),
    ),
    (
        [lambda x: x.flatten(0, 1), conv(3, 4, 3, 2), lambda x: x.mean((2, 3)).unflatten(0, (2, 8)).transpose(1, 2), nn.AvgPool1d(4)],
        VIDEO, (4, 33, 33), (4, 2, 2),
    ),
    # given as one batch, frames are none of the input's map
    ([conv(3, 4), lambda x: x.unflatten(0, (2, 8)).transpose(1, 2), nn.MaxPool3d((8, 2, 2))], (16, 3, 32, 32), 4, 2),
    ([conv(3, 4), lambda x: x.mean((2, 3)).unflatten(0, (2, 8)).transpose(1, 2), nn.AvgPool1d(8)], (16, 3, 32, 32), 34, 1),
    ([lambda x: x[:, 3], conv(3, 4)], VIDEO, (1, 3, 3), 1),
    # an axis that a convolution used up
    ([nn.Conv3d(3, 4, (8, 3, 3)), lambda x: x.squeeze(2), nn.MaxPool2d(2)], (2, 3, 8, 32, 32), (8, 4, 4), (1, 2, 2)),
    ([nn.Conv3d(3, 4, 3), lambda x: x.mean(2), nn.AvgPool2d(2), conv(4, 4)], (2, 3, 8, 32, 32), 8, (1, 2, 2)),
    ([nn.Conv2d(1, 4, (128, 3)), lambda x: x.squeeze(2), nn.MaxPool1d(4), nn.Conv1d(4, 4, 3)], (2, 1, 128, 64), (128, 14), (1, 4)),
    ([nn.Conv1d(3, 4, 3), lambda x: x.unsqueeze(2), nn.MaxPool2d((1, 2)), nn.Conv2d(4, 4, (1, 3))], (2, 3, 64), 8, 2),
    # patches, by a convolution and by hand
    ([nn.Conv2d(3, 8, 16, 16), lambda x: x.flatten(2).transpose(1, 2), nn.LayerNorm(8), nn.Linear(8, 24)], (1, 3, 64, 64), 16, 16),
    (
        [
            lambda x: x.unflatten(3, (4, 16)).unflatten(2, (4, 16)).permute(0, 2, 4, 3, 5, 1).reshape(1, 16, 768),
            nn.Linear(768, 8), nn.LayerNorm(8), nn.Linear(8, 24),
        ],
        (1, 3, 64, 64), 16, 16,
    ),
    ([lambda x: F.pixel_unshuffle(x, 4), conv(48, 8)], (1, 3, 64, 64), 12, 4),
    (
        [lambda x: torch.cat([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1), conv(12, 8)],  # Focus
        (1, 3, 64, 64), 6, 2,
    ),
    ([lambda x: x.unfold(2, 4, 2).unfold(3, 4, 2).sum((4, 5))], (1, 3, 32, 32), 4, 2),
    # channels last, and as many channels as rows and columns
    (
        [conv(3, 24, 5), lambda x: x.permute(0, 2, 3, 1), nn.LayerNorm(24), nn.Linear(24, 24), lambda x: x.permute(0, 3, 1, 2), conv(24, 24)],
        (1, 3, 24, 24), 7, 1,
    ),
    # the whole map: classifiers, gates, tokens mixed
    ([lambda x: x.flatten(1), nn.Linear(784, 10)], (1, 1, 28, 28), 28, 1),
    ([conv(3, 4, 3, 2), lambda x: x * x.mean((2, 3), keepdim=True), conv(4, 4)], (1, 3, 32, 32), 37, 2),
    ([conv(3, 4, 4, 4), lambda x: x.flatten(2), nn.Linear(64, 64)], (1, 3, 29, 29), 32, 4),
    ([conv(3, 4), nn.AdaptiveAvgPool2d(4)], (1, 3, 32, 32), 10, 8),
    ([conv(3, 4), nn.AdaptiveAvgPool2d(32)], (1, 3, 32, 32), 3, 1),
    # branches whose windows lie apart
    ([lambda x: F.avg_pool2d(x[..., 2:, :], 2, 1)[..., :29, :29] + x[..., :29, :29]], (1, 3, 32, 32), (4, 2), 1),
    # no window
    ([nn.Conv2d(3, 8, 8, 8), lambda x: torch.cat([x.flatten(2).mT[:, :1], x.flatten(2).mT], 1), lambda x: x.mean(1)], (1, 3, 64, 64), None, None),
    ([nn.Conv2d(3, 8, 8, 8), lambda x: F.scaled_dot_product_attention(*[x.flatten(2).mT] * 3)], (1, 3, 64, 64), None, None),
    ([conv(3, 4), nn.AdaptiveAvgPool2d(5)], (1, 3, 32, 32), None, None),
    ([conv(3, 4), lambda x: F.interpolate(x, scale_factor=2), conv(4, 4)], (1, 3, 32, 32), None, None),
    ([conv(3, 4), lambda x: x - x[..., :1]], (1, 3, 32, 32), None, None),
    ([lambda x: x, nn.Linear(64, 8)], (1, 10, 64), None, None),  # a sequence of features
    ([lambda x: (x.narrow(3, 0, 30), x.narrow(3, 1, 30))[0], conv(3, 4)], (1, 3, 32, 32), None, None),  # which of the two?

]  # fmt: skip


@pytest.mark.parametrize("number", range(len(NETS)))
def test_receptive_field_of(number: int) -> None:
    steps, shape, field, jump = NETS[number]
    assert fields(Chain(*steps), *shape) == (field, jump)


def test_an_op_without_outputs_is_passed_over() -> None:
    class Decides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = conv(3, 4), conv(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.out(x if x.mean() > 1 else x.relu())

    for options in ({"assume": {"item": 1}}, {"fallback": "cpu"}):
        rows = analyze(Decides(), "3x8x8", **options).layers
        assert [row.receptive_field for row in rows if row.path in ("conv", "out")] == [3, 5]


@pytest.mark.parametrize(
    ("name", "field"),
    # Araujo, Norris & Sim 2019, Distill, table of ConvNet architectures
    [("torchvision:inception_v3", 1311), ("timm:inception_v4", 2071), ("timm:mobilenetv1_100", 315), ("resnet-50", 483), ("vgg16", 196),
     ("torchvision:vit_b_16", None), ("torchvision:swin_t", None), ("timm:mobilevit_s", None)],
)  # fmt: skip
def test_the_receptive_field_of_a_model_is_one_everywhere(name: str, field: int | None) -> None:
    if ":" in name:
        pytest.importorskip(name.partition(":")[0])
    table = analyze(name)
    assert compare([table]).rows[0].values["receptive_field"] == field
    weights = [layer for layer in table.layers if layer.macs]
    assert (weights[-1].receptive_field is None) is (field is None)


# Chains drawn at random

CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
POOLS = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}
ADAPTIVE = {3: F.adaptive_avg_pool1d, 4: F.adaptive_avg_pool2d, 5: F.adaptive_avg_pool3d}
Draw = Callable[[int, int], int]


def _conv(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    groups = shape[1] if n(0, 3) == 3 else 1
    return CONVOLUTIONS[len(shape)](
        shape[1], groups * n(1, 2), n(1, 3), n(1, 2), n(0, 2) * pad, n(1, 2), groups, bias=False
    )


def _pool(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    kernel, stride, padding = n(1, 3), n(1, 3), n(0, 1) * pad
    return lambda x: POOLS[len(shape)](x, kernel, stride, min(padding, kernel // 2))


def _adaptive(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    sizes = tuple((1, size, max(size // 2, 1))[n(0, 2)] for size in shape[2:])
    return lambda x: ADAPTIVE[len(shape)](x, sizes)


def _permute(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    order = random.Random(n(0, 99)).sample(range(len(shape)), len(shape))
    return lambda x: x.permute(order)


def _flatten(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    end = n(at, len(shape) - 1)
    return lambda x: x.flatten(at, end)


def _unflatten(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    factor = n(2, 3)
    sizes = (shape[at] // factor, factor) if n(0, 1) else (factor, shape[at] // factor)
    return lambda x: x.unflatten(at, sizes)


def _sum(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    keep = bool(n(0, 1))
    return lambda x: x.sum(at, keepdim=keep)


def _slice(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    chosen = slice(n(0, 2), None, n(1, 3))
    return lambda x: x[(*[slice(None)] * at, chosen)]


def _select(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    index = n(0, shape[at] - 1)
    return lambda x: x.select(at, index)


def _linear(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    return nn.Linear(shape[-1], n(1, 3), bias=False)


def _windows(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    size, every = n(1, 3), n(1, 3)
    return lambda x: x.unfold(at, size, every)


def _neighbours(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    """Each position and the next, two views of one shape."""
    return lambda x: x.narrow(at, 0, shape[at] - 1) + x.narrow(at, 1, shape[at] - 1)


def _padded(n: Draw, shape: tuple[int, ...], at: int, pad: int) -> Step:
    pads = n(0, 2) * pad, n(0, 2) * pad
    return lambda x: F.pad(x, pads)


STEPS: list[Callable[[Draw, tuple[int, ...], int, int], Step]] = [
    _conv, _conv, _conv, _pool, _pool, _adaptive, _permute, _flatten, _unflatten, _sum, _slice, _select, _linear,
    _windows, _neighbours, _padded,
    lambda n, shape, at, pad: lambda x: x.unsqueeze(at),
    lambda n, shape, at, pad: lambda x: x.squeeze(),
    lambda n, shape, at, pad: lambda x: x + x.relu(),
    lambda n, shape, at, pad: lambda x: F.pixel_unshuffle(x, 2),
    lambda n, shape, at, pad: lambda x: x.reshape(shape[0] * shape[1], *shape[2:]),  # frames into the batch
    lambda n, shape, at, pad: lambda x: x.contiguous(),
]  # fmt: skip
RARE: list[Step] = [
    lambda x: x.flip(-1), lambda x: x.roll(1, -1), lambda x: x.softmax(-1), lambda x: x.t(), lambda x: x.transpose(-1, 0), lambda x: F.glu(x, -1), lambda x: x.unbind(-1)[-1], lambda x: x.split(2, -1)[-1], lambda x: x.max(-1)[0], lambda x: x.cumsum(-1), lambda x: x.sort(-1)[0],
    lambda x: x @ x.transpose(-1, -2), lambda x: x[..., :1] * x, lambda x: x.abs().add_(x), lambda x: F.interpolate(x, scale_factor=2),
    lambda x: torch.cat([x[:, :1], x], 1), lambda x: torch.cat([x[..., ::2], x[..., 1::2]], 1), lambda x: torch.stack([x, x], 1), lambda x: torch.zeros_like(x).copy_(x),
    lambda x: x.amax(-1), lambda x: x.sum(), lambda x: x.diagonal(0, -1, -2),
    lambda x: x.as_strided(x.shape, x.stride()), lambda x: torch.fft.rfft(x).abs(), lambda x: x.expand(2, *x.shape),
]  # fmt: skip


@st.composite
def nets(draw: st.DrawFn, pad: int = 0, rare: bool = False) -> tuple[Chain, tuple[int, ...]]:
    """A net of a few steps that can be done one after the other, and the shape of its input."""

    def n(least: int, most: int) -> int:
        return draw(st.integers(least, max(least, most)))

    axes = n(1, 3)
    shape = (n(1, 2), n(1, 3), *(n(4, {1: 24, 2: 12, 3: 7}[axes]) for _ in range(axes)))
    steps: list[Step] = []
    x = torch.empty(shape, device="meta")
    for _ in range(n(2, 14)):
        size = tuple(x.shape)
        try:
            if rare and n(0, 3) == 0:
                made = draw(st.sampled_from(RARE))
            else:
                made = draw(st.sampled_from(STEPS))(n, size, n(0, len(size) - 1), pad)
            after = made.to("meta")(x) if isinstance(made, nn.Module) else made(x)
        except (RuntimeError, KeyError, IndexError, ValueError, ZeroDivisionError, TypeError):
            continue  # it cannot be done here
        if 0 < after.numel() < 3000:
            x = after
            steps.append(made.to_empty(device="cpu") if isinstance(made, nn.Module) else made)
    return Chain(*steps), shape


@given(nets())
@settings(max_examples=300)
def test_every_position_sees_what_its_gradient_reaches(net: tuple[Chain, tuple[int, ...]]) -> None:
    model, shape = net
    g = geometry(model, *shape)
    if g is None:
        return
    known = dict(positions(g, tuple(model(torch.zeros(shape)).shape)))
    lost = any(part.of == -2 for axis in g.axes for part in axis)
    for at, seen in measured(model, shape):
        for axis, window in known[at].items():
            if axis != 1 and not lost:  # the input's channels are none of its map
                assert window == seen[axis]


@given(nets(pad=1, rare=True))
@settings(max_examples=300)
def test_nothing_sees_beyond_its_window(net: tuple[Chain, tuple[int, ...]]) -> None:
    model, shape = net
    g = geometry(model, *shape)
    if g is None or any(part.of == -2 for axis in g.axes for part in axis):
        return
    known = dict(positions(g, tuple(model(torch.zeros(shape)).shape)))
    for at, seen in measured(model, shape):
        for axis, (first, last) in known[at].items():
            assert axis == 1 or (first <= seen[axis][0] and seen[axis][1] <= last)
