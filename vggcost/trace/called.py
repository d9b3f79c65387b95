"""Which public function of torch an op ran in.

One function may dispatch several ops (`einsum`, attention), and one op serves several functions (`bmm` is
what `matmul`, `einsum` and attention come down to). Counters that work on the functions, as fvcore does,
can only be told with both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from vggcost.load.devices import MOVES, PLACING, Devices
from vggcost.load.replaced import replaced
from vggcost.trace.attention import Attention
from vggcost.trace.bounds import READERS, read, reads
from vggcost.trace.kernels import CALLS, LIMIT
from vggcost.trace.mixed import Mixing, mixing
from vggcost.trace.recall import Before, Given, Recalled, given_of, recalled, repeatable, replay, undisturbed
from vggcost.trace.recorder import Function, Recorder

__all__ = ["Called"]

_CUSTOM = "autograd.Function"
_DIRECT = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)


_TENSOR: Any = torch.Tensor
_ITEM = torch.Tensor.item
_ATTRIBUTES = ("shape", "dtype", "device", "layout", "ndim", "is_meta", "is_cuda", "requires_grad", "is_sparse")
_METHODS = ("size", "dim", "numel", "stride", "storage_offset", "element_size", "is_floating_point", "is_contiguous")
_TELLING = frozenset(
    (
        *(getattr(_TENSOR, name).__get__ for name in _ATTRIBUTES),
        *(getattr(_TENSOR, name) for name in _METHODS),
    )
)  # what tells a shape or a device, and runs no op
_past = torch._C._DisableTorchDispatch


Memory = dict[Any, Recalled | None]
_NEW: Any = object()


class _Known(NamedTuple):
    """What is known of a function: its name, what is remembered of its calls (None: nothing may be), what to do first."""

    name: str
    memory: Memory | None
    mixing: Mixing | None
    moves: bool


class Called(TorchFunctionMode):
    """Tell a recorder which function of torch runs, and keep what a model makes of plain values real.

    torch takes the mode off while a function runs: what its Python calls in turn (nn.MultiheadAttention's
    products, say) belongs to the outermost function. Attention inside one is seen through `Attention`. An
    autograd function of the user's is one function too, whatever it calls.
    """

    def __init__(self, recorder: Recorder, attention: Attention, devices: Devices) -> None:
        super().__init__()
        self._recorder, self._attention, self._devices = recorder, attention, devices
        self._known: dict[Any, _Known] = {}
        self._remember = repeatable(recorder, attention)

    def __enter__(self) -> Any:
        self._replaced = replaced((torch.autograd.Function, "apply", self._applying))
        self._replaced.__enter__()
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        self._replaced.__exit__(None, None, None)

    def _applying(self, apply: Any) -> Any:
        within = self._recorder.within

        def applied(cls: Any, *args: Any, **kwargs: Any) -> Any:
            with within(Function(_CUSTOM, args, kwargs)):
                return apply(cls, *args, **kwargs)

        return applied

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _TELLING:
            return func(*args, **kwargs)
        known = self._known.get(func)
        if known is None:
            known = self._known[func] = self._know(func)
        if known.moves or (kwargs and not PLACING.isdisjoint(kwargs)):
            func, args, kwargs = self._devices.placed(known.name, func, args, kwargs)
        memory = known.memory
        if memory is None or self._recorder.function is not None or not undisturbed(self._recorder):
            return self._run(known, func, args, kwargs)
        given = given_of(self._recorder, args, kwargs)
        if given is None:
            return self._run(known, func, args, kwargs)
        call = memory.get(given[0], _NEW)
        if call is _NEW:  # most calls come once, and need no record to repeat them from
            if len(memory) < LIMIT:
                memory[given[0]] = None
            return self._run(known, func, args, kwargs)
        if call is None:
            return self._again(known, memory, given, func, args, kwargs)
        if call.attention:
            self._attention.used |= call.attention
        with _past():  # the recorder
            result = func(*args, **kwargs) if call.native else None
            made = replay(self._recorder, call, given)
        return result if call.native else made

    def _know(self, func: Any) -> _Known:
        name = getattr(func, "__name__", "")
        name = "__" if name.startswith("__") else name.partition(".")[0]
        module = getattr(func, "__module__", None) or "torch"
        own = module.partition(".")[0] == "torch" and func not in READERS and not isinstance(func, _DIRECT)
        stable = self._remember and own
        return _Known(name, CALLS.setdefault(func, {}) if stable else None, mixing(func), name in MOVES)

    def _again(self, known: _Known, memory: Memory, given: Given, func: Any, args: Any, kwargs: Any) -> Any:
        """Run a call that was seen once, and remember it if all of it follows from its signature."""
        recorder, attention = self._recorder, self._attention
        before, used = Before.of(recorder), attention.used
        attention.used = set()
        try:
            result = self._run(known, func, args, kwargs)
        finally:
            attention.used, used = used | attention.used, attention.used
        call = recalled(recorder, before, given, args, kwargs, result, used)
        if call is not None:
            memory[given[0]] = call
        return result

    def _run(self, known: _Known, func: Any, args: Any, kwargs: Any) -> Any:
        recorder, attention, outer = self._recorder, self._attention, self._recorder.function
        name = known.name
        if func is _ITEM and (found := recorder.assumed.compared(args[0])) is not None:
            return found
        if known.mixing is not None and not recorder.assumed.real:
            args, kwargs = known.mixing(recorder, args, kwargs)
        if func is attention.original:  # also where it was imported by name
            return attention.attend(*args, **kwargs)
        inside = outer is not None and (outer.name == _CUSTOM or isinstance(func, _DIRECT))
        if name != "__" and not inside:
            recorder.function = Function(name, args, kwargs)
        try:
            if func in READERS:
                recorder.assumed.read = recorder.assumed.read or reads(func, args)
                return read(recorder.value_of, func, args, kwargs)
            return func(*args, **kwargs)
        finally:
            recorder.function = outer
