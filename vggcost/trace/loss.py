"""The loss of a training step, and its backward pass: the user's, the model's own, or one that is stated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from vggcost.errors import TraceError
from vggcost.trace.recorder import Recorder
from vggcost.trace.signature import asked, parts_of, tensors_in

__all__ = ["LOSS_PATH", "Criterion", "train"]

Criterion = Callable[[Any], torch.Tensor] | None
"""Maps a model's output to the loss; None: see `train`."""

LOSS_PATH = "(loss)"
OWN, OWN_SUM = "the model's own", "the sum of the model's own"


def train(recorder: Recorder, output: Any, criterion: Criterion = None, backward: bool = True) -> str:
    """Compute a loss and run the backward pass; return the loss's name.

    A criterion of the user's gets the model's output. Without one, what the output holds under the name `loss` is the
    loss (see `own_losses`), whatever else it holds; one tensor of logits `(N, classes, …)` gets cross-entropy, and
    anything else is summed.

    Raises:
        TraceError: there is no such loss, or it is not one number with a gradient.
    """
    name, compute = _chosen(recorder, output, criterion)
    recorder.begin(LOSS_PATH, name)
    loss = compute()
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise TraceError(
            f"the loss ({name}) must be one number with a gradient, it is {_described(loss)}{_advice(name)}"
        )
    recorder.end(loss)
    with recorder.differentiating(loss):
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]
    return name


def _described(loss: Any) -> str:
    if not isinstance(loss, torch.Tensor):
        return f"of type {type(loss).__name__}"
    return f"a tensor of {tuple(loss.shape)}" + ("" if loss.requires_grad else " without a gradient")


def _advice(name: str) -> str:
    return "; give one with --loss ./file.py:function (loss=function)" if name in (OWN, OWN_SUM) else ""


def _chosen(recorder: Recorder, output: Any, criterion: Criterion) -> tuple[str, Callable[[], Any]]:
    """Name the loss, and say how it is computed."""
    if criterion is not None:
        name = getattr(criterion, "__name__", type(criterion).__name__)
        return name, lambda: criterion(output)
    own = own_losses(output)
    if own:
        return (OWN, lambda: own[0]) if len(own) == 1 else (OWN_SUM, lambda: _total(own))
    outputs = [t for t in tensors_in(output) if t.is_floating_point() and t.requires_grad]
    if not outputs:
        raise TraceError(f"cannot be trained: {_no_gradient(recorder, output)}")
    if isinstance(output, torch.Tensor) and output.dim() >= 2:
        return "cross_entropy", lambda: F.cross_entropy(output, _target(recorder, output))
    return "sum", lambda: _total(tensor.sum() for tensor in outputs)


def _no_gradient(recorder: Recorder, output: Any) -> str:
    """Say why no output has a gradient."""
    if not recorder.params:
        return "it has no parameters"
    if not any(parameter.trainable for parameter in recorder.params):
        return "all its parameters are frozen (requires_grad=False)"
    tensors = tensors_in(output)
    if not tensors:
        return f"its forward returns no tensor but {'nothing' if output is None else type(output).__name__}"
    if not any(t.is_floating_point() or t.is_complex() for t in tensors):
        kinds = sorted({str(t.dtype).removeprefix("torch.") for t in tensors})
        return f"its outputs are {' and '.join(kinds)}, which have no gradient; train it on what they are made of"
    return (
        "its outputs do not follow from its parameters in a way that is differentiated (is there a detach or no_grad?)"
    )


def _total(losses: Iterable[torch.Tensor]) -> torch.Tensor:
    each = iter(losses)
    total = next(each)
    for loss in each:
        total = total + loss
    return total


def _target(recorder: Recorder, logits: torch.Tensor) -> torch.Tensor:
    """Make a class for each of the logits, an input of the step."""
    make = torch.empty if logits.is_meta else torch.zeros
    target = make((logits.shape[0], *logits.shape[2:]), dtype=torch.int64, device=logits.device)
    recorder.register(target, "input")
    recorder.mark(target, "input", "")
    return target


def own_losses(output: Any) -> list[torch.Tensor]:
    """List the losses that a model returns itself; the step's loss is their sum.

    They are what a mapping, a dataclass, a named tuple or an attribute of another object holds as `loss`: of those
    nested in the output the outermost. A mapping of nothing but single numbers, as torchvision's detectors return in
    training, is one of losses.

    Example:
        >>> a, b = torch.ones(()), torch.ones(2)
        >>> own_losses({"logits": b, "loss": a}) == [a], own_losses((b, b)), own_losses({"box": a, "class": a}) == [a, a]
        (True, [], True)
    """
    level = [output]
    while level:
        found = [tensor for value in level for tensor in tensors_in(_named(value))]
        if found:
            return found
        level = [part for value in level for part in parts_of(value)]
    numbers = parts_of(output) if isinstance(output, Mapping) else []
    return numbers if all(map(_is_number, numbers)) else []


def _named(value: Any) -> Any:
    """Return what a value holds as `loss`; None: nothing."""
    if isinstance(value, (torch.Tensor, torch.nn.Module)):
        return None
    if isinstance(value, Mapping):
        return asked(lambda: value.get("loss"))
    return asked(lambda: getattr(value, "loss", None))


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1 and value.is_floating_point()
