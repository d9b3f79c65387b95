"""Memory inside a product of matrices: copies of operands whose rows or columns do not lie one after the other.

A gradient that is one number, expanded (of `sum()`), is such an operand, and every second column of a matrix.

Source: torch, aten/src/ATen/native/LinearAlgebra.cpp (addmm_impl_cpu_, bmm_out_or_baddbmm_), Blas.cpp (addmv) and
cuda/Blas.cpp (prepare_matrix_for_cublas, prepare_batch_matrix_for_cublas).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

__all__ = ["FIRST", "copies"]

FIRST = {
    "aten.mm": 0, "aten.addmm": 1, "aten.addmm_": 1, "aten._addmm_activation": 1, "aten.mv": 0, "aten.addmv": 1,
    "aten.addmv_": 1, "aten.bmm": 0, "aten.baddbmm": 1, "aten.baddbmm_": 1, "aten.addbmm": 1, "aten.addbmm_": 1,
}  # fmt: skip
"""Where the operands begin among the arguments."""
_FEW = 400  # products of one matrix of a batch, which the CPU computes one by one in a loop
_ONE_BY_ONE = ("aten.addbmm", "aten.addbmm_")
_IN_A_LIBRARY = (torch.bfloat16, torch.float16)


def copies(device: str, name: str, args: Sequence[Any]) -> int:
    """Bytes of the copies that live until the product is there.

    Args:
        device: `cpu` or `cuda`.
        name: of the op.
        args: its arguments, from the first operand on `(…, M, K)` and `(…, K, N)` or `(K,)`.

    Example:
        >>> row = torch.empty(1, 8, device="meta")
        >>> copies("cpu", "aten.mm", (row.expand(4, 8), torch.empty(8, 2, device="meta")))
        128
    """
    first, second = args[FIRST[name] : FIRST[name] + 2]
    if device == "cpu" and first.dtype in _IN_A_LIBRARY:  # of oneDNN, which makes its own
        return 0
    whole = sum(_copy(operand) for operand in (first, second) if operand.dim() > 1)
    one_by_one = name in _ONE_BY_ONE
    if first.dim() < 3 or (device == "cuda" and not one_by_one):
        return whole
    batch, rows, inner = first.shape
    if not batch or (not one_by_one and rows * inner * second.shape[2] < _FEW):
        return 0
    return whole // int(batch)


def _copy(matrix: Any) -> int:
    """Bytes of the copy of an operand; 0 if it is taken as it is."""
    if matrix.layout is not torch.strided:
        return 0
    rows, columns = matrix.shape[-2:]
    down, along = matrix.stride()[-2:]
    if (along == 1 and down >= max(1, columns)) or (down == 1 and along >= max(1, rows)):
        return 0
    return int(matrix.element_size() * prod(matrix.shape))
