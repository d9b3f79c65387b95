"""Regions of autocast in a model's code, held against real runs on the CPU and torch's published lists."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.reality import real_step
from vggcost import analyze, memory
from vggcost.errors import TraceError
from vggcost.trace.attention import Attention
from vggcost.trace.autocast import DEVICES, Autocast, casts_of

BF16, FP32, FP16 = torch.bfloat16, torch.float32, torch.float16


class Region(nn.Module):
    """A module in a region of autocast."""

    def __init__(self, inner: nn.Module, device: str = "cpu", dtype: torch.dtype = BF16, **options: Any) -> None:
        super().__init__()
        self.inner, self.device, self.dtype, self.options = inner, device, dtype, options

    def forward(self, *x: torch.Tensor) -> Any:
        with torch.autocast(self.device, self.dtype, **self.options):
            return self.inner(*x)


class Function(nn.Module):
    def __init__(self, function: Callable[..., Any], *sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.rand(size)) for size in sizes)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, *self.weights)


def disabled(x: torch.Tensor, w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    y = x @ w
    with torch.autocast("cpu", enabled=False):
        y = y.float() @ w
    with torch.autocast("cpu", FP16):
        return y @ v


def split(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    a, b = (x @ w).chunk(2, -1)
    return torch.stack([a, b.float()]).sum(0) + torch.cat([a, b.float()], -1)[..., :8]


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 8)), (4, 16)),
    "norm": (lambda: nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Softmax(-1)), (4, 16)),
    "conv": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2)), (2, 3, 12, 12)),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 4, 3), nn.AvgPool3d(2), nn.Conv3d(4, 2, 1)), (1, 2, 8, 8, 8)),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.Tanh(), nn.BatchNorm2d(4)), (2, 3, 6, 6)),
    "attention": (lambda: nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True), (2, 5, 16)),
    "einsum": (lambda: Function(lambda x, w: torch.einsum("bi,ij->bj", x, w), (16, 8)), (4, 16)),
    "disabled and nested": (lambda: Function(disabled, (16, 16), (16, 16)), (4, 16)),
    "stack and cat": (lambda: Function(split, (16, 16)), (4, 16)),
    "bilinear": (lambda: Function(lambda x, w: F.bilinear(x, x, w), (8, 16, 16)), (4, 16)),
    "prelu": (lambda: nn.Sequential(nn.Linear(16, 16), nn.PReLU(), nn.Dropout(0.0)), (4, 16)),
    "interpolated": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 1)), (1, 3, 6, 6)),
    "shared": (lambda: Function(lambda x, w: (x @ w) @ w + x @ w, (16, 16)), (4, 16)),
}  # fmt: skip


def dtypes(model: nn.Module, x: torch.Tensor) -> list[Any]:
    """Those of every output of a leaf, of what autograd saves, and of every gradient."""
    found: list[Any] = []
    leaves = [module for module in model.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda _m, _i, out: found.append(_first(out).dtype)) for leaf in leaves]
    with torch.autograd.graph.saved_tensors_hooks(lambda t: found.append((t.dtype, tuple(t.shape))) or t, lambda t: t):
        y = model(x)
    for hook in hooks:
        hook.remove()
    y.float().sum().backward()
    return [*found, y.dtype, x.grad.dtype if x.grad is not None else None, *[p.grad.dtype for p in model.parameters()]]


def _first(value: Any) -> torch.Tensor:
    return value[0] if isinstance(value, tuple) else value


@pytest.mark.parametrize("kind", KINDS)
def test_dtypes_are_those_of_a_real_run(kind: str) -> None:
    make, shape = KINDS[kind]
    torch.manual_seed(0)
    real = dtypes(Region(make()).train(), torch.rand(shape, requires_grad=True))
    with Autocast("cpu"), Attention("auto", "cpu"):
        meta = dtypes(Region(make()).train().to("meta"), torch.empty(shape, requires_grad=True, device="meta"))
    assert meta == real


LAYERS: list[Callable[[], nn.Module]] = [
    lambda: nn.Linear(8, 8), nn.GELU, lambda: nn.LayerNorm(8), lambda: nn.Softmax(-1), nn.Tanh, nn.LogSigmoid,
    lambda: nn.RMSNorm(8), lambda: nn.MultiheadAttention(8, 2), lambda: nn.LSTMCell(8, 8), nn.PReLU,
    lambda: Region(nn.Linear(8, 8), enabled=False), lambda: Region(nn.Linear(8, 8), dtype=FP16),
]  # fmt: skip


class Chain(nn.Module):
    def __init__(self, layers: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LAYERS[i]() for i in layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            if isinstance(layer, nn.MultiheadAttention):
                x = layer(x, x, x, need_weights=False)[0]
            elif isinstance(layer, nn.LSTMCell):
                x = layer(x)[0]
            else:
                x = layer(x.float() if isinstance(layer, Region) and not layer.options.get("enabled", True) else x)
        return x


@given(st.lists(st.integers(0, len(LAYERS) - 1), min_size=1, max_size=5))
def test_dtypes_of_any_chain_are_those_of_a_real_run(layers: list[int]) -> None:
    model = Region(Chain(layers))
    model.train()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            real = model(torch.rand(3, 8)).dtype
    except RuntimeError:  # dtypes that do not go together are the model's fault
        return
    with Autocast("cpu"), Attention("auto", "cpu"):
        assert model.to("meta")(torch.empty(3, 8, device="meta")).dtype is real


def test_what_is_saved_is_what_a_real_run_saves() -> None:
    """By hand, of (64, 256) → 1024 → GELU → 256 in bfloat16, cross-entropy after the region.

    Kept: the input as it was cast, the GELU's input and output, the second weight as it was cast, the logarithms of the
    softmax, all of 2 bytes; the targets, of 8; and the total weight of the loss, of 2.
    """
    net = Region(nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256)))
    halves = 64 * 256 + 2 * 64 * 1024 + 1024 * 256 + 64 * 256
    assert analyze(net, (torch.zeros(64, 256),), mode="training").totals.saved_bytes == 2 * halves + 8 * 64 + 2


@pytest.mark.parametrize("cached", [True, False])
def test_the_peak_is_that_of_a_real_step(cached: bool) -> None:
    def make() -> nn.Module:
        layers = nn.Sequential(
            nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256), nn.LayerNorm(256), nn.Linear(256, 64)
        )
        return Region(layers, cache_enabled=cached)

    torch.backends.mkldnn.set_flags(_enabled=False, _allow_tf32=None)  # whose products of bfloat16 take scratch space
    try:
        real = real_step(make, lambda: (torch.rand(512, 256),)).peak
    finally:
        torch.backends.mkldnn.set_flags(_enabled=True, _allow_tf32=None)
    assert memory(make(), (torch.rand(512, 256),), optimizer="none").peak.bytes == pytest.approx(real, rel=0.01)


def test_a_weight_is_cast_once_in_a_region() -> None:
    net = Region(Function(lambda x, w: (x @ w) @ w, (16, 16)))
    ops = dict(analyze(net, (torch.zeros(4, 16),)).coverage.free)
    assert ops["aten._to_copy"] == 2  # the input, and the weight once
    ops = dict(analyze(net, (torch.zeros(4, 16),), mode="training").coverage.free)
    assert ops["aten._to_copy"] == 3  # the input, the weight once, and the weight's gradient back


def test_a_region_of_a_gpu_is_honoured_without_one() -> None:
    """https://docs.pytorch.org/docs/stable/amp.html: layer_norm and softmax autocast to float32, matmul to float16."""
    net = Region(nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Softmax(-1), nn.Linear(16, 4)), "cuda", FP16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = analyze(net, (torch.zeros(4, 16),))
    by_path = {layer.path: layer.activation_bytes for layer in table.layers}
    assert [by_path[f"inner.{i}"] for i in range(4)] == [4 * 16 * 2, 4 * 16 * 4, 4 * 16 * 4, 4 * 4 * 2]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_a_region_of_bfloat16_keeps_for_the_backward_pass(device: str) -> None:
    """By hand, of (4096, 512) → 2048 → GELU → 512, cross-entropy after the region, as of one of 2 bytes a number.

    In float32 the weights are not kept but there; in bfloat16 the second is, as it was cast.
    """
    inner = nn.Sequential(nn.Linear(512, 2048), nn.GELU(), nn.Linear(2048, 512))
    numbers, targets = 4096 * (512 + 2048 + 2048 + 512), 4096 * 8
    whole = analyze(inner, "512", batch=4096, mode="training").totals.saved_bytes
    assert whole == 4 * numbers + targets + 4 == 83_918_852
    halves = analyze(Region(inner, device, BF16), "512", batch=4096, mode="training").totals.saved_bytes
    assert halves == 2 * (numbers + 2048 * 512) + targets + 2 == 44_072_962


@pytest.mark.parametrize(
    ("op", "inputs", "casts"),
    [
        (torch.ops.aten.mm.default, (FP32, FP32), {0: FP16, 1: FP16}),
        (torch.ops.aten.exp.default, (FP16,), {0: FP32}),
        (torch.ops.aten.addcmul.default, (FP32, FP16, FP16), {1: FP32, 2: FP32}),
        (torch.ops.aten.relu.default, (FP16,), {}),
        (torch.ops.aten.mm.default, (torch.float64, torch.float64), {}),
    ],
)
def test_the_lists_are_those_of_torch(op: Any, inputs: tuple[torch.dtype, ...], casts: dict[int, torch.dtype]) -> None:
    torch.set_autocast_enabled("cuda", True)
    try:
        assert casts_of(op, "cuda", tuple(torch.empty(2, 2, dtype=dtype) for dtype in inputs), {}) == casts
    finally:
        torch.set_autocast_enabled("cuda", False)


def test_what_autocast_refuses_is_refused() -> None:
    class Banned(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cuda"):
                return F.binary_cross_entropy(x, x)

    with pytest.raises(TraceError, match="unsafe to autocast"):
        analyze(Banned(), (torch.zeros(4, 4),))


def test_a_region_of_the_input_s_own_device() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast(x.device.type, enabled=False):
                y = self.a(x)
            with torch.autocast(device_type=x.device.type, dtype=BF16):
                assert torch.is_autocast_enabled(x.device.type)
                return self.b(y)

    rows = {layer.path: layer.activation_bytes for layer in analyze(Own(), (torch.zeros(4, 16),)).layers}
    assert (rows["a"], rows["b"]) == (4 * 16 * 4, 4 * 16 * 2)


def test_all_is_given_back() -> None:
    names = ("set_autocast_enabled", "clear_autocast_cache", "is_autocast_enabled", "get_autocast_dtype")
    before = [getattr(torch, name) for name in names]
    analyze(Region(nn.Linear(4, 4)), (torch.zeros(2, 4),))
    assert [getattr(torch, name) for name in names] == before
    layer = nn.Linear(4, 4, device="meta")
    with torch.autocast("cpu", BF16):
        assert layer(torch.empty(2, 4, device="meta")).dtype is FP32
    for name in DEVICES.values():
        key = getattr(torch._C.DispatchKey, name)
        assert not torch._C._dispatch_tls_is_dispatch_key_included(key)
        assert torch._C._dispatch_tls_is_dispatch_key_excluded(key)
        assert not torch._C._dispatch_has_kernel_for_dispatch_key("aten::linear", name)


def test_a_region_around_the_analysis_is_honoured_too() -> None:
    with torch.autocast("cpu", BF16):
        table = analyze(nn.Linear(4, 4), (torch.zeros(2, 4),))
    assert table.layers[0].activation_bytes == 2 * 4 * 2
