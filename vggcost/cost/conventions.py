"""What is counted as a FLOP: a number without its convention is a rumour."""

from __future__ import annotations

from vggcost.errors import ConventionError
from vggcost.records import Convention
from vggcost.units import did_you_mean

__all__ = ["CONVENTIONS", "convention"]


def _prices(**rules: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(rules.items()))


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
            "scale), 5 per element of other normalisation (4 without scale), 1 per input element of adaptive average "
            "pooling; everything else 0."
        ),
        prices=_prices(batch_norm="affine two", norm="affine five", adaptive_pool="one per input"),
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
    """Return a counting convention by name.

    Raises:
        ConventionError: there is none of this name.

    Example:
        >>> convention("torch").flops_per_mac
        2
    """
    try:
        return CONVENTIONS[name]
    except KeyError:
        known = ", ".join(CONVENTIONS)
        raise ConventionError(
            f"unknown convention {name!r}{did_you_mean(name, CONVENTIONS)}; choose one of: {known}"
        ) from None
