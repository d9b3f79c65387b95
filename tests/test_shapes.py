"""Every shape rule of our own equals torch's meta kernel, over random arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.strategies import meta_tensors
from vggcost.trace.shapes import RULES, SAME_TENSOR, _channels_last
from vggcost.trace.signature import tensors_in

aten = torch.ops.aten
sizes = st.integers(1, 6)


def specs(result: Any) -> tuple[Any, ...]:
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    return tuple(None if t is None else (tuple(t.shape), t.stride(), t.dtype) for t in outputs)


def check(op: Any, *args: Any, **kwargs: Any) -> bool:
    """Compare rule and kernel; return whether the rule had an answer. Where torch refuses, the rule must too."""
    rule = RULES[op._schema.name.replace("::", ".")]
    try:
        answer = rule(*args, **kwargs)
    except RuntimeError as refusal:  # as torch's real kernels do
        assert "same dtype" in str(refusal)
        return False
    try:
        kernel = op(*args, **kwargs)
    except (RuntimeError, IndexError, ValueError, ZeroDivisionError):
        assert answer is None, f"torch refuses {args}, the rule says {answer}"
        return False
    if answer is not None:
        assert answer == specs(kernel)
    return answer is not None


def conv_arguments(draw: st.DrawFn, axes: int = 2) -> tuple[Any, ...]:
    groups = draw(st.integers(1, 3))
    channels, out = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * axes))
    x = draw(meta_tensors((draw(st.integers(1, 3)), channels, *draw(st.tuples(*[sizes] * axes)))))
    wrong = draw(st.sampled_from([0, 0, 0, 1]))  # sometimes a channel too many
    weight = torch.empty((out, channels // groups + wrong, *kernel), dtype=x.dtype, device="meta")
    bias = draw(st.sampled_from([None, torch.empty(out, dtype=x.dtype, device="meta")]))
    each = [draw(st.tuples(*[st.integers(*r)] * axes)) for r in ((1, 3), (0, 2), (1, 2))]
    return (x, weight, bias, *map(list, each), False, [0] * axes, groups)


@settings(max_examples=300)
@given(st.data(), st.sampled_from([1, 2, 3]))
def test_convolution(data: st.DataObject, axes: int) -> None:
    arguments = conv_arguments(data.draw, axes)
    assume(not _channels_last(arguments[0]))  # torch's kernel for meta differs from its real one, see below
    check(aten.convolution.default, *arguments)


conv_args = st.composite(conv_arguments)


@settings(max_examples=150)
@given(conv_args(), st.tuples(*[st.booleans()] * 3))
def test_convolution_backward(arguments: tuple[Any, ...], mask: tuple[bool, ...]) -> None:
    assume(any(mask))
    x, weight, _bias, *window = arguments
    try:
        grad = torch.empty_like(aten.convolution.default(*arguments))
    except RuntimeError:
        assume(False)
    check(aten.convolution_backward.default, grad, x, weight, [weight.shape[0]], *window, list(mask))


@settings(max_examples=300)
@given(st.data())
def test_max_pool(data: st.DataObject) -> None:
    x = data.draw(meta_tensors(data.draw(st.tuples(sizes, sizes, sizes, sizes))))
    kernel, stride = data.draw(st.tuples(sizes, sizes)), data.draw(st.sampled_from([[], [1, 1], [2, 3], [3, 2]]))
    padding, dilation = data.draw(st.tuples(*[st.integers(0, 2)] * 2)), data.draw(st.tuples(*[st.integers(1, 2)] * 2))
    window = [list(kernel), stride, list(padding), list(dilation), data.draw(st.booleans())]
    if check(aten.max_pool2d_with_indices.default, x, *window):
        out, indices = aten.max_pool2d_with_indices.default(x, *window)
        check(aten.max_pool2d_with_indices_backward.default, torch.empty_like(out), x, *window, indices)


@given(st.data())
def test_products(data: st.DataObject) -> None:
    m, k, n, b, wrong = (data.draw(st.integers(1, 4)) for _ in range(5))
    k2 = k if wrong > 1 else k + 1
    left, right = data.draw(meta_tensors((m, k))), data.draw(meta_tensors((k2, n)))
    check(aten.mm.default, left, right)
    check(aten.bmm.default, data.draw(meta_tensors((b, m, k))), data.draw(meta_tensors((b, k2, n))))
    for shape in ((n,), (m, n), (1,), ()):
        bias = torch.empty(shape, dtype=data.draw(st.sampled_from([torch.float32, torch.float16])), device="meta")
        check(aten.addmm.default, bias, left, right)


UNARY = [aten.relu.default, aten.gelu.default, aten.silu.default, aten.tanh.default, aten.sigmoid.default,
         aten.hardswish.default, aten.hardsigmoid.default, aten.hardtanh.default, aten.leaky_relu.default, aten.elu.default,
         aten.empty_like.default, aten.ones_like.default, aten.zeros_like.default]  # fmt: skip
BINARY = [aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.add.Scalar, aten.mul.Scalar]


@given(meta_tensors(), st.data())
def test_elementwise(x: torch.Tensor, data: st.DataObject) -> None:
    for op in UNARY:
        check(op, x)
    other = data.draw(st.one_of(meta_tensors(tuple(x.shape)), meta_tensors(), st.just(2), st.just(0.5)))
    for op in BINARY:
        if isinstance(other, torch.Tensor) == op._overloadname.endswith("Tensor"):
            check(op, x, other)
    check(aten.pow.Tensor_Scalar, x, data.draw(st.sampled_from([2, 0.75, -1])))
    check(aten.threshold_backward.default, torch.empty_like(x), x, 0)
    for op in (aten.silu_backward.default, aten.mish_backward.default):
        check(op, torch.empty_like(x), x)
        check(op, data.draw(meta_tensors(tuple(x.shape))), x)


@given(meta_tensors(), st.integers(-3, 4), st.booleans())
def test_softmax(x: torch.Tensor, dim: int, widen: bool) -> None:
    for op in (aten._softmax.default, aten._log_softmax.default):
        check(op, x, dim, widen and x.dtype is torch.float16)
    for op in (aten._softmax_backward_data.default, aten._log_softmax_backward_data.default):
        check(op, torch.empty_like(x), x, dim, x.dtype)


@given(meta_tensors(), st.lists(st.integers(-4, 4), max_size=3), st.booleans())
def test_reductions(x: torch.Tensor, dims: list[int], keep: bool) -> None:
    check(aten.sum.dim_IntList, x, dims, keep)
    check(aten.mean.dim, x, dims, keep)


@given(st.data(), st.booleans(), st.booleans())
def test_batch_norm(data: st.DataObject, training: bool, affine: bool) -> None:
    x = data.draw(meta_tensors(data.draw(st.tuples(sizes, sizes, sizes, sizes))))
    parts = [torch.empty(x.shape[1], dtype=x.dtype, device="meta") for _ in range(4)]
    weight, bias = parts[:2] if affine else (None, None)
    check(aten.native_batch_norm.default, x, weight, bias, *parts[2:], training, 0.1, 1e-5)


@settings(max_examples=150)
@given(st.data(), st.integers(1, 3), st.booleans(), st.booleans())
def test_layer_norm(data: st.DataObject, axes: int, scaled: bool, shifted: bool) -> None:
    x = data.draw(meta_tensors())
    shape = list(x.shape[-axes:]) if data.draw(st.integers(0, 9)) else [7]
    weight, bias = (torch.empty(shape, dtype=x.dtype, device="meta") if given else None for given in (scaled, shifted))
    check(aten.native_layer_norm.default, x, shape, weight, bias, 1e-5)


@pytest.mark.parametrize("name", sorted(SAME_TENSOR))
def test_an_op_in_place_returns_its_tensor_as_it_is(name: str) -> None:
    op = getattr(aten, name.removeprefix("aten."))
    arguments = (2,) if name.removeprefix("aten.") in ("add_", "sub_", "mul_", "div_", "fill_") else ()
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        x = torch.empty(3, 4, dtype=dtype, device="meta").t()
        made = op(x, *arguments)
        assert made is x
        assert (made.shape, made.stride(), made.dtype) == ((4, 3), (1, 4), dtype)


@given(st.integers(1, 4), st.integers(2, 5), st.sampled_from([0, 1, 2]))
def test_nll_loss(batch: int, classes: int, reduction: int) -> None:
    x = torch.empty(batch, classes, device="meta")
    target = torch.empty(batch, dtype=torch.int64, device="meta")
    check(aten.nll_loss_forward.default, x, target, None, reduction, -100)
    _, weight = aten.nll_loss_forward.default(x, target, None, reduction, -100)
    grad = torch.empty(() if reduction else (batch,), device="meta")
    check(aten.nll_loss_backward.default, grad, x, target, None, reduction, -100, weight)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_answers_in_its_plain_case(name: str) -> None:
    """A rule that always passed the question on would agree with torch as well."""
    x = torch.empty(2, 3, 8, 8, device="meta")
    weight = torch.empty(4, 3, 3, 3, device="meta")
    window = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    flat, logits = torch.empty(3, 5, device="meta"), torch.empty(2, 5, device="meta")
    target = torch.empty(2, dtype=torch.int64, device="meta")
    channels = torch.empty(3, device="meta")
    arguments: dict[str, tuple[Any, ...]] = {
        "convolution": (x, weight, None, *window),
        "convolution_backward": (torch.empty(2, 4, 6, 6, device="meta"), x, weight, [4], *window, [True, True, True]),
        "mm": (logits.t(), flat[:2]),
        "addmm": (torch.empty(5, device="meta"), logits.t(), logits),
        "bmm": (torch.empty(2, 3, 4, device="meta"), torch.empty(2, 4, 5, device="meta")),
        "max_pool2d_with_indices": (x, [2, 2]),
        "max_pool2d_with_indices_backward": (
            torch.empty(2, 3, 4, 4, device="meta"),
            x,
            [2, 2],
            [2, 2],
            [0, 0],
            [1, 1],
            False,
            x,
        ),
        "nll_loss_forward": (logits, target, None, 1, -100),
        "nll_loss_backward": (torch.empty((), device="meta"), logits, target, None, 1, -100, None),
        "native_batch_norm": (x, channels, channels, channels, channels, True, 0.1, 1e-5),
        "native_layer_norm": (x, [8, 8], None, None, 1e-5),
        "sum": (x, [1]),
        "mean": (x, [2, 3], True),
        "_softmax": (x, 1, False),
        "_log_softmax": (x, 1, False),
        "_softmax_backward_data": (x, x, 1, x.dtype),
        "_log_softmax_backward_data": (x, x, 1, x.dtype),
        "threshold_backward": (x, x, 0),
        **dict.fromkeys(("silu_backward", "mish_backward"), (x, x)),
        **dict.fromkeys(("add", "sub", "mul", "div"), (x, x)),
        "pow": (x, 2),
        "_grouped_mm": (torch.empty(6, 4, device="meta"), torch.empty(2, 4, 5, device="meta")),
    }
    rule: Callable[..., Any] = RULES[name]
    assert rule(*arguments.get(name.removeprefix("aten."), (x,))) is not None


def test_tensors_are_found_in_nested_outputs() -> None:
    x = torch.empty(1, device="meta")
    assert [t is x for t in tensors_in({"a": [x, (x, None)], "b": 3})] == [True, True]


@pytest.mark.parametrize(
    ("channels", "outputs", "groups", "sizes"),
    [(8, 16, 1, (9, 9)), (8, 16, 8, (9, 7)), (3, 4, 1, (1, 5)), (8, 1, 1, (4, 4)), (4, 4, 2, (3, 1))],
)
def test_a_convolution_of_an_image_whose_channels_are_last_makes_another_such(
    channels: int, outputs: int, groups: int, sizes: tuple[int, int]
) -> None:
    """As the real kernel does; torch's own for meta does not."""
    x = torch.rand(2, channels, *sizes).to(memory_format=torch.channels_last)
    weight = torch.rand(outputs, channels // groups, 3, 3)
    options = ([1, 1], [1, 1], [1, 1], False, [0, 0], groups)
    real = aten.convolution(x, weight, None, *options)
    (made,) = RULES["aten.convolution"](x.to("meta"), weight.to("meta"), None, *options)
    assert made == (tuple(real.shape), real.stride(), real.dtype)
    backward = (x, weight, None, *options, [True, True, False])
    rule = RULES["aten.convolution_backward"](
        *(t.to("meta") if isinstance(t, torch.Tensor) else t for t in (real, *backward))
    )
    assert rule == specs(aten.convolution_backward(real, *backward))
