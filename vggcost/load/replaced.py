"""Functions of other people's modules, replaced for one thread while a context lasts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from threading import RLock, get_ident
from typing import Any

__all__ = ["replaced"]

Function = Callable[..., Any]


@dataclass
class _Place:
    """An attribute that holds a function of ours: what was there, and what each thread gets instead."""

    original: Function
    inherited: bool
    standing: Any = None
    threads: dict[int, list[Function]] = field(default_factory=dict)


_places: dict[tuple[int, str], _Place] = {}
_lock = RLock()


@contextmanager
def replaced(owner: Any, name: str, make: Callable[[Function], Function]) -> Iterator[None]:
    """Give this thread another function in the place of an attribute; other threads keep the one that was there.

    Contexts may overlap in any order, of several threads too; after the last one the attribute is as before.

    Args:
        owner: a module or class.
        name: the attribute.
        make: makes the function, of the one that it stands for.

    Example:
        >>> import math
        >>> with replaced(math, "floor", lambda floor: lambda x: floor(x) + 1):
        ...     math.floor(2.5)
        3
        >>> math.floor(2.5)
        2
    """
    thread, key = get_ident(), (id(owner), name)
    with _lock:
        place = _places.get(key)
        if place is None:
            place = _places[key] = _stand(owner, name)
        ours = place.threads.setdefault(thread, [])
        function = make(ours[-1] if ours else place.original)
        ours.append(function)
    try:
        yield
    finally:
        with _lock:
            ours.remove(function)
            if not ours:
                del place.threads[thread]
            if not place.threads:
                del _places[key]
                _withdraw(owner, name, place)


def _stand(owner: Any, name: str) -> _Place:
    place = _Place(getattr(owner, name), name not in vars(owner))

    @wraps(place.original)
    def standing(*args: Any, **kwargs: Any) -> Any:
        ours = place.threads.get(get_ident())
        return (ours[-1] if ours else place.original)(*args, **kwargs)

    static = isinstance(inspect.getattr_static(owner, name), staticmethod)
    place.standing = staticmethod(standing) if static else standing
    setattr(owner, name, place.standing)
    return place


def _withdraw(owner: Any, name: str, place: _Place) -> None:
    if vars(owner).get(name) is not place.standing:  # somebody's function is over ours, which passes all on from now on
        return
    if place.inherited:
        delattr(owner, name)
    else:
        static = isinstance(place.standing, staticmethod)
        setattr(owner, name, staticmethod(place.original) if static else place.original)
