"""What ops take inside themselves, against the memory events of real runs on this CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.profiler import record_function
from torch.utils._python_dispatch import TorchDispatchMode

from tests.reality import real_step
from vggcost import memory
from vggcost.trace.scratch import Inside
from vggcost.trace.scratch.geometry import beyond

aten = torch.ops.aten
AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"


def real(run: Callable[[], Any]) -> int:
    """The most bytes alive inside a call, beyond what it returns."""
    run()
    with torch.autograd.profiler.profile(profile_memory=True, use_kineto=True) as profile:
        with record_function("begin"):
            pass
        made = run()
        with record_function("end"):
            pass
    events = sorted(profile.kineto_results.events(), key=lambda event: event.start_ns())
    first, last = (next(i for i, e in enumerate(events) if e.name() == name) for name in ("begin", "end"))
    del made
    return beyond(*(event.nbytes() for event in events[first:last] if event.name() == "[memory]"))


# Batch, channels in and out, groups, image, kernel, stride, padding, dilation, transposed, dtype.
COLUMNS = [  # torch's own: exact on any CPU
    (2, 8, 12, 1, (9, 7), 3, 2, 1, 1, False),
    (3, 8, 8, 4, (6, 6), 3, 1, 1, 1, False),
    (2, 4, 6, 1, (5, 6, 4), 3, 1, 1, 1, False),
    (2, 4, 6, 1, (9, 9), 3, 1, 2, 2, False),
    (2, 6, 4, 1, (5, 7), 4, 2, 1, 1, True),
    (2, 6, 4, 2, (5, 7), 3, 1, 1, 1, True),
]
BLOCKED = [  # oneDNN's, on a CPU with AVX-512
    (2, 64, 64, 1, (14, 14), 3, 1, 1, 1, False),
    (2, 64, 128, 1, (14, 14), 1, 1, 0, 1, False),
    (2, 3, 64, 1, (56, 56), 7, 2, 3, 1, False),
    (2, 64, 64, 64, (14, 14), 7, 1, 3, 1, False),
    (2, 64, 64, 1, (14, 14), 3, 1, 2, 2, False),
    (2, 16, 32, 1, (8, 8, 8), 3, 1, 1, 1, False),
    (2, 64, 32, 1, (8, 8), 4, 2, 1, 1, True),
    (2, 20, 12, 1, (9, 9), 3, 1, 1, 1, True),
]


@pytest.mark.parametrize(
    ("case", "dtype"),
    [(case, torch.float64) for case in COLUMNS]
    + [pytest.param(c, torch.float32, marks=pytest.mark.skipif(not AVX512, reason="no AVX-512")) for c in BLOCKED],
)
def test_what_a_convolution_takes_is_what_the_profiler_sees(case: Any, dtype: torch.dtype) -> None:
    batch, inputs, outputs, groups, size, k, stride, padding, dilation, transposed = case
    axes, inside = len(size), Inside("cpu", torch.get_num_threads())
    shape = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    x, weight = torch.rand(batch, inputs, *size, dtype=dtype), torch.rand(*shape, *[k] * axes, dtype=dtype)
    bias = torch.rand(outputs, dtype=dtype)
    options = ([stride] * axes, [padding] * axes, [dilation] * axes, transposed, [0] * axes, groups)
    forward = (x, weight, bias, *options)
    gradient = torch.rand_like(aten.convolution(*forward))
    backward = (gradient, x, weight, [outputs], *options, [True, True, True])
    for op, args in ((aten.convolution, forward), (aten.convolution_backward, backward)):
        role, nbytes = inside(f"aten.{op.__name__}", args)
        measured = real(lambda op=op, args=args: op(*args))
        assert abs(nbytes - measured) <= 0.01 * measured + 1024, (op, nbytes, measured)
        assert role == "scratch"
        assert Inside("cuda", 2)(f"aten.{op.__name__}", args) == ("", 0)


def test_the_columns_of_a_deformable_convolution_are_there_on_every_device() -> None:
    pytest.importorskip("torchvision")
    x, weight, bias = torch.rand(34, 4, 5, 5), torch.rand(4, 2, 3, 3), torch.rand(4)
    offset, mask = torch.rand(34, 18, 5, 5), torch.rand(34, 9, 5, 5)
    options = (1, 1, 1, 1, 1, 1, 2, 1, True)
    forward = (x, weight, offset, mask, bias, *options)
    backward = (torch.rand(34, 4, 5, 5), *forward)
    ops = torch.ops.torchvision
    for name, args in (("deform_conv2d", forward), ("_deform_conv2d_backward", backward)):
        found = {Inside(device, 2)(f"torchvision.{name}", args) for device in ("cpu", "cuda")}
        assert found == {("temporary", real(lambda name=name, args=args: getattr(ops, name)(*args)))}


LAYOUTS: tuple[Callable[..., torch.Tensor], ...] = (
    lambda *size: torch.zeros(size),
    lambda *size: torch.zeros(*size[:-2], size[-1], size[-2]).mT,
    lambda *size: torch.zeros(*size[:-1], 2 * size[-1])[..., ::2],
    lambda *size: torch.zeros(*size[:-1], 2 * size[-1])[..., : size[-1]],
    lambda *size: torch.zeros(()).expand(size),
    lambda *size: torch.zeros(*size[:-2], 1, size[-1]).expand(size),
    lambda *size: torch.zeros(*size[:-1], 1).expand(size),
    lambda *size: torch.zeros(size[-2:]).expand(size),
    lambda *size: torch.zeros(*size[::-1]).permute(*reversed(range(len(size)))),
)
"""Ways in which a matrix, or a batch of them, lies in memory."""
PRODUCTS: dict[str, Callable[[int, int, int, int], tuple[tuple[int, ...], ...]]] = {
    "mm": lambda b, m, k, n: ((m, k), (k, n)),
    "addmm": lambda b, m, k, n: ((m, n), (m, k), (k, n)),
    "bmm": lambda b, m, k, n: ((b, m, k), (b, k, n)),
    "baddbmm": lambda b, m, k, n: ((b, m, n), (b, m, k), (b, k, n)),
    "addbmm": lambda b, m, k, n: ((m, n), (b, m, k), (b, k, n)),
    "mv": lambda b, m, k, n: ((m, k), (k,)),
    "addmv": lambda b, m, k, n: ((m,), (m, k), (k,)),
}


@given(
    st.sampled_from(sorted(PRODUCTS)), st.integers(1, 3), *[st.integers(1, 24)] * 3, *[st.sampled_from(LAYOUTS)] * 2,
    st.sampled_from((torch.float32, torch.float64, torch.int64)),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_product_copies_what_lies_neither_by_rows_nor_by_columns(
    name: str, b: int, m: int, k: int, n: int, left: Any, right: Any, dtype: torch.dtype
) -> None:
    *added, first, second = PRODUCTS[name](b, m, k, n)
    lying = [layout(*size) if len(size) > 1 else torch.zeros(size) for layout, size in ((left, first), (right, second))]
    operands = [meant.to(dtype) if dtype is torch.float32 else _like(meant, dtype) for meant in lying]
    args = (*[torch.zeros(size, dtype=dtype) for size in added], *operands)
    op = getattr(aten, name)
    assert Inside("cpu", 1)(f"aten.{name}", args) == ("scratch", real(lambda: op(*args)))


def _like(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The same layout in another dtype."""
    room = torch.zeros(1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)), dtype=dtype)
    return room.as_strided(tensor.shape, tensor.stride())


def test_cublas_is_given_whole_batches_of_copies() -> None:
    """By the source alone: no GPU measured it."""
    gradient, weights = torch.zeros(()).expand(4, 8, 8), torch.zeros(4, 8, 8)
    found = {device: Inside(device, 1)("aten.bmm", (gradient, weights))[1] for device in ("cpu", "cuda")}
    assert found == {"cpu": 8 * 8 * 4, "cuda": 4 * 8 * 8 * 4}


def test_the_gradient_of_a_sum_is_copied_by_the_products_that_take_it() -> None:
    model, x = nn.Linear(512, 512, bias=False), torch.zeros(256, 512)
    report = memory(model, x, optimizer="none", loss=torch.sum)
    real_peak = real_step(lambda: nn.Linear(512, 512, bias=False), lambda: (x.clone(),), torch.sum).peak
    assert abs(report.totals.peak_bytes - real_peak) <= 64


WAYS: dict[str, Callable[..., Any]] = {
    **{name: getattr(aten, name) for name in (
        "mul", "add", "div", "gt", "eq", "maximum", "atan2", "logical_and", "pow", "fmod", "remainder", "copysign",
        "xlogy", "hypot",
    )},
    **{name: lambda x, y, name=name: getattr(aten, name)(x) for name in ("sin", "sigmoid", "exp", "isnan", "abs", "neg")},
    "times a number": lambda x, y: aten.mul(x, 2.5),
    "is a number": lambda x, y: aten.eq(x, 1.5),
    "where": lambda x, y: aten.where(x > 0, x, y),
    "clamp": aten.clamp_min,
    "addcmul": lambda x, y: aten.addcmul(x, y, y),
    "masked_fill": lambda x, y: aten.masked_fill(x, x > 0, 0),
    "mul_": aten.mul_,
    "add_": aten.add_,
    **{name: lambda x, y, name=name: getattr(aten, name)(x) for name in ("sum", "prod", "any", "all", "nansum")},
    "sum of rows": lambda x, y: aten.sum(x, [1]),
    "cumsum": lambda x, y: aten.cumsum(x, 0),
    "norm": lambda x, y: aten.linalg_vector_norm(x),
}  # fmt: skip
"""Ops of one dtype or two."""
DTYPES = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)


class Last(TorchDispatchMode):
    """Keeps what `Inside` says of the last op on whole tensors, as the recorder asks it."""

    said = ("", 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.said = Inside("cpu", 1)(f"aten.{func._opname}", args, (made,), torch.Tag.pointwise in func.tags)
        return made


@given(st.sampled_from(sorted(WAYS)), *[st.sampled_from(DTYPES)] * 2, st.sampled_from([(8, 64), (1, 64), (8, 1), ()]))
@settings(max_examples=250, deadline=None)
def test_operands_are_copied_into_the_dtype_that_is_computed_in(
    name: str, first: torch.dtype, second: torch.dtype, shape: tuple[int, ...]
) -> None:
    x, y = torch.ones(8, 64, dtype=first), torch.ones(shape, dtype=second)
    try:
        WAYS[name](x.clone(), y)
    except RuntimeError:  # not for these dtypes
        assume(False)
    given_x = [x.clone() for _ in range(3)]
    with Last() as last:
        WAYS[name](given_x[0], y)
    mask = 8 * 64 if name in ("where", "masked_fill") else 0  # the mask that the test makes
    others = iter(given_x[1:])
    measured = real(lambda: WAYS[name](next(others), y))
    assert abs(measured - last.said[1] - mask) <= 64, (measured, last.said)


@pytest.mark.parametrize("sizes", [(1, 2, 16, 16, 32), (2, 3, 200, 200, 32), (1, 1, 800, 800, 16), (1, 4, 7, 600, 16)])
@pytest.mark.parametrize("heads_first", [True, False])
def test_fused_attention_takes_a_block_a_thread(sizes: tuple[int, ...], heads_first: bool) -> None:
    batch, heads, queries, keys, width = sizes

    def some(count: int) -> torch.Tensor:
        return (
            torch.rand(batch, heads, count, width)
            if heads_first
            else torch.rand(batch, count, heads, width).transpose(1, 2)
        )

    q, k, v = some(queries), some(keys), some(keys)
    forward, backward = (
        getattr(aten, f"_scaled_dot_product_flash_attention_for_cpu{way}") for way in ("", "_backward")
    )
    out, sums = forward(q, k, v)
    args = (torch.rand_like(out), q, k, v, out, sums, 0.0, False)
    inside = Inside("cpu", torch.get_num_threads())
    assert inside("aten._scaled_dot_product_flash_attention_for_cpu", (q, k, v)) == (
        "scratch",
        real(lambda: forward(q, k, v)),
    )
    assert inside("aten._scaled_dot_product_flash_attention_for_cpu_backward", args) == (
        "scratch", real(lambda: backward(*args)),
    )  # fmt: skip
