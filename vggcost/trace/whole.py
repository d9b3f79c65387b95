"""Backward ops that are one kernel on a device and a composition on meta: a run sees them whole."""

from __future__ import annotations

from threading import Lock
from typing import Any, ClassVar

import torch

__all__ = ["WHOLE", "Whole"]

_KEY = "AutogradMeta"
WHOLE = ("mish_backward",)
"""Ops of torch that AutogradMeta takes apart before a dispatch mode is asked, since they have no kernel for meta."""


class Whole:
    """Let these ops reach the dispatch mode in one piece while the context lasts.

    They fall through the key that would take them apart, to be taken apart by the next one, so that for
    other threads nothing changes.
    """

    _lock: ClassVar[Lock] = Lock()
    _lasting: ClassVar[int] = 0
    _library: ClassVar[Any] = None

    def __enter__(self) -> None:
        kind = type(self)
        with self._lock:
            if not kind._lasting:
                kind._library = torch._C._dispatch_library("IMPL", "aten", _KEY, __file__, 0)
                for name in WHOLE:
                    kind._library.impl(name, _KEY, torch.library.fallthrough_kernel, False)
            kind._lasting += 1

    def __exit__(self, *_: object) -> None:
        kind = type(self)
        with self._lock:
            kind._lasting -= 1
            if not kind._lasting:
                kind._library.reset()
                kind._library = None
