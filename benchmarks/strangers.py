"""Models of packages of other people, held against real runs: python -m benchmarks.strangers [NAME ...] [-o FILE.md].

Needs `.[strangers]`. Each model runs in a process of its own: it is analysed on meta, its parameters are compared with
`numel`, its MACs with those that torch's FlopCounterMode counts on real tensors, and the predicted peak of a training
step (SGD with momentum, the sum of all outputs as the loss) with the most bytes alive in a real one. A row that does
not agree must have its reason in strangers_reasons.csv.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import platform
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REASONS = ROOT / "benchmarks" / "strangers_reasons.csv"
WITHIN = 0.02
MIB = 2**20

Row = dict[str, Any]


def rows_of(names: list[str]) -> Iterator[Row]:
    """Run each model in a process of its own."""
    from benchmarks.strangers_models import CASES

    for case in CASES:
        if names and not any(name.lower() in f"{case.name} {case.package}".lower() for name in names):
            continue
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.strangers", "--one", case.name],
            cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        row = {"model": case.name, "package": case.package, "version": version(case.package), "trains": case.trains}
        try:
            row |= json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            row["problem"] = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        print(said(row), file=sys.stderr, flush=True)
        yield row


# One model, in its own process


def one(name: str) -> Row:
    import torch

    from benchmarks.strangers_models import CASES
    from vggcost import VggcostError, analyze

    case = next(case for case in CASES if case.name == name)

    def make() -> tuple[Any, Any]:
        torch.manual_seed(0)
        return case.make()

    row: Row = {}
    model, inputs = make()
    row["numel"] = sum(p.numel() for p in model.parameters())
    try:
        table = analyze(model.eval(), inputs, assume=dict(case.assume or {}))
        row |= {"params": table.totals.params, "macs": table.totals.macs}
    except VggcostError as error:
        row["problem"] = str(error)
    row["counted"] = counted(*make())
    if case.trains:
        row["measured"] = measured(make)
        try:
            row["predicted"] = predicted(*make(), dict(case.assume or {}))
        except VggcostError as error:
            row["problem"] = row.get("problem") or f"training: {error}"
    return row


def call(model: Any, inputs: Any) -> Any:
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


def counted(model: Any, inputs: Any) -> int:
    """MACs by torch's FlopCounterMode on real tensors, its known faults avoided or corrected.

    It has no formula for the CPU's fused attention, so that the plain products are run; nor for the CPU's LSTM, which
    is run as products too; nor for a matrix times a vector, and it counts a product of complex numbers as one of real
    ones, which `corrections` mend; and torch's fast path of attention layers hides them from any counter. Where a parameter is what a module is called with, its hooks fail, so that nothing
    has a gradient.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    mapping = corrections()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.mkldnn.set_flags(_enabled=False, _allow_tf32=None)
    model.eval().requires_grad_(False)
    try:
        with (
            torch.no_grad(), sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False, custom_mapping=mapping) as counter,
        ):  # fmt: skip
            call(model, inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.backends.mkldnn.set_flags(_enabled=True, _allow_tf32=None)
    return int(counter.get_total_flops()) // 2


def corrections() -> dict[Any, Any]:
    """Formulas in place of those that FlopCounterMode lacks, or that overlook that complex numbers take four products."""
    import torch
    from torch.utils.flop_counter import flop_registry

    aten = torch.ops.aten

    def of_complex(known: Any) -> Any:
        def formula(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
            return int(known(*args, out_val=out_val, **kwargs)) * (4 if out_val.is_complex() else 1)

        formula._get_raw = True  # type: ignore[attr-defined]
        return formula

    vectors = {
        aten.mv: lambda a, b, **_: 2 * a[0] * a[1],
        aten.addmv: lambda _, a, b, **__: 2 * a[0] * a[1],
        aten.dot: lambda a, b, **_: 2 * a[0],
    }
    products = (aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution)
    return {**vectors, **{op: of_complex(flop_registry[op]) for op in products}}


def loss_of(output: Any) -> Any:
    """The sum of all that has a gradient."""
    from vggcost.trace.signature import tensors_in

    outputs = [t for t in tensors_in(output) if t.is_floating_point() and t.requires_grad]
    loss = outputs[0].sum()
    for tensor in outputs[1:]:
        loss = loss + tensor.sum()
    return loss


def predicted(model: Any, inputs: Any, assume: dict[str, int]) -> int:
    from vggcost import memory

    return memory(model, inputs, optimizer="sgd-momentum", loss=loss_of, assume=assume).peak.bytes


def measured(make: Callable[[], tuple[Any, Any]]) -> int:
    """The most bytes alive in the second step on the CPU, by the profiler's memory events.

    All is made under the profiler: it does not see the end of what was there before it.
    """
    import torch

    def step(model: Any, inputs: Any, optimizer: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        output = call(model, inputs)  # which is alive in the backward pass, as in most people's loops
        loss_of(output).backward()
        optimizer.step()

    model, inputs = make()  # once without the profiler: tables that are made once in a process are not the step's
    step(model.train(), inputs, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01))
    del model, inputs
    gc.collect()
    with torch.autograd.profiler.profile(profile_memory=True, use_kineto=True) as profile:
        model, inputs = make()
        model.train()
        optimizer = torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9, foreach=False
        )
        step(model, inputs, optimizer)
        gc.collect()
        with torch.autograd.profiler.record_function("second step"):
            step(model, inputs, optimizer)
    events = profile.kineto_results.events()
    begin = next(event.start_ns() for event in events if event.name() == "second step")
    live = most = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        live += event.nbytes()
        if event.start_ns() >= begin:
            most = max(most, live)
    return most


# The document


def reasons() -> dict[tuple[str, str], str]:
    with REASONS.open(encoding="utf-8", newline="") as file:
        return {(row["model"], row["column"]): row["reason"] for row in csv.DictReader(file)}


def verdicts(row: Row) -> dict[str, bool | None]:
    """Whether each column agrees; None: there is nothing to compare."""
    ran = "params" in row
    found = row.get("measured")
    return {
        "runs": ran,
        "params": row["params"] == row["numel"] if ran else None,
        "macs": row["macs"] == row["counted"] if ran else None,
        "trains": "predicted" in row if row["trains"] else None,
        "peak": abs(row["predicted"] / found - 1) <= WITHIN if found and "predicted" in row else None,
    }


def said(row: Row) -> str:
    """One row of the table."""
    agree = verdicts(row)
    mark = {True: "yes", False: "**no**", None: "–"}
    params = f"{row['params']:,}" if "params" in row else "–"
    macs = f"{row['macs']:,}" if "macs" in row else "–"
    if agree["params"] is False:
        params += f" (numel {row['numel']:,})"
    if agree["macs"] is False:
        macs += f" (it counts {row['counted']:,})"
    peak = "–"
    if agree["peak"] is not None:
        peak = (
            f"{row['predicted'] / MIB:,.2f} / {row['measured'] / MIB:,.2f} = {row['predicted'] / row['measured']:.3f}"
        )
    cells = (
        row["model"],
        f"{row['package']} {row['version']}",
        mark[agree["runs"]],
        params,
        macs,
        mark[agree["trains"]],
        peak,
    )
    return f"| {' | '.join(cells)} |"


def document(found: list[Row]) -> str:
    import torch

    known = reasons()
    verdict = [verdicts(row) for row in found]
    peaks = [
        abs(row["predicted"] / row["measured"] - 1)
        for row, v in zip(found, verdict, strict=True)
        if v["peak"] is not None
    ]
    near = sum(error <= WITHIN for error in peaks)

    def share(column: str) -> str:
        asked = [v[column] for v in verdict if v[column] is not None]
        return f"{sum(map(bool, asked))} of {len(asked)}"

    packages = len({row["package"] for row in found})
    lines = [
        "# Models of other people's packages",
        "",
        f"`python -m benchmarks.strangers -o docs/strangers.md` (needs `.[strangers]`) builds {len(found)} models of {packages} "
        "packages as their users would, analyses each on meta, and holds the figures against real runs on the CPU: the "
        "parameters against `numel`, the MACs of inference against those that torch's `FlopCounterMode` counts on real tensors, "
        "the predicted peak of a training step (SGD with momentum, the sum of all outputs as the loss) against the most bytes "
        "alive in the second of two real steps.",
        "",
        "`FlopCounterMode` has faults of its own, which are avoided or corrected: it does not know the CPU's fused attention and "
        "fused LSTM (both are run as plain products), nor a matrix times a vector (given to it), it counts a product of complex numbers as one of real numbers (taken "
        "four times), and torch's fast path of "
        "attention layers hides their work (it is off).",
        "",
        f"Runs: {share('runs')}. Parameters equal: {share('params')}. MACs equal: {share('macs')}. A training step: "
        f"{share('trains')}. Predicted peak within {WITHIN:.0%} of the measured: {near} of {len(peaks)} "
        f"({near / max(1, len(peaks)):.0%}), median error {statistics.median(peaks or [0]):.2%}.",
        "",
        "| model | package | runs | params | MACs | trains | peak, MiB: predicted / measured |",
        "|:--|:--|:--|--:|--:|:--|--:|",
        *map(said, found),
        "",
        "## What does not agree, and why",
        "",
        "| model | what | why |",
        "|:--|:--|:--|",
    ]
    for row, columns in zip(found, verdict, strict=True):
        for column, agrees in columns.items():
            if agrees is False:
                why = known.get((row["model"], column), "**no reason found yet**")
                stopped = f" (`{row['problem']}`)" if column in ("runs", "trains") and row.get("problem") else ""
                lines.append(f"| {row['model']} | {column} | {why}{stopped} |")
    lines += ["", f"torch {torch.__version__} on the CPU ({platform.machine()}{_processor()})."]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    for line in (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else ()
    ):
        if line.startswith("model name"):
            return f", {line.partition(':')[2].strip()}"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what packages print away from the row."""
    import contextlib
    import logging
    import os

    logging.disable(logging.CRITICAL)
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only the models or packages whose name contains one of these")
    parser.add_argument("-o", "--output")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with _quiet():
            row = one(options.one)
        print(json.dumps(row))
        return
    text = document(list(rows_of(options.names)))
    if options.output:
        Path(options.output).write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
