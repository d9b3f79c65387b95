"""All that the page of a model shows: its table, how it follows the batch and the dtype, a training step, claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import sub
from pathlib import Path
from typing import Any

from vggcost import claims
from vggcost._analyze import Inputs, Said, analyze, loaded_model, prepared, traced
from vggcost._memory import simulated
from vggcost._scaled import Sample, scaled
from vggcost.claims import Finding
from vggcost.cost.memory import gradient_bytes, timeline
from vggcost.cost.step import MemoryReport
from vggcost.errors import ModelError, VggcostError
from vggcost.load import JsonText, Loaded, loss_of, to_arguments, with_batch
from vggcost.records import Arguments, CostTable, RunInfo, Step, Trace
from vggcost.report.dtypes import offered, why_not_offered
from vggcost.report.memory import where
from vggcost.report.model_page import Beside
from vggcost.report.needs import Need
from vggcost.report.scaling import Scaling

__all__ = ["page_of"]


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
    run = traced(model, inputs, said, loaded)
    table = run.table()
    asked = _Asked(model, inputs, said, loaded, table.run.batch)
    step = asked.step() if table.run.device == "meta" else None
    trained = _trained(step.timeline.total, step.totals.gradient_bytes) if step is not None else {}
    first = Sample(table, len(run.trace.ops), asked.alive(run.trace, said) | trained)
    scaling, needs = _follows(asked, first, step is not None)
    return table, Beside(scaling, _findings(table, said), step, where(step) if step is not None else "", needs)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a page was asked for, with the model loaded once."""

    model: Any
    inputs: Inputs
    said: Said
    loaded: Loaded | None
    batch: int

    def of(self, batch: int) -> _Asked:
        """Ask for another batch; where the shapes were given whole, it takes the place of the one they all start with."""
        said = replace(self.said, batch=batch)
        if batch == self.batch:
            return self
        if self.batch == self.said.batch:
            return replace(self, said=said, batch=batch)
        given = to_arguments(self.inputs, self.said.batch)
        whole = all(record.shape[:1] == (self.batch,) for record in given.inputs)
        inputs = with_batch(given, batch, self.batch) if whole else self.inputs
        return replace(self, inputs=inputs, said=said, batch=batch)

    def sample(self, batch: int, dtype: str, trains: bool) -> Sample:
        """Run the model for a batch and a dtype, on meta; an empty dtype leaves its tensors as they are."""
        asked = self.of(batch)
        said = replace(asked.said, dtype=dtype, fallback="")
        run = traced(self.model, asked.inputs, said, self.loaded)
        known = asked.alive(run.trace, said) | (asked.trained(said) if trains else {})
        return Sample(run.table(), len(run.trace.ops), known)

    def alive(self, trace: Trace, said: Said) -> dict[str, Sequence[int]]:
        """Say what is alive during the ops of an inference; nothing where the model does not run so."""
        if trace.run.device != "meta":
            return {}
        try:
            if said.mode != "inference":
                inference = replace(said, mode="inference", saved=False)
                trace = traced(self.model, self.inputs, inference, self.loaded).trace
        except VggcostError:
            return {}
        line = timeline(trace)
        held = tuple(map(sum, zip(line.bytes["param"], line.bytes["buffer"], strict=True)))
        return {"held": held, "live": tuple(map(sub, line.total, held))}

    def trained(self, said: Said) -> dict[str, Sequence[int]]:
        """Say what is alive during the ops of a training step; nothing where the model cannot be trained."""
        from vggcost.trace.step import trace_step

        try:
            loaded, run, arguments = self._prepared(said)
            assume = {**loaded.assume, **said.assume}
            kept, loss = Step("none", dtype=said.dtype, threads=0), loss_of(said.loss)
            step = trace_step(loaded.model, run, kept, criterion=loss, arguments=arguments, assume=assume)
        except VggcostError:
            return {}
        return _trained(timeline(step).total, gradient_bytes(step))

    def _prepared(self, said: Said) -> tuple[Loaded, RunInfo, Arguments]:
        return prepared(
            self.model, self.inputs, said.batch, "training", (), said.options, fuse=said.fuse, loaded=self.loaded
        )

    def step(self) -> MemoryReport | None:
        """Simulate a training step; None: the memory section says why it cannot be trained."""
        said = self.said
        try:
            loaded, run, arguments = self._prepared(said)
            assume = {**loaded.assume, **said.assume}
            return simulated(
                loaded, run, Step("none", dtype=said.dtype, threads=0), arguments, assume, loss_of(said.loss)
            )
        except VggcostError:
            return None


def _trained(total: Sequence[int], gradients: int) -> dict[str, Sequence[int]]:
    return {"peak": total, "states": (2 * gradients,)}


def _follows(asked: _Asked, first: Sample, trains: bool) -> tuple[Scaling, dict[str, Need]]:
    """Find how the figures follow the batch and the dtype."""
    run, said = first.table.run, asked.said
    if why := _once(first.table, said):
        needs = {name: Need(max(series)) for name, series in first.lives.items() if series}
        return Scaling.unknown(why, run.batch), needs
    own, *_ = dtypes = offered(run)
    scaling, needs = scaled(
        lambda batch, dtype: asked.sample(batch, said.dtype if dtype == own else dtype, trains),
        first,
        dtypes,
        _fixed(asked.inputs),
    )
    return replace(scaling, no_dtype=why_not_offered(run) or scaling.no_dtype), needs


def _once(table: CostTable, said: Said) -> str:
    """Say why a model is run only once."""
    if table.run.device != "meta":
        return "it was run on real tensors"
    if table.coverage.sized:
        return "sizes of it depend on data"
    return "it was fused" if said.fuse else ""


def _fixed(inputs: Any) -> str:
    """Say why a model is run for one batch only."""
    texts = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    asked = inputs is None or all(isinstance(text, (str, Path, JsonText)) for text in texts)
    return "" if asked else "its inputs were given with their batch"


def _findings(table: CostTable, said: Said) -> tuple[Finding, ...]:
    """Recompute what was published of a net of the zoo, if it is run as it was published."""
    if table.run.source != "zoo" or said != Said(saved=said.saved):
        return ()
    try:
        about = claims.about(table.run.model)
    except ModelError:
        return ()
    return tuple(claims.check(about, analyze))
