"""The whole way in one call: load, trace, cost."""

from __future__ import annotations

import gc
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from vggcost.cost import convention as find_convention
from vggcost.cost import cost_table, with_saved
from vggcost.errors import InputError, OptionError, TraceError
from vggcost.load import GivenLoss, Loaded, batch_of, filled, folded, load, loss_of, named, to_arguments, with_batch
from vggcost.load.given_back import given_back, shielded
from vggcost.load.nested import apart
from vggcost.records import PARAMETERS, Arguments, Convention, CostTable, GivenRecord, RunInfo, Trace
from vggcost.units import described, exact, joined

if TYPE_CHECKING:
    import torch
    from torch import nn

    Inputs = str | Path | Arguments | torch.Tensor | Sequence[Any] | Mapping[str, Any] | None
    Loss = str | Callable[[Any], torch.Tensor] | None
else:
    Inputs = Loss = Any

P = ParamSpec("P")
T = TypeVar("T")

__all__ = [
    "DTYPES",
    "Inputs",
    "Loss",
    "Said",
    "Traced",
    "analyze",
    "loaded_model",
    "prepared",
    "run_once",
    "traced",
    "uncollected",
]

NONE = "none"
"""In the place of inputs: the model is not run, and its parameters alone are listed."""

DTYPES = ("float32", "float16", "bfloat16", "float64")
"""What a model's floating-point tensors may become."""


@apart
@given_back()
def analyze(
    model_or_name: str | nn.Module,
    inputs: Inputs = None,
    *,
    batch: int = 1,
    mode: str = "inference",
    convention: str = "torch",
    saved: bool = False,
    assume: Mapping[str, int] | None = None,
    fuse: bool = False,
    fallback: str = "",
    dtype: str = "",
    loss: Loss = None,
    **options: Any,
) -> CostTable:
    """Say what a model costs, layer by layer.

    The model is run once on meta tensors: no weight is read, copied or changed, and a module that
    is passed in is left exactly as it was.

    Args:
        model_or_name: a name of the zoo, `torchvision:NAME`, `timm:NAME`, `hf:NAME`, `hf:./config.json`,
            `./file.py:factory`, `package.module:factory`, `./model.pt2`, or a module.
        inputs: a string as for `-i` (`3x224x224`, the batch left out) or several of them, the `Path` of a JSON file
            as for `--input-json`, a tensor `(N, …)`, a tuple of positional arguments, or a dict of keyword
            arguments, with tensors and plain values nested in tuples, lists and dicts; None: what the model
            is made for, where that is known; `none`: no run, and the parameters alone. A model that cannot be
            called, such as a `ModuleList`, is never run.
        batch: N, for inputs given as text or not at all.
        mode: `inference`, or `training` for forward, loss and backward.
        convention: what counts as a FLOP: `torch`, `full`, `fvcore`, `timm`, `convnet-burden`, or one of the
            project's own configuration.
        saved: in inference, trace a training step as well, to say in the memory section what it
            would save for the backward pass.
        assume: what to take where an outcome depends on data, which a run on meta does not have: the elements
            that `nonzero`, `unique` and `nms` return, the number that `item` reads, of all layers or of one
            (`roi_heads:nonzero`). Without it, `nonzero` and the like return all there can be.
        fuse: call the model's own `fuse`, `reparameterize` or `switch_to_deploy` first; a module that is passed in
            is copied for it.
        fallback: `cpu`: where the model cannot run on meta, run it on real CPU tensors.
        dtype: of parameters, buffers and floating inputs: `float32`, `float16`, `bfloat16` or `float64`; empty: as the
            model has them.
        loss: of a training step: a function from the model's output to one number, or its place as
            `./file.py:function`. None: what the output holds as `loss`, or the sum of a mapping of losses; cross-entropy
            for one tensor of logits; the sum of the outputs otherwise. The table names it.
        options: keyword arguments of the factory; for the zoo's nets `classes`, `ceil_mode`,
            `dropout` and `image_size`.

    Returns:
        The cost table.

    Raises:
        VggcostError: the name, the options, the inputs or the convention make no sense, or the model
            cannot run; the message is one line that says what to do.

    Example:
        >>> analyze("vgg16").totals.params
        138357544
    """
    said = Said(batch, mode, convention, saved, dict(assume or {}), fuse, fallback, dtype, options, loss)
    return run_once(model_or_name, inputs, said)


@dataclass(frozen=True, slots=True)
class Said:
    """What `analyze` is told beside the model and its inputs."""

    batch: int = 1
    mode: str = "inference"
    convention: str = "torch"
    saved: bool = False
    assume: dict[str, int] = field(default_factory=dict)
    fuse: bool = False
    fallback: str = ""
    dtype: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    loss: Loss = None

    def words(self) -> list[str] | None:
        """Write them as options of the command; None where a loss has no place that could be written."""
        loss = self.loss.text if isinstance(self.loss, GivenLoss) else self.loss
        if loss and not isinstance(loss, str):
            return None
        words = ["-b", str(self.batch)] if self.batch != 1 else []
        words += ["--mode", self.mode] if self.mode != "inference" else []
        words += ["--convention", self.convention] if self.convention != "torch" else []
        words += ["--dtype", self.dtype] if self.dtype else []
        for key, value in self.assume.items():
            words += ["--assume", f"{key}={value}"]
        words += ["--fuse"] if self.fuse else []
        words += ["--fallback", self.fallback] if self.fallback else []
        words += ["--loss", loss] if loss else []
        for key, value in self.options.items():
            words += ["-k", f"{key}={value}"]
        return words


def uncollected(function: Callable[P, T]) -> Callable[P, T]:
    """Pause the collector of garbage: all that a run makes is kept, and each look through it goes through torch too."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        before = gc.isenabled()

        def run() -> T:
            gc.disable()
            return function(*args, **kwargs)

        def settle() -> None:
            if before:
                gc.enable()

        return shielded(run, settle)

    return called


@dataclass(frozen=True, slots=True)
class Traced:
    """A run of a model, and for the line "saved for backward" of an inference a training step, or why there is none."""

    trace: Trace
    convention: Convention
    training: Trace | None = None
    untrainable: str = ""

    def table(self) -> CostTable:
        """Price the run."""
        return cost_table(self.trace, self.convention, self.training, self.untrainable)


@uncollected
def run_once(model: Any, inputs: Any, said: Said, loaded: Loaded | None = None) -> CostTable:
    """Do what `analyze` says, with a model that is loaded already, or not."""
    trace, rule, step = _run(model, inputs, said, loaded)
    table = cost_table(trace, rule)
    del trace  # a run of a million ops is large, and two of them need not be there at once
    training, why_not = step()
    return with_saved(table, training, why_not) if training is not None or why_not else table


@uncollected
def traced(model: Any, inputs: Any, said: Said, loaded: Loaded | None = None) -> Traced:
    """Run a model as `analyze` says.

    Raises:
        VggcostError: as for `analyze`.
    """
    trace, rule, step = _run(model, inputs, said, loaded)
    return Traced(trace, rule, *step())


_Step = Callable[[], tuple[Trace | None, str]]


def _run(model: Any, inputs: Any, said: Said, loaded: Loaded | None) -> tuple[Trace, Convention, _Step]:
    """Run a model; return the convention too, and what takes the training step of an inference, or says why none is."""
    import vggcost.trace  # noqa: F401  before any run: what an import leaves may hold the frames that it was made in

    rule = find_convention(said.convention)
    if said.dtype and said.dtype not in DTYPES:
        raise OptionError(f"unknown dtype {said.dtype!r}; choose one of: {', '.join(DTYPES)}")
    if said.fallback not in ("", "cpu"):
        raise OptionError(f"unknown fallback {said.fallback!r}; the only one is cpu")
    words, criterion = said.words(), loss_of(said.loss)
    loaded = loaded if loaded is not None else loaded_model(model, said.options)
    if (why := _not_run(loaded.model, inputs)) and said.mode != "training":
        return _listed(model, inputs, said, loaded, why), rule, lambda: (None, "")
    ready = prepared(model, inputs, said.batch, said.mode, words, said.options, fuse=said.fuse, loaded=loaded)
    return _passed(model, inputs, said, rule, criterion, ready)


def _passed(
    model: Any,
    inputs: Any,
    said: Said,
    rule: Convention,
    criterion: GivenLoss | None,
    ready: tuple[Loaded, RunInfo, Arguments],
) -> tuple[Trace, Convention, _Step]:
    """Do what `_run` says with a model that is ready."""
    from vggcost.trace import trace_model

    loaded, run, arguments = ready
    mode, limits = said.mode, {**loaded.assume, **said.assume}
    go = partial(trace_model, assume=limits, dtype=said.dtype, criterion=criterion)
    try:
        trace = go(loaded.model, run, arguments=arguments)
    except TraceError as error:
        if not said.fallback:
            if (until := getattr(error, "trace", None)) is not None:
                error.table = cost_table(until, rule)
            elif loaded.hint and inputs is None:
                raise TraceError(f"{error}{loaded.hint}") from error.__cause__
            raise
        loaded, run, arguments = prepared(
            model, inputs, said.batch, mode, said.words(), said.options, fuse=said.fuse, real=True
        )
        run = replace(run, device="cpu", note=joined(run.note, f"{_REAL}: {error}", _drawn(arguments)))
        trace = go(loaded.model, run, arguments=arguments)

    def step() -> tuple[Trace | None, str]:
        if not said.saved or mode != "inference":
            return None, ""
        try:
            return go(loaded.model, replace(run, mode="training"), arguments=arguments, backward=False), ""
        except TraceError as error:  # the memory section says so
            return None, str(error)

    return trace, rule, step


def prepared(
    model: Any,
    inputs: Any,
    batch: int,
    mode: str,
    words: Sequence[str] | None,
    options: dict[str, Any],
    *,
    fuse: bool = False,
    real: bool = False,
    loaded: Loaded | None = None,
) -> tuple[Loaded, RunInfo, Arguments]:
    """Load a model and say what it is run on; `words` are the options of the command that makes this again."""
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"the batch must be a whole number of 1 or more, not {batch!r}")
    loaded = loaded if loaded is not None else loaded_model(model, options, real)
    loaded, note = _fused(loaded, isinstance(model, str), real) if fuse else (loaded, loaded.note)
    if why := _not_run(loaded.model, inputs):
        raise InputError(f"this needs a run, and {why}{'' if inputs is None else _GIVE}")
    if inputs is None:
        arguments = _arguments(_default(loaded), batch, loaded.model)
        if mode == "training" and loaded.targets is not None:
            arguments = loaded.targets(arguments)
            note = joined(note, "trained on targets that are stated: eight boxes of the first class in each image")
    else:
        arguments = filled(to_arguments(inputs, batch), loaded.ordinary)
    if loaded.source == "export" and isinstance(loaded.input, Arguments) and _form(arguments) != _form(loaded.input):
        raise InputError(
            f"{loaded.name} was exported for {described(loaded.input.inputs, 1)}; give as many tensors, in this order"
        )
    if mode == "training":
        loaded = replace(loaded, assume={**loaded.assume, **loaded.trained})
    size = batch if inputs is None else batch_of(arguments)
    run = RunInfo(
        loaded.name, loaded.title, loaded.aliases, loaded.source, _command(model, inputs, words), arguments.inputs,
        size, mode, note=note,
    )  # fmt: skip
    return loaded, run, arguments


def _fused(loaded: Loaded, ours: bool, real: bool = False) -> tuple[Loaded, str]:
    """Fold a model's layers as it does itself, and say how many."""
    loaded, count = folded(loaded, ours, real)
    said = f"fused before counting: {exact(count)} modules" if count else "nothing in it to fuse"
    return loaded, joined(loaded.note, said)


def _not_run(model: nn.Module, inputs: Any) -> str:
    """Say why a model is not run: no input is asked for, or it is none that can be called."""
    from vggcost.trace import runs

    if isinstance(inputs, (str, tuple, list)) and inputs in (NONE, (NONE,), [NONE]):
        return "no input was given"
    return "" if inputs is not None or runs(model) else f"{type(model).__name__} has no forward that could be called"


def _listed(model: Any, inputs: Any, said: Said, loaded: Loaded, why: str) -> Trace:
    """List the parameters of a model that is not run."""
    from vggcost.trace import list_parameters

    loaded, note = _fused(loaded, isinstance(model, str)) if said.fuse else (loaded, loaded.note)
    run = RunInfo(
        loaded.name, loaded.title, loaded.aliases, loaded.source, _command(model, inputs, said.words()), (), 1,
        PARAMETERS, note=joined(note, f"{why}: parameters only{'' if inputs is None else _GIVE}"),
    )  # fmt: skip
    return list_parameters(loaded.model, run, said.dtype)


_GIVE = "; give what goes in with -i"
_REAL = "run on real CPU tensors, since on meta"


def _drawn(arguments: Arguments) -> str:
    """Say which values a real run takes where none were given."""
    given = all(isinstance(record, GivenRecord) for record in arguments.records)
    return "" if given else "whole numbers that were not given are 0, other ones random"


def _form(arguments: Arguments) -> Arguments:
    """The nesting of arguments, whatever the shapes."""
    return arguments.map(lambda _: "a tensor")


def loaded_model(model: Any, options: dict[str, Any], real: bool = False) -> Loaded:
    """Load a model by its name, or take a module as it is."""
    if isinstance(model, str):
        return load(model, options, real=real)
    from torch import nn

    from vggcost.trace import noted, unwrapped

    if not isinstance(model, nn.Module):
        raise InputError(f"expected a model's name or a torch.nn.Module, not a {type(model).__name__}")
    if options:
        raise InputError(f"options ({', '.join(options)}) go to a factory; this model is already built")
    inner = unwrapped(model)
    name = type(inner).__name__
    return Loaded(inner, name, name, (), "object", None, note=noted(model) if inner is not model else "")


def _default(loaded: Loaded) -> Any:
    """Return the input that a model is made for."""
    if loaded.completed is None:
        return loaded.input
    from vggcost.trace import outputs_of

    return loaded.completed(partial(outputs_of, loaded.model))


def _arguments(default: Any, batch: int, model: nn.Module) -> Arguments:
    """Put the batch into the input that a model is made for."""
    if default is None:
        taken = signature(model.forward).parameters
        if not taken:
            return Arguments()
        needed = [
            name
            for name, parameter in taken.items()
            if parameter.default is Parameter.empty and parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
        ]
        asked = (
            f"; its forward needs {', '.join(needed)}: give each by name, such as -i {needed[-1]}=1x128"
            if needed
            else ""
        )
        raise InputError(
            f"this model does not say what input it takes{asked or '; give one, such as -i 3x224x224'}; -i none lists its parameters alone"
        )
    if callable(default):
        return named(default(batch))
    return to_arguments(default, batch) if isinstance(default, str) else with_batch(named(default), batch)


def _command(model: Any, inputs: Any, words: Sequence[str] | None) -> str:
    """The command line that makes this table again; nothing for what cannot be written there."""
    texts = (inputs,) if isinstance(inputs, (str, Path)) else () if inputs is None else inputs
    if not isinstance(model, str) or words is None or not _written(texts):
        return ""
    given = [word for text in texts for word in ("--input-json" if isinstance(text, Path) else "-i", str(text))]
    return shlex.join(["vggcost", "report", model, *given, *words])


def _written(inputs: Any) -> bool:
    """Whether these are texts as for `-i`, or the path of a JSON file."""
    return isinstance(inputs, (tuple, list)) and all(isinstance(text, (str, Path)) for text in inputs)
