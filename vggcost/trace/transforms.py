"""torch.func inside a model: vmap, grad, vjp, jvp, and what is made of them (jacrev, jacfwd, hessian).

Below a transform torch dispatches plain tensors, of all examples at once; above it a module sees wrappers of
them. torch.func lets nobody watch what autograd saves while it differentiates: what the graph around it keeps
is read off that graph afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from operator import itemgetter
from typing import Any

import torch
from torch.autograd import forward_ad

from vggcost.load.replaced import replaced

__all__ = ["Spans", "dual", "innermost", "level", "needs_gradients", "shadowed", "unwatched", "unwatched_in"]

_functorch = torch._C._functorch
_hooks: Any = torch._C._autograd
level: Callable[[], int | None] = _functorch.maybe_current_level
"""How many transforms are around what runs now; None outside all of them. Private in torch."""
_node: Callable[[], Any] = torch._C._current_autograd_node
_next: Callable[[], int] = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]
Spans = list[tuple[int, int]]
"""The numbers of autograd's nodes, from the first to before the second, that were made while nobody watched."""


def innermost(tensor: torch.Tensor) -> torch.Tensor:
    """Return the plain tensor that the transforms' wrappers of a tensor are about.

    Example:
        >>> shapes = []
        >>> _ = torch.vmap(lambda x: shapes.append((x.shape, innermost(x).shape)) or x)(torch.empty(5, 2))
        >>> [tuple(shape) for shape in shapes[0]]
        [(2,), (5, 2)]
    """
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor


def dual() -> bool:
    """Whether tangents are computed with the values now, as in a jvp."""
    return forward_ad._current_level >= 0


def shadowed() -> bool:
    """Whether an op of torch's own small set computes a shape alone, as of a tangent or gradient to which zeros are added."""
    return dual() or _node() is not None


@contextmanager
def unwatched(pack: Callable[[torch.Tensor], Any], spans: Spans) -> Iterator[None]:
    """Let torch.func differentiate in this thread while saved tensors are watched, and note where that was.

    While the context lasts, torch.func's demand for no such hooks takes the given one away and puts it back.
    """

    def lifting(original: Callable[..., AbstractContextManager[None]]) -> Callable[..., AbstractContextManager[None]]:
        @contextmanager
        def lifted(*args: Any, **kwargs: Any) -> Iterator[None]:
            top = _hooks._top_saved_tensors_default_hooks(True)
            ours = top is not None and top[0] == pack  # a model's own are as much in the way as without us
            if ours:
                _hooks._pop_saved_tensors_default_hooks()
            first = _next()
            try:
                with original(*args, **kwargs):
                    yield
            finally:
                if ours:
                    _hooks._push_saved_tensors_default_hooks(*top)
                    spans.append((first, _next()))

        return lifted

    with replaced((torch.autograd.graph, "disable_saved_tensors_hooks", lifting)):
        yield


def unwatched_in(spans: Spans, loss: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """List what the graph of a loss keeps that nobody watched, each with its node's number, in their order."""
    if not spans:
        return []
    found: list[tuple[int, torch.Tensor]] = []
    waiting: list[Any] = [loss.grad_fn]
    known = {loss.grad_fn}
    for node in waiting:  # which grows
        number = node._sequence_nr()
        if any(first <= number < end for first, end in spans):
            found += [(number, tensor) for tensor in _saved_by(node)]
        after = {other for other, _ in node.next_functions if other is not None} - known
        known |= after
        waiting += after
    return sorted(found, key=itemgetter(0))


def _saved_by(node: Any) -> Iterator[torch.Tensor]:
    for name in dir(node):
        if name.startswith("_saved_") or name == "saved_tensors":
            value = getattr(node, name)
            yield from (t for t in (value if isinstance(value, (tuple, list)) else (value,)) if torch.is_tensor(t))


def needs_gradients(error: BaseException | None) -> bool:
    """Whether torch refused to differentiate since gradients were off, as in a forward that computes forces."""
    words = ("does not require grad", "does not have a grad_fn")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in words)
