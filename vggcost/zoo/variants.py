"""The VGG family as tables, one line a variant.

A layout is a list of blocks separated by `|`; a block is a list of layers:

    7x96/2+0   conv of 96 filters 7×7, stride 2, padding 0 (stride 1 and padding (k-1)/2 if left out),
               followed by a ReLU
    lrn        local response normalisation
    pool3/2    max-pool 3×3, stride 2

The fully connected part is given by its widths; the last layer has `classes` outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["VARIANTS", "Conv", "Layer", "Lrn", "Pool", "Variant"]

FAST = "arXiv:1405.3531"
DEEP = "arXiv:1409.1556"


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution and its ReLU."""

    name: str
    channels: int
    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True, slots=True)
class Lrn:
    """Local response normalisation over 5 channels."""

    name: str


@dataclass(frozen=True, slots=True)
class Pool:
    """A max-pool."""

    name: str
    kernel: int
    stride: int


Layer = Conv | Lrn | Pool


@dataclass(frozen=True, slots=True)
class Variant:
    """One published architecture.

    Attributes:
        name: the canonical name.
        title: the name that its paper uses.
        layout: the convolutional part, see the module's docstring.
        hidden: widths of the hidden fully connected layers.
        aliases: other names people use.
        ceil_mode: whether the published net rounds the output size of pools up.
        lrn_alpha: alpha of LRN, which is divided by its size 5, as in Caffe.
        batch_norm: whether a BatchNorm follows each convolution.
        paper: where it was published.
    """

    name: str
    title: str
    layout: str
    hidden: tuple[int, ...] = (4096, 4096)
    aliases: tuple[str, ...] = ()
    ceil_mode: bool = False
    lrn_alpha: float = 5e-4
    batch_norm: bool = False
    paper: str = DEEP

    @property
    def blocks(self) -> tuple[tuple[Layer, ...], ...]:
        """The convolutional part, block by block, with the layers' names as the papers have them."""
        single = self.paper == FAST  # Chatfield's nets have one conv a block: conv1, not conv1_1
        return tuple(
            tuple(_read_block(block.split(), number, single)) for number, block in enumerate(self.layout.split("|"), 1)
        )


def _read_block(tokens: list[str], block: int, single: bool) -> Iterator[Layer]:
    position = 0
    for token in tokens:
        if token == "lrn":
            yield Lrn(f"lrn{block}")
        elif token.startswith("pool"):
            kernel, stride = token.removeprefix("pool").split("/")
            yield Pool(f"pool{block}", int(kernel), int(stride))
        else:
            position += 1
            window, _, padding = token.partition("+")
            window, _, step = window.partition("/")
            size, channels = (int(part) for part in window.split("x"))
            name = str(block) if single else f"{block}_{position}"
            yield Conv(name, channels, size, int(step or 1), int(padding) if padding else (size - 1) // 2)


_M = "7x96/2+0 lrn pool3/2 | 5x256/2+1 lrn pool3/2 | 3x512 | 3x512 | 3x512 pool3/2"
_A = "3x64 pool2/2 | 3x128 pool2/2 | 3x256 3x256 pool2/2 | 3x512 3x512 pool2/2 | 3x512 3x512 pool2/2"
_A_LRN = _A.replace("3x64 pool", "3x64 lrn pool")
_B = "3x64 3x64 pool2/2 | 3x128 3x128 pool2/2 | 3x256 3x256 pool2/2 | 3x512 3x512 pool2/2 | 3x512 3x512 pool2/2"
_C = (
    "3x64 3x64 pool2/2 | 3x128 3x128 pool2/2 | 3x256 3x256 1x256 pool2/2"
    " | 3x512 3x512 1x512 pool2/2 | 3x512 3x512 1x512 pool2/2"
)
_D = _C.replace("1x", "3x")
_E = _D.replace("3x256 pool", "3x256 3x256 pool").replace("3x512 pool", "3x512 3x512 pool")
_F = "11x64/4+0 lrn pool3/2 | 5x256/1+2 lrn pool3/2 | 3x256 | 3x256 | 3x256 pool3/2"
_S = "7x96/2+0 lrn pool3/3 | 5x256/1+0 pool2/2 | 3x512 | 3x512 | 3x512 pool3/3"


def _cnn(name: str, title: str, layout: str, hidden: tuple[int, ...] = (4096, 4096)) -> Variant:
    aliases = (name.replace("vgg-", "cnn-"), name.replace("vgg-", "vgg-cnn-"))
    return Variant(name, title, layout, hidden, aliases, ceil_mode=True, paper=FAST)


VARIANTS: tuple[Variant, ...] = (
    _cnn("vgg-f", "VGG-F (CNN-F)", _F),
    _cnn("vgg-m", "VGG-M (CNN-M)", _M),
    _cnn("vgg-m-2048", "VGG-M-2048 (CNN-M-2048)", _M, (4096, 2048)),
    _cnn("vgg-m-1024", "VGG-M-1024 (CNN-M-1024)", _M, (4096, 1024)),
    _cnn("vgg-m-128", "VGG-M-128 (CNN-M-128)", _M, (4096, 128)),
    _cnn("vgg-s", "VGG-S (CNN-S)", _S),
    Variant("vgg-a", "VGG-11 (configuration A)", _A, aliases=("vgg11",)),
    Variant("vgg-a-lrn", "VGG-11 with LRN (configuration A-LRN)", _A_LRN, aliases=("vgg11-lrn",), lrn_alpha=1e-4),
    Variant("vgg-b", "VGG-13 (configuration B)", _B, aliases=("vgg13",)),
    Variant("vgg-c", "VGG-16 with 1×1 convolutions (configuration C)", _C, aliases=("vgg16-1x1",)),
    Variant("vgg-d", "VGG-16 (configuration D)", _D, aliases=("vgg16", "vgg-vd-16", "vgg-verydeep-16")),
    Variant("vgg-e", "VGG-19 (configuration E)", _E, aliases=("vgg19", "vgg-vd-19", "vgg-verydeep-19")),
    Variant("vgg-a-bn", "VGG-11 with BatchNorm", _A, aliases=("vgg11-bn",), batch_norm=True),
    Variant("vgg-b-bn", "VGG-13 with BatchNorm", _B, aliases=("vgg13-bn",), batch_norm=True),
    Variant("vgg-d-bn", "VGG-16 with BatchNorm", _D, aliases=("vgg16-bn",), batch_norm=True),
    Variant("vgg-e-bn", "VGG-19 with BatchNorm", _E, aliases=("vgg19-bn",), batch_norm=True),
)
