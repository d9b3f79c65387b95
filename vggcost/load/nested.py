"""An analysis that is asked for while a model is run: it gets a thread of its own, where nothing watches it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial, wraps
from typing import ParamSpec, TypeVar

__all__ = ["apart", "watching"]

P = ParamSpec("P")
T = TypeVar("T")
_here = threading.local()


@contextmanager
def watching() -> Iterator[None]:
    """Say that a model is run and watched in this thread while the context lasts."""
    before = getattr(_here, "watched", False)
    _here.watched = True
    try:
        yield
    finally:
        _here.watched = before


def apart(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function run in a thread of its own where it is called by a model that is watched.

    torch's modes, hooks of saved tensors and settings are of the thread: a forward or a hook that analyses another model
    does so as if nothing was going on, and nothing of it gets into the record of the model around it.

    Example:
        >>> name = apart(lambda: threading.current_thread().name)
        >>> here = threading.current_thread().name
        >>> name() == here
        True
        >>> with watching():
        ...     name() == here
        False
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        if not getattr(_here, "watched", False):
            return function(*args, **kwargs)
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(partial(copy_context().run, function, *args, **kwargs)).result()

    return called
