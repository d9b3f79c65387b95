"""The models that are measured, built on meta; what runs them bare is torch alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
IMAGE = (1, 3, 224, 224)
TOKENS = (1, 128)


class Logits(nn.Module):
    """A language model of transformers that takes token ids and returns its logits, one row a token."""

    def __init__(self, net: nn.Module, masked: bool) -> None:
        super().__init__()
        self.net, self.masked = net, masked

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # A mask of four axes is used as it is; without one the library reads values, which meta tensors do not have.
        mask = torch.zeros(x.shape[0], 1, x.shape[1], x.shape[1], device=x.device) if self.masked else None
        return self.net(x, attention_mask=mask, use_cache=False).logits.flatten(0, 1)


class Block(nn.Module):
    """A transformer's block, of torch's own parts alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        x = x + self.out(seen)
        return x + self.down(F.gelu(self.up(self.after(x))))


def vgg16() -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG16:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(True)] if width else [nn.MaxPool2d(2, 2)]
        channels = width or channels
    layers.append(nn.Flatten())
    for inner, outer in ((25088, 4096), (4096, 4096)):
        layers += [nn.Linear(inner, outer), nn.ReLU(True), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(4096, 1000))


def torchvision(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None)  # type: ignore[no-any-return]

    return make


def gpt2() -> nn.Module:
    import transformers

    return transformers.GPT2LMHeadModel(transformers.GPT2Config())  # type: ignore[no-any-return]


def llama2_7b() -> nn.Module:
    import transformers

    config = transformers.LlamaConfig(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, vocab_size=32000
    )
    return transformers.LlamaForCausalLM(config)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Net:
    """A model and what goes in: images, or token ids."""

    title: str
    make: Callable[[], nn.Module]
    needs: tuple[str, ...] = ()
    tokens: bool = False

    def build(self, device: str = "meta") -> nn.Module:
        with torch.device(device):
            model = self.make()
        return Logits(model, masked=device == "meta") if self.tokens else model

    def input(self, device: str = "meta") -> torch.Tensor:
        if self.tokens:
            return torch.zeros(TOKENS, dtype=torch.int64, device=device)
        return torch.zeros(IMAGE, device=device)


NETS = {
    "vgg16": Net("VGG-16", vgg16),
    "resnet152": Net("ResNet-152", torchvision("resnet152"), ("torchvision",)),
    "vit_l_16": Net("ViT-L/16", torchvision("vit_l_16"), ("torchvision",)),
    "gpt2": Net("GPT-2", gpt2, ("transformers",), tokens=True),
    "llama2_7b": Net("Llama-2-7B", llama2_7b, ("transformers",), tokens=True),
}


def bare(model: nn.Module, x: torch.Tensor, training: bool) -> Callable[[], Any]:
    """Return what runs a model by torch alone: a forward pass, or a forward pass, a loss and a backward pass."""

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(x)

    def step() -> None:
        model.train()
        output = model(x)
        target = torch.zeros(output.shape[0], dtype=torch.int64, device=output.device)
        F.cross_entropy(output, target).backward()  # type: ignore[no-untyped-call]
        model.zero_grad()

    return step if training else forward
