"""Multiply-accumulates of an op, from its shapes alone.

One function a kind of op, and a table from torch's op names to functions. An op that is not in the
table has no MACs; whether it is free or unknown is the business of `vggcost.cost.ops`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from vggcost.records import OpRecord
from vggcost.units import exact, product

__all__ = ["MACS", "macs_of", "working_of"]


def conv_macs(op: OpRecord) -> int:
    """MACs of a convolution: every output element takes one product per weight of its filter.

    `N·H'·W'·C_out·(k_h·k_w·C_in/groups)`; a transposed convolution does the same work seen from its
    input: `N·H·W·C_in·(k_h·k_w·C_out/groups)`.

    Source: Dumoulin & Visin 2016, arXiv:1603.07285, sections 2 and 4.

    Example:
        conv1_1 of VGG-16: 224·224·64·(3·3·3) = 86,704,128.
    """
    x, weight = op.input_shapes[0], op.input_shapes[1]
    seen_from = x if op.get("transposed") else op.output_shapes[0]
    return prod(seen_from) * prod(weight[1:])


def conv_backward_macs(op: OpRecord) -> int:
    """MACs of a convolution's backward pass: one forward's worth for each gradient asked for.

    The gradient of the input and the gradient of the weights each pair every output element with
    every weight of its filter once, whatever the groups.

    Source: Dumoulin & Visin 2016, arXiv:1603.07285, section 4; `output_mask` in torch's schema says
    which gradients are computed.
    """
    grad, x, weight = op.input_shapes[:3]
    once = prod(x if op.get("transposed") else grad) * prod(weight[1:])
    return once * sum(bool(wanted) for wanted in op.get("output_mask", (True, True, False))[:2])


def matmul_macs(op: OpRecord) -> int:
    """MACs of `(…, M, K) @ (…, K, N)`: the last two operands of mm, bmm, addmm, baddbmm, addbmm.

    Source: definition of the matrix product.

    Example:
        fc8 of VGG-16: 1·4,096·1,000 = 4,096,000.
    """
    a, b = op.input_shapes[-2:]
    return prod(a) * b[-1]


def vector_macs(op: OpRecord) -> int:
    """MACs of a matrix-vector or dot product: one per element of its next-to-last operand."""
    return prod(op.input_shapes[-2])


def outer_macs(op: OpRecord) -> int:
    """MACs of a rank-one update `addr`: one per output element."""
    return prod(op.output_shapes[0])


def attention_macs(op: OpRecord) -> int:
    """MACs of scaled-dot-product attention: `Q·Kᵀ` and the weighted sum of `V`, in full.

    `B·heads·T·S·(E + E_v)`; a causal mask is not taken off.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.
    """
    q, k, v = op.input_shapes[:3]
    return prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def attention_backward_macs(op: OpRecord) -> int:
    """MACs of the fused backward pass: scores again, then the gradients of V, P, Q and K.

    `B·heads·T·S·(3·E + 2·E_v)`.

    Source: Dao et al. 2022, arXiv:2205.14135, algorithm 4.
    """
    _, q, k, v = op.input_shapes[:4]
    return prod(q[:-1]) * k[-2] * (3 * q[-1] + 2 * v[-1])


def recurrent_macs(op: OpRecord) -> int:
    """MACs of a fused LSTM layer: at every step both weight matrices, `T·N·(4·H·I + 4·H·H)`.

    Source: Hochreiter & Schmidhuber 1997; the gates as in torch.nn.LSTM.
    """
    x, w_input, w_hidden = op.input_shapes[:3]
    return x[0] * x[1] * (prod(w_input) + prod(w_hidden))


def recurrent_backward_macs(op: OpRecord) -> int:
    """MACs of its backward pass: one forward's worth for the inputs' gradients, one for the weights'."""
    return 2 * recurrent_macs(op)


_ATTENTION = (
    "flash_attention",
    "efficient_attention",
    "cudnn_attention",
    "fused_attention_overrideable",
    "flash_attention_for_cpu",
)

MACS: dict[str, Callable[[OpRecord], int]] = {
    "aten.convolution": conv_macs,
    "aten._convolution": conv_macs,
    "aten.cudnn_convolution": conv_macs,
    "aten.convolution_backward": conv_backward_macs,
    **{f"aten.{name}": matmul_macs for name in ("mm", "bmm", "addmm", "baddbmm", "addbmm", "_addmm_activation")},
    **{f"aten.{name}": vector_macs for name in ("mv", "addmv", "dot", "vdot")},
    "aten.addr": outer_macs,
    "aten.mkldnn_rnn_layer": recurrent_macs,
    "aten.mkldnn_rnn_layer_backward": recurrent_backward_macs,
    **{f"aten._scaled_dot_product_{name}": attention_macs for name in _ATTENTION},
    **{f"aten._scaled_dot_product_{name}_backward": attention_backward_macs for name in _ATTENTION},
}


def macs_of(op: OpRecord) -> int:
    """Return an op's multiply-accumulates; 0 for an op that has none."""
    formula = MACS.get(op.op)
    return formula(op) if formula else 0


def working_of(op: OpRecord) -> str:
    """Write an op's MACs as a person would: `224·224·64·(3·3·3) = 86,704,128`.

    Sizes of 1 at the front (a batch of one) are left out.
    """
    total = exact(macs_of(op))
    if op.op in ("aten.convolution", "aten._convolution", "aten.cudnn_convolution"):
        x, weight = op.input_shapes[:2]
        batch, channels, *sizes = x if op.get("transposed") else op.output_shapes[0]
        return f"{_leading((batch, *sizes, channels))}·({product((*weight[2:], weight[1]))}) = {total}"
    if MACS.get(op.op) is matmul_macs:
        a, b = op.input_shapes[-2:]
        return f"{_leading((*a, b[-1]))} = {total}"
    if MACS.get(op.op) is attention_macs:
        q, k, v = op.input_shapes[:3]
        return f"{_leading((*q[:-1], k[-2]))}·({exact(q[-1])} + {exact(v[-1])}) = {total}"
    return total


def _leading(sizes: tuple[int, ...]) -> str:
    """A product without a first factor of 1, which says nothing."""
    return product(sizes[1:] if sizes[0] == 1 and len(sizes) > 1 else sizes)
