"""A training step's memory: closed forms, invariants, reality on the CPU, the allocator, the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import html5lib
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.conftest import command
from tests.strategies import Net, chains
from tests.test_report import Texts
from vggcost import VggcostError, analyze, memory
from vggcost._memory import fit
from vggcost.cost.allocator import Allocator
from vggcost.report.memory import MEMORY_FORMATS, render_memory

MIB = 2**20

# Closed forms


def test_one_linear_layer_on_paper() -> None:
    # y = x·Wᵀ, cross-entropy; N = 4, 8 inputs, 3 classes, momentum
    report = memory(nn.Linear(8, 3, bias=False), "8", batch=4, optimizer="sgd-momentum")
    totals = report.totals
    assert totals.param_bytes == totals.gradient_bytes == totals.optimizer_bytes == 4 * 24
    assert totals.input_bytes == 4 * 32 + 8 * 4  # the images and int64 targets
    # saved: x, log-softmax's output, the targets, nll's total weight
    assert totals.saved_bytes == 4 * 32 + 4 * 12 + 8 * 4 + 4
    assert (totals.forward_macs, totals.backward_macs) == (96, 96)
    assert totals.peak_bytes == report.peak.bytes == sum(nbytes for _, nbytes in report.peak.by_role)


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [("sgd", 0), ("sgd-momentum", 1), ("adam", 2), ("adamw", 2), ("rmsprop", 1), ("adagrad", 1), ("SGD_momentum", 1)],
)
def test_states_of_optimizers(optimizer: str, states: int) -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 3))
    params = 8 * 16 + 16 + 16 * 3 + 3
    report = memory(net, "8", optimizer=optimizer)
    steps = 4 * 4 if optimizer in ("adam", "adamw", "rmsprop", "adagrad") else 0  # torch's step counters, one a tensor
    assert report.totals.optimizer_bytes == 4 * params * states + steps
    assert memory(net, "8", optimizer=optimizer, device="cuda").totals.optimizer_bytes == 4 * params * states + steps


def test_vgg_16_at_batch_32() -> None:
    report = memory("vgg16", batch=32, optimizer="sgd-momentum")
    totals = report.totals
    assert totals.param_bytes == totals.gradient_bytes == totals.optimizer_bytes == 553_430_176
    assert totals.forward_flops + totals.backward_flops == 32 * 92_648_177_664
    assert totals.saved_bytes == analyze("vgg16", batch=32, mode="training").totals.saved_bytes
    assert report.peak.phase == "backward"
    tensors = memory("vgg16", batch=32, optimizer="sgd-momentum", threads=0).totals.peak_bytes
    assert report.allocator.reserved >= report.allocator.allocated >= tensors
    assert totals.peak_bytes > tensors  # by what convolutions take inside on the CPU


def test_frozen_layers_save_almost_nothing() -> None:
    names = [f"fc{n}" for n in (6, 7)] + ["conv*"]
    report = memory("vgg16", batch=2, optimizer="sgd", freeze=names)
    assert report.totals.gradient_bytes == 4 * (4096 * 1000 + 1000)
    # fc8's input, log-softmax, targets, total weight
    assert report.totals.saved_bytes == 4 * 2 * 4096 + 4 * 2000 + 16 + 4
    assert all(
        layer.saved_bytes == 0
        for layer in report.layers
        if layer.path.startswith(("conv", "relu", "pool", "fc6", "fc7"))
    )
    everything = memory("vgg16", batch=2, optimizer="sgd")
    assert report.totals.peak_bytes < everything.totals.peak_bytes / 1.5


def test_half_precision_halves_what_floats_take() -> None:
    full, half = (memory("vgg-f", batch=2, optimizer="sgd-momentum", dtype=d).totals for d in ("float32", "float16"))
    assert half.param_bytes * 2 == full.param_bytes
    assert half.gradient_bytes * 2 == full.gradient_bytes
    assert half.peak_bytes < 0.52 * full.peak_bytes


def test_accumulation_adds_work_and_no_gradients() -> None:
    once, thrice = (memory("vgg-f", batch=2, accumulate=n).totals for n in (1, 3))
    assert thrice.forward_macs == 3 * once.forward_macs
    assert thrice.gradient_bytes == once.gradient_bytes


def test_checkpointing_saves_less_and_recomputes() -> None:
    from torch.utils.checkpoint import checkpoint

    class Body(nn.Module):
        def __init__(self, again: bool) -> None:
            super().__init__()
            self.again = again
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()) for _ in range(4)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False) if self.again else block(x)
            return x

    plain, again = memory(Body(False), "64", batch=256).totals, memory(Body(True), "64", batch=256).totals
    assert again.peak_bytes < plain.peak_bytes
    assert plain.recompute_macs == 0
    # the last layer's forward is not needed again
    assert 0 < again.recompute_macs <= plain.forward_macs


@given(chains())
def test_invariants(net: Net) -> None:
    report = memory(net.model, net.input, batch=net.batch, optimizer="adam")
    total = report.timeline.total
    assert report.totals.peak_bytes == max(total) == total[report.peak.op_index]
    assert sum(nbytes for _, nbytes in report.peak.by_role) == report.peak.bytes
    assert sum(nbytes for _, nbytes in report.peak.by_layer) == report.peak.bytes
    held = report.totals.param_bytes + report.totals.optimizer_bytes + report.totals.buffer_bytes
    assert report.peak.bytes >= held
    tensors = report.peak.bytes - dict(report.peak.by_role)["scratch"]  # the CPU's library does not follow to CUDA
    assert report.allocator.reserved >= report.allocator.allocated >= tensors
    assert report.totals.gradient_bytes == report.totals.param_bytes == sum(x.gradient_bytes for x in report.layers)
    again = memory(net.model, net.input, batch=net.batch, optimizer="adam")
    assert again == report


# Reality


def measured(make: Callable[[], nn.Module], inputs: Callable[[], torch.Tensor], optimizer: Callable[..., Any]) -> int:
    """The most bytes alive in the second real step on the CPU, by the profiler's memory events."""
    rows = make().train()(inputs()).shape[0]
    with torch.autograd.profiler.profile(profile_memory=True, use_kineto=True) as profile:
        model, x, target = make().train(), inputs(), torch.zeros(rows, dtype=torch.int64)
        stepper = optimizer(model.parameters())
        for name in ("first", "second"):
            with torch.autograd.profiler.record_function(name):
                stepper.zero_grad(set_to_none=True)
                output = model(x)
                loss = F.cross_entropy(output, target)
                loss.backward()
                stepper.step()
    events = profile.kineto_results.events()
    begin = next(event.start_ns() for event in events if event.name() == "second")
    live = most = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        live += event.nbytes()
        most = max(most, live) if event.start_ns() >= begin else most
    return most


def wide() -> nn.Module:
    return nn.Sequential(
        nn.Linear(512, 1024), nn.ReLU(), nn.Dropout(0.3), nn.Linear(1024, 512), nn.LayerNorm(512), nn.Linear(512, 10)
    )


def small_conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape", "batch", "name", "optimizer"),
    [
        (wide, (512,), 64, "adam", torch.optim.Adam),
        (wide, (512,), 4, "sgd", torch.optim.SGD),
        (small_conv, (3, 64, 64), 32, "sgd-momentum", lambda p: torch.optim.SGD(p, momentum=0.9)),
        (small_conv, (3, 64, 64), 32, "rmsprop", torch.optim.RMSprop),
    ],
)
def test_a_real_step_on_the_cpu_needs_what_was_predicted(
    make: Callable[[], nn.Module], shape: tuple[int, ...], batch: int, name: str, optimizer: Callable[..., Any]
) -> None:
    guess = memory(make(), "x".join(map(str, shape)), batch=batch, optimizer=name).totals.peak_bytes
    real = measured(make, lambda: torch.rand(batch, *shape), optimizer)
    assert abs(guess / real - 1) < 0.02, f"predicted {guess:,}, measured {real:,}"


# The allocator


def test_blocks_are_rounded_split_and_merged() -> None:
    allocator = Allocator()
    small = [allocator.allocate(1), allocator.allocate(513)]
    assert allocator.allocated == 512 + 1024
    assert allocator.reserved == 2 * MIB
    large = allocator.allocate(3 * MIB)
    assert allocator.reserved == 22 * MIB  # cut from a segment of 20 MiB
    other = allocator.allocate(16 * MIB)
    assert allocator.reserved == 22 * MIB  # the best fit; what is left, 1 MiB, is too little to split off
    assert allocator.allocated == 512 + 1024 + 20 * MIB
    allocator.free(large)
    allocator.free(other)
    again = allocator.allocate(20 * MIB)
    assert allocator.reserved == 22 * MIB  # both parts merged
    more = allocator.allocate(10 * MIB + 1)
    assert allocator.reserved == 34 * MIB  # a segment of its own, rounded to 2 MiB
    for block in (*small, again, more):
        allocator.free(block)
    assert allocator.allocated == 0
    assert allocator.reserved == 34 * MIB


@given(st.lists(st.tuples(st.integers(1, 40 * MIB), st.integers(0, 5)), max_size=60))
def test_the_allocator_never_loses_memory(requests: list[tuple[int, int]]) -> None:
    allocator, blocks, sizes = Allocator(), [], []
    for size, frees in requests:
        blocks.append(allocator.allocate(size))
        sizes.append(size)
        for _ in range(min(frees, len(blocks))):
            allocator.free(blocks.pop())
            sizes.pop()
        assert sum(sizes) <= allocator.allocated <= allocator.reserved
    for block in blocks:
        allocator.free(block)
    assert allocator.allocated == 0
    free = sum(size for pool in allocator._free.values() for size, _, _ in pool)
    assert free == allocator.reserved


# The command


def test_the_documented_keys() -> None:
    done = command("memory", "vgg16", "-b", "32", "--optimizer", "sgd-momentum", "--format", "json")
    data = json.loads(done.stdout)
    totals = data["totals"]
    assert totals["param_bytes"] == totals["optimizer_bytes"] == 553_430_176
    assert {
        "gradient_bytes",
        "saved_bytes",
        "peak_bytes",
        "forward_macs",
        "backward_macs",
        "optimizer_flops",
    } <= totals.keys()
    assert {"op", "layer", "by_role", "by_layer", "largest"} <= data["peak"].keys()
    assert len(data["peak"]["largest"]) == 10
    assert {"path", "saved_bytes", "gradient_bytes"} <= data["layers"][0].keys()
    assert data["allocator"]["reserved"] >= data["allocator"]["allocated"]


@pytest.mark.parametrize("format_", MEMORY_FORMATS)
def test_every_format(format_: str) -> None:
    report = memory("vgg-f", batch=4, optimizer="adam")
    text = render_memory(report, format_)
    assert text == render_memory(memory("vgg-f", batch=4, optimizer="adam"), format_)
    if format_ == "html":
        html5lib.HTMLParser(strict=True).parse(text)
        assert not [name for name, _ in Texts(text).attributes if name == "style"]
    assert "fc6" in text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("memory vgg16 --optimizer adma", "did you mean adam"),
        ("memory vgg16 --optimizer sgd --optimizer-option lr=-1", "optimizer sgd: Invalid learning rate"),
        ("memory vgg16 --optimizer sgd --optimizer-option speed=1", "unexpected keyword argument"),
        ("memory vgg16 --dtype float8", "unknown dtype"),
        ("memory vgg16 --accumulate 0", "from 1 to 10,000"),
        ("memory vgg16 --device tpu", "choose cpu or cuda"),
        ("memory vgg16 --freeze *", "every parameter is frozen"),
        ("memory vgg16 -b 0", "1 or more"),
        ("memory vgg16 -i 3x8x8", "the map vanishes at pool4"),
        ("memory ./net.py:Argmax -i 4", "it has no parameters"),
        ("memory ./net.py:integers -i 4", "its outputs are int64, which have no gradient"),
    ],
)
def test_bad_input(line: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Argmax(nn.Module):\n    def forward(self, x): return x.argmax(1)\n"
        "class Integers(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.layer = nn.Linear(4, 4)\n"
        "    def forward(self, x): return self.layer(x).argmax(1)\n"
        "integers = Integers\n",
        encoding="utf-8",
    )
    done = command(*line.split(), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


# Attention


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)


def test_fused_attention_does_the_same_work_and_keeps_no_scores() -> None:
    math, flash = (memory(encoder(), "128x64", batch=4, attention=kernel) for kernel in ("math", "flash"))
    assert (math.attention, flash.attention) == (("math",), ("flash",))
    assert math.totals.forward_macs == flash.totals.forward_macs
    scores = 4 * 4 * 4 * 128 * 128  # float32, batch, heads, T·T
    assert math.totals.saved_bytes - flash.totals.saved_bytes > scores
    # the fused backward pass works the scores out again: one more Q·Kᵀ
    assert flash.totals.backward_macs - math.totals.backward_macs == 4 * 128 * 128 * 64


def test_the_kernel_follows_the_device_and_the_dtype() -> None:
    found = {
        (device, dtype): memory(encoder(), "16x64", device=device, dtype=dtype).attention
        for device in ("cpu", "cuda")
        for dtype in ("float32", "bfloat16")
    }
    assert found == {
        ("cpu", "float32"): ("flash",), ("cpu", "bfloat16"): ("flash",),
        ("cuda", "float32"): ("efficient",), ("cuda", "bfloat16"): ("flash",),
    }  # fmt: skip
    before = F.scaled_dot_product_attention
    memory(encoder(), "16x64")
    assert F.scaled_dot_product_attention is before


@pytest.mark.slow
def test_a_real_step_with_attention_needs_what_was_predicted() -> None:
    def make() -> nn.Module:
        return nn.Sequential(encoder(), encoder(), nn.Flatten(), nn.Linear(64 * 64, 10))

    guess = memory(make(), "64x64", batch=16, optimizer="adam").totals.peak_bytes
    real = measured(make, lambda: torch.rand(16, 64, 64), torch.optim.Adam)
    assert abs(guess / real - 1) < 0.02, f"predicted {guess:,}, measured {real:,}"


# What fits


def test_the_largest_batch_is_confirmed_by_both_of_its_traces() -> None:
    done = command("fit", "vgg16", "--memory", "12GiB", "--optimizer", "sgd-momentum", "--format", "json")
    found = json.loads(done.stdout)
    assert found["peak_bytes"] <= 12 * 2**30 < found["next_peak_bytes"]
    assert found["next"] == found["answer"] + 1
    for size, peak in ((found["answer"], found["peak_bytes"]), (found["next"], found["next_peak_bytes"])):
        assert memory("vgg16", batch=size, optimizer="sgd-momentum").totals.peak_bytes == peak


def test_the_largest_image() -> None:
    done = command("fit", "vgg-f", "--memory", "1GiB", "--vary", "resolution", "--format", "json")
    found = json.loads(done.stdout)
    assert found["peak_bytes"] <= 2**30 < found["next_peak_bytes"]


def test_a_small_net_by_hand() -> None:
    budget = memory(nn.Linear(8, 3), "8", batch=17).totals.peak_bytes
    found = fit(nn.Linear(8, 3), budget, inputs="8")
    assert (found.answer, found.next) == (17, 18)


# The paper's bill, and its way of testing


def test_the_bill_of_the_paper() -> None:
    data = json.loads(
        command(
            "train", "vgg16", "--images", "1.28M", "--epochs", "74", "--batch", "256", "--gpus", "4", "--format", "json"
        ).stdout
    )
    assert data["iterations"] == 370_000
    assert data["total_flops"] == 1_280_000 * 74 * 92_648_177_664
    assert data["batch_per_gpu"] == 64
    assert data["gradient_bytes"] == 553_430_176
    assert data["allreduce_bytes_per_gpu"] == 2 * 3 * 553_430_176 // 4
    # 8.776e18 FLOPs on four times 5.121e12 a second, of 14 to 21 days
    seconds = data["total_flops"] / (4 * 5.121e12)
    assert data["seconds_at_full_use"] == pytest.approx(seconds)
    assert data["utilisation"] == pytest.approx([seconds / 86400 / 21, seconds / 86400 / 14])


def test_a_dense_net_gives_what_the_cropped_net_gives() -> None:
    from vggcost.zoo.network import build
    from vggcost.zoo.variants import Variant

    tiny = Variant("tiny", "Tiny", "3x4 pool2/2 | 3x8 pool2/2", hidden=(16, 12), image_size=16)
    torch.manual_seed(0)
    cropped, dense = (build(tiny, {"classes": 5, **options}).eval() for options in ({}, {"dense": True}))
    shapes = {name: tensor.shape for name, tensor in dense.state_dict().items()}
    dense.load_state_dict({name: tensor.reshape(shapes[name]) for name, tensor in cropped.state_dict().items()})
    image = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(dense(image), cropped(image))
        larger = torch.rand(1, 3, 24, 24)
        scores = _scores(dense, larger)
        window = torch.softmax(_scores(dense, larger[:, :, 4:20, 8:24]), 1).flatten(1)
        torch.testing.assert_close(window, cropped(larger[:, :, 4:20, 8:24]))
    assert scores.shape == (1, 5, 3, 3)  # one class score a position


def _scores(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The class maps of a dense net, before they are averaged."""
    for name, layer in net.named_children():
        if name == "average":
            return x
        x = layer(x)
    raise AssertionError("no dense net")


def test_dense_costs_what_the_cropped_net_costs_at_its_own_size() -> None:
    dense, cropped = analyze("vgg16", dense=True).totals, analyze("vgg16").totals
    assert (dense.params, dense.macs) == (cropped.params, cropped.macs)


def test_evaluation_of_one_image() -> None:
    data = json.loads(
        command("evaluate", "vgg16", "--scales", "256,384,512", "--aspect", "1:1", "--format", "json").stdout
    )
    one, ten, many, dense = data["ways"]
    assert ten["macs"] == 10 * one["macs"]
    assert many["macs"] == 150 * one["macs"]
    by_hand = sum(analyze("vgg16", f"3x{q}x{q}", batch=2, dense=True).totals.macs for q in (256, 384, 512))
    assert dense["macs"] == by_hand
    assert one["peak_bytes"] < ten["peak_bytes"] < many["peak_bytes"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("memory vgg16 --attention flas", "unknown attention kernel"),
        ("fit vgg16 --memory 500MiB", "500.00 MiB is too little"),
        ("fit vgg16 --memory lots", "write 24GiB"),
        ("fit vgg16 --memory 12GiB --vary depth", "choose batch or resolution"),
        ("fit vgg16", "Missing option"),
        ("train vgg16 --recipe papr", "recipes: vgg-paper"),
        ("train vgg16 --device titan", "devices: titan-black"),
        ("train vgg16 --images many", "cannot read 'many' as a count"),
        ("train vgg16 --batch 2 --gpus 4", "cannot be shared"),
        ("evaluate resnet-50", "no dense form"),
        ("evaluate vgg16 --scales 128", "at least 224"),
        ("evaluate vgg16 --scales large", "cannot read --scales"),
        ("evaluate vgg16 --aspect 0:0", "cannot read --scales"),
    ],
)
def test_more_bad_input(line: str, says: str, tmp_path: Path) -> None:
    done = command(*line.split(), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


# Losses


def test_losses_of_the_users_and_of_the_model() -> None:
    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> Any:
            from types import SimpleNamespace

            return SimpleNamespace(loss=self.layer(x).square().mean())

    assert memory(WithLoss(), "4").run.loss == "the model's own"

    def squares(output: torch.Tensor) -> torch.Tensor:
        return output.square().sum()

    assert memory(nn.Linear(4, 4), "4", loss=squares).run.loss == "squares"
    with pytest.raises(
        VggcostError, match=r"the loss \(squared\) must be one number with a gradient, it is a tensor of \(1, 4\)$"
    ):
        memory(nn.Linear(4, 4), "4", loss=_squared())


def _squared() -> Callable[[torch.Tensor], torch.Tensor]:
    def squared(output: torch.Tensor) -> torch.Tensor:
        return output.square()

    return squared


def test_a_loss_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text("def squares(out): return out.square().sum()\n", encoding="utf-8")
    done = command("memory", "vgg-f", "--loss", "./loss.py:squares", "--format", "json", cwd=tmp_path)
    assert json.loads(done.stdout)["run"]["loss"] == "squares"
    wrong = command("memory", "vgg-f", "--loss", "./loss.py:circles", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "has no 'circles'" in wrong.stderr


# Recurrent layers


def recurrent() -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(64, 96, 2, batch_first=True, bidirectional=True), nn.Linear(192, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.lstm(x)[0][:, -1])

    return Last()


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 80), st.integers(1, 80))
def test_the_workspace_of_the_fused_lstm_is_that_of_the_real_kernel(
    steps: int, batch: int, inputs: int, hidden: int
) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    from vggcost.trace.recurrent import forward_rule

    weights = (
        torch.zeros(4 * hidden, inputs),
        torch.zeros(4 * hidden, hidden),
        torch.zeros(4 * hidden),
        torch.zeros(4 * hidden),
    )
    x, state = torch.zeros(steps, batch, inputs), torch.zeros(batch, hidden)
    real = torch.ops.aten.mkldnn_rnn_layer(x, *weights, state, state, False, [], 2, hidden, 1, True, False, False, True)
    rule = forward_rule(x, *weights)
    assert [tuple(t.shape) for t in real[:3]] == [spec[0] for spec in rule[:3]]
    # oneDNN may choose another layout on another processor
    assert abs(rule[3][0][0] - real[3].numel()) <= 0.1 * real[3].numel() + 8 * 4096


@pytest.mark.slow
def test_a_real_step_of_an_lstm_needs_what_was_predicted() -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    report = memory(recurrent(), "50x64", batch=8, optimizer="adam")
    real = measured(recurrent, lambda: torch.rand(8, 50, 64), torch.optim.Adam)
    assert abs(report.totals.peak_bytes / real - 1) < 0.02, f"predicted {report.totals.peak_bytes:,}, measured {real:,}"
    layers = [(64, 96), (192, 96)]
    assert report.totals.forward_macs == 2 * sum(8 * 50 * 4 * 96 * (i + h) for i, h in layers) + 8 * 192 * 10
    # composed of its products on other devices, the work is the same
    assert memory(recurrent(), "50x64", batch=8, device="cuda").totals.forward_macs == report.totals.forward_macs


def test_sizes_that_do_not_run_are_not_taken_for_sizes_that_do_not_fit() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))  # takes 8×8 and nothing else
    with pytest.raises(VggcostError, match="memory is not what binds"):
        fit(net, 2**30, "resolution")


def test_a_model_that_cannot_be_trained_says_so_in_its_memory_section() -> None:
    class Argmax(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(1)

    line = analyze(Argmax(), "4", saved=True).memory[-1]
    assert (line.bytes, line.elements) == (None, None)
    assert "cannot be trained" in line.note


class Biased(nn.Module):
    """Attention with a learned bias on its scores, as in BEiT and Swin."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(2, tokens, tokens))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.project(x).unflatten(-1, (2, -1)).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads, self.bias).transpose(1, 2).flatten(2)


def test_a_learned_bias_of_the_scores_gets_its_gradient() -> None:
    # torch's flash kernel for the CPU gives a mask none, so that torch takes the path of plain products there
    for device, kernel in (("cpu", "math"), ("cuda", "efficient")):
        report = memory(Biased(16, 6), "6x16", batch=3, device=device)
        assert report.attention == (kernel,)
        assert report.totals.gradient_bytes == 4 * (16 * 16 + 16 + 2 * 6 * 6)
    table = analyze(Biased(16, 6), "6x16", batch=3, mode="training")
    scores = 3 * 6 * 6 * 16
    assert table.totals.macs == 3 * 6 * 16 * 16 + 2 * scores
    assert table.totals.backward_macs == 2 * 2 * scores + 3 * 6 * 16 * 16  # the input needs no gradient
