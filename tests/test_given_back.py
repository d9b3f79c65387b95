"""What a forward does to objects around its model and to the process is undone, as the page on it says."""

from __future__ import annotations

import array
import contextlib
import contextvars
import functools
import gc
import io
import locale
import logging
import os
import random
import signal
import sys
import types
import warnings
import weakref
from collections import Counter, UserDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from tests.test_unchanged import unchanged
from vggcost import VggcostError, analyze, memory


def net(forward: Callable[[Any, torch.Tensor], Any], **held: Any) -> nn.Module:
    """A layer that does something else first, and holds these objects."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            vars(self).update(held)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            forward(self, x)
            out: torch.Tensor = self.layer(x)
            return out

    return Net()


RUNS: dict[str, Callable[[nn.Module], Any]] = {
    "inference": lambda model: analyze(model, "4"),
    "training": lambda model: analyze(model, "4", mode="training"),
    "memory": lambda model: memory(model, "4", optimizer="adam"),
    "fallback": lambda model: analyze(model, "4", fallback="cpu"),
}


# Objects


class Slotted:
    __slots__ = ("__hidden", "gone", "items", "new", "table")

    def __init__(self) -> None:
        self.table, self.items, self.gone, self.__hidden = torch.ones(3), [1], 1, 0

    def change(self, x: torch.Tensor) -> None:
        self.table.add_(1)
        self.items.append(x)
        self.new, self.table = x, x
        self.__hidden += 1
        if hasattr(self, "gone"):
            del self.gone

    def told(self) -> Any:
        found = [(name, getattr(self, name, None)) for name in ("gone", "items", "new", "table", "_Slotted__hidden")]
        return [(name, value.tolist() if isinstance(value, torch.Tensor) else value) for name, value in found]


@dataclass(slots=True)
class Record:
    values: Any
    count: int = 0


class Pair(NamedTuple):
    table: torch.Tensor
    log: list[Any]


class Counted(nn.Module):
    """Counts in its class."""

    calls = 0
    shared: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counted.calls += 1
        self.shared["last"] = x
        type(self).added = x
        return self.layer(x)


def slots() -> tuple[nn.Module, Callable[[], Any]]:
    held = Slotted()
    return net(lambda self, x: self.held.change(x), held=held), held.told


def slots_of_a_dataclass() -> tuple[nn.Module, Callable[[], Any]]:
    held = Record([Record(torch.ones(2))])

    def forward(self: Any, x: torch.Tensor) -> None:
        held.count += 1
        held.values[0].values.mul_(3)
        held.values[0].values = x

    return net(forward, held=held), lambda: (held.count, held.values[0].values.tolist())


def namespace() -> tuple[nn.Module, Callable[[], Any]]:
    held = types.SimpleNamespace(count=0, table=torch.ones(2), inner=types.SimpleNamespace(log=[]))

    def forward(self: Any, x: torch.Tensor) -> None:
        held.count += 1
        held.table += 1
        held.inner.log.append(x)
        held.more = x

    return net(forward, held=held), lambda: (held.count, held.table.tolist(), len(held.inner.log), sorted(vars(held)))


def closures() -> tuple[nn.Module, Callable[[], Any]]:
    count, table, log, known = 0, torch.ones(2), [], {"x": torch.zeros(2)}

    def forward(self: Any, x: torch.Tensor) -> None:
        nonlocal count, table
        count += 1
        table.add_(1)
        table = x
        log.append(x)
        known["y"] = known["x"].add_(1)

    def hook(module: nn.Module, args: Any) -> None:
        nonlocal count
        count += 10
        log.append(args)

    model = net(forward)
    model.layer.register_forward_pre_hook(hook)
    return model, lambda: (count, table.tolist(), len(log), {k: v.tolist() for k, v in known.items()})


def defaults() -> tuple[nn.Module, Callable[[], Any]]:
    def note(x: torch.Tensor, log: list[Any] = [], *, seen: dict[str, Any] = {}) -> None:  # noqa: B006
        log.append(x)
        seen["x"] = x
        note.calls = 1

    model = net(lambda self, x: self.note(x), note=functools.partial(note))
    return model, lambda: (note.__defaults__, note.__kwdefaults__, vars(note))


def weak_references() -> tuple[nn.Module, Callable[[], Any]]:
    class Owner:
        count, table = 0, torch.ones(2)

    owner, values = Owner(), weakref.WeakValueDictionary()
    owner.log, owner.table, values["owner"] = [], torch.ones(2), owner

    def forward(self: Any, x: torch.Tensor) -> None:
        self.owner().count += 1
        self.owner().log.append(x)
        self.owner().table.add_(1)
        self.owner().table = x
        self.values["other"] = self

    model = net(forward, owner=weakref.ref(owner), values=values)
    return model, lambda: (owner.count, len(owner.log), owner.table.tolist(), sorted(values.keys()))


def arrays() -> tuple[nn.Module, Callable[[], Any]]:
    held = {
        "floats": np.ones((2, 3)), "objects": np.array([None, {}], dtype=object), "bytes": bytearray(b"abc"),
        "ints": array.array("i", [1, 2]), "view": np.arange(6)[::2],
    }  # fmt: skip

    def forward(self: Any, x: torch.Tensor) -> None:
        held["floats"] *= 2
        held["objects"][0] = x
        held["bytes"].append(1)
        held["ints"][0] = 9
        held["view"][:] = 0
        held["floats"].shape = (6,)

    return net(forward, held=held), lambda: {key: (np.shape(a), list(np.ravel(a))) for key, a in held.items()}


def generators_of_numbers() -> tuple[nn.Module, Callable[[], Any]]:
    own, ours, other, old = random.Random(1), torch.Generator(), np.random.default_rng(1), np.random.RandomState(1)

    def forward(self: Any, x: torch.Tensor) -> None:
        own.random(), torch.rand(2, generator=ours), other.random(), old.rand()

    told = lambda: (own.getstate(), ours.get_state().tolist(), other.bit_generator.state, str(old.get_state()))  # noqa: E731
    return net(forward, own=own, ours=ours, other=other, old=old), told


def containers() -> tuple[nn.Module, Callable[[], Any]]:
    held = {
        "user": UserDict(a=1), "default": defaultdict(list, a=[1]), "counter": Counter("aab"), "deque": deque([1, 2]),
        "pair": Pair(torch.ones(2), []), "proxy": types.MappingProxyType({"a": [1]}), "frozen": (torch.ones(1), [2]),
    }  # fmt: skip

    def forward(self: Any, x: torch.Tensor) -> None:
        held["user"]["b"] = x
        held["default"]["b"].append(x)
        held["default"]["a"].append(x)
        held["counter"].update("xyz")
        held["deque"].rotate()
        held["pair"].log.append(x)
        held["pair"].table.zero_()
        held["frozen"][0].zero_()
        held["frozen"][1].append(x)
        held["new"] = x

    return net(forward, held=held), lambda: str({key: held[key] for key in held})


def methods() -> tuple[nn.Module, Callable[[], Any]]:
    model = net(lambda self, x: None)
    before = model.forward
    log: list[Any] = []

    def wrapped(self: Any, x: torch.Tensor) -> Any:
        log.append(x)
        self.forward = before
        return before(x)

    model.forward = types.MethodType(wrapped, model)
    return model, lambda: (len(log), model.forward.__func__ is wrapped)


def classes() -> tuple[nn.Module, Callable[[], Any]]:
    return Counted(), lambda: (Counted.calls, dict(Counted.shared), "added" in vars(Counted))


def optimizers() -> tuple[nn.Module, Callable[[], Any]]:
    model = net(lambda self, x: self.step(x))
    other = nn.Linear(4, 4)
    optimizer = torch.optim.Adam([*model.layer.parameters(), *other.parameters()], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for _ in range(2):
        (model.layer(torch.ones(1, 4)).sum() + other(torch.ones(1, 4)).sum()).backward()
        optimizer.step()
    model.optimizer, model.schedule = optimizer, schedule

    def step(x: torch.Tensor) -> None:
        model.optimizer.step()
        model.schedule.step()
        model.optimizer.zero_grad()
        model.optimizer.param_groups[0]["lr"] = 5

    model.step = step

    def told() -> Any:
        params = [*model.layer.parameters(), *other.parameters()]
        states = [[v.tolist() for v in optimizer.state[p].values()] for p in params]
        return [p.tolist() for p in params], [p.grad.tolist() for p in params], states, str(schedule.state_dict())

    return model, told


OBJECTS = {
    f.__name__: f
    for f in (
        slots, slots_of_a_dataclass, namespace, closures, defaults, weak_references, arrays, generators_of_numbers,
        containers, methods, classes, optimizers,
    )
}  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_as_they_were(name: str, run: str) -> None:
    model, told = OBJECTS[name]()
    before = str(told())
    with unchanged(model):
        RUNS[run](model)
    assert str(told()) == before


# Tensors that nobody handed over

TABLE = torch.ones(3)


class OfAClass(nn.Module):
    TABLE = torch.zeros(2, 2)

    def __init__(self, times: int) -> None:
        super().__init__()
        self.layer, self.times = nn.Linear(4, 4), times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            TABLE.add_(1)
            self.TABLE[0].mul_(2).fill_(7)
            torch.add(TABLE, 1, out=TABLE)
        out: torch.Tensor = self.layer(x)
        return out


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("times", [1, 4])
def test_tensors_of_files_and_classes_hold_what_they_held(run: str, times: int) -> None:
    versions = TABLE._version, OfAClass.TABLE._version
    RUNS[run](OfAClass(times))
    assert (TABLE.tolist(), OfAClass.TABLE.tolist()) == ([1.0] * 3, [[0.0] * 2] * 2)
    assert (TABLE._version, OfAClass.TABLE._version) == versions


def test_a_tensor_that_is_not_spared_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation that the test above catches."""
    monkeypatch.setattr("vggcost.trace.spared.Spared.before", lambda *_: None)
    try:
        analyze(OfAClass(1), "4")
        assert TABLE.tolist() != [1.0] * 3
    finally:
        TABLE.fill_(1)
        OfAClass.TABLE.zero_()


# The process

VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


def change_torch() -> None:
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_anomaly_enabled(True)
    torch.set_warn_always(True)
    torch.set_printoptions(precision=2)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = True
    torch.backends.mkldnn.set_flags(False)
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.cuda.enable_flash_sdp(False)
    torch.set_grad_enabled(not torch.is_grad_enabled())
    torch.inference_mode().__enter__()
    torch.autocast("cpu", torch.bfloat16).__enter__()
    torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x).__enter__()
    torch.autograd.set_multithreading_enabled(False)
    torch._C.DisableTorchFunction().__enter__()


def torch_now() -> Any:
    flags = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.mkldnn.is_available()
    return (
        torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(),
        torch.is_deterministic_algorithms_warn_only_enabled(), torch.utils.deterministic.fill_uninitialized_memory,
        torch.get_default_device(), torch.is_anomaly_enabled(), torch.is_warn_always_enabled(),
        repr(torch.tensor(1 / 3)), sys.float_info.min / 2 * 1.0 == 0, torch.get_float32_matmul_precision(), flags,
        torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled(), torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"),
        torch._C._autograd._top_saved_tensors_default_hooks(True), torch._C._is_torch_function_enabled(),
    )  # fmt: skip


def change_python() -> None:
    os.environ["VGGCOST_NEW"] = "1"
    os.environ.pop("HOME", None)
    os.environ["PATH"] = ""
    sys.setrecursionlimit(sys.getrecursionlimit() + 77)
    sys.setswitchinterval(0.5)
    sys.path.insert(0, "/nowhere")
    sys.argv = ["other"]
    sys.excepthook = sys.displayhook = sys.unraisablehook = print
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    gc.set_threshold(5)
    warnings.simplefilter("error")
    warnings.showwarning = print  # type: ignore[assignment]
    logging.disable(logging.ERROR)
    logging.root.setLevel(1)
    logging.root.addHandler(logging.NullHandler())
    locale.setlocale(locale.LC_ALL, "C")
    np.seterr(all="raise")
    np.set_printoptions(precision=1)
    VARIABLE.set(1)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


def python_now() -> Any:
    return (
        dict(os.environ), sys.getrecursionlimit(), sys.getswitchinterval(), [*sys.path], sys.path, sys.argv,
        sys.excepthook, sys.displayhook, sys.unraisablehook, sys.stdout, sys.stderr, gc.get_threshold(), gc.isenabled(),
        warnings.filters, [*warnings.filters], warnings.showwarning, logging.root.manager.disable, logging.root.level,
        [*logging.root.handlers], locale.setlocale(locale.LC_ALL), np.geterr(), str(np.get_printoptions()),
        VARIABLE.get(), random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist(),
    )  # fmt: skip


def change_folder() -> None:
    os.chdir("/")


def change_signals() -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def signals_now() -> Any:
    return signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGINT)


PROCESS: dict[str, tuple[Callable[[], None], Callable[[], Any]]] = {
    "torch": (change_torch, torch_now),
    "python": (change_python, python_now),
    "folder": (change_folder, os.getcwd),
    "signals": (change_signals, signals_now),
}
ENDINGS: dict[str, type[BaseException] | None] = {
    "returns": None, "fails": ValueError, "interrupted": KeyboardInterrupt, "exits": SystemExit,
}  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", PROCESS)
def test_the_process_is_as_it_was(name: str, ending: str, run: str) -> None:
    change, now = PROCESS[name]
    error = ENDINGS[ending]

    def forward(self: Any, x: torch.Tensor) -> None:
        change()
        if error is not None:
            raise error

    model = net(forward)
    RUNS[run](nn.Linear(4, 4))  # what torch sets once
    before = now()
    with contextlib.suppress(VggcostError, KeyboardInterrupt):
        RUNS[run](model)
    assert now() == before


def test_a_builder_changes_nothing_either(tmp_path: Path) -> None:
    (tmp_path / "builds.py").write_text(
        "from tests.test_given_back import change_torch, change_python, change_folder, change_signals\n"
        "from torch import nn\n"
        "def make():\n"
        "    model = nn.Linear(4, 4)\n"
        "    change_signals(), change_folder(), change_python(), change_torch()\n"
        "    return model\n"
    )
    before = [now() for _, now in PROCESS.values()]
    assert analyze(f"{tmp_path}/builds.py:make", "4").totals.params == 20
    assert [now() for _, now in PROCESS.values()] == before


def test_what_cannot_be_put_back_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)

    def forward(self: Any, x: torch.Tensor) -> None:
        os.chdir("/")
        if gone.exists():
            gone.rmdir()

    model = net(forward)
    with unchanged(model), pytest.raises(VggcostError, match="changed the working directory for good"):
        analyze(model, "4")
