"""The parameters of a model that is not run: its modules in the order in which they are held."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from vggcost.errors import TraceError
from vggcost.records import Arguments, RunInfo, Trace
from vggcost.trace.borrow import borrowed
from vggcost.trace.held import Modules
from vggcost.trace.lazy import unshaped
from vggcost.trace.paths import attributes_of
from vggcost.trace.recorder import Recorder
from vggcost.trace.run import register, trace_of
from vggcost.trace.wrapped import noted, plain
from vggcost.units import joined

__all__ = ["list_parameters", "runs"]


def runs(model: nn.Module) -> bool:
    """Whether a model can be called at all: not a container without a forward, such as a `ModuleList`.

    Example:
        >>> runs(nn.ReLU()), runs(nn.ModuleList()), runs(nn.ParameterList())
        (True, False, False)
    """
    forward = getattr(model, "forward", None)
    missing = getattr(forward, "__func__", forward) is nn.Module.forward
    return not missing or not type(model).__call__.__module__.startswith("torch.nn.")


def list_parameters(model: nn.Module, run: RunInfo, dtype: str = "") -> Trace:
    """List what a model holds, without a run: a record of each module, and the parameters.

    Args:
        model: any module; it is left exactly as it was.
        run: says that there was no run.
        dtype: of floating parameters and buffers; empty: as the model has them.

    Raises:
        TraceError: a lazy layer has no shape yet.
    """
    run = replace(run, note=joined(run.note, noted(model)))
    with plain(model) as modules:
        lazy = unshaped(modules)
        if lazy:
            raise TraceError(
                f"{lazy} is a lazy parameter, which has a shape only after a run; give what goes in with -i"
            )
        recorder = Recorder(modules)
        with borrowed(modules, getattr(torch, dtype) if dtype else None):
            register(recorder, [])
            _walk(recorder, modules)
        return trace_of(recorder, recorder.params, run, Arguments())


def _walk(recorder: Recorder, modules: Modules) -> None:
    """Note each module once, inside that which holds it first."""
    seen: set[int] = set()
    within: list[str] = []
    for path, module in modules:
        while within and within[-1] and not path.startswith(f"{within[-1]}."):
            recorder.close((), ())
            within.pop()
        if id(module) not in seen:
            seen.add(id(module))
            recorder.open(module, attributes_of(module, {}), ())
            within.append(path)
    for _ in within:
        recorder.close((), ())
