"""Building on meta, and what a run without data does about data: bounds, stops, real tensors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import command
from vggcost import VggcostError, analyze
from vggcost.errors import ModelError, OptionError, TraceError
from vggcost.load.fuse import folded
from vggcost.load.loaded import Loaded
from vggcost.load.meta import on_meta


class Constructed(nn.Module):
    """Does in its constructor what real models do."""

    def __init__(self) -> None:
        super().__init__()
        rates = [float(rate) for rate in torch.linspace(0, 0.5, 3)]  # stochastic depth
        self.widths = (torch.arange(3) * 8 + 8).tolist()  # RegNet
        self.register_buffer("index", torch.arange(4)[:, None] - torch.arange(4)[None, :] + 3)  # Swin
        self.bias = nn.Parameter(torch.zeros(7))
        self.position = nn.Parameter(torch.randn(1, 4, 8) * 0.02)
        self.table = nn.Parameter(torch.empty(16, 8))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.head = nn.Linear(8, self.widths[-1])
        with torch.no_grad():
            self.head.weight.mul_(torch.rand(1) + 1)
            self.head.bias.copy_(torch.ones(24))
        self.tied = self.head.weight
        self.rates = rates

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = self.bias[self.index.view(-1)].view(4, 4)
        if int(self.index.max()) == 6:  # control flow on a real value
            x = x + self.position
        return self.head(bias @ x)


def test_parameters_are_on_meta_and_the_constructors_arithmetic_is_real() -> None:
    with on_meta():
        net = Constructed()
    assert all(p.is_meta for p in net.parameters())
    assert net.rates == [0.0, 0.25, 0.5]
    assert net.widths == [8, 16, 24]
    assert net.index.tolist()[0] == [3, 2, 1, 0]
    assert net.tied is net.head.weight
    table = analyze(net, "4x8")
    # bias @ x: 4·4·8; head: 4·8·24
    assert table.totals.macs == 4 * 4 * 8 + 4 * 8 * 24
    assert table.totals.params == 7 + 4 * 8 + 16 * 8 + 8 * 24 + 24


def test_the_patches_are_undone_after_an_exception() -> None:
    make, register = nn.Parameter.__new__, nn.Module.register_parameter
    with pytest.raises(ZeroDivisionError), on_meta():
        raise ZeroDivisionError
    assert (nn.Parameter.__new__, nn.Module.register_parameter) == (make, register)
    assert not nn.Linear(2, 2).weight.is_meta


def test_a_large_model_needs_no_memory_for_its_weights() -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with on_meta():
        net = nn.Sequential(*[nn.Linear(2**15, 2**15) for _ in range(20)])  # 86 GB
        nn.init.orthogonal_(net[0].weight)
    assert sum(p.numel() for p in net.parameters()) == 20 * (2**30 + 2**15)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


class Chosen(nn.Module):
    """Keeps the rows that score above nothing, as detection models do."""

    def __init__(self, read: bool = False) -> None:
        super().__init__()
        self.score, self.head, self.read = nn.Linear(6, 1), nn.Linear(6, 3), read

    def forward(self, x: torch.Tensor) -> Any:
        keep = torch.where(self.score(x)[:, 0] > 0)[0]
        rows = self.head(x[keep])
        if self.read and rows.sum().item() > 0:
            rows = rows * 2
        return rows


def test_a_bound_is_taken_and_said() -> None:
    table = analyze(Chosen(), "6", batch=10)
    assert table.totals.macs == 10 * 6 + 10 * 6 * 3
    ((op, calls, text),) = [(a.op, a.calls, a.text) for a in table.coverage.assumed]
    assert (op, calls) == ("aten.nonzero", 1)
    assert "the most there can be" in text


@pytest.mark.parametrize(("key", "rows"), [("nonzero", 4), ("score:nonzero", 10)])
def test_a_bound_may_be_stated_for_all_layers_or_one(key: str, rows: int) -> None:
    table = analyze(Chosen(), "6", batch=10, assume={key: 4})
    assert table.totals.macs == 10 * 6 + rows * 6 * 3


def test_masks_unique_and_masked_select() -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            mask = x > 0
            x = x.clone()
            x[mask] = 1.0
            labels = torch.arange(5)[torch.topk(x[:, 0], 3).indices]  # at most five values
            return x[mask], x.masked_select(mask), x[:, 0].unique(), labels.unique(), torch.argwhere(mask)

    table = analyze(Masked(), "7", batch=9, assume={})
    assert table.layers[0].output_shape == (63,)
    assert {a.op for a in table.coverage.assumed} == {
        "aten.index", "aten.index_put_", "aten.masked_select", "aten.nonzero", "aten.unique",
    }  # fmt: skip


def test_distinct_values_of_a_table_bound_unique() -> None:
    class Labels(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (torch.arange(3) * 2)[x.argsort(0)[:, 0] % 3].unique()

    assert analyze(Labels(), "2", batch=100).layers[0].output_shape == (3,)


def test_a_value_that_is_read_stops_the_run_with_place_and_advice() -> None:
    net = Chosen(read=True)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(TraceError) as error:
        analyze(net, "6", batch=10)
    text = str(error.value)
    for part in ("aten.item", "test_building.py, line", "rows.sum().item()", "--assume item=", "--fallback cpu"):
        assert part in text
    assert "\n" not in text
    # The rows until there are kept.
    assert error.value.table.totals.macs == 10 * 6 + 10 * 6 * 3
    assert [layer.path for layer in error.value.table.layers] == ["", "score", "head"]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    stated = analyze(net, "6", batch=10, assume={"item": 1})
    assert {a.op for a in stated.coverage.assumed} == {"aten.item", "aten.nonzero"}


def test_a_real_tensor_that_data_was_written_into_has_no_value() -> None:
    class Written(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            counts = torch.zeros(3, dtype=torch.int64)
            counts += x.argmax(-1)
            return x * 2 if int(counts[0]) > 1 else x

    with pytest.raises(TraceError, match=r"aten\.item"):
        analyze(Written(), "5", batch=3)


def test_values_that_are_known_are_read() -> None:
    class Known(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sizes = torch.tensor([2, 3])
            self.register_buffer("steps", torch.tensor(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.steps += 1
            self.sizes[0] += 5
            for _ in range(int(self.steps)):
                x = x @ x
            ids = torch.arange(x.shape[0], device=x.device)
            if bool((torch.diff(ids) == 1).all()) and torch.tensor([1], device=x.device).item():
                x = x @ x
            return x[: int(self.sizes.sum())]

    net = Known()
    table = analyze(net, torch.empty(12, 12))
    assert table.totals.macs == 4 * 12**3
    assert table.layers[0].output_shape == (10, 12)
    assert (net.sizes.tolist(), int(net.steps)) == ([2, 3], 2)  # as they were


def test_a_mask_of_all_pairs_is_not_made_for_real() -> None:
    class Pairs(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ids = torch.arange(200_000)  # all pairs of them would be 40 GB
            return (ids[:, None] <= ids[None, :]) & (x > 0)

    assert analyze(Pairs(), torch.empty(1, 1)).layers[0].output_shape == (200_000, 200_000)


def test_real_tensors_where_meta_cannot_go() -> None:
    net = Chosen(read=True)
    with torch.no_grad():
        net.score.weight.copy_(torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0]]))
        net.score.bias.zero_()
    before = copy.deepcopy(net.state_dict())
    state = torch.get_rng_state()
    table = analyze(net, "6", batch=10, fallback="cpu", convention="full")
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.manual_seed(0) and torch.rand(10, 6)
    kept = int((net.score(x)[:, 0] > 0).sum())
    assert 0 < kept < 10
    assert table.totals.macs == 10 * 6 + kept * 6 * 3
    assert table.run.device == "cpu"
    assert "real CPU tensors" in table.run.note
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert analyze(net, "6", batch=10, fallback="cpu", mode="training").totals.backward_macs > 0
    assert all(p.grad is None for p in net.parameters())


def test_the_fallback_is_not_taken_where_meta_will_do() -> None:
    assert analyze("vgg-f", fallback="cpu").run.device == "meta"
    with pytest.raises(OptionError, match="only one is cpu"):
        analyze("vgg-f", fallback="cuda")


@pytest.mark.parametrize(("assume", "says"), [({"nonzro": 1}, "did you mean nonzero"), ({"nms": -1}, "whole number")])
def test_what_cannot_be_assumed(assume: dict[str, int], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        analyze("vgg-f", assume=assume)


class Branches(nn.Module):
    """A block in the manner of RepVGG: two branches in training, one convolution afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.three, self.one = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.whole: nn.Module | None = None

    def reparameterize(self) -> None:
        self.whole = nn.Conv2d(4, 4, 3, padding=1)
        del self.three, self.one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.whole(x) if self.whole is not None else self.three(x) + self.one(x)


class Folding(nn.Sequential):
    def fuse(self) -> nn.Module:
        return self[0]


def test_fusing_calls_the_models_own_methods_on_a_copy() -> None:
    net = nn.Sequential(Branches(), Folding(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)))
    plain, fused = analyze(net, "4x5x5"), analyze(net, "4x5x5", fuse=True)
    assert plain.totals.macs - fused.totals.macs == 25 * 4 * 4  # the 1×1 branch
    assert fused.totals.params == (9 * 16 + 4) + (8 + 2)
    assert "2 modules" in fused.run.note
    assert isinstance(net[1], Folding)
    assert not net[0].three.weight.is_meta


def test_fusing_that_fails_says_so() -> None:
    class Broken(nn.Module):
        def fuse(self) -> nn.Module:
            raise RuntimeError("no")

    model = nn.Sequential(Broken())
    with pytest.raises(ModelError, match="cannot be fused: RuntimeError: no"):
        folded(Loaded(model, "net", "net", (), "object", None), ours=False)


FILES = {
    "raises.py": "def make():\n    raise ValueError('bad luck')\n",
    "wants.py": "from torch import nn\ndef make(width):\n    return nn.Linear(width, 2)\n",
    "broken.py": "def make(:\n",
    "needs.py": "def make():\n    return open('weights.bin')\n",
    "fetches.py": "import urllib.request\ndef make():\n    return urllib.request.urlopen('http://127.0.0.1:9/x')\n",
    "missing.py": "import no_such_package\n",
    "number.py": "make = 3\n",
    "ints.py": "from torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 3)\n",
    "numpy_.py": "from torch import nn\nclass make(nn.Module):\n    def forward(self, x):\n        return x.numpy()\n",
    "reads.py": "from torch import nn\nclass make(nn.Module):\n    def forward(self, x):\n        return x[: int(x.sum())]\n",
}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("raises.py:make", ["ValueError: bad luck", "raises.py, line 2"]),
        ("wants.py:make", ["missing 1 required positional argument: 'width'", "-k key=value"]),
        ("wants.py:make -k width=3 -k depth=1", ["unexpected keyword argument 'depth'"]),
        ("broken.py:make", ["SyntaxError", "line 1"]),
        ("needs.py:make", ["FileNotFoundError", "weights.bin", "needs.py, line 2"]),
        ("fetches.py:make", ["URLError", "failed"]),
        ("missing.py:make", ["no_such_package"]),
        ("number.py:make", ["is a int, not a function"]),
        ("nothing.py:make", ["no such file: nothing.py"]),
        ("raises.py:mke", ["did you mean make"]),
        ("raises.py", ["say which factory"]),
        ("no.such.module:make", ["cannot import no.such.module"]),
        ("ints.py:make -i 3x8x8:int64", ["takes float32, got int64", "-i 3x8x8:float32"]),
        ("ints.py:make -i 4x8x8", ["takes 3 channels, got 4"]),
        ("reads.py:make -i 8", ["aten.item", "reads.py, line 4", "--assume item="]),
        ("numpy_.py:make -i 8", ["Tensor.numpy", "numpy_.py, line 4", "--fallback cpu"]),
        ("reads.py:make -i 8 --assume itm=3", ["did you mean item"]),
        ("reads.py:make -i 8 --assume item", ["--assume nonzero=100"]),
        ("text.pt2", ["cannot be read as a program of torch.export"]),
        ("none.pt2", ["no such file: none.pt2"]),
        ("text.pt2 -k a=1", ["takes no options"]),
    ],
)
def test_bad_models_are_one_line_and_status_2(line: str, says: list[str], tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "text.pt2").write_text("not a program", encoding="utf-8")
    done = command("report", *line.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("vggcost: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in says:
        assert part in done.stderr


def test_traceback_shows_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text(FILES["raises.py"], encoding="utf-8")
    done = command("report", "raises.py:make", "--traceback", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr
    assert "raise ValueError('bad luck')" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vggcost: ")


def test_partial_rows_and_the_fallback_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class make(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)\n"
        "    def forward(self, x):\n        x = self.a(x)\n        return self.b(x) if x.sum() > -1000 else x\n",
        encoding="utf-8",
    )
    partial = command("report", "net.py:make", "-i", "4", "--partial", "--format", "csv", cwd=tmp_path)
    assert partial.returncode == 2
    assert "only the rows until the run stopped" in partial.stderr
    assert "\na,Linear" in partial.stdout
    real = command("report", "net.py:make", "-i", "4", "--fallback", "cpu", cwd=tmp_path)
    assert real.returncode == 0
    assert "Run on real CPU tensors, since on meta:" in real.stdout
    assert "aten.item" in real.stdout


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


def test_an_exported_program_costs_what_the_module_costs(tmp_path: Path) -> None:
    net = Small().eval()
    path = tmp_path / "small.pt2"
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 9, 9),)), path)
    exported, plain = analyze(str(path)), analyze(net, "3x9x9")
    assert exported.totals.macs == plain.totals.macs == 49 * 8 * 27 + 8 * 5
    assert exported.totals.params == plain.totals.params
    assert {"conv": "Conv2d", "fc": "Linear"}.items() <= {layer.path: layer.kind for layer in exported.layers}.items()
    assert exported.run.inputs[0].shape == (1, 3, 9, 9)


def test_inputs_that_an_exported_program_does_not_take(tmp_path: Path) -> None:
    path = tmp_path / "small.pt2"
    torch.export.save(torch.export.export(Small().eval(), (torch.zeros(1, 3, 9, 9),)), path)
    with pytest.raises(VggcostError, match="was exported for"):
        analyze(str(path), ["3x9x9", "3x9x9"])
