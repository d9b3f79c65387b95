"""Weights that are kept packed: by torch.ao, in subclasses of tensors, several to a byte."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.ao import quantization
from torch.nn.utils.rnn import pack_padded_sequence

from vggcost import analyze, memory

pytestmark = pytest.mark.filterwarnings("ignore")
HALF = torch.float16
EMBEDDING = quantization.float_qparams_weight_only_qconfig
FOUR_BITS = quantization.float_qparams_weight_only_qconfig_4bit


class First(nn.Module):
    """A recurrent layer by its outputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> torch.Tensor:
        out = self.layer(x)
        return out[0] if isinstance(out, tuple) else out


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10, bias=False))


def packed(model: nn.Module, *kinds: Any, dtype: torch.dtype = torch.qint8) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantization.quantize_dynamic(model, kinds[0] if isinstance(kinds[0], dict) else set(kinds), dtype=dtype)


def figures(table: Any) -> list[tuple[Any, ...]]:
    return [(row.path, row.params, row.weights, row.biases, row.macs, row.output_shape) for row in table.layers]


CASES = {
    "linear": (linear, nn.Linear, "64"),
    "tokens": (lambda: nn.Sequential(nn.Linear(64, 10)), nn.Linear, "7x64"),
    "lstm": (lambda: First(nn.LSTM(16, 32, 2, bidirectional=True)), nn.LSTM, "3x16"),
    "lstm batch first": (lambda: First(nn.LSTM(16, 32, batch_first=True)), nn.LSTM, "3x16"),
    "gru": (lambda: First(nn.GRU(16, 32, 2, bidirectional=True)), nn.GRU, "3x16"),
    "lstm cell": (lambda: First(nn.LSTMCell(16, 32)), nn.LSTMCell, "16"),
    "gru cell": (lambda: First(nn.GRUCell(16, 32)), nn.GRUCell, "16"),
    "rnn cell": (lambda: First(nn.RNNCell(16, 32)), nn.RNNCell, "16"),
}  # fmt: skip


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("case", CASES)
def test_layers_with_packed_weights_cost_what_they_did(case: str, batch: int) -> None:
    make, kind, inputs = CASES[case]
    model = make()
    small = packed(model, kind)
    before = analyze(model, inputs, batch=batch)
    first, again = (analyze(small, inputs, batch=batch) for _ in range(2))
    assert figures(first) == figures(again)
    assert [row[1:] for row in figures(first)] == [row[1:] for row in figures(before)]
    assert first.totals.params == sum(p.numel() for p in model.parameters())
    assert first.totals.macs == before.totals.macs
    assert first.weight_layers == (
        1 if case.startswith(("lstm", "gru", "rnn")) else before.weight_layers
    )  # an op for all steps
    assert first.coverage.unknown == ()
    assert "packed" in first.run.note
    assert not first.totals.trainable
    matrices = [p for p in model.parameters() if p.dim() == 2]
    biases = [p for p in model.parameters() if p.dim() == 1]
    each = sum(p.numel() + 4 + 4 for p in matrices) + sum(4 * p.numel() for p in biases)
    assert first.totals.param_bytes == again.totals.param_bytes == each


def test_what_is_packed_runs_afterwards_as_before() -> None:
    model, x = packed(linear(), nn.Linear), torch.rand(3, 64)
    before, state = model(x), model.state_dict().keys()
    analyze(model, "64")
    assert torch.equal(model(x), before)
    assert model.state_dict().keys() == state
    real = analyze(model, x, fallback="cpu")
    assert real.totals.macs == 3 * (64 * 128 + 128 * 10)
    assert real.totals.params == 64 * 128 + 128 + 1280


@pytest.mark.parametrize(("kind", "make"), [(nn.Linear, linear), (nn.LSTM, lambda: First(nn.LSTM(64, 8)))])
def test_half_precision(kind: Any, make: Any) -> None:
    model = make()
    table = analyze(packed(model, kind, dtype=HALF), "64" if kind is nn.Linear else "3x64", batch=2)
    assert table.totals.macs == analyze(model, "64" if kind is nn.Linear else "3x64", batch=2).totals.macs
    sizes = [(2 if p.dim() == 2 else 4) * p.numel() for p in model.parameters()]
    assert (table.totals.params, table.totals.param_bytes) == (sum(p.numel() for p in model.parameters()), sum(sizes))


def test_packed_sequences() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(8, 16, batch_first=True)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.layer(pack_padded_sequence(x, lengths, batch_first=True))[0].data
            return made

    given = (torch.zeros(3, 6, 8), torch.tensor([6, 3, 2]))
    table = analyze(packed(Net(), nn.LSTM), given)
    assert table.totals.macs == 11 * 4 * 16 * (8 + 16) == analyze(Net(), given).totals.macs


def test_embeddings() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag, self.one = nn.EmbeddingBag(100, 16, mode="sum"), nn.Embedding(50, 16)

        def forward(self, x: torch.Tensor) -> Any:
            return self.bag(x), self.one(x)

    for config, row in ((EMBEDDING, 16 + 8), (FOUR_BITS, 8 + 4)):
        small = packed(Net(), {nn.EmbeddingBag: config, nn.Embedding: config})
        table = analyze(small, torch.zeros(4, 6, dtype=torch.int64))
        assert (table.totals.params, table.totals.param_bytes) == (150 * 16, 150 * row)
        assert [row.output_shape for row in table.layers] == [(4, 16), (4, 6, 16)]
        assert table.coverage.unknown == ()


def test_a_layer_that_is_used_twice_has_its_weights_once() -> None:
    layer = packed(nn.Sequential(nn.Linear(8, 8)), nn.Linear)[0]
    table = analyze(nn.Sequential(layer, nn.ReLU(), layer), "8")
    assert (table.totals.params, table.totals.macs) == (72, 128)


def test_convolutions_on_the_grid() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start, self.end = quantization.QuantStub(), quantization.DeQuantStub()
            self.conv, self.relu = nn.Conv2d(4, 8, 3, groups=2), nn.ReLU()
            self.last = nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.relu(self.conv(self.start(x))).mean((2, 3))
            out: torch.Tensor = self.end(self.last(x))
            return out

    model = Net().eval()
    model.qconfig = quantization.get_default_qconfig("fbgemm")  # type: ignore[assignment]
    ready = quantization.prepare(quantization.fuse_modules(copy.deepcopy(model), ["conv", "relu"]))
    x = torch.rand(2, 4, 16, 16)
    ready(x)
    table = analyze(quantization.convert(ready), x, fallback="cpu")
    assert table.totals.macs == analyze(model, x).totals.macs == 2 * 14 * 14 * 8 * 9 * 2 + 2 * 40
    assert table.totals.params == 8 * 18 + 8 + 45
    assert table.totals.param_bytes == (144 + 8 * 8 + 8 * 4) + (40 + 5 * 8 + 5 * 4)


def test_packed_weights_are_in_memory_of_the_run() -> None:
    from vggcost._analyze import Said, traced

    trace = traced(packed(linear(), nn.Linear), "64", Said()).trace
    held = {storage.name: storage.nbytes for storage in trace.storages if storage.role == "param"}
    assert held == {"0._packed_params.weight": 8192 + 8, "0._packed_params.bias": 512, "2._packed_params.weight": 1288}
    with pytest.raises(Exception, match="nothing is left to train"):
        memory(packed(linear(), nn.Linear), "64")


# Subclasses of tensors


class Eighths(torch.Tensor):
    """Numbers of eight bits and a scale, which convert themselves for each op."""

    numbers: torch.Tensor
    scale: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor, scale: torch.Tensor) -> Eighths:
        made: Eighths = torch.Tensor._make_wrapper_subclass(cls, numbers.shape, dtype=scale.dtype)  # type: ignore[attr-defined]
        made.numbers, made.scale = numbers, scale
        return made

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["numbers", "scale"], None

    @classmethod
    def __tensor_unflatten__(cls, inner: Any, context: Any, size: Any, stride: Any) -> Eighths:
        return cls(inner["numbers"], inner["scale"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.detach.default, torch.ops.aten.clone.default):
            return cls(args[0].numbers, args[0].scale)
        plain = [t.numbers * t.scale if isinstance(t, Eighths) else t for t in args]
        return func(*plain, **(kwargs or {}))


def eighths(layer: nn.Linear) -> nn.Linear:
    weight = layer.weight.detach()
    scale = weight.abs().amax(1, keepdim=True) / 127
    layer.weight = nn.Parameter(Eighths((weight / scale).round().to(torch.int8), scale), requires_grad=False)
    return layer


@pytest.mark.parametrize("dtype", ["", "float16"])
def test_a_wrapper_has_its_logical_shape_and_the_bytes_inside(dtype: str) -> None:
    model = nn.Sequential(eighths(nn.Linear(64, 32, bias=False)), nn.ReLU())
    weight = model[0].weight
    for _ in range(2):
        table = analyze(model, "64", batch=3, dtype=dtype)
        assert (table.totals.params, table.totals.macs) == (2048, 3 * 2048)
        assert table.totals.param_bytes == 2048 + 32 * 4
        assert table.run.param_dtypes == ("int8",)
        assert "Eighths" in table.run.note
    assert model[0].weight is weight
    assert model(torch.rand(2, 64)).shape == (2, 32)


def test_a_wrapper_of_wrappers_and_a_tied_one() -> None:
    one = eighths(nn.Linear(8, 8, bias=False))
    outer = nn.Linear(8, 8, bias=False)
    outer.weight = nn.Parameter(Eighths(one.weight.data, torch.ones(8, 1)), requires_grad=False)
    tied = nn.Linear(8, 8, bias=False)
    tied.weight = outer.weight
    table = analyze(nn.Sequential(outer, tied), "8")
    assert (table.totals.params, table.totals.param_bytes, table.totals.macs) == (64, 64 + 32 + 32, 128)


def test_a_wrapper_on_real_tensors() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = eighths(nn.Linear(16, 4, bias=False))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.layer(x)
            return made if made.sum().item() > 100 else -made

    table = analyze(Net(), "16", batch=2, fallback="cpu")
    assert (table.totals.params, table.totals.macs, table.totals.param_bytes) == (64, 128, 64 + 16)


def test_torchao() -> None:
    torchao = pytest.importorskip("torchao.quantization")
    configs = [
        (torchao.Int8WeightOnlyConfig(), 1), (torchao.Int8DynamicActivationInt8WeightConfig(), 1),
        (torchao.Float8WeightOnlyConfig(), 1), (torchao.IntxWeightOnlyConfig(), 1),
    ]  # fmt: skip
    for config, each in configs:
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
        torchao.quantize_(model, config)
        table = analyze(model, "64", batch=2)
        inside = [getattr(model[i].weight, name) for i in (0, 2) for name in model[i].weight.__tensor_flatten__()[0]]
        assert table.totals.params == sum(p.numel() for p in model.parameters()) == 12288 + 160
        assert table.totals.param_bytes == sum(t.nbytes for t in inside if t is not None) + 4 * 160
        assert 12288 * each < table.totals.param_bytes < 12288 * each + 160 * 16
        assert table.totals.macs == 2 * 12288


# Several numbers to a byte


class State:
    """What a library knows of a weight that it has packed."""

    def __init__(self, shape: torch.Size, scales: torch.Tensor, inner: State | None = None) -> None:
        self.shape, self.absmax, self.state2, self.code = shape, scales, inner, torch.arange(16.0)


class Packed4(nn.Parameter):
    """Two numbers to a byte, in one column."""

    quant_state: State | None


class Linear4(nn.Module):
    def __init__(self, inputs: int, outputs: int, told: bool = True) -> None:
        super().__init__()
        count = inputs * outputs
        self.inputs, self.outputs = inputs, outputs
        self.weight = Packed4(torch.zeros(count // 2, 1, dtype=torch.uint8), requires_grad=False)
        self.weight.quant_state = State(torch.Size((outputs, inputs)), torch.ones(count // 64)) if told else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = torch.stack((self.weight >> 4, self.weight & 15), -1).flatten()
        state = self.weight.quant_state
        if state is None:
            return nn.functional.linear(x, both.reshape(self.outputs, self.inputs).to(x.dtype))
        blocks = state.code[both.long()].reshape(-1, 64) * state.absmax[:, None]
        return nn.functional.linear(x, blocks.reshape(state.shape).to(x.dtype))


def test_weights_of_four_bits_whose_shape_is_known() -> None:
    layer = Linear4(64, 32)
    state = layer.weight.quant_state
    for _ in range(2):
        table = analyze(nn.Sequential(layer), "64", batch=3)
        assert (table.totals.params, table.totals.macs) == (2048, 3 * 2048)
        assert table.totals.param_bytes == 1024 + 32 * 4 + 16 * 4
        assert "several to a byte" in table.run.note
    assert layer.weight.quant_state is state


def test_weights_of_four_bits_whose_shape_is_not_known() -> None:
    table = analyze(nn.Sequential(Linear4(64, 32, told=False)), "64")
    assert (table.totals.params, table.totals.param_bytes, table.totals.macs) == (1024, 1024, 2048)
    assert "params of uint8 are counted as they are stored" in table.run.note


def test_an_attribute_that_tells_another_shape_is_not_taken_for_that_of_the_weight() -> None:
    model = nn.Sequential(nn.Linear(8, 4))
    model[0].weight.state = State(torch.Size((3, 5)), torch.ones(3))  # type: ignore[attr-defined]
    table = analyze(model, "8")
    assert (table.totals.params, table.totals.param_bytes) == (36, 144)
    assert table.run.note == ""
