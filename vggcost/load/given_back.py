"""What an analysis changes while it lasts, and the guard that gives all of it back, wherever it is interrupted.

Every change is owed before it is made: what undoes it is written down first, may be done twice, and is struck off
when the context ends. A guard around the analysis does what is left of it, in the reverse order, and puts back what
the thread and the process were set to. It tries again where an interrupt hits it in turn.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar, copy_context
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["IMPORTED", "Shared", "family", "given_back", "inner", "lock", "owe", "owing", "shielded"]

P = ParamSpec("P")
T = TypeVar("T")
Undo = Callable[[], None]

lock = threading.RLock()
"""Of all that threads share here; a guard lets go of it, should an interrupt have kept it."""

_family: ContextVar[object] = ContextVar("family")


class _Here(threading.local):
    def __init__(self) -> None:
        self.owed: list[Undo] = []
        self.depth = 0


_here = _Here()


@contextmanager
def owing(undo: Undo) -> Iterator[None]:
    """Undo something when the context ends, or else when the guard around it does.

    Args:
        undo: may be called twice, and before what it undoes is done or while it is half done.

    Example:
        >>> given_back()(lambda: owing(lambda: print("undone")).__enter__())()
        undone
    """
    owed = _here.owed
    owed.append(undo)
    try:
        yield
    finally:
        for at in range(len(owed) - 1, -1, -1):
            if owed[at] is undo:  # the guard was not here before, as it is where a generator is closed late
                undo()
                del owed[at]
                break


def owe(undo: Undo) -> None:
    """Undo something when the guard around what runs here does."""
    if _here.depth:
        _here.owed.append(undo)


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it: where an interrupt hits what closes a context, closing another may fail and hide it."""
    while error is not None:
        yield error
        error = error.__context__


def shielded(run: Callable[[], T], settle: Undo) -> T:
    """Run something and settle afterwards, whatever happens; an interrupt of the settling begins it anew.

    Each `finally` covers the instructions between the end of what it is about and the next one.
    """
    try:
        try:
            try:
                return run()
            except BaseException as error:
                behind = list(_behind(error))
                stop = next((cause for cause in behind if isinstance(cause, KeyboardInterrupt)), None)
                if stop is None and isinstance(error, Exception):
                    raise
                for cause in behind:  # contexts that it left open end now, and not with its traceback
                    traceback.clear_frames(cause.__traceback__)
                if stop is None or stop is error:
                    raise
                raise stop from None
            finally:
                settle()
        finally:
            settle()
    finally:
        settle()


IMPORTED = frozenset({"sys.path", "the environment"})
"""What code sets where it is imported, and counts on as long as it is loaded."""


def given_back(but: frozenset[str] = frozenset()) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Put a guard around a function: after it the thread and the process are as before.

    Args:
        but: what of the process is left as it is then, by its name in `vggcost.load.process`.
    """
    return partial(_guard, but)


def _guard(but: frozenset[str], function: Callable[P, T]) -> Callable[P, T]:
    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        from vggcost.load import process, thread  # which import torch
        from vggcost.load.replaced import replaced

        here, token, lost = _here, object(), list[BaseException]()
        length, depth, state, settled = len(here.owed), here.depth, thread.state(), False

        def settle() -> None:
            nonlocal settled
            if settled:
                return
            _let_go()
            thread.put_back(state)
            _undo(here.owed, length)
            if not depth:
                process.leave(token, but)
            here.depth = depth
            settled = True

        def run() -> T:
            if not depth:
                process.enter(token)
            here.depth = depth + 1
            with nullcontext() if depth else replaced((sys, "unraisablehook", partial(_hearing, lost))):
                result = copy_context().run(_within, partial(function, *args, **kwargs))
            if lost:
                raise lost[0]
            return result

        return shielded(run, settle)

    return guarded


def inner(function: Callable[[], T]) -> T:
    """Run something in this thread as part of an analysis in another, which gives back the process itself."""
    _here.depth += 1
    try:
        return function()
    finally:
        _here.depth -= 1


def family() -> object:
    """Return what stands for the analysis that runs here and for those that are asked for in it."""
    return _family.get(None)


def _within(function: Callable[[], T]) -> T:
    """Run something in a context of its own, so that variables of the context are given back too."""
    if _family.get(None) is None:
        _family.set(object())
    return function()


def _hearing(lost: list[BaseException], original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Keep an interrupt that hits where Python lets no error out of, as where an object is let go: what follows is wrong."""

    def hearing(unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, Exception):
            original(unraisable)
        else:
            lost.append(unraisable.exc_value)

    return hearing


def _let_go() -> None:
    with suppress(RuntimeError):  # it is not this thread's
        while True:
            lock.release()


def _undo(owed: list[Undo], length: int) -> None:
    failure: Exception | None = None
    while len(owed) > length:
        try:
            owed[-1]()
        except Exception as error:  # the others are to be undone all the same
            failure = failure or error
        del owed[-1]
    if failure is not None:
        raise failure


class Shared:
    """A change of the process that lasts while any thread wants it.

    Args:
        begin: makes the change.
        end: undoes it, also where it is half made or undone already.
    """

    def __init__(self, begin: Undo, end: Undo) -> None:
        self._begin, self._end = begin, end
        self._holders: set[object] = set()
        self._made = False

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """Let it last as long as the context at least."""
        token = object()
        with owing(partial(self._leave, token)):
            with lock:
                self._holders.add(token)
                if not self._made:
                    self._begin()
                    self._made = True
            yield

    def _leave(self, token: object) -> None:
        with lock:
            self._holders.discard(token)
            if not self._holders:
                self._end()
                self._made = False
