"""Recount a model by independent ways, and explain each gap: the whole way from a name to a verification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from vggcost._analyze import Inputs, prepared
from vggcost.cost import convention, cost_table
from vggcost.cost.verify import Check, Verification, check_counter, check_params, check_published
from vggcost.load.given_back import given_back
from vggcost.load.nested import apart
from vggcost.records import CostTable, Published, told

if TYPE_CHECKING:
    from torch import nn

__all__ = ["verify"]

# published quantity: what ours is, and whether it holds only for the input that the model is made for
_QUANTITIES: dict[str, tuple[Callable[[CostTable], int], bool]] = {
    "params": (lambda table: table.totals.params, False),
    "MACs": (lambda table: told(table.totals.macs), True),
    "weight layers": (lambda table: told(table.weight_layers), False),
}


@apart
@given_back()
def verify(
    model_or_name: str | nn.Module,
    inputs: Inputs = None,
    *,
    batch: int = 1,
    assume: Mapping[str, int] | None = None,
    **options: Any,
) -> Verification:
    """Count a model again by independent ways, and explain every gap.

    The ways are fvcore's FlopCountAnalysis and torch's FlopCounterMode, both on real tensors on the CPU, the
    model's own parameters, and published figures where there are any. A model that is given by name is built
    with real weights for this; a module is left exactly as it was.

    Args:
        model_or_name: as for `analyze`.
        inputs: as for `analyze`.
        batch: N, for inputs given as a string or not at all.
        assume: as for `analyze`.
        options: keyword arguments of the model's factory.

    Returns:
        One check a way, with our figure, the other one, and the reasons of the gap; `unexplained` lists what has none.

    Raises:
        VggcostError: as for `analyze`.

    Example:
        >>> verify("alexnet").unexplained
        ()
    """
    from vggcost.trace import trace_model
    from vggcost.trace.recount import recount

    loaded, run, arguments = prepared(model_or_name, inputs, batch, "inference", (), options, real=True)
    trace = trace_model(loaded.model, run, arguments=arguments, assume={**loaded.assume, **(assume or {})})
    table = cost_table(trace, convention("torch"))
    checks = [check_counter(trace, found) for found in recount(loaded.model, arguments)]
    checks.append(check_params(table, sum(p.numel() for p in loaded.model.parameters())))
    usual = inputs is None and batch == 1
    checks += [check for found in loaded.published if (check := _published(found, table, usual)) is not None]
    return Verification(trace.run, tuple(checks))


def _published(found: Published, table: CostTable, usual: bool) -> Check | None:
    """Compare a published figure, if it is one that we count and holds for this input."""
    if found.quantity not in _QUANTITIES:
        return None
    ours, of_the_input = _QUANTITIES[found.quantity]
    return check_published(found, ours(table)) if usual or not of_the_input else None
