"""Where jobs run: joblib on this machine, or on many with Dask or Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from vggcost.errors import OptionError, SweepError, one_line
from vggcost.sweeps.jobs import Job
from vggcost.sweeps.rows import Row
from vggcost.sweeps.watch import Limits, work

__all__ = ["BACKENDS", "Lost", "results"]

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
        raise OptionError(f"unknown backend {backend!r}; choose of: {', '.join(BACKENDS)}")
    joblib = _imported("joblib", backend)
    with ExitStack() as stack:
        stack.enter_context(BACKENDS[backend](joblib, scheduler, stack))
        count = workers if workers is not None else 1 if backend == "loky" else -1
        run = joblib.Parallel(n_jobs=count, return_as="generator_unordered", batch_size=1)
        try:
            yield from run(joblib.delayed(work)(job, limits) for job in jobs)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except Exception as error:  # a job always gives a row: this is the backend's
            raise Lost(one_line(error)) from error


Context = AbstractContextManager[Any]


def _loky(joblib: Any, scheduler: str, stack: ExitStack) -> Context:
    if scheduler:
        raise OptionError("--scheduler goes with --backend dask or ray; loky's workers are all here")
    return joblib.parallel_config(backend="loky")  # type: ignore[no-any-return]


def _dask(joblib: Any, scheduler: str, stack: ExitStack) -> Context:
    distributed = _imported("distributed", "dask")
    if not scheduler:
        raise OptionError("--backend dask needs --scheduler ADDRESS, such as tcp://127.0.0.1:8786")
    try:
        client = stack.enter_context(distributed.Client(scheduler, timeout=15, set_as_default=False))
    except Exception as error:
        raise SweepError(f"no scheduler of Dask answers at {scheduler}: {one_line(error)}") from error
    if not client.scheduler_info()["workers"]:
        raise SweepError(f"the scheduler at {scheduler} has no workers; start some: dask worker {scheduler}")
    return joblib.parallel_config(backend="dask", client=client)  # type: ignore[no-any-return]


def _ray(joblib: Any, scheduler: str, stack: ExitStack) -> Context:
    ray = _imported("ray", "ray")
    from ray.util.joblib import register_ray

    try:
        ray.init(address=scheduler or "auto", log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    except Exception as error:
        place = f"at {scheduler}" if scheduler else "here"
        raise SweepError(f"no cluster of Ray answers {place} (ray start --head): {one_line(error)}") from error
    stack.callback(ray.shutdown)
    register_ray()
    again = {"max_restarts": -1, "max_task_retries": -1}  # a job of a worker that went is run by its successor
    return joblib.parallel_config(backend="ray", ray_remote_args=again)  # type: ignore[no-any-return]


BACKENDS: dict[str, Callable[[Any, str, ExitStack], Context]] = {"loky": _loky, "dask": _dask, "ray": _ray}
"""What puts joblib to work on a kind of cluster."""


def _imported(module: str, backend: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise OptionError(_MISSING.format(backend=f"--backend {backend}", module=module)) from None
