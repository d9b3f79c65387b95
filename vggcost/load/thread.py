"""What torch is set to in one thread: modes, gradients, autocast, hooks, transforms, threads of its own.

All of it is private in torch, or has no public way to be read and set as a whole.
"""

from __future__ import annotations

import sys
from operator import call
from typing import Any, NamedTuple

import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack, _pop_mode, _push_mode

__all__ = ["ThreadState", "put_back", "state"]

_C: Any = torch._C
_dual: Any = forward_ad
_function_modes: Any = torch.overrides._get_current_function_mode_stack
_hooks: Any = _C._autograd
_functorch: Any = _C._functorch
_SMALLEST, _HALF = sys.float_info.min, 0.5
_AUTOCAST = ("cpu", "cuda")


class ThreadState(NamedTuple):
    """What is put back, in this order; see `_SETTERS` for plain values."""

    dispatch_modes: tuple[Any, ...]
    function_modes: tuple[Any, ...]
    transforms: int
    dual_level: int
    saved_tensors: Any
    saved_refused: Any
    inference: bool
    device: Any
    nesting: int
    values: tuple[Any, ...]
    included: int
    excluded: int


def _autocast_getters() -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for device in _AUTOCAST:
        found.append((lambda d=device: _C.is_autocast_enabled(d), lambda on, d=device: _C.set_autocast_enabled(d, on)))
        found.append((lambda d=device: _C.get_autocast_dtype(d), lambda kind, d=device: _C.set_autocast_dtype(d, kind)))
    return found


_VALUES: list[tuple[Any, Any]] = [
    (_C._get_torch_function_state, _C._set_torch_function_state),
    (torch.is_grad_enabled, _C._set_grad_enabled),
    (_C._is_multithreading_enabled, _C._set_multithreading_enabled),
    (_C._is_view_replay_enabled, _C._set_view_replay_enabled),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (torch.get_num_threads, torch.set_num_threads),
    (lambda: _SMALLEST * _HALF == 0, torch.set_flush_denormal),
    *_autocast_getters(),
]
"""What reads and sets each plain value."""


def state() -> ThreadState:
    """Read what torch is set to in this thread."""
    return ThreadState(
        tuple(_get_current_dispatch_mode_stack()),
        tuple(_function_modes()),
        _functorch.get_dynamic_layer_stack_depth(),
        _dual._current_level,
        _hooks._top_saved_tensors_default_hooks(True),
        _hooks._saved_tensors_hooks_get_disabled_error_message(),
        torch.is_inference_mode_enabled(),
        getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None),
        _nesting(),
        tuple([get() for get, _ in _VALUES]),
        _C._dispatch_tls_local_include_set().raw_repr(),
        _C._dispatch_tls_local_exclude_set().raw_repr(),
    )


def _nesting() -> int:
    """Return how many regions of autocast are around: torch tells when one more begins or ends, here in one instruction."""
    return int(list(map(call, (_C.autocast_increment_nesting, _C.autocast_decrement_nesting)))[1])


def put_back(before: ThreadState) -> None:
    """Set torch to what it was set to in this thread; what is so already is left alone."""
    if state() == before:
        return
    depth: Any = _functorch.get_dynamic_layer_stack_depth()
    if depth > before.transforms:
        _functorch.pop_dynamic_layer_stack_and_undo_to_depth(before.transforms)
    while _dual._current_level > before.dual_level:
        _dual.exit_dual_level()
    _put_back_modes(before)
    _put_back_hooks(before)
    if torch.is_inference_mode_enabled() is not before.inference:
        guard = _C._InferenceMode(before.inference)
        guard.__enter__()
        _kept.append(guard)  # it would undo itself
    torch._GLOBAL_DEVICE_CONTEXT.device_context = before.device
    while _nesting() > before.nesting:
        _C.autocast_decrement_nesting()
    if not before.nesting:
        torch.clear_autocast_cache()
    for (get, put), value in zip(_VALUES, before.values, strict=True):
        if get() != value:
            put(value)
    _put_back_keys(before)


_kept: list[Any] = []


def _put_back_modes(before: ThreadState) -> None:
    modes = before.dispatch_modes
    if tuple(_get_current_dispatch_mode_stack()) != modes:
        while _C._len_torch_dispatch_stack():
            _pop_mode()
        for mode in modes:
            _push_mode(mode)
    if tuple(_function_modes()) != before.function_modes:
        while _C._len_torch_function_stack():
            _C._pop_torch_function_stack()
        for mode in before.function_modes:
            _C._push_on_torch_function_stack(mode)


def _put_back_hooks(before: ThreadState) -> None:
    """Take the hooks of saved tensors off down to those that were on top."""
    if _hooks._saved_tensors_hooks_get_disabled_error_message() is not None:
        _hooks._saved_tensors_hooks_enable()
    while (top := _hooks._top_saved_tensors_default_hooks(True)) is not None and top != before.saved_tensors:
        _hooks._pop_saved_tensors_default_hooks()
    if top is None and before.saved_tensors is not None:
        _hooks._push_saved_tensors_default_hooks(*before.saved_tensors)
    if before.saved_refused is not None:
        _hooks._saved_tensors_hooks_disable(before.saved_refused)


def _put_back_keys(before: ThreadState) -> None:
    """Include and exclude the keys of torch's dispatcher that were."""
    for wanted, read, put in (
        (before.included, _C._dispatch_tls_local_include_set, _C._dispatch_tls_set_dispatch_key_included),
        (before.excluded, _C._dispatch_tls_local_exclude_set, _C._dispatch_tls_set_dispatch_key_excluded),
    ):
        goal = _C.DispatchKeySet.from_raw_repr(wanted)
        for keys, on in ((read() - goal, False), (goal - read(), True)):
            while keys.raw_repr():
                key = keys.highestPriorityTypeId()
                put(key, on)
                keys = keys.remove(key)  # noqa: PLW2901
