"""Many models in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggcost.sweeps import Limits, Store, jobs_of, models_of, run_jobs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sweep"]


def sweep(
    patterns: str | Sequence[str],
    output: str | Path,
    *,
    inputs: Sequence[str] = ("",),
    batches: Sequence[int] = (1,),
    modes: Sequence[str] = ("inference",),
    convention: str = "torch",
    dtype: str = "",
    workers: int = 1,
    backend: str = "loky",
    scheduler: str = "",
    timeout: float = 300.0,
    memory: int | None = None,
    retry: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Say what many models cost, each traced in a process apart; what is in the file already is not traced again.

    Args:
        patterns: names of models, or with wildcards: `timm:*`, `torchvision:resnet*`, `vgg*`.
        output: a file that ends in `.parquet`, `.csv` or `.jsonl`; each result is appended as it comes.
        inputs: as for `-i`, each run on its own; empty: what a model is made for.
        batches: values of N.
        modes: `inference`, `training`.
        convention: as for `analyze`.
        dtype: as for `analyze`.
        workers: how many run at once, with `loky`.
        backend: `loky`, `dask` or `ray`.
        scheduler: the address of Dask's scheduler, or of Ray's head.
        timeout: seconds that one of them may take.
        memory: resident bytes that the process that traces one may take; None: any.
        retry: trace again what failed before.
        options: keyword arguments of the factories.

    Returns:
        One row for each model, input, batch and mode asked for, with its status and why it failed.

    Raises:
        VggcostError: nothing matches, the file cannot be written, or the machines cannot be reached; never that a
            model fails.

    Example:
        `sweep("vgg*", "vgg.csv").set_index("model").params["vgg-d"]` is 138357544.
    """
    import pandas as pd

    names = models_of([patterns] if isinstance(patterns, str) else patterns)
    jobs = jobs_of(names, inputs, batches, modes, convention=convention, dtype=dtype, options=options)
    limits = Limits(timeout, memory, os.getcwd())
    with Store(output) as store:
        run_jobs(
            jobs, store, limits, workers=workers if backend == "loky" else None, backend=backend, scheduler=scheduler,
            retry=retry,
        )  # fmt: skip
        return pd.DataFrame([store.get(job.key) for job in jobs])
