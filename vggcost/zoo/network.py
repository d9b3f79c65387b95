"""A variant as a torch module, with the layer names of the papers and of Caffe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vggcost.errors import InputError, OptionError
from vggcost.units import did_you_mean
from vggcost.zoo.branching import GoogLeNet, ResNet
from vggcost.zoo.variants import Conv, Pool, Variant

__all__ = ["ConvNet", "Options", "build", "map_sizes"]


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen with `-k`.

    Attributes:
        classes: outputs of the last layer.
        ceil_mode: round the output sizes of pools up; None: as the published net does.
        dropout: probability of dropout after the hidden fully connected layers.
        image_size: side of the square image, in pixels, that fc6 is built for; None: as published.
        features: leave the fully connected layers out, so that any image fits.
        dense: turn the fully connected layers into convolutions that run over an image of any size; their
            class maps are averaged (section 3.2 of the VGG paper).
    """

    classes: int = 1000
    ceil_mode: bool | None = None
    dropout: float = 0.5
    image_size: int | None = None
    features: bool = False
    dense: bool = False


_KNOWN = {
    "chain": ("classes", "ceil_mode", "dropout", "image_size", "features", "dense"),
    "inception": ("classes", "ceil_mode", "dropout"),
    "residual": ("classes",),
}
_SYNONYMS = {"num_classes": "classes", "ceil": "ceil_mode", "ceil_pooling": "ceil_mode"}


def read_options(variant: Variant, given: dict[str, Any]) -> Options:
    """Check the options of a zoo net.

    Raises:
        OptionError: an option is unknown, of the wrong type or out of range.
    """
    options = {_SYNONYMS.get(key, key): value for key, value in given.items()}
    known = _KNOWN[variant.kind]
    for key, value in options.items():
        if key not in known:
            raise OptionError(
                f"{variant.name} has no option {key!r}{did_you_mean(key, known)}; it has {', '.join(known)}"
            )
        whole = isinstance(value, int) and not isinstance(value, bool)
        if key in ("classes", "image_size") and not (whole and value > 0):
            raise OptionError(f"{key} must be a whole number above 0, not {value!r}")
        if key in ("ceil_mode", "features", "dense") and not isinstance(value, bool):
            raise OptionError(f"{key} must be true or false, not {value!r}")
        if key == "dropout" and not ((whole or isinstance(value, float)) and 0 <= value <= 1):
            raise OptionError(f"dropout must lie between 0 and 1, not {value!r}")
    return Options(**options)


def map_sizes(variant: Variant, side: int, ceil_mode: bool) -> Iterator[tuple[str, int]]:
    """Yield each layer's name with the side of its square output map.

    Raises:
        InputError: the map vanishes; the message names the layer.
    """
    for layer in (layer for block in variant.blocks for layer in block):
        name = layer.name
        if isinstance(layer, Conv):
            name = f"conv{layer.name}"
            side = (side + 2 * layer.padding - layer.kernel) // layer.stride + 1
        elif isinstance(layer, Pool):
            room = side - layer.kernel
            side = (-(-room // layer.stride) if ceil_mode else room // layer.stride) + 1
        if side < 1:
            raise InputError(
                f"image_size is too small for {variant.name}: the map vanishes at {name}; "
                f"choose a larger one (the published net has {variant.image_size})"
            )
        yield name, side


class ConvNet(nn.Module):
    """A chain of convolutions, then fully connected layers.

    In evaluation mode the output is `prob` (N, classes), as in the released nets; in training mode
    it is the logits of the last layer, since the loss applies the softmax itself.
    """

    def __init__(self, variant: Variant, options: Options) -> None:
        super().__init__()
        ceil_mode = variant.ceil_mode if options.ceil_mode is None else options.ceil_mode
        channels = 3
        for layer in (layer for block in variant.blocks for layer in block):
            if isinstance(layer, Conv):
                conv = nn.Conv2d(
                    channels, layer.channels, layer.kernel, layer.stride, layer.padding, groups=layer.groups
                )
                self.add_module(f"conv{layer.name}", conv)
                if variant.batch_norm:
                    self.add_module(f"bn{layer.name}", nn.BatchNorm2d(layer.channels))
                self.add_module(f"relu{layer.name}", nn.ReLU(inplace=True))
                channels = layer.channels
            elif isinstance(layer, Pool):
                self.add_module(layer.name, nn.MaxPool2d(layer.kernel, layer.stride, ceil_mode=ceil_mode))
            else:
                self.add_module(layer.name, nn.LocalResponseNorm(5, variant.lrn[0], beta=0.75, k=variant.lrn[1]))
        if options.features:
            return
        side = [size for _, size in map_sizes(variant, options.image_size or variant.image_size, ceil_mode)][-1]
        widths = [*variant.hidden, options.classes]
        inputs = [channels if options.dense else channels * side * side, *variant.hidden]
        for number, (width, hidden) in enumerate(zip(inputs, widths, strict=True), 6):
            kernel = side if number == 6 else 1
            dense = nn.Conv2d(width, hidden, kernel) if options.dense else nn.Linear(width, hidden)
            self.add_module(f"fc{number}", dense)
            if number < 5 + len(widths):
                self.add_module(f"relu{number}", nn.ReLU(inplace=True))
                self.add_module(f"drop{number}", nn.Dropout(options.dropout))
        if options.dense:
            self.add_module("average", nn.AdaptiveAvgPool2d(1))
            self.add_module("flatten", nn.Flatten())
        self.add_module("prob", nn.Softmax(dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, 3, H, W) to probabilities, or to logits in training mode."""
        for name, layer in self.named_children():
            if name == "prob" and self.training:
                return x
            if isinstance(layer, nn.Linear) and x.dim() > 2:
                x = x.flatten(1)
            x = layer(x)
        return x


def build(variant: Variant, options: dict[str, Any]) -> nn.Module:
    """Build a variant on the current default device.

    Args:
        variant: a line of the zoo's table.
        options: what `-k` gave; see `Options`.

    Raises:
        OptionError: an option is unknown or out of range.
        InputError: `image_size` is too small for the net.
    """
    chosen = read_options(variant, options)
    if variant.kind == "residual":
        return ResNet(variant, chosen.classes)
    if variant.kind == "inception":
        ceil_mode = variant.ceil_mode if chosen.ceil_mode is None else chosen.ceil_mode
        return GoogLeNet(variant, chosen.classes, ceil_mode, options.get("dropout", 0.4))
    return ConvNet(variant, chosen)
