"""The whole way in one call: load, trace, cost."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggcost.cost import convention as find_convention
from vggcost.cost import cost_table
from vggcost.errors import InputError, TraceError
from vggcost.load import Loaded, batch_of, load, named, to_arguments, with_batch
from vggcost.records import Arguments, CostTable, RunInfo

if TYPE_CHECKING:
    import torch
    from torch import nn

    Inputs = str | Path | Arguments | torch.Tensor | Sequence[Any] | Mapping[str, Any] | None
else:
    Inputs = Any

__all__ = ["Inputs", "analyze", "prepared"]


def analyze(
    model_or_name: str | nn.Module,
    inputs: Inputs = None,
    *,
    batch: int = 1,
    mode: str = "inference",
    convention: str = "torch",
    saved: bool = False,
    **options: Any,
) -> CostTable:
    """Say what a model costs, layer by layer.

    The model is run once on meta tensors: no weight is read, copied or changed, and a module that
    is passed in is left exactly as it was.

    Args:
        model_or_name: a name of the zoo, `./file.py:factory`, `package.module:factory`, or a module.
        inputs: a string as for `-i` (`3x224x224`, the batch left out) or several of them, the `Path` of a JSON file
            as for `--input-json`, a tensor `(N, …)`, a tuple of positional arguments, or a dict of keyword
            arguments, with tensors and plain values nested in tuples, lists and dicts; None: what the model
            is made for, where that is known.
        batch: N, for inputs given as text or not at all.
        mode: `inference`, or `training` for forward, loss and backward.
        convention: what counts as a FLOP: `torch`, `full`, `fvcore` or `convnet-burden`.
        saved: in inference, trace a training step as well, to say in the memory section what it
            would save for the backward pass.
        options: keyword arguments of the factory; for the zoo's nets `classes`, `ceil_mode`,
            `dropout` and `image_size`.

    Returns:
        The cost table.

    Raises:
        VggcostError: the name, the options, the inputs or the convention make no sense, or the model
            cannot run; the message is one line that says what to do.

    Example:
        >>> analyze("vgg16").totals.params
        138357544
    """
    from vggcost.trace import trace_model

    rule = find_convention(convention)
    loaded, run, arguments = prepared(model_or_name, inputs, batch, mode, convention, options)
    trace = trace_model(loaded.model, run, arguments=arguments)
    step, why_not = None, ""
    if saved and mode == "inference":
        try:
            step = trace_model(loaded.model, replace(run, mode="training"), arguments=arguments)
        except TraceError as error:  # the memory section says so
            why_not = str(error)
    return cost_table(trace, rule, step, why_not)


def prepared(
    model: Any, inputs: Any, batch: int, mode: str, convention: str, options: dict[str, Any]
) -> tuple[Loaded, RunInfo, Arguments]:
    """Load a model and say what it is run on."""
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"the batch must be a whole number of 1 or more, not {batch!r}")
    loaded = _loaded(model, options)
    arguments = _arguments(inputs, loaded.input, batch)
    size = batch if inputs is None else batch_of(arguments)
    command = _command(model, inputs, batch, mode, convention, options)
    run = RunInfo(loaded.name, loaded.title, loaded.aliases, loaded.source, command, arguments.inputs, size, mode)
    return loaded, run, arguments


def _loaded(model: Any, options: dict[str, Any]) -> Loaded:
    if isinstance(model, str):
        return load(model, options)
    from torch import nn

    from vggcost.trace import unwrapped

    if not isinstance(model, nn.Module):
        raise InputError(f"expected a model's name or a torch.nn.Module, not a {type(model).__name__}")
    if options:
        raise InputError(f"options ({', '.join(options)}) go to a factory; this model is already built")
    model = unwrapped(model)
    name = type(model).__name__
    return Loaded(model, name, name, (), "object", None)


def _arguments(inputs: Any, default: Arguments | str | None, batch: int) -> Arguments:
    """What the user gave, or what the model's source says, with the batch in it."""
    if inputs is not None:
        return to_arguments(inputs, batch)
    if default is None:
        raise InputError("this model does not say what input it takes; give one, such as -i 3x224x224")
    return to_arguments(default, batch) if isinstance(default, str) else with_batch(named(default), batch)


def _command(model: Any, inputs: Any, batch: int, mode: str, convention: str, options: dict[str, Any]) -> str:
    """The command line that makes this table again; nothing for a model, or inputs, that cannot be written there."""
    texts = (inputs,) if isinstance(inputs, (str, Path)) else () if inputs is None else inputs
    if not isinstance(model, str) or not _written(texts):
        return ""
    words = ["vggcost", "report", model]
    for text in texts:
        words += ["--input-json" if isinstance(text, Path) else "-i", str(text)]
    words += ["-b", str(batch)] if batch != 1 else []
    words += ["--mode", mode] if mode != "inference" else []
    words += ["--convention", convention] if convention != "torch" else []
    for key, value in options.items():
        words += ["-k", f"{key}={value}"]
    return shlex.join(words)


def _written(inputs: Any) -> bool:
    """Whether these are texts as for `-i`, or the path of a JSON file."""
    return isinstance(inputs, (tuple, list)) and all(isinstance(text, (str, Path)) for text in inputs)
