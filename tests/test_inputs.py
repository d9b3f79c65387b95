"""What goes in: texts, JSON and tensors, the same arguments from each; models that take more than one image."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.conftest import command
from vggcost import CostTable, VggcostError, analyze, memory
from vggcost._analyze import _arguments
from vggcost._memory import fit
from vggcost.load import (
    batch_of,
    named,
    parse_inputs,
    read_inputs,
    read_json,
    to_arguments,
    with_batch,
    with_side,
)
from vggcost.load.inputs import DTYPES
from vggcost.records import Arguments, InputRecord, RunInfo
from vggcost.report import render
from vggcost.trace import trace_model

sizes = st.lists(st.integers(1, 9), min_size=1, max_size=4)
dtypes = st.sampled_from(DTYPES)
names = st.sampled_from(["input_ids", "mask", "x", "pixel_values", "y2"])


# Texts


@given(st.lists(st.tuples(sizes, dtypes), max_size=3), st.dictionaries(names, st.tuples(sizes, dtypes)), st.data())
def test_texts_say_what_they_say(
    positional: list[tuple[list[int], str]], by_name: dict[str, tuple[list[int], str]], data: st.DataObject
) -> None:
    batch = data.draw(st.integers(1, 5))
    sign = data.draw(st.sampled_from("xX*×"))
    texts = [f"{sign.join(map(str, shape))}:{dtype}" for shape, dtype in positional]
    wanted = [((batch, *shape), dtype) for shape, dtype in positional]
    for name, (shape, dtype) in by_name.items():
        texts.append(f"{name} = {sign.join(map(str, [1, *shape]))}:{dtype}")
        wanted.append(((batch, *shape), dtype))
    found = parse_inputs(texts, batch)
    assert [(record.shape, record.dtype) for record in found.inputs] == wanted
    assert [record.name for record in found.inputs[len(positional) :]] == list(by_name) == list(found.kwargs)
    one = [record.name for record in found.args]
    assert one == (["input"] if len(positional) == 1 else [f"input{at}" for at in range(len(positional))])
    assert not texts or batch_of(found) == batch


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("3x224x224", (4, 3, 224, 224), "float32"),
        ("128:int64", (4, 128), "int64"),
        ("tokens:1x128", (4, 128), "int64"),
        ("tokens:1x128:int32", (4, 128), "int32"),
        ("ids=tokens:1x128", (4, 128), "int64"),
        ("t=1", (4,), "float32"),
    ],
)
def test_forms_of_a_text(text: str, shape: tuple[int, ...], dtype: str) -> None:
    (found,) = parse_inputs(text, 4).inputs
    assert (found.shape, found.dtype) == (shape, dtype)


@pytest.mark.parametrize(
    ("texts", "batch", "says"),
    [
        ("", 1, "cannot read the input ''; write the shape without the batch"),
        ("x", 1, "cannot read the input 'x'"),
        ("9" * 5000, 1, "cannot read the input"),
        ("9999999999x9999999999", 1, "more elements than torch can address"),
        ("x=", 1, "write a name, = and the whole shape"),
        ("=3", 1, "write a name, = and the whole shape"),
        ("a b=3", 1, "write a name, = and the whole shape"),
        ("x=0x3", 1, "size of 0"),
        ("x=1x3:flaot32", 1, "did you mean float32"),
        ("tokens:", 1, "write tokens: and the whole shape"),
        ("tokens:1x-8", 1, "write tokens: and the whole shape"),
        ("token:1x8", 1, "unknown dtype '1x8'"),
        (["x=1x3", "x=1x4"], 1, "'x' is given twice"),
        ("x=2x3", 4, "already starts with 2, so that a batch of 4 has no place there"),
        (["3x8x8", "tokens:2x3"], 4, "'tokens:2x3' already starts with 2"),
        ("3", 0, "batch must be 1 or more"),
        ("[5,3", 1, "cannot read the input '[5,3': not JSON"),
        ("n=[5,3]x2", 1, "'x2' is too much"),
        ("n=[5,[3]]", 1, "of equal lengths"),
        ("n=[1.5]:int64", 1, "int64 takes whole numbers"),
        ("n=[5,3]:int46", 1, "unknown dtype 'int46'"),
        ("n=[5,3]", 4, "values for 2 along its first axis, which are none of a batch of 4"),
        ("n=value:", 1, "not JSON"),
        ("n=value:three", 1, "write values in brackets, such as lengths=[5,3,2]"),
        ("n=value:[3]:int64", 1, "only a number has a dtype"),
        ("a b=[3]", 1, "cannot read the input"),
        (["n=[3]", "n=value:3"], 1, "'n' is given twice"),
    ],
)
def test_a_text_that_cannot_be_read_says_why(texts: Any, batch: int, says: str) -> None:
    with pytest.raises(VggcostError) as caught:
        parse_inputs(texts, batch)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# The same arguments as records, as JSON and as tensors


Leaf = tuple[list[int], str]
plain = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), st.text("abc", max_size=3)
)  # fmt: skip
leaves = st.tuples(sizes, dtypes)
nested = st.recursive(
    st.one_of(leaves, plain),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)),
    max_leaves=6,
)


def as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return {"shape": value[0], "dtype": value[1]}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return {key: as_json(item) for key, item in value.items()} if isinstance(value, dict) else value


def as_tensors(value: Any) -> Any:
    if isinstance(value, tuple):
        return torch.zeros(value[0], dtype=getattr(torch, value[1]))
    if isinstance(value, list):
        return [as_tensors(item) for item in value]
    return {key: as_tensors(item) for key, item in value.items()} if isinstance(value, dict) else value


def paths(value: Any, path: str) -> list[tuple[str, tuple[int, ...], str]]:
    if isinstance(value, tuple):
        return [(path, tuple(value[0]), value[1])]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in paths(item, f"{path}.{key}")]


def without_values(arguments: Arguments) -> Arguments:
    return arguments.map(lambda record: InputRecord(record.name, record.shape, record.dtype))


@given(leaves, st.dictionaries(names, nested, max_size=3))
def test_json_and_tensors_make_the_same_arguments(first: Leaf, others: dict[str, Any]) -> None:
    tree = {"first": first, **others}
    found = read_json(json.dumps(as_json(tree)))
    assert found == without_values(read_inputs(as_tensors(tree))[0]) == named(found)
    assert [(r.name, r.shape, r.dtype) for r in found.inputs] == [p for k, v in tree.items() for p in paths(v, k)]
    by_place = read_json(json.dumps(as_json(list(tree.values()))))
    assert by_place == without_values(read_inputs(as_tensors(list(tree.values())))[0])
    assert [(r.shape, r.dtype) for r in by_place.inputs] == [(r.shape, r.dtype) for r in found.inputs]
    assert found.map(lambda record: record) == found


@pytest.mark.parametrize(
    ("text", "batch", "says"),
    [
        ("", 1, "not JSON"),
        ('{"a": ', 1, "not JSON"),
        ("3", 1, "expected an object of keyword arguments or a list of positional ones, not 3"),
        ("[" * 100_000, 1, "nested too deeply"),
        ('{"shape": [1, 3]}', 1, "a single tensor; give it by name in an object, or by position in a list"),
        ('{"values": [1, 3]}', 1, "a single tensor; give it by name in an object, or by position in a list"),
        ('[{"values": [[1, 2], [3]]}]', 1, "0.values: the lists of values must be of equal lengths"),
        ('[{"values": ["a"]}]', 1, '0.values: values are numbers, true or false, nested in lists, not "a"'),
        ('[{"values": [1.5], "dtype": "int64"}]', 1, "0.values: int64 takes whole numbers"),
        ('[{"values": [-1], "dtype": "uint8"}]', 1, "0.values: a value is none of uint8, which goes from 0 to 255"),
        (
            '[{"values": [1, 2], "shape": [1, 3, 1]}]',
            1,
            "0.values: values of shape 2 are not those of a tensor of 1×3×1",
        ),
        ('[{"values": [3, 2]}]', 4, "0.values has values for 2 along its first axis, which are none of a batch of 4"),
        ('[{"values": [3], "dtype": "int46"}]', 1, "unknown dtype 'int46' in 0"),
        ('{"a": {"shape": 3}}', 1, "a.shape must be a list of whole numbers above 0, not 3"),
        ('{"a": [{}, {"shape": [1, 0]}]}', 1, "a.1.shape must be a list of whole numbers above 0, not [1, 0]"),
        ('{"a": {"b": {"shape": [1, 2.5]}}}', 1, "a.b.shape must be"),
        ('[{"shape": [true]}]', 1, "0.shape must be a list of whole numbers above 0, not [true]"),
        ('{"a": {"shape": ["1", "2"]}}', 1, "a.shape must be"),
        ('{"a": {"shape": [1], "dtype": "int46"}}', 1, "unknown dtype 'int46' in a (did you mean int64"),
        ('{"a": {"shape": [1], "dtype": 64}}', 1, "a.dtype must be the name of a dtype, not 64"),
        ('{"a": {"shape": [1], "dtpye": "int64"}}', 1, "a: no key 'dtpye' (did you mean dtype?)"),
        ('{"a": {"shape": [4611686018427387904]}}', 1, "a has more elements than torch can address"),
        ('{"a": {"shape": [1]}, "a": {"shape": [2]}}', 1, "'a' is given twice"),
        ('{"a": {"shape": [2, 3]}}', 4, "a already starts with 2"),
        ('{"a": {"shape": [1, 3]}}', 0, "batch must be 1 or more"),
    ],
)
def test_json_that_cannot_be_read_says_where(text: str, batch: int, says: str) -> None:
    with pytest.raises(VggcostError) as caught:
        read_json(text, batch)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (object(), "no tensor among the inputs"),
        (3, "no tensor among the inputs"),
        ((torch.zeros(1), {"b": [torch.zeros(1).numpy()]}), "input1.b.0 is a ndarray"),
        ((torch.zeros(1) for _ in range(2)), "the input is a generator"),
        ({"a": {torch.zeros(1)}}, "a is a set"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "a is a sparse or nested tensor"),
        ({3: torch.zeros(1)}, "named by strings, not by 3"),
        ((), "missing a required argument: 'input'"),
        ({"flag": True}, "Linear on no tensor: forward cannot be called so"),
    ],
)
def test_what_cannot_be_an_input_is_named(inputs: Any, says: str) -> None:
    with pytest.raises(VggcostError) as caught:
        analyze(nn.Linear(1, 1), inputs)
    assert says in str(caught.value)


# The batch


def test_the_batch_of_arguments() -> None:
    image = InputRecord("", (3, 80, 60), "float32")
    assert batch_of(named(Arguments(([image, image],)))) == 2
    assert batch_of(named(Arguments((), {"targets": [{"boxes": image, "labels": image}, {"boxes": image}]}))) == 2
    pyramid = [InputRecord("", (8, 16, side, side), "float32") for side in (32, 16, 8)]
    assert batch_of(named(Arguments((pyramid,)))) == 8
    assert batch_of(read_json('[{"shape": []}, {"shape": [5, 2]}]')) == 5
    assert batch_of(read_json('[{"shape": []}]')) == 1


def test_a_batch_takes_the_place_of_one() -> None:
    known = read_json('{"ids": {"shape": [1, 8]}, "bias": {"shape": [16, 8]}, "scale": {"shape": []}, "flag": true}')
    found = with_batch(known, 4)
    assert [record.shape for record in found.inputs] == [(4, 8), (16, 8), ()]
    assert found.kwargs["flag"] is True
    assert with_batch(known, 1) == known
    with pytest.raises(VggcostError, match="no input starts with a size of 1"):
        with_batch(parse_inputs("3x8x8", 2), 4)


def test_what_a_source_says_a_model_takes_gets_the_batch() -> None:
    ids, image = InputRecord("", (1, 8), "int64"), InputRecord("", (3, 80, 60), "float32")
    net = nn.Identity()
    assert _arguments(Arguments((), {"ids": ids}), 4, net).kwargs["ids"] == InputRecord("ids", (4, 8), "int64")
    assert _arguments("3x8x8", 4, net).inputs == (InputRecord("input", (4, 3, 8, 8), "float32"),)
    with pytest.raises(VggcostError, match="a batch of 2 could take the place of; give inputs that have one"):
        _arguments(Arguments(([image],)), 2, net)


def test_a_side_takes_the_place_of_images_sides() -> None:
    found = with_side(parse_inputs(["3x224x224:float16", "tokens:1x8"], 2), 32)
    assert [(record.shape, record.dtype) for record in found.inputs] == [((2, 3, 32, 32), "float16"), ((2, 8), "int64")]
    with pytest.raises(VggcostError, match="no input is an image"):
        with_side(parse_inputs("tokens:1x8"), 32)


# Models that take more than one image


class Text(nn.Module):
    """Token ids and a mask by name, and flags."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 50)

    def forward(
        self, input_ids: torch.Tensor, mask: torch.Tensor | None = None, *, scale: float = 1.0, head: bool = True
    ) -> torch.Tensor:
        x = self.embed(input_ids) * scale
        x = x if mask is None else x * mask[..., None]
        return self.head(x) if head else x


class Detector(nn.Module):
    """A list of images of their own sizes, and in training a dict for each, as torchvision's detection models take them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]] | None = None) -> Any:
        assert isinstance(images, list)
        found = [self.conv(images.pop(0)[None]).mean((0, 2, 3)) for _ in range(len(images))]
        if targets is None:
            return found
        return sum((f * t.pop("boxes").sum()).sum() for f, t in zip(found, targets, strict=True))


class Fields(nn.Module):
    """One dict, with a dict in it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 5), nn.Linear(4, 5)

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        return self.first(batch["dense"]) + self.second(batch["more"]["dense"])


def detector_macs(*images: tuple[int, int]) -> int:
    return sum((height - 2) * (width - 2) * 4 * 27 for height, width in images)


@pytest.mark.parametrize(
    ("model", "inputs", "macs", "batch"),
    [
        (Text, "tokens:1x7", 7 * 8 * 50, 1),
        (Text, ["input_ids=2x7:int64", "mask=2x7"], 2 * 7 * 8 * 50, 2),
        (Text, ["7:int64", "mask=1x7"], 7 * 8 * 50, 1),
        (Text, ("7:int64", "7"), 7 * 8 * 50, 1),
        (Text, {"input_ids": torch.zeros(3, 7, dtype=torch.int64), "head": False}, 0, 3),
        (Text, {"input_ids": torch.zeros(3, 7, dtype=torch.int64), "mask": None, "scale": 0.5}, 3 * 7 * 8 * 50, 3),
        (Text, (torch.zeros(3, 7, dtype=torch.int64), torch.ones(3, 7)), 3 * 7 * 8 * 50, 3),
        (Text, Arguments((InputRecord("", (2, 7), "int64"),), {"head": True}), 2 * 7 * 8 * 50, 2),
        (Detector, ([torch.zeros(3, 9, 8), torch.zeros(3, 5, 4)],), detector_macs((9, 8), (5, 4)), 2),
        (Fields, ({"dense": torch.zeros(6, 3), "more": {"dense": torch.zeros(6, 4)}},), 6 * (15 + 20), 6),
    ],
)
def test_arguments_reach_the_model(model: Callable[[], nn.Module], inputs: Any, macs: int, batch: int) -> None:
    table = analyze(model(), inputs, saved=True)
    assert (table.totals.macs, table.run.batch) == (macs, batch)
    assert CostTable.from_json(table.to_json()) == table
    for form in ("table", "html", "markdown", "latex", "csv"):
        render(table, form)


def test_one_meta_tensor_a_leaf_and_the_loss_target_is_none_of_them() -> None:
    """The target of the loss is held as an input too; the receptive field must follow the inputs alone."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.conv = nn.Embedding(9, 4), nn.Conv2d(3, 4, 5, stride=2)

        def forward(self, ids: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
            return self.conv(image).mean((2, 3)) + self.embed(ids).mean(1)

    arguments = parse_inputs(["image=2x3x11x11", "ids=2x6:int64"])
    run = RunInfo("both", "both", (), "object", "", arguments.inputs, 2, "training")
    trace = trace_model(Both(), run, arguments=arguments)
    assert [s.nbytes for s in trace.storages if s.role == "input"] == [2 * 3 * 121 * 4, 2 * 6 * 8, 2 * 8]
    for inputs in (["image=2x3x11x11", "ids=2x6:int64"], ["ids=2x6:int64", "image=2x3x11x11"]):
        for mode in ("inference", "training"):
            layers = {layer.path: layer for layer in analyze(Both(), inputs, mode=mode).layers}
            assert (layers["conv"].receptive_field, layers["conv"].jump) == (5, 2)
            assert layers["embed"].receptive_field is None


def test_a_training_step_converts_the_floating_inputs_alone() -> None:
    inputs = ([torch.zeros(3, 9, 8)], [{"boxes": torch.zeros(2, 4), "labels": torch.zeros(2, dtype=torch.int64)}])
    found = memory(Detector(), inputs, dtype="float16", accumulate=2, loss=lambda output: output)
    assert [(record.name, record.dtype) for record in found.run.inputs] == [
        ("input0.0", "float16"), ("input1.0.boxes", "float16"), ("input1.0.labels", "int64"),
    ]  # fmt: skip
    assert dict(found.peak.by_role)["input"] == (216 + 8) * 2 + 2 * 8
    assert found.totals.forward_macs == 2 * detector_macs((9, 8))


def test_the_users_tensors_and_containers_stay_as_they_were() -> None:
    image = torch.rand(3, 9, 8, requires_grad=True)
    boxes = torch.rand(2, 4)
    images, targets = [image], [{"boxes": boxes}]
    before = image.detach().clone(), boxes.clone()
    memory(Detector(), (images, targets), loss=lambda output: output)
    assert images[0] is image
    assert targets == [{"boxes": boxes}]
    assert image.grad is None
    assert image.requires_grad
    assert not boxes.requires_grad
    assert torch.equal(image, before[0])
    assert torch.equal(boxes, before[1])
    assert image._version == boxes._version == 0


def test_arguments_are_given_anew_to_every_run() -> None:
    """The detector above empties the list that it is given."""
    inputs = ([torch.zeros(3, 9, 8)],)
    assert analyze(Detector(), inputs, saved=True).memory[-1].bytes == 3 * 9 * 8 * 4


# Mistakes


@pytest.mark.parametrize(
    ("model", "inputs", "says"),
    [
        (Text, "3x8x8", "embed takes whole numbers, got float32; give input as int64, such as -i 128:int64"),
        (Text, "input_ids=1x8", "embed takes whole numbers, got float32; give input_ids as int64, such as -i input_ids=1x8:int64"),
        (lambda: nn.Conv2d(3, 4, 3), "3x8x8:int64", "takes float32, got int64; give input as float32, such as -i 3x8x8:float32"),
        (lambda: nn.Conv2d(3, 4, 3, bias=False), "3x8x8:int64", "takes float32, got int64"),
        (lambda: nn.Conv2d(3, 4, 3, bias=False), "3x8x8:float16", "takes float32, got float16"),
        (lambda: nn.ConvTranspose2d(3, 4, 3), "3x8x8:int64", "takes float32, got int64"),
        (lambda: nn.Conv2d(3, 4, 3).half(), "3x8x8", "takes float16, got float32; give input as float16, such as -i 3x8x8:float16"),
        (lambda: nn.BatchNorm2d(3), "3x8x8:uint8", "takes float32, got uint8"),
        (lambda: nn.LSTM(3, 3), "5x3:int64", "takes float32, got int64"),
        (Detector, ([torch.zeros(3, 9, 8, dtype=torch.uint8)],), "conv takes float32, got uint8; give input.0 as float32"),
        (Text, "mask=1x8", "forward cannot be called so (missing a required argument: 'input_ids'); it takes input_ids, mask (optional), scale (optional), head (optional)"),
        (Text, ["7:int64", "maks=1x7"], "got an unexpected keyword argument 'maks'"),
        (Text, ["7:int64", "7", "7"], "too many positional arguments"),
        (Text, {"input_ids": torch.zeros(1, 7, dtype=torch.int64), "flag": True}, "unexpected keyword argument 'flag'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_how_to_give_it(model: Callable[[], nn.Module], inputs: Any, says: str) -> None:
    with pytest.raises(VggcostError) as caught:
        analyze(model(), inputs)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_type_error_inside_the_model_is_not_said_to_be_the_callers() -> None:
    class Wrong(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x, 1)  # type: ignore[no-any-return]

        def inner(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(VggcostError, match="Wrong failed: TypeError"):
        analyze(Wrong(), "3")


# What is printed


@pytest.mark.parametrize(
    ("model", "inputs", "says"),
    [
        (lambda: nn.Conv2d(3, 4, 3), "3x8x8", "for 1 input of 3×8×8."),
        (lambda: nn.Linear(3, 4), torch.zeros(2, 3), "for 2 inputs of 3 values."),
        (Text, "tokens:1x128", "for 1 input of 128 int64 values."),
        (Text, ["input_ids=1x8:int64", "mask=1x8"], "for input_ids 1×8 int64, mask 1×8."),
        (Detector, ([torch.zeros(3, 9, 8)],), "for input.0 3×9×8."),
    ],
)
def test_the_headline_says_what_goes_in(
    model: Callable[[], nn.Module], inputs: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    table = analyze(model(), inputs)
    text = render(table, "table")
    assert says in text.splitlines()[0]
    for record in table.run.inputs:
        assert f"{record.name} {'×'.join(map(str, record.shape))} {record.dtype}" in text
        assert re.search(rf"^ {re.escape(record.name)} +{record.dtype} ", text, re.MULTILINE)


# The command line


NET = """
import torch
from torch import nn
class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 50)
    def forward(self, input_ids, mask=None, head=True):
        x = self.embed(input_ids)
        x = x if mask is None else x * mask[..., None]
        return self.head(x) if head else x
"""
IDS = {"input_ids": {"shape": [1, 7], "dtype": "int64"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "my ids.json").write_text(json.dumps(IDS), encoding="utf-8")
    (tmp_path / "bad.json").write_text('{"a": {"shape": 3}}', encoding="utf-8")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [["-i", "7:int64", "-i", "mask=1x7"], ["--input-json", "my ids.json"], ["-i", "tokens:1x7"]],
    ids=["several", "json", "tokens"],
)
def test_the_printed_command_makes_the_table_again(options: list[str], folder: Path) -> None:
    first = command("report", "./net.py:Text", *options, "-b", "3", "--format", "json", cwd=folder)
    assert first.returncode == 0, first.stderr
    data = json.loads(first.stdout)
    assert (data["totals"]["macs"], data["run"]["batch"]) == (3 * 7 * 8 * 50, 3)
    program, *words = shlex.split(data["run"]["command"])
    assert program == "vggcost"
    assert words[: 2 + len(options)] == ["report", "./net.py:Text", *options]
    assert command(*words, "--format", "json", cwd=folder).stdout == first.stdout


def test_inputs_on_standard_input(folder: Path) -> None:
    text = json.dumps({**IDS, "head": False})
    done = command(
        "report", "./net.py:Text", "--input-json", "-", "-b", "2", "--format", "json", cwd=folder, stdin=text
    )
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["totals"]["macs"], data["run"]["command"]) == (0, "")
    assert data["run"]["inputs"] == [{"name": "input_ids", "shape": [2, 7], "dtype": "int64"}]


def test_every_command_takes_them(folder: Path) -> None:
    for line in (
        "memory ./net.py:Text --input-json - -b 2 --format json",
        "compare ./net.py:Text ./net.py:Text --input-json - -b 2",
        "diff ./net.py:Text ./net.py:Text --input-json -",
        "explain ./net.py:Text 2800 --input-json -",
        "fit ./net.py:Text --memory 1MiB --input-json -",
        "train ./net.py:Text --input-json -",
    ):
        done = command(*line.split(), cwd=folder, stdin=json.dumps(IDS))
        assert (done.returncode, done.stderr) == (0, ""), line


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--input-json missing.json", "cannot read missing.json: No such file"),
        ("--input-json bad.json", "bad.json: a.shape must be a list"),
        ("--input-json binary.json", "binary.json: not text"),
        ("--input-json -", "standard input: not JSON"),
        ("--input-json bad.json -i 7", "-i and --input-json both say what goes in"),
        ("-i tokens:2x7 -b 3", "already starts with 2"),
        ("-i x=1x7 -i x=1x7", "'x' is given twice"),
        ("-i foo=1x7:int64", "missing a required argument: 'input_ids'"),
        ("-i 3x7", "embed takes whole numbers"),
    ],
)
def test_bad_inputs_are_one_line_and_status_2(line: str, says: str, folder: Path) -> None:
    done = command("report", "./net.py:Text", *line.split(), cwd=folder, stdin="{")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_fit_varies_whatever_has_a_batch() -> None:
    budget = 200_000
    found = {fit(Text(), budget, inputs=text).answer for text in ("7:int64", "tokens:1x7", ["input_ids=1x7:int64"])}
    assert len(found) == 1
    assert memory(Text(), "7:int64", batch=found.pop()).totals.peak_bytes <= budget
    with pytest.raises(VggcostError, match="no input is an image"):
        fit(Text(), budget, "resolution", "7:int64")
    with pytest.raises(VggcostError, match="no input starts with a size of 1"):
        fit(Text(), 2**40, inputs=torch.zeros(3, 7, dtype=torch.int64))


def test_a_path_is_a_file_of_json(folder: Path) -> None:
    assert to_arguments(folder / "my ids.json", 2).inputs == (InputRecord("input_ids", (2, 7), "int64"),)
