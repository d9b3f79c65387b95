"""A whole training step on meta: zero_grad, forward, loss, backward, optimizer; the second is recorded.

The first step creates the optimizer's states and leaves gradients behind, so that the second is the
steady state: gradients of the step before are freed at its start, states exist all along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from vggcost.errors import OptionError, TraceError
from vggcost.load.given_back import given_back
from vggcost.records import Arguments, ParamRecord, RunInfo, Step, Trace
from vggcost.trace import optimizers
from vggcost.trace.attention import KERNELS, Attention
from vggcost.trace.borrow import borrowed
from vggcost.trace.bounds import Assumed
from vggcost.trace.deferred import consumed
from vggcost.trace.held import Modules, inside
from vggcost.trace.loss import Criterion, train
from vggcost.trace.optimizers import Optimizer
from vggcost.trace.recorder import Recorder
from vggcost.trace.recurrent import FusedLSTM
from vggcost.trace.run import checked, converted, explained, known, made, register, trace_of, watched
from vggcost.trace.scratch import Inside
from vggcost.trace.signature import tensors_in
from vggcost.trace.unrolled import Unrolled
from vggcost.trace.wrapped import noted, plain
from vggcost.units import joined

__all__ = ["check_trainable", "trace_step"]


@given_back()
def trace_step(
    model: nn.Module,
    run: RunInfo,
    step: Step,
    *,
    criterion: Criterion = None,
    arguments: Arguments | None = None,
    assume: Mapping[str, int] = MappingProxyType({}),
    remember: bool = True,
    steps: int = 2,
) -> Trace:
    """Take two training steps on meta tensors and record the second.

    Args:
        model: any module; it is left exactly as it was.
        run: the inputs; its mode is `training`.
        step: the optimizer, what is frozen, the dtype, how many backward passes a step has.
        criterion: maps the model's output to the loss; None: see `vggcost.trace.loss.train`.
        arguments: how the inputs are passed; None: by position.
        assume: as for `vggcost.trace.run.trace_model`.
        remember: take outputs of ops seen before from memory.
        steps: how many to take; one is enough for a model that does the same in each, without an optimizer.

    Returns:
        The trace of the last step; storages have the roles param, buffer, input, activation, saved,
        gradient, optimizer and temporary.

    Raises:
        TraceError: the model cannot be run or trained.
        OptionError: the optimizer does not exist, or nothing is left to train.
    """
    if step.attention not in KERNELS:
        raise OptionError(f"unknown attention kernel {step.attention!r}; choose one of: {', '.join(KERNELS)}")
    arguments = (arguments or Arguments(run.inputs)).map(lambda record: converted(record, step.dtype))
    run = replace(run, inputs=arguments.inputs, note=joined(run.note, noted(model)))
    limits = checked(assume)
    with plain(model) as modules, known(modules, run, arguments, limits) as told:
        return _traced(modules, told, step, arguments, limits, criterion, remember, steps)


def _traced(
    modules: Modules,
    run: RunInfo,
    step: Step,
    arguments: Arguments,
    limits: Mapping[str, int],
    criterion: Criterion,
    remember: bool,
    steps: int,
) -> Trace:
    model, dtype = modules[0][1], getattr(torch, step.dtype) if step.dtype else None
    recorder, loss = None, ""
    params: tuple[ParamRecord, ...] = ()
    with borrowed(modules, dtype, step.freeze), explained(model, run, arguments):
        trained = {path: p for path, p in model.named_parameters() if p.requires_grad}
        if not trained:
            held = any(p is not None for _, module in modules for p in module._parameters.values())
            raise OptionError(
                f"nothing is left to train: {'every parameter is frozen' if held else 'it has no parameters'}"
            )
        names = {id(p): path for path, p in trained.items()}
        optimizer = optimizers.optimizer_of(step, trained)
        model.train()
        for _ in range(steps):
            passed, tensors = made(arguments)
            anew = _anew(passed, tensors)
            recorder = Recorder(
                inside(model), remember, inside=Inside(step.device, step.threads), assumed=Assumed(limits)
            )
            attention = Attention(step.attention, step.device, recorder.within)
            register(recorder, tensors)
            params = params or recorder.params
            _note_states(recorder, optimizer, names)
            for parameter in trained.values():
                if parameter.grad is not None:
                    recorder.register(parameter.grad, "gradient", keep=False)
            unrolled = Unrolled(step.device, recorder)
            with watched(recorder, True, attention), FusedLSTM(step.device, recorder), unrolled:
                loss, output = _gradients(recorder, model, anew, optimizer, step.accumulate, names, criterion)
            optimizers.step(optimizer, recorder, step.device)
            del output
            _note_states(recorder, optimizer, names)
            optimizers.settle(optimizer)
        assert recorder is not None
        trace = trace_of(recorder, params, replace(run, loss=loss), arguments, attention)
        return replace(trace, update=optimizers.one_at_a_time(optimizer, recorder, step.device))


def _anew(passed: Arguments, tensors: list[torch.Tensor]) -> Callable[[], Arguments]:
    """Return what gives the arguments as they were, since a model may change the containers and values it is given."""
    values = [(tensor, tensor.clone()) for tensor in tensors if not tensor.is_meta]

    def again() -> Arguments:
        with torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction():  # it is no work of the model's
            for tensor, value in values:
                tensor.data.copy_(value)
        return passed.map(lambda record: record)

    return again


def _gradients(
    recorder: Recorder,
    model: nn.Module,
    anew: Callable[[], Arguments],
    optimizer: Optimizer,
    accumulate: int,
    names: dict[int, str],
    criterion: Criterion,
) -> tuple[str, Any]:
    """Return the loss's name and the output, which lives until the step is done as in most people's loops."""
    loss, output = "", None
    optimizer.zero_grad(set_to_none=True)
    for _ in range(accumulate):
        given = anew()
        output = consumed(model(*given.args, **given.kwargs))
        loss = train(recorder, output, criterion)
    with torch._C.DisableTorchFunction():  # or each gradient that is looked at is a call of a function of torch
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    recorder.mark(parameter.grad, "gradient", names[id(parameter)])
    return loss, output


def _note_states(recorder: Recorder, optimizer: Optimizer, names: dict[int, str]) -> None:
    for parameter, state in optimizer.state.items():
        for tensor in tensors_in(state):
            recorder.mark(tensor, "optimizer", names.get(id(parameter), ""))


def check_trainable(trace: Trace) -> None:
    """Refuse a step that computes no gradient at all.

    Raises:
        TraceError: no parameter got a gradient.
    """
    if not any(storage.role == "gradient" for storage in trace.storages):
        raise TraceError("cannot be trained: the loss does not depend on any parameter")
