"""What the user hands over controls the run: values keep theirs on meta, in the fallback, in texts, JSON and markers."""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import func, nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import command
from vggcost import VggcostError, analyze, memory
from vggcost._memory import fit
from vggcost.errors import TraceError
from vggcost.load import parse_inputs, read_inputs, read_json, with_batch
from vggcost.records import Arguments, GivenRecord, InputRecord
from vggcost.report import render
from vggcost.trace import run as running

T = torch.tensor
LENGTHS = T([1, 2, 0, 3, 2])
MODES = ("inference", "training")


class Net(nn.Module):
    """A layer that a function of the test calls as often as the values say."""

    def __init__(self, forward: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.run = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self, *args, **kwargs)


def times(net: Net, x: torch.Tensor, n: Any) -> torch.Tensor:
    for _ in range(int(n)):
        x = net.layer(x)
    return x


def counted(net: nn.Module, *args: Any) -> int:
    """MACs of a real run."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(*args)
    return int(counter.get_total_flops()) // 2


def without_floats(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.to("meta") if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args)


# The figures


class Read(nn.Module):
    """Cannot run on meta: it looks at the numbers of a tensor that nobody has."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *args: Any) -> Any:
        made = self.net(*args)
        return made * float(made.sum() >= 0)


class Pool(nn.Module):
    """Nodes of several graphs: a layer, a sum over each graph, a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor, graph: torch.Tensor) -> torch.Tensor:
        x = self.before(x)
        return self.after(x.new_zeros(int(graph.max()) + 1, 32).index_add_(0, graph, x))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrap", [lambda net: net, Read])
def test_counts_follow_the_values(mode: str, wrap: Callable[[nn.Module], nn.Module]) -> None:
    """50·16·32 + 5·32·4 = 26,240, not 25,728, which is one graph; 3·64 = 192, not none."""
    where = "" if wrap is not Read else "cpu"
    pooled = (torch.zeros(50, 16), torch.arange(5).repeat_interleave(10))
    for net, inputs, macs in ((Pool(), pooled, 26_240), (Net(times), (torch.zeros(1, 8), T(3)), 192)):
        table = analyze(wrap(net), inputs, mode=mode, fallback=where)
        assert (table.totals.macs, table.run.device) == (macs, where or "meta")
        assert "with the values given of input0, input1" in table.run.note


def test_a_large_input_is_real_in_the_fallback_alone() -> None:
    """Each of its values is used as it is: of 8,192 numbers 100 are above a half, which selects 100 rows."""

    def chosen(net: Net, x: torch.Tensor) -> torch.Tensor:
        rows = x[x[:, 0] > 0.5]
        return net.layer(rows) * float(rows.sum() > 0)

    x = torch.zeros(1024, 8)
    x[:100] = 1
    with pytest.raises(TraceError, match=r"aten\.item"):
        analyze(Net(chosen), x)
    assert analyze(Net(chosen), x, fallback="cpu").totals.macs == 100 * 64


def test_without_the_rule_the_figures_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GivenRecord, "is_kept", False)
    with pytest.raises(TraceError, match=r"aten\.item"):
        analyze(Net(times), (torch.zeros(1, 8), T(3)))
    monkeypatch.setattr(running, "_filled", lambda record, dtype: torch.zeros(record.shape, dtype=dtype))
    assert analyze(Read(Net(times)), (torch.zeros(1, 8), T(3)), fallback="cpu").totals.macs == 0


# What is computed of values stays known


def packed(net: Net, x: torch.Tensor, lengths: Any) -> torch.Tensor:
    made, _ = net.lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    out, longest = pad_packed_sequence(made, batch_first=True)
    return net.layer(out[:, : int(longest.max())])


def scattered(net: Net, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    sums = torch.zeros(int(n.max()) + 1, 8, device=x.device)
    return net.layer(sums.scatter_add_(0, n[:, None].expand(-1, 8), net.layer(x)))


def filled_mask(net: Net, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    mask = torch.zeros(5, dtype=torch.bool, device=x.device)
    mask[n] = True
    return net.layer(x[mask])


def in_steps(net: Net, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    left = n.max()
    while left > 0:
        x = net.layer(x)
        left -= 1
    return x


def each(net: Net, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    for length in n:
        x = net.layer(x[: max(1, length)])
    return x


ON_THE_HOST: dict[str, Callable[..., Any]] = {
    "tolist": lambda net, x, n: times(net, x, sum(n.tolist())),
    "views": lambda net, x, n: times(net, x, n.view(-1, 1)[1:3].flatten()[0].item()),
    "comparisons": lambda net, x, n: net.layer(x[(n >= 2) & (n != 3)]),
    "devices": lambda net, x, n: net.layer(x[n.to(x.device)]),
    "types": lambda net, x, n: times(net, x, n.to(x.device, torch.float32).sum()),
    "stacking": lambda net, x, n: times(net, x, torch.stack([n, n + 1]).max()),
    "concatenation": lambda net, x, n: times(net, x, torch.cat([n, n]).sum()),
    "masked_fill": lambda net, x, n: times(net, x, n.masked_fill(n > 2, 0).sum()),
    "repeat_interleave": lambda net, x, n: net.layer(x.repeat_interleave(n, 0)),
    "nonzero": lambda net, x, n: net.layer(x[(n > 1).nonzero().squeeze(1)]),
    "where": lambda net, x, n: net.layer(x[torch.where(n == 2)]),
    "bincount": lambda net, x, n: net.layer(x[: len(torch.bincount(n))]),
    "cumsum": lambda net, x, n: net.layer(x[: int(n.cumsum(0)[2])]),
    "unique": lambda net, x, n: net.layer(x[: torch.unique(n).numel()]),
    "split": lambda net, x, n: torch.cat([net.layer(part) for part in x.split([*n[:2].tolist(), 2])]),
    "a mask of lengths": lambda net, x, n: net.layer(
        x[(torch.arange(5, device=x.device) < n[:, None].to(x.device))[0]]
    ),
    "a mask that is filled": filled_mask,
    "scatter": scattered,
    "sort": lambda net, x, n: net.layer(x[n.argsort()][: n.sort(descending=True)[0][0]]),
    "numpy": lambda net, x, n: net.layer(x[: int(n.cpu().numpy().max())]),
    "a loop over a tensor": each,
    "a loop of range": lambda net, x, n: times(net, x, len(range(n[3]))),
    "slices": lambda net, x, n: net.layer(x[n[0] : n[3]]),
    "a while loop": in_steps,
    "in": lambda net, x, n: net.layer(x) if 3 in n else x,
    "equal": lambda net, x, n: net.layer(x) if torch.equal(n.sort()[0].sort()[0], n.sort()[0]) else x,
    "any and all": lambda net, x, n: net.layer(x) if (n == 3).any() and not (n > 0).all() else x,
    "pad": lambda net, x, n: net.layer(F.pad(x, (0, 0, 0, int(n[0])))),
    "one_hot": lambda net, x, n: net.layer(x[:, : F.one_hot(n).shape[1]] @ torch.ones(4, 8, device=x.device)),
    "item": lambda net, x, n: times(net, x, (n.float().mean() * 5).round().item()),
}


@pytest.mark.parametrize("how", ON_THE_HOST)
def test_what_the_host_computes_of_them_stays_known(how: str) -> None:
    inputs = (torch.randn(5, 8), LENGTHS)
    net = Net(ON_THE_HOST[how])
    macs = counted(net, *inputs)
    assert macs > 0
    for given in (inputs, without_floats(inputs)):
        for mode in MODES:
            assert analyze(net, given, mode=mode).totals.macs == macs
        assert memory(net, given).totals.forward_macs == macs


@pytest.mark.parametrize("lengths", [T([3, 6, 2]), [3, 6, 2]])
def test_packed_lengths(lengths: Any) -> None:
    """3 + 6 + 2 steps of 2·4·8·8 in the LSTM, then 3·6 of 8·8."""
    for x in (torch.randn(3, 6, 8), torch.empty(3, 6, 8, device="meta")):
        for mode in MODES:
            assert analyze(Net(packed), (x, lengths), mode=mode).totals.macs == 11 * 512 + 18 * 64


# Values beside data


class Written(nn.Module):
    """A buffer that the model makes of zeros, on no device or on that of the ids, and writes what it computes into."""

    def __init__(self, write: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.embed, self.layer, self.write = nn.Embedding(9, 8), nn.Linear(8, 8), write

    def forward(self, ids: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        x = self.embed(ids)
        out = torch.zeros(4, *x.shape, device=ids.device if like is None else like.device)
        self.write(out, self.layer(x))
        return self.layer(out).sum(0)


@pytest.mark.parametrize(
    "write",
    [
        lambda out, y: out.__setitem__(1, y),
        lambda out, y: out[1].add_(y),
        lambda out, y: out[1].copy_(y),
        lambda out, y: out.copy_(y),
        lambda out, y: out.view(-1, 8).__setitem__(slice(0, 6), y.view(6, 8)),
        lambda out, y: out.index_copy_(0, T([1]), y[None]),
        lambda out, y: [out[0].__setitem__((slice(None), 0), y[:, 0]), out[1].__setitem__((slice(None), 1), y[:, 1])],
    ],
)
def test_what_is_written_into_loses_its_values(write: Any) -> None:
    """2·3·64 in the layer's first call, 4 times that in its second; backward twice, but for the ids."""
    ids = torch.zeros(2, 3, dtype=torch.int64)
    for inputs in ((ids,), (ids.to("meta"), torch.zeros(1)), "tokens:2x3"):
        table = analyze(Written(write), inputs, mode="training")
        assert (table.totals.macs, table.totals.backward_macs) == (5 * 384, 2 * 5 * 384)
        assert memory(Written(write), inputs).totals.forward_macs == 5 * 384


def test_what_is_differentiated_by_loses_its_values() -> None:
    def force(net: Net, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x.requires_grad_()
            return torch.autograd.grad(net.layer(x).sum(), x, create_graph=True)[0]

    def by_attribute(net: Net, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x.requires_grad = True
            return torch.autograd.grad(net.layer(x).sum(), x)[0] + net.layer.weight[0]

    for forward in (force, by_attribute):
        assert analyze(Net(forward), torch.zeros(2, 8)).totals == analyze(Net(forward), "8", batch=2).totals


TRANSFORMS: list[Callable[..., Any]] = [
    lambda net, x: func.grad(lambda y: net.layer(y).sum())(x),
    lambda net, x: func.vmap(func.grad(lambda y: net.layer(y).sum()))(x),
    lambda net, x: func.grad(lambda y: func.vmap(net.layer)(y).sum())(x),
    lambda net, x: func.hessian(lambda y: net.layer(y).tanh().sum())(x[0]),
    lambda net, x: func.vjp(net.layer, x)[1](torch.ones_like(x))[0],
    lambda net, x: func.jvp(net.layer, (x,), (torch.ones_like(x),))[1],
]


@pytest.mark.parametrize("forward", TRANSFORMS)
@pytest.mark.parametrize("mode", MODES)
def test_transforms_cost_the_same_with_values_and_without(forward: Callable[..., Any], mode: str) -> None:
    x = torch.zeros(3, 8)
    assert analyze(Net(forward), x, mode=mode).totals == analyze(Net(forward), (x.to("meta"),), mode=mode).totals


X2, X3, X4 = torch.randn(3, 8), torch.randn(2, 4, 8), torch.randn(2, 4, 6, 6)
LAYERS: list[tuple[nn.Module, tuple[torch.Tensor, ...]]] = [
    (nn.Linear(8, 4), (X2,)), (nn.Conv2d(4, 8, 3), (X4,)), (nn.ConvTranspose2d(4, 8, 3), (X4,)),
    (nn.BatchNorm2d(4), (X4,)), (nn.LayerNorm(8), (X2,)), (nn.RMSNorm(8), (X2,)), (nn.GroupNorm(2, 4), (X4,)),
    (nn.LSTM(8, 5), (X3,)), (nn.GRU(8, 5), (X3,)), (nn.RNN(8, 5), (X3,)), (nn.LSTMCell(8, 5), (X2,)),
    (nn.LSTM(8, 5, bidirectional=True, batch_first=True), (X3,)),
    (nn.MultiheadAttention(8, 2, batch_first=True), (X3, X3, X3)),
    (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (X3,)), (nn.Transformer(8, 2, 1, 1, 16, batch_first=True), (X3, X3)),
    (nn.MaxPool2d(2), (X4,)), (nn.AdaptiveAvgPool2d(2), (X4,)), (nn.Upsample(scale_factor=2, mode="bilinear"), (X4,)),
    (nn.Softmax(-1), (X2,)), (nn.GELU(), (X2,)), (nn.SiLU(), (X2,)), (nn.Mish(), (X2,)), (nn.Dropout(), (X2,)),
    (nn.Bilinear(8, 8, 3), (X2, X2)), (nn.CosineSimilarity(), (X2, X2)),
    (nn.Embedding(9, 4), (torch.randint(0, 9, (2, 5)),)), (nn.CrossEntropyLoss(), (X2, T([1, 2, 3]))),
    (nn.EmbeddingBag(9, 4), (torch.randint(0, 9, (6,)), T([0, 3]))), (nn.MSELoss(), (X2, X2)),
    (Net(lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v)), (X4, X4, X4)),
    (Net(lambda net, a, b: a @ b.mT), (X2, X2)), (Net(lambda net, a: torch.fft.rfft2(a)), (X4,)),
    (Net(lambda net, a: F.conv2d(a, a[:, :, :3, :3])), (X4,)), (Net(lambda net, a: torch.cdist(a, a)), (X2,)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "inputs"), LAYERS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("mode", MODES)
def test_a_layer_costs_the_same_with_values_and_without(
    layer: nn.Module, inputs: tuple[torch.Tensor, ...], mode: str
) -> None:
    def cost(given: tuple[torch.Tensor, ...]) -> Any:
        try:
            table = analyze(layer, given, mode=mode)
        except TraceError as error:
            assert "cannot be trained" in str(error)
            return str(error)
        return table.totals, table.layers, table.coverage, table.memory

    assert cost(inputs) == cost(tuple(t.to("meta") for t in inputs))


def test_values_are_as_given_in_every_step_and_pass() -> None:
    """A model may change what it is given; the user's tensor stays, and so does what each pass begins with."""

    def spent(net: Net, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        x = times(net, x, n)
        n.zero_()
        return x

    n = T(3)
    assert memory(Net(spent), (torch.zeros(1, 8), n), accumulate=4).totals.forward_macs == 4 * 192
    assert analyze(Net(spent), (torch.zeros(1, 8), n), saved=True).totals.macs == 192
    assert n == 3


def test_the_memory_of_what_has_a_stand_in_is_that_of_one_tensor() -> None:
    """Three numbers are made of the input, go into a product, and are freed: 96 + 24 bytes at the end, none twice."""

    def doubled(net: Net, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        return net.layer(y) + F.relu(y)

    def bytes_of(given: Any) -> Any:
        found = memory(Net(doubled), given)
        return found.totals, found.peak, found.timeline

    assert bytes_of(torch.zeros(3, 8)) == bytes_of((torch.zeros(3, 8, device="meta"),))


# Models of other people


def small_models() -> dict[str, tuple[Callable[[], nn.Module], dict[str, torch.Tensor]]]:
    transformers = pytest.importorskip("transformers")
    c = transformers
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    t5 = {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    gpt2 = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    tokens = {"bos_token_id": 1, "eos_token_id": 2}
    return {
        "bert": (lambda: c.BertModel(c.BertConfig(**sizes, intermediate_size=32)), {}),
        "gpt2": (lambda: c.GPT2LMHeadModel(c.GPT2Config(**gpt2, **tokens)), {}),
        "t5": (
            lambda: c.T5ForConditionalGeneration(c.T5Config(**t5, decoder_start_token_id=0)),
            {"decoder_input_ids": torch.randint(1, 50, (2, 5))},
        ),
        "llama": (lambda: c.LlamaForCausalLM(c.LlamaConfig(**sizes, intermediate_size=32)), {}),
    }


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "llama"])
@pytest.mark.parametrize("mode", MODES)
def test_an_attention_mask_of_ones_changes_nothing_and_one_of_padding_runs(name: str, mode: str) -> None:
    make, others = small_models()[name]
    net, ids = make(), torch.randint(1, 50, (2, 9))
    ones = torch.ones_like(ids)
    padded = ones.clone()
    padded[0, 6:] = 0
    plain = analyze(net, {"input_ids": ids, **others}, mode=mode).totals
    given = {"input_ids": ids, **others, "attention_mask": ones}
    assert analyze(net, given, mode=mode).totals.macs == plain.macs
    assert analyze(net, given, mode=mode).totals.backward_macs == plain.backward_macs
    for mask in (padded, padded.bool(), padded.float()):
        assert analyze(net, {**given, "attention_mask": mask}, mode=mode).totals.macs == plain.macs
    assert memory(net, {**given, "attention_mask": padded}).totals.forward_macs > 0


def test_a_cache_is_one_and_stays_as_it_was() -> None:
    """One token after seven: products with the weights, and attention over eight in each of two layers."""
    transformers = pytest.importorskip("transformers")
    net = small_models()["llama"][0]()
    cache, empty = transformers.DynamicCache(), transformers.DynamicCache()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its name changes
        net(torch.randint(0, 50, (1, 7)), past_key_values=cache)
    one, seven = torch.randint(0, 50, (1, 1)), torch.randint(0, 50, (1, 7))
    weights = analyze(net, {"input_ids": one, "use_cache": False}).totals.macs - 2 * 2 * 16 * 1
    table = analyze(net, {"input_ids": one, "past_key_values": cache})
    assert table.totals.macs == weights + 2 * 2 * 16 * 8
    assert [record.name for record in table.run.inputs][1] == "past_key_values.layers.0.keys"
    assert cache.get_seq_length() == 7
    assert analyze(net, {"input_ids": seven, "past_key_values": empty}).totals.macs > 0
    assert empty.get_seq_length() == 0


def test_an_output_of_transformers_stays_one() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")

    def head(net: Net, given: Any) -> torch.Tensor:
        assert type(given) is outputs.BaseModelOutput
        assert given.last_hidden_state is given["last_hidden_state"] is given[0]
        return net.layer(given.last_hidden_state)

    given = outputs.BaseModelOutput(last_hidden_state=torch.zeros(1, 7, 8))
    assert analyze(Net(head), (given,)).totals.macs == 7 * 64
    assert given.last_hidden_state.device.type == "cpu"


# What values are nested in


class Pair(NamedTuple):
    x: torch.Tensor
    n: torch.Tensor


@dataclass
class Fields:
    x: torch.Tensor
    n: torch.Tensor
    more: Any = None


@dataclass(frozen=True, slots=True)
class Fixed:
    x: torch.Tensor
    n: torch.Tensor


class Plain:
    def __init__(self, x: torch.Tensor, n: torch.Tensor) -> None:
        self.x, self.n, self.me = x, n, self


class Slots:
    __slots__ = ("x", "n")  # noqa: RUF023

    def __init__(self, x: torch.Tensor, n: torch.Tensor) -> None:
        self.x, self.n = x, n


class Taken(Net):
    """Takes one thing of a kind, and spoils it."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, given: Any) -> torch.Tensor:
        assert type(given) is self.kind
        mapped = isinstance(given, dict)
        assert not hasattr(given, "me") or given.me is given
        x = times(self, *((given["x"], given["n"]) if mapped else (given.x, given.n)))
        if mapped:
            given["x"] = None
        elif self.kind not in (Pair, Fixed):
            given.x = None
        return x


@pytest.mark.parametrize(
    "kind",
    [Pair, Fields, Fixed, Plain, Slots, SimpleNamespace, OrderedDict, dict, lambda **held: defaultdict(int, held)],
)
def test_containers_and_objects_stay_what_they_are(kind: Callable[..., Any]) -> None:
    """2·3·64 MACs; what the user has stays as it was."""
    x, n = torch.zeros(2, 8), T(3)
    given = kind(x=x, n=n)
    for inputs in ((given,), [given]) if isinstance(given, dict) else ((given,), given):
        table = analyze(Taken(type(given)), inputs, saved=True)
        assert table.totals.macs == 384
        assert [record.name for record in table.run.inputs] == ["input.x", "input.n"]
        assert memory(Taken(type(given)), inputs).totals.forward_macs == 384
    assert (given["x"] if isinstance(given, dict) else given.x) is x


def test_packed_sequences_and_queues() -> None:
    def of_packed(net: Net, given: Any) -> torch.Tensor:
        made, _ = net.lstm(given)
        return pad_packed_sequence(made, batch_first=True)[0]

    both = pack_sequence([torch.randn(4, 8), torch.randn(2, 8)])
    assert analyze(Net(of_packed), (both,)).totals.macs == 6 * 512
    assert memory(Net(of_packed), both).totals.forward_macs == 6 * 512

    def of_queue(net: Net, given: Any) -> torch.Tensor:
        return net.layer(given.pop()) if type(given) is deque else given

    queue = deque([torch.zeros(3, 8)], maxlen=4)
    assert (analyze(Net(of_queue), (queue,)).totals.macs, len(queue)) == (192, 1)


@pytest.mark.parametrize("inputs", [[{}], [], {}, (3,), [None], {"a": [1]}])
def test_a_model_may_take_no_tensor(inputs: Any) -> None:
    table = analyze(Net(lambda net, *args, **kwargs: net.layer(torch.zeros(2, 8))), inputs)
    assert table.totals.macs == 128
    for form in ("table", "html", "markdown", "latex", "csv"):
        render(table, form)
    assert "for no tensor" in render(table, "table")


# Texts, JSON, and what is varied


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("[5,3,2]", (3,), "int64"),
        ("n=[[true,false]]", (1, 2), "bool"),
        ("n = [0.5, 2]:float16", (2,), "float16"),
        ("n=[5,3]:uint8", (2,), "uint8"),
        ("n=[]", (0,), "float32"),
        ("value:3:int64", (), "int64"),
        ("n=value:true:bool", (), "bool"),
    ],
)
def test_values_as_a_text(text: str, shape: tuple[int, ...], dtype: str) -> None:
    (found,) = parse_inputs(text).records
    assert isinstance(found, GivenRecord)
    assert (found.shape, found.dtype) == (shape, dtype)


@pytest.mark.parametrize("value", [3, 2.5, True, None, "a=b:c", [1, "x"], {"a": [1]}])
def test_plain_values_as_a_text(value: Any) -> None:
    text = f"value:{json.dumps(value)}"
    assert parse_inputs(text) == Arguments((value,))
    assert parse_inputs(["8", f"n = {text}"], 4).kwargs == {"n": value}


def test_the_same_figure_from_every_place(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(8, 8)\n"
        "    def forward(self, x, n):\n"
        "        for _ in range(int(n)):\n"
        "            x = self.layer(x)\n"
        "        return x\n",
        encoding="utf-8",
    )
    (tmp_path / "in.json").write_text('[{"shape": [1, 8]}, {"values": 3}]', encoding="utf-8")
    (tmp_path / "vggcost.toml").write_text(
        '[[models]]\nname = "mine"\nsource = "./net.py:Net"\ninput = ["8", "n=[3]"]\n', encoding="utf-8"
    )
    for words in ("-i 8 -i [3]", "-i 8 -i n=value:3", "-i 8 -i n=value:3:int64", "--input-json in.json"):
        found = command("report", "./net.py:Net", *words.split(), "--format", "json", cwd=tmp_path)
        assert json.loads(found.stdout)["totals"]["macs"] == 192, found.stderr
        found = command("memory", "./net.py:Net", *words.split(), "--format", "json", cwd=tmp_path)
        assert json.loads(found.stdout)["totals"]["forward_macs"] == 192, found.stderr
    assert command("lock", "mine", cwd=tmp_path).returncode == 0
    assert command("check", "--fail-on", "macs:<=192", cwd=tmp_path).returncode == 0
    assert command("check", "--fail-on", "macs:<=191", cwd=tmp_path).returncode == 1


def test_json_with_values() -> None:
    text = '{"mask": {"shape": [1, 4], "values": [1, 0]}, "all": {"shape": [1, 2, 2], "values": [[1, 2], [3, 4]]}}'
    found = read_json(text, 3)
    assert [(r.shape, r.values) for r in found.records] == [((3, 4), [1, 0, 0, 0]), ((3, 2, 2), [[1, 2], [3, 4]])]
    assert read_json('[{"shape": [0, 4], "values": []}]').records[0].shape == (0, 4)
    assert read_json('[{"values": {"shape": [1]}}]').args == ({"values": InputRecord("input.values", (1,), "float32")},)


def test_what_is_said_of_one_example_is_said_of_all() -> None:
    def masked(net: Net, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return net.layer(x[mask])

    one = (torch.zeros(1, 3, 8), T([[True, False, True]]))
    found = with_batch(read_inputs(one)[0], 5)
    assert [record.shape for record in found.records] == [(5, 3, 8), (5, 3)]
    assert analyze(Net(masked), found).totals.macs == 5 * 2 * 64
    assert fit(Net(masked), 20_000, inputs=one).answer > 1
    assert analyze(Net(masked), ["3x8", "mask=[[true,false,true]]"], batch=5).totals.macs == 5 * 2 * 64
    with pytest.raises(VggcostError, match="no input starts with a size of 1"):
        fit(Net(packed), 10**6, inputs=(torch.zeros(3, 6, 8), T([3, 6, 2])))


def test_a_dataclass_may_be_made_with_more_than_it_holds() -> None:
    """A batch of graphs is made of the graphs, and holds their tensors alone."""

    @dataclass
    class Batch:
        graphs: InitVar[list[torch.Tensor]]
        x: torch.Tensor = field(init=False)

        def __post_init__(self, graphs: list[torch.Tensor]) -> None:
            self.x = torch.cat(graphs)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, batch: Any) -> torch.Tensor:
            return self.linear(batch.x)

    assert analyze(Net(), (Batch([torch.rand(3, 8), torch.rand(2, 8)]),)).totals.macs == 5 * 8 * 4


def test_what_is_known_after_a_tensor_that_is_known_no_more() -> None:
    """The storage that a real tensor had before it became a stand-in is kept: another at its address is not unknown."""

    def cuts(net: Net, x: torch.Tensor) -> torch.Tensor:
        labels, out, rows = torch.arange(64), x.new_zeros(64), 0
        for low, high in ((0, 20), (20, 50), (50, 64)):
            chosen = ((labels >= low) & (labels < high)).nonzero().squeeze()
            rows += chosen.numel()
            out.index_copy_(0, chosen, net.layer(x.index_select(0, chosen))[:, 0])
        assert rows == 64
        return out

    for mode in MODES:
        assert analyze(Net(cuts), torch.zeros(64, 8), mode=mode).totals.macs == 64 * 64


def test_the_labels_of_an_adaptive_softmax_that_are_known() -> None:
    """Torch's own layer refuses labels that it does not find in any of its clusters."""

    class Adaptive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.AdaptiveLogSoftmaxWithLoss(16, 100, [20, 50])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x, torch.arange(64)).loss  # type: ignore[no-any-return]

    x = torch.zeros(64, 16)
    assert analyze(Adaptive(), x).totals.macs == counted(Adaptive(), x)


def test_a_checkpoint_of_a_given_tensor_meets_stand_ins_again() -> None:
    """In the backward pass as in the forward pass: torch compares what a checkpoint recomputes with what it was."""
    block = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: torch.Tensor) -> Any:
            return checkpoint(self.block, x, use_reentrant=False)

    found = analyze(Checkpointed(), torch.zeros(4, 8), mode="training").totals
    assert found.macs == 2 * 4 * 64
    # the first layer again; its weights, the second's and its input: nobody asks for the gradient of the first's input
    assert found.backward_macs == (1 + 3) * 4 * 64


def test_a_formula_of_the_users_meets_stand_ins_in_the_backward_pass() -> None:
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return torch.matmul(gradient, torch.eye(8))

    net = Net(lambda net, x: Scaled.apply(net.layer(x)))
    found = analyze(net, torch.zeros(4, 8), mode="training").totals
    assert (found.macs, found.backward_macs) == (256, 512)
