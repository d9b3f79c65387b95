"""Devices that code names, cuda most of all: what it puts there stays where the run is, and no driver is asked.

A model that was written for one machine is counted on any other. What stands for a device answers calls
that only wait or say where work goes; what asks for the properties of a device gets torch's own answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import DeviceContext

from vggcost.load.replaced import replaced

__all__ = ["MOVES", "PLACING", "Devices", "asked", "staying"]

_HERE = ("cpu", "meta")
_ACCELERATORS = ("cuda", "xpu", "mps", "mtia", "hpu", "ipu", "npu", "maia")
MOVES = frozenset((*_ACCELERATORS, "to", "type", "pin_memory", "is_pinned"))
"""Names of functions whose arguments may name a device by position."""
PLACING = frozenset(("device", "pin_memory"))
"""Arguments of any function that may name a device."""
_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def _first(tensor: Any, *args: Any, **kwargs: Any) -> Any:
    return tensor


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _false(*args: Any, **kwargs: Any) -> bool:
    return False


_STAYS: dict[str, Callable[..., Any]] = {"pin_memory": _first, "is_pinned": _false}


class Devices:
    """What is asked of devices other than the run's own.

    Attributes:
        here: where everything stays: `meta`, or `cpu`.
        asked: collects the devices that are asked for.
    """

    def __init__(self, here: str, asked: set[str]) -> None:
        self.here, self.asked = here, asked

    def elsewhere(self, device: Any) -> bool:
        """Whether this names a device that is not the run's; which one is noted."""
        kind = _kind(device)
        if not kind:
            return False
        self.asked.add(kind)
        return True

    def placed(self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        """Change a call of a function of torch so that it stays here.

        Args:
            name: of the function.
            func: the function.
            args: what it is called with.
            kwargs: the same, by name.
        """
        if name in _STAYS:
            return _STAYS[name], args, kwargs
        if name in _ACCELERATORS:  # x.cuda(0, non_blocking=True)
            self.asked.add(name)
            return torch.Tensor.to, (args[0], self.here), {}
        if name == "type" and len(args) > 1 and (dtype := self._typed(args[1])) is not None:
            return torch.Tensor.to, (args[0], self.here, dtype), {}
        if name == "to" and any(map(self.elsewhere, args[1:])):
            args = (args[0], *(self.here if _kind(value) else value for value in args[1:]))
        if kwargs.get("device") is not None and self.elsewhere(kwargs["device"]):
            kwargs = {**kwargs, "device": torch.device(self.here)}
        if kwargs.get("pin_memory"):
            kwargs = {**kwargs, "pin_memory": False}
        return func, args, kwargs

    def _typed(self, kind: Any) -> torch.dtype | None:
        """Return the dtype of a type of the tensors of a device, as torch.cuda.FloatTensor; `x.type()` names that of x."""
        name = kind if isinstance(kind, str) else f"{getattr(kind, '__module__', '')}.{getattr(kind, '__name__', '')}"
        parts = name.split(".")
        if len(parts) != 3 or parts[0] != "torch" or not (parts[1] == "meta" or self.elsewhere(parts[1])):
            return None
        return getattr(getattr(torch, parts[2], None), "dtype", None)

    def answering(self) -> AbstractContextManager[None]:
        """Answer in the place of the devices' own functions, in this thread, while the context lasts."""
        answers = [(module, name, self._answer(device, answer)) for module, name, device, answer in _answers()]
        return replaced(
            *answers,
            (torch, "Generator", self._generator),
            (torch.Tensor, "record_stream", lambda original: _nothing),
            (DeviceContext, "__torch_function__", self._within),
        )

    def _answer(self, device: str, answer: Callable[..., Any]) -> Callable[[Any], Callable[..., Any]]:
        def answered(*args: Any, **kwargs: Any) -> Any:
            self.asked.add(device)
            return answer(*args, **kwargs)

        return lambda original: answered if device else answer

    def _generator(self, original: Any) -> Callable[..., Any]:
        """Numbers that are drawn on meta have no values, whatever they are drawn by."""

        def generator(device: Any = "cpu") -> Any:
            away = self.elsewhere(device) or torch.device(device).type == "meta"
            return original(device="cpu" if away else device)

        return generator

    def _within(self, original: Any) -> Callable[..., Any]:
        """What `with torch.device("cuda")` and a default device do: it comes after every other mode."""

        def function(mode: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs, set_before = dict(kwargs or {}), (kwargs or {}).get("device") is not None
            if not set_before and _kind(mode.device):
                self.asked.add(_kind(mode.device))
                here = DeviceContext(self.here)
                return original(here, func, types, args, kwargs)
            return original(mode, func, types, args, kwargs)

        return function


def _kind(device: Any) -> str:
    """Name the device that a value stands for if it is neither the CPU nor meta; a number is that of a GPU."""
    if type(device) is int:
        return "cuda"
    if type(device) is str:
        try:
            device = torch.device(device)
        except RuntimeError:  # torch says so
            return ""
    return device.type if type(device) is torch.device and device.type not in _HERE else ""


def asked(devices: set[str], here: str) -> str:
    """Say what devices were asked for, in a sentence without its end; nothing if none was.

    Example:
        >>> asked({"cuda"}, "meta")
        'its code asks for cuda, where nothing was put: all stays on meta'
    """
    where = "on meta" if here == "meta" else "on the CPU"
    return (
        f"its code asks for {' and '.join(sorted(devices))}, where nothing was put: all stays {where}"
        if devices
        else ""
    )


class _Staying(TorchFunctionMode):
    def __init__(self, devices: Devices) -> None:
        super().__init__()
        self._devices = devices

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func, args, kwargs = self._devices.placed(getattr(func, "__name__", ""), func, args, kwargs or {})
        return func(*args, **kwargs)


@contextmanager
def staying() -> Iterator[set[str]]:
    """Keep on the CPU what code makes elsewhere, while the context lasts, and yield the devices that it asks for.

    Example:
        >>> with staying() as devices:
        ...     place = torch.zeros(2, device="cuda").device
        >>> place, devices
        (device(type='cpu'), {'cuda'})
    """
    devices = Devices("cpu", set())
    with devices.answering(), _Staying(devices):
        yield devices.asked


class _Stream:
    """Stands for a queue of work; a context that changes nothing."""

    cuda_stream, device_index, device_type, priority, stream_id = 0, 0, 1, 0, 0
    device = torch.device("cuda", 0)
    wait_stream = wait_event = synchronize = __exit__ = _nothing

    def __enter__(self) -> _Stream:
        return self

    def query(self) -> bool:
        """All work is done."""
        return True

    def record_event(self, event: Any = None) -> Any:
        """Return a moment that has passed."""
        return event if event is not None else _Event()


class _Event:
    """Stands for a moment in a queue of work."""

    record = wait = synchronize = _nothing

    def query(self) -> bool:
        """It has passed."""
        return True

    def elapsed_time(self, end: Any) -> float:
        """No time passes."""
        return 0.0


@cache
def _answers() -> list[tuple[Any, str, str, Callable[..., Any]]]:
    """List what is answered by whom: a module, its function, its device, the answer."""
    modules = [(getattr(torch, device, None), device) for device in _ANSWERS]
    found = [
        (module, name, "" if name in _ASIDE else "cuda" if device == "accelerator" else device, answer)
        for module, device in modules
        for name, answer in _ANSWERS[device].items()
        if hasattr(module, name)
    ]
    found.append((torch.cuda.Stream, "__new__", "cuda", _stream))
    found.append((torch.cuda.Event, "__new__", "cuda", lambda *args, **kwargs: _Event()))
    return found


def _zero(*args: Any, **kwargs: Any) -> int:
    return 0


def _stream(*args: Any, **kwargs: Any) -> _Stream:
    return _Stream()


_COMMON = dict.fromkeys(
    """
    synchronize set_device set_stream empty_cache reset_peak_memory_stats reset_accumulated_memory_stats
    reset_max_memory_allocated reset_max_memory_cached ipc_collect set_rng_state
    """.split(),
    _nothing,
)
_INDEXED = dict.fromkeys(("current_device", "_exchange_device", "_maybe_exchange_device"), _zero)
_ANSWERS: dict[str, dict[str, Callable[..., Any]]] = {
    "cuda": {
        **_COMMON,
        **_INDEXED,
        "current_stream": _stream,
        "default_stream": _stream,
        "stream": lambda stream=None: nullcontext(stream),
        "is_current_stream_capturing": _false,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
    },
    "xpu": {**_COMMON, **_INDEXED},
    "mps": _COMMON,
    "accelerator": {**_COMMON, "current_device_index": _zero, "set_device_index": _nothing},
}
"""What stands for the functions of the modules of torch that drive devices."""
_ASIDE = ("empty_cache", "is_current_stream_capturing")
"""What libraries call on any machine, so that it says nothing of the model."""
