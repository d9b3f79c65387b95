"""A result of a sweep: one row, whether the model ran or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vggcost.records import CostTable
from vggcost.sweeps.jobs import Job

__all__ = ["COLUMNS", "Row", "failed", "key_of", "measured"]

Row = dict[str, Any]

COLUMNS: dict[str, type] = {
    "model": str,
    "input": str,
    "batch": int,
    "mode": str,
    "convention": str,
    "dtype": str,
    "options": str,
    "versions": str,
    "code": str,
    "status": str,
    "reason": str,
    "title": str,
    "shapes": str,
    "weight_layers": int,
    "params": int,
    "trainable": int,
    "param_bytes": int,
    "macs": int,
    "flops": int,
    "backward_macs": int,
    "backward_flops": int,
    "activations": int,
    "activation_bytes": int,
    "saved_bytes": int,
    "rows": int,
    "ops": int,
    "unknown": str,
    "assumed": str,
    "note": str,
    "build_seconds": float,
    "trace_seconds": float,
}
"""The columns of a result, in order, and what they hold; the first nine say what was to be run."""

_KEY = tuple(COLUMNS)[:9]
_TOTALS = (
    "params trainable param_bytes macs flops backward_macs backward_flops activations activation_bytes saved_bytes"
).split()
_EMPTY: Row = {name: "" if kind is str else None for name, kind in COLUMNS.items()}


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells a result from others: that of its job."""
    return tuple(row[name] for name in _KEY)


def failed(job: Job, status: str, reason: str) -> Row:
    """Make the row of a model that did not run: `failed`, `timeout`, `memory` or `crashed`, and why in one line."""
    return {**_EMPTY, **asdict(job), "status": status, "reason": _line(reason)}


def measured(job: Job, table: CostTable, build_seconds: float, trace_seconds: float) -> Row:
    """Make the row of a model that ran; figures of a training step are nothing in inference."""
    totals = {name: getattr(table.totals, name) for name in _TOTALS}
    coverage = table.coverage
    return {
        **_EMPTY,
        **asdict(job),
        "status": "ok",
        "title": _line(table.run.title),
        "shapes": ", ".join("x".join(map(str, record.shape)) for record in table.run.inputs),
        "weight_layers": table.weight_layers,
        **totals,
        "rows": len(table.layers),
        "ops": sum(calls for part in (coverage.counted, coverage.free, coverage.unknown) for _, calls in part),
        "unknown": ", ".join(f"{op} {calls}" for op, calls in coverage.unknown),
        "assumed": _line("; ".join(f"{item.op} {item.calls}: {item.text}" for item in coverage.assumed)),
        "note": _line(table.run.note),
        "build_seconds": round(build_seconds, 6),
        "trace_seconds": round(trace_seconds, 6),
    }


def _line(text: str) -> str:
    return " ".join(text.split())
