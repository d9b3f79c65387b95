"""The optimizers of torch, made as on a device and stepped on meta.

What torch keeps private of them is touched here alone.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vggcost.errors import OptionError, one_line
from vggcost.load.quiet import quiet
from vggcost.load.replaced import Replacement, replaced
from vggcost.records import OpRecord, Step
from vggcost.trace import sparse
from vggcost.trace.recorder import Recorder
from vggcost.units import did_you_mean, shape

__all__ = ["OPTIMIZERS", "Optimizer", "name_of", "one_at_a_time", "optimizer_of", "settle", "step"]

# Names that need arguments; any other class of torch.optim goes by its own name in lower case.
_NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.01}),
    "sgd-momentum": ("SGD", {"lr": 0.01, "momentum": 0.9}),
}
_REFUSED = {
    "lbfgs": "it runs the model as often as its line search asks, which depends on data that a run on meta does not have",
}
_CLASSES = {
    name.lower(): value
    for name, value in vars(torch.optim).items()
    if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and name != "Optimizer"
}
_ONLY_SPARSE = ("sparseadam",)
"""Optimizers for models whose gradients are all sparse, which are taken by name and not listed."""
OPTIMIZERS = ("none", *_NAMED, *sorted(set(_CLASSES) - {"sgd", *_REFUSED, *_ONLY_SPARSE}))

_TAKES: dict[str, tuple[Callable[[torch.Tensor], bool], str]] = {"muon": (lambda p: p.ndim == 2, "matrices")}
"""What else an optimizer asks of each parameter."""

_STEADY = 1000
"""Steps after which every optimizer does what it goes on doing; RAdam rectifies from the sixth on."""


class _None:
    """Stands for no optimizer at all: gradients come, and nothing uses them."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.param_groups = [{"params": parameters}]
        self.state: dict[nn.Parameter, Any] = {}

    def zero_grad(self, set_to_none: bool = True) -> None:
        with torch._C.DisableTorchFunction():
            for parameter in self.param_groups[0]["params"]:
                parameter.grad = None

    def step(self) -> None:
        pass


Optimizer = torch.optim.Optimizer | _None


def name_of(given: str) -> str:
    """Return the name of an optimizer as it is listed.

    Raises:
        OptionError: there is none of this name, or it cannot be simulated; the message says why.

    Example:
        >>> name_of("SGD_momentum")
        'sgd-momentum'
    """
    name = given.lower().replace("_", "-")
    if name in _REFUSED:
        raise OptionError(f"optimizer {name} cannot be simulated: {_REFUSED[name]}")
    if name not in (*OPTIMIZERS, *_ONLY_SPARSE):
        raise OptionError(
            f"unknown optimizer {given!r}{did_you_mean(name, OPTIMIZERS)}; known: {', '.join(OPTIMIZERS)}"
        )
    return name


def optimizer_of(given: Step, parameters: dict[str, nn.Parameter]) -> Optimizer:
    """Make the optimizer, one tensor at a time or all at once as torch would on the assumed device.

    Args:
        given: the optimizer's name and options, and the device.
        parameters: those that are trained, by their paths.

    Raises:
        OptionError: there is no such optimizer, or it does not take these arguments or parameters.
    """
    name = name_of(given.optimizer)
    if name == "none":
        return _None(list(parameters.values()))
    class_name, arguments = _NAMED.get(name, (name, {}))
    factory = _CLASSES[class_name.lower()]
    arguments = {**arguments, **dict(given.options)}
    fits, kind = _TAKES.get(name, (lambda p: True, ""))
    _refuse(name, f"takes {kind} only", {path: p for path, p in parameters.items() if not fits(p)})
    if arguments.get("fused"):
        wrong = {path: p for path, p in parameters.items() if not p.is_floating_point()}
        _refuse(name, "with fused=true takes floating-point parameters only", wrong)
    if "foreach" in signature(factory).parameters and arguments.get("foreach") is None:
        arguments["foreach"] = _takes_all_at_once(given.device, arguments, parameters)
    try:
        return factory(list(parameters.values()), **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OptionError(f"optimizer {name}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return one_line(error).partition(": ")[2]


def _refuse(name: str, takes: str, wrong: dict[str, nn.Parameter]) -> None:
    if wrong:
        listed = ", ".join(f"{path} ({shape(tuple(p.shape))})" for path, p in list(wrong.items())[:3])
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise OptionError(
            f"optimizer {name} {takes}, unlike {listed}{more}; freeze them (--freeze PATTERN) or take another optimizer"
        )


def _takes_all_at_once(device: str, arguments: dict[str, Any], parameters: dict[str, nn.Parameter]) -> bool:
    """Whether torch works on all tensors at once where nobody says so: on CUDA, on parameters of its own kind.

    Source: torch/optim/optimizer.py, _default_to_fused_or_foreach, and the functions that ask it.
    """
    plain = all(type(p) in (torch.Tensor, nn.Parameter) for p in parameters.values())
    set_aside = arguments.get("fused") is not None or arguments.get("differentiable")
    rate_of_data = isinstance(arguments.get("lr"), torch.Tensor) and not arguments.get("capturable")
    return device == "cuda" and plain and not set_aside and not rate_of_data


def step(optimizer: Optimizer, recorder: Recorder, device: str) -> None:
    """Take a step, which a recorder watches; the gradients are there.

    Raises:
        OptionError: the optimizer refuses, with its own reason.
    """
    recorder.optimizing = True
    try:
        with quiet(), replaced(_NEW, *_for_meta(optimizer, device)), recorder.mode():
            optimizer.step()
    except Exception as error:
        if Path(traceback.extract_tb(error.__traceback__)[-1].filename).parent != Path(torch.optim.__file__).parent:
            raise
        raise OptionError(f"optimizer {type(optimizer).__name__.lower()}: {_reason(error)}") from error


_NEW = (torch.Tensor, "new", sparse.new)
_ASKED = ("_get_fused_kernels_supported_devices", "_get_capturable_supported_devices")
"""Functions of torch that list devices: those with fused kernels, and those of which a graph of kernels is captured."""


def _for_meta(optimizer: Optimizer, device: str) -> list[Replacement]:
    """Let torch take meta for a device that has kernels of its own where it asks."""
    modules = {sys.modules[kind.__module__] for kind in type(optimizer).__mro__ if kind.__module__.startswith("torch.")}
    names = _ASKED if device == "cuda" else _ASKED[:1]
    return [(module, name, _with_meta) for module in modules for name in names if name in vars(module)]


def _with_meta(listed: Callable[..., list[str]]) -> Callable[..., list[str]]:
    return lambda *args, **kwargs: [*listed(*args, **kwargs), "meta"]


def settle(optimizer: Optimizer) -> None:
    """Put the steps that are counted on the host far on, so that the next one is what all later ones are."""
    for state in optimizer.state.values():
        counter = state.get("step")
        if isinstance(counter, torch.Tensor) and not counter.is_meta:
            counter.fill_(_STEADY)


def one_at_a_time(optimizer: Optimizer, recorder: Recorder, device: str) -> tuple[OpRecord, ...]:
    """Return the ops of a step as torch's own loop over the tensors takes it: an optimizer's arithmetic.

    How torch batches tensors does not change what an optimizer computes, but the ops that it is made of.

    Args:
        optimizer: it has stepped before; the parameters have their gradients.
        recorder: what saw the last step.
        device: as for `step`.
    """
    batched = [key for key in ("foreach", "fused") for group in optimizer.param_groups if group.get(key)]
    if not batched:
        return tuple(op for op in recorder.ops if op.phase == "optimizer")
    loop: Any = dict.fromkeys(batched, False)
    before = [dict(group) for group in optimizer.param_groups]
    other = Recorder(recorder.modules, recorder.remember)
    try:
        for group in optimizer.param_groups:
            group.update(loop)
        step(optimizer, other, device)
    finally:
        for group, old in zip(optimizer.param_groups, before, strict=True):
            group.update(old)
    return tuple(op._replace(inputs=(), outputs=()) for op in other.ops)
