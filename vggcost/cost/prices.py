"""Prices under `full` of what is neither a product nor one operation per element.

Each is a count of floating-point operations that can be worked by hand from the shapes; weights that
all channels share (of an interpolation, of a box) are worked out once and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, log2, prod

from vggcost.cost.attention import ATTENTION, SCORES
from vggcost.records import OpRecord, Shape

__all__ = [
    "accumulate",
    "cell",
    "distance",
    "fft",
    "inside",
    "interpolate",
    "lookup",
    "loss",
    "region",
    "solve",
    "sort",
]


def fft(op: OpRecord) -> int:
    """`5·N·log2 N` for a complex transform of N points, half that for a real one, for each of a batch.

    The count of Cooley and Tukey's algorithm for a power of two, used as the nominal one for any N.

    Source: Cooley & Tukey 1965; Frigo & Johnson 2005, "The design and implementation of FFTW3", section
    "performance results".

    Example:
        8 complex points: 5·8·3 = 120; 8 real ones 60.
    """
    real = "c2c" not in op.op
    whole = max(op.input_shapes[0], op.output_shapes[0], key=prod)  # the real side of a real transform
    points = prod(whole[axis] for axis in op.get("dim", ()))
    return round((2.5 if real else 5) * prod(whole) * log2(points)) if points > 1 else 0


_TAPS = {"linear1d": 2, "bilinear2d": 4, "bicubic2d": 16, "trilinear3d": 8}
_WIDTHS = {"bilinear2d_aa": 2, "bicubic2d_aa": 4, "lanczos2d_aa": 6}
_MODES_2D = (4, 1, 16)
_MODES_3D = (8, 1)


def interpolate(op: OpRecord) -> int:
    """A product for each neighbour that an output element is made of, and the additions: `2·taps − 1`.

    Taps: 2 linear, 4 bilinear, 8 trilinear, 16 bicubic; with antialias `width·max(1, scale)` along each
    axis, width 2 for bilinear and 4 for bicubic. Backward, each tap is multiplied and added: `2·taps` for
    the gradient of the map, and as many for each coordinate of a grid.

    Source: Keys 1981, "Cubic convolution interpolation"; pytorch, aten/src/ATen/native/UpSample.h and
    GridSampler.cpp.

    Example:
        Bilinear to 4·4 of 3 channels: 4·4·3·7 = 336.
    """
    name = op.op.removeprefix("aten.").removesuffix("_backward")
    backward = op.op.endswith("_backward")
    elements = prod(op.input_shapes[0] if backward else op.output_shapes[0])
    if "grid_sampler" in name:
        axes = 3 if name.endswith("3d") else 2
        taps = (_MODES_3D if axes == 3 else _MODES_2D)[op.get("interpolation_mode", 0)]
        wanted = op.get("output_mask", (True, True))
        if not backward:
            return elements * (2 * taps - 1) if taps > 1 else 0
        map_gradient = (2 * taps if taps > 1 else 1) if wanted[0] else 0
        grid_gradient = 2 * taps * axes if wanted[1] and taps > 1 else 0
        return elements * (map_gradient + grid_gradient)
    kind = name.lstrip("_").removeprefix("upsample_")
    taps = _antialias_taps(op, _WIDTHS[kind], backward) if kind in _WIDTHS else _TAPS[kind]
    return elements * (2 * taps if backward else 2 * taps - 1)


def _antialias_taps(op: OpRecord, width: int, backward: bool) -> int:
    small, large = op.input_shapes[0], op.output_shapes[0]
    before, after = (large, small) if backward else (small, large)
    return prod(ceil(width * max(1.0, b / a)) for b, a in zip(before[-2:], after[-2:], strict=True))


def sort(op: OpRecord) -> int:
    """Comparisons: `n·log2 n` for each row of n that is sorted, `n·log2 k` for the k largest, 1 an element otherwise.

    A value that is looked up among n takes `log2 n`.

    Source: Knuth, The Art of Computer Programming, volume 3, section 5.3.1.
    """
    name = op.op.removeprefix("aten.")
    if name in ("searchsorted", "bucketize"):
        table = op.input_shapes[0 if name == "searchsorted" else -1][-1:]
        return prod(op.output_shapes[0]) * _bits(table[0] if table else 1)
    shape = op.input_shapes[0]
    if name in ("sort", "argsort", "msort"):
        return prod(shape) * _bits(shape[_axis(op, shape)] if shape else 1)
    if name in ("unique_dim", "_unique", "_unique2"):
        return prod(shape) * _bits(prod(shape))
    return prod(shape) * (_bits(op.get("k", 1)) if name == "topk" else 1)


def _bits(n: int) -> int:
    return max(1, (n - 1).bit_length())


def _axis(op: OpRecord, shape: Shape) -> int:
    axis: int = op.get("dim", -1)
    return axis % len(shape)


def accumulate(op: OpRecord) -> int:
    """One addition for each element that is added to others: gradients of lookups, padding and repeats."""
    name = op.op.removeprefix("aten.").rstrip("_")
    if name in ("index_put", "_unsafe_index_put"):
        return prod(op.input_shapes[-1]) if op.get("accumulate") else 0
    added = (
        -1
        if name in ("index_add", "scatter_add", "scatter_reduce", "index_reduce", "_unsafe_masked_index_put_accumulate")
        else 0
    )
    return prod(op.input_shapes[added])


def lookup(op: OpRecord) -> int:
    """One operation for each element of the rows that an EmbeddingBag adds up; three where rows are renormed."""
    indices = op.input_shapes[2 if "per_sample" in op.op else 1]
    return prod(indices) * op.input_shapes[0][-1] * (3 if "renorm" in op.op else 1)


def distance(op: OpRecord) -> int:
    """Three operations for each coordinate of a pair: difference, power, sum; four for a gradient."""
    backward = op.op.endswith("_backward")
    points = op.input_shapes[1 if backward else 0]
    pairs = prod(op.input_shapes[0] if backward else op.output_shapes[0])
    return (4 if backward else 3) * pairs * points[-1]


def loss(op: OpRecord) -> int:
    """Three operations for each element of the prediction (what differs, a function of it, their sum), backward two.

    The negative log-likelihood picks one of the classes: 1 for each target. CTC: 3 for each step and each
    of the `2·S + 1` places in the target with its blanks, once forward and twice backward.

    Source: the formulas in torch.nn's documentation; Graves et al. 2006 for CTC.
    """
    name = op.op.removeprefix("aten.")
    if name.startswith("nll_loss"):
        target = op.input_shapes[2 if "backward" in name else 1]
        return prod(target)
    if name.startswith(("_ctc_loss", "_cudnn_ctc_loss")):
        backward = "backward" in name
        steps, batch, _ = op.input_shapes[1 if backward else 0]
        targets = op.input_shapes[2 if backward else 1]
        longest = targets[-1] if len(targets) == 2 else -(-targets[0] // batch)
        return (6 if backward else 3) * steps * batch * (2 * longest + 1)
    if name.endswith("_backward"):
        return 2 * prod(op.output_shapes[0])
    return 3 * prod(op.input_shapes[0])


_SAMPLE = 2 * 4 - 1  # a bilinear sample
_SAMPLE_BACKWARD = 2 * 4


def region(op: OpRecord) -> int:
    """Ops of torchvision on boxes; where the work depends on a box, it is taken to be as large as the map.

    RoI Align: `sampling_ratio²` bilinear samples and their sum for each output element (7 + 1 each), 8 for
    each backward; RoI pooling one comparison (or addition) for each element of the box; backward one for
    each gradient. NMS: 13 for each pair of boxes: 4 to intersect, 2 sides, 2 clamps, the two areas' sum and
    difference, product, ratio and comparison.

    Source: He et al. 2017, arXiv:1703.06870, section 3; Girshick 2015, arXiv:1504.08083, section 2.1;
    torchvision, csrc/ops/cpu.
    """
    name = op.op.removeprefix("torchvision.")
    if name == "nms":
        boxes = op.input_shapes[0][0]
        return 13 * (boxes * (boxes - 1) // 2)
    backward = name.endswith("_backward")
    if name.strip("_").startswith(("roi_pool", "ps_roi_pool")):
        if backward:
            return prod(op.input_shapes[0])
        boxes, channels = op.output_shapes[0][:2]
        return boxes * channels * prod(op.input_shapes[0][-2:])
    pooled = op.input_shapes[0] if backward else op.output_shapes[0]
    image = op.output_shapes[0] if backward else op.input_shapes[0]
    ratio = op.get("sampling_ratio", -1)
    samples = ratio**2 if ratio > 0 else prod(ceil(n / bins) for n, bins in zip(image[-2:], pooled[-2:], strict=True))
    return prod(pooled) * samples * (_SAMPLE_BACKWARD if backward else _SAMPLE + 1)


# What is fused into an op besides its products.


def _softmax_forward(op: OpRecord) -> int:
    return 5 * SCORES[op.op](op)


def _softmax_backward(op: OpRecord) -> int:
    return (5 + 4) * SCORES[op.op](op)  # computed again, and its gradient


def _multi_head(op: OpRecord) -> int:
    query, key = op.input_shapes[:2]
    biases = 2 * query[0] * (query[1] + key[1]) * query[2]
    return biases + _softmax_forward(op)


def _encoder_layer(op: OpRecord) -> int:
    """Biases, softmax, the activation, two norms at 8 and two residual additions."""
    batch, steps, width = op.input_shapes[0]
    hidden = op.input_shapes[9][0]
    return batch * steps * (5 * width + 2 * hidden + 2 * 8 * width + 2 * width) + _softmax_forward(op)


LSTM_CELL = 4 * (1 + 2 + 1) + 5
GRU_CELL = 3 * (1 + 2 + 1) + 5
"""A state element's gates (a sum, two biases, an activation each), then `f·c + i·g` and `o·tanh(c)`; GRU `r·h` and `(1 − z)·n + z·h`."""


def _recurrent(op: OpRecord) -> int:
    return LSTM_CELL * prod(op.output_shapes[0])


def _recurrent_backward(op: OpRecord) -> int:
    steps, batch, _ = op.input_shapes[0]
    return 2 * LSTM_CELL * steps * batch * op.input_shapes[2][1]


def _sampling(op: OpRecord) -> int:
    """A deformable convolution's bilinear samples, the mask and the bias."""
    out, weight = op.output_shapes[0], op.input_shapes[1]
    sampled = out[0] * op.input_shapes[0][1] * prod(weight[2:]) * prod(out[2:])
    return sampled * (_SAMPLE + bool(op.get("use_mask"))) + prod(out)


def _sampling_backward(op: OpRecord) -> int:
    """Backward, the gradient of the map and that of both offsets, of the mask, and of the bias."""
    grad, x, weight = op.input_shapes[:3]
    sampled = grad[0] * x[1] * prod(weight[2:]) * prod(grad[2:])
    return sampled * (3 * _SAMPLE_BACKWARD + (_SAMPLE + 1) * bool(op.get("use_mask"))) + prod(grad)


INSIDE: Mapping[str, Callable[[OpRecord], int]] = {
    **{name: _softmax_backward if name.endswith("_backward") else _softmax_forward for name in ATTENTION},
    "aten._native_multi_head_attention": _multi_head,
    "aten._triton_multi_head_attention": _multi_head,
    "aten._transformer_encoder_layer_fwd": _encoder_layer,
    "aten.mkldnn_rnn_layer": _recurrent,
    "aten.mkldnn_rnn_layer_backward": _recurrent_backward,
    "aten._cudnn_rnn": _recurrent,
    "torchvision.deform_conv2d": _sampling,
    "torchvision._deform_conv2d_backward": _sampling_backward,
}


def inside(op: OpRecord) -> int:
    """What an op of products does besides them: softmax 5 a score (backward 9), gates, sampling."""
    price = INSIDE.get(op.op)
    return price(op) if price else 0


def cell(op: OpRecord) -> int:
    """The gates of a recurrent cell that CUDA fuses: 21 for each state element of an LSTM, 17 of a GRU."""
    size = prod(op.output_shapes[0])
    each = LSTM_CELL if "lstm" in op.op else GRU_CELL
    return size * each * (2 if "backward" in op.op else 1)


def solve(op: OpRecord) -> int:
    """Substitution in n triangular equations: row i takes i products, i subtractions and a division.

    A division less for each where the diagonal is one.

    Source: Trefethen & Bau 1997, "Numerical Linear Algebra", lecture 17: m² for one right-hand side.

    Example:
        3 equations, 2 right-hand sides: (1 + 3 + 5)·2 = 18.
    """
    size = op.input_shapes[0][-1]
    return prod(op.output_shapes[0]) * (size - bool(op.get("unitriangular", False)))
