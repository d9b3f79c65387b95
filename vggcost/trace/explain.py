"""Why a run failed, in one line: which layer, what it expected, what it got, what to do."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from inspect import Parameter, signature
from pathlib import Path
from types import TracebackType

import torch
from torch import nn

from vggcost.load.user import where as raised
from vggcost.records import Arguments, InputRecord, RunInfo
from vggcost.trace.bounds import Endless, Unknowable
from vggcost.trace.custom import DENSE, Refusal
from vggcost.trace.held import inside
from vggcost.trace.wrapped import nested
from vggcost.units import described, exact, shape

__all__ = ["explain", "unknowable"]


def unknowable(stop: Unknowable, model: nn.Module, name: str, path: str) -> str:
    """Say which layer, on which line, reads a value that a run on meta does not have, and what to try."""
    module, _ = _innermost(stop.__traceback__)
    paths = {id(m): path for path, m in inside(model)}
    layer = paths.get(id(module)) or path or type(model).__name__
    frame = _line(stop.__traceback__)
    where = f" ({Path(frame.filename).name}, line {frame.lineno}: {frame.line})" if frame else ""
    return (
        f"{name}: {layer} reads a value that depends on data, which a run on meta does not have: {stop.op}{where}; "
        f"{f'state it with --assume {stop.key}=NUMBER; ' if stop.key else ''}'vggcost report' also runs on real CPU tensors "
        "(--fallback cpu) and shows the rows until there (--partial)"
    )


def _line(tb: TracebackType | None) -> traceback.FrameSummary | None:
    """Find the innermost line of code that belongs to neither torch nor this package."""
    here, torch_ = Path(__file__).parent.parent, Path(torch.__file__).parent
    frames = [f for f in traceback.extract_tb(tb) if not {here, torch_} & set(Path(f.filename).parents)]
    return frames[-1] if frames else None


def explain(error: BaseException, model: nn.Module, run: RunInfo, arguments: Arguments) -> str:
    """Turn an exception of a run into one line.

    The layer is the innermost module on the traceback; what it expected is read off the layer
    itself where that is possible, and quoted from torch otherwise.
    """
    where = f"{run.title} on {described(run.inputs, run.batch)}"
    misfit = _misfit(model, arguments) if isinstance(error, TypeError) else None
    if misfit is not None:
        return f"{where}: {misfit}"
    modules = inside(model)
    if isinstance(error, RecursionError) and 6 * nested(modules) > sys.getrecursionlimit():
        return (
            f"{where}: its modules lie {exact(nested(modules))} deep in each other, and torch's own calls of them go beyond "
            "Python's limit; raise it with sys.setrecursionlimit"
        )
    module, x = _innermost(error.__traceback__)
    paths = {id(m): path for path, m in modules}
    layer = paths.get(id(module)) or type(module if module is not None else model).__name__
    if isinstance(error, Refusal):
        return f"{where}: {layer} {error}"
    if isinstance(error, Endless):
        return f"{where}: {layer}: {error}"
    if any(Path(f.filename).parent.name == "nested" for f in traceback.extract_tb(error.__traceback__)):
        return f"{where}: {layer} makes a nested tensor; only dense ones can be counted: {DENSE}"
    reason = None
    if module is not None and x is not None:
        reason = _wrong_dtype(module, x, arguments) or _mismatch(module, x)
    if reason is None:
        return f"{where}: {layer} failed: {raised(error)}"
    return f"{where}: {reason.format(layer=layer)}"


def _innermost(tb: TracebackType | None) -> tuple[nn.Module | None, torch.Tensor | None]:
    """Find the deepest module on a traceback, and the first tensor its forward was given."""
    module, x = None, None
    while tb is not None:
        values = tb.tb_frame.f_locals
        found = values.get("self")
        if isinstance(found, nn.Module):
            if found is not module:
                module, x = found, None
            for key in ("args", "input", "x"):
                value = values.get(key)
                value = value[0] if isinstance(value, tuple) and value else value
                if x is None and isinstance(value, torch.Tensor):
                    x = value
        tb = tb.tb_next
    return module, x


def _misfit(model: nn.Module, arguments: Arguments) -> str | None:
    """Say what forward takes, if it cannot be called with these arguments at all."""
    try:
        known = signature(model.forward)
    except (TypeError, ValueError):  # compiled code has none
        return None
    try:
        known.bind(*arguments.args, **arguments.kwargs)
    except TypeError as error:
        ends = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        plain = [p for p in known.parameters.values() if p.kind not in ends]
        names = [p.name if p.default is Parameter.empty else f"{p.name} (optional)" for p in plain]
        listed = [*names[:_MOST], *([f"{len(names) - _MOST} more"] if len(names) > _MOST else [])]
        example = next((p.name for p in plain if p.kind is not Parameter.POSITIONAL_ONLY), "")
        by_name = f", or by name as -i {example}=1x3x224x224" if example else ""
        return (
            f"forward cannot be called so ({error}); it takes {', '.join(listed) or 'nothing'}; "
            f"give tensors in this order, each with its own -i{by_name}; plain values as -i name=value:3, and what is "
            "nested in --input-json"
        )
    return None


_MOST = 8  # arguments of forward that are listed


def _wrong_dtype(module: nn.Module, x: torch.Tensor, arguments: Arguments) -> str | None:
    """Say which dtype a layer of torch takes, if it got another; None if that is not the trouble."""
    weight = next(module.parameters(recurse=False), None)
    if not type(module).__module__.startswith("torch.nn.") or weight is None or not weight.is_floating_point():
        return None
    got, takes = _dtype(x), _dtype(weight)
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        if not x.is_floating_point():
            return None
        return f"{{layer}} takes whole numbers, got {got}; {_given_as(arguments, got, 'int64')}"
    return None if got == takes else f"{{layer}} takes {takes}, got {got}; {_given_as(arguments, got, takes)}"


def _dtype(x: torch.Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _given_as(arguments: Arguments, got: str, takes: str) -> str:
    """Say how to give the inputs of one dtype in another."""
    for name, value in (*((None, value) for value in arguments.args), *arguments.kwargs.items()):
        if isinstance(value, InputRecord) and value.dtype == got and len(value.shape) > (name is None):
            # An image given to an embedding wants another shape, too.
            known = value.shape if len(value.shape) == 2 or not takes.startswith("int") else (1, 128)
            sizes = "x".join(str(size) for size in (known if name else known[1:]))
            return f"give {value.name} as {takes}, such as -i {f'{name}=' if name else ''}{sizes}:{takes}"
    found = next((record for record in arguments.inputs if record.dtype == got), None)
    if found is not None:
        return f"give {found.name} as {takes}, with --input-json for instance"
    return f"no input is {got}, so the model itself makes it; convert it there"


def _mismatch(module: nn.Module, x: torch.Tensor) -> str | None:
    """Say what does not fit between a layer of torch and its input; None if that is not the trouble."""
    size = tuple(x.shape)
    if isinstance(module, nn.Linear) and size and size[-1] != module.in_features:
        return (
            f"{{layer}} takes {exact(module.in_features)} values, got {exact(size[-1])}; "
            "give the input that the net was built for, or build it for this one (zoo nets: -k image_size=…)"
        )
    kernel = getattr(module, "kernel_size", None)
    if kernel is None:
        return None
    axes = _axes(module)
    if len(size) not in (axes + 1, axes + 2):
        return f"{{layer}} takes {axes + 1} sizes besides the batch, channels first; got {len(size) - 1}"
    channels = getattr(module, "in_channels", None)
    if channels is not None and size[-axes - 1] != channels:
        fitting = "x".join(str(n) for n in (channels, *size[-axes:]))
        return f"{{layer}} takes {channels} channels, got {size[-axes - 1]}; give an input such as -i {fitting}"
    if _vanishes(module, size[-axes:], axes):
        return (
            f"the map vanishes at {{layer}} (a {shape(_each(kernel, axes))} window on {shape(size[-axes:])}); "
            "the input is too small, give a larger one"
        )
    return None


def _axes(module: nn.Module) -> int:
    return int(type(module).__name__[-2]) if type(module).__name__[-2:] in ("1d", "2d", "3d") else 2


def _each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _vanishes(module: nn.Module, size: Sequence[int], axes: int) -> bool:
    padding = getattr(module, "padding", 0)
    if isinstance(padding, str):
        return False
    window = zip(
        size,
        _each(module.kernel_size, axes),  # type: ignore[arg-type]
        _each(padding, axes),
        _each(getattr(module, "dilation", 1), axes),
        strict=True,
    )
    return any(n + 2 * p < d * (k - 1) + 1 for n, k, p, d in window)
