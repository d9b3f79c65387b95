"""Functions and classes of other people's modules, replaced for one thread while a context lasts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import update_wrapper
from threading import RLock, get_ident
from typing import Any

__all__ = ["Replacement", "replaced"]

Function = Callable[..., Any]
Replacement = tuple[Any, str, Callable[[Function], Function]]
"""A module or class, an attribute of it, and what makes the function that stands there, of the one it stands for."""


@dataclass
class _Place:
    """An attribute: what is there as a rule, what stands there while any thread wants it, and what each thread gets."""

    original: Function
    inherited: bool
    standing: Any = None
    attribute: Any = None
    threads: dict[int, list[Function]] = field(default_factory=dict)


_places: dict[tuple[int, str], _Place] = {}
_lock = RLock()


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
    done: list[tuple[Any, str, _Place, Function]] = []
    try:
        with _lock:
            for owner, name, make in places:
                place = _standing(owner, name)
                ours = place.threads.setdefault(thread, [])
                ours.append(make(ours[-1] if ours else place.original))
                done.append((owner, name, place, ours[-1]))
        yield
    finally:
        with _lock:
            for owner, name, place, function in reversed(done):
                place.threads[thread].remove(function)
                if not place.threads[thread]:
                    del place.threads[thread]
                    if not place.threads:
                        _withdraw(owner, name, place)


def _standing(owner: Any, name: str) -> _Place:
    """Put in place what asks for the thread; it is made once, since that takes longer than a small model's run."""
    place = _places.get((id(owner), name))
    if place is not None and place.threads:
        return place
    original = getattr(owner, name)
    if place is None or place.original is not original:
        place = _places[id(owner), name] = _made(owner, name, original)
    setattr(owner, name, place.standing)
    return place


def _made(owner: Any, name: str, original: Function) -> _Place:
    found = vars(owner).get(name)
    place = _Place(original, name not in vars(owner), attribute=found)

    def standing(*args: Any, **kwargs: Any) -> Any:
        ours = place.threads.get(get_ident())
        return (ours[-1] if ours else original)(*args, **kwargs)

    if isinstance(original, type):
        place.standing = _class(original, standing)
    else:
        update_wrapper(standing, original)
        static = isinstance(inspect.getattr_static(owner, name, None), staticmethod)
        place.standing = staticmethod(standing) if static else standing
    return place


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
