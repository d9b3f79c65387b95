"""Warnings of one thread, off while a context lasts; Python's filters are of all threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from vggcost.load.given_back import Shared, owing

__all__ = ["QUIET", "quiet"]

_here = threading.local()


class _Here:
    """Looks like the pattern of a filter, and matches every message of a thread that is quiet."""

    def match(self, text: str) -> bool:
        """Whether this thread is quiet."""
        return getattr(_here, "quiet", False)


QUIET: Any = ("ignore", _Here(), Warning, None, 0)
"""The filter, which stands before all others while any thread is quiet."""
_filters: list[list[Any]] = []


def _insert() -> None:
    filters: Any = warnings.filters
    _filters.append(filters)
    if QUIET not in filters:
        filters.insert(0, QUIET)


def _take_out() -> None:
    for filters in (*_filters, warnings.filters):  # somebody may have put a copy of them there
        while QUIET in filters:
            filters.remove(QUIET)  # type: ignore[attr-defined]
    _filters.clear()


_shared = Shared(_insert, _take_out)


@contextmanager
def quiet() -> Iterator[None]:
    """Let nobody hear of what this thread warns of.

    Example:
        >>> with warnings.catch_warnings(record=True) as heard:
        ...     warnings.simplefilter("always")
        ...     with quiet():
        ...         warnings.warn("unheard")
        ...     warnings.warn("heard")
        >>> [str(warning.message) for warning in heard]
        ['heard']
    """
    with owing(partial(setattr, _here, "quiet", getattr(_here, "quiet", False))), _shared.lasting():
        _here.quiet = True
        yield
