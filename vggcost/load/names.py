"""From a name to a model on meta."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggcost.errors import ModelError, OptionError, VggcostError
from vggcost.records import Published
from vggcost.units import did_you_mean
from vggcost.zoo.names import find, known_names

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Loaded", "load", "load_function"]

_EXTRAS = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}


@dataclass(frozen=True)
class Loaded:
    """A model on meta, and what is known of it.

    Attributes:
        model: the module; its parameters are on meta.
        name: the canonical name.
        title: what people call it.
        aliases: its other names.
        source: where it came from: `zoo`, `file`, `module` or `object`.
        input: the input it is made for, as written on the command line; None if unknown.
        published: figures that others printed of it, with these options.
    """

    model: nn.Module
    name: str
    title: str
    aliases: tuple[str, ...]
    source: str
    input: str | None
    published: tuple[Published, ...] = ()


def load(name: str, options: dict[str, Any] | None = None, *, real: bool = False) -> Loaded:
    """Build a model on meta from its name.

    Args:
        name: a name of the zoo, `./file.py:factory` or `package.module:factory`.
        options: passed to the factory as keyword arguments.
        real: build it with real weights on the CPU instead.

    Raises:
        ModelError: the name leads nowhere, or the factory fails or returns no module.
        OptionError: the zoo net does not have this option.
    """
    options = options or {}
    variant = find(name)
    if variant is not None:
        from vggcost.zoo.network import build

        side = options.get("image_size") or variant.image_size
        with _device(real):
            net = build(variant, options)
        published = () if options else _published(variant.name)
        return Loaded(net, variant.name, variant.title, variant.aliases, "zoo", f"3x{side}x{side}", published)
    place, colon, _ = name.rpartition(":")
    if not colon:
        raise ModelError(_unknown(name))
    if place in _EXTRAS:
        raise ModelError(
            f"{name!r}: models of {place} cannot be named this way yet; write a factory that returns one "
            f"(pip install 'vggcost[models]' brings {_EXTRAS[place]}) and name it as ./file.py:factory"
        )
    model = _call(load_function(name), name, options, real)
    source = "file" if _is_file(place) else "module"
    return Loaded(model, name, type(model).__name__, (), source, None)


def load_function(name: str) -> Callable[..., Any]:
    """Find a function or class of the user's: `./file.py:name` or `package.module:name`.

    Raises:
        ModelError: the name leads nowhere; the message says what is there.
    """
    place, colon, attribute = name.rpartition(":")
    if not colon:
        raise ModelError(f"{name!r} names no function; write ./file.py:function or package.module:function")
    return _factory(_from_file(place) if _is_file(place) else _from_package(place), place, attribute)


def _is_file(place: str) -> bool:
    return place.endswith(".py") or os.sep in place


def _unknown(name: str) -> str:
    if Path(name).suffix == ".py" or os.sep in name:
        return f"{name!r} names a file; say which factory in it: {name}:make_model"
    hint = did_you_mean(name.lower(), known_names())
    return (
        f"unknown model {name!r}{hint}; 'vggcost models' lists the zoo, your own model is named as "
        "./file.py:factory or package.module:factory, and a model of torchvision, timm or transformers "
        "(pip install 'vggcost[models]') through such a factory"
    )


def _device(real: bool) -> Any:
    import torch

    return torch.device("cpu" if real else "meta")


def _published(name: str) -> tuple[Published, ...]:
    """What was published of a net of the zoo and can be counted."""
    from vggcost.zoo.facts import facts_of

    units = {"M": "M", "layers": ""}
    return tuple(
        Published(fact.quantity, fact.value, units[fact.unit], fact.source)
        for fact in facts_of(name)
        if fact.quantity in ("params", "weight layers")
    )


def _from_file(place: str) -> Any:
    path = Path(place)
    if not path.is_file():
        raise ModelError(f"no such file: {place}")
    folder = str(path.resolve().parent)
    module_name = f"vggcost_user_{re.sub(r'[^0-9a-zA-Z_]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{place} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling look their module up
    sys.path.insert(0, folder)  # the file's neighbours, as when it is run
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(module_name, None)
        raise ModelError(f"{place} cannot be imported: {_where(error)}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module


def _from_package(place: str) -> Any:
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)  # as with python -m
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise ModelError(f"cannot import {place}: {error}; is it installed in this environment?") from error
    except Exception as error:
        raise ModelError(f"{place} cannot be imported: {_where(error)}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _factory(module: Any, place: str, attribute: str) -> Callable[..., Any]:
    factory = module
    for part in attribute.split("."):
        factory = getattr(factory, part, None)
    if factory is None:
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ModelError(f"{place} has no {attribute!r}{did_you_mean(attribute, names)}")
    if not callable(factory):
        raise ModelError(
            f"{place}:{attribute} is a {type(factory).__name__}, not a function or class that makes a model"
        )
    return factory  # type: ignore[no-any-return]


def _call(factory: Callable[..., Any], name: str, options: dict[str, Any], real: bool) -> nn.Module:
    from torch import nn

    if isinstance(factory, nn.Module):  # an instance is callable too, yet calling it would run it
        return factory
    try:
        with _device(real):
            model = factory(**options)
    except VggcostError:
        raise
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # raised by the call itself
            raise OptionError(f"{name}: {error}; give arguments with -k key=value") from error
        raise ModelError(f"{name} failed: {_where(error)}") from error
    except Exception as error:
        raise ModelError(f"{name} failed: {_where(error)}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} returned {type(model).__name__}, not a torch.nn.Module")
    return model


def _where(error: BaseException) -> str:
    """Say what was raised, and on which line of the user's code."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    last = frames[-1] if len(frames) > 1 else None
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text}" + (f" ({Path(last.filename).name}, line {last.lineno})" if last else "")
