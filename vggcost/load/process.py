"""What a process is set to, which the code of a model may change: read before an analysis and put back after it.

Analyses that overlap put back what was before the first of them.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from vggcost.errors import VggcostError, one_line
from vggcost.load.given_back import lock
from vggcost.load.quiet import QUIET

__all__ = ["enter", "leave"]

_C: Any = torch._C
_get_handler: Any = getattr(signal, "_signal", signal).getsignal


class _Setting(NamedTuple):
    name: str
    get: Callable[[], Any]
    put: Callable[[Any], Any]


def _attribute(name: str, owner: Any, attribute: str) -> _Setting:
    return _Setting(name, lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value))


def _content(name: str, owner: Any, attribute: str) -> _Setting:
    """A list: the same one, with the same items."""

    def put(value: tuple[list[Any], list[Any]]) -> None:
        held, items = value
        setattr(owner, attribute, held)
        held[:] = items

    return _Setting(name, lambda: ((held := getattr(owner, attribute)), held.copy()), put)


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return ""


def _environment() -> dict[Any, Any]:
    """Copy the environment as it is kept: to decode all of it takes long."""
    return dict(vars(os.environ)["_data"])


def _set_environment(value: dict[Any, Any]) -> None:
    for name in _environment().keys() - value.keys():
        del os.environ[os.environ.decodekey(name)]
    for name, text in value.items():
        os.environ[os.environ.decodekey(name)] = os.environ.decodevalue(text)


_SIGNALS = tuple(sorted(map(int, signal.valid_signals())))


def _handlers() -> tuple[Any, ...]:
    return tuple(map(_get_handler, _SIGNALS))  # without the names of signals, which take long


def _handle(value: tuple[Any, ...]) -> None:
    if threading.current_thread() is not threading.main_thread():  # which alone may change them
        return
    for number, handler, now in zip(_SIGNALS, value, _handlers(), strict=True):
        if handler is not now and handler is not None:
            signal.signal(number, handler)


def _set_filters(value: tuple[list[Any], list[Any]]) -> None:
    filters, items = value
    filters[:] = [*[item for item in filters if item is QUIET], *items]
    warnings.filters = filters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python forgets what it knows of the filters


def _flag(key: str) -> _Setting:
    """A flag of torch's backends; torch refuses to read some once others were set that replace them."""
    get, put = getattr(_C, f"_get_{key}"), getattr(_C, f"_set_{key}")
    return _readable(
        f"torch's backends ({key})", get, lambda value: put(*value if isinstance(value, tuple) else (value,))
    )


def _precision(backend: str, op: str) -> _Setting:
    get, put = _C._get_fp32_precision_getter, _C._set_fp32_precision_setter
    return _readable(f"torch's precision ({backend} {op})", lambda: get(backend, op), lambda v: put(backend, op, v))


def _readable(name: str, get: Callable[[], Any], put: Callable[[Any], Any]) -> _Setting:
    def found() -> Any:
        try:
            return get()
        except RuntimeError:
            return None

    return _Setting(name, found, lambda value: put(value) if value is not None else None)


def _numpy(name: str, get: str, put: str) -> _Setting:
    def found() -> Any:
        numpy = sys.modules.get("numpy")
        return getattr(numpy, get)() if numpy is not None else None

    def set_to(value: Any) -> None:
        numpy = sys.modules.get("numpy")
        if numpy is not None and value is not None:
            getattr(numpy, put)(**value)

    return _Setting(name, found, set_to)


_ROOM, _SWALLOWED = "the recursion limit", "sys.unraisablehook"
"""Put back by the last of the analyses that overlap: others have changed them too."""
_SETTINGS = [
    _Setting("the working directory", _folder, lambda value: os.chdir(value) if value else None),
    _Setting("the environment", _environment, _set_environment),
    _Setting("the handlers of signals", _handlers, _handle),
    _Setting(_ROOM, sys.getrecursionlimit, sys.setrecursionlimit),
    _Setting("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
    _Setting("garbage collection", gc.get_threshold, lambda value: gc.set_threshold(*value)),
    _Setting("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
    _content("sys.path", sys, "path"),
    _content("sys.argv", sys, "argv"),
    _attribute("sys.stdin", sys, "stdin"),
    _attribute("sys.stderr", sys, "stderr"),
    _attribute("sys.excepthook", sys, "excepthook"),
    _attribute(_SWALLOWED, sys, "unraisablehook"),
    _attribute("sys.displayhook", sys, "displayhook"),
    _attribute("threading.excepthook", threading, "excepthook"),
    _Setting("the filters of warnings", lambda: (warnings.filters, [item for item in warnings.filters if item is not QUIET]), _set_filters),
    _attribute("warnings.showwarning", warnings, "showwarning"),
    _attribute("warnings._showwarnmsg_impl", warnings, "_showwarnmsg_impl"),
    _attribute("logging.disable", logging.root.manager, "disable"),
    _attribute("the level of logging", logging.root, "level"),
    _content("the handlers of logging", logging.root, "handlers"),
    _numpy("numpy's errors", "geterr", "seterr"),
    _Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Setting(
        "torch's deterministic algorithms",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    ),
    _attribute("torch's filling of empty tensors", torch.utils.deterministic, "fill_uninitialized_memory"),
    _Setting(
        "torch's detection of anomalies",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.set_anomaly_enabled(*value),
    ),
    _Setting("torch's warnings", torch.is_warn_always_enabled, torch.set_warn_always),
    _Setting(
        "how torch prints", lambda: {**vars(torch._tensor_str.PRINT_OPTS)}, vars(torch._tensor_str.PRINT_OPTS).update
    ),
    _Setting("attention's fast path", torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    *[
        _flag(key)
        for key in (
            "cudnn_enabled", "cudnn_benchmark", "cudnn_deterministic", "cudnn_allow_tf32", "cublas_allow_tf32",
            "cublas_allow_fp16_reduced_precision_reduction", "cublas_allow_bf16_reduced_precision_reduction",
            "float32_matmul_precision", "mkldnn_enabled", "mkldnn_deterministic", "nnpack_enabled", "qengine",
        )
    ],
    _precision("generic", "all"),
    *[_precision(backend, op) for backend in ("cuda", "mkldnn") for op in ("all", "conv", "rnn", "matmul")],
    *[
        _Setting(f"torch's attention kernels ({key})", getattr(_C, f"_get_{key}_enabled"), getattr(_C, f"_set_{put}"))
        for key, put in (
            ("flash_sdp", "sdp_use_flash"), ("mem_efficient_sdp", "sdp_use_mem_efficient"),
            ("math_sdp", "sdp_use_math"), ("cudnn_sdp", "sdp_use_cudnn"),
        )
    ],
]  # fmt: skip
_holders: set[object] = set()
_before: list[Any] = []


def enter(token: object) -> None:
    """Read the settings, unless an analysis lasts already."""
    with lock:
        if not _holders:
            _before[:] = [setting.get() for setting in _SETTINGS]
        _holders.add(token)


def leave(token: object, but: frozenset[str]) -> None:
    """Put the settings back, but some; one that is as before is left alone.

    Raises:
        VggcostError: one cannot be put back, such as a folder that was deleted.
    """
    with lock:
        if token not in _holders:
            return
        failure = None
        for setting, value in zip(_SETTINGS, _before, strict=True):
            if (
                setting.name in but
                or setting.get() == value
                or (len(_holders) > 1 and setting.name in (_ROOM, _SWALLOWED))
            ):
                continue
            try:
                setting.put(value)
            except (OSError, ValueError, RuntimeError) as error:
                failure = failure or VggcostError(
                    f"the model's code changed {setting.name} for good: {one_line(error)}"
                )
        _holders.discard(token)
    if failure is not None:
        raise failure
