"""Every op that is no matrix product, in groups, and the price of a group where a convention has one.

The groups decide what a table's coverage says: an op of a group without a price is free by the
convention's rule, an op of no group is unknown, and never silently counted as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import prod

from vggcost.cost.custom import has_macs, has_price, stated_price
from vggcost.cost.macs import BIASED, MACS
from vggcost.cost.prices import accumulate, cell, distance, fft, inside, interpolate, lookup, loss, region, solve, sort
from vggcost.records import Convention, ModuleRecord, OpRecord

__all__ = ["GROUPS", "PRICES", "group_of", "is_known", "is_product", "layer_priced", "priced", "status_of", "tabled"]

_GROUPS: dict[str, str] = {
    # Data is moved, made or looked up; nothing is computed. Free everywhere.
    "move": """
        _to_copy alias arange as_strided as_strided_scatter detach squeeze t transpose unsqueeze bernoulli bernoulli_ cat clone copy copy_
        constant_pad_nd diag_embed embedding empty empty_like empty_strided expand_copy
        eye fill fill_ flip full full_like gather im2col index index_select
        lift_fresh lift_fresh_copy linspace masked_scatter masked_select narrow_copy
        new_empty new_empty_strided new_full new_ones new_zeros nonzero normal_ ones ones_like permute_copy
        pixel_shuffle pixel_unshuffle rand rand_like randint randint_like randn randn_like randperm
        reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
        replication_pad3d repeat repeat_interleave resize_ roll rot90 scalar_tensor scatter scatter_
        select_backward select_scatter set_ slice_backward slice_scatter split_copy split_with_sizes_copy stack
        t_copy transpose_copy tril tril_ triu triu_ unfold_backward unfold_copy unsqueeze_copy
        uniform_ unsafe_chunk unsafe_split unsafe_split_with_sizes upsample_nearest1d upsample_nearest2d
        upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
        view_copy where zero zero_ zeros zeros_like channel_shuffle native_channel_shuffle
        _reshape_copy _unsafe_index one_hot _local_scalar_dense equal is_same_size
        bartlett_window blackman_window hamming_window hann_window kaiser_window fft_fftfreq fft_rfftfreq range
        logspace tril_indices triu_indices block_diag diagonal_scatter diagonal_backward index_fill index_copy take
        put max_unpool2d max_unpool3d resolve_conj resolve_neg _conj_physical view_as_complex_copy
        view_as_real_copy _pack_padded_sequence _pack_padded_sequence_backward _pad_packed_sequence multinomial
        exponential_ geometric_ cauchy_ log_normal_ random_ isin _assert_async resize_as_ _linalg_check_errors
        _assert_scalar _assert_tensor_metadata _functional_assert_async _functional_sym_constrain_range
        _functional_sym_constrain_range_for_size _make_dep_token _pin_memory _print _chunk_cat _to_dense to_mkldnn
        lift empty_permuted nonzero_static resize resize_as _resize_output normal normal_functional uniform exponential
        geometric cauchy log_normal poisson _standard_gamma _unsafe_masked_index
        _to_sparse _to_sparse_csr _to_sparse_csc is_coalesced sparse_mask _sparse_mask_projection _sparse_sum_backward
        _sparse_coo_tensor_with_dims_and_tensors coalesce _coalesce _indices _values indices values
        _efficientzerotensor _has_same_storage_numel _fused_sdp_choice _conj _neg_view _nested_tensor_from_mask _jagged_to_padded_dense_forward
    """,
    "sort": """
        argmax argmin argsort bucketize kthvalue median mode msort nanmedian searchsorted sort topk _unique _unique2
        unique_dim unique_consecutive
    """,
    "accumulate": """
        col2im embedding_dense_backward index_add index_put index_put_ index_reduce index_select_backward
        reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward
        replication_pad2d_backward replication_pad3d_backward scatter_add scatter_reduce _unsafe_index_put
        _unsafe_masked_index_put_accumulate
        upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
        _upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward
    """,
    "lookup": """
        _embedding_bag _embedding_bag_forward_only _embedding_bag_backward _embedding_bag_dense_backward
        _embedding_bag_per_sample_weights_backward embedding_renorm
    """,
    "activation": """
        _prelu_kernel celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_sigmoid_forward mish prelu
        hardshrink relu relu6 rrelu_with_noise rrelu_with_noise_functional selu sigmoid silu softplus softshrink tanh threshold
    """,
    "elementwise": """
        _fused_dropout _prelu_kernel_backward _weight_norm_interface _weight_norm_interface_backward dropout
        elu_backward gelu_backward glu_backward hardsigmoid_backward hardswish_backward hardtanh_backward
        leaky_relu_backward log_sigmoid_backward masked_fill mish_backward native_dropout native_dropout_backward
        rsub sigmoid_backward silu_backward softplus_backward tanh_backward threshold_backward
        hardshrink_backward rrelu_with_noise_backward softshrink_backward logit_backward log_sigmoid glu_jvp
        fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask
        fake_quantize_per_tensor_affine_cachemask_backward fake_quantize_per_channel_affine_cachemask_backward
        _fake_quantize_per_tensor_affine_cachemask_tensor_qparams quantize_per_tensor quantize_per_channel
        floor_divide __iand__ __ior__ __irshift__ _add_relu _masked_scale renorm absolute arccos arccosh arcsin arcsinh
        arctan arctan2 arctanh divide multiply subtract negative fix greater greater_equal less less_equal not_equal
        dequantize _fused_moving_avg_obs_fq_helper complex polar
    """,
    "reduce": """
        _is_all_true _is_any_true all any amax amin aminmax count_nonzero cummax cummin cumprod cumsum cumsum_ linalg_vector_norm
        logcumsumexp logsumexp max mean min norm prod std std_mean sum var var_mean trace nansum nanmean
        linalg_norm special_logsumexp _cummax_helper _cummin_helper histc dist
        segment_reduce _sparse_sum
    """,
    "loss": """
        binary_cross_entropy binary_cross_entropy_backward huber_loss huber_loss_backward mse_loss
        mse_loss_backward nll_loss_backward nll_loss_forward nll_loss2d_backward nll_loss2d_forward
        smooth_l1_loss smooth_l1_loss_backward binary_cross_entropy_with_logits soft_margin_loss
        soft_margin_loss_backward multi_margin_loss multi_margin_loss_backward multilabel_margin_loss_forward
        multilabel_margin_loss_backward _ctc_loss _ctc_loss_backward _cudnn_ctc_loss
    """,
    "max_pool": """
        max_pool2d_with_indices max_pool3d_with_indices max_pool1d max_pool2d max_pool3d fractional_max_pool2d
        fractional_max_pool3d quantized_max_pool2d mkldnn_max_pool2d mkldnn_max_pool3d
    """,
    "avg_pool": "avg_pool1d avg_pool2d avg_pool3d",
    "adaptive_pool": """
        _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_max_pool2d adaptive_max_pool3d
    """,
    "pool_backward": """
        max_pool2d_with_indices_backward max_pool3d_with_indices_backward avg_pool2d_backward
        avg_pool3d_backward _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward
        adaptive_max_pool2d_backward adaptive_max_pool3d_backward fractional_max_pool2d_backward
        fractional_max_pool3d_backward
    """,
    "batch_norm": """
        native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
        _native_batch_norm_legit_functional _batch_norm_with_update _batch_norm_no_update
    """,
    "norm": "native_layer_norm native_group_norm _fused_rms_norm",
    "norm_backward": """
        native_batch_norm_backward native_layer_norm_backward native_group_norm_backward
        cudnn_batch_norm_backward batch_norm_backward _fused_rms_norm_backward
    """,
    "softmax": "_softmax _log_softmax _safe_softmax _sparse_softmax _sparse_log_softmax",
    "softmax_backward": """
        _softmax_backward_data _log_softmax_backward_data _sparse_softmax_backward_data _sparse_log_softmax_backward_data
    """,
    "interpolate": """
        upsample_bilinear2d upsample_bicubic2d upsample_linear1d upsample_trilinear3d
        _upsample_bilinear2d_aa _upsample_bicubic2d_aa _upsample_lanczos2d_aa
        upsample_bilinear2d_backward upsample_bicubic2d_backward upsample_linear1d_backward
        upsample_trilinear3d_backward _upsample_bilinear2d_aa_backward _upsample_bicubic2d_aa_backward
        _upsample_lanczos2d_aa_backward grid_sampler_2d grid_sampler_3d cudnn_grid_sampler_2d
        _grid_sampler_2d_cpu_fallback _grid_sampler_2d_cpu_fallback_backward
        grid_sampler_2d_backward grid_sampler_3d_backward
    """,
    "fft": "_fft_c2c _fft_r2c _fft_c2r",
    "distance": "_cdist_forward _cdist_backward _pdist_forward _pdist_backward",
    "cell": "_thnn_fused_lstm_cell _thnn_fused_lstm_cell_backward_impl _thnn_fused_gru_cell _thnn_fused_gru_cell_backward",
    "cross": "linalg_cross cross",
    "solve": "linalg_solve_triangular",
}
_REGIONS = """
    roi_align _roi_align_backward roi_pool _roi_pool_backward ps_roi_align _ps_roi_align_backward ps_roi_pool
    _ps_roi_pool_backward nms
"""
_GROUP_OF = {
    **{f"aten.{name}": group for group, names in _GROUPS.items() for name in names.split()},
    **{f"torchvision.{name}": "region" for name in _REGIONS.split()},
    **{f"quantized.embedding_{kind}": "move" for kind in ("byte", "4bit")},
    **{f"quantized.embedding_bag_{kind}": "lookup" for kind in ("byte", "4bit")},
}
GROUPS = dict.fromkeys((*_GROUPS, "region"))
_ALWAYS_FREE = ("view", "move")


def is_known(name: str) -> bool:
    """Whether an op is in the tables of this package."""
    return name in MACS or name in _GROUP_OF


def is_product(name: str) -> bool:
    """Whether an op multiplies and accumulates."""
    return name in MACS or has_macs(name)


def group_of(op: OpRecord) -> str | None:
    """Return the group of an op: `matmul`, `view`, `stated`, one of the table's, or None if it is unknown."""
    if is_product(op.op):
        return "matmul"
    if has_price(op.op):
        return "stated"
    return tabled(op.op, op.nature)


@cache
def tabled(name: str, nature: str) -> str | None:
    """Return the group of an op by its name, or by its nature; None if it is in no table."""
    if nature == "view":
        return "view"
    return _GROUP_OF.get(name if name in _GROUP_OF else name.rstrip("_")) or (
        "elementwise" if nature == "pointwise" else None
    )


def status_of(op: OpRecord, kind: str, convention: Convention) -> str:
    """Say whether a convention counts an op of a kind of layer, has it free by rule, or does not know it."""
    group = group_of(op)
    if group == "matmul":
        return "counted"
    if group is None:
        return "unknown"
    if _rule(op, convention) is not None or (kind in dict(convention.layer_prices) and group != "view"):
        return "counted"
    return "unknown" if convention.exhaustive and group not in _ALWAYS_FREE else "free"


def _per_output(op: OpRecord) -> int:
    return prod(op.output_shapes[0]) if op.output_shapes else 0


def _per_input(op: OpRecord) -> int:
    return prod(op.input_shapes[0]) if op.input_shapes else 0


def _kernel_area(op: OpRecord) -> int:
    kernel = op.get("kernel_size", (1,))
    axes = int(next((c for c in op.op if c.isdigit()), "1"))
    area: int = prod(kernel) ** (axes if len(kernel) == 1 else 1)
    return area


def _stride_area(op: OpRecord) -> int:
    stride = op.get("stride") or op.get("kernel_size", (1,))
    return stride[0] ** 2 if len(stride) == 1 else prod(stride)


def _scaled(op: OpRecord) -> bool:
    """Whether a normalisation has a scale of its own."""
    return "weight" not in op.get("without", ())


def _norm(op: OpRecord) -> int:
    return (8 if _scaled(op) else 6) * _per_input(op)


def _by_the_batch(op: OpRecord) -> bool:
    """Whether BatchNorm takes its statistics from the batch."""
    return bool(op.get("training", op.op.endswith(("_legit", "_with_update"))))


def _batch_norm(op: OpRecord) -> int:
    return _norm(op) if _by_the_batch(op) else 2 * _per_input(op)


def _affine_two(op: OpRecord) -> int:
    """Fvcore's BatchNorm."""
    if _by_the_batch(op):
        return _affine_five(op)
    return _per_input(op) * (2 if _scaled(op) else 1)


def _affine_five(op: OpRecord) -> int:
    """Fvcore's other norms."""
    return _per_input(op) * (5 if _scaled(op) else 4)


PRICES: Mapping[str, tuple[Callable[[OpRecord], int], str]] = {
    "one": (_per_output, "1 per output element"),
    "one per input": (_per_input, "1 per input element"),
    "comparisons": (lambda op: _per_output(op) * (_kernel_area(op) - 1), "kernel area - 1 per output element"),
    "window": (lambda op: _per_output(op) * _kernel_area(op), "kernel area per output element"),
    "batch norm": (_batch_norm, "2 per element in inference, 8 in training (6 without scale and shift)"),
    "norm": (_norm, "8 per element (6 without scale and shift)"),
    "ten": (lambda op: 10 * _per_input(op), "10 per element"),
    "two": (lambda op: 2 * _per_output(op), "2 per output element"),
    "stride": (lambda op: 2 * _per_output(op) * _stride_area(op), "2 per output element and position of the stride"),
    "affine two": (_affine_two, "2 per element, 1 without scale; with the batch's statistics 5 and 4"),
    "affine five": (_affine_five, "5 per element, 4 without scale"),
    "loss": (loss, "3 per element of the prediction, 1 per target of the log-likelihood; backward 2 and 1"),
    "comparisons of a sort": (sort, "n·log2 n per row of n, 1 per element of a search for one"),
    "one per addition": (accumulate, "1 per element added"),
    "one per element read": (lookup, "1 per element read, 3 where rows are renormed"),
    "taps": (interpolate, "2·taps - 1 per output element; backward 2·taps"),
    "transform": (fft, "5·N·log2 N per complex transform, half that for a real one"),
    "pairs": (distance, "3 per coordinate of a pair; backward 4"),
    "regions": (region, "8 per bilinear sample, 1 per element pooled, 13 per pair of boxes"),
    "gates": (cell, "21 per state element of an LSTM, 17 of a GRU; backward twice that"),
    "three": (lambda op: 3 * _per_output(op), "3 per output element"),
    "inside": (inside, "what is fused into an op of products: softmax 5 a score, gates, sampling"),
    "stated": (stated_price, "as stated in register_cost"),
    "substitution": (solve, "n per element of a solution of n triangular equations, n - 1 with a diagonal of ones"),
    "five": (lambda op: 5 * _per_output(op), "5 per element"),
    "four": (lambda op: 4 * _per_output(op), "4 per element"),
}


def _rule(op: OpRecord, convention: Convention) -> str | None:
    """The rule that prices an op: its own, or that of its group."""
    prices = dict(convention.prices)
    return prices.get(op.op.rpartition(".")[2], prices.get(group_of(op) or ""))


def priced(op: OpRecord, convention: Convention) -> int:
    """Return the FLOPs a convention adds for an op besides those of its MACs."""
    rules = dict(convention.prices)
    if group_of(op) == "matmul":
        fused = PRICES[rules["fused"]][0](op) + stated_price(op) if "fused" in rules else 0
        return fused + (_bias(op) if convention.bias else 0)
    rule = _rule(op, convention)
    if rule is None:
        return 0
    return int(rule) * _per_output(op) if rule.isdigit() else PRICES[rule][0](op)


def _lrn(module: ModuleRecord) -> int:
    """convnet-burden's price of LRN: `out + (2 + 2·C)·H·W` for each image."""
    batch, channels, *sizes = module.output_shapes[0]
    return batch * (prod((channels, *sizes)) + (2 + 2 * channels) * prod(sizes))


LAYER_PRICES: Mapping[str, Callable[[ModuleRecord], int]] = {"lrn": _lrn}


def layer_priced(module: ModuleRecord, convention: Convention) -> int | None:
    """Return the FLOPs of a whole layer where the convention prices its kind, None elsewhere."""
    rule = dict(convention.layer_prices).get(module.kind)
    return LAYER_PRICES[rule](module) if rule else None


def _bias(op: OpRecord) -> int:
    """One addition per output element for a bias, and per element of its gradient."""
    if op.op == "aten.convolution_backward":
        mask = op.get("output_mask", (True, True, False))
        return prod(op.input_shapes[0]) if mask[2] else 0
    return _per_output(op) if op.op.rstrip("_") in BIASED and len(op.input_shapes) > 2 else 0
