"""Functions and classes of other people's modules, replaced for one thread while a context lasts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from threading import get_ident
from types import ClassMethodDescriptorType
from typing import Any

from vggcost.load.given_back import lock, owing

__all__ = ["Replacement", "replaced"]

Function = Callable[..., Any]
Replacement = tuple[Any, str, Callable[[Function], Function]]
"""A module or class, an attribute of it, and what makes the function that stands there, of the one it stands for."""


@dataclass
class _Place:
    """An attribute: what is there as a rule, what stands there while any thread wants it, and what each thread gets."""

    original: Function
    found: Any
    inherited: bool
    standing: Any = None
    attribute: Any = None
    threads: dict[int, list[Function]] = field(default_factory=dict)


_places: dict[tuple[int, str], _Place] = {}


@contextmanager
def replaced(*places: Replacement) -> Iterator[None]:
    """Give this thread other functions in the place of some; other threads keep those that were there.

    Contexts may overlap in any order, of several threads too; after the last one all is as before.

    Example:
        >>> import math
        >>> with replaced((math, "floor", lambda floor: lambda x: floor(x) + 1)):
        ...     math.floor(2.5)
        3
        >>> math.floor(2.5)
        2
    """
    thread = get_ident()
    ours: dict[int, Function] = {}
    with owing(partial(_remove, places, thread, ours)):
        with lock:
            for owner, name, make in places:
                place = _standing(owner, name)
                held = place.threads.setdefault(thread, [])
                function = make(held[-1] if held else place.original)
                ours[id(function)] = function
                held.append(function)
        yield


def _remove(places: tuple[Replacement, ...], thread: int, ours: dict[int, Function]) -> None:
    """Take a thread's functions away, as many as are there."""
    with lock:
        for owner, name, _ in places:
            place = _places.get((id(owner), name))
            if place is None:
                continue
            held = place.threads.get(thread)
            if held is not None:
                left = [function for function in held if id(function) not in ours]
                if left:
                    place.threads[thread] = left
                else:
                    del place.threads[thread]
            if not place.threads:
                _withdraw(owner, name, place)


def _standing(owner: Any, name: str) -> _Place:
    """Put in place what asks for the thread; it is made once, since that takes longer than a small model's run."""
    place = _places.get((id(owner), name))
    if place is not None and place.threads:
        return place
    attribute = vars(owner).get(name)
    found = attribute if isinstance(attribute, _OF_CLASSES) else getattr(owner, name)
    if place is None or place.found is not found:
        place = _places[id(owner), name] = _made(owner, name, found)
    setattr(owner, name, place.standing)
    return place


_OF_CLASSES = (classmethod, ClassMethodDescriptorType)


def _made(owner: Any, name: str, found: Any) -> _Place:
    original: Function = _of_class(found) if isinstance(found, _OF_CLASSES) else found
    place = _Place(original, found, name not in vars(owner), attribute=vars(owner).get(name))

    def standing(*args: Any, **kwargs: Any) -> Any:
        ours = place.threads.get(get_ident())
        return (ours[-1] if ours else original)(*args, **kwargs)

    if isinstance(original, type):
        place.standing = _class(original, standing)
    else:
        update_wrapper(standing, original)
        static = isinstance(inspect.getattr_static(owner, name, None), staticmethod)
        place.standing = staticmethod(standing) if static else standing if original is found else classmethod(standing)
    return place


def _of_class(method: Any) -> Function:
    """Return a class's method as a function of the class."""
    return lambda kind, *args, **kwargs: method.__get__(None, kind)(*args, **kwargs)


def _class(original: type, make: Function) -> type:
    """Return a class that stands for another: what it makes are objects of that one, or what `make` returns."""

    class Standing(type(original)):  # type: ignore[misc]
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return make(*args, **kwargs)

        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, original)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, original)

    return Standing(original.__name__, (original,), {"__module__": original.__module__, "__doc__": original.__doc__})


def _withdraw(owner: Any, name: str, place: _Place) -> None:
    if vars(owner).get(name) is not place.standing:  # somebody's function is over ours, which passes all on from now on
        return
    if place.inherited:
        delattr(owner, name)
    else:
        setattr(owner, name, place.attribute)
