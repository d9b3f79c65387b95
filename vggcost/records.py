"""The records that one stage hands to the next. Standard library only.

Every count is an exact Python int. `CostTable` is also the saved JSON: whatever is shown or
checked is made from it, with no model and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from vggcost.arguments import MOST_NUMBERS, Arguments, GivenRecord, InputRecord, Shape, rebuilt
from vggcost.errors import InputError
from vggcost.observed import FORWARD, FunctionRecord, ModuleRecord, OpRecord, ParamRecord, StorageRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CHECK",
    "FORWARD",
    "MOST_NUMBERS",
    "NOT_RUN",
    "OF_RUN",
    "OF_TRAINING",
    "PARAMETERS",
    "SCHEMA",
    "Arguments",
    "Assumption",
    "Convention",
    "CostTable",
    "Coverage",
    "FunctionRecord",
    "GivenRecord",
    "InputRecord",
    "LayerCost",
    "MemoryLine",
    "ModuleRecord",
    "OpRecord",
    "ParamRecord",
    "Published",
    "Recount",
    "RunInfo",
    "Shape",
    "Step",
    "StorageRecord",
    "Totals",
    "Trace",
    "absent",
    "rebuilt",
    "told",
]

SCHEMA = 1
"""Version of the saved JSON; 1 is that of the first release."""

Extent = int | tuple[int, ...] | None
"""A length in input pixels: one int when all axes agree, one per axis otherwise, None: no map."""


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that someone published of a model, as its source prints it.

    Attributes:
        quantity: `params`, `MACs` (on the input that the model is made for) or `weight layers`.
        value: the digits, such as `138` or `15.470`.
        unit: the prefix: `M`, `G` or nothing.
        source: who printed it, and where.
    """

    quantity: str
    value: str
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Recount:
    """What another program counted of a model: module, its own operator's name, count; or why it could not."""

    counter: str
    counts: tuple[tuple[str, str, int], ...]
    total: int | None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What was run, and how to run it again.

    Attributes:
        model: the canonical name.
        title: what people call it.
        aliases: its other names.
        source: where it came from: `zoo`, `file`, `module` or `object`.
        command: the command line that makes the table again; empty if there is none.
        inputs: the tensors: names, shapes and dtypes.
        batch: N.
        mode: `inference` or `training`.
        loss: the loss of a training step, empty in inference.
        note: what else a reader of the figures must know, in a sentence.
        device: `meta`, or `cpu` for a run on real tensors.
        versions: of python, torch and vggcost.
        param_dtypes: those of the parameters, that of most bytes first; empty: not known, or no parameters.
        buffer_dtypes: those of the buffers, likewise.
    """

    model: str
    title: str
    aliases: tuple[str, ...]
    source: str
    command: str
    inputs: tuple[InputRecord, ...]
    batch: int
    mode: str
    loss: str = ""
    note: str = ""
    device: str = "meta"
    versions: tuple[tuple[str, str], ...] = ()
    param_dtypes: tuple[str, ...] = ()
    buffer_dtypes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """How a training step is taken.

    Attributes:
        optimizer: its name in torch, lower case: `sgd`, `sgd-momentum`, `adam`, …; empty: none.
        options: keyword arguments of the optimizer.
        freeze: shell patterns of parameters that are not trained.
        dtype: of parameters, buffers and floating inputs; empty: as the model has them.
        accumulate: backward passes before the optimizer steps.
        device: whose defaults are taken: `cpu` or `cuda`; the optimizer works on one tensor at a time or
            on all at once, and attention takes the kernel that torch would choose there.
        attention: the kernel of scaled-dot-product attention: `auto`, `math`, `flash` or `efficient`.
        threads: of the CPU, whose convolutions take memory for each; 0: leave out what its library takes.
    """

    optimizer: str = "sgd"
    options: tuple[tuple[str, Any], ...] = ()
    freeze: tuple[str, ...] = ()
    dtype: str = ""
    accumulate: int = 1
    device: str = "cpu"
    attention: str = "auto"
    threads: int = 2


CHECK = "check"
"""What a value that is read only to raise an error is listed as, in the place of an op's name."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """What was taken for granted where the outcome of an op depends on data that a run on meta does not have."""

    op: str
    calls: int
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run on meta tensors did.

    `update` is the optimizer's step as a loop over the tensors takes it, in place of which `ops` may have fewer that
    work on all tensors at once.
    """

    run: RunInfo
    modules: tuple[ModuleRecord, ...]
    ops: tuple[OpRecord, ...]
    params: tuple[ParamRecord, ...]
    storages: tuple[StorageRecord, ...]
    attention: tuple[str, ...] = ()
    assumed: tuple[Assumption, ...] = ()
    functions: tuple[FunctionRecord, ...] = ()
    update: tuple[OpRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Convention:
    """What is counted as a FLOP, in one sentence, with its prices.

    Attributes:
        name: how people ask for it.
        flops_per_mac: FLOPs of one multiply-accumulate.
        sentence: what is counted, for people.
        bias: whether adding a bias counts, 1 per output element.
        prices: for an op, or a group of ops (see `vggcost.cost.ops`), the rule that prices it.
        layer_prices: for a kind of layer the rule that prices all of its ops at once.
        function_prices: for a public function of torch the rule that prices all of its ops at once (see
            `vggcost.cost.functions`); `*` stands for all functions that are not named.
        exhaustive: whether it claims to price everything that computes; an op of a group without a
            price is then unknown to it, and free by its rule otherwise.
    """

    name: str
    flops_per_mac: int
    sentence: str
    bias: bool = False
    prices: tuple[tuple[str, str], ...] = ()
    layer_prices: tuple[tuple[str, str], ...] = ()
    function_prices: tuple[tuple[str, str], ...] = ()
    exhaustive: bool = False


class LayerCost(NamedTuple):
    """What one call of one layer costs; lengths in input pixels, memory in bytes.

    What a training step alone tells (`OF_TRAINING`) is None in inference.
    """

    path: str
    kind: str
    call: int
    output_shape: Shape
    params: int
    weights: int
    biases: int
    trainable: int
    param_bytes: int
    macs: int | None
    flops: int | None
    backward_macs: int | None
    backward_flops: int | None
    activations: int | None
    activation_bytes: int | None
    conv_activations: int | None
    saved_bytes: int | None
    receptive_field: Extent
    jump: Extent
    working: str
    attributes: tuple[tuple[str, Any], ...] = ()


SUMMED = (
    "params weights biases trainable param_bytes macs flops backward_macs backward_flops "
    "activations activation_bytes conv_activations saved_bytes"
).split()


PARAMETERS = "parameters"
"""The mode of a table that was made without a run, since no input was given."""

OF_RUN = ("macs", "flops", "activations", "activation_bytes", "conv_activations")
"""What only a run tells; None, and not 0, where there was none."""

OF_TRAINING = ("backward_macs", "backward_flops", "saved_bytes")
"""What only a training step tells; None, and not 0, where none was traced."""


def absent(mode: str) -> tuple[str, ...]:
    """Return what a run in this mode does not tell.

    Example:
        >>> absent("training")
        ()
    """
    if mode == PARAMETERS:
        return (*OF_RUN, *OF_TRAINING)
    return () if mode == "training" else OF_TRAINING


def told(value: int | None) -> int:
    """Return a figure that only a run tells.

    Raises:
        InputError: there was none.

    Example:
        >>> told(3)
        3
    """
    if value is None:
        raise InputError(NOT_RUN)
    return value


NOT_RUN = "the model was not run, so that only its parameters are known; give a model with a forward, and what goes in with -i"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all layers. `macs` and `flops` are the forward pass's; what the run does not tell is None."""

    params: int
    weights: int
    biases: int
    trainable: int
    param_bytes: int
    macs: int | None
    flops: int | None
    backward_macs: int | None
    backward_flops: int | None
    activations: int | None
    activation_bytes: int | None
    conv_activations: int | None
    saved_bytes: int | None

    @property
    def step_flops(self) -> int | None:
        """FLOPs of the forward and the backward pass; None where no training step was traced."""
        return None if self.backward_flops is None else told(self.flops) + self.backward_flops

    @classmethod
    def of(cls, layers: Sequence[LayerCost], mode: str) -> Totals:
        """Add up the layers of a run in this mode, column by column."""
        unknown = absent(mode)
        known = {name: sum(map(attrgetter(name), layers)) for name in SUMMED if name not in unknown}
        return cls(**known, **dict.fromkeys(unknown))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """One definition of "how much memory is that?"; None where this run cannot tell."""

    definition: str
    elements: int | None
    bytes: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often each op was counted, free by the convention's rule, or unknown to it; and what was assumed."""

    counted: tuple[tuple[str, int], ...]
    free: tuple[tuple[str, int], ...]
    unknown: tuple[tuple[str, int], ...]
    assumed: tuple[Assumption, ...] = ()

    @property
    def sized(self) -> tuple[Assumption, ...]:
        """The assumptions that figures may depend on, which are all but that checks pass, which would have ended the run."""
        return tuple(item for item in self.assumed if item.op != CHECK)


@dataclass(frozen=True, slots=True)
class CostTable:
    """The cost of one model under one convention, layer by layer.

    `weight_layers` is the depth as papers give it: the most layers with weights that one path from
    the input to the output passes.
    """

    run: RunInfo
    convention: Convention
    layers: tuple[LayerCost, ...]
    containers: tuple[tuple[str, str], ...]
    totals: Totals
    memory: tuple[MemoryLine, ...]
    coverage: Coverage
    weight_layers: int | None
    schema: int = field(default=SCHEMA)

    def to_json(self) -> str:
        """Write the table as JSON: integers raw, keys sorted, the same bytes every run."""
        from vggcost.saved import dump

        return dump(self)

    @classmethod
    def from_json(cls, text: str) -> CostTable:
        """Read a table that `to_json` wrote.

        Raises:
            TableError: the text is not JSON, not a table, of another schema, or its totals are not
                the sums of its layers.
        """
        from vggcost.saved import read

        return read(text)

    def to_frame(self) -> pd.DataFrame:
        """Return the layers as a pandas DataFrame, one row a layer call."""
        import pandas as pd

        names = [name for name in LayerCost._fields if name != "attributes"]
        rows = [[getattr(layer, name) for name in names] for layer in self.layers]
        return pd.DataFrame(rows, columns=names)

    def _repr_html_(self) -> str:
        from vggcost.report import notebook

        return notebook(self)
