"""Ops that take functions: cond, scan, while_loop, map, FlexAttention; and torch.compile inside a model.

torch runs them through its compiler, which a dispatch mode would stop or mislead. Here each runs its
functions as plain Python, so that what they do is seen and differentiated as everything else is; and what
is compiled runs uncompiled while the context lasts, to be compiled afterwards as if nothing had happened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch._ops import HigherOrderOperator
from torch.utils import _pytree as pytree

from vggcost.load.given_back import Shared
from vggcost.load.replaced import replaced
from vggcost.trace.custom import Refusal
from vggcost.trace.flex import FLEX, flex_attention, meta_masks

if TYPE_CHECKING:
    from vggcost.trace.recorder import Recorder

__all__ = ["HigherOrder"]


class HigherOrder:
    """Run the functions given to higher-order ops, and nothing compiled, while the context lasts."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __enter__(self) -> None:
        self._stack = ExitStack()
        self._eager = False
        self._stack.enter_context(
            replaced((HigherOrderOperator, "__call__", self._called), (torch, "compile", self._compiled))
        )
        if "torch._dynamo" in sys.modules:
            self._run_eagerly()
        if FLEX in sys.modules:
            self._stack.enter_context(meta_masks())

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _called(self, original: Callable[..., Any]) -> Callable[..., Any]:
        recorder = self.recorder

        def call(op: HigherOrderOperator, /, *args: Any, **kwargs: Any) -> Any:
            run = RUNS.get(op.name())  # type: ignore[no-untyped-call]
            if run is not None:
                return run(recorder, *args, **kwargs)
            try:
                return original(op, *args, **kwargs)
            except NotImplementedError as error:  # torch has no rule for it under a mode
                name = op.name()  # type: ignore[no-untyped-call]
                raise Refusal(f"uses the higher-order op {name}, which cannot be run on meta tensors") from error

        return call

    def _compiled(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def compiled(*args: Any, **kwargs: Any) -> Any:
            """torch.compile called during the run: it imports the compiler, which then is told to stand back."""
            result = original(*args, **kwargs)
            self._run_eagerly()
            return result

        return compiled

    def _run_eagerly(self) -> None:
        if not self._eager:
            self._eager = True
            self._stack.enter_context(_eager.lasting())


_stances: list[Any] = []


def _be_eager() -> None:
    from torch._dynamo.eval_frame import _stance

    _stances[:] = [_stance]
    torch.compiler.set_stance("force_eager")


def _be_as_before() -> None:
    from torch._dynamo.eval_frame import _set_stance

    for stance in _stances:
        _set_stance(stance)
    _stances.clear()


_eager = Shared(_be_eager, _be_as_before)


def _known(value: Any) -> bool:
    return not (isinstance(value, torch.Tensor) and value.is_meta)


def _cond(recorder: Recorder, pred: Any, true_fn: Any, false_fn: Any, operands: Sequence[Any]) -> Any:
    """The branch that is taken; where the condition is not known, the one with more work, which is an assumption."""
    if _known(pred):
        return (true_fn if pred else false_fn)(*operands)
    return _heaviest(recorder, "cond", (true_fn, false_fn), operands, ("true", "false"))


def _switch(recorder: Recorder, index: Any, branches: Sequence[Any], operands: Sequence[Any]) -> Any:
    if _known(index):
        return branches[max(0, min(int(index), len(branches) - 1))](*operands)
    return _heaviest(recorder, "switch", branches, operands, range(len(branches)))


def _heaviest(recorder: Recorder, op: str, branches: Sequence[Any], operands: Sequence[Any], names: Any) -> Any:
    costs = [_flops(recorder, branch, operands) for branch in branches]
    chosen = max(range(len(branches)), key=lambda i: costs[i])  # the first of equals
    recorder.assume(op, f"the {names[chosen]} branch is taken, the one with the most matrix products")
    return branches[chosen](*operands)


def _flops(recorder: Recorder, branch: Callable[..., Any], operands: Sequence[Any]) -> int:
    """Try a branch without recording it."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with recorder.muted(), torch.no_grad(), counter:
        branch(*operands)
    return counter.get_total_flops()


def _scan(
    recorder: Recorder, combine: Any, init: Sequence[Any], xs: Sequence[torch.Tensor], others: Sequence[Any], **_: Any
) -> Any:
    """The function once for each step.

    A function of the user's returns what is carried on and an output, each of any structure; one that
    torch.export has captured returns a flat list of both.
    """
    carry, steps = list(init), []
    made: Any = ()
    for step in range(xs[0].shape[0]):
        made = combine(*carry, *(x[step] for x in xs), *others)
        leaves = pytree.tree_leaves(made)
        carry, output = leaves[: len(init)], leaves[len(init) :]
        steps.append(output)
    leaves = [*carry, *(_stacked(leaf) for leaf in zip(*steps, strict=True))]
    return pytree.tree_unflatten(leaves, pytree.tree_structure(made))


def _map(recorder: Recorder, function: Any, xs: Sequence[torch.Tensor], others: Sequence[Any], **_: Any) -> Any:
    made = [function(*(x[step] for x in xs), *others) for step in range(xs[0].shape[0])]
    leaves, specs = zip(*(pytree.tree_flatten(item) for item in made), strict=True)
    return pytree.tree_unflatten([_stacked(leaf) for leaf in zip(*leaves, strict=True)], specs[0])


def _stacked(values: Sequence[Any]) -> Any:
    return torch.stack(list(values)) if isinstance(values[0], torch.Tensor) else values[0]


def _associative_scan(recorder: Recorder, combine: Any, xs: Sequence[torch.Tensor], others: Sequence[Any] = ()) -> Any:
    """The tree of combinations that torch makes, each over half of the steps at once."""
    from torch._higher_order_ops.associative_scan import generic_associative_scan

    leaves = generic_associative_scan(combine, xs, additional_inputs=tuple(others))  # type: ignore[no-untyped-call]
    spec = getattr(combine, "keywords", {}).get("spec")
    return leaves if spec is None else pytree.tree_unflatten(leaves, spec)


def _while_loop(
    recorder: Recorder, condition: Any, body: Any, carried: Sequence[Any], others: Sequence[Any] = (), **_: Any
) -> Any:
    made: Any = tuple(carried)
    while True:
        values = pytree.tree_leaves(made)
        go_on = condition(*values, *others)
        if not _known(go_on):
            raise Refusal(
                "runs while_loop, whose number of steps depends on data; let its condition read a Python number or a "
                "real tensor (torch.zeros((), device='cpu')), or run with --fallback cpu"
            )
        if not go_on:
            return made
        made = body(*values, *others)


def _flex(recorder: Recorder, *args: Any, **kwargs: Any) -> Any:
    return flex_attention(*args, **kwargs)


def _plain(recorder: Recorder, function: Any, *operands: Any, **kwargs: Any) -> Any:
    return function(*operands, **kwargs)


RUNS: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "switch": _switch,
    "scan": _scan,
    "map_impl": _map,
    "associative_scan": _associative_scan,
    "while_loop": _while_loop,
    "flex_attention": _flex,
    "invoke_subgraph": lambda recorder, function, name, *operands: function(*operands),
    "strict_mode": lambda recorder, function, operands: function(*operands),
    "hints_wrapper": lambda recorder, function, args, kwargs, hints: function(*args, **kwargs),
    "tag_activation_checkpoint": _plain,
    "wrap": _plain,
}
"""How each runs, by torch's name for it."""
