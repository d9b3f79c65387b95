"""Programs of torch.export: `model.pt2`."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from vggcost.errors import ModelError, OptionError, one_line
from vggcost.load.loaded import Loaded
from vggcost.load.trusted import suspicious
from vggcost.load.user import where
from vggcost.records import Arguments, InputRecord

__all__ = ["load"]


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
        raise ModelError(f"{path} is a folder, not a file" if Path(path).is_dir() else f"no such file: {path}")
    try:
        found = suspicious(path)
    except (BadZipFile, ValueError) as error:
        raise ModelError(f"{path} cannot be read as a program of torch.export: {one_line(error)}") from error
    if found:
        raise ModelError(
            f"{path} is not read: {found} in it could be code; if you trust the file, load it with torch.export.load "
            "and give torch.export.unflatten of it to vggcost.analyze"
        )
    import torch

    causes, logger, read = _Causes(), logging.getLogger("torch.export"), torch.load
    logger.addFilter(causes)
    torch.load = lambda file, *_, **__: read(file, map_location="cpu", weights_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(path)
            model = torch.export.unflatten(program)
    except Exception as error:
        cause = causes.found or error
        text = where(cause)
        if "weights_only" in text.lower() or "unpickl" in text.lower():
            text = "it holds pickled objects besides tensors, which could run code when they are read"
        elif "archive_format" in text:
            text = "it is another zip file, such as one of torch.save, which does not tell the architecture"
        raise ModelError(f"{path} cannot be read as a program of torch.export: {text}") from error
    finally:
        logger.removeFilter(causes)
        torch.load = read
    arguments = _arguments(program)
    return Loaded(model, path, Path(path).stem, (), "export", arguments)


class _Causes(logging.Filter):
    """Keeps to itself what torch tells of its attempts to read a file, and the first error among it."""

    found: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and self.found is None:
            self.found = record.exc_info[1]
        return False


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
