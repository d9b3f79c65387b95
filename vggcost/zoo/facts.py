"""Published facts about the architectures of the zoo, as data with their source.

Errors are in percent on the ILSVRC-2012 validation set; parameters in millions as printed.
None of these figures is used in a computation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["FACTS", "Fact", "facts_of"]


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
# top-5 by the authors' protocol, top-1 and top-5 of the converted nets on one central crop
_FAST = """
f       16.7  41.1  18.8
m       13.7  37.3  15.9
m-2048  13.5  37.1  15.8
m-1024  13.7  37.8  16.1
m-128   15.6  40.8  18.4
s       13.1  36.7  15.3
"""
_DEEP_MATCONVNET = """
d  28.5  9.9
e  28.7  9.9
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
    for net, authors_top5, top1, top5 in _rows(_FAST):
        yield Fact(f"vgg-{net}", "top-5 error", authors_top5, "%", "authors' protocol", _CHATFIELD)
        yield from _errors(f"vgg-{net}", top1, top5, "one central crop, 224×224", _MATCONVNET)
    for net, top1, top5 in _rows(_DEEP_MATCONVNET):
        yield from _errors(f"vgg-{net}", top1, top5, "one central crop, 224×224", _MATCONVNET)
    for net, top1, top5 in _rows(_BATCH_NORM):
        for quantity, value in (("top-1 accuracy", top1), ("top-5 accuracy", top5)):
            yield Fact(f"vgg-{net}", quantity, value, "%", "one central crop, 224×224", _TORCHVISION)


FACTS: tuple[Fact, ...] = tuple(_all())


def facts_of(model: str) -> tuple[Fact, ...]:
    """Return the published facts of a variant by its canonical name."""
    return tuple(fact for fact in FACTS if fact.model == model)
