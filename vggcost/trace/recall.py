"""Whole calls of torch's functions that were seen before, noted without running them.

Where nothing is differentiated, all that a function of torch does follows from the signature of its call:
which ops it runs, what storages they make and free, what it returns. A call that is known is noted from
memory, above torch's dispatcher. Only calls are remembered whose ops are remembered themselves (`kernels`);
one that returns views of what it was given is run by torch once more, past the recorder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from vggcost.records import FunctionRecord, OpRecord, Shape
from vggcost.trace.custom import Refusal
from vggcost.trace.kernels import empty, sizes
from vggcost.trace.shapes import Spec
from vggcost.trace.signature import ATOMS, PLAIN_TYPES, Sparse, part_of
from vggcost.trace.transforms import dual

if TYPE_CHECKING:
    from vggcost.trace.attention import Attention
    from vggcost.trace.recorder import Recorder

__all__ = ["Before", "Given", "Recalled", "given_of", "recalled", "repeatable", "replay", "undisturbed"]

_OUTSIDE = -1
_LEAVES = frozenset({*ATOMS, *PLAIN_TYPES, torch.Size, type(Ellipsis)})
_grad = torch.is_grad_enabled
_autocast = torch._C._is_any_autocast_enabled
_deterministic = torch._C._get_deterministic_algorithms
_level = torch._C._functorch.maybe_current_level
_modes = torch._C._len_torch_dispatch_stack
_functions = torch._C._len_torch_function_stack
_node = torch._C._current_autograd_node


Given = tuple[Any, list[Any], list[int]]
"""What a function is called with: a key to remember the call by, its tensors, and where their storages are noted."""


class _Op(NamedTuple):
    """An op of a call; storages are counted from those of the tensors that the call was given."""

    name: str
    nature: str
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    attributes: tuple[tuple[str, Any], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    function: int


class _Made(NamedTuple):
    """A storage that a call makes; born and died count its ops. One that is returned lives on, as `spec` says."""

    numel: int
    nbytes: int
    born: int
    died: int
    spec: Spec | None


class Recalled(NamedTuple):
    """What is remembered of a call; `result` are positions among the tensors given, then the storages made.

    torch makes what a native one returns, views mostly.
    """

    native: bool
    ops: tuple[_Op, ...] = ()
    made: tuple[_Made, ...] = ()
    functions: tuple[FunctionRecord, ...] = ()
    attention: frozenset[str] = frozenset()
    several: type | None = None
    result: tuple[int | None, ...] = ()


class Before(NamedTuple):
    """How much a recorder had noted when a call began."""

    ops: int
    storages: int
    functions: int
    calls: int
    unsteady: int

    @classmethod
    def of(cls, recorder: Recorder) -> Before:
        """Ask a recorder."""
        return cls(
            len(recorder.ops), len(recorder.storages), len(recorder.functions), len(recorder.calls), recorder.unsteady
        )


def repeatable(recorder: Recorder, attention: Attention) -> bool:
    """Whether whole calls may be noted from memory in a run that is about to begin."""
    usual = (attention.kernel, attention.device) == ("auto", "cpu")
    return recorder.remember and usual and not _functions()


def undisturbed(recorder: Recorder) -> bool:
    """Whether nothing but its signature has a say in what a function does now."""
    usual = not (_grad() or _autocast() or _deterministic() or dual()) and _modes() == 1 and _level() is None
    return usual and not (recorder.silent or recorder.lazy) and _node() is None


def given_of(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Given | None:
    """Return what a function is called with; None if a call with it cannot be remembered."""
    ids = recorder.ids
    parts: list[Any] = []
    tensors: list[torch.Tensor] = []
    places: list[int] = []
    try:
        for value in args:
            kind = type(value)
            if kind in PLAIN_TYPES:
                if not value.is_meta:
                    return None
                tensors.append(value)
                places.append(ids[value.untyped_storage()._cdata])
                parts.append((value.shape, value.stride(), value.dtype))
            elif kind in ATOMS:
                parts.append((kind, value))
            else:
                count = len(tensors)
                parts.append(part_of(value, tensors))
                places += [ids[t.untyped_storage()._cdata] for t in tensors[count:]]
        for name in sorted(kwargs):
            count = len(tensors)
            parts.append((name, part_of(kwargs[name], tensors)))
            places += [ids[t.untyped_storage()._cdata] for t in tensors[count:]]
    except (Refusal, Sparse, RuntimeError, KeyError):  # not dense, or not seen before
        return None
    if not (tensors and PLAIN_TYPES.issuperset(map(type, tensors))):
        return None
    if len(set(places)) < len(places):
        parts.append(tuple([places.index(place) for place in places]))
    return tuple(parts), tensors, places


def replay(recorder: Recorder, call: Recalled, given: Given) -> Any:
    """Note a call that is known, and make what it returns; of a native one only what it was given."""
    _, tensors, places = given
    ops, module = recorder.ops, recorder.stack[-1]
    now, functions = len(ops), len(recorder.functions)
    for numel, nbytes, born, died, spec in call.made:
        tensor = None if spec is None else empty(spec)
        tensors.append(tensor)
        places.append(recorder.made(tensor, module, numel, nbytes, now + born, died if died < 0 else now + died))
    for name, nature, inputs, outputs, attributes, given_in, made_in, number in call.ops:
        function = number if number < 0 else functions + number
        ops.append(
            OpRecord(
                name, module, "forward", nature, inputs, outputs, attributes,
                tuple([places[i] for i in given_in]), tuple([places[i] for i in made_in]), function,
            )
        )  # fmt: skip
    if call.functions:
        recorder.functions.extend(call.functions)
    if not call.result:
        return None
    if call.several is not None:
        return call.several([None if item is None else tensors[item] for item in call.result])
    return None if call.result[0] is None else tensors[call.result[0]]


def recalled(
    recorder: Recorder,
    before: Before,
    given: Given,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
    attention: set[str],
) -> Recalled | None:
    """Return what to remember of a call that was just run; None if another like it could differ.

    Args:
        recorder: which noted it.
        before: how far that was when the call began.
        given: what the function was called with,
        args: as it was passed,
        kwargs: and by name.
        result: what it returned.
        attention: the attention kernels that it was taken to use.
    """
    _, tensors, given_places = given
    ops, storages = recorder.ops[before.ops :], recorder.storages[before.storages :]
    if recorder.unsteady > before.unsteady or len(recorder.calls) > before.calls:
        return None
    if not (all(t.is_meta for t in tensors) and _only_leaves((args, kwargs))):
        return None
    count = len(given_places)
    places = {place: i for i, place in reversed(list(enumerate(given_places)))}
    places |= {before.storages + i: count + i for i in range(len(storages))}
    if not all(op.phase == "forward" and places.keys() >= {*op.inputs, *op.outputs} for op in ops):
        return None
    own = [
        _Op(
            op.op, op.nature, op.input_shapes, op.output_shapes, op.attributes,
            tuple([places[i] for i in op.inputs]), tuple([places[i] for i in op.outputs]),
            op.function if op.function < 0 else op.function - before.functions,
        )
        for op in ops
    ]  # fmt: skip
    functions = tuple(recorder.functions[before.functions :])
    several = None if isinstance(result, torch.Tensor) or result is None else type(result)
    items = [result] if several is None else list(result) if isinstance(result, (tuple, list)) else []
    if not items or not all(item is None or isinstance(item, torch.Tensor) for item in items):
        return None
    specs: dict[int, Spec] = {}
    found: list[int | None] = []
    for item in items:
        position = next((i for i, tensor in enumerate(tensors) if tensor is item), None)
        if item is not None and position is None:
            position = places.get(recorder.ids.get(item.untyped_storage()._cdata, _OUTSIDE))
            if position is None or position < count:  # a view of what was given
                return None if storages else Recalled(True, tuple(own), functions=functions)
            record = storages[position - count]
            if (
                position in specs
                or not item.is_meta
                or item.storage_offset()
                or sizes(item) != (record.numel, record.nbytes)
            ):
                return None
            specs[position] = tuple(item.shape), item.stride(), item.dtype
        found.append(position)
    if not ops:  # it returns what it was given
        return Recalled(True, several=several, result=tuple(found))
    made = tuple([
        _Made(s.numel, s.nbytes, s.born - before.ops, s.died if s.died < 0 else s.died - before.ops, specs.get(count + i))
        for i, s in enumerate(storages)
    ])  # fmt: skip
    if not all((m.died < 0) == (m.spec is not None) for m in made):
        return None
    return Recalled(False, tuple(own), made, functions, frozenset(attention), several, tuple(found))


def _only_leaves(value: Any) -> bool:
    """Whether these are tensors and plain values alone, which a signature tells wholly."""
    if isinstance(value, dict):
        return all(_only_leaves(item) for item in value.values())
    if type(value) in (tuple, list):
        return all(_only_leaves(item) for item in value)
    if type(value) is slice:
        return _only_leaves((value.start, value.stop, value.step))
    return type(value) in _LEAVES
