"""Where jobs run: joblib on this machine, or on many with Dask or Ray."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from vggcost.errors import OptionError, SweepError, one_line
from vggcost.sweeps.jobs import Job
from vggcost.sweeps.rows import Row
from vggcost.sweeps.watch import Limits, work, work_for

__all__ = ["BACKENDS", "Lost", "results"]

_PATIENCE = 15.0  # seconds in which a scheduler must answer
_MISSING = "{backend} needs {module}, which is not installed; pip install 'vggcost[sweep]'"


class Lost(Exception):
    """A worker went, and jobs with it."""


def results(jobs: Sequence[Job], limits: Limits, workers: int | None, backend: str, scheduler: str) -> Iterator[Row]:
    """Run jobs, and yield each result as it comes.

    Args:
        jobs: what to run.
        limits: what one of them may take.
        workers: how many run at once; None: one with loky, all there are with Dask and Ray.
        backend: one of `BACKENDS`.
        scheduler: the address of Dask's scheduler, or of Ray's head.

    Raises:
        OptionError: the backend is unknown, its library is missing, or nobody answers at the address.
        Lost: a worker went while it worked; what has not come is to be asked for again.
    """
    if backend not in BACKENDS:
        raise OptionError(f"unknown backend {backend!r}; choose one of: {', '.join(BACKENDS)}")
    joblib = _imported("joblib", backend)
    with ExitStack() as stack:
        way = BACKENDS[backend](scheduler, stack)
        stack.enter_context(joblib.parallel_config(**way.config))
        run = joblib.Parallel(n_jobs=workers or way.workers, return_as="generator_unordered", batch_size=1)
        try:
            yield from run(joblib.delayed(way.task)(job, limits) for job in jobs)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except Exception as error:  # a job always gives a row: this is the backend's
            raise Lost(one_line(error)) from error


@dataclass(frozen=True, slots=True)
class _Way:
    """How joblib runs jobs: its configuration, how many at once, and the function that runs one."""

    config: dict[str, Any]
    workers: int
    task: Callable[[Job, Limits], Row] = work


def _loky(scheduler: str, stack: ExitStack) -> _Way:
    if scheduler:
        raise OptionError("--scheduler goes with --backend dask or ray; loky's workers are all here")
    return _Way({"backend": "loky"}, 1, partial(work_for, os.getpid()))


def _dask(scheduler: str, stack: ExitStack) -> _Way:
    distributed = _imported("distributed", "dask")
    if not scheduler:
        raise OptionError("--backend dask needs --scheduler ADDRESS, such as tcp://127.0.0.1:8786")
    try:
        client = stack.enter_context(distributed.Client(scheduler, timeout=_PATIENCE, set_as_default=False))
    except Exception as error:
        raise SweepError(f"no scheduler of Dask answers at {scheduler}: {one_line(error)}") from error
    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise SweepError(f"the scheduler at {scheduler} has no workers; start some: dask worker {scheduler}")
    return _Way({"backend": "dask", "client": client}, -1)


def _ray(scheduler: str, stack: ExitStack) -> _Way:
    """Let joblib's threads wait for tasks of Ray: joblib's own backend for Ray cannot give results as they come."""
    ray = _imported("ray", "ray")
    place = f"at {scheduler}" if scheduler else "here"
    try:
        if (address := re.fullmatch(r"([^:/]+):(\d+)", scheduler)) is not None:  # Ray itself waits for minutes
            socket.create_connection((address[1], int(address[2])), _PATIENCE).close()
        ray.init(address=scheduler or "auto", log_to_driver=False, logging_level="ERROR")
    except Exception as error:
        raise SweepError(f"no cluster of Ray answers {place} (ray start --head): {one_line(error)}") from error
    stack.callback(ray.shutdown)
    remote = ray.remote(num_cpus=1, max_retries=3)(work)
    return _Way(
        {"backend": "threading"},
        int(ray.cluster_resources()["CPU"]),
        lambda job, limits: ray.get(remote.remote(job, limits)),
    )


BACKENDS: dict[str, Callable[[str, ExitStack], _Way]] = {"loky": _loky, "dask": _dask, "ray": _ray}
"""What puts joblib to work on a kind of cluster."""


def _imported(module: str, backend: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise OptionError(_MISSING.format(backend=f"--backend {backend}", module=module)) from None
