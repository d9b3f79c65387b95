"""Where objects keep what they hold, other than in dicts, lists and sets: slots, closures, arrays, states of generators."""

from __future__ import annotations

import array
import random
import sys
import weakref
from argparse import Namespace
from collections import UserDict, UserList, UserString
from collections.abc import Callable, Iterator
from functools import partial, partialmethod
from types import CellType, FunctionType, MemberDescriptorType, MethodType, SimpleNamespace
from typing import Any

import torch

from vggcost.load.quiet import quiet

__all__ = ["ClassPlace", "Place", "classes_of", "is_ours", "parts_of", "places_of", "restorer", "slots_of"]

Undo = Callable[[], None]
_OTHERS = frozenset({"torch", *sys.stdlib_module_names})
"""Whose objects belong to the process (loggers, threads, graphs of torch), but for those that hold a user's data."""
_HOLDERS = (
    SimpleNamespace, Namespace, UserDict, UserList, UserString, weakref.WeakKeyDictionary, weakref.WeakValueDictionary,
)  # fmt: skip
_TORCH = ("torch.nn", "torch.optim", "torch.amp", "torch.distributions")
_LARGEST = 2**28
"""Bytes of an array that are copied, to be put back; a larger one is most often a file that lies on disk."""
_ABSENT: Any = object()


class Place:
    """The slots of an object, or the variable that a closure holds, as a dict is."""

    __slots__ = ("_names", "owner")

    def __init__(self, owner: Any, names: tuple[str, ...]) -> None:
        self.owner, self._names = owner, names

    def content(self) -> dict[str, Any]:
        """Return what is there by its name; what is empty is left out."""
        found = ((name, self._get(name)) for name in self._names)
        return {name: value for name, value in found if value is not _ABSENT}

    def fill(self, content: dict[str, Any]) -> None:
        """Have this there and nothing else."""
        for name in self._names:
            value = content.get(name, _ABSENT)
            if value is self._get(name):
                continue
            if value is _ABSENT:
                object.__delattr__(self.owner, name)
            else:
                object.__setattr__(self.owner, name, value)

    def _get(self, name: str) -> Any:
        try:
            return object.__getattribute__(self.owner, name)
        except (AttributeError, ValueError):  # of a cell
            return _ABSENT


class ClassPlace:
    """The attributes of a class."""

    __slots__ = ("owner",)

    def __init__(self, owner: type) -> None:
        self.owner = owner

    def content(self) -> dict[str, Any]:
        """Return what a class has of its own, by its name."""
        return {name: value for name, value in vars(self.owner).items() if not name.startswith("__")}

    def fill(self, content: dict[str, Any]) -> None:
        """Let it have this and nothing else."""
        now = self.content()
        for name in now.keys() - content.keys():
            type.__delattr__(self.owner, name)
        for name, value in content.items():
            if now.get(name, _ABSENT) is not value:
                type.__setattr__(self.owner, name, value)


def is_ours(value: Any) -> bool:
    """Whether an object holds data of the model's, by the module of its class."""
    module = type(value).__module__
    if module.partition(".")[0] not in _OTHERS:
        return True
    return isinstance(value, _HOLDERS) or module.startswith(_TORCH)


def places_of(value: Any) -> Iterator[Place]:
    """List the slots of an object, and the variable of a closure."""
    if isinstance(value, CellType):
        yield Place(value, ("cell_contents",))
    elif slots := slots_of(type(value)):
        yield Place(value, slots)


def classes_of(kind: type) -> list[type]:
    """List a class and those that it is made of, as far as they are the user's."""
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in _OTHERS]


def slots_of(kind: type) -> tuple[str, ...]:
    """Name the slots of a class of the user's."""
    found = _known.get(kind)
    if found is None:
        members = [
            (base, *item) for base in classes_of(kind) if "__slots__" in vars(base) for item in vars(base).items()
        ]
        found = tuple(name for _, name, member in members if isinstance(member, MemberDescriptorType))
        _known[kind] = found
    return found


_known: weakref.WeakKeyDictionary[type, tuple[str, ...]] = weakref.WeakKeyDictionary()


def parts_of(value: Any) -> list[Any]:
    """List the objects that one leads to without holding them in a place of its own: a function's, a reference's."""
    if isinstance(value, (weakref.ref, weakref.WeakMethod)):
        return [value()]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, (partial, partialmethod)):
        return [value.func, value.args, value.keywords]
    if isinstance(value, (staticmethod, classmethod)):
        return [value.__func__]
    if isinstance(value, property):
        return [value.fget, value.fset]
    if isinstance(value, FunctionType) and (value.__module__ or "").partition(".")[0] not in _OTHERS:
        held = value.__closure__, value.__defaults__, value.__kwdefaults__, vars(value)
        return [*(held[0] or ()), *held[1:]] if any(held) else []
    return []


def restorer(value: Any) -> Undo | None:
    """Return what sets an object to the state that it is in now, in place; None: it has none that is known."""
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    if isinstance(value, torch.Generator):
        put: Any = value.set_state
        return partial(put, value.get_state())
    if isinstance(value, (bytearray, array.array)):
        return partial(_set_items, value, value[:])
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.ndarray):
        return _of_array(numpy, value)
    if isinstance(value, numpy.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    if isinstance(value, numpy.random.RandomState):
        return partial(value.set_state, value.get_state())
    return None


def _set_items(value: Any, items: Any) -> None:
    if value != items:
        value[:] = items


def _of_array(numpy: Any, value: Any) -> Undo | None:
    """An array keeps its place; one that cannot be written to, or is too large to be copied, is left alone."""
    if not value.flags.writeable or value.nbytes > _LARGEST or isinstance(value, numpy.memmap):
        return None
    shape, before = value.shape, value.copy()

    def undo() -> None:
        if value.shape != shape:
            with quiet():  # numpy would rather have a view of it
                value.shape = shape
        value.flags.writeable = True
        value[...] = before

    return undo
