"""Why a run failed, in one line: which layer, what it expected, what it got, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import torch
from torch import nn

from vggcost.records import InputRecord
from vggcost.trace.custom import Refusal
from vggcost.units import exact, shape

__all__ = ["explain"]


def explain(error: Exception, model: nn.Module, name: str, inputs: tuple[InputRecord, ...]) -> str:
    """Turn an exception of a run into one line.

    The layer is the innermost module on the traceback; what it expected is read off the layer
    itself where that is possible, and quoted from torch otherwise.
    """
    module, x = _innermost(error.__traceback__)
    paths = {id(m): path for path, m in model.named_modules()}
    given = ", ".join(shape(i.shape[1:]) or "a scalar" for i in inputs)
    where = f"{name} on {given}"
    layer = paths.get(id(module)) or type(module if module is not None else model).__name__
    if isinstance(error, Refusal):
        return f"{where}: {layer} {error}"
    reason = _mismatch(module, x) if module is not None and x is not None else None
    if reason is None:
        text = " ".join(str(error).split()) or type(error).__name__
        return f"{where}: {layer} failed: {type(error).__name__}: {_shortened(text)}"
    return f"{where}: {reason.format(layer=layer)}"


def _shortened(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


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
