"""Run a model once on meta tensors and freeze what happened."""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_modules
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

import vggcost
from vggcost.errors import InputError, OptionError, TraceError
from vggcost.load.aside import drew
from vggcost.load.devices import Devices, asked
from vggcost.load.given_back import given_back, owing
from vggcost.load.nested import watching
from vggcost.load.quiet import quiet
from vggcost.records import Arguments, GivenRecord, InputRecord, ParamRecord, RunInfo, Trace
from vggcost.trace.attention import Attention
from vggcost.trace.autocast import Autocast
from vggcost.trace.borrow import borrowed
from vggcost.trace.bounds import ASSUMABLE, Assumed, Endless, Unknowable
from vggcost.trace.called import Called
from vggcost.trace.claimed import claimed
from vggcost.trace.custom import Refusal
from vggcost.trace.deferred import consumed
from vggcost.trace.explain import explain, unknowable
from vggcost.trace.held import Modules, inside
from vggcost.trace.higher import HigherOrder
from vggcost.trace.layers import Layers
from vggcost.trace.lazy import LEARNED, learned, shaped
from vggcost.trace.loss import Criterion, train
from vggcost.trace.mixed import transformed
from vggcost.trace.packed import note_packed, record_of
from vggcost.trace.recomputed import recomputed
from vggcost.trace.recorder import Recorder
from vggcost.trace.transforms import needs_gradients, unwatched
from vggcost.trace.whole import whole
from vggcost.trace.wrapped import noted, plain
from vggcost.units import did_you_mean, exact, joined

__all__ = ["MODES", "converted", "outputs_of", "trace_model"]

MODES = ("inference", "training")
DIFFERENTIATES = "run with gradients on, since its forward differentiates"
_SET: Any = nn.Module.__setattr__


@given_back()
def trace_model(
    model: nn.Module,
    run: RunInfo,
    *,
    arguments: Arguments | None = None,
    assume: Mapping[str, int] = MappingProxyType({}),
    remember: bool = True,
    dtype: str = "",
    criterion: Criterion = None,
    backward: bool = True,
) -> Trace:
    """Run a model on meta tensors and record every op, module call, parameter and storage.

    Args:
        model: any module, on any device; it is left exactly as it was, after an exception too.
        run: what to run: the inputs `(N, …)`, and the mode: `inference` (evaluation mode, no
            gradients) or `training` (forward, loss, backward).
        arguments: how the inputs are passed; None: by position.
        assume: what to take for the outcome of ops that depends on data, by `ASSUMABLE`'s names, of all
            layers or of one (`roi_heads:nonzero`).
        remember: take the outputs of an op seen before from memory; the records are the same.
        dtype: of parameters, buffers and floating inputs; empty: as the model and the inputs have them.
        criterion: maps the model's output to the loss of training; None: see `vggcost.trace.loss.train`.
        backward: whether training goes on after the loss; what autograd keeps is known by then.

    Returns:
        The trace; its run tells the loss and the versions as well.

    Raises:
        TraceError: the model cannot run on these inputs, or cannot be trained.
        InputError: the mode does not exist.
    """
    if run.mode not in MODES:
        raise InputError(f"unknown mode {run.mode!r}; choose {' or '.join(MODES)}")
    arguments = (arguments or Arguments(run.inputs)).map(lambda record: converted(record, dtype))
    limits, note = checked(assume), joined(run.note, noted(model))
    with plain(model) as modules, known(modules, replace(run, note=note), arguments, limits) as told:
        return _traced(modules, told, arguments, limits, remember, dtype, criterion, backward)


def _traced(
    modules: Modules,
    run: RunInfo,
    arguments: Arguments,
    limits: Mapping[str, int],
    remember: bool,
    dtype: str,
    criterion: Criterion,
    backward: bool,
) -> Trace:
    model, training, real = modules[0][1], run.mode == "training", run.device == "cpu"
    kind = getattr(torch, dtype) if dtype else None

    def once(run: RunInfo, gradients: bool) -> Trace:
        recorder = Recorder(modules, remember and not real, assumed=Assumed(limits, real=real))
        attention = Attention("auto", "cpu", recorder.within)
        loss = ""
        with borrowed(modules, kind, real=real), explained(model, run, arguments, recorder):
            passed, tensors = made(arguments, real)
            register(recorder, tensors)
            switch(modules, training)
            with watched(recorder, training, attention), torch.set_grad_enabled(gradients):
                output = consumed(model(*passed.args, **passed.kwargs))
                if training:
                    loss = train(recorder, output, criterion, backward)
        return trace_of(
            recorder, recorder.params, replace(run, loss=loss, inputs=arguments.inputs), arguments, attention
        )

    try:
        return once(run, training)
    except TraceError as error:
        if training or not needs_gradients(error.__cause__):
            raise
        return once(replace(run, note=joined(run.note, DIFFERENTIATES)), True)


@contextmanager
def known(modules: Modules, run: RunInfo, arguments: Arguments, limits: Mapping[str, int]) -> Iterator[RunInfo]:
    """Let lazy layers have the shapes that a run on these arguments gives them, and yield the run, which says so."""
    real = run.device == "cpu"

    def learn() -> Any:
        model, recorder = modules[0][1], Recorder(modules, assumed=Assumed(limits, real=real))
        with borrowed(modules, real=real), explained(model, run, arguments):
            passed, _ = made(arguments, real)
            switch(modules, False)
            with watched(recorder, False, Attention("auto", "cpu")), recorder.muted():
                consumed(model(*passed.args, **passed.kwargs))
            return learned(modules)

    with shaped(modules, real, learn) as any_lazy:
        yield replace(run, note=joined(run.note, LEARNED)) if any_lazy else run


def converted(record: InputRecord, dtype: str) -> InputRecord:
    """Give a floating-point input another dtype; an empty one changes nothing."""
    return replace(record, dtype=dtype) if dtype and record.dtype.startswith(("float", "bfloat")) else record


@given_back()
def outputs_of(model: nn.Module, method: str, arguments: Arguments) -> Any:
    """Run one method of a model, or of a layer of it, on meta and return what it returns; nothing is recorded.

    Example:
        >>> outputs_of(nn.Linear(3, 5), "forward", Arguments((InputRecord("x", (2, 3), "float32"),))).shape
        torch.Size([2, 5])
    """
    modules = inside(model)
    recorder = Recorder(modules)
    with claimed(modules), borrowed(modules), watched(recorder, False, Attention("auto", "cpu")), recorder.muted():
        passed, _ = made(arguments)
        model.eval()
        return consumed(attrgetter(method)(model)(*passed.args, **passed.kwargs))


def switch(modules: Modules, training: bool) -> None:
    """Do what `model.train(training)` does; where nothing has a way of its own, without its ado."""
    attributes = [vars(module) for _, module in modules]
    kinds: set[Any] = {type(module) for _, module in modules}
    usual = all(kind.train is nn.Module.train and kind.__setattr__ is _SET for kind in kinds)
    if not (usual and all("training" in held and "train" not in held for held in attributes)):
        modules[0][1].train(training)
        return
    for held in attributes:
        held["training"] = training


def register(recorder: Recorder, inputs: list[torch.Tensor]) -> None:
    """Note what exists before a run, and describe the parameters, each once."""
    paths: dict[int, list[str]] = {}
    parameters: list[torch.Tensor] = []
    registered, buffers = tensors_of(recorder.modules)
    for path, parameter in registered:
        if id(parameter) in paths:
            paths[id(parameter)].append(path)
            continue
        paths[id(parameter)] = [path]
        parameters.append(parameter)
        record = recorder.storages[recorder.register(parameter, "param")]
        record.name = record.name or path
    for buffer in buffers:
        recorder.register(buffer, "buffer")
    for tensor in inputs:
        recorder.register(tensor, "input")
    recorder.buffer_dtypes = dtypes_of(
        (str(b.dtype).removeprefix("torch."), b.numel() * b.element_size()) for b in buffers
    )
    recorder.params = tuple([record_of(p, paths[id(p)]) for p in parameters] + note_packed(recorder))


def dtypes_of(tensors: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """List the dtypes of tensors, that of most bytes first.

    Example:
        >>> dtypes_of([("float32", 4), ("bfloat16", 2), ("bfloat16", 6)])
        ('bfloat16', 'float32')
    """
    sizes: Counter[str] = Counter()
    for dtype, size in tensors:
        sizes[dtype] += size
    return tuple(sorted(sizes, key=lambda dtype: (-sizes[dtype], dtype)))


def tensors_of(modules: Modules) -> tuple[list[tuple[str, torch.Tensor]], list[torch.Tensor]]:
    """List the parameters by all their paths, a tied one once for each, and the buffers."""
    parameters: list[tuple[str, torch.Tensor]] = []
    buffers: list[torch.Tensor] = []
    for path, module in modules:
        for name, parameter in module._parameters.items():
            if parameter is not None:
                parameters.append((f"{path}.{name}" if path else name, parameter))
        if module._buffers:
            buffers += [buffer for buffer in module._buffers.values() if buffer is not None]
    return parameters, buffers


def made(arguments: Arguments, real: bool = False) -> tuple[Arguments, list[torch.Tensor]]:
    """Put a tensor in the place of every record, and list them; on meta, or on the CPU if real or with kept values."""
    tensors: list[torch.Tensor] = []
    if real:
        drew()
        torch.default_generator.manual_seed(0)

    def tensor(record: InputRecord) -> torch.Tensor:
        dtype = getattr(torch, record.dtype)
        if isinstance(record, GivenRecord) and (real or record.is_kept):
            found = _filled(record, dtype)
        elif not real:
            found = torch.empty(record.shape, dtype=dtype, device="meta")
        else:  # a whole number is an index, and 0 is one of everything
            found = (
                torch.rand(record.shape).to(dtype)
                if dtype.is_floating_point
                else torch.zeros(record.shape, dtype=dtype)
            )
        tensors.append(found)
        return found

    return arguments.map(tensor), tensors


def _filled(record: GivenRecord, dtype: torch.dtype) -> torch.Tensor:
    """Make a tensor of given values, which shares nothing with theirs."""
    values = record.values
    if isinstance(values, torch.Tensor):
        values = values.detach().as_subclass(torch.Tensor)
    found = torch.as_tensor(values, dtype=dtype, device="cpu")
    found = found.expand(record.shape) if found.numel() else found.reshape(record.shape)
    return found.clone(memory_format=torch.contiguous_format)


def checked(assume: Mapping[str, int]) -> Mapping[str, int]:
    """Refuse what cannot be assumed.

    Raises:
        OptionError: an unknown name, or a negative number.
    """
    for key, value in assume.items():
        name = key.rpartition(":")[2]
        if name not in ASSUMABLE:
            raise OptionError(f"cannot assume {name!r}{did_you_mean(name, ASSUMABLE)}; known: {', '.join(ASSUMABLE)}")
        if isinstance(value, bool) or not isinstance(value, int) or (value < 0 and name != "item"):
            raise OptionError(f"cannot assume {value!r} for {key}; give a whole number")
    return assume


@contextmanager
def explained(model: nn.Module, run: RunInfo, arguments: Arguments, recorder: Recorder | None = None) -> Iterator[None]:
    """Turn what a run raises into one line that names the layer."""
    try:
        yield
    except (TraceError, KeyboardInterrupt):
        raise
    except Unknowable as stop:
        until = recorder.calls[-1].path if recorder is not None and recorder.calls else ""
        error = Stopped(unknowable(stop, model, run.title, until))
        error.trace = trace_of(recorder, recorder.params, run, arguments) if recorder is not None else None
        raise error from stop
    except BaseException as error:  # sys.exit() too
        if not isinstance(error, (Refusal, Endless)) and _is_ours(error):
            raise  # a mistake of vggcost's must not pass for one of the model's
        raise TraceError(explain(error, model, run, arguments)) from error


class Stopped(TraceError):
    """The run could not go on; `trace` holds what was seen until there."""

    trace: Trace | None = None


def trace_of(
    recorder: Recorder,
    params: tuple[ParamRecord, ...],
    run: RunInfo,
    arguments: Arguments,
    attention: Attention | None = None,
) -> Trace:
    """Freeze what was seen, of a whole run or until it stopped."""
    modules, ops, storages = recorder.records()
    note = joined(run.note, told(recorder, arguments), asked(recorder.asked, here(recorder)))
    known = dtypes_of((p.dtype, p.nbytes) for p in params)
    run = replace(run, versions=versions(), note=note, param_dtypes=known, buffer_dtypes=recorder.buffer_dtypes)
    return Trace(
        run, modules, ops, params, storages,
        attention=tuple(sorted(attention.used)) if attention is not None else (),
        assumed=recorder.assumed.records(),
        functions=tuple(recorder.functions),
    )  # fmt: skip


_LISTED = 4  # inputs that a note names


def told(recorder: Recorder, arguments: Arguments) -> str:
    """Say of which inputs the values controlled the run; nothing where none were read."""
    records = [record for record in arguments.records if isinstance(record, GivenRecord) and not record.usual]
    names = [record.name for record in records if record.is_kept or recorder.assumed.real]
    more = [f"{exact(len(names) - _LISTED)} more"] if len(names) > _LISTED else []
    return f"with the values given of {', '.join([*names[:_LISTED], *more])}" if recorder.assumed.read and names else ""


def here(recorder: Recorder) -> str:
    """Name the device of a run."""
    return "cpu" if recorder.assumed.real else "meta"


@contextmanager
def watched(recorder: Recorder, training: bool, attention: Attention) -> Iterator[None]:
    """Feed a recorder with all that happens."""
    devices = Devices(here(recorder), recorder.asked)
    called, layers = Called(recorder, attention, devices), Layers(recorder, attention)  # which look for other modes
    kept = torch.autograd.graph.saved_tensors_hooks(recorder.pack, lambda tensor: tensor)
    with owing(partial(_unhook, recorder)):
        register_module_forward_pre_hook(recorder.enter)
        register_module_forward_hook(recorder.leave, with_kwargs=True, always_call=True)
        with (
            quiet(),  # a model's warnings about data do not concern shapes
            watching(),
            torch.set_grad_enabled(training),
            whole(),
            kept if training else nullcontext(),  # without a backward pass there is nothing to keep for it
            devices.answering(),
            unwatched(recorder.pack, recorder.spans),
            recomputed(recorder),
            transformed(recorder),
            recorder.mode(),
            HigherOrder(recorder),
            nullcontext() if recorder.assumed.real else Autocast(attention.device),
            called,
            attention,
            layers,
        ):
            yield


def _unhook(recorder: Recorder) -> None:
    """Take a recorder's hooks of all modules away."""
    for hooks in (torch_modules._global_forward_pre_hooks, torch_modules._global_forward_hooks):
        for key, hook in list(hooks.items()):
            if getattr(hook, "__self__", None) is recorder:
                for also in (
                    torch_modules._global_forward_hooks_with_kwargs,
                    torch_modules._global_forward_hooks_always_called,
                ):
                    also.pop(key, None)
                hooks.pop(key, None)


def _is_ours(error: BaseException) -> bool:
    """Whether the error comes from the code of this folder, other than where it runs torch's own."""
    if isinstance(error, RecursionError):  # which strikes anywhere
        return False
    frames = traceback.extract_tb(error.__traceback__)
    here = Path(frames[-1].filename).parent == Path(__file__).parent
    passed_on = frames[-1].name in ("__torch_function__", "_run", "_attend")
    return here and not passed_on and all(frame.name != "_compute" for frame in frames)


def versions() -> tuple[tuple[str, str], ...]:
    """Tell what made the trace."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return (("python", python), ("torch", torch.__version__), ("vggcost", vggcost.__version__))
