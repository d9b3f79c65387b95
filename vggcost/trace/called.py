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
from vggcost.trace.recorder import Function, Recorder

__all__ = ["Called"]

_DIRECT = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)


class Called(TorchFunctionMode):
    """Tell a recorder which function of torch runs.

    torch takes the mode off while a function runs: what its Python calls in turn (nn.MultiheadAttention's
    products, say) belongs to the outermost function. Attention inside one is seen through `Attention`.
    """

    def __init__(self, recorder: Recorder, attention: Attention) -> None:
        super().__init__()
        self._recorder, self._attention = recorder, attention

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func is self._attention.original:  # also where it was imported by name
            return self._attention.attend(*args, **kwargs)
        recorder = self._recorder
        if name.startswith("__") or (recorder.function is not None and isinstance(func, _DIRECT)):
            return func(*args, **kwargs)
        outer = recorder.function
        recorder.function = Function(name.partition(".")[0], args, kwargs)
        try:
            return func(*args, **kwargs)
        finally:
            recorder.function = outer
