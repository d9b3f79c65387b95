"""How torch runs nn.GRU and nn.RNN on the CPU: the products of all steps with the input come first, in one.

On meta torch would multiply the input of each step by itself, as it does on CUDA without cuDNN: as many MACs, but
other tensors at other times.

Source: pytorch, aten/src/ATen/native/RNN.cpp (FullLayer, FullBidirectionalLayer, GRUCell, SimpleCell).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from vggcost.load.replaced import replaced
from vggcost.trace.mixed import together
from vggcost.trace.recorder import Function, Recorder

__all__ = ["Unrolled"]

Cell = Callable[[torch.Tensor, torch.Tensor, Sequence[torch.Tensor]], torch.Tensor]
"""From the gates of the input, the state before and the weights to the state after."""


def _gru(gates: torch.Tensor, state: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    reset_in, update_in, new_in = torch.unsafe_chunk(gates, 3, 1)
    reset, update, new = torch.unsafe_chunk(F.linear(state, *weights), 3, 1)
    reset = reset.add_(reset_in).sigmoid_()
    update = update.add_(update_in).sigmoid_()
    new = new_in.add(new.mul_(reset)).tanh_()
    return (state - new).mul_(update).add_(new)


def _simple(
    activation: Callable[[torch.Tensor], torch.Tensor],
    gates: torch.Tensor,
    state: torch.Tensor,
    weights: Sequence[torch.Tensor],
) -> torch.Tensor:
    return activation(F.linear(state, *weights).add_(gates))


_CELLS: dict[str, Cell] = {
    "gru": _gru,
    "rnn_tanh": partial(_simple, torch.tanh),
    "rnn_relu": partial(_simple, torch.relu),
}


class Unrolled:
    """Run nn.GRU and nn.RNN as torch does on the CPU while the context lasts.

    The recorder is told which function of torch it is that runs.
    """

    def __init__(self, device: str, recorder: Recorder) -> None:
        self._recorder = recorder
        places = [(torch._VF, name, partial(self._taken, name)) for name in _CELLS]
        self._replaced = replaced(*places if device == "cpu" else ())

    def __enter__(self) -> None:
        self._replaced.__enter__()

    def __exit__(self, *_: object) -> None:
        self._replaced.__exit__(None, None, None)

    def _taken(self, name: str, original: Any) -> Any:
        def run(x: torch.Tensor, state: Any, weights: Any, *rest: Any) -> Any:
            (x, state, weights), _ = together(self._recorder, (x, state, weights), {})  # a given input is real
            if isinstance(weights, torch.Tensor) or not x.is_meta:  # packed sequences
                return original(x, state, weights, *rest)
            with self._recorder.within(Function(name, (x, state), {})), torch._C.DisableTorchFunction():
                return _run(_CELLS[name], x, state, weights, *rest)

        return run


def _run(
    cell: Cell, x: torch.Tensor, states: torch.Tensor, weights: Sequence[torch.Tensor], bias: bool, layers: int,
    dropout: float, training: bool, both: bool, batch_first: bool,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    x = x.transpose(0, 1) if batch_first else x
    directions, each = 2 if both else 1, 4 if bias else 2
    before, after = states.unbind(0), []
    for layer in range(layers):
        outputs, results = [], []
        for at in range(layer * directions, (layer + 1) * directions):
            given = weights[each * at : each * (at + 1)]
            steps = list(F.linear(x, *given[::2]).unbind(0))
            backward = at % directions == 1
            state, made = before[at], []
            for gates in reversed(steps) if backward else steps:
                state = cell(gates, state, given[1::2])
                made.append(state)
            outputs.append(torch.stack(made[::-1] if backward else made))
            after.append(state)
            results.append(made)
        x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        del steps, gates, made, results  # with their storages, as late as in torch
        if dropout and training and layer < layers - 1:
            x = F.dropout(x, dropout, training)
    return x.transpose(0, 1) if batch_first else x, torch.stack(after)
