"""Models whose code names a device that is not there: what it puts there stays in the run, and the note says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.ops import BOTH
from tests.real import Does
from vggcost import VggcostError, analyze, memory
from vggcost.load.devices import Devices

SAID = "its code asks for {}, where nothing was put: all stays on {}"


def timed(layer: Any, x: torch.Tensor) -> Any:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    y = layer(x)
    end.record()
    torch.cuda.synchronize()
    assert end.query()
    return y + start.elapsed_time(end)


def streamed(layer: Any, x: torch.Tensor) -> Any:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        y = layer(x)
        y.record_stream(stream)
    torch.cuda.current_stream().wait_event(stream.record_event())
    return y


def under(place: Callable[[], Any]) -> Callable[[Any, torch.Tensor], Any]:
    def function(layer: Any, x: torch.Tensor) -> Any:
        with place():
            return layer(x) + torch.ones(4)

    return function


def by_default(layer: Any, x: torch.Tensor) -> Any:
    torch.set_default_device("cuda")
    return layer(x) + torch.zeros(4)  # and leaves it so


ASKS: dict[str, Callable[[Any, torch.Tensor], Any]] = {
    "x.cuda": lambda f, x: f(x.cuda()),
    "x.cuda, by number": lambda f, x: f(x.cuda(0, non_blocking=True)),
    "x.to": lambda f, x: f(x.to("cuda:0", dtype=torch.float32, non_blocking=True)),
    "x.to, by name": lambda f, x: f(x.to(device=torch.device("cuda"))),
    "x.to, a number": lambda f, x: f(x.to(1)),
    "x.type": lambda f, x: f(x.type(torch.cuda.FloatTensor).type("torch.cuda.FloatTensor")),
    "there and back": lambda f, x: f(x.cuda().cpu().cuda()),
    "if it is not there": lambda f, x: f(x if x.is_cuda else x.cuda()),
    "a module": lambda f, x: f.cuda()(x.to("cuda")),
    "a module, by name": lambda f, x: f.to(torch.device("cuda", 1))(x),
    "a new module": lambda f, x: nn.Linear(16, 4, device="cuda")(x),
    "zeros": lambda f, x: f(x) + torch.zeros(4, device="cuda"),
    "zeros like": lambda f, x: f(x + torch.zeros_like(x, device="cuda")),
    "new zeros": lambda f, x: f(x) + x.new_zeros(4, device="cuda"),
    "numbers": lambda f, x: f(x) * torch.tensor([1.0, 2.0, 3.0, 4.0], device=torch.device("cuda", 0)),
    "numbers, moved": lambda f, x: f(x) * torch.tensor([1.0, 2.0, 3.0, 4.0]).cuda(),
    "places": lambda f, x: f(x)[:, torch.arange(4, device="cuda")],
    "numbers drawn": lambda f, x: (
        f(x) + torch.randn(4, device="cuda", generator=torch.Generator("cuda").manual_seed(0))
    ),
    "the present device": lambda f, x: f(x) + torch.zeros(4, device=torch.cuda.current_device()),
    "an op": lambda f, x: f(x) + torch.zeros(4, device="cuda") + torch.ops.aten.ones([4], device=torch.device("cuda")),
    "a context": under(lambda: torch.device("cuda")),
    "a chosen device": under(lambda: torch.cuda.device(0)),
    "a default": by_default,
    "synchronize": lambda f, x: (torch.cuda.synchronize(), f(x))[1],
    "its memory": lambda f, x: (torch.cuda.reset_peak_memory_stats(), torch.cuda.empty_cache(), f(x))[2],
    "its random numbers": lambda f, x: (torch.cuda.set_rng_state(torch.cuda.get_rng_state()), f(x))[1],
    "events": timed,
    "streams": streamed,
    "pinned": lambda f, x: f(x.pin_memory().cuda(non_blocking=True)),
}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", ASKS)
def test_what_is_put_on_a_device_stays_and_is_said(name: str, mode: str) -> None:
    x = torch.randn(2, 16)
    for _ in range(3):  # from memory too
        table = analyze(Does(ASKS[name], nn.Linear(16, 4)), (x,), mode=mode)
        assert table.totals.macs == 2 * 16 * 4
        assert table.totals.params == 16 * 4 + 4
        assert table.run.note == SAID.format("cuda", "meta")
    assert torch.get_default_device().type == "cpu"


@pytest.mark.parametrize("device", ["mps", "xpu"])
def test_other_devices_too(device: str) -> None:
    table = analyze(
        Does(lambda f, x: f(x.to(device)) + torch.ones(4, device=device), nn.Linear(16, 4)), (torch.ones(2, 16),)
    )
    assert (table.totals.macs, table.run.note) == (128, SAID.format(device, "meta"))
    both = analyze(Does(lambda f, x: f(x.to(device).cuda()), nn.Linear(16, 4)), (torch.ones(2, 16),))
    assert both.run.note == SAID.format(" and ".join(sorted(("cuda", device))), "meta")


def test_what_asks_for_nothing_is_said_to_ask_for_nothing() -> None:
    def careful(layer: Any, x: torch.Tensor) -> Any:
        device = torch.device("cuda" if torch.cuda.is_available() else x.device)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        made = torch.zeros(4, pin_memory=False, device=device) + torch.zeros(4, device=None)
        torch.cuda.empty_cache()
        assert not torch.cuda.is_current_stream_capturing()
        return layer(x.to(device).to(x.dtype).to(x)) + made

    if not torch.cuda.is_available():
        assert analyze(Does(careful, nn.Linear(16, 4)), (torch.ones(2, 16),)).run.note == ""
    assert (
        analyze(
            Does(lambda f, x: f(x.cpu()) + torch.ones(4, device="cpu"), nn.Linear(16, 4)), (torch.ones(2, 16),)
        ).run.note
        == ""
    )


def test_whole_numbers_keep_their_values_there() -> None:
    def looped(layer: Any, x: torch.Tensor) -> Any:
        for _ in range(int(torch.tensor([1, 2], device="cuda").sum())):
            x = layer(x)
        return x

    assert analyze(Does(looped, nn.Linear(16, 16)), (torch.ones(2, 16),)).totals.macs == 3 * 2 * 16 * 16


def test_half_precision_there() -> None:
    table = analyze(Does(lambda f, x: f.half().cuda()(x.half().cuda()), nn.Linear(16, 4)), (torch.ones(2, 16),))
    assert table.totals.macs == 128
    assert [row.activation_bytes for row in table.layers if row.path == "layer"] == [2 * 4 * 2]


def test_a_training_step_and_a_run_on_the_cpu() -> None:
    model, x = Does(lambda f, x: f(x.cuda()) * torch.ones(4, device="cuda"), nn.Linear(16, 4)), torch.randn(2, 16)
    step = memory(model, (x,))
    assert step.totals.forward_macs == 128
    assert step.run.note == SAID.format("cuda", "meta")

    def reads(layer: Any, x: torch.Tensor) -> Any:
        return layer(x.cuda()) + torch.zeros(4, device="cuda") + (x.sum().item() > 0)

    table = analyze(Does(reads, nn.Linear(16, 4)), "16", batch=2, fallback="cpu")
    assert table.totals.macs == 128
    assert table.run.note.endswith(SAID.format("cuda", "the CPU"))


BUILT = """
import torch
from torch import nn

scale = torch.ones(4, device="cuda")

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 4).cuda()
        self.register_buffer("table", torch.arange(4).to("cuda"))
        self.other = nn.Linear(4, 4, device="cuda")
        torch.cuda.synchronize()

    def forward(self, x):
        return self.other(self.layer(x) * scale)[:, self.table]

def make():
    return Net().to("cuda" if {condition} else "cpu")

made = Net().cuda()
"""


@pytest.mark.parametrize("fallback", ["", "cpu"])
def test_a_factory_may_build_there(tmp_path: Path, fallback: str) -> None:
    (tmp_path / "net.py").write_text(BUILT.format(condition=True))
    for name in ("make", "made"):
        table = analyze(f"{tmp_path / 'net.py'}:{name}", "16", fallback=fallback)
        assert table.totals.params == 16 * 4 + 4 + 4 * 4 + 4
        assert table.totals.macs == 16 * 4 + 4 * 4
        assert table.run.note == SAID.format("cuda", "meta")


def test_the_model_and_the_process_are_as_before() -> None:
    names = ("synchronize", "current_device", "Stream", "stream", "Event", "_exchange_device")
    before = (
        [getattr(torch.cuda, name) for name in names],
        torch.Generator,
        torch.cuda.Stream.__new__,
        dict(vars(torch.Tensor)),
    )
    layer = nn.Linear(16, 4)
    weight, values = layer.weight, layer.weight.detach().clone()
    analyze(Does(ASKS["a module"], layer), (torch.ones(2, 16),))
    with pytest.raises(VggcostError, match="takes 2 positional"):
        analyze(Does(lambda f, x: torch.cuda.synchronize() or f.cuda()(x, x), layer), (torch.ones(2, 16),))
    assert layer.weight is weight
    assert weight.device.type == "cpu"
    assert torch.equal(weight, values)
    assert (
        [getattr(torch.cuda, name) for name in names],
        torch.Generator,
        torch.cuda.Stream.__new__,
        dict(vars(torch.Tensor)),
    ) == before


def test_another_thread_keeps_its_devices_meanwhile() -> None:
    found: list[Any] = []

    def other() -> None:
        try:
            torch.cuda.synchronize()
            found.append("")
        except (RuntimeError, AssertionError) as error:
            found.append(str(error))
        found.append(torch.Generator("cpu").device.type)
        found.append(isinstance(torch.default_generator, torch.Generator))

    standing = Devices("meta", set())
    with standing.answering():
        torch.cuda.synchronize()
        assert isinstance(torch.Generator("cuda"), torch.Generator)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert standing.asked == {"cuda"}
    if not torch.cuda.is_available():
        assert "NVIDIA" in found[0] or "CUDA" in found[0]
    assert found[1:] == ["cpu", True]


def test_contexts_may_overlap() -> None:
    first, second = Devices("meta", set()).answering(), Devices("meta", set()).answering()
    original, started, go_on = torch.cuda.synchronize, threading.Event(), threading.Event()

    def other() -> None:
        with second:
            started.set()
            go_on.wait(10)
            torch.cuda.synchronize()
            assert torch.cuda.synchronize is not original
        started.clear()

    with first:
        thread = threading.Thread(target=other)
        thread.start()
        assert started.wait(10)
    assert torch.cuda.synchronize is not original  # the other thread is still in it
    go_on.set()
    thread.join()
    assert not started.is_set()
    assert torch.cuda.synchronize is original


def test_what_a_gpu_is_like_is_not_made_up() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine can tell")
    with pytest.raises(VggcostError, match=r"NVIDIA|CUDA"):
        analyze(
            Does(lambda f, x: f(x) * torch.cuda.get_device_properties(0).total_memory, nn.Linear(16, 4)),
            (torch.ones(2, 16),),
        )


def test_the_type_of_another_tensor_is_its_dtype() -> None:
    """`x.type()` of a meta tensor is a name that torch itself does not read."""

    class Typed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.arange(4).type(self.linear(x).type()) + x.type(x.half().type())

    assert analyze(Typed(), (torch.zeros(2, 4),)).layers[0].output_shape == (2, 4)
