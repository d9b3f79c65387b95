"""Backward ops that are one kernel on a device and a composition on meta: a run sees them whole."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from vggcost.load.given_back import Shared

__all__ = ["WHOLE", "whole"]

_KEY = "AutogradMeta"
WHOLE = ("mish_backward",)
"""Ops of torch that AutogradMeta takes apart before a dispatch mode is asked, since they have no kernel for meta."""


def whole() -> AbstractContextManager[None]:
    """Let these ops reach the dispatch mode in one piece while the context lasts.

    They fall through the key that would take them apart, to be taken apart by the next one, so that for
    other threads nothing changes.
    """
    return _shared.lasting()


_library: list[Any] = []


def _register() -> None:
    _library[:] = [torch._C._dispatch_library("IMPL", "aten", _KEY, __file__, 0)]
    for name in WHOLE:
        _library[0].impl(name, _KEY, torch.library.fallthrough_kernel, False)


def _withdraw() -> None:
    for library in _library:
        library.reset()
    _library.clear()


_shared = Shared(_register, _withdraw)
