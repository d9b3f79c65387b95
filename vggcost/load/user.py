"""Models of the user's own code: `./file.py:factory` and `package.module:factory`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggcost.errors import ModelError, OptionError, VggcostError, one_line
from vggcost.load.given_back import owing
from vggcost.reading import resolved
from vggcost.units import did_you_mean

if TYPE_CHECKING:
    from torch import nn

__all__ = ["call", "is_file", "load_function", "where"]


def load_function(name: str) -> Callable[..., Any]:
    """Find a function or class of the user's: `./file.py:name` or `package.module:name`.

    Raises:
        ModelError: the name leads nowhere; the message says what is there.
    """
    place, colon, attribute = name.rpartition(":")
    if not (place and colon and attribute):
        raise ModelError(f"{name!r} names no function; write ./file.py:function or package.module:function")
    return _factory(_from_file(place) if is_file(place) else _from_package(place), place, attribute)


def is_file(place: str) -> bool:
    """Whether this names a Python file rather than a package."""
    return place.endswith(".py") or os.sep in place


def _from_file(place: str) -> Any:
    path = Path(place)
    if not os.path.isfile(path):
        raise ModelError(f"{place} is a folder; name a file in it" if os.path.isdir(path) else f"no such file: {place}")
    folder = str(resolved(path).parent)
    module_name = f"vggcost_user_{re.sub(r'[^0-9a-zA-Z_]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{place} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling look their module up
    with _first(folder):  # the file's neighbours, as when it is run
        try:
            spec.loader.exec_module(module)
        except BaseException as error:  # sys.exit() too
            sys.modules.pop(module_name, None)
            if isinstance(error, KeyboardInterrupt):
                raise
            raise ModelError(f"{place} cannot be imported: {where(error)}") from error
    return module


@contextmanager
def _first(folder: str) -> Iterator[None]:
    """Let Python look in a folder first for what is imported while the context lasts."""
    entry = _Folder(folder)

    def undo() -> None:
        sys.path[:] = [name for name in sys.path if name is not entry]

    with owing(undo):
        sys.path.insert(0, entry)
        yield


class _Folder(str):
    """A place in the path that is told from others of the same name."""

    __slots__ = ()


def _from_package(place: str) -> Any:
    here = os.getcwd()
    with nullcontext() if here in sys.path else _first(here):  # as with python -m
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise ModelError(f"cannot import {place}: {error}; is it installed in this environment?") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ModelError(f"{place} cannot be imported: {where(error)}") from error


def _factory(module: Any, place: str, attribute: str) -> Callable[..., Any]:
    factory = module
    for part in attribute.split("."):
        factory = getattr(factory, part, None)
    if factory is None:
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ModelError(f"{place} has no {attribute!r}{did_you_mean(attribute, names)}")
    if not callable(factory):
        raise ModelError(f"{place}:{attribute} is a {type(factory).__name__}, not a function or class")
    return factory  # type: ignore[no-any-return]


def call(factory: Callable[..., Any], name: str, options: dict[str, Any]) -> nn.Module:
    """Call a user's factory.

    Raises:
        OptionError: it does not take these arguments.
        ModelError: it fails, with its own last line and where; or it returns no module.
    """
    from torch import nn

    if isinstance(factory, nn.Module):  # an instance is callable too, yet calling it would run it
        if options:
            raise OptionError(f"{name} is built already and takes no options, got -k {next(iter(options))}")
        return factory
    try:
        model = factory(**options)
    except (VggcostError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit() too
        if isinstance(error, TypeError) and not _fits(factory, options):
            raise OptionError(f"{name}: {error}; give arguments with -k key=value") from error
        raise ModelError(f"{name} failed: {where(error)}") from error
    if not isinstance(model, nn.Module):
        found = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ModelError(f"{name} returned {found}, not a torch.nn.Module; let it return the built model alone")
    return model


def _fits(factory: Callable[..., Any], options: dict[str, Any]) -> bool:
    """Whether a factory takes these arguments."""
    try:
        inspect.signature(factory).bind(**options)
    except TypeError:
        return False
    except ValueError:  # no signature to be had
        return True
    return True


def where(error: BaseException) -> str:
    """Say what was raised, and on which line of the user's code."""
    if isinstance(error, SyntaxError):
        name = f"{Path(error.filename).name}, " if error.filename else ""
        return f"SyntaxError: {error.msg} ({name}line {error.lineno})"
    line = _own_line(error)
    return one_line(error) + (f" ({Path(line.filename).name}, line {line.lineno})" if line else "")


_PYTHON, _US = sysconfig.get_path("stdlib"), str(Path(__file__).parents[1])


def _own_line(error: BaseException) -> traceback.FrameSummary | None:
    """Find the innermost line of code that was not installed; of a library other than torch, if all was."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((_US, "<"))]
    installed = [f for f in frames if {"site-packages", "dist-packages"} & set(Path(f.filename).parts)]
    own = [f for f in frames if f not in installed and not f.filename.startswith(_PYTHON)]
    libraries = [f for f in installed if "torch" not in Path(f.filename).parts]
    return next((found[-1] for found in (own, libraries) if found), None)
