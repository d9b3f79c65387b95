"""All that the page of a model shows: its table, how it follows the batch and the dtype, a training step, claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vggcost import claims
from vggcost._analyze import Inputs, Said, analyze, loaded_model, prepared, run_once
from vggcost._memory import simulated
from vggcost.claims import Finding
from vggcost.cost.memory import gradient_bytes, timeline
from vggcost.cost.step import MemoryReport
from vggcost.errors import ModelError, VggcostError
from vggcost.load import Loaded, loss_of
from vggcost.records import CostTable, Step, Trace
from vggcost.report.memory import where
from vggcost.report.model_page import Beside
from vggcost.report.needs import Need, needs_of
from vggcost.report.scaling import Scaling, scaling

__all__ = ["analyze_scaled", "page_of"]


def page_of(model: Any, inputs: Inputs, said: Said) -> tuple[CostTable, Beside]:
    """Find out what the page of a model shows.

    Args:
        model: as for `analyze`.
        inputs: as for `analyze`.
        said: the other arguments of `analyze`.

    Raises:
        VggcostError: as for `analyze`; what else the page shows is left out where it cannot be had.
    """
    said = replace(said, loss=loss_of(said.loss))  # found once
    loaded = None if said.fuse else loaded_model(model, said.options)
    table, found = analyze_scaled(model, inputs, said, loaded)
    step = _step(model, inputs, said, loaded) if table.run.device == "meta" else None
    needs = (
        _needs(model, inputs, said, loaded, trains=step is not None, scales=not found.reason)
        if table.run.device == "meta"
        else {}
    )
    return table, Beside(found, _findings(table, said), step, where(step) if step is not None else "", needs)


def _needs(
    model: Any, inputs: Inputs, said: Said, loaded: Loaded | None, *, trains: bool, scales: bool
) -> dict[str, Need]:
    """Find the most that is alive at once in a run and, if it trains, in a training step."""
    from vggcost.trace import trace_model
    from vggcost.trace.step import trace_step

    def alive(mode: str, batch: int, dtype: str) -> Trace:
        found, run, arguments = prepared(model, inputs, batch, mode, (), said.options, fuse=said.fuse, loaded=loaded)
        assume = {**found.assume, **said.assume}
        if mode == "inference":
            return trace_model(found.model, run, arguments=arguments, assume=assume, dtype=dtype)
        step = Step("none", dtype=dtype)
        return trace_step(found.model, run, step, criterion=loss_of(said.loss), arguments=arguments, assume=assume)

    def lives(batch: int, dtype: str) -> dict[str, Sequence[int]]:
        dtype = dtype if scales else said.dtype
        line = timeline(alive("inference", batch, dtype))
        held = tuple(map(sum, zip(line.bytes["param"], line.bytes["buffer"], strict=True)))
        known: dict[str, Sequence[int]] = {"held": held, "live": [a - b for a, b in zip(line.total, held, strict=True)]}
        if trains:
            trace = alive("training", batch, dtype)
            known |= {"peak": timeline(trace).total, "states": (2 * gradient_bytes(trace),)}
        return known

    try:
        return needs_of(lives, said.batch, scales=scales)
    except VggcostError:  # the table says why it does not run so
        return {}


def _step(model: Any, inputs: Inputs, said: Said, loaded: Loaded | None) -> MemoryReport | None:
    try:
        loaded, run, arguments = prepared(
            model, inputs, said.batch, "training", (), said.options, fuse=said.fuse, loaded=loaded
        )
        assume = {**loaded.assume, **said.assume}
        return simulated(loaded, run, Step("none", dtype=said.dtype), arguments, assume, loss_of(said.loss))
    except VggcostError:  # the memory section says why it cannot be trained
        return None


def _findings(table: CostTable, said: Said) -> tuple[Finding, ...]:
    """Recompute what was published of a net of the zoo, if it is run as it was published."""
    if table.run.source != "zoo" or said != Said(saved=said.saved):
        return ()
    try:
        about = claims.about(table.run.model)
    except ModelError:
        return ()
    return tuple(claims.check(about, analyze))


def analyze_scaled(model: Any, inputs: Inputs, said: Said, loaded: Loaded | None = None) -> tuple[CostTable, Scaling]:
    """Analyze a model, and run it for other batches and dtypes as well.

    Args:
        model: as for `analyze`.
        inputs: as for `analyze`.
        said: the other arguments of `analyze`.
        loaded: the model, if it is loaded already.

    Raises:
        VggcostError: as for `analyze`, of the first run alone; the others only make that the scaling is not known.

    Example:
        Of VGG-16 every figure of a layer follows the rule of its column; two lines of the memory section do not.

        >>> analyze_scaled("vgg16", None, Said())[1].reason
        ''
    """
    table = run_once(model, inputs, said, loaded)
    if why := _fixed(table, inputs, said):
        return table, Scaling.unknown(why)

    def run(batch: int, dtype: str) -> CostTable:
        if (batch, dtype) == (table.run.batch, "float32"):
            return table
        return run_once(model, inputs, replace(said, batch=batch, dtype=dtype), loaded)

    try:
        return table, scaling(run, table.run.batch)
    except VggcostError as error:
        return table, Scaling.unknown(f"it does not run for other batches or dtypes: {error}")


def _fixed(table: CostTable, inputs: Inputs, said: Said) -> str:
    """Say why a model is run only once."""
    if said.dtype not in ("", "float32"):
        return f"it was run in {said.dtype}; a run in float32 tells"
    if said.fallback and table.run.device != "meta":
        return "it was run on real tensors"
    if table.coverage.assumed:
        return "sizes of it depend on data"
    if said.fuse:
        return "it was fused"
    texts = (inputs,) if isinstance(inputs, str) else inputs
    if texts is not None and not (isinstance(texts, (tuple, list)) and all(isinstance(text, str) for text in texts)):
        return "its inputs were given with their batch"
    return ""
