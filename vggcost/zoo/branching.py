"""Nets whose layers are no chain: ResNet with bottlenecks, and GoogLeNet."""

from __future__ import annotations

import torch
from torch import nn

from vggcost.zoo.variants import Variant

__all__ = ["GoogLeNet", "ResNet"]


def _conv_norm(channels: int, out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out)]


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 with a shortcut; the first block of a stage projects it (He et al. 2015, figure 5)."""

    def __init__(self, channels: int, width: int, stride: int, in_3x3: bool) -> None:
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = _conv_norm(channels, width, 1, 1 if in_3x3 else stride)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = _conv_norm(width, width, 3, stride if in_3x3 else 1)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3, self.bn3 = _conv_norm(width, out, 1)
        self.projected = stride != 1 or channels != out
        if self.projected:
            self.projection, self.projection_bn = _conv_norm(channels, out, 1, stride)
        self.relu3 = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, 4·width, H/stride, W/stride)."""
        shortcut = self.projection_bn(self.projection(x)) if self.projected else x
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut
        return self.relu3(x)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """A residual net of bottlenecks (He et al. 2015, Table 1); blocks are named conv2_1 and so on."""

    def __init__(self, variant: Variant, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv_norm(3, 64, 7, 2)
        self.relu1 = nn.ReLU(inplace=True)
        self.pool1 = nn.MaxPool2d(3, 2, padding=1)
        channels = 64
        self.blocks: list[str] = []
        for stage, count in enumerate(variant.layout.split(), 2):
            width = 64 * 2 ** (stage - 2)
            for position in range(1, int(count) + 1):
                stride = 2 if stage > 2 and position == 1 else 1
                self.blocks.append(f"conv{stage}_{position}")
                self.add_module(self.blocks[-1], Bottleneck(channels, width, stride, variant.stride_in_3x3))
                channels = 4 * width
        self.pool5 = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)
        self.prob = nn.Softmax(dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, 3, H, W) to probabilities, or to logits in training mode."""
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        for name in self.blocks:
            x = getattr(self, name)(x)
        x = self.fc(self.pool5(x).flatten(1))
        return x if self.training else self.prob(x)


class ConvReLU(nn.Sequential):
    """A convolution with bias and its ReLU."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2)
        self.relu = nn.ReLU(inplace=True)


class Inception(nn.Module):
    """Four branches side by side: 1×1, 3×3, 5×5 and pooling (Szegedy et al. 2014, figure 2b)."""

    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__()
        ones, reduce3, threes, reduce5, fives, pool = widths
        self.conv_1x1 = ConvReLU(channels, ones, 1)
        self.conv_3x3 = nn.Sequential(ConvReLU(channels, reduce3, 1), ConvReLU(reduce3, threes, 3))
        self.conv_5x5 = nn.Sequential(ConvReLU(channels, reduce5, 1), ConvReLU(reduce5, fives, 5))
        self.pool_proj = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), ConvReLU(channels, pool, 1))
        self.channels = ones + threes + fives + pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the branches' channels, joined."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class GoogLeNet(nn.Module):
    """GoogLeNet as published, with 5×5 branches and without its auxiliary heads (Szegedy et al. 2014, Table 1)."""

    def __init__(self, variant: Variant, classes: int, ceil_mode: bool, dropout: float) -> None:
        super().__init__()
        self.conv1 = ConvReLU(3, 64, 7, 2)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=ceil_mode)
        self.lrn1 = nn.LocalResponseNorm(5, variant.lrn[0], beta=0.75, k=variant.lrn[1])
        self.conv2_reduce = ConvReLU(64, 64, 1)
        self.conv2 = ConvReLU(64, 192, 3)
        self.lrn2 = nn.LocalResponseNorm(5, variant.lrn[0], beta=0.75, k=variant.lrn[1])
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=ceil_mode)
        channels = 192
        for name, *widths in (line.split() for line in variant.layout.strip().splitlines()):
            if name.startswith("pool"):
                self.add_module(name, nn.MaxPool2d(3, 2, ceil_mode=ceil_mode))
            else:
                module = Inception(channels, [int(width) for width in widths])
                self.add_module(f"inception_{name}", module)
                channels = module.channels
        self.pool5 = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)
        self.prob = nn.Softmax(dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, 3, H, W) to probabilities, or to logits in training mode."""
        for name, layer in self.named_children():
            if name == "prob" and self.training:
                return x
            x = layer(x.flatten(1) if name == "fc" else x)
        return x
