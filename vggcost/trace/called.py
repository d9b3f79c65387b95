"""Which public function of torch an op ran in.

One function may dispatch several ops (`einsum`, attention), and one op serves several functions (`bmm` is
what `matmul`, `einsum` and attention come down to). Counters that work on the functions, as fvcore does,
can only be told with both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from vggcost.trace.attention import Attention
from vggcost.trace.bounds import READERS, read
from vggcost.trace.recorder import Function, Recorder

__all__ = ["Called"]

_CUSTOM = "autograd.Function"
_DIRECT = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)


_FUNCTION: Any = torch.autograd.Function


class Called(TorchFunctionMode):
    """Tell a recorder which function of torch runs, and keep what a model makes of plain values real.

    torch takes the mode off while a function runs: what its Python calls in turn (nn.MultiheadAttention's
    products, say) belongs to the outermost function. Attention inside one is seen through `Attention`. An
    autograd function of the user's is one function too, whatever it calls.
    """

    def __init__(self, recorder: Recorder, attention: Attention | None = None) -> None:
        super().__init__()
        self._recorder, self._attention = recorder, attention
        self._names: dict[Any, str] = {}

    def __enter__(self) -> Any:
        self._apply = apply = _FUNCTION.__dict__["apply"]
        within = self._recorder.within

        def applied(cls: Any, *args: Any, **kwargs: Any) -> Any:
            with within(Function(_CUSTOM, args, kwargs)):
                return apply.__get__(None, cls)(*args, **kwargs)

        _FUNCTION.apply = classmethod(applied)
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *exception: Any) -> None:
        _FUNCTION.apply = self._apply
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorder, attention, outer = self._recorder, self._attention, self._recorder.function
        if attention is not None and func is attention.original:  # also where it was imported by name
            return attention.attend(*args, **kwargs)
        name = self._names.get(func)
        if name is None:
            name = getattr(func, "__name__", "")
            name = self._names[func] = "__" if name.startswith("__") else name.partition(".")[0]
        inside = outer is not None and (outer.name == _CUSTOM or isinstance(func, _DIRECT))
        if name != "__" and not inside:
            recorder.function = Function(name, args, kwargs)
        try:
            if func in READERS:
                return read(recorder.value_of, func, args, kwargs)
            return func(*args, **kwargs)
        finally:
            recorder.function = outer
