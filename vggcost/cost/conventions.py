"""What is counted as a FLOP: a number without its convention is a rumour."""

from __future__ import annotations

from vggcost.cost.functions import NOTHING
from vggcost.cost.own import own_conventions
from vggcost.errors import ConventionError
from vggcost.records import Convention
from vggcost.units import did_you_mean

__all__ = ["CONVENTIONS", "convention"]


def _prices(**rules: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(rules.items()))


def _functions(**rules: str) -> tuple[tuple[str, str], ...]:
    """Turn `rule="names of functions"` into pairs."""
    return tuple(sorted((name, rule.replace("_", " ")) for rule, names in rules.items() for name in names.split()))


# Source: fvcore, nn/flop_count.py, _DEFAULT_SUPPORTED_OPS; a function that is not there counts nothing, and what
# it is made of neither. The cells of recurrent layers are linear layers to a tracer, the layers are not.
_FVCORE = (
    ("*", NOTHING),
    *_functions(
        ops="""
            linear mm bmm addmm lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell
            batch_norm group_norm layer_norm adaptive_avg_pool2d
            grid_sample grid_sampler upsample_nearest2d upsample_bilinear2d
        """,
        products="multi_head_attention_forward",
        fvcore_matmul="matmul linalg_matmul",
        fvcore_conv="conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution _convolution",
        fvcore_einsum="einsum",
        instance_norm="instance_norm",
        images="interpolate upsample",
    ),
)
_FVCORE_OPS = _prices(
    batch_norm="affine two",
    norm="affine five",
    _adaptive_avg_pool2d="one per input",
    mean="one per input",  # how torch pools to 1×1; a mean that the model takes itself is another function
    upsample_nearest2d="one",
    upsample_bilinear2d="four",
    grid_sampler_2d="four",
    grid_sampler_3d="four",
)

CONVENTIONS: dict[str, Convention] = {
    "torch": Convention(
        name="torch",
        flops_per_mac=2,
        sentence=(
            "2 FLOPs per multiply-accumulate of convolutions, linear layers, matrix products and attention; "
            "biases, activations, normalisation, pooling and softmax count 0."
        ),
    ),
    "full": Convention(
        name="full",
        flops_per_mac=2,
        sentence=(
            "2 FLOPs per multiply-accumulate, 1 per element of a bias, 1 per output element of each elementwise op "
            "(ReLU, addition, power, …), 1 per input element of a reduction, pooling by its window (k·k − 1 "
            "comparisons for max, k·k for average), normalisation 2 per element in inference for BatchNorm and 8 "
            "otherwise (6 without scale and shift), softmax 5, LRN by the elementwise ops and the average pool that "
            "it is made of, interpolation 2·taps − 1 per output element (7 bilinear), a Fourier transform 5·N·log2 N "
            "(half that for a real one), losses 3 per element; backward: pooling 1, softmax 4, normalisation 10 per "
            "element; moving data 0."
        ),
        bias=True,
        prices=_prices(
            activation="one",
            elementwise="one",
            reduce="one per input",
            loss="loss",
            sort="comparisons of a sort",
            accumulate="one per addition",
            lookup="one per element read",
            interpolate="taps",
            fft="transform",
            distance="pairs",
            region="regions",
            cell="gates",
            cross="three",
            solve="substitution",
            fused="inside",
            stated="stated",
            max_pool="comparisons",
            avg_pool="window",
            adaptive_pool="one per input",
            pool_backward="one per input",
            batch_norm="batch norm",
            norm="norm",
            norm_backward="ten",
            softmax="five",
            softmax_backward="four",
        ),
        exhaustive=True,
    ),
    "fvcore": Convention(
        name="fvcore",
        flops_per_mac=1,
        sentence=(
            "As fvcore's FlopCountAnalysis, which calls one multiply-accumulate one flop: 1 per multiply-accumulate of "
            "convolutions, linear layers and matrix products, 2 per element of BatchNorm in inference (1 without "
            "scale; 5 and 4 with the batch's own statistics), 5 per element of other normalisation (4 without scale), 1 "
            "per input element of adaptive average pooling of images, 1 and 4 per output element of nearest and bilinear "
            "upsampling of images, 4 of grid sampling; everything else 0, which includes scaled-dot-product attention and "
            "recurrent layers. einsum is counted to four digits, matmul without broadcasting, convolutions with "
            "padding='same' as 0; torch's fast path of attention layers is taken as off."
        ),
        prices=_FVCORE_OPS,
        function_prices=tuple(sorted(_FVCORE)),
    ),
    "timm": Convention(
        name="timm",
        flops_per_mac=1,
        sentence=(
            "As timm's tables print GMACs: fvcore's rules (convention fvcore) on models whose attention is not fused, so "
            "that the two products of scaled-dot-product attention, Q·Kᵀ and the weighted sum of V, count 1 per "
            "multiply-accumulate, its softmax and scale 0; recurrent layers and everything else as fvcore, 0 where it "
            "knows no rule."
        ),
        prices=_FVCORE_OPS,
        function_prices=tuple(sorted((*_FVCORE, ("scaled_dot_product_attention", "ops")))),
    ),
    "convnet-burden": Convention(
        name="convnet-burden",
        flops_per_mac=1,
        sentence=(
            "As albanie/convnet-burden: 1 per multiply-accumulate and 1 per output element for the bias, ReLU 2 per "
            "element, pooling 2 per output element times the area of its stride, LRN out + (2 + 2·C)·H·W; "
            "BatchNorm, dropout, softmax and concatenation 0."
        ),
        bias=True,
        prices=_prices(activation="two", max_pool="stride", avg_pool="stride"),
        layer_prices=(("LocalResponseNorm", "lrn"),),
    ),
}


def convention(name: str) -> Convention:
    """Return a counting convention by name: a preset, or one of the project's own configuration.

    Raises:
        ConventionError: there is none of this name, or the configuration is wrong.

    Example:
        >>> convention("torch").flops_per_mac
        2
    """
    if name in CONVENTIONS:
        return CONVENTIONS[name]
    known = {**CONVENTIONS, **own_conventions(CONVENTIONS)}
    if name not in known:
        raise ConventionError(
            f"unknown convention {name!r}{did_you_mean(name, known)}; choose one of: {', '.join(known)}, or write your "
            f"own as [tool.vggcost.conventions.NAME] in pyproject.toml"
        )
    return known[name]
