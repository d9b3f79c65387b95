"""From a name to a model on meta: a table from the form of the name to the source that knows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from vggcost.errors import ModelError
from vggcost.load import huggingface, libraries
from vggcost.load.aside import aside, drew
from vggcost.load.given_back import IMPORTED, given_back
from vggcost.load.loaded import Loaded
from vggcost.load.user import call, is_file, load_function
from vggcost.records import Published
from vggcost.units import did_you_mean
from vggcost.zoo.names import find, known_names

__all__ = ["LIBRARIES", "load", "matching"]

Build = Callable[[str, dict[str, Any]], Loaded]

LIBRARIES: dict[str, tuple[Build, Callable[[], list[str]]]] = {
    "torchvision": (libraries.torchvision, libraries.torchvision_names),
    "timm": (libraries.timm, libraries.timm_names),
    "hf": (huggingface.load, huggingface.names),
}
"""What builds a library's models, and what lists them."""


@given_back(IMPORTED)
def load(name: str, options: dict[str, Any] | None = None, *, real: bool = False) -> Loaded:
    """Build a model from its name: its parameters on meta, its constructor's arithmetic real.

    Args:
        name: a name of the zoo, `torchvision:NAME`, `timm:NAME`, `hf:NAME` or `hf:./config.json`,
            `./file.py:factory`, `package.module:factory`, or a file of torch.export, `./model.pt2`.
        options: passed to the factory as keyword arguments.
        real: build it on the CPU instead, with the values that its constructor gives it.

    Raises:
        ModelError: the name leads nowhere, or the factory fails or returns no module.
        OptionError: the model does not have this option.
    """
    with aside():
        if real:
            drew()
        return _load(name, options or {}, real)


def _load(name: str, options: dict[str, Any], real: bool) -> Loaded:
    variant = find(name)
    if variant is not None:
        from vggcost.zoo.network import build

        side = options.get("image_size") or variant.image_size
        with _device(real):
            net = build(variant, options)
        published = () if options else _published(variant.name)
        return Loaded(net, variant.name, variant.title, variant.aliases, "zoo", f"3x{side}x{side}", published=published)
    if name.endswith(".pt2"):
        from vggcost.load import exported

        return exported.load(name, options)
    place, colon, inner = name.partition(":")
    if colon and place in LIBRARIES:
        with _building(real):
            return LIBRARIES[place][0](inner, options)
    place, colon, _ = name.rpartition(":")
    if not colon:
        raise ModelError(_unknown(name))
    from vggcost.load.devices import asked, staying

    with staying() as devices:
        factory = load_function(name)
        with _building(real):
            model = call(factory, name, options)
    source = "file" if is_file(place) else "module"
    note = asked(devices, "cpu" if real else "meta")
    return Loaded(model, name, type(model).__name__, (), source, None, note=note)


def matching(pattern: str) -> list[str]:
    """List the names of a library that match a shell pattern: `timm:*resnet*`.

    Raises:
        ModelError: there is no such library, or it is not installed.
    """
    from fnmatch import fnmatchcase

    place, _, inner = pattern.partition(":")
    if place not in LIBRARIES:
        raise ModelError(f"no library {place!r}{did_you_mean(place, LIBRARIES)}; known: {', '.join(LIBRARIES)}")
    wanted = inner if any(sign in inner for sign in "*?[") else f"*{inner}*"
    return [f"{place}:{name}" for name in LIBRARIES[place][1]() if fnmatchcase(name.lower(), wanted.lower())]


def _device(real: bool) -> AbstractContextManager[Any]:
    import torch

    return torch.device("cpu" if real else "meta")


def _building(real: bool) -> AbstractContextManager[Any]:
    from vggcost.load.meta import on_meta

    return nullcontext() if real else on_meta()


def _published(name: str) -> tuple[Published, ...]:
    """What was published of a net of the zoo and can be counted."""
    from vggcost.zoo.facts import facts_of

    units = {"M": "M", "layers": ""}
    return tuple(
        Published(fact.quantity, fact.value, units[fact.unit], fact.source)
        for fact in facts_of(name)
        if fact.quantity in ("params", "weight layers")
    )


def _unknown(name: str) -> str:
    if os.path.isdir(name):
        return f"{name!r} is a folder; name a factory in one of its files: {Path(name) / 'model.py'}:make_model"
    if Path(name).suffix == ".py":
        return f"{name!r} names a file; say which factory in it: {name}:make_model"
    if os.path.isfile(name):
        return (
            f"{name!r} is a file that says nothing of an architecture that can be read safely; give the model as a "
            "program of torch.export (./model.pt2) or as the code that builds it (./file.py:factory)"
        )
    if os.sep in name:
        return f"no such file: {name}; name a factory in one as ./file.py:factory"
    found = [f"{place}:{name}" for place, (_, names) in LIBRARIES.items() if name in _installed(names)]
    if found:
        return f"unknown model {name!r} in the zoo; it is known as {' and as '.join(found)}"
    hint = did_you_mean(name.lower(), known_names())
    return (
        f"unknown model {name!r}{hint}; 'vggcost models' lists the zoo, a model of torchvision, timm or transformers "
        "(pip install 'vggcost[models]') is named as torchvision:NAME, timm:NAME or hf:NAME, and your own as "
        "./file.py:factory or package.module:factory"
    )


def _installed(names: Callable[[], list[str]]) -> list[str]:
    try:
        return names()
    except ModelError:
        return []
