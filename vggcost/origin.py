"""What the figures of a model's name depend on: the files it leads to and the versions of the libraries.

Standard library only: nothing is imported to find out.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from vggcost.errors import FileError
from vggcost.reading import read_file, resolved

__all__ = ["LIBRARIES", "code_digest", "digest", "is_editable", "leads_to", "versions"]

LIBRARIES = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}
"""The distribution behind the first word of a library's model."""


def leads_to(name: str, path: Iterable[str] = ()) -> Path | None:
    """Find the file that a model's name stands for; None for a name of the zoo or of a library, or where there is none.

    Args:
        name: as for `analyze`.
        path: where packages are looked for, after the working directory.

    Example:
        >>> leads_to("timm:resnet50") is None
        True
    """
    place, colon, inner = name.partition(":")
    if colon and place in LIBRARIES:
        return resolved(inner) if place == "hf" and inner.endswith(".json") else None
    if name.endswith(".pt2"):
        return resolved(name)
    place, colon, _ = name.rpartition(":")
    if not colon:
        return None
    if place.endswith(".py") or os.sep in place:
        return resolved(place)
    where: list[str] = [os.getcwd(), *path]
    for part in place.split("."):
        spec = PathFinder.find_spec(part, where)
        if spec is None:
            return None
        where = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec is not None and spec.origin else None


def digest(data: bytes) -> str:
    """Return a short fingerprint of bytes.

    Example:
        >>> digest(b"vgg")
        'f6a4b2e79dc30e65a154f8770d0416e8'
    """
    return blake2b(data, digest_size=16).hexdigest()


def code_digest(name: str, path: Iterable[str] = ()) -> str:
    """Return the fingerprint of the file that a model's name stands for; empty where there is none."""
    file = leads_to(name, path)
    try:
        return digest(read_file(file)) if file is not None else ""
    except FileError:  # loading it says so in its own words
        return ""


@cache
def _version(package: str) -> str:
    try:
        return distribution(package).version
    except PackageNotFoundError:
        return ""


def versions(name: str) -> tuple[tuple[str, str], ...]:
    """List what the figures of a model depend on: python, torch, vggcost, and the library that builds it.

    Example:
        >>> [package for package, _ in versions("vgg16")]
        ['python', 'torch', 'vggcost']
    """
    from vggcost import __version__

    found = [("python", platform.python_version()), ("torch", _version("torch")), ("vggcost", __version__)]
    place, colon, _ = name.partition(":")
    library = LIBRARIES.get(place) if colon else None
    return (*found, *([(library, _version(library))] if library is not None else []))


def is_editable(package: str) -> bool:
    """Whether a library is run from a checkout, where its version does not change with its code."""
    try:
        return '"editable": true' in (distribution(package).read_text("direct_url.json") or "")
    except PackageNotFoundError:
        return False
