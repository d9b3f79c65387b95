"""Multiply-accumulates of attention in every form torch has, from shapes alone.

All of them count the scores in full: neither a causal mask or a window nor the blocks that a block mask leaves out
are taken off. Of sequences packed into one tensor each has its own, if their lengths are known; otherwise each is
taken to be as long as the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from vggcost.records import OpRecord

__all__ = ["ATTENTION", "SCORES", "attention_macs"]


def attention_macs(op: OpRecord) -> int:
    """MACs of scaled-dot-product attention: `Q·Kᵀ` and the weighted sum of `V`, in full.

    `B·heads·T·S·(E + E_v)`; a causal mask is not taken off, nor is a block mask of FlexAttention, and a
    key head that several query heads share counts once for each.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.

    Example:
        One head, 5 queries and 5 keys of 8, values of 8: 5·5·(8 + 8) = 400.
    """
    return _scores(op) * _widths(op, 0)[0]


def attention_backward_macs(op: OpRecord) -> int:
    """MACs of the fused backward pass: scores again, then the gradients of V, P, Q and K.

    `B·heads·T·S·(3·E + 2·E_v)`.

    Source: Dao et al. 2022, arXiv:2205.14135, algorithm 4.
    """
    return _scores_backward(op) * _widths(op, 1)[1]


def packed_macs(op: OpRecord) -> int:
    """MACs of a kernel that takes `(B, T, heads, E)`, or sequences packed into one `(ΣT, heads, E)`.

    Source: Dao et al. 2022, arXiv:2205.14135; the layouts are those of torch's schema.
    """
    return _packed_scores(op) * _widths(op, 0)[0]


def packed_backward_macs(op: OpRecord) -> int:
    """MACs of its backward pass: as of `attention_backward_macs`."""
    return _packed_scores_second(op) * _widths(op, 1)[1]


def packed_into_macs(op: OpRecord) -> int:
    """MACs of such a kernel that writes to a tensor, which it is given first."""
    return _packed_scores_second(op) * _widths(op, 1)[0]


def multi_head_macs(op: OpRecord) -> int:
    """MACs of nn.MultiheadAttention's fast path: Q, K, V projected, attention, the output projected.

    `2·N·(T + S)·E² + 2·N·T·S·E`: the weights are one `(3·E, E)` and one `(E, E)`.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
    """
    query, key = op.input_shapes[:2]
    batch, steps, width = query
    return 2 * batch * (steps + key[1]) * width * width + 2 * batch * steps * key[1] * width


def encoder_layer_macs(op: OpRecord) -> int:
    """MACs of nn.TransformerEncoderLayer's fast path: its attention, and a feed-forward net of width F.

    `N·T·(4·E² + 2·E·F) + 2·N·T²·E`.

    Source: Vaswani et al. 2017, arXiv:1706.03762, sections 3.2.2 and 3.3.
    """
    batch, steps, width = op.input_shapes[0]
    hidden = op.input_shapes[9][0]
    return batch * steps * (4 * width * width + 2 * width * hidden) + 2 * batch * steps * steps * width


def _widths(op: OpRecord, first: int) -> tuple[int, int]:
    """What a score costs in the forward and in the backward pass."""
    query, _, value = op.input_shapes[first : first + 3]
    return query[-1] + value[-1], 3 * query[-1] + 2 * value[-1]


def _scores(op: OpRecord, first: int = 0) -> int:
    query, key = op.input_shapes[first : first + 2]
    return prod(query[:-1]) * key[-2]


def _scores_backward(op: OpRecord) -> int:
    return _scores(op, 1)


def _packed_scores(op: OpRecord, first: int = 0) -> int:
    query, key = op.input_shapes[first : first + 2]
    pairs = op.get("pairs")
    if pairs is not None:
        return int(query[-2] * pairs)
    steps = key[-2 if op.op.startswith(_HEADS_FIRST) else -3]
    return prod(query[:-1]) * steps


def _packed_scores_second(op: OpRecord) -> int:
    return _packed_scores(op, 1)


def _multi_head_scores(op: OpRecord) -> int:
    query, key = op.input_shapes[:2]
    heads: int = op.get("num_head", op.get("num_heads", 1))
    return query[0] * heads * query[1] * key[1]


def _encoder_layer_scores(op: OpRecord) -> int:
    batch, steps, _ = op.input_shapes[0]
    heads: int = op.get("num_heads", 1)
    return batch * heads * steps * steps


_FUSED = (
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention",
    "aten._scaled_dot_product_fused_attention_overrideable",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "vggcost.flex_attention",
)
_HEADS_FIRST = "aten._cudnn_attention"  # of its sequences that are not packed
_PACKED = ("aten._flash_attention", "aten._efficient_attention", _HEADS_FIRST)
_VARLEN = "torch_attn._varlen_attn"
_INTO = ("aten._flash_attention_forward_no_dropout_inplace", f"{_VARLEN}_out")
_FAST_PATHS = ("aten._native_multi_head_attention", "aten._triton_multi_head_attention")
_LAYER = "aten._transformer_encoder_layer_fwd"
_METAL = "aten._scaled_dot_product_attention_math_for_mps"

ATTENTION: dict[str, Callable[[OpRecord], int]] = {
    **dict.fromkeys((*_FUSED, _METAL), attention_macs),
    **{f"{name}_backward": attention_backward_macs for name in _FUSED},
    **{f"{name}_forward": packed_macs for name in _PACKED},
    **{f"{name}_backward": packed_backward_macs for name in (*_PACKED, _VARLEN)},
    _VARLEN: packed_macs,
    **dict.fromkeys(_INTO, packed_into_macs),
    **dict.fromkeys(_FAST_PATHS, multi_head_macs),
    _LAYER: encoder_layer_macs,
}
"""MACs of each op."""

SCORES: dict[str, Callable[[OpRecord], int]] = {
    **dict.fromkeys((*_FUSED, _METAL), _scores),
    **{f"{name}_backward": _scores_backward for name in _FUSED},
    **{f"{name}_forward": _packed_scores for name in _PACKED},
    **{f"{name}_backward": _packed_scores_second for name in (*_PACKED, _VARLEN)},
    _VARLEN: _packed_scores,
    **dict.fromkeys(_INTO, _packed_scores_second),
    **dict.fromkeys(_FAST_PATHS, _multi_head_scores),
    _LAYER: _encoder_layer_scores,
}
"""How many scores the softmax inside each op sees."""
