"""Programs of torch.export by a hostile author: none runs anything, each is refused in one line."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import command
from vggcost import analyze
from vggcost.errors import ModelError, VggcostError
from vggcost.load.archive import Archive, ArchiveError
from vggcost.load.expressions import Refused, expression
from vggcost.load.targets import target

Parts = dict[str, bytes]
MODEL, WEIGHTS, CONSTANTS = (
    "models/model.json",
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
MACS = 2 * (49 * 8 * 27 + 8 * 5)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> dict[str, torch.Tensor]:
        y = torch.relu(self.norm(self.conv(x))).mean((2, 3)) + torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8])
        return {"all": self.fc(y) * scale, "both": torch.nn.functional.pad(y, (1, 1))}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "net.pt2"
    save(Small(), path, torch.zeros(2, 3, 9, 9), dynamic_shapes={"x": {0: torch.export.Dim("b", max=64)}})
    return path.read_bytes()


def save(module: nn.Module, path: Path, *inputs: Any, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module.eval(), inputs, **options), path)
    return path


class Evil:
    """Makes a folder where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def evil(mark: Path, part: str = "") -> bytes:
    if part.startswith("opaque"):
        return pickle.dumps(Evil(mark))
    file = io.BytesIO()
    torch.save(Evil(mark), file)
    return file.getvalue()


def parts_of(data: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def packed(parts: Parts) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target_:
        for name, data in parts.items():
            target_.writestr(f"net/{name}", data)
    return file.getvalue()


def changed(parts: Parts, name: str, change: Callable[[Any], None]) -> Parts:
    """The parts with one of JSON changed."""
    said = json.loads(parts[name])
    before = json.dumps(said)
    change(said)
    assert json.dumps(said) != before, "nothing is attacked"
    return parts | {name: json.dumps(said).encode()}


def pickled(parts: Parts, config: str, part: str, folder: str, mark: Path) -> Parts:
    """The parts with a pickle under a name."""

    def change(said: Any) -> None:
        first = next(iter(said["config"].values()))
        first.update(path_name=part, use_pickle=True)

    return changed(parts, config, change) | {f"{folder}/{part}": evil(mark, part)}


def refused(data: bytes, folder: Path, mark: Path, says: str = "cannot be read|is not read") -> None:
    path = folder / "net.pt2"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=says) as caught:
        analyze(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not mark.exists()


def test_a_good_program_and_its_parts_packed_anew_give_one_table(good: bytes, tmp_path: Path) -> None:
    for n, data in enumerate((good, packed(parts_of(good)))):
        (tmp_path / f"{n}.pt2").write_bytes(data)
    first, second = (analyze(str(tmp_path / f"{n}.pt2")) for n in range(2))
    plain = analyze(Small().eval(), torch.zeros(2, 3, 9, 9))
    assert first.totals == second.totals
    assert first.totals.macs == plain.totals.macs == MACS
    assert first.totals.params == plain.totals.params
    assert first.run.inputs[0].shape == (2, 3, 9, 9)
    assert analyze(str(tmp_path / "0.pt2"), "3x9x9", batch=3).totals.macs == MACS // 2 * 3


# The archive


def ended(data: bytes) -> tuple[int, int, int]:
    """Where the directory of an archive begins, where its end begins, and how many parts it lists."""
    at = data.rfind(b"PK\x05\x06")
    _, _, _, _, count, _, start, _ = struct.unpack("<4s4H2IH", data[at : at + 22])
    return start, at, count


def beside(good: bytes, bad: bytes, full: bool = True) -> bytes:
    """Two archives with two directories: Python reads the one before zip64's locator, torch the one that this names."""
    body = good[: ended(good)[0]] + bad[: ended(bad)[0]]
    for data, moved in ((bad, ended(good)[0]), (good, 0)):
        start, _, count = ended(data)
        listed = bytearray(data[start : data_end(data)])
        place = 0
        while place < len(listed):
            named, extra, comment = struct.unpack_from("<3H", listed, place + 28)
            (offset,) = struct.unpack_from("<I", listed, place + 42)
            struct.pack_into("<I", listed, place + 42, offset + moved)
            place += 46 + named + extra + comment
        begin, named_end = len(body), len(body) + len(listed)
        wide = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 30, 45, 0, 0, count, count, len(listed), begin)
        body += bytes(listed) + wide
        if data is bad:
            locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, named_end, 1)
    told = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if full else (count, count, len(listed), begin)
    return body + locator + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, *told, 0)


def data_end(data: bytes) -> int:
    start, at, _ = ended(data)
    wide = data.rfind(b"PK\x06\x06", start, at)
    return wide if wide > 0 else at


def edited(data: bytes, sign: bytes, part: str, edit: Callable[[bytearray, int, int], None]) -> bytes:
    """An archive with the local header (`PK34`) or the directory's entry (`PK12`) of a part edited."""
    out = bytearray(data)
    length, skip = (30, 26) if sign == b"PK\x03\x04" else (46, 28)
    for match in re.finditer(re.escape(sign), data):
        (named,) = struct.unpack_from("<H", data, match.start() + skip)
        if data[match.start() + length : match.start() + length + named].endswith(part.encode()):
            edit(out, match.start(), match.start() + length)
            break
    assert out != data, "nothing is attacked"
    return bytes(out)


def put(form: str, shift: int, value: int) -> Callable[[bytearray, int, int], None]:
    return lambda out, at, name: struct.pack_into(form, out, at + shift, value)


def letter(shift: int, sign: bytes) -> Callable[[bytearray, int, int], None]:
    def edit(out: bytearray, at: int, name: int) -> None:
        out[name + shift : name + shift + len(sign)] = sign

    return edit


HERE, LISTED = b"PK\x03\x04", b"PK\x01\x02"


def deflated(parts: Parts, size: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target_:
        for name, data in parts.items():
            target_.writestr(f"net/{name}", bytes(size) if size and name == MODEL else data)
    return file.getvalue()


def twice(parts: Parts, other: bytes, name: str = MODEL) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target_, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part, data in parts.items():
            target_.writestr(f"net/{part}", data)
        target_.writestr(f"net/{name}", other)
    return file.getvalue()


def linked(parts: Parts, mode: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target_:
        for name, data in parts.items():
            info = zipfile.ZipInfo(f"net/{name}")
            info.create_system, info.external_attr = 3, (mode if name == MODEL else 0o100644) << 16
            target_.writestr(info, data)
    return file.getvalue()


def spliced(data: bytes, junk: bytes) -> bytes:
    """Bytes between the last part and the directory, with the directory's place mended."""
    start, at, _ = ended(data)
    out = bytearray(data[:start] + junk + data[start:])
    struct.pack_into("<I", out, at + len(junk) + 16, start + len(junk))
    return bytes(out)


ARCHIVES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "two directories": beside,
    "two directories, the other way": lambda good, bad: beside(bad, good),
    "two directories, one told by the end": lambda good, bad: beside(good, bad, full=False),
    "another archive before it": lambda good, bad: bad + good,
    "another archive after it": lambda good, bad: good + bad,
    "text before it": lambda good, bad: b"#!/bin/sh\n" + good,
    "text after it": lambda good, bad: good + b"\n",
    "a comment that holds another directory": lambda good, bad: good[:-2] + struct.pack("<H", len(bad)) + bad,
    "bytes before its directory": spliced,
    "another name where it stands": lambda good, bad: edited(good, HERE, MODEL, letter(4, b"M")),
    "another name in the directory": lambda good, bad: edited(good, LISTED, MODEL, letter(4, b"M")),
    "another size where it stands": lambda good, bad: edited(good, HERE, MODEL, put("<I", 22, 7)),
    "another size in the directory": lambda good, bad: edited(good, LISTED, MODEL, put("<I", 24, 7)),
    "both sizes in the directory": lambda good, bad: edited(
        edited(good, LISTED, MODEL, put("<I", 24, 7)), LISTED, MODEL, put("<I", 20, 7)
    ),
    "a size of zip64 that is not told": lambda good, bad: edited(good, LISTED, MODEL, put("<I", 24, 0xFFFFFFFF)),
    "another checksum": lambda good, bad: edited(good, LISTED, MODEL, put("<I", 16, 7)),
    "two parts in one place": lambda good, bad: edited(good, LISTED, MODEL, put("<I", 42, 0)),
    "encrypted": lambda good, bad: edited(good, LISTED, MODEL, put("<H", 8, 1)),
    "packed where it stands": lambda good, bad: edited(good, HERE, MODEL, put("<H", 8, 8)),
    "fewer parts than there are": lambda good, bad: good[:-14] + struct.pack("<2H", 3, 3) + good[-10:],
    "more than one disk": lambda good, bad: good[:-18] + struct.pack("<2H", 1, 1) + good[-14:],
    "an empty directory": lambda good, bad: good[:-22] + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0, 0, 0, len(good) - 22, 0),
    "cut": lambda good, bad: good[: len(good) // 2],
    "nothing": lambda good, bad: b"",
    "zeros": lambda good, bad: bytes(100_000),
    "one name twice": lambda good, bad: twice(parts_of(good), parts_of(bad)[MODEL]),
    "one name twice, but for its letters": lambda good, bad: twice(parts_of(good), b"{}", MODEL.upper()),
    "packed": lambda good, bad: deflated(parts_of(good)),
    "a bomb": lambda good, bad: deflated(parts_of(good), 1 << 30),
    "a link": lambda good, bad: linked(parts_of(good), 0o120777),
    "a device": lambda good, bad: linked(parts_of(good), 0o020666),
    "an absolute name": lambda good, bad: edited(good, LISTED, MODEL, letter(0, b"/")),
    "a name that leads out": lambda good, bad: edited(good, LISTED, MODEL, letter(0, b"../")),
    "a name with NUL": lambda good, bad: edited(good, LISTED, MODEL, letter(4, b"\0")),
    "a name with a backslash": lambda good, bad: edited(good, LISTED, MODEL, letter(3, b"\\")),
    "a name with an escape": lambda good, bad: edited(good, LISTED, MODEL, letter(4, b"\x1b")),
}  # fmt: skip


@pytest.mark.parametrize("attack", ARCHIVES)
@pytest.mark.parametrize("writer", ["torch", "zipfile"])
def test_an_archive_that_two_readers_could_read_differently(
    attack: str, writer: str, good: bytes, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    bad = packed(pickled(parts_of(good), CONSTANTS, "opaque_obj_0", "data/constants", mark))
    data = packed(parts_of(good)) if writer == "zipfile" else good
    refused(ARCHIVES[attack](data, bad), tmp_path, mark)


def test_the_attack_would_leave_its_mark(good: bytes, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "net.pt2"
    path.write_bytes(packed(pickled(parts_of(good), CONSTANTS, "opaque_obj_0", "data/constants", mark)))
    with suppress(Exception):  # what follows the mark is torch's matter
        torch.export.load(path)
    assert mark.is_dir()


def test_sizes_are_limited_before_anything_is_read(good: bytes, tmp_path: Path) -> None:
    parts = parts_of(good)
    archive = Archive(io.BytesIO(packed(parts)))
    with pytest.raises(ArchiveError, match="at most 10 are read"):
        archive.read(f"net/{MODEL}", 10)
    refused(packed(parts | {MODEL: b"[" * (1 << 25) + b"]"}), tmp_path, tmp_path / "mark", "too large")
    refused(packed(parts | {MODEL: b"[" * 100_000}), tmp_path, tmp_path / "mark", "cannot be read")
    refused(packed(parts | {MODEL: b'{"a":' + b"9" * 5000 + b"}"}), tmp_path, tmp_path / "mark", "cannot be read")


def test_a_checksum_is_compared() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("net/a", "one")
    data = file.getvalue().replace(b"one", b"two")
    with pytest.raises(ArchiveError, match="damaged"):
        Archive(io.BytesIO(data)).read("net/a", 9)


# Pickles


PICKLES: dict[str, Callable[[Parts, Path], Parts]] = {
    "an opaque object": lambda p, mark: pickled(p, CONSTANTS, "opaque_obj_0", "data/constants", mark),
    "an object of a script": lambda p, mark: pickled(p, CONSTANTS, "custom_obj_0", "data/constants", mark),
    "a constant": lambda p, mark: pickled(p, CONSTANTS, "tensor_0", "data/constants", mark),
    "a weight": lambda p, mark: pickled(p, WEIGHTS, "weight_0", "data/weights", mark),
    "a weight elsewhere": lambda p, mark: pickled(p, WEIGHTS, "../constants/tensor_0", "data/weights", mark),
    "all weights, as they were": lambda p, mark: p | {"data/weights/model.pt": evil(mark)},
    "all constants, as they were": lambda p, mark: p | {"data/constants/model.pt": evil(mark)},
    "an object that nothing names": lambda p, mark: p | {"data/constants/opaque_obj_0": evil(mark, "opaque")},
    "compiled code": lambda p, mark: p | {"data/aotinductor/model/model.so": evil(mark)},
    "a second program": lambda p, mark: p | {"models/other.json": p[MODEL], "data/sample_inputs/other.pt": evil(mark)},
    "a program of another tool": lambda p, mark: p | {"data/executorch/model.pte": evil(mark)},
    "an archive of torch 2.7": lambda p, mark: {
        "version": b"8.7", "serialized_exported_program.json": p[MODEL], "serialized_state_dict.pt": evil(mark),
        "serialized_constants.pt": evil(mark), "serialized_example_inputs.pt": evil(mark),
    },
}  # fmt: skip


@pytest.mark.parametrize("attack", PICKLES)
def test_no_pickle_is_read(attack: str, good: bytes, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    refused(packed(PICKLES[attack](parts_of(good), mark)), tmp_path, mark)


def test_the_pickled_inputs_are_left_alone(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(packed(parts_of(good) | {"data/sample_inputs/model.pt": evil(tmp_path / "mark")}))
    assert analyze(str(path)).totals.macs == MACS
    assert not (tmp_path / "mark").exists()


# What the program says


CODE = "__import__('os').mkdir('{mark}')"


def relu(said: Any) -> Any:
    return next(node for node in said["graph_module"]["graph"]["nodes"] if "relu" in node["target"])


def sizes(said: Any) -> Iterator[dict[str, Any]]:
    for meta in said["graph_module"]["graph"]["tensor_values"].values():
        yield from (size["as_expr"] for size in meta["sizes"] if "as_expr" in size)


def retarget(name: str) -> Callable[[Any, str], None]:
    return lambda said, mark: relu(said).update(target=name)


def files(said: Any, mark: str) -> None:
    relu(said).update(
        target="torch.ops.aten.from_file.default",
        inputs=[
            {"name": "filename", "arg": {"as_string": mark}, "kind": 1},
            {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
            {"name": "size", "arg": {"as_int": 4}, "kind": 1},
        ],
    )


def measured(text: str) -> Callable[[Any, str], None]:
    def change(said: Any, mark: str) -> None:
        for size in sizes(said):
            size["expr_str"] = text.format(mark=mark)

    return change


def renamed(old: str, new: str) -> Callable[[Any, str], None]:
    def change(said: Any, mark: str) -> None:
        text = json.dumps(said).replace(json.dumps(old), json.dumps(new.replace("{mark}", mark)))
        said.clear()
        said.update(json.loads(text))

    return change


def argument(value: Any) -> Callable[[Any, str], None]:
    return lambda said, mark: relu(said)["inputs"][0].update(arg=value)


def graph(name: str, value: Any) -> Callable[[Any, str], None]:
    return lambda said, mark: said["graph_module"]["graph"].update({name: value})


def nested(count: int) -> Any:
    value: Any = {"as_none": True}
    for _ in range(count):
        value = {"as_string_to_argument": {"a": value}}
    return value


CUSTOM = {"name": "x", "class_fqn": "os.system"}
SAID: dict[str, Callable[[Any, str], None]] = {
    **{name: retarget(name) for name in (
        "torch.os.mkdir", "torch.hub.load", "torch.load", "torch.serialization.load", "torch.ops.load_library",
        "torch.ops.aten.save.default", "torch.ops.aten.from_file.default", "torch.ops.aten._print.default",
        "torch.ops.aten.__class__.default", "torch.ops.aten.relu.__init__", "torch.ops.torchvision.write_file.default",
        "torch.ops.image.write_file.default", "torch.ops.higher_order.print", "torch.ops.higher_order.call_torchbind",
        "torch.ops.higher_order.aoti_call_delegate", "torch.ops.higher_order.dynamo_bypassing_wrapper",
        "torch.ops.prim.RaiseException.default", "torch.ops.profiler._record_function_enter.default",
        "_operator.methodcaller", "_operator.attrgetter", "_operator.call", "_operator.setitem", "math.factorial",
        "math.__loader__.load_module", "#ns:op", "os.mkdir", "", "torch.ops.aten.relu.default\nimport os",
        "torch.ops.aten.none_such.default",
    )},
    "an op that makes a file": files,
    "a function as an argument": argument({"as_operator": "torch.os.system"}),
    "an object as an argument": argument({"as_custom_obj": CUSTOM}),
    "an object as an input": lambda said, mark: said["graph_module"]["signature"]["input_specs"].append(
        {"custom_obj": {"arg": CUSTOM, "custom_obj_name": "x"}}
    ),
    "an object among the values": graph("custom_obj_values", {"x": CUSTOM}),
    "a deep argument": argument(nested(300)),
    "an argument of no known form": argument({"as_module": "os"}),
    "an argument of two forms": argument({"as_int": 1, "as_tensor": {"name": "x"}}),
    "a name with code": renamed("x", "x=" + CODE),
    "a name with a line": renamed("x", "x\n    import os"),
    "a keyword for a name": renamed("x", "lambda"),
    "a weight's name with code": renamed("conv.weight", 'conv.weight") or ' + CODE + ' or ("'),
    "a weight under Python's own name": renamed("conv.weight", "conv.__class__.weight"),
    "a weight under the module's own name": renamed("conv.weight", "_modules.weight"),
    "a weight's name with an escape": renamed("conv.weight", "conv.\x1b]0;x\x07"),
    "a name of an argument": lambda said, mark: relu(said)["inputs"][0].update(name="self, *" + CODE),
    "modules with code": lambda said, mark: relu(said)["metadata"].update(nn_module_stack=f'L,a"){CODE}#,b'),
    "modules under Python's own name": lambda said, mark: relu(said)["metadata"].update(nn_module_stack="L,,m;K,__init__,m"),
    "modules that are none": lambda said, mark: relu(said)["metadata"].update(nn_module_stack=7),
    "arguments' names": lambda said, mark: said["graph_module"]["module_call_graph"][0]["signature"].update(
        forward_arg_names=["x", "scale=" + CODE]
    ),
    "a dialect": lambda said, mark: said.update(verifiers=["os.system"]),
    "a size without end": lambda said, mark: said.update(range_constraints={"u99999999999": {"min_val": 0, "max_val": 9}}),
    "a limit without end": lambda said, mark: said.update(range_constraints={"s0": {"min_val": 0, "max_val": 10**400}}),
    "text for a number": lambda said, mark: said["schema_version"].update(major="8"),
    "a truth value for a number": lambda said, mark: said["schema_version"].update(major=True),
    "no program": lambda said, mark: said.update(graph_module=[]),
    "no graph": lambda said, mark: said["graph_module"].pop("graph"),
    "a type of no number": lambda said, mark: next(iter(said["graph_module"]["graph"]["tensor_values"].values())).update(dtype=99),
    "another version": lambda said, mark: said["schema_version"].update(major=99),
    "an expression of code": measured(CODE),
    "an attribute": measured("Symbol('s0').__class__"),
    "powers of powers": measured("2**2**2**2**2**2"),
    "powers of powers in functions": measured("Pow(Pow(Pow(Integer(9), Integer(64)), Integer(64)), Integer(64))"),
    "a power of a size": measured("Pow(Integer(2), Symbol('s0', integer=True))"),
    "a shift": measured("LShift(Integer(1), Integer(99999999999))"),
    "a deep expression": measured("Add(" * 90 + "Integer(1)" + ")" * 90),
    "a long expression": measured("+".join(["1"] * 9000)),
}  # fmt: skip


@pytest.mark.parametrize("attack", SAID)
def test_a_program_that_says_more_than_a_program_says(attack: str, good: bytes, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    parts = parts_of(good)
    if attack.startswith("a weight"):  # its name stands in both
        parts = changed(parts, WEIGHTS, lambda said: SAID[attack](said, str(mark)))
    parts = changed(parts, MODEL, lambda said: SAID[attack](said, str(mark)))
    refused(packed(parts), tmp_path, mark)


FACTORY = {"default_factory_module": "harmful", "default_factory_name": "mark", "dict_context": ["all", "both"]}
LEAF = {"type": None, "context": None, "children_spec": []}
ENUM = [{"__enum__": True, "fqn": "harmful:mark", "name": "a"}, "both"]
LEFT_OUT: dict[str, Callable[[Any, str], None]] = {
    "conditions": lambda said, mark: said.update(guards_code=[CODE.format(mark=mark)]),
    "where an op is from": lambda said, mark: relu(said)["metadata"].update(
        source_fn_stack="a,torch.utils.cpp_extension.load", from_node="[]", custom="{}", stack_trace=f'"\n{CODE}'
    ),
    "notes of the graph": lambda said, mark: said["graph_module"].update(metadata={"custom": "[" * 9}),
    "named tuples": lambda said, mark: said["graph_module"].update(
        treespec_namedtuple_fields={"harmful.mark": {"field_names": ["a"]}}
    ),
    "a mapping that makes its values": lambda said, mark: spec(said, "collections.defaultdict", FACTORY),
    "a type to import": lambda said, mark: spec(said, "harmful.mark", '{"fields": []}'),
}


def spec(said: Any, kind: str, context: Any) -> None:
    out = {"type": kind, "context": context, "children_spec": [LEAF, LEAF]}
    said["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, out])


@pytest.mark.parametrize("attack", LEFT_OUT)
def test_what_could_only_be_code_is_left_out(
    attack: str, good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "net.pt2"
    (tmp_path / "harmful.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nmark = list\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    path.write_bytes(packed(changed(parts_of(good), MODEL, lambda said: LEFT_OUT[attack](said, str(mark)))))
    assert analyze(str(path)).totals.macs == MACS
    assert not mark.exists()


def test_keys_of_a_mapping_are_plain(good: bytes, tmp_path: Path) -> None:
    data = packed(changed(parts_of(good), MODEL, lambda said: spec(said, "builtins.dict", json.dumps(ENUM))))
    refused(data, tmp_path, tmp_path / "mark", "keys that are no plain values")


FORMS: dict[str, dict[str, Any]] = {
    "larger than the file": {"sizes": [{"as_int": 1 << 40}], "strides": [{"as_int": 1}]},
    "larger than can be": {"sizes": [{"as_int": 1 << 61}] * 2, "strides": [{"as_int": 0}] * 2},
    "past its end": {"storage_offset": {"as_int": 1 << 20}},
    "before its beginning": {"storage_offset": {"as_int": -8}},
    "backwards": {"strides": [{"as_int": -1}] * 4},
    "of sizes that are expressions": {"sizes": [{"as_expr": {"expr_str": "Symbol('s0')", "hint": None}}]},
    "of fewer steps than sizes": {"strides": []},
    "sparse": {"layout": 1},
    "of no type": {"dtype": 0},
    "of whole numbers with a gradient": {"dtype": 4, "requires_grad": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_tensor_is_what_its_bytes_can_be(form: str, good: bytes, tmp_path: Path) -> None:
    data = packed(
        changed(parts_of(good), WEIGHTS, lambda said: said["config"]["conv.weight"]["tensor_meta"].update(FORMS[form]))
    )
    refused(data, tmp_path, tmp_path / "mark")


@pytest.mark.parametrize(
    "text",
    [
        "s0", "Symbol('s77', positive=True, integer=True)", "FloorDiv(Add(Symbol('s1'), Integer(-1)), Integer(2))",
        "Max(Integer(1), Pow(Symbol('u0'), Integer(2)))", "2 * s0 - 1", "Pow(Symbol('s0'), Rational(1, 2))",
        "StrictLessThan(Symbol('s0'), Integer(9))", "Float('2.5', precision=53)", "PythonMod(Symbol('s0'), Integer(8))",
    ],
)  # fmt: skip
def test_expressions_of_sizes(text: str) -> None:
    assert expression(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "Symbol", "Symbol('x' * 9)", "Symbol('s0', evaluate=1)", "Symbol(f'{0}')", "S('1')", "sympify('1')",
        "Lambda(s0, s0)", "Add.__mro__", "[Integer(1)]", "(lambda: 1)()", "Integer('1')", "Integer(10**9)", "1 if 1 else 2",
        "Add(*s0)", "Add(s0, evaluate=False)", "2**s0", "2**65", "2**-99999", "1 << 9", "True", "1.5", "1j", "'a'", "b'a'",
        f"Integer({1 << 64})", "Float('1e9999')", "Float('1', precision=9999999)", "Float('nan')", "Mul(" + "2**64," * 99 + ")",
        "Rational(1, 2, 3)", "Pow(2, Rational(1, 0))", "Function('f')(s0)", "s0.is_Integer", "s0[0]", "s0 and s0", "s" + "0" * 9,
    ],
)  # fmt: skip
def test_expressions_of_more_than_sizes(text: str) -> None:
    with pytest.raises(Refused):
        expression(text)


def test_targets_of_every_op_with_a_file() -> None:
    """No op that takes a path, or prints, is one that a program may call, whatever library has it."""
    pytest.importorskip("torchvision")
    strings = {"filename", "path", "file", "s", "name", "so_path"}
    found = 0
    for schema in torch._C._jit_get_all_schemas():
        if any(argument.name in strings and "str" in str(argument.type) for argument in schema.arguments):
            library, _, op = schema.name.partition("::")
            with pytest.raises(Refused):
                target(f"torch.ops.{library}.{op}.{schema.overload_name or 'default'}")
            found += 1
    assert found > 5


def test_on_the_command_line(good: bytes, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    bad = packed(pickled(parts_of(good), CONSTANTS, "opaque_obj_0", "data/constants", mark))
    (tmp_path / "net.pt2").write_bytes(beside(good, bad))
    done = command("report", "./net.pt2", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert not mark.exists()


# What is read besides


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


def test_what_a_program_makes_is_on_meta_wherever_it_ran(tmp_path: Path) -> None:
    """The first state of an LSTM is made on the CPU, as the program tells."""
    found = analyze(str(save(Recurrent(), tmp_path / "net.pt2", torch.zeros(2, 7, 3))))
    assert found.totals.macs == 2 * 7 * 4 * 5 * (3 + 5)


def test_sizes_that_differ_from_call_to_call_are_read(tmp_path: Path) -> None:
    """Their conditions are code, and are left out."""
    auto = torch.export.Dim.AUTO
    path = save(nn.Conv2d(3, 4, 3), tmp_path / "net.pt2", torch.zeros(2, 3, 9, 9), dynamic_shapes=({2: auto, 3: auto},))
    assert "guards_code" in parts_of(path.read_bytes())[MODEL].decode()
    assert analyze(str(path)).totals.macs == 2 * 49 * 4 * 27
    assert analyze(str(path), "3x5x12", batch=2).totals.macs == 2 * 30 * 4 * 27


MAKES = {
    "full": {"size": {"as_ints": [10**11]}, "fill_value": {"as_float": 1.0}},
    "arange": {"end": {"as_int": 10**11}},
    "eye": {"n": {"as_int": 10**6}},
    "rand": {"size": {"as_ints": [10**11]}},
    "new_zeros": {"self": {"as_tensor": {"name": "c_lifted_tensor_0"}}, "size": {"as_ints": [10**11]}},
}


@pytest.mark.parametrize("op", MAKES)
def test_an_op_of_a_program_takes_no_memory(op: str, good: bytes, tmp_path: Path) -> None:
    """Nor does one that is told no device: what it makes has 400 GB, and goes where a reduction over images is."""

    def change(said: Any) -> None:
        inputs = [{"name": name, "arg": value, "kind": 1} for name, value in MAKES[op].items()]
        relu(said).update(target=f"torch.ops.aten.{op}.default", inputs=inputs)

    path = tmp_path / "net.pt2"
    path.write_bytes(packed(changed(parts_of(good), MODEL, change)))
    with pytest.raises(VggcostError, match="Dimension out of range"):
        analyze(str(path))


def test_tied_weights_count_once_and_large_buffers_stay_unread(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(50, 8), nn.Linear(8, 50, bias=False)
            self.out.weight = self.embed.weight
            self.register_buffer("table", torch.zeros(5_000_000))

        def forward(self, given: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.out(self.embed(given["ids"])) + self.table[:50]

    path = save(Tied(), tmp_path / "net.pt2", {"ids": torch.zeros(2, 5, dtype=torch.long)})
    table = analyze(str(path))
    assert (table.totals.params, table.totals.macs) == (400, 10 * 8 * 50)
    assert table.run.inputs[0].name == "input.ids"


def test_the_type_of_an_output_is_not_imported(tmp_path: Path) -> None:
    """A program whose outputs are of another package's type is read without it."""
    path = save(Small(), tmp_path / "net.pt2", torch.zeros(2, 3, 9, 9))
    parts = changed(parts_of(path.read_bytes()), MODEL, lambda said: spec(said, "transformers.Output", '["a", "b"]'))
    path.write_bytes(packed(parts))
    assert analyze(str(path)).totals.macs == MACS


@pytest.mark.parametrize("kind", ["fifo", "loop", "device", "long", "nul", "folder", "sparse"])
def test_what_is_no_ordinary_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300 + ".pt2" if kind == "long" else "a\0.pt2" if kind == "nul" else "net.pt2")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind in ("loop", "device"):
        path.symlink_to(path if kind == "loop" else "/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    says = {"folder": "is a folder", "sparse": "no zip file"}.get(kind, "no such file")
    with pytest.raises(ModelError, match=says):
        analyze(str(path))
