"""Published architectures as tables, one line a variant.

The layout of a chain is a list of blocks separated by `|`; a block is a list of layers:

    7x96/2+0   conv of 96 filters 7×7, stride 2, padding 0 (stride 1 and padding (k-1)/2 if left out),
               followed by a ReLU; 5x256:2 has 2 groups
    lrn        local response normalisation
    pool3/2    max-pool 3×3, stride 2

The fully connected part is given by its widths; the last layer has `classes` outputs.
The layout of a residual net is its number of blocks a stage, that of an inception net the table of
its modules (see `vggcost.zoo.branching`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["FAMILIES", "VARIANTS", "Conv", "Layer", "Lrn", "Pool", "Variant"]

FAST = "arXiv:1405.3531"
DEEP = "arXiv:1409.1556"
ALEX = "Krizhevsky, Sutskever & Hinton 2012"
INCEPTION = "arXiv:1409.4842"
RESIDUAL = "arXiv:1512.03385"


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution and its ReLU."""

    name: str
    channels: int
    kernel: int
    stride: int
    padding: int
    groups: int


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
        kind: how the layout is read: `chain`, `residual` or `inception`.
        title: the name that its paper uses.
        layout: the convolutional part, see the module's docstring.
        hidden: widths of the hidden fully connected layers.
        aliases: other names people use.
        ceil_mode: whether the published net rounds the output size of pools up.
        lrn: alpha and k of LRN; alpha is divided by its size 5, as in Caffe.
        image_size: side of the image it was published for.
        stride_in_3x3: whether a bottleneck halves the map in its 3×3 convolution (v1.5) or its first.
        batch_norm: whether a BatchNorm follows each convolution.
        paper: where it was published.
    """

    name: str
    title: str
    layout: str
    hidden: tuple[int, ...] = (4096, 4096)
    aliases: tuple[str, ...] = ()
    ceil_mode: bool = False
    lrn: tuple[float, float] = (5e-4, 2.0)
    image_size: int = 224
    stride_in_3x3: bool = False
    kind: str = "chain"
    batch_norm: bool = False
    paper: str = DEEP

    @property
    def blocks(self) -> tuple[tuple[Layer, ...], ...]:
        """The convolutional part, block by block, with the layers' names as the papers have them."""
        single = self.paper in (FAST, ALEX)  # one conv a block: conv1, not conv1_1
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
            window, _, groups = token.partition(":")
            window, _, padding = window.partition("+")
            window, _, step = window.partition("/")
            size, channels = (int(part) for part in window.split("x"))
            name = str(block) if single else f"{block}_{position}"
            border = int(padding) if padding else (size - 1) // 2
            yield Conv(name, channels, size, int(step or 1), border, int(groups or 1))


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
_B_5X5 = "5x64 pool2/2 | 5x128 pool2/2 | 5x256 pool2/2 | 5x512 pool2/2 | 5x512 pool2/2"
_ALEXNET = "11x96/4+0 lrn pool3/2 | 5x256/1+2:2 lrn pool3/2 | 3x384 | 3x384:2 | 3x256:2 pool3/2"
# Szegedy et al. 2014, Table 1: module, 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection
_GOOGLENET = """
3a   64   96  128  16   32   32
3b  128  128  192  32   96   64
pool3
4a  192   96  208  16   48   64
4b  160  112  224  24   64   64
4c  128  128  256  24   64   64
4d  112  144  288  32   64   64
4e  256  160  320  32  128  128
pool4
5a  256  160  320  32  128  128
5b  384  192  384  48  128  128
"""
_S = "7x96/2+0 lrn pool3/3 | 5x256/1+0 pool2/2 | 3x512 | 3x512 | 3x512 pool3/3"


def _cnn(name: str, title: str, layout: str, hidden: tuple[int, ...] = (4096, 4096)) -> Variant:
    aliases = (name.replace("vgg-", "cnn-"), name.replace("vgg-", "vgg-cnn-"))
    return Variant(name, title, layout, hidden, aliases, ceil_mode=True, paper=FAST)


def _resnet(depth: int, blocks: str, v15: bool) -> Variant:
    name = f"resnet-{depth}-v1.5" if v15 else f"resnet-{depth}"
    title = f"ResNet-{depth} v1.5 (stride in the 3×3)" if v15 else f"ResNet-{depth}"
    return Variant(name, title, blocks, (), kind="residual", stride_in_3x3=v15, paper=RESIDUAL)


VARIANTS: tuple[Variant, ...] = (
    _cnn("vgg-f", "VGG-F (CNN-F)", _F),
    _cnn("vgg-m", "VGG-M (CNN-M)", _M),
    _cnn("vgg-m-2048", "VGG-M-2048 (CNN-M-2048)", _M, (4096, 2048)),
    _cnn("vgg-m-1024", "VGG-M-1024 (CNN-M-1024)", _M, (4096, 1024)),
    _cnn("vgg-m-128", "VGG-M-128 (CNN-M-128)", _M, (4096, 128)),
    _cnn("vgg-s", "VGG-S (CNN-S)", _S),
    Variant("vgg-a", "VGG-11 (configuration A)", _A, aliases=("vgg11",)),
    Variant("vgg-a-lrn", "VGG-11 with LRN (configuration A-LRN)", _A_LRN, aliases=("vgg11-lrn",), lrn=(1e-4, 2.0)),
    Variant("vgg-b", "VGG-13 (configuration B)", _B, aliases=("vgg13",)),
    Variant("vgg-c", "VGG-16 with 1×1 convolutions (configuration C)", _C, aliases=("vgg16-1x1",)),
    Variant("vgg-d", "VGG-16 (configuration D)", _D, aliases=("vgg16", "vgg-vd-16", "vgg-verydeep-16")),
    Variant("vgg-e", "VGG-19 (configuration E)", _E, aliases=("vgg19", "vgg-vd-19", "vgg-verydeep-19")),
    Variant("vgg-a-bn", "VGG-11 with BatchNorm", _A, aliases=("vgg11-bn",), batch_norm=True),
    Variant("vgg-b-bn", "VGG-13 with BatchNorm", _B, aliases=("vgg13-bn",), batch_norm=True),
    Variant("vgg-d-bn", "VGG-16 with BatchNorm", _D, aliases=("vgg16-bn",), batch_norm=True),
    Variant("vgg-e-bn", "VGG-19 with BatchNorm", _E, aliases=("vgg19-bn",), batch_norm=True),
    Variant("vgg-b-5x5", "VGG-B with one 5×5 for each pair of 3×3", _B_5X5, aliases=("vgg13-5x5",)),
    Variant(
        "alexnet",
        "AlexNet (two groups)",
        _ALEXNET,
        aliases=("caffe-alex",),
        ceil_mode=True,
        lrn=(1e-4, 1.0),
        image_size=227,
        paper=ALEX,
    ),
    Variant(
        "googlenet",
        "GoogLeNet (5×5 branches)",
        _GOOGLENET,
        (),
        aliases=("inception-v1",),
        ceil_mode=True,
        lrn=(1e-4, 1.0),
        kind="inception",
        paper=INCEPTION,
    ),
    *(_resnet(d, b, v15) for v15 in (False, True) for d, b in ((50, "3 4 6 3"), (101, "3 4 23 3"), (152, "3 8 36 3"))),
)

FAMILIES: dict[str, tuple[str, ...]] = {
    "vgg": ("vgg-f", "vgg-m", "vgg-s", "vgg-a", "vgg-a-lrn", "vgg-b", "vgg-c", "vgg-d", "vgg-e"),
    "vgg-cnn": ("vgg-f", "vgg-m", "vgg-m-2048", "vgg-m-1024", "vgg-m-128", "vgg-s"),
    "imagenet-winners": ("alexnet", "vgg-e", "googlenet", "resnet-152"),
}
"""Groups of nets that are compared together; `vgg-e` stands for VGG, second in 2014."""
