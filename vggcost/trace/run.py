"""Run a model once on meta tensors and freeze what happened."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

import vggcost
from vggcost.errors import InputError, TraceError
from vggcost.records import ParamRecord, RunInfo, Trace
from vggcost.trace.borrow import borrowed, unwrapped
from vggcost.trace.custom import Refusal
from vggcost.trace.explain import explain
from vggcost.trace.higher import HigherOrder
from vggcost.trace.kernels import tensors_in
from vggcost.trace.recorder import Recorder

__all__ = ["MODES", "trace_model"]

MODES = ("inference", "training")
LOSS_PATH = "(loss)"


def trace_model(model: nn.Module, run: RunInfo, *, keywords: bool = False, remember: bool = True) -> Trace:
    """Run a model on meta tensors and record every op, module call, parameter and storage.

    Args:
        model: any module, on any device; it is left exactly as it was, after an exception too.
        run: what to run: the inputs `(N, …)`, and the mode: `inference` (evaluation mode, no
            gradients) or `training` (forward, loss, backward).
        keywords: pass the inputs by name rather than by position.
        remember: take the outputs of an op seen before from memory; the records are the same.

    Returns:
        The trace; its run tells the loss and the versions as well.

    Raises:
        TraceError: the model cannot run on these inputs, or cannot be trained.
        InputError: the mode does not exist.
    """
    if run.mode not in MODES:
        raise InputError(f"unknown mode {run.mode!r}; choose {' or '.join(MODES)}")
    model = ready(model)
    training = run.mode == "training"
    tensors = [torch.empty(i.shape, dtype=getattr(torch, i.dtype), device="meta") for i in run.inputs]
    recorder = Recorder(model, remember)
    loss = ""
    with borrowed(model), explained(model, run):
        params = params_of(model)
        register(recorder, model, tensors)
        model.train(training)
        with watched(recorder, training):
            output = call(model, run, tensors, keywords)
            if training:
                loss = train(recorder, output)
    modules, ops, storages = recorder.records()
    return Trace(replace(run, loss=loss, versions=versions()), modules, ops, params, storages)


def ready(model: nn.Module) -> nn.Module:
    """Return the module to run, without the wrapper of torch.compile.

    Raises:
        TraceError: it has parameters without a shape.
    """
    model = unwrapped(model)
    lazy = [path for path, p in model.named_parameters() if isinstance(p, nn.UninitializedParameter)]
    if lazy:
        raise TraceError(f"{lazy[0]} is a lazy parameter without a shape; run the model once on real data first")
    return model


def register(recorder: Recorder, model: nn.Module, inputs: list[torch.Tensor]) -> None:
    """Note what exists before a run."""
    for path, parameter in model.named_parameters():
        recorder.register(parameter, "param")
        recorder.mark(parameter, "param", path)
    for buffer in model.buffers():
        recorder.register(buffer, "buffer")
    for tensor in inputs:
        recorder.register(tensor, "input")


def call(model: nn.Module, run: RunInfo, tensors: list[torch.Tensor], keywords: bool) -> Any:
    """Run the forward pass."""
    named = {i.name: t for i, t in zip(run.inputs, tensors, strict=True)}
    return model(**named) if keywords else model(*tensors)


@contextmanager
def explained(model: nn.Module, run: RunInfo) -> Iterator[None]:
    """Turn what a run raises into one line that names the layer."""
    try:
        yield
    except TraceError:
        raise
    except Exception as error:
        if not isinstance(error, Refusal) and _is_ours(error):
            raise  # a mistake of vggcost's must not pass for one of the model's
        raise TraceError(explain(error, model, run.title, run.inputs)) from error


@contextmanager
def watched(recorder: Recorder, training: bool) -> Iterator[None]:
    """Feed a recorder with all that happens."""
    handles = [
        register_module_forward_pre_hook(recorder.enter),
        register_module_forward_hook(recorder.leave, with_kwargs=True, always_call=True),
    ]
    saved = torch.autograd.graph.saved_tensors_hooks(recorder.pack, lambda tensor: tensor)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model's warnings about data do not concern shapes
            with torch.set_grad_enabled(training), saved, recorder.mode(), HigherOrder(recorder):
                yield
    finally:
        for handle in handles:
            handle.remove()


def train(recorder: Recorder, output: Any, criterion: Callable[[Any], torch.Tensor] | None = None) -> str:
    """Compute a loss and run the backward pass; return the loss's name.

    A criterion of the user's gets the model's output. Without one, a model that returns its own loss (as
    `output.loss`) keeps it, one tensor of logits `(N, classes, …)` gets cross-entropy, and anything else
    is summed.
    """
    own = getattr(output, "loss", None)
    if criterion is not None or isinstance(own, torch.Tensor):
        name = getattr(criterion, "__name__", type(criterion).__name__) if criterion is not None else "the model's own"
        recorder.begin(LOSS_PATH, name)
        loss = criterion(output) if criterion is not None else own
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
            made = f"a tensor of {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise TraceError(f"the loss {name} must return one number with a gradient, it returned {made}")
        recorder.end(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        return name
    outputs = [t for t in tensors_in(output) if t.is_floating_point() and t.requires_grad]
    if not outputs:
        raise TraceError(
            "cannot be trained: no output has a gradient (are all parameters frozen, or the output integer?)"
        )
    single = isinstance(output, torch.Tensor) and output.dim() >= 2
    name = "cross_entropy" if single else "sum"
    recorder.begin(LOSS_PATH, name)
    if single:
        target = torch.empty((output.shape[0], *output.shape[2:]), dtype=torch.int64, device="meta")
        recorder.register(target, "input")
        recorder.mark(target, "input", "")
        loss = F.cross_entropy(output, target)
    else:
        loss = outputs[0].sum()
        for tensor in outputs[1:]:
            loss = loss + tensor.sum()
    recorder.end(loss)
    loss.backward()  # type: ignore[no-untyped-call]
    return name


def params_of(model: nn.Module) -> tuple[ParamRecord, ...]:
    """Describe the parameters, each once."""
    paths: dict[int, list[str]] = {}
    found: dict[int, nn.Parameter] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        paths.setdefault(id(parameter), []).append(path)
        found[id(parameter)] = parameter
    return tuple(
        ParamRecord(
            tuple(paths[key]),
            tuple(p.shape),
            str(p.dtype).removeprefix("torch."),
            p.numel() * p.element_size(),
            p.requires_grad,
        )
        for key, p in found.items()
    )


def _is_ours(error: Exception) -> bool:
    """Whether the error comes from the code of this folder, other than where it runs torch's kernels."""
    frames = traceback.extract_tb(error.__traceback__)
    here = Path(frames[-1].filename).parent == Path(__file__).parent
    return here and all(frame.name != "_compute" for frame in frames)


def versions() -> tuple[tuple[str, str], ...]:
    """Tell what made the trace."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return (("python", python), ("torch", torch.__version__), ("vggcost", vggcost.__version__))
