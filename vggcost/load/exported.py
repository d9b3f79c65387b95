"""Programs of torch.export: `model.pt2`.

torch's own reader runs what is in such a file: it unpickles, evaluates, imports, and looks functions up by any name.
So it is never given the file. One reader takes it apart (`archive`), what the program says is checked and written
anew (`schema`), its tensors are made from their description (`payload`), and torch is given these.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vggcost.errors import ModelError, OptionError, one_line
from vggcost.load.archive import Archive, ArchiveError
from vggcost.load.export_schema import parse, said
from vggcost.load.expressions import Refused
from vggcost.load.loaded import Loaded
from vggcost.load.payload import tensors
from vggcost.load.quiet import quiet
from vggcost.load.user import where
from vggcost.records import Arguments, InputRecord

__all__ = ["load"]

_TRUSTED = (
    "if you trust the file, load it with torch.export.load and give torch.export.unflatten of it to vggcost.analyze"
)


def load(path: str, options: dict[str, Any]) -> Loaded:
    """Read an exported program, with the modules it was made of, and the inputs it was exported with.

    Nothing in the file is run, imported or unpickled.

    Raises:
        ModelError: the file is missing, or is no exported program that can be read so.
        OptionError: options are given, which a program has none of.
    """
    if options:
        raise OptionError(f"{path} is an exported program and takes no options, got -k {next(iter(options))}")
    if not os.path.isfile(path):
        raise ModelError(f"{path} is a folder, not a file" if os.path.isdir(path) else f"no such file: {path}")
    try:
        with Archive.open(path) as archive, quiet():
            return _loaded(path, _Parts(archive))
    except ArchiveError as error:
        raise ModelError(f"{path} cannot be read as a program of torch.export: {error}") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error
    except Refused as error:
        raise ModelError(f"{path} is not read: {error}; {_TRUSTED}") from error


def _loaded(path: str, parts: _Parts) -> Loaded:
    import torch
    from torch._export.serde import schema, serialize

    try:
        state, constants = (
            tensors(
                said(schema.PayloadConfig, parts.json(config))["config"], parts.tensors(folder), parts.reader(folder)
            )
            for config, folder in (
                ("data/weights/model_weights_config.json", "data/weights/"),
                ("data/constants/model_constants_config.json", "data/constants/"),
            )
        )
        program = said(schema.ExportedProgram, parts.json("models/model.json"))
        text = serialize._to_json_bytes(program)
        artifact = serialize.SerializedArtifact(text, state, constants, b"")  # type: ignore[arg-type]
        read = serialize.deserialize(artifact)
        arguments = _arguments(read)
        return Loaded(torch.export.unflatten(read), path, Path(path).stem, (), "export", arguments)
    except (ArchiveError, Refused):
        raise
    except Exception as error:
        raise ModelError(f"{path} cannot be read as a program of torch.export: {where(error)}") from error


class _Parts:
    """The parts of a program: each is one of those that torch writes for a program alone."""

    def __init__(self, archive: Archive) -> None:
        """Look at the names.

        Raises:
            ArchiveError: it is no program.
            Refused: it holds more than one.
        """
        self._archive = archive
        self._root, _, _ = next(iter(archive.sizes)).partition("/")
        for name in archive.sizes:
            root, _, rest = name.partition("/")
            if root != self._root or not (rest in _KNOWN or rest.startswith("extra/") or _tensor(rest)):
                raise _stranger(name, rest)
        for name, value in _KNOWN.items():
            if value is not None and self._read(name, 16) not in value:
                raise ArchiveError(f"{name} in it is not {value[0].decode()}")

    def json(self, name: str) -> Any:
        """Read a part of JSON."""
        return parse(self._read(name, 1 << 27), name)

    def tensors(self, folder: str) -> dict[str, int]:
        """List the parts of a folder, with their sizes."""
        start = f"{self._root}/{folder}"
        return {name.removeprefix(start): n for name, n in self._archive.sizes.items() if name.startswith(start)}

    def reader(self, folder: str) -> Any:
        """Return what reads a part of a folder."""
        return lambda name, most: self._read(f"{folder}{name}", most)

    def _read(self, name: str, most: int) -> bytes:
        return self._archive.read(f"{self._root}/{name}", most)


_KNOWN: dict[str, tuple[bytes, ...] | None] = {
    "archive_format": (b"pt2",),
    "archive_version": (b"0",),
    "byteorder": (b"little",),
    ".data/version": None,
    ".data/serialization_id": None,
    "models/model.json": None,
    "data/weights/model_weights_config.json": None,
    "data/constants/model_constants_config.json": None,
    "data/sample_inputs/model.pt": None,  # pickled, and never read: the program tells its inputs too
}
"""The parts of a program but its tensors, and what stands in those of one word."""


def _tensor(name: str) -> bool:
    kinds = {"data/weights/weight_": True, "data/constants/tensor_": True}
    return any(name.startswith(start) and name.removeprefix(start).isdecimal() for start in kinds)


def _stranger(name: str, rest: str) -> Exception:
    if rest in ("data.pkl", "version") or "archive_format" in rest:
        return ArchiveError("it is another zip file, such as one of torch.save, which does not tell the architecture")
    if rest.startswith("data/constants/"):
        return Refused(f"{rest[:80]!r} in it is a pickled object, which could run code when it is read")
    if rest.startswith("data/aotinductor/"):
        return Refused("it holds compiled code")
    return Refused(f"{name[:80]!r} in it is no part of one program of torch.export")


def _arguments(program: Any) -> Arguments | None:
    """Describe the inputs that the program was exported with, as its graph tells them; None where it does not."""
    from torch.utils import _pytree

    values = list(_values(program))
    if None in [size for value in values if isinstance(value, InputRecord) for size in value.shape]:
        return None
    args, kwargs = _pytree.tree_unflatten(values, program.call_spec.in_spec)

    def named(value: Any, name: str) -> Any:
        if isinstance(value, InputRecord):
            return replace(value, name=name)
        if isinstance(value, (list, tuple)):
            return type(value)(named(item, f"{name}.{n}") for n, item in enumerate(value))
        if isinstance(value, dict):
            return {key: named(item, f"{name}.{key}") for key, item in value.items()}
        return value

    single = len(args) == 1
    return Arguments(
        tuple(named(value, "input" if single else f"input{n}") for n, value in enumerate(args)),
        {name: named(value, name) for name, value in kwargs.items()},
    )


def _values(program: Any) -> Iterator[Any]:
    """The inputs, flat: tensors by their form, and numbers and text as they are."""
    import torch

    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for spec in program.graph_signature.input_specs:
        if spec.kind.name == "USER_INPUT":
            value = spec.arg.value if hasattr(spec.arg, "value") else nodes[spec.arg.name].meta["val"]
            if isinstance(value, torch.Tensor):
                shape = tuple(map(_hint, value.shape))
                value = InputRecord("", shape, str(value.dtype).removeprefix("torch."))
            yield _hint(value)


def _hint(value: Any) -> Any:
    """The number that a size had; asking the size itself would fix it."""
    import torch

    return value.node.hint if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)) else value
