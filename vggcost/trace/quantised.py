"""Output shapes of torch.ao's ops on packed weights, which have no kernel for meta tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vggcost.trace.packed import parts_of

__all__ = ["QUANTISED"]


def _rows(packed: Any) -> int:
    return parts_of(packed)[0].held.shape[0]


def _linear(x: torch.Tensor, packed: Any, *rest: Any, **options: Any) -> torch.Tensor:
    return x.new_empty(*x.shape[:-1], _rows(packed))


def _lstm(x: torch.Tensor, *rest: Any, **options: Any) -> tuple[torch.Tensor, ...]:
    """The outputs of all steps and both states; of packed sequences the sizes of their steps come before the states."""
    states, *others = rest if isinstance(rest[0], (list, tuple)) else rest[1:]
    return _outputs(x, states[0], *others), torch.empty_like(states[0]), torch.empty_like(states[1])


def _gru(x: torch.Tensor, *rest: Any, **options: Any) -> tuple[torch.Tensor, ...]:
    state, *others = rest if isinstance(rest[1], (list, tuple)) else rest[1:]
    return _outputs(x, state, *others), torch.empty_like(state)


def _outputs(
    x: torch.Tensor, state: torch.Tensor, params: Any, biases: bool, layers: int, dropout: float, train: bool,
    bidirectional: bool, *rest: Any,
) -> torch.Tensor:  # fmt: skip
    return x.new_empty(*x.shape[:-1], state.shape[-1] * (2 if bidirectional else 1))


def _lstm_cell(x: torch.Tensor, states: Any, *rest: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(states[0]), torch.empty_like(states[1])


def _cell(x: torch.Tensor, state: torch.Tensor, *rest: Any) -> torch.Tensor:
    return torch.empty_like(state)


def _embedding(packed: Any, indices: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    return torch.empty(*indices.shape, parts_of(packed)[0].held.shape[1], device="meta")


def _bag(packed: Any, indices: torch.Tensor, offsets: Any = None, *rest: Any, **options: Any) -> torch.Tensor:
    """One row a bag; a table of indices has a bag in each row."""
    ends = options.get("include_last_offset", rest[5] if len(rest) > 5 else False)
    bags = indices.shape[0] if indices.dim() == 2 else offsets.shape[0] - bool(ends)
    return torch.empty(bags, parts_of(packed)[0].held.shape[1], device="meta")


QUANTISED: dict[str, Callable[..., Any]] = {
    "aten.quantized_lstm": _lstm,
    "aten.quantized_gru": _gru,
    "sparse.qlinear_dynamic": _linear,
    "sparse.qlinear_relu_dynamic": _linear,
    **{f"quantized.linear{act}_dynamic{kind}": _linear for act in ("", "_relu") for kind in ("", "_fp16")},
    "quantized.quantized_lstm_cell_dynamic": _lstm_cell,
    **{f"quantized.quantized_{kind}_cell_dynamic": _cell for kind in ("gru", "rnn_tanh", "rnn_relu")},
    **{f"quantized.embedding_{kind}": _embedding for kind in ("byte", "4bit")},
    **{f"quantized.embedding_bag_{kind}": _bag for kind in ("byte", "4bit")},
}
"""A rule for each op, by its name."""
