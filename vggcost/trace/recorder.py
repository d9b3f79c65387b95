"""The dispatch mode that watches one run: ops, module calls, storages, saved tensors.

Backward work is credited to the module call whose forward op it differentiates: autograd numbers
its nodes in the order of the forward pass, and the first call that saw a number owns it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vggcost.load.aside import drew
from vggcost.records import FORWARD, FunctionRecord, ModuleRecord, OpRecord, ParamRecord, Shape, StorageRecord
from vggcost.trace.bounds import Assumed
from vggcost.trace.deferred import resumed
from vggcost.trace.held import Modules
from vggcost.trace.inplace import ADDING, FORMULAS, IN_PLACE, adds_up, in_place_of
from vggcost.trace.kernels import MARKED, Plan, Seen, plan_of, run
from vggcost.trace.paths import Paths, attributes_of, kind_of
from vggcost.trace.reduced import REDUCED
from vggcost.trace.scratch import Inside
from vggcost.trace.signature import PLAIN_TYPES, tensors_in
from vggcost.trace.storages import OUTSIDE, Storage, Storages
from vggcost.trace.transforms import Spans, innermost, level, unwatched_in

__all__ = ["OUTSIDE", "Function", "Recorder", "current_node"]


@dataclass(slots=True)
class _Call:
    """A module call while it runs."""

    path: str
    kind: str
    call: int
    aliases: tuple[str, ...]
    parent: int
    attributes: tuple[tuple[str, Any], ...]
    input_shapes: tuple[tuple[int, ...], ...]
    children: int = 0
    output_shapes: tuple[tuple[int, ...], ...] = ()
    outputs: tuple[int, ...] = ()


@dataclass(slots=True)
class Function:
    """A call of a public function of torch while it runs; it becomes a record with its first op."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    position: int = OUTSIDE


current_node = torch._C._current_autograd_node
"""The autograd node that runs now; None outside the backward pass. Private in torch, as is the next."""
_past = torch._C._DisableTorchDispatch
next_node = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]
"""The number that the next autograd node will get."""


@dataclass
class Recorder(Storages):
    """Everything seen in one run. `remember=False` asks torch's kernels every time."""

    modules: Modules
    remember: bool = True
    optimizing: bool = False
    inside: Inside | None = None
    assumed: Assumed = field(default_factory=Assumed)
    calls: list[_Call] = field(default_factory=list)
    functions: list[FunctionRecord] = field(default_factory=list)
    function: Function | None = None
    unsteady: int = 0
    lazy: bool = False

    def __post_init__(self) -> None:
        stack, calls = self.stack, self.calls  # and not self: a circle would keep all that was noted alive
        self.assumed.where = lambda: calls[stack[-1]].path if len(stack) > 1 else ""
        self.assumed.kind = lambda: calls[stack[-1]].kind if len(stack) > 1 else ""
        self._owner: dict[int, tuple[int, int]] = {}
        self._outer: list[tuple[Function | None, bool]] = []
        self._again = self._backward = False
        self._numbered = next_node()
        self._evaluated = OUTSIDE
        self._since = 0
        self.spans: Spans = []
        self.asked: set[str] = set()
        self._count: dict[str, int] = {}
        self._first: dict[str, int] = {}
        self._constants: dict[type, list[str]] = {}
        self.silent = False
        self.thread = get_ident()
        self._paths = Paths(self.modules)
        self.params: tuple[ParamRecord, ...] = ()
        self.buffer_dtypes: tuple[str, ...] = ()

    def assume(self, op: str, text: str) -> None:
        """Note that something was taken for granted that depends on data."""
        if not self.silent:
            self.assumed.note(op, text)

    def value_of(self, tensor: torch.Tensor) -> bool | int | float:
        """Return the number that every element of a tensor without data is stated to be."""
        return self.assumed.number(tensor.dtype)

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Run something that is tried out, without a record of it."""
        before = self.silent, self.assumed
        self.silent, self.assumed = True, replace(self.assumed, calls={}, unknown=set(self.assumed.unknown))
        try:
            yield
        finally:
            self.silent, self.assumed = before

    # What autograd keeps

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note that autograd saves a tensor for the backward pass."""
        running, made_by = current_node(), tensor.grad_fn
        position = self.stack[-1]
        if running is not None and not self._again:
            position, _ = self._owner.get(running._sequence_nr(), (position, OUTSIDE))
        self._save(tensor, position)
        if made_by is None or made_by._sequence_nr() != next_node() - 1:
            return tensor
        with _past():  # a node that keeps its own output would never be let go
            return tensor.detach()

    def _save(self, tensor: torch.Tensor, position: int) -> None:
        record = self.storages[self._storage(innermost(tensor), position, "activation")]
        if record.saved_by == OUTSIDE and record.role not in ("param", "buffer"):
            record.saved_by = position

    @contextmanager
    def differentiating(self, loss: torch.Tensor) -> Iterator[None]:
        """Say that what follows is the backward pass of a loss; what is not kept until it was not saved for it."""
        for number, tensor in unwatched_in(self.spans, loss):
            self._save(tensor, self._owner.get(number, (OUTSIDE, OUTSIDE))[0])
        for record in self.storages:
            if record.died >= 0:
                record.saved_by = OUTSIDE
        self._backward = True
        try:
            yield
        finally:
            self._backward = False

    # Module calls

    def enter(self, module: nn.Module, args: Any) -> None:
        """Hook: a module's forward begins."""
        if get_ident() != self.thread:  # torch's hooks are of all threads
            return
        with torch._C.DisableTorchFunction():  # or each shape that is read is a call of a function of torch
            self._enter(module, args)

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._outer.append((self.function, self._again))
        self.function = None
        if self.silent:
            return
        if current_node() is not None:
            self._again = True
            path, others = self._path_of(module)
            first = next((self._first[p] for p in (path, *others) if p in self._first), None)
            if first is not None:  # recomputed: the work is the first call's
                self.stack.append(first)
                return
        self.open(module, attributes_of(module, self._constants), _shapes(args))

    def open(self, module: nn.Module, attributes: tuple[tuple[str, Any], ...], input_shapes: tuple[Shape, ...]) -> None:
        """Begin the record of a module call."""
        parent = self.stack[-1]
        path, others = self._path_of(module)
        if parent != OUTSIDE:
            self.calls[parent].children += 1
        count = self._count[path] = self._count.get(path, 0) + 1
        call = _Call(path, kind_of(module), count, others, parent, attributes, input_shapes)
        self._first.setdefault(path, len(self.calls))
        self.stack.append(len(self.calls))
        self.calls.append(call)

    def close(self, output_shapes: tuple[Shape, ...], outputs: tuple[int, ...]) -> None:
        """End it."""
        call = self.calls[self.stack.pop()]
        call.output_shapes, call.outputs = output_shapes, outputs

    def _path_of(self, module: nn.Module) -> tuple[str, tuple[str, ...]]:
        parent = self.stack[-1]
        made = f"{self.calls[parent].path if parent != OUTSIDE else ''}.<{type(module).__name__}>"
        return self._paths.of(module, self._around()) or (made.lstrip("."), ())  # it was made during the run

    def _around(self) -> Iterator[str]:
        """List the paths of the calls that run, the innermost first; in the backward pass where the node was made."""
        position, node = self.stack[-1], current_node()
        if position == OUTSIDE and node is not None:
            position, _ = self._owner.get(node._sequence_nr(), (OUTSIDE, OUTSIDE))
        while position != OUTSIDE:
            yield self.calls[position].path
            position = self.calls[position].parent

    def leave(self, module: nn.Module, args: Any, *rest: Any) -> Any:
        """Hook: a module's forward ends; after an exception too, when torch leaves the keyword arguments out."""
        if get_ident() != self.thread:
            return None
        with torch._C.DisableTorchFunction():
            return self._leave(rest)

    def _leave(self, rest: tuple[Any, ...]) -> Any:
        self.function, self._again = self._outer.pop()
        if self.silent:
            return None
        kwargs, output = rest if len(rest) == 2 else ({}, *rest)
        position = self.stack.pop()
        call = self.calls[position]
        if call.outputs:  # recomputed
            return None
        if not call.input_shapes:
            call.input_shapes = _shapes(kwargs)
        self._gives(position, output)
        return output if type(output) in PLAIN_TYPES else resumed(self, position, output)

    def yielded(self, position: int, output: Any) -> None:
        """Note that a call that has ended gives more: its forward is a generator."""
        if not self.silent:
            with torch._C.DisableTorchFunction():
                self._gives(position, output)

    def _gives(self, position: int, output: Any) -> None:
        call, outputs = self.calls[position], _plain_tensors(output)
        call.output_shapes += tuple([tuple(t.shape) for t in outputs])
        call.outputs += tuple([self._storage(t, position, "activation") for t in outputs])

    def begin(self, path: str, kind: str) -> None:
        """Open a row that is no module of the model: the loss."""
        self.stack.append(len(self.calls))
        self.calls.append(_Call(path, kind, 1, (), OUTSIDE, (), ()))

    def end(self, output: torch.Tensor) -> None:
        """Close it."""
        position = self.stack.pop()
        self.calls[position].output_shapes = (tuple(output.shape),)
        self.calls[position].outputs = (self._storage(output, position, "activation"),)

    # Ops

    @contextmanager
    def within(self, function: Function) -> Iterator[None]:
        """Say that what runs now runs in a public function of torch."""
        outer, self.function = self.function, function
        try:
            yield
        finally:
            self.function = outer

    def _position(self, plan: Plan) -> int:
        """Return the record of the function that an op runs in; none is made for an op that was called itself."""
        function = self.function
        if function is None or plan.nature == "view" or level() is not None:
            return OUTSIDE  # under a transform a function is told other shapes than its ops work on
        if function.position == OUTSIDE and function.name.rstrip("_") != plan.base:
            given = function.args, function.kwargs
            words = tuple(a for a in (*function.args, *function.kwargs.values()) if isinstance(a, str))
            function.position = len(self.functions)
            shapes = tuple(tuple(t.shape) for t in tensors_in(given))
            self.functions.append(FunctionRecord(function.name.rstrip("_"), shapes, words))
        return function.position

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one op, or rebuild its outputs from memory, and note it."""
        plan = plan_of(func)
        if plan.hidden is not None and plan.hidden():
            return func(*args, **kwargs)
        if self.optimizing and plan.name == "aten._local_scalar_dense" and args[0].is_meta:
            return 1.0  # some optimizers scale by a norm; no shape depends on it
        if plan.decompose:
            with self.mode():
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if plan.writes:
            self.spared.before(plan.writes, plan.arguments, args, kwargs, self.ids)
        node = current_node()
        if node is not None and plan.name in FORMULAS and self._made_by(node, args[0]):
            own = in_place_of(func, plan.name, node)
            if own is not None:
                return self.dispatch(own, args, kwargs)
        seen, tensors, result, outputs, fresh = run(
            plan, func, args, kwargs, self.remember, self.assumed, not self.optimizing
        )
        if not seen.steady:
            if plan.draws and not all(t.is_meta for t in outputs):
                drew()
            self.unsteady += 1
            self.lazy = self.lazy or plan.name in MARKED
        if self.silent:
            return result
        self._note(plan, seen, tensors, outputs, fresh, node)
        if self.inside is not None and self.inside.device == "cpu" and plan.name in REDUCED:
            self.extend(*REDUCED[plan.name].of(args, outputs[0].nbytes))
        if node is not None and plan.name in IN_PLACE and len(set(self.ops[-1].inputs)) == 2 and level() is None:
            earlier = self.storages[self.ops[-1].inputs[0]].born < self._since
            if adds_up(args, node, earlier):
                self.reuse()
        elif plan.name == "aten.add" and self.function is not None and self.function.name in ADDING:
            self.reuse()
        if self.inside is not None:
            given = (*args, *(kwargs[key] for key in plan.arguments if key in kwargs))
            role, nbytes = self.inside(plan.name, given, outputs, plan.nature == "pointwise")
            if nbytes:
                op, now = self.ops[-1], len(self.ops)
                self.storages.append(Storage(op.module, role, nbytes // 4, nbytes, now - 1, now))
        return result

    def _made_by(self, node: Any, tensor: torch.Tensor) -> bool:
        """Whether what is being evaluated of a node has made a tensor."""
        if node._sequence_nr() != self._evaluated or level() is not None:
            return False
        position = self.ids.get(tensor.untyped_storage()._cdata, OUTSIDE)
        return position != OUTSIDE and self.storages[position].born >= self._since

    def _note(
        self, plan: Plan, seen: Seen, tensors: list[torch.Tensor], outputs: list[torch.Tensor], fresh: bool, node: Any
    ) -> None:
        number = OUTSIDE if node is None else node._sequence_nr()
        if number != self._evaluated:
            self._evaluated, self._since = number, len(self.ops)
        position, function = self.stack[-1], OUTSIDE
        if self.optimizing:
            phase = "optimizer"
        elif node is None or self._again:
            phase = "forward" if node is None else "recompute" if self._backward else "gradient"
            function = self._position(plan) if self.function is not None else OUTSIDE
            self._own(position, function)
        elif self._backward:
            phase = "backward"
            position, function = self._owner.get(number, (OUTSIDE, OUTSIDE))
        else:  # the model differentiates in its forward
            phase = "gradient"
            position, _ = self._owner.get(number, (position, OUTSIDE))
            self._own(position, OUTSIDE)
        ids, storages = self.ids, []
        try:
            for tensor in tensors:
                known = ids.get(tensor.untyped_storage()._cdata)
                storages.append(self._foreign(tensor, position) if known is None else known)
        except NotImplementedError:  # some are sparse
            storages = [self._storage(tensor, position, "buffer") for tensor in tensors]
        role = "activation" if phase in FORWARD else "temporary"
        if fresh:
            made = [self._fresh(t, position, role, *size) for t, size in zip(outputs, seen.made, strict=True)]
        else:
            made = [self._storage(t, position, role) for t in outputs]
        self.ops.append(
            OpRecord(
                plan.name, position, phase, plan.nature,
                seen.input_shapes, seen.output_shapes, seen.attributes, tuple(storages), tuple(made), function,
            )
        )  # fmt: skip

    def _own(self, position: int, function: int) -> None:
        """Credit the nodes that autograd made since the last op: one, or one for each transform that differentiates."""
        number = next_node()
        for made in range(self._numbered, number):
            self._owner.setdefault(made, (position, function))
        self._numbered = number

    def mode(self) -> TorchDispatchMode:
        """Return the dispatch mode that feeds this recorder."""
        return _Mode(self)

    def records(self) -> tuple[tuple[ModuleRecord, ...], tuple[OpRecord, ...], tuple[StorageRecord, ...]]:
        """Freeze what was seen, once: each storage is given up for its record, as there may be millions."""
        self._reuse.clear()
        modules = tuple(
            ModuleRecord(
                c.path, c.kind, c.call, c.aliases, c.parent, c.children,
                c.input_shapes, c.output_shapes, c.outputs, c.attributes,
            )
            for c in self.calls
        )  # fmt: skip
        noted: list[Any] = self.storages
        for at, s in enumerate(noted):
            noted[at] = StorageRecord(s.module, s.role, s.numel, s.nbytes, s.born, s.died, s.saved_by, s.name)
        return modules, tuple(self.ops), tuple(noted)


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise every op imports torch's compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not isinstance(func, torch._ops.OpOverload):
            return func(*args, **(kwargs or {}))
        return self._recorder.dispatch(func, args, kwargs or {})


def _shapes(value: Any) -> tuple[tuple[int, ...], ...]:
    return tuple([tuple(t.shape) for t in _plain_tensors(value)])


def _plain_tensors(value: Any) -> list[torch.Tensor]:
    """List the tensors in a value; under a transform those that it works on, with all examples."""
    return tensors_in(value) if level() is None else [innermost(t) for t in tensors_in(value)]
