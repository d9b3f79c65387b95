"""An analysis that is asked for while a model is run: it gets a thread of its own, where nothing watches it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from vggcost.load.given_back import inner, owing

__all__ = ["apart", "watching"]

P = ParamSpec("P")
T = TypeVar("T")
_here = threading.local()


@contextmanager
def watching() -> Iterator[None]:
    """Say that a model is run and watched in this thread while the context lasts."""
    before = getattr(_here, "watched", False)
    with owing(partial(setattr, _here, "watched", before)):
        _here.watched = True
        yield


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
        future: Future[T] = Future()
        run = partial(copy_context().run, inner, partial(function, *args, **kwargs))
        thread = threading.Thread(target=_fulfil, args=(future, run), name="vggcost")

        def finish() -> None:
            if thread.ident is not None:
                thread.join()

        with owing(finish):  # it may be about the model that is run here, which is given back after it
            thread.start()
            return future.result()

    return called


def _fulfil(future: Future[T], run: Callable[[], T]) -> None:
    try:
        future.set_result(run())
    except BaseException as error:
        future.set_exception(error)
