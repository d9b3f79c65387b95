"""How published nets were trained, as data with sources, and the devices they were trained on."""

from __future__ import annotations

from dataclasses import dataclass

from vggcost.errors import OptionError
from vggcost.units import did_you_mean

__all__ = ["DEVICES", "RECIPES", "Device", "Recipe", "device_of", "recipe_of"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device's published peak, dense, in FLOPs per second, and its memory in bytes."""

    name: str
    title: str
    flops: float
    memory_bytes: int
    source: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A published training run; `days` is the range of its duration."""

    name: str
    images: int
    epochs: int
    batch: int
    gpus: int
    device: str
    optimizer: str
    days: tuple[float, float]
    source: str


DEVICES = (
    Device(
        "titan-black", "NVIDIA GeForce GTX TITAN Black", 5.121e12, 6 * 2**30,
        "NVIDIA: 2,880 cores × 889 MHz × 2 FLOPs per multiply-add, single precision; 6 GB",
    ),
)  # fmt: skip
RECIPES = (
    Recipe(
        "vgg-paper", 1_280_000, 74, 256, 4, "titan-black", "sgd-momentum", (14, 21),
        "Simonyan & Zisserman 2014, arXiv:1409.1556v6, sections 3.1 and 3.3: batch 256, momentum 0.9, 370K iterations "
        "(74 epochs), four NVIDIA Titan Black, 2–3 weeks; ILSVRC-2012 has 1.28M training images",
    ),
)  # fmt: skip


def recipe_of(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        OptionError: there is none of this name.
    """
    known = {recipe.name: recipe for recipe in RECIPES}
    if name not in known:
        raise OptionError(f"no recipe {name!r}{did_you_mean(name, known)}; recipes: {', '.join(known)}")
    return known[name]


def device_of(name: str) -> Device:
    """Return a device by name.

    Raises:
        OptionError: there is none of this name.
    """
    known = {device.name: device for device in DEVICES}
    if name not in known:
        raise OptionError(f"no device {name!r}{did_you_mean(name, known)}; devices: {', '.join(known)}; or give --peak")
    return known[name]
