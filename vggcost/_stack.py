"""One k×k convolution against a stack of 3×3, on paper and traced; both must agree."""

from __future__ import annotations

from vggcost.cost.stack import Experiment, Side, StackComparison, side_of, stack_form
from vggcost.errors import OptionError, VggcostError
from vggcost.records import told
from vggcost.zoo.facts import AGAINST_B, AT_256, facts_of, title_of

__all__ = ["compare_stack"]

_LARGEST = 2**20  # so that all counts of a map are sizes that torch has


# What the paper compared, and what it says of it (Table 3; sections 2.3 and 4.1)
_EXPERIMENTS = (
    ("vgg-b", "two 3×3 in each block"),
    ("vgg-b-5x5", "each pair of 3×3 replaced by one 5×5: the same receptive field, fewer non-linearities"),
    ("vgg-c", "B and a 1×1 in the last three blocks: a non-linearity without a larger receptive field"),
    ("vgg-d", "B and a 3×3 in the last three blocks"),
)


def compare_stack(
    kernel: int = 7,
    channels: int = 512,
    in_channels: int | None = None,
    size: int = 14,
    *,
    bias: bool = False,
    relu: bool = True,
    same: bool = True,
) -> StackComparison:
    """Compare one k×k convolution with the stack of 3×3 that has the same receptive field.

    Args:
        kernel: k, odd.
        channels: C, the output channels of every layer.
        in_channels: input channels; None: C.
        size: side of the input map.
        bias: whether the layers have biases.
        relu: whether an in-place ReLU follows each layer.
        same: pad so that the map keeps its size; otherwise do not pad.

    Raises:
        OptionError: an even kernel, or a size that makes no sense.

    Example:
        >>> compare_stack(7, 512, size=14).stack.weights
        7077888
    """
    form = stack_form(kernel)
    inputs = channels if in_channels is None else in_channels
    for name, value in (("channels", channels), ("in-channels", inputs), ("size", size)):
        if not 1 <= value <= _LARGEST:
            raise OptionError(f"--{name} must be 1 or more, and at most {_LARGEST:,}, not {value!r:.60}")
    sides = []
    for k, layers in ((kernel, 1), (3, form.layers)):
        paper = side_of(k, layers, channels, inputs, size, bias=bias, relu=relu, same=same)
        traced = _traced(k, layers, channels, inputs, size, bias, relu, same)
        if paper != traced:
            raise VggcostError(f"closed form and trace differ, which is a bug of vggcost: {paper} and {traced}")
        sides.append(traced)
    return StackComparison(form, channels, inputs, size, bias, relu, same, sides[0], sides[1], _experiments())


def _experiments() -> tuple[Experiment, ...]:
    from vggcost import analyze

    found = []
    for model, note in _EXPERIMENTS:
        table = analyze(model)
        convs = sum(layer.params for layer in table.layers if layer.conv_activations)
        errors = [
            fact for fact in facts_of(model) if fact.quantity == "top-1 error" and fact.protocol in (AT_256, AGAINST_B)
        ]
        error = f"{errors[0].value} {errors[0].unit}" if errors else ""
        found.append(Experiment(model, title_of(model), convs, told(table.totals.macs), error, note))
    return tuple(found)


def _traced(k: int, layers: int, channels: int, inputs: int, size: int, bias: bool, relu: bool, same: bool) -> Side:
    import torch
    from torch import nn

    from vggcost import analyze

    modules: list[nn.Module] = []
    with torch.device("meta"):
        for layer in range(layers):
            width = channels if layer else inputs
            modules.append(nn.Conv2d(width, channels, k, padding=k // 2 if same else 0, bias=bias))
            modules += [nn.ReLU(inplace=True)] if relu else []
        net = nn.Sequential(*modules)
    table = analyze(net, f"{inputs}x{size}x{size}", mode="training")
    convs = [row for row in table.layers if row.conv_activations]
    # What the loss keeps is not the layers'; nor, with ReLU, the input, which the ReLU before keeps.
    saved = sum(row.saved_bytes or 0 for row in table.layers if row.path != "(loss)")
    saved -= 4 * inputs * size * size if relu else 0
    field = convs[-1].receptive_field
    assert isinstance(field, int)
    return Side(
        weights=table.totals.weights,
        params=table.totals.params,
        macs=told(table.totals.macs),
        activations=told(table.totals.conv_activations),
        saved_bytes=saved,
        receptive_field=field,
        nonlinearities=sum(row.kind == "ReLU" for row in table.layers),
        output_size=convs[-1].output_shape[-1],
    )
