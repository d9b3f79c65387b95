"""Memory inside the fused attention of the CPU: the scores of one block for each thread, and the gradient put in order.

Source: torch, aten/src/ATen/native/cpu/FlashAttentionKernel.cpp (cpu_flash_attention, cpu_flash_attention_backward).
In half precision oneDNN's products take more, which is not worked out.
"""

from __future__ import annotations

from math import prod
from typing import Any

__all__ = ["backward", "forward"]

_KEYS = 512
_QUERIES = ((768, 256), (192, 64), (0, 32))
"""Queries of a block, by how many there are."""


def _block(query: Any, key: Any) -> tuple[int, int]:
    queries = int(query.shape[-2])
    return min(queries, next(size for least, size in _QUERIES if queries >= least)), min(int(key.shape[-2]), _KEYS)


def _wide(query: Any) -> int:
    """Bytes of a number that is added up: of float32 at least."""
    return max(4, int(query.element_size()))


def forward(threads: int, query: Any, key: Any, *rest: Any) -> int:
    """Bytes that live only inside the forward pass: a thread's scores, their largest and sum, and its output.

    Example:
        >>> import torch
        >>> query = torch.empty(1, 2, 16, 32, device="meta")
        >>> forward(1, query, query)  # (16·16 + 16 + 16 + 16·32)·4
        3200
    """
    rows, columns = _block(query, key)
    return threads * rows * (columns + 2 + int(query.shape[-1])) * _wide(query)


def backward(threads: int, gradient: Any, query: Any, key: Any, *rest: Any) -> int:
    """Bytes that live only inside the backward pass: a thread's scores and their gradients, the sums of one block."""
    rows, columns = _block(query, key)
    ordered = gradient.transpose(1, 2).is_contiguous()
    copied = 0 if ordered else int(gradient.element_size() * prod(gradient.shape))
    return copied + (threads * 2 * rows * columns + rows) * _wide(query)
