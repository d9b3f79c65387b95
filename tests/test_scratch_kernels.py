"""What ops take inside themselves, against the memory events of real runs on this CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.profiler import record_function

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
