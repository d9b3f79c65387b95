"""One k×k convolution against the stack of 3×3 convolutions that sees as far: closed forms.

`n = (k − 1)/2` convolutions of 3×3 have the receptive field of one of k×k. On C channels throughout
the stack has `n·9·C²` weights, the single layer `k²·C²`. With other widths at its ends the stack goes
`C_in → C_out → … → C_out`.

Source: Simonyan & Zisserman 2014, arXiv:1409.1556, section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from vggcost.errors import OptionError

__all__ = [
    "Experiment",
    "Side",
    "StackComparison",
    "StackForm",
    "break_even",
    "output_size",
    "side_of",
    "stack_form",
    "symbolic",
]

LARGEST = 101


@dataclass(frozen=True, slots=True)
class Side:
    """What one side of the bargain costs, for one image."""

    weights: int
    params: int
    macs: int
    activations: int
    saved_bytes: int
    receptive_field: int
    nonlinearities: int
    output_size: int


@dataclass(frozen=True, slots=True)
class StackForm:
    """The closed forms of both sides, in C² and in words."""

    kernel: int
    layers: int
    single: int
    stack: int

    @property
    def saved(self) -> int:
        """Weights that the stack saves, in C²."""
        return self.single - self.stack

    @property
    def percent_more(self) -> int:
        """How many percent more weights the single layer has."""
        return round(100 * Fraction(self.single - self.stack, self.stack))


@dataclass(frozen=True, slots=True)
class Experiment:
    """A net with which the VGG paper itself tried the argument, traced, with its published error."""

    model: str
    title: str
    conv_params: int
    macs: int
    top1_error: str
    note: str


@dataclass(frozen=True, slots=True)
class StackComparison:
    """Both sides as traced, after they were found equal to the closed forms."""

    form: StackForm
    channels: int
    in_channels: int
    size: int
    bias: bool
    relu: bool
    same: bool
    single: Side
    stack: Side
    experiments: tuple[Experiment, ...]

    @property
    def break_even(self) -> float | None:
        """C_out/C_in above which the stack is no longer the cheaper one."""
        ratio = break_even(self.form.kernel)
        return None if ratio is None else float(ratio)


def stack_form(kernel: int) -> StackForm:
    """Return the closed form for a kernel.

    Args:
        kernel: k, odd, at least 3.

    Raises:
        OptionError: k is even or too small: no stack of 3×3 sees as far.

    Example:
        >>> form = stack_form(7)
        >>> form.stack, form.single, form.saved, form.percent_more
        (27, 49, 22, 81)
    """
    if kernel % 2 == 0:
        raise OptionError(
            f"an even kernel ({kernel}×{kernel}) has no equal: each 3×3 adds 2 to the receptive field of 1, "
            f"so a stack of them sees 3, 5, 7, …; try {kernel - 1 if kernel > 3 else 3} or {kernel + 1}"
        )
    if not 3 <= kernel <= LARGEST:
        raise OptionError(f"the kernel must be odd and between 3 and {LARGEST}, not {kernel}")
    layers = (kernel - 1) // 2
    return StackForm(kernel, layers, kernel * kernel, 9 * layers)


def symbolic(kernel: int) -> str:
    """Say it with the symbol C.

    Example:
        >>> symbolic(5)
        'two 3×3: 18C² weights; one 5×5: 25C²; 7C² fewer, the 5×5 has 39% more'
    """
    form = stack_form(kernel)
    words = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
    saved = (
        f"{form.saved}C² fewer, the {kernel}×{kernel} has {form.percent_more}% more" if form.saved else "the same layer"
    )
    return f"{words.get(form.layers, form.layers)} 3×3: {form.stack}C² weights; one {kernel}×{kernel}: {form.single}C²; {saved}"


def output_size(size: int, kernel: int, layers: int, same: bool) -> int:
    """Return the side of the output: one k×k, or `layers` of them, without or with padding.

    Without padding `(n − 7)/1 + 1` is what three steps of `(n − 3)/1 + 1` give: n − 6.

    Example:
        >>> output_size(14, 7, 1, same=False), output_size(14, 3, 3, same=False)
        (8, 8)
    """
    return size if same else size - layers * (kernel - 1)


def side_of(
    kernel: int, layers: int, channels: int, in_channels: int, size: int, *, bias: bool, relu: bool, same: bool
) -> Side:
    """Work out one side on paper, for float32 and one image.

    `saved_bytes` is what these layers add to the tensors that autograd keeps in a net of such layers,
    one a layer: with ReLU its output, which is the next convolution's input as well (the input of
    the first is kept by the ReLU before it); without, the input of each convolution.

    Raises:
        OptionError: without padding the map vanishes.
    """
    if output_size(size, kernel, layers, same) < 1:
        raise OptionError(
            f"a map of {size}×{size} is too small for {kernel}×{kernel} without padding; give a larger --size or --padding same"
        )
    weights = macs = activations = 0
    width, sizes = in_channels, []
    for layer in range(1, layers + 1):
        side = output_size(size, kernel, layer, same)
        filter_weights = kernel * kernel * width
        weights += filter_weights * channels
        macs += side * side * channels * filter_weights
        sizes.append(side * side * channels)
        width = channels
    activations = sum(sizes)
    saved = activations if relu else size * size * in_channels + activations - sizes[-1]
    return Side(
        weights=weights,
        params=weights + (layers * channels if bias else 0),
        macs=macs,
        activations=activations,
        saved_bytes=4 * saved,
        receptive_field=1 + layers * (kernel - 1),
        nonlinearities=layers if relu else 0,
        output_size=output_size(size, kernel, layers, same),
    )


def break_even(kernel: int) -> Fraction | None:
    """Return the ratio C_out/C_in above which the stack has more weights than the single layer.

    The stack has `9·C_in·C_out + 9·(n − 1)·C_out²` weights, the single layer `k²·C_in·C_out`; they are
    equal where `C_out/C_in = (k² − 9)/(9·(n − 1))`.

    Returns:
        The ratio; None for k = 3, where both are one layer.

    Example:
        >>> break_even(7)
        Fraction(20, 9)
    """
    layers = stack_form(kernel).layers
    return None if layers == 1 else Fraction(kernel * kernel - 9, 9 * (layers - 1))
