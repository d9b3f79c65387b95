"""Run a model of the user's on meta, and give it back exactly as it was."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from torch import nn

from vggcost.load.meta import SMALL

__all__ = ["borrowed", "frozen", "lent", "unwrapped"]


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module that `torch.compile` wrapped: an active dispatch mode would stop it from ever compiling."""
    inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else model


@contextmanager
def borrowed(
    model: nn.Module, dtype: torch.dtype | None = None, freeze: Sequence[str] = (), real: bool = False
) -> Iterator[None]:
    """Swap every parameter and buffer for a meta tensor of the same shape, and undo all changes afterwards.

    Whatever the run rebinds on a module (parameters, buffers, hooks, the training flag, plain
    attributes) is put back, after an exception too, and so are the random states. The user's
    tensors are neither read nor copied, so their gradients and values cannot change.

    Args:
        model: the user's.
        dtype: what floating-point parameters and buffers become for the run; None: as they are.
        freeze: shell patterns of parameters or modules that are not trained in the run.
        real: swap in copies on the CPU instead, with their values.
    """
    twins: dict[int, torch.Tensor] = {}
    with lent(model):
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = _twin(parameter, twins, dtype, real)  # type: ignore[assignment]
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = _twin(buffer, twins, dtype, real)
            for name, value in module.__dict__.items():
                if isinstance(value, torch.Tensor):  # neither parameter nor buffer, yet the run may write to it
                    module.__dict__[name] = _constant(value, twins, real)
        for path, parameter in model.named_parameters(remove_duplicate=False):
            if any(fnmatchcase(path, p) or fnmatchcase(path.rpartition(".")[0], p) for p in freeze):
                parameter.requires_grad_(False)
        yield


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Lend a model with its own values, without gradients: other programs run it, whatever they do to it."""
    twins: dict[int, nn.Parameter] = {}
    with lent(model):
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    twin = twins.setdefault(id(parameter), nn.Parameter(parameter.detach(), requires_grad=False))
                    module._parameters[name] = twin
        yield


@contextmanager
def lent(model: nn.Module) -> Iterator[None]:
    """Put back whatever a run rebinds on a model's modules, and the random states; tensors are left as they are."""
    modules = list(model.modules())
    attributes = [dict(module.__dict__) for module in modules]
    # The dictionaries that torch itself changes in place are put back by content as well.
    contents = [
        {key: value.copy() for key, value in module.__dict__.items() if isinstance(value, dict)} for module in modules
    ]
    states = torch.get_rng_state(), random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    try:
        yield
    finally:
        for module, before, inner in zip(modules, attributes, contents, strict=True):
            module.__dict__.clear()
            module.__dict__.update(before)
            for key, content in inner.items():
                module.__dict__[key].clear()
                module.__dict__[key].update(content)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        if numpy:
            numpy.random.set_state(numpy_state)


def _twin(tensor: torch.Tensor, twins: dict[int, torch.Tensor], dtype: torch.dtype | None, real: bool) -> torch.Tensor:
    """Return the stand-in of a tensor: one for each, so that tied weights stay tied.

    A small table of integers is copied as it is, for control flow to read; everything else becomes meta.
    """
    twin = twins.get(id(tensor))
    if twin is None:
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        if real or _readable(tensor):
            twin = tensor.detach().clone().cpu()
        else:
            twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=kind, device="meta")
        if isinstance(tensor, nn.Parameter):
            twin = nn.Parameter(twin, requires_grad=tensor.requires_grad)
        twins[id(tensor)] = twin
    return twin


def _constant(tensor: torch.Tensor, twins: dict[int, torch.Tensor], real: bool) -> torch.Tensor:
    """Return the stand-in of a tensor that is a plain attribute: a small one keeps its values."""
    small = tensor.device.type == "cpu" and tensor.numel() <= SMALL
    return tensor.detach().clone() if small else _twin(tensor, twins, None, real)


def _readable(tensor: torch.Tensor) -> bool:
    whole = not tensor.is_floating_point() and not tensor.is_complex()
    return tensor.device.type == "cpu" and whole and type(tensor) is torch.Tensor and tensor.numel() <= SMALL
