"""What code of other people's may do to the process while a model is built or run."""

from __future__ import annotations

import random
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vggcost.load.given_back import Shared, owing
from vggcost.load.replaced import replaced

__all__ = ["aside", "drew"]


@contextmanager
def aside() -> Iterator[None]:
    """Keep such code from being noticed outside.

    Random states and the default device are put back. What it prints goes to standard error, since standard output is
    the report's. It gets no connection, so that nothing is downloaded and nothing hangs. Other threads keep theirs.

    Example:
        >>> state = random.getstate()
        >>> with aside():
        ...     _ = random.random()
        >>> random.getstate() == state
        True
    """
    import torch

    before, drawn, dtype = getattr(_here, "aside", False), getattr(_here, "drawn", False), torch.get_default_dtype()

    def undo() -> None:
        _here.aside = before
        if torch.get_default_dtype() is not dtype:
            torch.set_default_dtype(dtype)
        if _random:
            _set_random(_random[0], _here.drawn or threading.active_count() == 1)
        _here.drawn = drawn

    seeds = [(module, name, _drawing) for name in _SEEDS for module in (torch, torch.random)]
    with _drawn.lasting(), owing(undo), _stdout.lasting(), replaced(*seeds, *_OFFLINE):
        _here.aside, _here.drawn = True, False
        yield


_here = threading.local()
_SEEDS = ("manual_seed", "seed", "set_rng_state")


def drew() -> None:
    """Say that random numbers were drawn in this thread: only then is torch's state put back, which is all threads'."""
    _here.drawn = True


def _drawing(original: Callable[..., Any]) -> Callable[..., Any]:
    def drawing(*args: Any, **kwargs: Any) -> Any:
        drew()
        return original(*args, **kwargs)

    return drawing


def _random_states() -> tuple[Any, ...]:
    """Read the states of all that draws random numbers for the whole process."""
    import torch

    numpy = sys.modules.get("numpy")
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return torch.get_rng_state(), random.getstate(), numpy.random.get_state() if numpy else None, devices


def _set_random(states: tuple[Any, ...], ours: bool) -> None:
    """Set them to these states; torch's where it was this thread that drew numbers, others where any were drawn."""
    import torch

    of_torch, of_python, of_numpy, of_devices = states
    if ours:
        torch.set_rng_state(of_torch)
    if random.getstate() != of_python:
        random.setstate(of_python)
    if of_numpy is not None:
        numpy: Any = sys.modules["numpy"]
        now = numpy.random.get_state()
        if now[2:] != of_numpy[2:] or not numpy.array_equal(now[1], of_numpy[1]):
            numpy.random.set_state(of_numpy)
    if of_devices:
        torch.cuda.set_rng_state_all(of_devices)


_random: list[tuple[Any, ...]] = []
"""What was before the first of the contexts that overlap."""
_drawn = Shared(lambda: _random.append(_random_states()), _random.clear)


class _Output:
    """Stands for standard output: what a model prints goes to standard error, what other threads do to where it did."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __getattribute__(self, name: str) -> Any:
        original = object.__getattribute__(self, "original")
        if name == "original":
            return original
        return getattr(sys.stderr if getattr(_here, "aside", False) else original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "original":
            object.__setattr__(self, name, value)
        else:
            setattr(self.original, name, value)

    def __iter__(self) -> Any:
        return iter(self.original)


def _divert() -> None:
    if type(sys.stdout) is not _Output and sys.stdout is not None:
        sys.stdout = _Output(sys.stdout)
    _standing[:] = [] if sys.stdout is None else [sys.stdout]


def _restore() -> None:
    for output in _standing:
        sys.stdout = output.original
    _standing.clear()


_standing: list[Any] = []
_stdout = Shared(_divert, _restore)


def _refuse() -> None:
    raise ConnectionRefusedError(
        "it opens a network connection, which no model gets here; build it without weights, or give the built module "
        "to vggcost.analyze"
    )


def _connecting(connect: Callable[..., Any]) -> Callable[..., Any]:
    def connecting(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse()
        return connect(self, address)

    return connecting


def _looking_up(look_up: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: _refuse()


_OFFLINE = ((socket.socket, "connect", _connecting), (socket, "getaddrinfo", _looking_up))
