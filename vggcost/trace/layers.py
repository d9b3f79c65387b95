"""Whole calls of torch's own layers that were seen before, noted without their forward.

A layer of torch that holds no other (a convolution, a normalization, an activation) does the same each time it
is called with the same attributes, parameters and inputs. While a run that differentiates nothing lasts, such a
layer asks here first. Nothing is kept of a layer of anybody else's, nor of one with hooks or a forward of its own.
"""

from __future__ import annotations

import marshal
from functools import partial
from operator import itemgetter
from threading import get_ident
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from vggcost.records import Shape
from vggcost.trace.attention import Attention
from vggcost.trace.kernels import CALLS, LIMIT
from vggcost.trace.recall import Before, Given, Recalled, given_of, recalled, repeatable, replay, undisturbed
from vggcost.trace.recorder import Recorder

__all__ = ["Layers"]

_ENTRY = "_compiled_call_impl"  # what torch calls in the place of a module's forward and hooks; private there
_BASE = frozenset({*vars(nn.Module()), _ENTRY})
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_hooks_of = itemgetter(*_HOOKS)
_GLOBAL_HOOKS: list[dict[int, Any]] = [getattr(nn.modules.module, f"_global{name}") for name in _HOOKS]
_OTHERS = frozenset({"__loader__", F.scaled_dot_product_attention.__name__})  # which `Attention` replaces
_ONLY_TRAINING = "num_batches_tracked"
_NEW: Any = object()
_depth = torch._C._len_torch_function_stack
_past = torch._C._DisableTorchDispatch
_alone = torch._C.DisableTorchFunction


class _Layer(NamedTuple):
    """What is remembered of a layer's call."""

    call: Recalled
    attributes: tuple[tuple[str, Any], ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]


class Layers:
    """Let the layers of torch in a model be noted from memory, while the context lasts."""

    def __init__(self, recorder: Recorder, attention: Attention) -> None:
        self._recorder = recorder
        self._modules = [module for _, module in recorder.modules] if repeatable(recorder, attention) else []
        self._memories: dict[type, dict[Any, Any] | None] = {}

    def __enter__(self) -> None:  # which `kept` undoes where it is interrupted
        memories = self._memories
        self._depth = _depth()
        functions = tuple([value for name, value in vars(F).items() if callable(value) and name not in _OTHERS])
        for module in self._modules if not torch.is_grad_enabled() else ():
            kind, held = type(module), vars(module)
            if kind not in memories:  # where somebody replaced a function of torch, layers do something else
                memories[kind] = CALLS.setdefault((kind, kind.forward, functions), {}) if _own(kind) else None
            if memories[kind] is not None and not held["_modules"] and _ENTRY not in held and "forward" not in held:
                held[_ENTRY] = partial(self._call, module)

    def __exit__(self, *_: object) -> None:
        for module in self._modules:
            entry = vars(module).get(_ENTRY)
            if isinstance(entry, partial) and entry.func == self._call:
                del vars(module)[_ENTRY]

    def _call(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        if get_ident() != self._recorder.thread:
            return module._call_impl(*args, **kwargs)
        with _alone():  # or each shape that is read is a call of a function of torch
            asked = self._asked(module, args, kwargs)
            if asked is not None:
                memory, key, given = asked
                layer = memory.get(key, _NEW)
                if type(layer) is _Layer:
                    return self._repeat(module, layer, given)
        if asked is None or layer is False:
            return module._call_impl(*args, **kwargs)
        if layer is None:
            return self._again(memory, key, given, module, args, kwargs)
        if len(memory) < LIMIT:  # most calls come once
            memory[key] = None
        return module._call_impl(*args, **kwargs)

    def _asked(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[dict[Any, Any], Any, Given] | None:
        """Return where to look a call up, by which key, and what it is given; None if it may not be remembered."""
        held, memory = vars(module), self._memories[type(module)]
        if memory is None or held["training"] or "forward" in held or any(_hooks_of(held)):
            return None
        if sum(map(len, _GLOBAL_HOOKS)) > 2:  # the recorder's
            return None
        if _depth() != self._depth or self._recorder.function is not None or not undisturbed(self._recorder):
            return None  # another mode may have a say
        attributes = [(name, value) for name, value in held.items() if name not in _BASE]
        try:
            plain = marshal.dumps(attributes, 2)  # newer formats write what is equal in several ways
        except ValueError:  # more than plain values
            return None
        parameters, buffers = held["_parameters"], held["_buffers"]
        own = [*parameters.values()]
        own += [tensor for name, tensor in buffers.items() if name != _ONLY_TRAINING]
        given = given_of(self._recorder, (*args, *own), kwargs)
        if given is None:
            return None
        return memory, (plain, *parameters, *buffers, len(args), given[0]), given

    def _again(
        self, memory: dict[Any, Any], key: Any, given: Given, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a call that was seen once, and remember it if all of it follows from its key."""
        recorder = self._recorder
        before = Before.of(recorder)
        before = before._replace(calls=before.calls + 1)
        result = module._call_impl(*args, **kwargs)
        with _alone():
            call = recalled(recorder, before, given, args, kwargs, result, set())
            noted = recorder.calls[before.calls - 1]
        memory[key] = False
        if call is not None and call.result:  # and not a view, which torch makes itself
            memory[key] = _Layer(call, noted.attributes, noted.input_shapes, noted.output_shapes)
        return result

    def _repeat(self, module: Any, layer: _Layer, given: Given) -> Any:
        recorder, call = self._recorder, layer.call
        with _past():  # the recorder
            recorder.open(module, layer.attributes, layer.input_shapes)
            result = replay(recorder, call, given)
            places = given[2]
            recorder.close(layer.output_shapes, tuple([places[i] for i in call.result if i is not None]))
        return result


def _own(kind: Any) -> bool:
    """Whether this is a layer as torch has it."""
    ours = kind.__module__.startswith("torch.nn.modules.") and kind.forward.__module__ == kind.__module__
    return ours and all(getattr(kind, name) is getattr(nn.Module, name) for name in ("__call__", "__getattr__"))
