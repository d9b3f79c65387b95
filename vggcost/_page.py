"""All that the page of a model shows: its table, how it follows the batch and the dtype, a training step, claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import sub
from pathlib import Path
from typing import Any

from vggcost import claims
from vggcost._analyze import Inputs, Said, Traced, analyze, loaded_model, prepared, traced, uncollected
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
from vggcost.units import exact

__all__ = ["page_of"]


@uncollected
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
    scaling, needs = _follows(asked, first, run, step is not None)
    return table, Beside(scaling, _findings(table, said), step, where(step) if step is not None else "", needs)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a page was asked for, with the model loaded once.

    A training step follows another, and is the first one again where the model is `steady`; such a step `saves` what a
    training run without its backward pass does. Both are seen at the batch that is shown, and spare most of the runs.
    """

    model: Any
    inputs: Inputs
    said: Said
    loaded: Loaded | None
    batch: int
    steady: bool = False
    saves: bool = False

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
        step = asked.taken(said, 1 if self.steady else 2) if trains else None
        if step is not None and self.saves:
            run = replace(traced(self.model, asked.inputs, replace(said, saved=False), self.loaded), training=step)
        else:
            run = traced(self.model, asked.inputs, said, self.loaded)
        return Sample(run.table(), len(run.trace.ops), asked.alive(run.trace, said) | _trained_in(step))

    def spared(self, first: Sample, run: Traced) -> _Asked:
        """See from the first run what the others need not do."""
        one = self.taken(self.said, 1)
        if one is None or not _trained_in(one).items() <= first.lives.items():
            return self
        saves = run.training is not None and replace(run, training=one).table().memory == first.table.memory
        return replace(self, steady=True, saves=saves)

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

    def taken(self, said: Said, steps: int) -> Trace | None:
        """Take training steps, and return the last; None where the model cannot be trained."""
        from vggcost.trace.step import trace_step

        try:
            loaded, run, arguments = self._prepared(said)
            assume = {**loaded.assume, **said.assume}
            kept, loss = Step("none", dtype=said.dtype, threads=0), loss_of(said.loss)
            return trace_step(loaded.model, run, kept, criterion=loss, arguments=arguments, assume=assume, steps=steps)
        except VggcostError:
            return None

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


def _trained_in(step: Trace | None) -> dict[str, Sequence[int]]:
    return _trained(timeline(step).total, gradient_bytes(step)) if step is not None else {}


def _trained(total: Sequence[int], gradients: int) -> dict[str, Sequence[int]]:
    return {"peak": total, "states": (2 * gradients,)}


def _follows(asked: _Asked, first: Sample, run: Traced, trains: bool) -> tuple[Scaling, dict[str, Need]]:
    """Find how the figures follow the batch and the dtype."""
    told, said = first.table.run, asked.said
    if why := _once(first, said):
        needs = {name: Need(max(series)) for name, series in first.lives.items() if series}
        return Scaling.unknown(why, told.batch), needs
    asked = asked.spared(first, run) if trains else asked
    own, *_ = dtypes = offered(told)
    scaling, needs = scaled(
        lambda batch, dtype: asked.sample(batch, said.dtype if dtype == own else dtype, trains),
        first,
        dtypes,
        _fixed(asked.inputs),
    )
    return replace(scaling, no_dtype=why_not_offered(told) or scaling.no_dtype), needs


MOST_OPS = 15_000
"""Ops of a model that is run for other batches and dtypes, eight times or so with a training step each."""


def _once(first: Sample, said: Said) -> str:
    """Say why a model is run only once."""
    table = first.table
    if first.ops > MOST_OPS:
        return f"it has {exact(first.ops)} ops, and one of more than {exact(MOST_OPS)} is run once for a page"
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
