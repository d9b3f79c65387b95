"""Run a model of the user's on meta, and give it back exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from vggcost.load.aside import aside
from vggcost.load.layouts import sparse_meta
from vggcost.load.meta import SMALL
from vggcost.trace.held import TENSORS, Modules, kept, swap
from vggcost.trace.packed import held_in, hold, standing

__all__ = ["borrowed"]


@contextmanager
def borrowed(
    modules: Modules, dtype: torch.dtype | None = None, freeze: Sequence[str] = (), real: bool = False
) -> Iterator[None]:
    """Swap every tensor that a model holds for a meta tensor of the same shape, and undo all changes afterwards.

    Parameters, buffers and tensors in plain attributes, in lists and dicts too, get a stand-in. Whatever the
    run rebinds, adds or removes (tensors, hooks, the training flag, entries of a cache) is put back, after an
    exception too, and so are the random states. The user's tensors are never written to, so that their
    gradients and values cannot change.

    Args:
        modules: the user's model and all that is in it.
        dtype: what floating-point parameters and buffers become for the run; None: as they are.
        freeze: shell patterns of parameters or modules that are not trained in the run.
        real: swap in copies on the CPU instead, with their values.
    """
    twins: dict[int, torch.Tensor] = {}
    each = list({id(module): module for _, module in modules}.values())
    with kept(each) as containers, aside(), standing(modules, real):
        registered = set()
        with torch.no_grad():
            for module in each:
                both: tuple[dict[str, Any], ...] = module._parameters, module._buffers
                for tensors in both:
                    if tensors and id(tensors) not in registered:
                        registered.add(id(tensors))
                        for name, tensor in tensors.items():
                            if tensor is not None:
                                tensors[name] = _twin(tensor, twins, dtype, real)
            for container in containers:
                if id(container) not in registered:
                    swap(container, lambda tensor: _constant(tensor, twins, real))
        for path, module in modules if freeze else ():
            for name, parameter in module._parameters.items():
                whole = f"{path}.{name}" if path else name
                if parameter is not None and any(fnmatchcase(whole, p) or fnmatchcase(path, p) for p in freeze):
                    parameter.requires_grad_(False)
        yield


def _uninitialised(tensor: Any, dtype: torch.dtype | None, real: bool) -> Any:
    """Return the stand-in of a tensor without a shape, which a lazy layer gives one."""
    kind = nn.UninitializedParameter if isinstance(tensor, nn.Parameter) else nn.UninitializedBuffer
    options: dict[str, Any] = {"device": "cpu" if real else "meta", "dtype": dtype or tensor.dtype}
    return kind(tensor.requires_grad, **options)


def _twin(tensor: torch.Tensor, twins: dict[int, torch.Tensor], dtype: torch.dtype | None, real: bool) -> torch.Tensor:
    """Return the stand-in of a tensor: one for each, so that tied weights stay tied.

    A small table of integers is copied as it is, for control flow to read; everything else becomes meta.
    """
    twin = twins.get(id(tensor))
    if twin is None:
        if isinstance(tensor, UninitializedTensorMixin):
            return twins.setdefault(id(tensor), _uninitialised(tensor, dtype, real))
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        common = not real and tensor.is_meta and type(tensor) in TENSORS and kind is tensor.dtype
        strided = tensor.layout is torch.strided
        if common and strided and tensor.is_contiguous():
            twin = tensor.clone()  # the same as below, in half the time
        elif not strided:
            twin = sparse_meta(tensor, dtype=kind) if tensor.is_meta else tensor.detach().clone().to("cpu", kind)
        elif real or _readable(tensor):
            twin = tensor.detach().clone() if tensor.is_meta else tensor.detach().clone().cpu()
        else:
            twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=kind, device="meta")
        if type(tensor) is nn.Parameter:  # as torch's own lazy parameters become such: nn.Parameter(twin) takes a copy
            twin.__class__, twin.requires_grad = nn.Parameter, tensor.requires_grad
        elif type(tensor) is not torch.Tensor and isinstance(tensor, nn.Parameter):
            twin = nn.Parameter(twin, requires_grad=tensor.requires_grad)
        elif tensor.requires_grad and tensor.is_leaf:  # as the parameters of TorchScript look
            twin.requires_grad_()
        twins[id(tensor)] = twin
        if (type(tensor) not in TENSORS or vars(tensor)) and (held := held_in(tensor)) is not None:
            hold(twin, held)
        for name, value in vars(tensor).items():  # what a class of its own, or a user, lets it carry
            vars(twin)[name] = _constant(value, twins, real) if isinstance(value, torch.Tensor) else value
    return twin


def _constant(tensor: torch.Tensor, twins: dict[int, torch.Tensor], real: bool) -> torch.Tensor:
    """Return the stand-in of a tensor that is neither parameter nor buffer: a small one keeps its values."""
    if isinstance(tensor, UninitializedTensorMixin):
        return _twin(tensor, twins, None, real)
    plain = not isinstance(tensor, nn.Parameter) and id(tensor) not in twins
    if plain and tensor.device.type == "cpu" and tensor.numel() <= SMALL:
        twins[id(tensor)] = tensor.detach().clone()
    return _twin(tensor, twins, None, real)


def _readable(tensor: torch.Tensor) -> bool:
    if tensor.is_meta or tensor.is_floating_point() or tensor.is_complex():
        return False
    return tensor.is_cpu and type(tensor) is torch.Tensor and tensor.numel() <= SMALL
