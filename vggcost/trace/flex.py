"""FlexAttention on meta: one fused op, as on a device.

torch refuses meta tensors; here the kernel is an op of our own, with a backward pass, that keeps what the
fused kernel keeps: the inputs, the output and one number a query. Functions of a score and block masks
change no shape: all scores are counted, as under a causal mask. A bias that such a function learns gets no
gradient here. Real tensors take torch's own eager path.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch

from vggcost.load.given_back import Shared, owing
from vggcost.load.replaced import replaced

__all__ = ["FLEX", "flex_attention", "meta_masks"]

FLEX = "torch.nn.attention.flex_attention"


def flex_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    score_mod: Any,
    block_mask: tuple[Any, ...],
    scale: float,
    kernel_options: dict[str, Any],
    *rest: Any,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the output, the logarithm of each row's sum, and each row's largest score, as torch's op does."""
    if not query.is_meta:
        from torch._higher_order_ops.flex_attention import math_attention

        return math_attention(query, key, value, score_mod, block_mask, scale, kernel_options, *rest, **options)
    _define()
    out, sums = torch.ops.vggcost.flex_attention(query, key, value)
    largest = torch.empty_like(sums) if kernel_options.get("OUTPUT_MAX") else sums.new_empty(0)
    return out, sums, largest


@contextmanager
def meta_masks() -> Iterator[None]:
    """Let torch's checks pass meta tensors, and beside them block masks that are made of real ones."""
    module: Any = sys.modules[FLEX]

    def checking(check: Callable[..., None]) -> Callable[..., None]:
        def passing(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
            _query.device = query.device
            if not query.is_meta:
                check(query, key, value)

        return passing

    undo = partial(setattr, _query, "device", getattr(_query, "device", None))
    with owing(undo), _masked.lasting(), replaced((module, "_validate_device", checking)):
        yield


_query = threading.local()
"""The device of the query that this thread has checked last."""


def _stand_beside() -> None:
    sys.modules[FLEX].BlockMask.kv_num_blocks = property(_beside, _assign)


def _stand_back() -> None:
    mask: Any = sys.modules[FLEX].BlockMask
    if "kv_num_blocks" in vars(mask):
        del mask.kv_num_blocks


_masked = Shared(_stand_beside, _stand_back)


def _beside(mask: Any) -> torch.Tensor:
    """Stand for an attribute of a mask whose device torch compares with the query's."""
    blocks: torch.Tensor = mask.__dict__["kv_num_blocks"]
    device = getattr(_query, "device", None)
    return torch.empty_like(blocks, device=device) if device is not None and device.type == "meta" else blocks


def _assign(mask: Any, value: torch.Tensor) -> None:
    mask.__dict__["kv_num_blocks"] = value


_FORWARD = "flex_attention(Tensor query, Tensor key, Tensor value) -> (Tensor, Tensor)"
_BACKWARD = (
    "flex_attention_backward(Tensor grad, Tensor query, Tensor key, Tensor value, Tensor out, Tensor sums) "
    "-> (Tensor, Tensor, Tensor)"
)


@cache
def _define() -> torch.library.Library:
    """Define the ops, once a process; they live as long as what is returned."""
    library = torch.library.Library("vggcost", "DEF")  # type: ignore[no-untyped-call]
    for schema, kernel in ((_FORWARD, _forward), (_BACKWARD, _backward)):
        library.define(schema)  # type: ignore[no-untyped-call]
        library.impl(schema.partition("(")[0], kernel, "Meta")  # type: ignore[no-untyped-call]
    torch.library.register_autograd("vggcost::flex_attention", _gradients, setup_context=_keep, lib=library)
    return library


def _forward(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (*query.shape[:3], value.shape[3])
    strides: tuple[int, ...] = query.stride()
    order = sorted(range(4), key=lambda axis: -strides[axis])  # laid out as the query is
    out = query.new_empty([shape[axis] for axis in order]).permute([order.index(axis) for axis in range(4)])
    return out, query.new_empty(query.shape[:3], dtype=torch.float32)


def _backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    sums: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs, *output)


def _gradients(ctx: Any, grad: torch.Tensor, _: Any) -> tuple[torch.Tensor, ...]:
    return torch.ops.vggcost.flex_attention_backward(grad, *ctx.saved_tensors)  # type: ignore[no-any-return]
