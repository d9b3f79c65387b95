"""Run one op on meta tensors: by a rule of our own, from memory, or by torch's kernel.

The outputs of an op are remembered by its signature (the op, the shapes, strides and dtypes of its
tensors, its plain arguments), within a run and across the runs of one process. The outputs of ops that
mutate, alias, or depend on anything outside their signature never are: of views and of the plainest
in-place ops the facts are remembered (shapes, attributes), and the op is done.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isqrt
from typing import Any, NamedTuple

import torch

from vggcost.load.layouts import parts
from vggcost.load.meta import SMALL, constant, is_whole, to_meta
from vggcost.trace import sparse
from vggcost.trace.bounds import BOUNDS, FOLLOWED, INDEXED, MASKS, Assumed, without_masks
from vggcost.trace.custom import DENSE, READS, SHAPES, Refusal, missing
from vggcost.trace.recurrent import backward_rule, forward_rule
from vggcost.trace.shapes import RULES, SAME_TENSOR, Spec
from vggcost.trace.signature import PLAIN_TYPES, Sparse, is_plain, plain, signature_of, tensors_in
from vggcost.trace.sparse import MADE, MAKERS
from vggcost.trace.transforms import shadowed
from vggcost.trace.varlen import VARLEN, pairs

__all__ = ["CALLS", "LIMIT", "MARKED", "Plan", "Seen", "empty", "plan_of", "register_shape", "run", "sizes"]

FUSED = {"aten.mkldnn_rnn_layer": forward_rule, "aten.mkldnn_rnn_layer_backward": backward_rule}
STRICT = ("aten.masked_fill", "aten.masked_fill_")
"""Ops that take no number of another device."""
_PAIRED = 2 * isqrt(SMALL)  # two tables of this many elements have as many pairs as may be real
_META = torch.device("meta")
LIMIT = 100_000  # remembered signatures of an op; far more than any model has


@dataclass(slots=True)
class Plan:
    """What is known of an op from its schema.

    `remember` is what may be: `outputs`, `facts` or nothing; `hidden` tells whether it is no work of the model's now.
    """

    func: Any
    name: str
    base: str
    nature: str
    remember: str
    decompose: bool
    hidden: Callable[[], bool] | None
    arguments: tuple[str, ...]
    writes: tuple[int, ...]
    draws: bool
    optional: tuple[str, ...]
    memory: dict[Any, Seen] = field(default_factory=dict)


@dataclass(slots=True)
class Seen:
    """What is remembered of one op call, by its signature; `made` is the elements and bytes of each output.

    It is steady if the next call of this signature is taken from memory.
    """

    specs: tuple[Spec | None, ...]
    made: tuple[tuple[int, int], ...]
    several: bool
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    attributes: tuple[tuple[str, Any], ...]
    steady: bool = False


_plans: dict[int, Plan] = {}
CALLS: dict[Any, dict[Any, Any]] = {}
"""What `vggcost.trace.recall` remembers of whole calls of torch's functions, by function and signature."""
_UNSTABLE = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
MARKED = {"aten._neg_view", "aten._efficientzerotensor"}  # what they return looks like any other tensor, and is not
_SILENT_VIEWS = {"aten._unsafe_view"}  # shares its input's storage, though its schema does not say so


def plan_of(func: Any) -> Plan:
    """Return what an op's schema says of it."""
    plan = _plans.get(id(func))  # the hash of an op is slow
    if plan is None:
        plan = _plans[id(func)] = _plan(func)
    return plan


def _plan(func: Any) -> Plan:
    schema = func._schema
    name = schema.name.replace("::", ".")
    mutates = any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
    aliases = any(r.alias_info is not None for r in schema.returns)
    tags = set(func.tags)
    if mutates:  # an in-place op is what its functional sibling is
        sibling = getattr(torch.ops.aten, name.removeprefix("aten.").rstrip("_"), None)
        for overload in sibling.overloads() if sibling is not None else ():
            tags |= set(getattr(sibling, overload).tags)
    view = (aliases and not mutates) or name in _SILENT_VIEWS
    nature = "view" if view else "pointwise" if torch.Tag.pointwise in tags else ""
    pure = not (mutates or aliases or tags & _UNSTABLE or name in BOUNDS or name in MARKED or name in VARLEN)
    kept = (view and name not in MARKED) or (
        mutates and (nature == "pointwise" or name in SAME_TENSOR)
    )  # the first argument keeps its looks
    return Plan(
        func=func,
        name=name,
        base=name.rpartition(".")[2].rstrip("_"),
        nature=nature,
        remember="facts" if kept else "outputs" if pure else "",
        decompose=not mutates and _composite(func),
        hidden=_HIDDEN.get(name, _HIDDEN.get(name.partition(".")[0])),
        arguments=tuple(a.name for a in schema.arguments),
        writes=tuple(i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write),
        draws=torch.Tag.nondeterministic_seeded in tags,
        optional=tuple(a.name for a in schema.arguments if str(a.type) == "Optional[Tensor]"),
    )


def _always() -> bool:
    return True


_HIDDEN = {"aten.detach": _always, "profiler": _always, "prims": shadowed}
"""Ops and libraries of ops that are no work of the model's, and when: autograd's own bookkeeping, many times an op."""


def _composite(func: Any) -> bool:
    """Whether torch itself only knows the op as a composition of others (seen under inference_mode)."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return has(func.name(), "CompositeImplicitAutograd") and not has(func.name(), "CPU")


def run(
    plan: Plan,
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    remember: bool,
    assumed: Assumed,
    constants: bool = True,
) -> tuple[Seen, list[torch.Tensor], Any, list[torch.Tensor], bool]:
    """Run an op.

    Where real tensors meet meta ones, the real ones are moved over; among themselves they are computed. Small constants
    stay real if so asked, though they were to go to meta.

    Returns:
        The facts of the call, its input tensors, its result, the tensors in the result, and whether these were just
        made from memory.
    """
    tensors: list[torch.Tensor] = []
    try:
        signature = signature_of(args, kwargs, tensors)
    except Sparse:
        return _run_sparse(plan, func, args, kwargs, assumed)
    seen = plan.memory.get(signature) if remember else None
    if seen is not None:
        if plan.remember == "facts":
            result = func(*args, **kwargs) if plan.nature == "view" else args[0]
            return seen, tensors, result, tensors_in(result) if seen.several else [result], False
        if not seen.several:
            made = empty(seen.specs[0])
            return seen, tensors, made, [made], True
        all_made = tuple([None if spec is None else empty(spec) for spec in seen.specs])
        return seen, tensors, all_made, [t for t in all_made if t is not None], True
    if plan.name in MAKERS or plan.name in MADE:
        return _run_sparse(plan, func, args, kwargs, assumed)
    given, named = args, kwargs
    meta = any(t.is_meta for t in tensors)
    real = not all(t.is_meta for t in tensors)
    apart = real and plan.name in VARLEN and not assumed.real  # the CPU has no kernel for them
    if real and plan.name not in READS and (meta or apart or _valueless(tensors, assumed)):
        if plan.writes:
            _forget(plan, args, assumed)
        numbers = not meta or plan.name in STRICT
        args, kwargs = to_meta(args, numbers), to_meta(kwargs, numbers)
        meta = True
    if tensors and not (meta or assumed.real) and _grows(plan, func, args, kwargs, tensors):
        args, kwargs, meta = to_meta(args, numbers=True), to_meta(kwargs, numbers=True), True
    args, kwargs = _placed(plan, args, kwargs, meta, assumed.real, constants)
    remember = remember and (constants or bool(tensors))
    if meta and plan.name in BOUNDS:
        known = given if plan.name == "aten.masked_select" else args
        result = BOUNDS[plan.name](assumed, *known, **kwargs)
    else:
        if meta and plan.name in INDEXED and any(t.dtype in MASKS for t in tensors[1:]):
            args = (args[0], without_masks(assumed, plan.name, given[1]), *args[2:])
            remember = False  # every call is an assumption, or depends on a mask whose values are known
        elif plan.name in BOUNDS:
            assumed.read = True
        result = _compute(plan, func, args, kwargs)
    outputs = tensors_in(result)
    if meta and plan.name in FOLLOWED and not outputs[0].is_floating_point():
        assumed.follow(plan.name, given, outputs[0])
        remember = False
    call = _Call(plan, args, kwargs, tensors, result, outputs)
    seen = _seen(call)
    if plan.name in VARLEN:
        seen.attributes += pairs(assumed, plan.name, plan.arguments, given, named)
    if remember and len(plan.memory) < LIMIT and _repeatable(call):
        plan.memory[signature] = seen
        seen.steady = True
    elif remember and plan.remember == "outputs" and not tensors and kwargs.get("dtype") is not None:
        seen.steady = all(t.numel() == 0 for t in outputs)  # real, but without a value
    return seen, tensors, result, outputs, False


def _run_sparse(
    plan: Plan, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], assumed: Assumed
) -> tuple[Seen, list[torch.Tensor], Any, list[torch.Tensor], bool]:
    """Run an op that is given sparse tensors or makes one; nothing is remembered of it."""
    tensors = tensors_in((args, kwargs))
    valueless = _valueless(tensors, assumed)
    meta = valueless or any(t.is_meta for t in tensors)
    if meta and plan.writes:
        _forget(plan, args, assumed)
    args, kwargs = _placed(plan, args, kwargs, meta, assumed.real, False)
    result = sparse.compute(plan.name, func, args, kwargs, tensors, valueless, assumed)
    outputs = tensors_in(result)
    return _seen(_Call(plan, args, kwargs, tensors, result, outputs)), tensors, result, outputs, False


def _grows(plan: Plan, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> bool:
    """Whether real tensors would make one that is too large to be real, such as a mask of all pairs.

    Whole numbers may be as many as those that they are made of, which were given.
    """
    if plan.nature == "view" or plan.writes or plan.name in BOUNDS:
        return False
    if plan.name != "aten.repeat" and sum(t.numel() for t in tensors) <= _PAIRED:
        return False
    try:
        made = func(*to_meta(args, numbers=True), **to_meta(kwargs, numbers=True))
    except Exception:  # its size depends on the values, which are there
        return False
    most = max([SMALL, *[t.numel() for t in tensors if is_whole(t.dtype)]])
    return any(t.numel() > (most if is_whole(t.dtype) else SMALL) for t in tensors_in(made))


def _valueless(tensors: list[torch.Tensor], assumed: Assumed) -> bool:
    return bool(assumed.unknown) and any(parts(t)[0].untyped_storage()._cdata in assumed.unknown for t in tensors)


def _forget(plan: Plan, args: tuple[Any, ...], assumed: Assumed) -> None:
    """Note that the real tensors an op writes to no longer hold a value that is known."""
    for position in plan.writes:
        for tensor in tensors_in(args[position]) if position < len(args) else ():
            if not tensor.is_meta:
                assumed.forget(parts(tensor)[0])


def _placed(
    plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], meta: bool, real: bool, constants: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Keep small constants real, and data that is not there on meta, whatever device the model names."""
    device = kwargs.get("device")
    if device is None or (device.type == "cpu" and not meta):
        return args, kwargs
    kept = not meta and (real or (constants and constant(plan.name, args, kwargs)))
    return args, {**kwargs, "device": torch.device("cpu" if kept else "meta")}


def register_shape(name: str, shape: Callable[..., Any]) -> None:
    """Say how the outputs of an op look; a second call for the same op replaces the first."""
    SHAPES[name] = shape
    for plan in _plans.values():
        if plan.name == name:
            plan.memory.clear()
    CALLS.clear()


def _compute(plan: Plan, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    if all(type(t) in PLAIN_TYPES and t.is_meta for t in tensors):
        alone = len(tensors) == 1 and tensors[0].is_floating_point() and not tensors_in(kwargs)
        if alone and plan.name in SAME_TENSOR:
            return tensors[0]
        rule = RULES.get(plan.name) or FUSED.get(plan.name)
        specs = _by_rule(rule, args, kwargs) if rule is not None and tensors else None
        if specs is not None:
            made = tuple(None if spec is None else empty(spec) for spec in specs)
            return made[0] if len(made) == 1 else made
    shape = SHAPES.get(plan.name)
    if shape is not None and any(t.is_meta for t in tensors_in((args, kwargs))):
        return shape(*args, **kwargs)
    try:
        loaded = len(sys.modules)
        made = func(*args, **kwargs)
        if len(sys.modules) > loaded:  # what an import leaves holds our frames, and so what this op and others return:
            gc.collect(0)  # autograd would copy such a gradient, in the first run of a process alone
        return (
            made if plan.name != "aten.empty" or made.is_meta or 0 in made.shape else made.zero_()
        )  # the same in every run
    except (NotImplementedError, RuntimeError) as error:
        if _for_other_devices(error) and tensors_in((args, kwargs)):
            return func(*to_meta(args, numbers=True), **to_meta(kwargs, numbers=True))
        if "nested" in plan.name:
            raise Refusal(f"makes a nested tensor ({plan.name}); only dense ones can be counted: {DENSE}") from error
        if missing(error) and any(t.is_meta for t in tensors_in((args, kwargs))):
            raise Refusal(
                f"uses {plan.name.replace('.', '::', 1)}, which has no rule for the shape of its output; give one with "
                "vggcost.register_cost(op, shape=…) or torch.library.register_fake"
            ) from error
        raise


def _for_other_devices(error: Exception) -> bool:
    """Whether the CPU has no kernel for this type of numbers, which says nothing of the device that is meant."""
    return isinstance(error, NotImplementedError) and '_cpu" not implemented for' in str(error)


def _by_rule(rule: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return rule(*args, **kwargs)
    except TypeError:  # another overload of the op, with arguments that the rule does not know
        return None


def empty(spec: Any) -> torch.Tensor:
    """Make a meta tensor of a spec: its shape, its strides and its dtype."""
    shape, strides, dtype = spec
    return torch.empty_strided(shape, strides, dtype=dtype, device=_META)


class _Call(NamedTuple):
    """One op call that was computed: its tensors are those among its arguments, its outputs those in its result."""

    plan: Plan
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[torch.Tensor]
    result: Any
    outputs: list[torch.Tensor]


def _repeatable(call: _Call) -> bool:
    """Whether what may be remembered of an op follows from the signature of this call alone."""
    plan, args, kwargs, tensors, result, outputs = call
    if not plan.remember or not all(type(t) in PLAIN_TYPES and not t.is_complex() for t in (*tensors, *outputs)):
        return False
    if plan.remember == "facts":
        whole = isinstance(result, (torch.Tensor, list, tuple)) if plan.nature == "view" else result is args[0]
        return whole and bool(outputs) and all(t.is_meta for t in tensors)
    if not any(t.is_meta for t in tensors or outputs) or not all(t.is_meta for t in outputs):
        return False  # what real tensors make depends on their values
    if not tensors and (kwargs.get("dtype") is None or kwargs.get("device") is None):
        return False  # it depends on torch's defaults
    whole = kwargs.get("dtype") is None and not any(t.is_floating_point() for t in tensors)
    if whole and any(t.is_floating_point() for t in outputs):
        return False  # so does what becomes of whole numbers
    if not outputs or not (result is outputs[0] or _without_some(result)):
        return False
    before = {t.untyped_storage()._cdata for t in tensors}
    after = {t.untyped_storage()._cdata for t in outputs}
    return len(after) == len(outputs) and not before & after


def _seen(call: _Call) -> Seen:
    """Collect the facts of a call.

    Raises:
        Refusal: it makes a nested tensor.
    """
    plan, _, _, tensors, result, outputs = call
    for tensor in outputs:
        if tensor.is_nested:
            raise Refusal(f"makes a nested tensor ({plan.name}); only dense ones can be counted: {DENSE}")
    if any(t.layout is not torch.strided for t in (*tensors, *outputs)):
        return _seen_sparse(call)
    attributes = _attributes(call)
    strides = tuple(None if t.is_contiguous() else t.stride() for t in (*tensors, *outputs))
    attributes += (("strides", strides),) if any(strides) else ()
    slots = result if _without_some(result) else outputs
    return Seen(
        specs=tuple(None if t is None else (tuple(t.shape), t.stride(), t.dtype) for t in slots),
        made=tuple(sizes(t) for t in outputs),
        several=not isinstance(result, torch.Tensor),
        input_shapes=tuple(tuple(t.shape) for t in tensors),
        output_shapes=tuple(tuple(t.shape) for t in outputs),
        attributes=attributes,
    )


def _attributes(call: _Call) -> tuple[tuple[str, Any], ...]:
    """Collect the plain arguments of a call, by their names in the op's schema."""
    plan, args, kwargs, tensors, _, _ = call
    named = (*zip(plan.arguments, args, strict=False), *kwargs.items())
    attributes = tuple((name, plain(value)) for name, value in named if value is not None and is_plain(value))
    given = {name for name, value in named if value is not None}
    without = tuple(name for name in plan.optional if name not in given)
    attributes += (("without", without),) if without else ()
    return (*attributes, ("complex", True)) if any(t.is_complex() for t in tensors) else attributes


def _seen_sparse(call: _Call) -> Seen:
    """Collect the facts of a call on sparse tensors: how many entries each has matters, too."""
    shapes = [tuple([sparse.shape_of(t, call.plan.name) for t in side]) for side in (call.tensors, call.outputs)]
    attributes = (*_attributes(call), *sparse.facts(call.tensors))
    return Seen((), (), not isinstance(call.result, torch.Tensor), shapes[0], shapes[1], attributes)


def _without_some(result: Any) -> bool:
    """Whether these are tensors of which some were not asked for, as by `output_mask`."""
    return isinstance(result, tuple) and all(t is None or isinstance(t, torch.Tensor) for t in result)


def sizes(tensor: torch.Tensor) -> tuple[int, int]:
    """The elements and bytes of the storage of a tensor made from its spec."""
    size, strides = tensor.shape, tensor.stride()
    numel = 0 if 0 in size else 1 + sum((n - 1) * step for n, step in zip(size, strides, strict=True))
    return numel, numel * tensor.element_size()
