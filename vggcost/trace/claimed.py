"""One analysis at a time has a model: another of the same modules waits until it is given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from vggcost.errors import TraceError
from vggcost.load.given_back import family, lock, owing
from vggcost.trace.held import Modules

__all__ = ["PATIENCE", "claimed"]

PATIENCE = 600.0
"""Seconds after which a model is not waited for any more."""
_STEP = 0.002
_claims: dict[object, tuple[object, dict[int, str]]] = {}
"""The modules that each analysis has, by their ids, and its family."""


@contextmanager
def claimed(modules: Modules) -> Iterator[bool]:
    """Have modules to oneself while the context lasts, and yield whether they had to be waited for.

    An analysis inside another has those of that one too.

    Raises:
        TraceError: another thread has one of them, and goes on having it.
    """
    token, waited = object(), False
    until, wanted = time.monotonic() + PATIENCE, {id(module): path for path, module in modules}
    with owing(partial(_let_go, token)):
        while (taken := _claim(token, wanted)) is not None:
            waited = True
            if time.monotonic() > until:
                what = wanted[taken] or "the model"
                raise TraceError(f"{what} is being analysed in another thread, which does not end; wait for that one")
            time.sleep(_STEP)
        yield waited


def _claim(token: object, wanted: dict[int, str]) -> int | None:
    """Take all of these modules, or name one that another family has."""
    ours = family()
    with lock:
        for owner, held in _claims.values():
            if owner is not ours and not held.keys().isdisjoint(wanted):
                return next(iter(held.keys() & wanted.keys()))
        _claims[token] = ours, wanted
    return None


def _let_go(token: object) -> None:
    with lock:
        _claims.pop(token, None)
