"""The whole way in one call: load, trace, cost."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vggcost.cost import convention as find_convention
from vggcost.cost import cost_table
from vggcost.errors import InputError, TraceError
from vggcost.load import Loaded, load, parse_inputs, read_inputs
from vggcost.records import CostTable, InputRecord, RunInfo

if TYPE_CHECKING:
    import torch
    from torch import nn

    Inputs = str | torch.Tensor | tuple[torch.Tensor, ...] | dict[str, torch.Tensor] | None
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
        inputs: a string as for `-i` (`3x224x224`, the batch left out), a tensor `(N, …)`, a tuple of
            tensors, or a dict of keyword arguments; None: what the zoo's net is made for.
        batch: N, for inputs given as a string or not at all.
        mode: `inference`, or `training` for forward, loss and backward.
        convention: what counts as a FLOP: `torch`, `full`, `fvcore`, `timm`, `convnet-burden`, or one of the
            project's own configuration.
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
    loaded, run, keywords = prepared(model_or_name, inputs, batch, mode, convention, options)
    trace = trace_model(loaded.model, run, keywords=keywords)
    step, why_not = None, ""
    if saved and mode == "inference":
        try:
            step = trace_model(loaded.model, replace(run, mode="training"), keywords=keywords)
        except TraceError as error:  # the memory section says so
            why_not = str(error)
    return cost_table(trace, rule, step, why_not)


def prepared(
    model: Any, inputs: Any, batch: int, mode: str, convention: str, options: dict[str, Any], *, real: bool = False
) -> tuple[Loaded, RunInfo, bool]:
    """Load a model and say what it is run on; the last value tells whether inputs go in by keyword.

    With `real` a model that is given by name is built with real weights rather than on meta.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"the batch must be a whole number of 1 or more, not {batch!r}")
    loaded = _loaded(model, options, real)
    records, size, keywords = _inputs(inputs, loaded.input, batch)
    command = _command(model, inputs, batch, mode, convention, options)
    run = RunInfo(loaded.name, loaded.title, loaded.aliases, loaded.source, command, records, size, mode)
    return loaded, run, keywords


def _loaded(model: Any, options: dict[str, Any], real: bool) -> Loaded:
    if isinstance(model, str):
        return load(model, options, real=real)
    from torch import nn

    from vggcost.trace import unwrapped

    if not isinstance(model, nn.Module):
        raise InputError(f"expected a model's name or a torch.nn.Module, not a {type(model).__name__}")
    if options:
        raise InputError(f"options ({', '.join(options)}) go to a factory; this model is already built")
    model = unwrapped(model)
    name = type(model).__name__
    return Loaded(model, name, name, (), "object", None)


def _inputs(inputs: Any, default: str | None, batch: int) -> tuple[tuple[InputRecord, ...], int, bool]:
    if inputs is None:
        if default is None:
            raise InputError("this model does not say what input it takes; give one, such as -i 3x224x224")
        inputs = default
    if isinstance(inputs, str):
        return parse_inputs(inputs, batch), batch, False
    records, batch = read_inputs(inputs)
    return records, batch, isinstance(inputs, dict)


def _command(model: Any, inputs: Any, batch: int, mode: str, convention: str, options: dict[str, Any]) -> str:
    """The command line that makes this table again; nothing for a model that has no name."""
    if not isinstance(model, str) or not (inputs is None or isinstance(inputs, str)):
        return ""
    words = ["vggcost", "report", model]
    words += ["-i", inputs] if inputs else []
    words += ["-b", str(batch)] if batch != 1 else []
    words += ["--mode", mode] if mode != "inference" else []
    words += ["--convention", convention] if convention != "torch" else []
    for key, value in options.items():
        words += ["-k", f"{key}={value}"]
    return shlex.join(words)
