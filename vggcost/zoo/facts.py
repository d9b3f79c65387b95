"""Published facts about the architectures of the zoo, as data with their source.

Errors are in percent on the ILSVRC-2012 validation set; parameters in millions as printed.
None of these figures is used in a computation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vggcost.zoo.names import find

__all__ = ["FACTS", "ONE_CROP", "ONE_NET", "Fact", "facts_of", "title_of"]

ONE_CROP = "one net, one central crop"
ONE_NET = "one net, its authors' own protocol"
AT_256 = "dense evaluation, S=256, Q=256"
AGAINST_B = "against net B, one central crop"
RETRAINED = "one net retrained with BatchNorm, one central crop"


@dataclass(frozen=True, slots=True)
class Fact:
    """One published statement: `value` is written as its source prints it."""

    model: str
    quantity: str
    value: str
    unit: str
    protocol: str
    source: str


_VGG = "Simonyan & Zisserman 2014, arXiv:1409.1556v6"
_CHATFIELD = "Chatfield et al. 2014, arXiv:1405.3531; Caffe Model Zoo"
_MATCONVNET = "MatConvNet pretrained models"
_TORCHVISION = "torchvision 0.29.1 weights"

# net: smallest side at training S, at testing Q, top-1, top-5 (Table 3)
_SINGLE_SCALE = """
a      256        256  29.6  10.4
a-lrn  256        256  29.7  10.5
b      256        256  28.7   9.9
c      256        256  28.1   9.4
c      384        384  28.1   9.3
c      [256;512]  384  27.3   8.8
d      256        256  27.0   8.8
d      384        384  26.8   8.7
d      [256;512]  384  25.6   8.1
e      256        256  27.3   9.0
e      384        384  26.9   8.7
e      [256;512]  384  25.5   8.0
"""
# the same at several test scales (Table 4)
_MULTI_SCALE = """
b  256        224,256,288  28.2  9.6
c  256        224,256,288  27.7  9.2
c  384        352,384,416  27.8  9.2
c  [256;512]  256,384,512  26.3  8.2
d  256        224,256,288  26.6  8.6
d  384        352,384,416  26.5  8.6
d  [256;512]  256,384,512  24.8  7.5
e  256        224,256,288  26.9  8.7
e  384        352,384,416  26.7  8.6
e  [256;512]  256,384,512  24.8  7.5
"""
# millions of parameters (Table 2)
_PARAMS = "a 133, a-lrn 133, b 133, c 134, d 138, e 144"
# top-5 by the authors' own protocol
_FAST = "f 16.7, m 13.7, m-2048 13.5, m-1024 13.7, m-128 15.6, s 13.1"
# net, top-1 and top-5 error on one central crop, images/s on a Titan X with cuDNN 5.1
_ONE_CROP = """
vgg-f       41.1  18.8  1118.9
vgg-m       37.3  15.9  1025.1
vgg-m-2048  37.1  15.8   984.2
vgg-m-1024  37.8  16.1   958.5
vgg-m-128   40.8  18.4  1031.3
vgg-s       36.7  15.3   560.1
vgg-d       28.5   9.9   200.2
vgg-e       28.7   9.9   166.2
alexnet     42.6  19.6  1379.8
googlenet   34.2  12.9   770.6
resnet-50   24.6   7.7   396.3
resnet-101  23.4   7.0   247.3
resnet-152  23.0   6.7   172.5
"""
# The winners of ILSVRC and VGG, one net each: weight layers, top-1 and top-5 error, "-" where not published
_ONE_NET = """
alexnet     8  40.7  18.2  Krizhevsky, Sutskever & Hinton 2012, as quoted in arXiv:1409.1556v6, Table 7
zfnet       8  37.5  16.0  Zeiler & Fergus 2013, as quoted in arXiv:1409.1556v6, Table 7
vgg-e      19  24.4   7.1  Simonyan & Zisserman 2014, arXiv:1409.1556v6, Table 5
googlenet  22     -   7.9  Szegedy et al. 2014, as quoted in arXiv:1409.1556v6, Table 7
resnet-152 152 19.38  4.49 He et al. 2015, arXiv:1512.03385, Table 4
"""
# nets retrained with BatchNorm, whose errors convnet-burden prints beside the original nets
_RETRAINED = """
vgg-f 41.4 19.1
vgg-m 36.9 15.5
vgg-s 37.0 15.8
"""
# The paper's training and testing (sections 3.1 and 4, Table 6)
_RECIPE = """
batch            256   images   mini-batch
momentum         0.9   -        -
weight_decay     5e-4  -        L2 multiplier
epochs           74    epochs   370K iterations
learning_rate    0.01  -        initial, lowered 3 times by a factor of 10
training_images  1.3e6 images   ILSVRC-2012
top-5_error_of_7_nets  7.5 %    validation
top-5_error_of_7_nets  7.3 %    test
top-5_error_of_2_nets  6.8 %    validation
top-5_error_of_2_nets  6.8 %    test
submitted_top-5_error  7.3 %    test
"""
# net, top-1 and top-5 accuracy as torchvision prints them
_BATCH_NORM = """
b-bn  71.586  90.374
d-bn  73.360  91.516
"""


def _errors(model: str, top1: str, top5: str, protocol: str, source: str) -> Iterator[Fact]:
    yield Fact(model, "top-1 error", top1, "%", protocol, source)
    yield Fact(model, "top-5 error", top5, "%", protocol, source)


def _rows(table: str) -> Iterator[list[str]]:
    return (line.split() for line in table.strip().splitlines())


def _all() -> Iterator[Fact]:
    for entry in _PARAMS.split(", "):
        net, value = entry.split()
        yield Fact(f"vgg-{net}", "params", value, "M", "all parameters", f"{_VGG}, Table 2")
    for table, number in ((_SINGLE_SCALE, 3), (_MULTI_SCALE, 4)):
        for net, train, test, top1, top5 in _rows(table):
            protocol = f"dense evaluation, S={train}, Q={test}"
            yield from _errors(f"vgg-{net}", top1, top5, protocol, f"{_VGG}, Table {number}")
    for entry in _FAST.split(", "):
        net, top5 = entry.split()
        yield Fact(f"vgg-{net}", "top-5 error", top5, "%", "authors' protocol", _CHATFIELD)
    for net, top1, top5, speed in _rows(_ONE_CROP):
        yield from _errors(net, top1, top5, ONE_CROP, _MATCONVNET)
        yield Fact(net, "images/s", speed, "images/s", "Titan X, cuDNN 5.1", _MATCONVNET)
    yield Fact("vgg-b-5x5", "top-1 error", "7", "% higher than B", AGAINST_B, f"{_VGG}, section 4.1")
    for net, top1, top5 in _rows(_RETRAINED):
        yield from _errors(net, top1, top5, RETRAINED, _MATCONVNET)
    for line in _RECIPE.strip().splitlines():
        quantity, value, unit, protocol = line.split(None, 3)
        yield Fact(
            "vgg", quantity.replace("_", " "), value, unit.strip("-"), protocol.strip("-"), f"{_VGG}, sections 3 and 4"
        )
    for line in _ONE_NET.strip().splitlines():
        net, depth, top1, top5, source = line.split(None, 4)
        yield Fact(net, "weight layers", depth, "layers", "", source)
        for quantity, value in (("top-1 error", top1), ("top-5 error", top5)):
            if value != "-":
                yield Fact(net, quantity, value, "%", ONE_NET, source)
    for net, top1, top5 in _rows(_BATCH_NORM):
        for quantity, value in (("top-1 accuracy", top1), ("top-5 accuracy", top5)):
            yield Fact(f"vgg-{net}", quantity, value, "%", ONE_CROP, _TORCHVISION)


FACTS: tuple[Fact, ...] = tuple(_all())


_DEPTH = re.compile(r"vgg(\d+)(-bn|-lrn|-1x1)?$")
_UNBUILT = {"zfnet": "ZFNet"}  # published errors, but no full definition to count


def title_of(model: str) -> str:
    """Return a short name: `VGG-S`, `VGG-D (16)`, `ResNet-152`, `ZFNet`."""
    variant = find(model)
    if variant is None:
        return _UNBUILT[model]
    if not variant.name.startswith("vgg-"):
        return variant.title.partition(" (")[0]
    depth = next((found[1] for alias in variant.aliases if (found := _DEPTH.match(alias))), None)
    return variant.name.upper() + (f" ({depth})" if depth else "")


def facts_of(model: str) -> tuple[Fact, ...]:
    """Return the published facts of a variant by its canonical name."""
    return tuple(fact for fact in FACTS if fact.model == model)
