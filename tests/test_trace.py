"""The trace against closed forms, against the peers' known defects, and without traces on the model."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.strategies import Net, chains
from vggcost import CostTable, LayerCost, Totals, VggcostError, analyze
from vggcost.load import parse_inputs
from vggcost.records import RunInfo, absent
from vggcost.trace import kernels, trace_model


def by_path(table: CostTable) -> dict[str, LayerCost]:
    return {layer.path: layer for layer in table.layers}


# Closed forms


@given(chains())
def test_chains_cost_what_the_closed_forms_say(net: Net) -> None:
    table = analyze(net.model, net.input, batch=net.batch, mode="training")
    layers = by_path(table)
    for expected in net.layers:
        layer = layers[expected.path]
        assert layer.output_shape == expected.shape
        assert (layer.params, layer.macs, layer.backward_macs) == (expected.params, expected.macs, expected.backward)
    assert table.totals.params == sum(p.numel() for p in net.model.parameters())
    assert table.coverage.unknown == ()


@given(chains())
def test_layers_add_up_and_the_table_survives_json(net: Net) -> None:
    for mode in ("inference", "training"):
        for convention in ("torch", "full"):
            table = analyze(net.model, net.input, batch=net.batch, mode=mode, convention=convention)
            for item in fields(Totals):
                if item.name not in absent(mode):
                    assert getattr(table.totals, item.name) == sum(getattr(layer, item.name) for layer in table.layers)
            assert CostTable.from_json(table.to_json()) == table
            assert table.coverage.unknown == ()


@given(chains())
def test_memory_of_ops_changes_no_record(net: Net) -> None:
    inputs = parse_inputs(net.input, net.batch).inputs
    for mode in ("inference", "training"):
        run = RunInfo("net", "net", (), "object", "", inputs, net.batch, mode)
        trace_model(net.model, run)
        assert trace_model(net.model, run, remember=True) == trace_model(net.model, run, remember=False)


@given(chains())
def test_macs_grow_with_the_batch_and_params_do_not(net: Net) -> None:
    one, four = (analyze(net.model, net.input, batch=n).totals for n in (1, 4))
    assert four.macs == 4 * one.macs
    assert four.activation_bytes == 4 * one.activation_bytes
    assert four.params == one.params


# Defects of other tools, each with the true figure


def test_depthwise_backward_is_twice_forward() -> None:
    # torch's FlopCounterMode ignores the groups: 1,216,512 FLOPs instead of 73,728
    net = nn.Sequential(nn.Identity(), nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False))
    x = torch.empty(1, 32, 8, 8, requires_grad=True)
    totals = analyze(nn.Sequential(nn.Conv2d(32, 32, 1, bias=False), net), x, mode="training").totals
    depthwise = 8 * 8 * 32 * 9
    assert totals.macs - 8 * 8 * 32 * 32 == depthwise == 18_432
    assert totals.backward_macs - 8 * 8 * 32 * 32 == 2 * depthwise
    assert 2 * 2 * depthwise == 73_728


def test_transposed_convolution_works_from_its_input() -> None:
    # torchinfo, torchprofile and thop are 4 times over at stride 2
    table = analyze(nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False), "8x5x5", mode="training")
    assert table.totals.macs == 5 * 5 * 8 * (2 * 2 * 4)
    assert table.layers[0].output_shape == (1, 4, 10, 10)
    assert table.totals.backward_macs == table.totals.macs  # the input needs no gradient


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(10, 10, bias=False)
        self.second = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


def test_a_shared_module_is_two_rows_with_its_params_once() -> None:
    # of 200 MACs thop makes 800, ptflops 400, calflops 400
    table = analyze(Shared(), "10", mode="training")
    rows = [layer for layer in table.layers if layer.kind == "Linear"]
    assert [(row.path, row.call, row.params, row.macs) for row in rows] == [
        ("first", 1, 100, 100),
        ("first", 2, 0, 100),
    ]
    assert table.totals.macs == 200
    # each call's backward is its own: the first has no gradient of the input
    assert [row.backward_macs for row in rows] == [100, 200]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 50, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(x))


def test_tied_weights_count_once() -> None:
    table = analyze(Tied(), "5:int64")
    assert (table.totals.params, table.totals.param_bytes) == (400, 1600)
    assert by_path(table)["head"].params == 0
    assert table.totals.macs == 5 * 8 * 50  # the embedding is a look-up


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 3, 3, 3))
        self.dense = nn.Parameter(torch.zeros(4, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.conv2d(x, self.weight), inplace=True)
        return F.linear(x.mean((2, 3)), self.dense)


def test_functional_calls_are_counted_and_parameters_outside_layers_too() -> None:
    # F.conv2d is 0 for ptflops and torchinfo
    table = analyze(Functional(), "3x8x8")
    assert table.totals.params == 6 * 27 + 24
    assert table.totals.macs == 36 * 6 * 27 + 24
    assert table.totals.conv_activations == 36 * 6
    assert table.totals.activation_bytes == 4 * (36 * 6 + 6 + 4)


def test_attention_is_not_zero() -> None:
    # torchinfo: 0; fvcore: 0; FlopCounterMode on CPU: 0
    table = analyze(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), "10x16", mode="training")
    projections, scores, feedforward = 10 * 16 * (48 + 16), 2 * 10 * 10 * 16, 2 * 10 * 16 * 32
    assert table.totals.macs == projections + scores + feedforward
    assert by_path(table)["self_attn"].params == 16 * 48 + 48 + 16 * 16 + 16


def test_lstm_is_not_zero() -> None:
    # FlopCounterMode on CPU: 0; fvcore: 0
    table = analyze(nn.LSTM(5, 7, batch_first=True), "9x5")
    assert table.totals.macs == 9 * 4 * 7 * (5 + 7)
    assert (table.totals.params, table.totals.biases) == (4 * 7 * (5 + 7 + 2), 4 * 7 * 2)


def test_relu_has_no_macs_and_batch_scales() -> None:
    # ptflops counts nn.ReLU twice and halves batch 2
    table = analyze(nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU()), "4", batch=2)
    assert table.totals.macs == 32
    full = analyze(nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU()), "4", batch=2, convention="full")
    assert full.totals.flops == 64 + 8


class Recursive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3, bias=False)

    def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
        x = self.layer(x)
        return self(x, depth - 1) if depth else x


def test_recursion_loses_no_work() -> None:
    assert analyze(Recursive(), "3").totals.macs == 27


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 6, bias=False), nn.ReLU(), nn.Linear(6, 6, bias=False))
        self.head = nn.Linear(6, 6, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.body, self.head(x), use_reentrant=False)


def test_recomputation_is_backward_work_of_its_own_layer() -> None:
    table = analyze(Checkpointed(), "6", mode="training")
    layers = by_path(table)
    assert table.totals.macs == 3 * 36
    assert layers["body.0"].backward_macs == 3 * 36  # two gradients and the forward again
    assert layers["head"].backward_macs == 36


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.aux = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


def test_parameters_that_never_ran_are_counted_and_named() -> None:
    table = analyze(Unused(), "3")
    row = by_path(table)["aux.0"]
    assert (row.params, row.macs, row.kind) == (20, 0, "(not called)")
    assert table.totals.params == 32


def test_frozen_layers_have_no_weight_gradient() -> None:
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    net[0].requires_grad_(False)
    totals = analyze(net, "4", mode="training").totals
    assert (totals.trainable, totals.backward_macs) == (16, 16)


class WithBuffer(nn.Module):
    """CPU index tensors and plain attributes meet meta tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.index = torch.arange(3)
        self.scale = torch.ones(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.index] * self.scale + torch.arange(3)


def test_real_tensors_that_meet_meta_ones_are_moved_over() -> None:
    assert analyze(WithBuffer(), "5").layers[0].output_shape == (1, 3)


def test_inference_mode_inside_the_model_is_counted() -> None:
    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 5)

        @torch.inference_mode()
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) @ torch.empty(5, 2, device="meta")

    assert analyze(Inside(), "3x4").totals.macs == 3 * (20 + 10)


# The model is left as it was


class Restless(nn.Module):
    """Changes itself in every way a forward can."""

    def __init__(self, fail: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(1))
        self.fail, self.calls = fail, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen = self.seen + 1
        self.extra = torch.rand(2)
        self.conv.register_forward_hook(lambda *_: None)
        x = self.drop(self.norm(self.conv(x)))
        random.random()
        if self.fail:
            raise KeyError("no")
        return x.flatten(1)


def fingerprint(model: nn.Module) -> Any:
    def of(tensor: torch.Tensor | None) -> Any:
        return None if tensor is None else (id(tensor), tensor.device, tensor._version, tensor.sum().item())

    return [
        (
            path, module.training, sorted(module.__dict__), len(module._forward_hooks), len(module._forward_pre_hooks),
            getattr(module, "calls", 0),
            [(name, of(p), of(p.grad), p.requires_grad) for name, p in module._parameters.items() if p is not None],
            [(name, of(b)) for name, b in module._buffers.items()],
        )
        for path, module in model.named_modules()
    ]  # fmt: skip


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("was_training", [False, True])
def test_the_model_is_left_exactly_as_it_was(fail: bool, mode: str, was_training: bool) -> None:
    model = Restless(fail).train(was_training)
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    before, states = fingerprint(model), (torch.get_rng_state(), random.getstate())
    enabled, hooks = torch.is_grad_enabled(), _global_hooks()
    try:
        analyze(model, "3x8x8", mode=mode)
    except VggcostError as error:
        assert fail
        assert "KeyError" in str(error)
    assert fingerprint(model) == before
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (torch.is_grad_enabled(), _global_hooks()) == (enabled, hooks)
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    if not fail:  # and it still runs on real data
        assert model.train()(torch.rand(2, 3, 8, 8)).shape == (2, 144)


def _global_hooks() -> int:
    module = torch.nn.modules.module
    return len(module._global_forward_hooks) + len(module._global_forward_pre_hooks)


def test_a_compiled_model_still_compiles_afterwards() -> None:
    inner = nn.Linear(3, 3)
    table = analyze(torch.compile(inner, backend="eager"), "3")
    assert table.totals.macs == 9
    assert table.run.model == "Linear"


# Mistakes of a model


@pytest.mark.parametrize(
    ("model", "inputs", "says"),
    [
        (lambda: nn.Conv2d(3, 4, 3), "1x8x8", "takes 3 channels, got 1"),
        (lambda: nn.Conv2d(3, 4, 9), "3x8x8", "the map vanishes"),
        (lambda: nn.Sequential(nn.MaxPool2d(3)), "3x2x2", "the map vanishes at 0 (a 3×3 window on 2×2)"),
        (lambda: nn.Linear(3, 4), "5", "takes 3 values, got 5"),
        (lambda: nn.Linear(3, 4), None, "does not say what input it takes"),
        (lambda: nn.Linear(3, 4), "3:int64", "takes float32, got int64; give input as float32, such as -i 3:float32"),
    ],
)
def test_what_does_not_fit_is_named(model: Callable[[], nn.Module], inputs: str | None, says: str) -> None:
    with pytest.raises(VggcostError) as caught:
        analyze(model(), inputs)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_of_ours_is_no_mistake_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.CALLS.clear()  # or the layer may be known, and nothing is asked
    monkeypatch.setattr("vggcost.trace.paths.is_frozen", None)
    with pytest.raises(TypeError):
        analyze(nn.Linear(3, 3), "3")


@pytest.mark.parametrize(
    "inputs", [torch.zeros(2, 4), (torch.zeros(2, 4),), {"input": torch.zeros(2, 4)}], ids=["tensor", "tuple", "dict"]
)
def test_inputs_can_be_tensors(inputs: Any) -> None:
    table = analyze(nn.Linear(4, 3), inputs)
    assert (table.run.batch, table.totals.macs) == (2, 24)


def test_unknown_ops_are_said_aloud() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.qr(x).Q

    table = analyze(Odd(), "4x4")
    assert [op for op, _ in table.coverage.unknown] == ["aten.linalg_qr"]


def test_second_opinion_of_fvcore_on_real_tensors() -> None:
    from fvcore.nn import FlopCountAnalysis

    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, groups=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.Flatten(),
        nn.Linear(8 * 121, 5),
    )
    counted = FlopCountAnalysis(net, torch.zeros(2, 3, 28, 28)).unsupported_ops_warnings(False)
    assert analyze(net, "3x28x28", batch=2).totals.macs == counted.total()


class Repeated(nn.Module):
    def __init__(self, layer: nn.Module, calls: int) -> None:
        super().__init__()
        self.layer, self.calls = layer, calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.calls):
            x = self.layer(x)
        return x.flatten(1)


@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 2]), st.booleans())
def test_a_module_called_often_is_a_row_each_time(calls: int, width: int, groups: int, bias: bool) -> None:
    channels = 2 * width
    layer = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=bias)
    table = analyze(Repeated(layer, calls), f"{channels}x5x5", mode="training")
    rows = [row for row in table.layers if row.path == "layer"]
    weights, once = 9 * channels * channels // groups, 25 * channels * 9 * channels // groups
    assert [row.params for row in rows] == [weights + bias * channels] + [0] * (calls - 1)
    assert [row.macs for row in rows] == [once] * calls
    assert [row.backward_macs for row in rows] == [once] + [2 * once] * (calls - 1)


def test_full_convention_on_paper() -> None:
    totals = analyze("vgg16", convention="full").totals
    conv, hidden = 13_547_520, 2 * 4096
    biases, relus = conv + hidden + 1000, conv + hidden
    pools = 3 * (802_816 + 401_408 + 200_704 + 100_352 + 25_088)  # 2·2 - 1 comparisons an output
    assert totals.flops == 2 * totals.macs + biases + relus + pools + 5 * 1000
    # the backward pass prices one addition per element of each bias gradient, and so on
    assert analyze("vgg16", convention="full", mode="training").totals.backward_flops > 2 * 30_853_824_512


def test_in_place_changes_of_shape_are_free() -> None:
    class Reshaped(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + 1).unsqueeze_(0).transpose_(0, 1).squeeze_(1).as_strided_((2, 2), (2, 1))

    for convention in ("torch", "full"):
        assert analyze(Reshaped(), "4", convention=convention).coverage.unknown == ()
