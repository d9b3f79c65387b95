"""Memory inside an op of the CPU whose operands differ in dtype: copies of them in the dtype that is computed in.

On CUDA the kernel reads every dtype as it is.

Source: torch, aten/src/ATen/TensorIterator.cpp (compute_types: cast_common_dtype_to_outputs and
promote_inputs_to_common_dtype, neither of which CUDA needs) and aten/src/ATen/native/ReduceOpsUtils.h (make_reduction).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

__all__ = ["SUMMING", "casts", "summed"]

_MASKED = {"aten.where": 1}
"""Ops with a mask that is read as it is, and where the operands begin."""
_COPIES = ("aten.copy_", "aten._to_copy", "aten.fill_", "aten.masked_fill", "aten.masked_fill_")
_SUMS = frozenset(f"aten.{name}" for name in "sum prod nansum mean cumsum cumprod linalg_vector_norm".split())
_TESTS = ("aten.any", "aten.all")
SUMMING = _SUMS | frozenset(_TESTS)
"""Ops that add up, or test, all that they are given."""
_HALVES = (torch.float16, torch.bfloat16)
_BYTES = (torch.bool, torch.uint8)


def casts(name: str, args: Sequence[Any], output: torch.Tensor) -> int:
    """Bytes of the copies inside an op on elements, in the dtype that all of them have in common.

    Args:
        name: of the op.
        args: its arguments.
        output: its result; of an op in place, its first argument.

    Example:
        >>> x, mask = torch.empty(8, device="meta"), torch.empty(8, dtype=torch.bool, device="meta")
        >>> casts("aten.mul", (x, mask), x * 1)
        32
    """
    if name in _COPIES:
        return 0
    operands = args[_MASKED.get(name, 0) :]
    tensors = [operand for operand in operands if isinstance(operand, torch.Tensor)]
    in_place, complex_ones = name.endswith("_"), any(tensor.is_complex() for tensor in tensors)
    if in_place and len({tensor.dtype for tensor in tensors}) == 1:
        return 0
    own = not in_place and output.dtype != torch.bool and output.is_complex() == complex_ones
    common = output.dtype if own else _common(operands)
    taken = [*tensors, output] if in_place else tensors
    return sum(_bytes(tensor, common) for tensor in taken if tensor.dim() and tensor.dtype != common)


def summed(name: str, args: Sequence[Any], output: torch.Tensor) -> int:
    """Bytes of the copy of what is added up, in the dtype of the sum.

    Example:
        >>> mask = torch.empty(8, dtype=torch.bool, device="meta")
        >>> summed("aten.sum", (mask,), mask.sum())
        64
    """
    given = args[0]
    if name in _TESTS:
        return 0 if given.dtype in _BYTES else _bytes(given, torch.bool)
    if name == "aten.mean" and output.dtype in _HALVES:
        return _bytes(given, torch.float32)
    return 0 if given.dtype == output.dtype else _bytes(given, output.dtype)


def _bytes(tensor: torch.Tensor, dtype: torch.dtype) -> int:
    return int(dtype.itemsize * prod(tensor.shape))


def _common(operands: Sequence[Any]) -> torch.dtype:
    """The dtype that operands are promoted to, numbers and tensors of one number the least."""
    numbers = [value for value in operands if isinstance(value, (torch.Tensor, int, float, complex))]
    found: Any = numbers[0]
    for value in numbers[1:]:
        found = torch.empty([1], dtype=torch.result_type(found, value), device="meta")
    dtype: torch.dtype = found.dtype
    return dtype
