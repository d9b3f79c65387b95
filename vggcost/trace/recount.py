"""Count a model again with other people's counters, on real tensors on the CPU."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vggcost.errors import one_line
from vggcost.load.given_back import given_back
from vggcost.load.quiet import quiet
from vggcost.load.replaced import replaced
from vggcost.records import Arguments, InputRecord, Recount
from vggcost.trace.borrow import borrowed
from vggcost.trace.deferred import consumed
from vggcost.trace.held import Modules
from vggcost.trace.run import made
from vggcost.trace.signature import tensors_in
from vggcost.trace.wrapped import plain

__all__ = ["recount"]


@given_back()
def recount(model: nn.Module, arguments: Arguments) -> tuple[Recount, ...]:
    """Run a model in evaluation mode under each counter; it is left as it was.

    Args:
        model: with real parameters on the CPU.
        arguments: what it is called with.

    Returns:
        What each counter counted, or why it could not.
    """
    with plain(model) as modules:
        return _each(modules, arguments)


def _each(modules: Modules, arguments: Arguments) -> tuple[Recount, ...]:
    model = modules[0][1]
    places = {t.device.type for t in (*model.parameters(), *model.buffers())} - {"cpu"}
    if places:
        why = f"it needs real weights on the CPU, and this model has some on {', '.join(sorted(places))}"
        return tuple(Recount(name, (), None, why) for name in _COUNTERS)
    return tuple(_counted(name, modules, arguments) for name in _COUNTERS)


def _counted(name: str, modules: Modules, arguments: Arguments) -> Recount:
    try:
        with borrowed(modules, freeze="*", real=True), _quiet(), torch.no_grad():
            counts, total = _COUNTERS[name](modules[0][1].eval(), arguments)
    except Exception as error:  # any reason of another program's is one to report
        return Recount(name, (), None, one_line(error))
    return Recount(name, tuple(sorted((*key, count) for key, count in counts.items())), total)


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings off, and torch's fast path of attention layers, which hides what it computes from any counter."""
    with (
        quiet(),
        replaced(
            (torch.backends.mha, "get_fastpath_enabled", lambda original: lambda: False),
            (logging.Logger, "isEnabledFor", _loud),
        ),
    ):
        yield


def _loud(original: Any) -> Any:
    return lambda logger, level: level > logging.WARNING and original(logger, level)


Counts = tuple[Counter[tuple[str, str]], int]


def _fvcore(model: nn.Module, arguments: Arguments) -> Counts:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(_Plain(model, arguments), tuple(made(arguments, real=True)[1]))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counts = analysis.by_module_and_operator()
    found = {name.removeprefix("model").lstrip("."): values for name, values in counts.items() if name}
    return _own(found), int(analysis.total())


def _flop_counter(model: nn.Module, arguments: Arguments) -> Counts:
    from torch.utils.flop_counter import FlopCounterMode

    passed, _ = made(arguments, real=True)
    with FlopCounterMode(display=False) as counter:
        consumed(model(*passed.args, **passed.kwargs))
    found = {
        name.partition(".")[2]: {str(op).removeprefix("aten."): n for op, n in counts.items()}
        for name, counts in counter.get_flop_counts().items()
        if name != "Global"
    }
    found[""] = {str(op).removeprefix("aten."): n for op, n in counter.get_flop_counts().get("Global", {}).items()}
    return _own(found), int(counter.get_total_flops())


_COUNTERS = {"fvcore": _fvcore, "FlopCounterMode": _flop_counter}


class _Plain(nn.Module):
    """A model as a tracer wants it: tensors in by position, a tuple of tensors out."""

    def __init__(self, model: nn.Module, arguments: Arguments) -> None:
        super().__init__()
        self.model, self.arguments = model, arguments

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = iter(tensors)

        def next_one(record: InputRecord) -> torch.Tensor:
            return next(given)

        passed = self.arguments.map(next_one)
        return tuple(tensors_in(consumed(self.model(*passed.args, **passed.kwargs))))


def _own(found: Mapping[str, Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    """Take from each module's counts those of the modules inside it."""
    own: Counter[tuple[str, str]] = Counter()
    for path, counts in found.items():
        above = path.rpartition(".")[0]
        while above and above not in found:  # a list of modules is never called
            above = above.rpartition(".")[0]
        for operator, count in counts.items():
            own[path, operator] += int(count)
            if path:
                own[above, operator] -= int(count)
    return Counter({key: count for key, count in own.items() if count})
