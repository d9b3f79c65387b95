"""Functions of torch that a backward pass calls from Python: what a checkpoint runs again, and the user's own formulas.

torch takes its modes for functions off while a backward pass runs. A tensor that was given, and is a real one, must meet
the stand-ins there as it did in the forward pass, or a checkpoint finds other tensors than it has noted.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from vggcost.load.replaced import replaced
from vggcost.trace.mixed import mixing
from vggcost.trace.recorder import Recorder

__all__ = ["recomputed"]


def recomputed(recorder: Recorder) -> AbstractContextManager[None]:
    """Give real tensors stand-ins in backward passes too, as long as the context lasts."""

    def watched(run: Callable[..., Any]) -> Callable[..., Any]:
        def backward(*args: Any, **kwargs: Any) -> Any:
            with _Meeting(recorder):
                return run(*args, **kwargs)

        return backward

    return replaced((torch.autograd, "_engine_run_backward", watched))


class _Meeting(TorchFunctionMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        change, kwargs = mixing(func), kwargs or {}
        if change is not None and not self._recorder.assumed.real:
            args, kwargs = change(self._recorder, args, kwargs)
        return func(*args, **kwargs)
