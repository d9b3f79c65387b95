"""Programs of torch.export: `model.pt2`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from vggcost.errors import ModelError, OptionError
from vggcost.load.loaded import Loaded
from vggcost.load.user import where
from vggcost.records import Arguments, InputRecord

__all__ = ["load"]

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def load(path: str, options: dict[str, Any]) -> Loaded:
    """Read an exported program, with the modules it was made of, and the inputs it was exported with.

    Only plain tensors are read from the file: pickled objects, which could run code, are refused.

    Raises:
        ModelError: the file is missing, or is no exported program that can be read so.
        OptionError: options are given, which a program has none of.
    """
    if options:
        raise OptionError(f"{path} is an exported program and takes no options, got -k {next(iter(options))}")
    if not Path(path).is_file():
        raise ModelError(f"no such file: {path}")
    import torch

    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(path)
            model = torch.export.unflatten(program)
    except Exception as error:
        text = where(error)
        if "weights_only" in text.lower() or "unpickl" in text.lower():
            text = "it holds pickled objects besides tensors, which could run code when they are read"
        raise ModelError(f"{path} cannot be read as a program of torch.export: {text}") from error
    finally:
        os.environ.pop(_FORCE)
        if before is not None:
            os.environ[_FORCE] = before
    arguments = _arguments(program)
    return Loaded(model, path, Path(path).stem, (), "export", arguments)


def _arguments(program: Any) -> Arguments:
    """Describe the inputs that the program was exported with."""
    import torch

    args, kwargs = program.example_inputs if program.example_inputs is not None else _placeholders(program)

    def record(value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            return InputRecord(name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
        if isinstance(value, (list, tuple)):
            return type(value)(record(item, f"{name}.{n}") for n, item in enumerate(value))
        if isinstance(value, dict):
            return {key: record(item, f"{name}.{key}") for key, item in value.items()}
        return value

    single = len(args) == 1
    return Arguments(
        tuple(record(value, "input" if single else f"input{n}") for n, value in enumerate(args)),
        {name: record(value, name) for name, value in kwargs.items()},
    )


def _placeholders(program: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inputs by the program's own description, where the file holds no example."""
    wanted = set(program.graph_signature.user_inputs)
    values = tuple(node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted)
    return values, {}
