"""Output shapes of the commonest ops, without torch's meta kernels.

The first meta convolution, matrix product or max-pool makes torch import sympy and its compiler,
which takes longer and weighs more than everything else here. A rule answers only for the plain,
valid case, and returns None otherwise: torch's own kernel then decides, and raises its own errors.
A test compares every rule with torch's kernels over random arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["RULES", "Spec", "contiguous_strides"]

Spec = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Shape, strides and dtype of one output."""


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor of this shape.

    Example:
        >>> contiguous_strides((2, 3, 4))
        (12, 4, 1)
    """
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _plain(*tensors: torch.Tensor) -> bool:
    """Whether all tensors are of one floating dtype, with the strides of a contiguous tensor to the letter.

    An axis of size 1 may have any stride in a contiguous tensor, and torch's kernels then differ.
    """
    dtype = tensors[0].dtype
    return dtype.is_floating_point and all(
        t.dtype is dtype and t.stride() == contiguous_strides(t.shape) for t in tensors
    )


def _spec(shape: Sequence[int], dtype: torch.dtype) -> Spec:
    return tuple(shape), contiguous_strides(shape), dtype


def _each(values: Sequence[int], count: int) -> list[int]:
    return list(values) * count if len(values) == 1 else list(values)


def _convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> tuple[Spec, ...] | None:
    _same_dtype(x, weight)
    axes = x.dim() - 2
    last = axes == 2 and _channels_last(x)
    if transposed or axes < 1 or weight.dim() != x.dim() or not (_plain(weight) if last else _plain(x, weight)):
        return None
    if axes == 3 or (axes == 2 and not last and (_either(x) or _either(weight))):
        return None
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups or 0 in x.shape:
        return None
    if bias is not None and (bias.dtype is not x.dtype or tuple(bias.shape) != (weight.shape[0],)):
        return None
    stride, padding, dilation = _each(stride, axes), _each(padding, axes), _each(dilation, axes)
    if min(stride) < 1 or min(dilation) < 1 or min(padding) < 0:
        return None
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    ]
    if min(sizes) < 1:
        return None
    like = _spec_last if last else _spec
    return (like((x.shape[0], weight.shape[0], *sizes), x.dtype),)


def _either(tensor: torch.Tensor) -> bool:
    """Whether an image lies in memory as one whose channels are last, and perhaps as one whose channels are first too."""
    return tensor.is_contiguous(memory_format=torch.channels_last)


def _channels_last(tensor: torch.Tensor) -> bool:
    """Whether an image is stored with its channels last, and could not be taken for another."""
    return tensor.dim() == 4 and _either(tensor) and not tensor.is_contiguous()


def _spec_last(shape: Sequence[int], dtype: torch.dtype) -> Spec:
    _, channels, height, width = shape
    return tuple(shape), (height * width * channels, 1, width * channels, channels), dtype


def _same_dtype(a: torch.Tensor, b: torch.Tensor) -> None:
    """Refuse what torch's real kernels refuse; its meta kernels do not look at the dtype."""
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected both operands to have the same dtype, but got {a.dtype} and {b.dtype}")


def _mm(a: torch.Tensor, b: torch.Tensor) -> tuple[Spec, ...] | None:
    _same_dtype(a, b)
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[0]:
        return None
    return (_spec((a.shape[0], b.shape[1]), a.dtype),)


def _addmm(bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, **_: Any) -> tuple[Spec, ...] | None:
    spec = _mm(a, b)
    if spec is None or bias.dtype is not a.dtype or tuple(bias.shape) != (b.shape[1],):
        return None
    return spec


def _bmm(a: torch.Tensor, b: torch.Tensor) -> tuple[Spec, ...] | None:
    _same_dtype(a, b)
    if a.dim() != 3 or b.dim() != 3:
        return None
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        return None
    return (_spec((a.shape[0], a.shape[1], b.shape[2]), a.dtype),)


def _grouped_mm(
    a: torch.Tensor, b: torch.Tensor, offs: torch.Tensor | None = None, bias: None = None, out_dtype: None = None
) -> tuple[Spec, ...] | None:
    """Matrix products of groups of rows with a matrix each; torch's meta kernel takes half precision alone."""
    _same_dtype(a, b)
    if bias is not None or out_dtype is not None or a.shape[-1] != b.shape[-2]:
        return None
    groups = {(2, 2): offs.shape[:1] if offs is not None else (), (3, 3): a.shape[:1]}.get((a.dim(), b.dim()), ())
    return (_spec((*groups, a.shape[-2], b.shape[-1]), a.dtype),)


def _pooled(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    # In ceil mode the last window must start inside the input or its left padding.
    return out - 1 if ceil_mode and (out - 1) * stride >= size + padding else out


def _max_pool2d(
    x: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Spec, ...] | None:
    if x.dim() != 4 or not _plain(x) or x.is_contiguous(memory_format=torch.channels_last) or 0 in x.shape:
        return None
    kernel, padding, dilation = _each(kernel, 2), _each(padding, 2), _each(dilation, 2)
    stride = _each(stride, 2) or kernel
    if min(kernel) < 1 or min(stride) < 1 or min(dilation) < 1 or min(padding) < 0:
        return None
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        return None
    sizes = [
        _pooled(*arguments, ceil_mode) for arguments in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    ]
    if min(sizes) < 1:
        return None
    shape = (*x.shape[:2], *sizes)
    return _spec(shape, x.dtype), _spec(shape, torch.int64)


_SILENT = (None, False, torch.preserve_format)  # options that change nothing


def _silent(options: dict[str, Any]) -> bool:
    """Whether options change nothing; `out=` does."""
    return all(not isinstance(value, torch.Tensor) and value in _SILENT for value in options.values())


def _like(x: torch.Tensor, *rest: Any, **options: Any) -> tuple[Spec, ...] | None:
    """An op of one tensor whose output looks like it: softmax, dropout's masks, ReLU, multiplication by a number."""
    if any(isinstance(value, (torch.Tensor, complex)) for value in rest) or not _silent(options):
        return None
    return ((tuple(x.shape), x.stride(), x.dtype),) if _plain(x) else None


def _softmax(x: torch.Tensor, dim: int, half_to_float: bool) -> tuple[Spec, ...] | None:
    return None if half_to_float or x.dim() == 0 or not -x.dim() <= dim < x.dim() else _like(x)


def _softmax_backward(
    grad: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype
) -> tuple[Spec, ...] | None:
    known = input_dtype is grad.dtype and -grad.dim() <= dim < grad.dim()
    return _pair(grad, output) if known else None


def _pair(a: Any, b: Any, **options: Any) -> tuple[Spec, ...] | None:
    """Arithmetic of two tensors of the same looks, or of a tensor and a number."""
    if not isinstance(a, torch.Tensor) or not _silent(options):
        return None
    if isinstance(b, torch.Tensor) and (b.shape != a.shape or b.stride() != a.stride() or b.dtype is not a.dtype):
        return None
    return _like(a) if not isinstance(b, complex) else None


def _activation_backward(grad: torch.Tensor, x: torch.Tensor, *limits: float) -> tuple[Spec, ...] | None:
    return _pair(grad, x)


def _convolution_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Spec | None, ...] | None:
    forward = _convolution(x, weight, None, stride, padding, dilation, transposed, output_padding, groups)
    if forward is None or forward[0] != (tuple(grad.shape), grad.stride(), grad.dtype):
        return None
    like = _spec_last if _channels_last(x) else _spec
    made = (like(x.shape, x.dtype), like(weight.shape, x.dtype), _spec(weight.shape[:1], x.dtype))
    return tuple(spec if wanted else None for spec, wanted in zip(made, output_mask, strict=True))


def _max_pool2d_backward(grad: torch.Tensor, x: torch.Tensor, *window: Any) -> tuple[Spec, ...] | None:
    forward = _max_pool2d(x, *window[:-1])
    if forward is None or forward[0] != (tuple(grad.shape), grad.stride(), grad.dtype):
        return None
    return _like(x)


def _nll_loss(
    x: torch.Tensor, target: torch.Tensor, weight: None, reduction: int, ignore_index: int
) -> tuple[Spec, ...] | None:
    if x.dim() != 2 or weight is not None or reduction == 0 or not _plain(x) or tuple(target.shape) != x.shape[:1]:
        return None
    return ((), (), x.dtype), ((), (), x.dtype)


def _nll_loss_backward(
    grad: torch.Tensor, x: torch.Tensor, target: torch.Tensor, *rest: Any
) -> tuple[Spec, ...] | None:
    weight, reduction = rest[:2]
    return _like(x) if _nll_loss(x, target, weight, reduction, 0) and grad.dim() == 0 else None


def _batch_norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    mean: torch.Tensor | None,
    var: torch.Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Spec, ...] | None:
    if not x.is_floating_point():  # as on real tensors
        raise RuntimeError(f"batch norm is not implemented for {x.dtype}")
    given = [t for t in (weight, bias, mean, var) if t is not None]
    if x.dim() < 2 or 0 in x.shape or not _plain(x, *given) or any(tuple(t.shape) != x.shape[1:2] for t in given):
        return None
    if x.dtype is not torch.float32 or (training and x.numel() == x.shape[1]):
        return None
    statistics = _spec(x.shape[1:2], x.dtype)
    return (tuple(x.shape), x.stride(), x.dtype), statistics, statistics


def _layer_norm(
    x: torch.Tensor,
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> tuple[Spec, ...] | None:
    shape, given = tuple(normalized_shape), [t for t in (weight, bias) if t is not None]
    if not shape or tuple(x.shape[-len(shape) :]) != shape or 0 in x.shape or x.dtype is not torch.float32:
        return None
    if not _plain(x, *given) or any(tuple(t.shape) != shape for t in given):
        return None
    statistics = _spec((*x.shape[: -len(shape)], *(1,) * len(shape)), x.dtype)
    return (tuple(x.shape), x.stride(), x.dtype), statistics, statistics


def _reduced(
    x: torch.Tensor, dims: Sequence[int] | None, keepdim: bool = False, **options: Any
) -> tuple[Spec, ...] | None:
    if not dims or not _plain(x) or any(v is not None for v in options.values()):
        return None
    if any(not -x.dim() <= d < x.dim() for d in dims) or len({d % x.dim() for d in dims}) != len(dims):
        return None
    gone = {d % x.dim() for d in dims}
    if keepdim:
        shape = [1 if axis in gone else size for axis, size in enumerate(x.shape)]
    else:
        shape = [size for axis, size in enumerate(x.shape) if axis not in gone]
    return (_spec(shape, x.dtype),)


_ACTIVATIONS = "relu gelu silu tanh sigmoid hardswish hardsigmoid hardtanh leaky_relu elu".split()

RULES: dict[str, Callable[..., tuple[Spec | None, ...] | None]] = {
    "aten.convolution": _convolution,
    "aten.mm": _mm,
    "aten.addmm": _addmm,
    "aten.bmm": _bmm,
    "aten._grouped_mm": _grouped_mm,
    "aten.max_pool2d_with_indices": _max_pool2d,
    "aten.convolution_backward": _convolution_backward,
    "aten.max_pool2d_with_indices_backward": _max_pool2d_backward,
    "aten.nll_loss_forward": _nll_loss,
    "aten.nll_loss_backward": _nll_loss_backward,
    "aten.native_batch_norm": _batch_norm,
    "aten.native_layer_norm": _layer_norm,
    "aten.sum": _reduced,
    "aten.mean": _reduced,
    "aten._softmax": _softmax,
    "aten._log_softmax": _softmax,
    "aten._softmax_backward_data": _softmax_backward,
    "aten._log_softmax_backward_data": _softmax_backward,
    **{f"aten.{name}_backward": _activation_backward for name in ("threshold", "silu", "mish")},
    **{f"aten.{name}": _like for name in ("empty_like", "ones_like", "zeros_like", *_ACTIVATIONS)},
    **{f"aten.{name}": _pair for name in ("add", "sub", "mul", "div", "pow")},
}

SAME_TENSOR = frozenset(
    f"aten.{name}_" for name in (*_ACTIVATIONS, *"bernoulli add sub mul div fill zero uniform normal".split())
)
"""In-place ops that return their first argument as it is, where it is floating and no other tensor takes part."""
