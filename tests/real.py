"""What a model does on real tensors, counted by torch's own formulas: a witness that is not the tracer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class _Counting(TorchDispatchMode):
    """FlopCounterMode's formulas without its hooks on modules, which torch.func and autograd.grad break."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def real_macs(model: nn.Module, *inputs: Any, mode: str = "inference", gradients: bool = False) -> int:
    """Run a model on the CPU, and its backward pass from the sum of its outputs in training."""
    training = mode == "training"
    model.train(training)
    with _Counting() as counted, torch.set_grad_enabled(training or gradients):
        output = model(*inputs)
        if training:
            sum(t.sum() for t in (output if isinstance(output, tuple) else (output,))).backward()
    model.zero_grad(set_to_none=True)
    return counted.flops // 2


class Does(nn.Module):
    """A function of a layer and the inputs, as a forward."""

    def __init__(self, function: Callable[..., Any], layer: nn.Module | None = None):
        super().__init__()
        self.function, self.layer = function, layer

    def forward(self, *inputs: Any) -> Any:
        return self.function(self.layer, *inputs)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
