"""Outputs whose work begins when they are asked: generators, maps, coroutines."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from inspect import isasyncgen, iscoroutine
from itertools import islice
from operator import is_
from typing import TYPE_CHECKING, Any

from vggcost.trace.bounds import Endless
from vggcost.trace.custom import Refusal
from vggcost.units import exact

if TYPE_CHECKING:
    from vggcost.trace.recorder import Recorder

__all__ = ["consumed", "replaced", "resumed"]

_MOST = 10_000  # items of one output
_LAZY = ("builtins", "itertools")  # where map, zip, filter and chain are from


def consumed(output: Any) -> Any:
    """Ask the generators and other iterators in a model's output for all that they give, and put that in their place.

    Raises:
        Refusal: it is a coroutine, which only an event loop of the user's runs.
        Endless: there is no end to it.

    Example:
        >>> consumed([(n * n for n in range(3)), 5])
        [(0, 1, 4), 5]
    """
    return replaced(output, _all_of)


def _all_of(output: Any) -> tuple[Any, ...]:
    if _is_async(output):
        if iscoroutine(output):
            output.close()  # or Python warns that it was never awaited
        raise Refusal(
            "returns a coroutine (async def), which does nothing until an event loop runs it; give a model whose "
            "forward does so, with asyncio.run for instance"
        )
    items = tuple([consumed(item) for item in islice(output, _MOST)])
    if len(items) == _MOST:
        raise Endless(f"its output still goes on after {exact(_MOST)} items; give a model that ends it")
    return items


def _is_async(output: Any) -> bool:
    return iscoroutine(output) or isasyncgen(output)


def replaced(output: Any, change: Callable[[Any], Any]) -> Any:
    """Put something else in the place of what is deferred in an output; the output itself where nothing is.

    Example:
        >>> replaced({"a": 1, "b": map(abs, [-2])}, list)
        {'a': 1, 'b': [2]}
    """
    kind = type(output)
    if kind is dict or kind is OrderedDict:
        items: Any = kind((key, replaced(item, change)) for key, item in output.items())
        return output if all(map(is_, items.values(), output.values())) else items
    if kind is tuple or kind is list or (issubclass(kind, tuple) and hasattr(kind, "_make")):
        before = list(tuple.__iter__(output)) if issubclass(kind, tuple) else output
        items = [replaced(item, change) for item in before]
        return output if all(map(is_, items, before)) else getattr(kind, "_make", kind)(items)
    builtin = issubclass(kind, Iterator) and kind.__module__ in _LAZY
    return change(output) if builtin or _is_async(output) else output


def resumed(recorder: Recorder, position: int, output: Any) -> Any:
    """Let what is deferred in the output of a module call be work of that call, whoever asks for it.

    Args:
        recorder: of the run.
        position: of the call.
        output: what it returned.
    """
    return replaced(output, lambda body: body if _is_async(body) else _resumed(recorder, position, body))


def _resumed(recorder: Recorder, position: int, body: Any) -> Generator[Any, Any, Any]:
    """Pass on what a generator is sent and what it yields, with its call on the stack while it runs."""
    if not isinstance(body, Generator):
        body = (item for item in body)
    step, given = body.send, None
    while True:
        recorder.stack.append(position)
        try:
            item = step(given)
        except StopIteration as end:
            return end.value
        finally:
            recorder.stack.pop()
        recorder.yielded(position, item)
        try:
            step, given = body.send, (yield item)
        except BaseException as error:  # GeneratorExit too, where it is closed
            step, given = body.throw, error
