"""What autograd does in place on a device, and out of place where a dispatch mode watches.

The engine adds up the gradients of a tensor that is used more than once. On a device the sum goes into the
first of them if nobody else holds that one; under a mode it is a new tensor, and the first is let go at once.
So an addition of the engine's whose first operand dies before anything else happens is one in place.

A node's own formula does the same: what it has just made it writes to, but for tensors that are like a subclass,
which meta tensors and all tensors under a mode are. There the op in place is run instead.

Source: pytorch, torch/csrc/autograd/input_buffer.cpp (accumulate), torch/csrc/autograd/FunctionsManual.cpp
(areAnyTensorSubclassLike).
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.autograd.graph

__all__ = ["ADDING", "FORMULAS", "IN_PLACE", "adds_up", "in_place_of", "is_dense"]

IN_PLACE = frozenset({"aten.add"})
_EVERY = tuple("index_add index_put masked_fill masked_scatter put scatter scatter_add".split())
FORMULAS: dict[str, tuple[str, ...]] = {
    **{f"aten.{name}": () for name in _EVERY},
    "aten.sub": ("BinaryCrossEntropyWithLogitsBackward0",),
    "aten.mul": ("BinaryCrossEntropyWithLogitsBackward0",),
}
"""Ops that formulas of autograd's do in place to what they have made: those of these nodes, or all of them."""
_OUT_OF_PLACE = ("XlogyBackward", "SpecialXlog1PyBackward", "MaskedScatterBackwardBackward")
"""Nodes whose formula says so, in torch's derivatives.yaml."""
ADDING = frozenset(
    "linear scaled_dot_product_attention multi_head_attention_forward gru rnn_tanh rnn_relu lstm".split()
)
"""Functions of torch that add a bias, or a mask, in place to the product that they have just made."""
_ENGINE = torch.autograd.graph._engine_run_backward.__code__


def adds_up(args: tuple[Any, ...], node: Any, earlier: bool) -> bool:
    """Whether an addition may be the engine's, of two gradients for one input of a node.

    Args:
        args: of the op.
        node: which is being evaluated; the engine adds up what it returns.
        earlier: whether the first operand was there before.
    """
    if torch.is_grad_enabled() or sys._getframe(3).f_code is not _ENGINE:  # the dispatch mode was called by Python
        return False
    first, second = args
    if not isinstance(second, torch.Tensor) or first.shape != second.shape:
        return False
    shared = first._is_view() or first._is_zerotensor()  # the tensor that it is a view of holds its storage too
    return not shared and (earlier or _twice(node)) and is_dense(first)


def in_place_of(func: Any, name: str, node: Any) -> Any:
    """Return the op that the formula of a node does in place to what it has made, None if it does not.

    Args:
        func: an op among `FORMULAS`, called with something that the evaluation of this node has made.
        name: its name.
        node: which is being evaluated.
    """
    if torch.is_grad_enabled() or sys._getframe(3).f_code is not _ENGINE:
        return None
    nodes = FORMULAS[name]
    if node.name() not in nodes if nodes else node.name().startswith(_OUT_OF_PLACE):
        return None
    return getattr(getattr(torch.ops.aten, f"{name.removeprefix('aten.')}_"), func._overloadname, None)


def _twice(node: Any) -> bool:
    """Whether a node gives two gradients to one input of another."""
    edges = [edge for edge in node.next_functions if edge[0] is not None]
    return len(set(edges)) < len(edges)


def is_dense(tensor: torch.Tensor) -> bool:
    """Whether a tensor's elements lie side by side, in any order of its axes.

    Example:
        >>> x = torch.empty(3, 4)
        >>> is_dense(x.t()), is_dense(x[:, :2]), is_dense(x[0].expand(3, 4))
        (True, False, False)
    """
    if tensor.is_contiguous():
        return True
    size = 1
    for stride, length in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if length != 1 and stride != size:
            return False
        size *= length
    return True
