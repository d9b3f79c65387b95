"""A whole sweep: what is there already, what is left, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vggcost.errors import SweepError
from vggcost.sweeps.backends import Lost, results
from vggcost.sweeps.jobs import Job
from vggcost.sweeps.rows import Row
from vggcost.sweeps.store import Store
from vggcost.sweeps.watch import Limits
from vggcost.units import exact

__all__ = ["Tally", "reasons", "run_jobs"]

_ATTEMPTS = 3  # losses of workers in a row without a single result between them


@dataclass
class Tally:
    """What came of a sweep: rows of this run, and jobs whose rows were there before."""

    asked: int
    known: list[Row] = field(default_factory=list)
    new: list[Row] = field(default_factory=list)
    lost: int = 0

    @property
    def failed(self) -> list[Row]:
        """The rows, old and new, of models that did not run."""
        return [row for row in (*self.known, *self.new) if row["status"] != "ok"]

    def lines(self) -> list[str]:
        """Say how many ran, how many were there, and why the others did not run."""
        ran = sum(row["status"] == "ok" for row in self.new)
        there = sum(row["status"] == "ok" for row in self.known)
        failed, before = self.failed, len(self.known) - there
        text = f"{exact(self.asked)} asked for: {exact(ran)} traced, {exact(there)} were there, {exact(len(failed))} failed"
        found = [text + (f", {exact(before)} of them before (--retry tries them again)" if before else "")]
        if self.lost:
            found.append(f"workers went {exact(self.lost)} times; what they had begun was run again")
        for reason, names in reasons(failed).items():
            found.append(f"  {exact(len(names))} × {reason}: {_listed(sorted(set(names)))}")
        return found


def run_jobs(
    jobs: Sequence[Job],
    store: Store,
    limits: Limits,
    *,
    workers: int | None = None,
    backend: str = "loky",
    scheduler: str = "",
    retry: bool = False,
    told: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Run what has no result yet; each result is kept as it comes.

    Args:
        jobs: what to run.
        store: where results are and go.
        limits: what one of them may take.
        workers: as for `results`.
        backend: as for `results`.
        scheduler: as for `results`.
        retry: run again what failed before.
        told: called before the first and after each result.

    Raises:
        OptionError: as for `results`.
        SweepError: workers keep going before any result comes.
    """
    if retry:
        store.drop(job.key for job in jobs if (row := store.get(job.key)) is not None and row["status"] != "ok")
    tally = Tally(len(jobs), [row for job in jobs if (row := store.get(job.key)) is not None])
    told(tally)
    barren = 0
    while left := [job for job in jobs if job.key not in store]:
        count, why = len(tally.new), "no results come"
        try:
            for row in results(left, limits, workers, backend, scheduler):
                if store.add(row):
                    tally.new.append(row)
                    told(tally)
        except Lost as error:
            tally.lost, why = tally.lost + 1, f"workers keep going: {error}"
        barren = barren + 1 if len(tally.new) == count else 0
        if barren >= _ATTEMPTS:
            raise SweepError(f"{why}; what was done is in {store.path}")
    return tally


_MOST = 5  # names that a line of the summary lists


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {exact(more)} more" if more > 0 else "")


def reasons(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Group models by why they did not run, the most frequent reason first; a reason is told without the model's name.

    Example:
        >>> rows = [{"model": f"timm:{n}", "reason": f"timm:{n} failed: no {n}"} for n in "ab"]
        >>> reasons(rows)
        {'failed: no MODEL': ['timm:a', 'timm:b']}
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        inner = row["model"].rpartition(":")[2]
        text = row["reason"].removeprefix(row["model"]).strip()
        found.setdefault(re.sub(rf"\b{re.escape(inner)}\b", "MODEL", text), []).append(row["model"])
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
