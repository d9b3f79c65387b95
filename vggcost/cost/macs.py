"""Multiply-accumulates of an op, from its shapes alone.

One function a kind of op, and a table from torch's op names to functions. An op that is not in the
table has no MACs; whether it is free or unknown is the business of `vggcost.cost.ops`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from vggcost.cost.attention import ATTENTION, attention_macs
from vggcost.cost.custom import stated_macs
from vggcost.records import OpRecord, Shape
from vggcost.units import exact, product

__all__ = ["BIASED", "CONVOLUTIONS", "MACS", "PACKED", "first_operand", "macs_of", "working_of"]


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
    """MACs of `(…, M, K) @ (…, K, N)`: the operands of mm, bmm, addmm, baddbmm, addbmm.

    Source: definition of the matrix product.

    Of a sparse matrix only the entries that it has are multiplied: each by every column of the other operand,
    or by every row of one before it; of two sparse ones, those that meet.

    Example:
        fc8 of VGG-16: 1·4,096·1,000 = 4,096,000.
    """
    a, b = _operands(op)
    stored = op.get("stored")
    if op.get("products") is not None:
        return int(op.get("products"))
    if stored:
        first, second = stored[first_operand(op) :][:2]
        return int(first * b[-1] if first >= 0 else second * a[-2])
    return prod(a) * b[-1]


def grouped_macs(op: OpRecord) -> int:
    """MACs of a grouped product, as of a mixture of experts: each token meets one expert's weights.

    `(T, D)` by `(E, D, F)`, the tokens split over the experts: `T·D·F`, however they are split; likewise
    where the split axis is another. Two batches of matrices are `E·M·K·N`.

    Source: Shazeer et al. 2017, arXiv:1701.06538, section 2.

    Example:
        32 tokens of 16 over 4 experts of 16 by 24: 32·16·24 = 12,288.
    """
    a, b = _operands(op)
    return prod(a[-2:]) * b[-1] * (a[0] if len(a) == len(b) == 3 else 1)


def linear_macs(op: OpRecord) -> int:
    """MACs of `(…, K)` by weights in any packing: every output element takes K products.

    Source: definition of the matrix product.
    """
    return prod(op.output_shapes[0]) * op.input_shapes[0][-1]


def vector_macs(op: OpRecord) -> int:
    """MACs of a matrix-vector or dot product: one per element, or entry, of its first operand."""
    stored = op.get("stored")
    return int(stored[first_operand(op)]) if stored else prod(_operands(op)[0])


def outer_macs(op: OpRecord) -> int:
    """MACs of a rank-one update `addr`: one per output element."""
    return prod(op.output_shapes[0])


def trilinear_macs(op: OpRecord) -> int:
    """MACs of nn.Bilinear, `y_o = Σ_ij x1_i·W_oij·x2_j`: one per weight and row, `N·O·I·J`; its gradients alike.

    The size of the product that all three operands broadcast to; `expand1`, `expand2` and `expand3` name
    the axes that each of them lacks.

    Source: torch.nn.Bilinear; pytorch, aten/src/ATen/native/Linear.cpp, _trilinear.

    Example:
        2 rows of 3 and of 4 to 5 outputs: 2·5·3·4 = 120.
    """
    whole: list[int] = []
    for shape, lacking in zip(op.input_shapes[:3], ("expand1", "expand2", "expand3"), strict=True):
        sizes = list(shape)
        for axis in sorted(op.get(lacking, ())):
            sizes.insert(axis, 1)
        whole = [max(pair) for pair in zip(whole or sizes, sizes, strict=True)]
    return prod(whole)


def distance_macs(op: OpRecord) -> int:
    """MACs of Euclidean distances by a product: `|a|² − 2·a·b + |b|²` as one of `(P, D + 2)` and `(D + 2, R)`.

    Source: pytorch, aten/src/ATen/native/Distance.cpp, _euclidean_dist.
    """
    return prod(op.output_shapes[0]) * (op.input_shapes[0][-1] + 2)


def affine_grid_macs(op: OpRecord) -> int:
    """MACs of F.affine_grid: each of the `N·H·W` positions by the image's `(d, d + 1)` matrix.

    Source: Jaderberg et al. 2015, arXiv:1506.02025, equation 1.
    """
    return prod(op.output_shapes[0]) * op.input_shapes[0][-1]


def deformable_macs(op: OpRecord) -> int:
    """MACs of a deformable convolution: a convolution of the sampled values; sampling is no product.

    Source: Dai et al. 2017, arXiv:1703.06211, equation 2.
    """
    return prod(op.output_shapes[0]) * prod(op.input_shapes[1][1:])


def deformable_backward_macs(op: OpRecord) -> int:
    """MACs of its backward pass: a forward's worth for the sampled values, another for the weights."""
    return 2 * prod(op.input_shapes[0]) * prod(op.input_shapes[2][1:])


def tbc_macs(op: OpRecord) -> int:
    """MACs of torch.conv_tbc, whose filters are `(k, C_in, C_out)`."""
    return prod(op.output_shapes[0]) * prod(op.input_shapes[1][:2])


def recurrent_macs(op: OpRecord) -> int:
    """MACs of a fused LSTM layer: at every step both weight matrices, `T·N·(4·H·I + 4·H·H)`.

    Source: Hochreiter & Schmidhuber 1997; the gates as in torch.nn.LSTM.
    """
    x, w_input, w_hidden = op.input_shapes[:3]
    return x[0] * x[1] * (prod(w_input) + prod(w_hidden))


def recurrent_backward_macs(op: OpRecord) -> int:
    """MACs of its backward pass: one forward's worth for the inputs' gradients, one for the weights'."""
    return 2 * recurrent_macs(op)


def cudnn_recurrent_macs(op: OpRecord) -> int:
    """MACs of a whole recurrent net in one op: at every step every weight matrix once.

    The steps may be those of packed sequences in one row.

    Source: torch.nn.LSTM, GRU, RNN; the matrices are the inputs of two dimensions.
    """
    x, *others = op.input_shapes
    return prod(x[:-1]) * sum(prod(shape) for shape in others if len(shape) == 2)


def packed_cell_macs(op: OpRecord) -> int:
    """MACs of one step of a cell whose weights are packed: its states, two of an LSTM, are matrices too.

    Source: torch.nn.LSTMCell, GRUCell, RNNCell.
    """
    weights = [shape for shape in op.input_shapes[3 if "lstm" in op.op else 2 :] if len(shape) == 2]
    return op.input_shapes[0][0] * sum(map(prod, weights))


def packed_conv_macs(op: OpRecord) -> int:
    """MACs of a convolution whose filters are packed: as of `conv_macs`."""
    x, weight = op.input_shapes[:2]
    return prod(x if "transpose" in op.op else op.output_shapes[0]) * prod(weight[1:])


_CONVOLUTIONS = (
    "aten.convolution",
    "aten._convolution",
    "aten.cudnn_convolution",
    "aten.mkldnn_convolution",
    "aten.convolution_overrideable",
    "aten._conv_depthwise2d",
    "mkldnn._convolution_pointwise",
)
CONVOLUTIONS = frozenset((*_CONVOLUTIONS, "aten.conv_tbc", "torchvision.deform_conv2d"))
"""Forward ops that are convolutions."""
_FIRST = {"addmm": 1, "_sparse_addmm": 1, "baddbmm": 1, "addbmm": 1, "_addmm_activation": 1, "addmv": 1}
"""Where the operands begin, for ops that add something to the product."""
PACKED = (
    "aten.linear",
    "aten.matmul",
    "aten.mkldnn_linear",
    "aten._weight_int8pack_mm",
    "aten._weight_int4pack_mm",
    "aten._weight_int4pack_mm_for_cpu",
    "aten._weight_int4pack_mm_with_scales_and_zeros",
    "aten._dyn_quant_matmul_4bit",
    "aten._mixed_dtypes_linear",
    "mkldnn._linear_pointwise",
    *(f"quantized.linear{name}" for name in ("", "_relu", "_leaky_relu", "_tanh")),
    *(f"quantized.linear{name}" for name in ("_dynamic", "_relu_dynamic", "_dynamic_fp16", "_relu_dynamic_fp16")),
    *(f"sparse.qlinear{name}" for name in ("", "_relu", "_dynamic", "_relu_dynamic")),
)
"""Ops that multiply the last axis of the first tensor by weights, in whatever form these are kept."""

MACS: dict[str, Callable[[OpRecord], int]] = {
    **dict.fromkeys(_CONVOLUTIONS, conv_macs),
    "aten.convolution_backward": conv_backward_macs,
    "aten.convolution_backward_overrideable": conv_backward_macs,
    "aten.conv_tbc": tbc_macs,
    **{
        f"aten.{name}": matmul_macs
        for name in ("mm", "bmm", "_addmm_activation", "_sparse_mm", "_sparse_addmm", "_sparse_sparse_matmul")
    },
    **{f"aten.{name}": matmul_macs for name in ("addmm", "baddbmm", "addbmm", "addmm_", "baddbmm_", "addbmm_")},
    **{f"aten.{name}": matmul_macs for name in ("_int_mm", "_scaled_mm", "_scaled_mm_v2")},
    **{f"aten.{name}": grouped_macs for name in ("_grouped_mm", "_scaled_grouped_mm", "_scaled_grouped_mm_v2")},
    "transformers.grouped_mm_fallback": grouped_macs,
    "transformers.grouped_mm_fallback_backward": lambda op: 2 * grouped_macs(op),
    **dict.fromkeys(PACKED, linear_macs),
    **{f"aten.{name}": vector_macs for name in ("mv", "addmv", "addmv_", "dot", "vdot")},
    "aten.addr": outer_macs,
    "aten.addr_": outer_macs,
    "aten._trilinear": trilinear_macs,
    "aten._euclidean_dist": distance_macs,
    "aten.affine_grid_generator": affine_grid_macs,
    "torchvision.deform_conv2d": deformable_macs,
    "torchvision._deform_conv2d_backward": deformable_backward_macs,
    "aten.mkldnn_rnn_layer": recurrent_macs,
    "aten.mkldnn_rnn_layer_backward": recurrent_backward_macs,
    **{f"aten.{name}": cudnn_recurrent_macs for name in ("_cudnn_rnn", "quantized_lstm", "quantized_gru")},
    **{
        f"quantized.quantized_{name}_cell_dynamic": packed_cell_macs for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")
    },
    **{
        f"quantized.conv{name}": packed_conv_macs
        for axes in ("1d", "2d", "3d", "_transpose1d", "_transpose2d", "_transpose3d")
        for name in (f"{axes}{more}" for more in ("", "_relu", "_add", "_add_relu", "_dynamic"))
    },
    **ATTENTION,
}
"""MACs of each op of torch's and torchvision's that has any."""

BIASED = frozenset(
    (
        *_CONVOLUTIONS,
        *(f"aten.{name}" for name in ("addmm", "baddbmm", "addbmm", "_addmm_activation", "addmv", "addr")),
        *("aten.linear", "aten.mkldnn_linear", "mkldnn._linear_pointwise", "aten.conv_tbc"),
    )
)
"""Ops whose third tensor, if they have one, means that something is added to every element of the product."""


def first_operand(op: OpRecord) -> int:
    """Return the position of a product's first operand among the op's tensors."""
    return _FIRST.get(op.op.removeprefix("aten.").rstrip("_"), 0)


def _operands(op: OpRecord) -> tuple[Shape, Shape]:
    first = first_operand(op)
    return op.input_shapes[first], op.input_shapes[first + 1]


def macs_of(op: OpRecord) -> int:
    """Return an op's multiply-accumulates; 0 for an op that has none.

    One of complex numbers, `(a + b·i)·(c + d·i)` added to a sum, is four of real ones: four products, and
    the four additions that go with them. (torch composes a complex convolution of three real ones.)

    Source: definition of the complex product; Gauss's three for the convolution: pytorch,
    aten/src/ATen/native/Convolution.cpp, complex_convolution.
    """
    formula = MACS.get(op.op)
    if formula is None:
        return stated_macs(op)
    return formula(op) * (4 if op.get("complex") else 1)


def working_of(op: OpRecord) -> str:
    """Write an op's MACs as a person would: `224·224·64·(3·3·3) = 86,704,128`.

    Sizes of 1 at the front (a batch of one) are left out.
    """
    total = exact(macs_of(op))
    if op.get("complex"):
        return total
    if op.op in _CONVOLUTIONS:
        x, weight = op.input_shapes[:2]
        batch, channels, *sizes = x if op.get("transposed") else op.output_shapes[0]
        return f"{_leading((batch, *sizes, channels))}·({product((*weight[2:], weight[1]))}) = {total}"
    if MACS.get(op.op) is matmul_macs:
        a, b = _operands(op)
        return f"{_leading((*a, b[-1]))} = {total}"
    if MACS.get(op.op) is attention_macs:
        q, k, v = op.input_shapes[:3]
        return f"{_leading((*q[:-1], k[-2]))}·({exact(q[-1])} + {exact(v[-1])}) = {total}"
    return total


def _leading(sizes: tuple[int, ...]) -> str:
    """A product without a first factor of 1, which says nothing."""
    return product(sizes[1:] if sizes[0] == 1 and len(sizes) > 1 else sizes)
