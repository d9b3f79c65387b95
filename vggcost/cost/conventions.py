"""What is counted as a FLOP: a number without its convention is a rumour."""

from __future__ import annotations

from vggcost.errors import ConventionError
from vggcost.records import Convention
from vggcost.units import did_you_mean

__all__ = ["CONVENTIONS", "convention"]

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
            "it is made of; backward: pooling 1, softmax 4, normalisation 10 per element; moving data 0."
        ),
        bias=True,
        prices=tuple(
            sorted(
                {
                    "elementwise": "one",
                    "reduce": "one per input",
                    "loss": "one",
                    "max_pool": "comparisons",
                    "avg_pool": "window",
                    "adaptive_pool": "one per input",
                    "pool_backward": "one per input",
                    "batch_norm": "batch norm",
                    "norm": "norm",
                    "norm_backward": "ten",
                    "softmax": "five",
                    "softmax_backward": "four",
                }.items()
            )
        ),
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
