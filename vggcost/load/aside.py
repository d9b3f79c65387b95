"""What code of other people's may do to the process while a model is built or run."""

from __future__ import annotations

import random
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

__all__ = ["aside"]


@contextmanager
def aside() -> Iterator[None]:
    """Keep such code from being noticed outside.

    Random states, the default dtype and the default device are put back. What it prints goes to standard error, since standard
    output is the report's. It gets no connection, so that nothing is downloaded and nothing hangs.

    Example:
        >>> state = random.getstate()
        >>> with aside():
        ...     _ = random.random()
        >>> random.getstate() == state
        True
    """
    import torch

    numpy, dtype, device = sys.modules.get("numpy"), torch.get_default_dtype(), _default_device()
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state() if numpy else None
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        with redirect_stdout(sys.stderr), _offline():
            yield
    finally:
        torch.set_default_dtype(dtype)
        if _default_device() is not device:
            torch.set_default_device(None if device is None else device.device)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        if numpy:
            numpy.random.set_state(states[2])
        if devices:
            torch.cuda.set_rng_state_all(devices)


def _default_device() -> Any:
    """Return what holds the default device that was set; None: none was. Private in torch."""
    import torch

    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


@contextmanager
def _offline() -> Iterator[None]:
    """Refuse this thread's connections to other machines; other threads keep theirs."""
    thread = threading.get_ident()
    connect, look_up, inherited = socket.socket.connect, socket.getaddrinfo, "connect" not in vars(socket.socket)

    def refuse() -> None:
        if threading.get_ident() == thread:
            raise ConnectionRefusedError(
                "it opens a network connection, which no model gets here; build it without weights, or give the "
                "built module to vggcost.analyze"
            )

    def connecting(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse()
        connect(self, address)

    def looking_up(*args: Any, **kwargs: Any) -> Any:
        refuse()
        return look_up(*args, **kwargs)

    socket.socket.connect = connecting  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = looking_up
    try:
        yield
    finally:
        if inherited:
            del socket.socket.connect
        else:
            socket.socket.connect = connect  # type: ignore[method-assign]
        socket.getaddrinfo = look_up
