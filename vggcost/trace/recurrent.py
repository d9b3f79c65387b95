"""How torch runs an LSTM on the CPU: one fused oneDNN kernel a layer and direction, with its own workspace.

On meta torch would compose the layer of matrix products. Here the fused op is called by name, with the
sizes of its workspace and of the scratch space inside the kernel worked out as oneDNN does.

Source: oneDNN, src/cpu/rnn/rnn_utils (get_good_ld, set_conf, set_offsets); pytorch,
aten/src/ATen/native/mkldnn/RNN.cpp. The sizes are checked against the real kernel in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from vggcost.load.replaced import replaced
from vggcost.trace.mixed import together
from vggcost.trace.shapes import Spec, contiguous_strides

if TYPE_CHECKING:
    from vggcost.trace.recorder import Recorder

__all__ = ["FusedLSTM", "backward_rule", "backward_scratch", "forward_rule", "forward_scratch", "workspace_bytes"]

_PAGE = 4096
_LSTM = 2  # torch's number of the cell kind


def good_ld(size: int) -> int:
    """Leading dimension of a float32 matrix: a multiple of 64 bytes, and no multiple of 256 elements."""
    padded = -(-size // 16) * 16
    return padded + 16 if padded % 256 == 0 else padded


def workspace_bytes(steps: int, batch: int, inputs: int, hidden: int) -> int:
    """Bytes that the kernel keeps from the forward pass for the backward pass.

    Gates and outputs of every step, three arrays of states as wide as the wider of input and hidden, two
    as wide as hidden; each begins on a page.

    Example:
        >>> workspace_bytes(64, 4, 128, 256)
        4116480
    """
    states = 2 * (steps + 1) * batch
    sizes = [
        steps * batch * good_ld(4 * hidden),
        steps * batch * good_ld(hidden),
        *[states * good_ld(max(inputs, hidden))] * 3,
        *[states * hidden] * 2,
    ]
    return sum(-(-4 * size // _PAGE) * _PAGE for size in sizes)


def _sizes(x: torch.Tensor, weight: torch.Tensor) -> tuple[int, int, int, int]:
    steps, batch, inputs = x.shape
    return steps, batch, inputs, weight.shape[0] // 4


def _float(*shape: int) -> Spec:
    return shape, contiguous_strides(shape), torch.float32


def forward_rule(x: torch.Tensor, w_input: torch.Tensor, *rest: Any) -> tuple[Spec, ...]:
    """Shapes of the fused op's outputs: output, hidden state, cell state, workspace."""
    steps, batch, inputs, hidden = _sizes(x, w_input)
    state = _float(batch, hidden)
    workspace = (workspace_bytes(steps, batch, inputs, hidden),)
    return _float(steps, batch, hidden), state, state, (workspace, (1,), torch.uint8)


def backward_rule(x: torch.Tensor, w_input: torch.Tensor, *rest: Any) -> tuple[Spec, ...]:
    """Shapes of the gradients: of the input, the weights, the biases (one for both), the states."""
    steps, batch, inputs, hidden = _sizes(x, w_input)
    bias, state = _float(4 * hidden), _float(batch, hidden)
    return (
        _float(steps, batch, inputs),
        _float(4 * hidden, inputs),
        _float(4 * hidden, hidden),
        bias,
        bias,
        state,
        state,
    )


def forward_scratch(x: torch.Tensor, w_input: torch.Tensor, *rest: Any) -> int:
    """Bytes that live only inside the forward kernel: both weights reordered, the gates, the sum of the biases."""
    steps, batch, inputs, hidden = _sizes(x, w_input)
    gates = good_ld(4 * hidden)
    return 4 * ((inputs + hidden + steps * batch) * gates + 4 * hidden)


def backward_scratch(x: torch.Tensor, w_input: torch.Tensor, *rest: Any) -> int:
    """Bytes that live only inside the backward kernel: weights and their gradients reordered, the gates, the gradient of the output."""
    steps, batch, inputs, hidden = _sizes(x, w_input)
    gates = good_ld(4 * hidden)
    reordered = sum(4 * hidden * good_ld(width) for width in (inputs, hidden) if good_ld(width) != width)
    return 4 * (reordered + (inputs + hidden + steps * batch) * gates + 8 * hidden + steps * batch * hidden)


class FusedLSTM:
    """Run nn.LSTM through the fused op while the context lasts, where torch would do so on the CPU."""

    def __init__(self, device: str, recorder: Recorder) -> None:
        self.device, self._recorder = device, recorder

    def __enter__(self) -> None:
        def taken(original: Any) -> Any:
            self._original = original
            return self._lstm

        self._replaced = replaced(*[(torch._VF, "lstm", taken)] if self.device == "cpu" else ())
        self._replaced.__enter__()

    def __exit__(self, *_: object) -> None:
        self._replaced.__exit__(None, None, None)

    def _lstm(self, x: torch.Tensor, states: Any, weights: Any, *rest: Any) -> Any:
        (x, states, weights), _ = together(self._recorder, (x, states, weights), {})  # a given input is real
        plain = not isinstance(states, torch.Tensor) and x.dtype is torch.float32 and x.is_meta
        if not plain or len(rest) != 6:  # packed sequences and other dtypes take the composed path
            return self._original(x, states, weights, *rest)
        bias, layers, dropout, training, both, batch_first = rest
        directions = 2 if both else 1
        each = 4 if bias else 2
        if len(weights) != each * layers * directions:  # projections too
            return self._original(x, states, weights, *rest)
        x = x.transpose(0, 1).contiguous() if batch_first else x
        last_h, last_c = [], []
        for layer in range(layers):
            outputs = []
            for direction in range(directions):
                at = layer * directions + direction
                given = list(weights[each * at : each * at + each])
                if not bias:
                    zero = torch.zeros(given[0].shape[0], device=x.device)
                    given += [zero, zero]
                hidden = given[1].shape[1]
                output, h, c, _ = torch.ops.aten.mkldnn_rnn_layer(
                    x, *given, states[0][at], states[1][at], bool(direction), [], _LSTM, hidden, layers, bias, both,
                    batch_first, training,
                )  # fmt: skip
                outputs.append(output)
                last_h.append(h)
                last_c.append(c)
            x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
            if dropout and training and layer < layers - 1:
                x = F.dropout(x, dropout, training)
        x = x.transpose(0, 1) if batch_first else x
        return x, torch.stack(last_h), torch.stack(last_c)
