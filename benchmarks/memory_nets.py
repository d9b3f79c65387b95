"""Nets whose training steps `memory_reality.py` predicts and measures: one for each kind of layer that takes memory of its own.

Each gives logits `(rows, classes)`, as many rows for each input.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["CASES", "Case"]

Case = tuple[str, Callable[[], nn.Module], Callable[[int], torch.Tensor], tuple[int, int]]
"""A name, what makes the net, what makes its input for a batch, and two batches."""


class Recurrent(nn.Module):
    """A recurrent layer over embedded tokens, the last state classified."""

    def __init__(self, layer: Callable[..., nn.Module], embedded: int, hidden: int, **options: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, embedded)
        self.layer = layer(embedded, hidden, 2, batch_first=True, **options)
        self.head = nn.Linear(hidden * (2 if options.get("bidirectional") else 1), 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.embed(x))[0][:, -1])


def zoo(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from vggcost.zoo import find
        from vggcost.zoo.network import build

        variant = find(name)
        assert variant is not None
        return build(variant, options)

    return make


def torchvision(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchvision

        return torchvision.models.get_model(name, weights=None)  # type: ignore[no-any-return]

    return make


def frozen() -> nn.Module:
    """A ResNet-18 whose classifier alone is trained."""
    net = torchvision("resnet18")().requires_grad_(False)
    net.fc.requires_grad_(True)  # type: ignore[union-attr]
    return net


class Logits(nn.Module):
    """A language model of transformers, which gives the logits of all tokens."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.net = make()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # A mask of four axes is used as it is; the library would look into a smaller one.
        mask = torch.zeros(x.shape[0], 1, x.shape[1], x.shape[1], device=x.device)
        return self.net(x, attention_mask=mask, use_cache=False).logits.flatten(0, 1)


def gpt2() -> nn.Module:
    import transformers

    return Logits(lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(attn_implementation="eager")))


def llama(again: bool) -> Callable[[], nn.Module]:
    """A Llama of 29 M parameters; `again`: its layers are recomputed in the backward pass."""

    def make() -> nn.Module:
        import transformers

        config = transformers.LlamaConfig(
            vocab_size=8000, hidden_size=384, intermediate_size=1024, num_hidden_layers=12, num_attention_heads=6,
            num_key_value_heads=6, attn_implementation="eager",
        )  # fmt: skip
        net = transformers.LlamaForCausalLM(config)
        if again:
            net.gradient_checkpointing_enable({"use_reentrant": False})
        return net

    return lambda: Logits(make)


class Checkpointed(nn.Module):
    """A convolutional net whose stages are recomputed in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
            )
            for a, b in pairwise(widths)
        )
        self.head = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False)
        return self.head(x.mean((2, 3)))


class Deformable(nn.Module):
    """Two convolutions, of which the second samples where the first says."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.ops import DeformConv2d

        self.stem, self.offset = nn.Conv2d(3, 32, 3, 2, 1), nn.Conv2d(32, 18, 3, padding=1)
        self.sampled, self.head = DeformConv2d(32, 64, 3, padding=1), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        return self.head(F.relu(self.sampled(x, self.offset(x))).mean((2, 3)))


class Generator(nn.Module):
    """The generator of DCGAN, its image averaged."""

    def __init__(self) -> None:
        super().__init__()
        widths, layers = (100, 512, 256, 128, 64), []
        for at, (a, b) in enumerate(pairwise(widths)):
            stride, padding = (1, 0) if at == 0 else (2, 1)
            layers += [
                nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(inplace=True),
            ]
        self.net = nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x[..., None, None]).mean((2, 3))


class UNet3d(nn.Module):
    """Two stages down and up again, over volumes."""

    def __init__(self) -> None:
        super().__init__()

        def twice(a: int, b: int) -> nn.Module:
            return nn.Sequential(*[
                layer for i in (a, b) for layer in (nn.Conv3d(i, b, 3, padding=1), nn.InstanceNorm3d(b), nn.LeakyReLU())
            ])  # fmt: skip

        self.down = nn.ModuleList([twice(1, 16), twice(16, 32), twice(32, 64)])
        self.up = nn.ModuleList([nn.ConvTranspose3d(64, 32, 2, 2), nn.ConvTranspose3d(32, 16, 2, 2)])
        self.join, self.head = nn.ModuleList([twice(64, 32), twice(32, 16)]), nn.Conv3d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for at, stage in enumerate(self.down):
            x = stage(F.max_pool3d(x, 2) if at else x)
            kept.append(x)
        for up, join, other in zip(self.up, self.join, kept[1::-1], strict=True):
            x = join(torch.cat([up(x), other], 1))
        return self.head(x).mean((2, 3, 4))


class Dilated(nn.Module):
    """Four branches of other dilations, as in DeepLab."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU())
        self.branches = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=d, dilation=d) for d in (1, 6, 12, 18))
        self.head = nn.Conv2d(256, 10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(F.relu(torch.cat([branch(x) for branch in self.branches], 1))).mean((2, 3))


class Detector(nn.Module):
    """Faster R-CNN on a small net, two boxes an image; its losses stand for logits."""

    assumed: ClassVar[dict[str, int]] = {"net.roi_heads:nonzero": 512}
    """The proposals that are sampled of an image, which torchvision states; how they lie on the levels is not known."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

        self.net = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        boxes, labels = torch.tensor([[10.0, 10.0, 120.0, 90.0], [60.0, 40.0, 200.0, 180.0]]), torch.tensor([1, 2])
        losses = self.net(list(x), [{"boxes": boxes, "labels": labels}] * len(x))
        return torch.stack(list(losses.values())).expand(len(x), -1)


def image(side: int = 224) -> Callable[[int], torch.Tensor]:
    return lambda batch: torch.rand(batch, 3, side, side)


def volume(channels: int, *sizes: int) -> Callable[[int], torch.Tensor]:
    return lambda batch: torch.rand(batch, channels, *sizes)


def tokens(length: int) -> Callable[[int], torch.Tensor]:
    return lambda batch: torch.randint(0, 1000, (batch, length))


CASES: list[Case] = [
    ("VGG-A", zoo("vgg-a"), image(), (1, 4)),
    ("VGG-D", zoo("vgg-d"), image(), (1, 4)),
    ("VGG-S", zoo("vgg-s"), image(), (1, 4)),
    ("ResNet-50 (zoo)", zoo("resnet-50"), image(), (1, 4)),
    ("GoogLeNet (zoo)", zoo("googlenet"), image(), (1, 4)),
    ("ResNet-50 (torchvision)", torchvision("resnet50"), image(), (1, 4)),
    ("MobileNetV3-L (torchvision)", torchvision("mobilenet_v3_large"), image(), (2, 8)),
    ("ViT-B/16 (torchvision)", torchvision("vit_b_16"), image(), (1, 4)),
    ("EfficientNet-B0: SiLU, depthwise", torchvision("efficientnet_b0"), image(), (1, 4)),
    ("ConvNeXt-T: depthwise 7×7", torchvision("convnext_tiny"), image(), (1, 4)),
    ("Swin-T (torchvision)", torchvision("swin_t"), image(), (1, 4)),
    ("ResNet-18 with a frozen backbone", frozen, image(), (2, 8)),
    ("R3D-18: conv3d", torchvision("r3d_18"), volume(3, 8, 56, 56), (1, 4)),
    ("3-D UNet: conv3d, transposed", UNet3d, volume(1, 32, 32, 32), (1, 2)),
    ("DCGAN's generator: transposed", Generator, lambda batch: torch.rand(batch, 100), (2, 16)),
    ("Deformable convolution", Deformable, image(128), (1, 4)),
    ("Dilated branches", Dilated, image(128), (1, 4)),
    ("Checkpointed convolutional net", Checkpointed, image(128), (1, 4)),
    ("LSTM", lambda: Recurrent(nn.LSTM, 128, 256), tokens(64), (4, 16)),
    ("GRU", lambda: Recurrent(nn.GRU, 128, 256), tokens(64), (4, 16)),
    ("GRU both ways", lambda: Recurrent(nn.GRU, 128, 256, bidirectional=True), tokens(64), (4, 16)),
    ("RNN", lambda: Recurrent(nn.RNN, 128, 256), tokens(64), (4, 16)),
    ("GPT-2 small (transformers)", gpt2, tokens(128), (1, 4)),
    ("Llama: SwiGLU", llama(False), tokens(128), (1, 4)),
    ("Llama, checkpointed", llama(True), tokens(128), (1, 4)),
    ("Faster R-CNN, MobileNetV3", Detector, image(320), (1, 2)),
]  # fmt: skip
