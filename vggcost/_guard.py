"""From what a project says of a model to what it costs now."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggcost._analyze import Inputs, analyze
from vggcost._memory import memory
from vggcost.guard import Entry, Spec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["measure"]


def measure(
    spec: Spec,
    model: str | nn.Module | None = None,
    inputs: Inputs = None,
    *,
    peak: bool = False,
    folder: Path | None = None,
) -> Entry:
    """Find what a model costs.

    Args:
        spec: which one, and how it is run.
        model: what to take in the place of `spec.source`; a module is left exactly as it was.
        inputs: as for `analyze`, in the place of `spec.input`.
        peak: whether `peak_bytes` is to be known of a run in inference too; it is that of a training step with SGD.
        folder: where relative paths of the spec begin; None: the working directory.

    Raises:
        VggcostError: as for `analyze`.
    """
    given: Any = inputs
    if inputs is None and spec.input:
        given = [Path(text) if text.endswith(".json") else text for text in spec.input]
        given = given[0] if len(given) == 1 else tuple(given)
    options = {"batch": spec.batch, "assume": dict(spec.assume), "loss": spec.loss, **dict(spec.options)}
    named = model if model is not None else spec.source
    with contextlib.chdir(folder) if folder is not None else contextlib.nullcontext():
        table = analyze(named, given, mode=spec.mode, convention=spec.convention, **options)
        step = memory(named, given, **options) if peak or spec.mode == "training" else None
    return Entry(spec, table, step.totals.peak_bytes if step is not None else None)
