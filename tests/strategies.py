"""Random nets, each with its costs on paper."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn

from tests import closed_form


@dataclass
class Expected:
    """What a layer costs by the closed forms, for a batch."""

    path: str
    shape: tuple[int, ...]
    params: int
    macs: int
    backward: int


@dataclass
class Net:
    model: nn.Module
    input: str
    batch: int
    layers: list[Expected]


@st.composite
def chains(draw: st.DrawFn) -> Net:
    """A chain of convolutions, pools, ReLUs and batch norms, then linear layers."""
    batch, side, channels = draw(st.integers(1, 3)), draw(st.integers(9, 24)), draw(st.integers(1, 4))
    text = f"{channels}x{side}x{side}"
    modules: list[nn.Module] = []
    expected: list[Expected] = []

    def add(module: nn.Module, params: int, macs: int, backward: int) -> None:
        expected.append(
            Expected(str(len(modules)), (batch, channels, side, side), params, macs * batch, backward * batch)
        )
        modules.append(module)

    first = True
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["conv", "conv", "relu", "pool", "norm"]))
        if kind == "conv":
            groups = draw(st.sampled_from([g for g in (1, 2, 4) if channels % g == 0]))
            out = groups * draw(st.integers(1, 4))
            kernel, stride, padding, dilation = (draw(st.integers(*r)) for r in ((1, 4), (1, 3), (0, 2), (1, 2)))
            bias = draw(st.booleans())
            if closed_form.out_size(side, kernel, stride, padding, dilation) < 1:
                continue
            module = nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias)
            side, params, macs = closed_form.conv(channels, side, out, kernel, stride, padding, dilation, groups, bias)
            channels = out
            add(module, params, macs, macs if first else 2 * macs)
            first = False
        elif kind == "relu":
            add(nn.ReLU(inplace=draw(st.booleans()) and not first), 0, 0, 0)
        elif kind == "norm":
            add(nn.BatchNorm2d(channels), 2 * channels, 0, 0)
            first = False
        else:
            kernel, stride, up = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.booleans())
            if side < kernel:
                continue
            pool = (
                nn.MaxPool2d(kernel, stride, ceil_mode=up)
                if draw(st.booleans())
                else nn.AvgPool2d(kernel, stride, ceil_mode=up)
            )
            side = closed_form.out_size(side, kernel, stride, up=up)
            add(pool, 0, 0, 0)
    modules.append(nn.Flatten())
    width = channels * side * side
    for _ in range(draw(st.integers(1, 2))):
        out, bias = draw(st.integers(2, 6)), draw(st.booleans())
        params, macs = closed_form.linear(width, out, bias)
        expected.append(
            Expected(str(len(modules)), (batch, out), params, macs * batch, (macs if first else 2 * macs) * batch)
        )
        modules.append(nn.Linear(width, out, bias))
        width, first = out, False
    return Net(nn.Sequential(*modules), text, batch, expected)


shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@st.composite
def meta_tensors(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    """A contiguous, transposed or channels-last tensor on meta."""
    shape = shape or draw(shapes)
    x = torch.empty(shape, dtype=draw(st.sampled_from([torch.float32, torch.float16])), device="meta")
    looks = draw(st.sampled_from(["plain", "plain", "transposed", "channels_last"]))
    if looks == "transposed" and x.dim() >= 2:
        x = torch.empty((*shape[:-2], shape[-1], shape[-2]), dtype=x.dtype, device="meta").transpose(-1, -2)
    elif looks == "channels_last" and x.dim() == 4:
        x = x.to(memory_format=torch.channels_last)
    return x
